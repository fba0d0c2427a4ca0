//! A configuration of `wg-quick`, as somebody sees it before it is used: where it leads to, which
//! commands it runs, and none of its keys.

use crate::show::harmless;

/// What is shown of a configuration, and what never is.
pub(super) struct Shown<'t> {
    pub(super) lines: Vec<String>,
    /// Its keys.
    pub(super) secrets: Vec<&'t str>,
}

/// Reads it as `wg-quick` does: `Name = value`, `#` begins a comment, names in any case.
pub(super) fn shown(text: &str) -> Shown<'_> {
    let lines = || text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let pairs = || lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.trim(), value.trim()));
    let is_secret = |name: &str| SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
    let secrets: Vec<&str> =
        pairs().filter(|(name, value)| is_secret(name) && !value.is_empty()).map(|(_, value)| value).collect();
    let line = |line: &str| {
        let Some((name, value)) = line.split_once('=').map(|(name, value)| (name.trim(), value.trim())) else {
            return (line.starts_with('[') && line.ends_with(']')).then(|| harmless(line, 64));
        };
        if is_secret(name) {
            return None;
        }
        let is_known = KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known));
        let has_secret = secrets.iter().any(|secret| value.contains(secret));
        let name = harmless(name, 64);
        Some(match is_known && !has_secret {
            true => format!("{name} = {}", harmless(value, 2000)),
            // What is not known may be a secret.
            false => format!("{name} = (not shown)"),
        })
    };
    Shown { lines: lines().filter_map(line).collect(), secrets }
}

const SECRET: [&str; 2] = ["PrivateKey", "PresharedKey"];
const KNOWN: [&str; 15] = [
    "Address",
    "AllowedIPs",
    "DNS",
    "Endpoint",
    "FwMark",
    "ListenPort",
    "MTU",
    "PersistentKeepalive",
    "PostDown",
    "PostUp",
    "PreDown",
    "PreUp",
    "PublicKey",
    "SaveConfig",
    "Table",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_and_commands_are_shown_and_keys_never() {
        let text = "# office\n[Interface]\nPrivateKey=aPrivateKey=\nAddress = 10.0.0.2/32 # ours\nPOSTUP = ip route add x\n\
                    PostDown = wg set %i private-key aPrivateKey=\nColour = blue\n\n[Peer]\npresharedkey = shared=\n\
                    PublicKey = pub=\nEndpoint = vpn.example:51820\nAllowedIPs = 10.0.0.0/24\n";
        let shown = shown(text);
        assert_eq!(
            shown.lines,
            [
                "[Interface]",
                "Address = 10.0.0.2/32",
                "POSTUP = ip route add x",
                "PostDown = (not shown)",
                "Colour = (not shown)",
                "[Peer]",
                "PublicKey = pub=",
                "Endpoint = vpn.example:51820",
                "AllowedIPs = 10.0.0.0/24",
            ]
        );
        assert_eq!(shown.secrets, ["aPrivateKey=", "shared="]);
    }

    #[test]
    fn what_could_move_the_cursor_is_not_shown_as_it_is() {
        let shown = shown("PostUp = echo \u{1b}[2J\u{202e}x\n");
        assert_eq!(shown.lines, ["PostUp = echo \u{fffd}[2J\u{fffd}x"]);
    }
}
