//! The command that restores one thing alone, for a person to run when this program could not.
//!
//! It stands in the report, so whatever of it comes from elsewhere is quoted for a shell, and a word
//! that cannot be shown as it is makes no command at all. A command does not hold what comes against
//! what was signed as this program does: none is named where that is what failed.

use std::{ffi::OsStr, path::Path};

use pbs_driver::{
    Client,
    access::Certificate,
    pve::{Node, guest_config::Kind},
    restore,
};

use super::super::{
    install::Installed,
    plan::{GuestWork, Piece, Work},
};
use crate::show::harmless;

/// As the end of what is to be done.
pub(super) fn alone(command: Option<String>) -> String {
    command.map(|command| format!("; or this alone: `{command}`")).unwrap_or_default()
}

/// For a guest, whose storage is in place.
pub(super) fn of_guest(node: &Node, work: &GuestWork<'_>) -> Option<String> {
    let paths = node.paths();
    let volume = format!("{}:backup/{}", work.source.id, work.snapshot.snapshot());
    let number = work.vmid.to_string();
    let (program, words) = match work.kind {
        Kind::Container => (&paths.pct, vec!["restore", &number, &volume]),
        Kind::Machine => (&paths.qmrestore, vec![volume.as_str(), &number]),
    };
    let storage = work.storage.iter().flat_map(|storage| ["--storage", storage.as_str()]);
    let words = words.into_iter().chain(storage);
    shell([program.as_os_str()].into_iter().chain(words.map(OsStr::new)))
}

/// For an archive, if its source's own key and token are on this machine, and it needs that key.
pub(super) fn of_archive(client: &Client, installed: &Installed, work: &Work<'_>, piece: &Piece) -> Option<String> {
    let id = &work.source.id;
    let (key, token) = (installed.keys.get(id)?, installed.tokens.get(id)?);
    if work.snapshot.key() != Some(work.source.key_fingerprint) {
        return None;
    }
    let mut before = vec![assigned("PBS_PASSWORD_FILE", token)?];
    if let Certificate::Pinned(fingerprint) = work.access.certificate() {
        before.push(assigned("PBS_FINGERPRINT", Path::new(&fingerprint.to_string()))?);
    }
    let snapshot = work.snapshot.snapshot().to_string();
    let repository = work.access.repository().to_string();
    let name = restore::given_name(&piece.file);
    let namespace = work.access.namespace();
    let (is_root, namespace) = (namespace.is_root(), namespace.to_string());
    let mut words: Vec<&OsStr> = vec![client.program().as_os_str(), OsStr::new("restore"), OsStr::new(&snapshot)];
    words.extend([name.as_os_str(), piece.target.as_os_str()]);
    words.extend([OsStr::new("--repository"), OsStr::new(&repository), OsStr::new("--keyfile"), key.as_os_str()]);
    if !is_root {
        words.extend([OsStr::new("--ns"), OsStr::new(&namespace)]);
    }
    Some(format!("{} {}", before.join(" "), shell(words.into_iter())?))
}

fn assigned(name: &str, value: &Path) -> Option<String> {
    Some(format!("{name}={}", quoted(value.as_os_str())?))
}

fn shell<'w>(words: impl Iterator<Item = &'w OsStr>) -> Option<String> {
    words.map(quoted).collect::<Option<Vec<_>>>().map(|words| words.join(" "))
}

/// As a shell takes it for itself, and for nothing else.
fn quoted(word: &OsStr) -> Option<String> {
    let word = word.to_str().filter(|word| harmless(word, usize::MAX) == *word)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Some(word.to_owned());
    }
    // A backtick would end what stands between backticks in the report.
    (!word.contains('`')).then(|| format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_to_a_shell_or_no_command() {
        for (word, expected) in [
            ("ct/101/2026-11-29T19:00:00Z", Some("ct/101/2026-11-29T19:00:00Z")),
            ("backup@pbs!box1@127.0.0.1:8007:store", Some("'backup@pbs!box1@127.0.0.1:8007:store'")),
            ("/srv/two words", Some("'/srv/two words'")),
            ("it's; reboot $(x)", Some(r"'it'\''s; reboot $(x)'")),
            ("", Some("''")),
            ("a`b", None),
            ("a\nb", None),
            ("a\u{1b}[2J", None),
            ("a\u{202e}b", None),
        ] {
            assert_eq!(quoted(OsStr::new(word)).as_deref(), expected, "{word:?}");
        }
        assert_eq!(shell([OsStr::new("a"), OsStr::new("b\n")].into_iter()), None);
    }
}
