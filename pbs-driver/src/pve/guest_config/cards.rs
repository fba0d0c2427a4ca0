//! A guest's network cards, and whether pulling their cables cuts it off: read as the rest of its
//! configuration is.

use super::{Kind, Switch, current, is_machines_section, numbered, section_of};

/// The network cards' lines, by number.
pub(crate) fn nets(kind: Kind, text: &[u8]) -> Vec<(String, String)> {
    let lines = current(text, section_of(kind));
    lines.into_iter().filter(|(key, _)| matches!(numbered(key), Some(("net", Some(_))))).collect()
}

/// Whether a switch is on that a line has in front (`agent: 1`) or by name (`agent: enabled=1`).
pub(crate) fn on(text: &[u8], key: &str, name: &str) -> bool {
    let lines = current(text, is_machines_section);
    let parts = lines.get(key).map(|value| value.split(',')).into_iter().flatten();
    let mut words = parts.filter_map(|part| match part.split_once('=') {
        None => Some(part),
        Some((found, word)) => (found == name).then_some(word),
    });
    words.any(|word| Switch::read(word) == Switch::On)
}

/// Why a guest could reach a network without its cards, or have the node run something, if it could.
pub(crate) fn reaches_out(kind: Kind, text: &[u8]) -> Option<&'static str> {
    let (text, is_section) = (String::from_utf8_lossy(text), section_of(kind));
    let lines = text.split('\n').take_while(|line| !(line.starts_with('[') && is_section(line.trim_end())));
    let mut keys = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    keys.find_map(|(key, value)| match (kind, key) {
        (_, "template") if Switch::read(value.trim()) == Switch::On => Some("it is a template, which does not run"),
        (_, "lock") => Some("it is locked"),
        (_, "hookscript") => Some("it has a program of the node run (hookscript)"),
        (Kind::Machine, "args") => Some("it has options of its own for the emulator (args)"),
        (Kind::Machine, key) if key.starts_with("hostpci") => Some("it has a device of the node (hostpci)"),
        (Kind::Machine, key) if key.starts_with("usb") && !value.trim().starts_with("spice") => {
            Some("it has a device of the node (usb)")
        }
        (Kind::Container, key) if key.starts_with("lxc.") => Some("it has options of its own for LXC (lxc.…)"),
        (Kind::Container, key) if key.starts_with("dev") => Some("it has a device of the node (dev)"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_past_the_network_cards_is_seen() {
        for (kind, line, reaches) in [
            (Kind::Machine, "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0", false),
            (Kind::Machine, "args: -netdev user,id=n0", true),
            (Kind::Machine, "hostpci0: 0000:01:00", true),
            (Kind::Machine, "hookscript: local:snippets/x.pl", true),
            (Kind::Machine, "lock: backup", true),
            (Kind::Machine, "template: 1", true),
            (Kind::Machine, "template: 0", false),
            (Kind::Machine, "#args: x", false),
            (Kind::Machine, "[snap]\nargs: x", false),
            (Kind::Container, "lxc.net.1.type: phys", true),
            (Kind::Container, "lxc.mount.entry: /srv srv none bind 0 0", true),
            (Kind::Container, "features: nesting=1", false),
            (Kind::Container, "[snap]\nlxc.net.1.type: phys", false),
            // PVE passes such a line over and goes on.
            (Kind::Container, "[1]\nlxc.net.1.type: phys", true),
            (Kind::Machine, "usb0: spice,usb3=1", false),
            (Kind::Machine, "usb0: host=046d:c52b", true),
        ] {
            let text = format!("memory: 512\n{line}\n");
            assert_eq!(reaches_out(kind, text.as_bytes()).is_some(), reaches, "{line}");
        }
        for (line, is_on) in [
            ("agent: 1", true),
            ("agent: enabled=1,fstrim_cloned_disks=1", true),
            ("agent: 0", false),
            ("agent: fstrim_cloned_disks=1", false),
            ("agent: enabled=0", false),
            ("", false),
        ] {
            assert_eq!(on(format!("{line}\nname: x\n").as_bytes(), "agent", "enabled"), is_on, "{line}");
        }
        let cards = nets(Kind::Machine, b"net1: b\nnet0: a\nnetx: c\n[s]\nnet2: d\n");
        assert_eq!(cards, [("net0".to_owned(), "a".to_owned()), ("net1".to_owned(), "b".to_owned())]);
    }
}
