//! What of the root's small files opens a way to a backup server, and how each is started.
//!
//! Only what `wg-quick` brings up is started by this agent: it is one file, its program ends when the
//! interface is there, and the kernel keeps it. OpenVPN says that it is ready long before it is, and
//! reads other files by their names; IPsec and units of systemd take effect only in their own folders,
//! where nothing of the root is written. For those the commands are told.

use std::path::{Path, PathBuf};

use tenwords_escrow::root::{FileSecret, Root};

/// The units of a root.
pub(super) struct Units<'r> {
    /// What this agent can start.
    pub(super) wireguard: Vec<Wireguard<'r>>,
    /// What it cannot, with what a person can do.
    pub(super) by_hand: Vec<String>,
}

/// A configuration of `wg-quick`.
#[derive(Clone, Copy)]
pub(super) struct Wireguard<'r> {
    /// The interface's name.
    pub(super) name: &'r str,
    pub(super) file: &'r FileSecret,
}

impl<'r> Units<'r> {
    /// Those of this root; `kept` is where its small files lie on this machine.
    pub(super) fn of(root: &'r Root, kept: &Path) -> Self {
        let mut units = Self { wireguard: Vec::new(), by_hand: Vec::new() };
        for file in &root.facts().secrets.files {
            let path = file.path.as_str();
            match interface(path) {
                Some(name) => units.wireguard.push(Wireguard { name, file }),
                None => units.by_hand.extend(command(path, kept)),
            }
        }
        units
    }
}

/// The interface of a `wg-quick` configuration, by `wg-quick`'s own rule for its name.
fn interface(path: &str) -> Option<&str> {
    let (folder, name) = path.rsplit_once('/')?;
    // Wherever it was copied to: whoever lists it means it.
    let name = name.strip_suffix(".conf").filter(|_| folder.ends_with("/wireguard"))?;
    let is_one = (1..=15).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_=+.-".contains(&byte));
    is_one.then_some(name)
}

/// What starts another kind of unit.
fn command(path: &str, kept: &Path) -> Option<String> {
    let at = kept.join(path.trim_start_matches('/'));
    let (folder, name) = path.rsplit_once('/')?;
    let copied = |to: &str| format!("install -m 600 {} {to}", quoted(&at));
    if path.contains("/openvpn/") {
        let is_config = name.ends_with(".conf") || name.ends_with(".ovpn");
        let home = at.parent().unwrap_or(kept);
        return is_config.then(|| format!("openvpn --cd {} --config {}", quoted(home), quoted(&at)));
    }
    if path == "/etc/ipsec.conf" || path.starts_with("/etc/ipsec.d/") || path == "/etc/ipsec.secrets" {
        return Some(format!("{} && ipsec restart", copied(&quoted(Path::new(path)))));
    }
    if path.starts_with("/etc/swanctl/") {
        return Some(format!("{} && swanctl --load-all", copied(&quoted(Path::new(path)))));
    }
    if folder == "/etc/systemd/network" {
        return Some(format!("{} && networkctl reload", copied(&quoted(Path::new(path)))));
    }
    let is_unit = folder == "/etc/systemd/system"
        && [".service", ".socket", ".mount", ".timer", ".target"].iter().any(|end| name.ends_with(end));
    is_unit.then(|| {
        let name = quoted(Path::new(name));
        format!(
            "install -m 644 {} {} && systemctl daemon-reload && systemctl start -- {name}",
            quoted(&at),
            quoted(&PathBuf::from(path))
        )
    })
}

/// A path as a shell takes it for one word.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+=:@".contains(&byte));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_wg_quick_takes_is_one_of_its_interfaces() {
        assert_eq!(interface("/etc/wireguard/wg0.conf"), Some("wg0"));
        assert_eq!(interface("/etc/wireguard/to_office.1.conf"), Some("to_office.1"));
        for path in [
            "/etc/wireguard/wg0.key",
            "/etc/wireguard/.conf",
            "/etc/wireguard/a/wg0.conf",
            "/etc/wireguard/wg 0.conf",
            "/etc/wireguard/-wg0.conf",
            "/etc/wireguard/a$(reboot).conf",
            "/etc/wireguard/sixteen-is-too-l.conf",
            "/etc/openvpn/wg0.conf",
            "/srv/notwireguard/wg0.conf",
            "wireguard/wg0.conf",
        ] {
            assert_eq!(interface(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_not_started_here_is_told_with_its_command() {
        let told = |path: &str| command(path, Path::new("/var/lib/kept")).unwrap_or_default();
        assert_eq!(
            told("/etc/openvpn/client/office.conf"),
            "openvpn --cd /var/lib/kept/etc/openvpn/client --config /var/lib/kept/etc/openvpn/client/office.conf"
        );
        assert!(told("/etc/systemd/system/tunnel.service").ends_with("systemctl start -- tunnel.service"));
        assert!(told("/etc/systemd/network/50-wg.netdev").ends_with("networkctl reload"));
        assert!(told("/etc/ipsec.conf").contains("ipsec restart"));
        assert!(told("/etc/swanctl/conf.d/a.conf").ends_with("swanctl --load-all"));
        // Keys beside a configuration, and what is no way anywhere.
        for path in ["/etc/openvpn/client/ca.crt", "/etc/hosts", "/etc/systemd/system.conf", "/etc/pve/storage.cfg"] {
            assert_eq!(told(path), "", "{path}");
        }
        // No name gets out of its word.
        let odd = told("/etc/systemd/system/a'; reboot #.service");
        assert!(odd.contains(r"'a'\''; reboot #.service'"), "{odd}");
    }
}
