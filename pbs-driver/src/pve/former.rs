//! By what a guest that was to be replaced is known again.
//!
//! Not by the bytes of its configuration: PVE writes its lock into what it has *parsed*, and writes that anew when it
//! takes the lock out. Keys are in their order then, of two lines with one key the later is left, what PVE cannot
//! parse is gone, and a drive's line may be put together differently. So it is known by what its configuration means,
//! and by its volumes: as long as all of them are there, and its configuration is not the bare one that PVE writes
//! where it takes a guest away, it is taken for the former one. That it might be another costs nothing but a look;
//! the opposite error would cost somebody's data.

use std::collections::{BTreeMap, BTreeSet};

use tenwords_protocol::hash::Sha256;

use super::{leftover::Remains, torn::Volumes};

/// A guest that may be replaced, as it was found right before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsFound {
    /// Of its configuration file.
    pub config_sha256: Sha256,
    /// Of what its configuration says ([`meaning`]); `None` where nobody has kept that.
    pub meaning_sha256: Option<Sha256>,
    /// Those of its own volumes that were there. What its configuration names may have been gone already.
    pub volumes: BTreeSet<String>,
}

impl AsFound {
    /// What is left of it, by the configuration and the volumes that are there `now`; where nobody could list
    /// them, they are taken to be there.
    pub(crate) fn remains(&self, text: &[u8], now: Option<&Volumes>) -> Remains {
        if Sha256::of(text) == self.config_sha256 {
            return Remains::Whole;
        }
        let is_same = self.is_same(text);
        let is_it = match self.meaning_sha256 {
            _ if is_same => true,
            Some(_) => !self.volumes.is_empty() && !is_bare(text),
            None => !is_bare(text),
        };
        // PVE removes the volumes one by one, before it writes another configuration.
        let is_there = |volume: &String| now.is_none_or(|now| !now.answers(volume) || now.volumes.contains(volume));
        let is_whole = self.volumes.iter().all(is_there);
        match (is_it, is_in_creation(text)) {
            (true, true) if is_whole => Remains::Locked,
            (true, false) if is_whole || is_same => Remains::Whole,
            _ => Remains::Nothing,
        }
    }

    /// Whether this configuration says the same, whatever PVE's own lock says.
    pub(crate) fn is_same(&self, text: &[u8]) -> bool {
        self.meaning_sha256 == Some(meaning(text))
    }
}

/// The hash of what a configuration says: of the lines of each of its sections, in whichever order, without PVE's
/// lock of a creation, comments and blanks.
#[must_use]
pub fn meaning(text: &[u8]) -> Sha256 {
    let mut canonical = String::new();
    for (section, lines) in sections(text) {
        canonical.push_str(&format!("[{section}]\n"));
        lines.iter().for_each(|(key, value)| canonical.push_str(&format!("{key}: {value}\n")));
    }
    Sha256::of(canonical.as_bytes())
}

/// What PVE writes into the configuration of a guest that it is making.
pub(super) fn is_in_creation(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().take_while(|line| !line.starts_with('['));
    lines.any(is_lock)
}

fn is_lock(line: &str) -> bool {
    line.split_whitespace().eq(["lock:", "create"])
}

/// What PVE writes in the place of a configuration whose guest it takes away, with or without its lock.
fn is_bare(text: &[u8]) -> bool {
    let sections = sections(text);
    sections.keys().all(String::is_empty)
        && sections.values().flatten().all(|(key, values)| (key.as_str(), values.as_str()) == ("memory", "128"))
}

/// A section's lines by their keys, each value in one of the forms that mean it.
pub(super) type Lines = BTreeMap<String, String>;

/// By name, the main one's is empty; a section without a line is none. Comments and PVE's lock of a creation are none.
pub(super) fn sections(text: &[u8]) -> BTreeMap<String, Lines> {
    let text = String::from_utf8_lossy(text);
    let mut found: BTreeMap<String, Lines> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_lowercase();
        } else if let Some((key, value)) = line.split_once(':')
            // Before or in the lines it is a comment's text.
            && key != "description"
            && !(section.is_empty() && is_lock(line))
        {
            let lines = found.entry(section.clone()).or_default();
            if key.starts_with("lxc.") {
                // The one key that counts as often as it stands there.
                lines.insert(format!("{key}: {}", value.trim()), String::new());
            } else {
                lines.insert(key.to_owned(), plain(value));
            }
        }
    }
    found
}

/// A value in one of the forms that mean it: `yes` is 1, and parts stand in any order.
fn plain(value: &str) -> String {
    let parts = value.split(',').map(|part| {
        let (key, value) = part.trim().split_once('=').unwrap_or(("", part.trim()));
        let value = match value.to_ascii_lowercase().as_str() {
            "on" | "yes" | "true" => "1",
            "off" | "no" | "false" => "0",
            _ => value,
        };
        if matches!(key, "" | "file" | "volume") { value.to_owned() } else { format!("{key}={value}") }
    });
    let mut parts: Vec<String> = parts.collect();
    parts.sort_unstable();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "memory: 512\n\n# by hand\nhostname: web\nonboot: yes\nhostname: web\n\
        rootfs: size=8G,l:subvol-101-disk-0\nunused0: l:vm-101-disk-7\n[snap]\nlock: create\nmemory: 1\n";
    const REWRITTEN: &str = "# by hand\nhostname: web\nlock: create\nmemory: 512\nonboot: 1\n\
        rootfs: l:subvol-101-disk-0,size=8G\nunused0: l:vm-101-disk-7\n\n[snap]\nlock: create\nmemory: 1\n";
    const DISK: &str = "l:subvol-101-disk-0";

    fn found(volumes: &[&str]) -> AsFound {
        AsFound {
            config_sha256: Sha256::of(OLD.as_bytes()),
            meaning_sha256: Some(meaning(OLD.as_bytes())),
            volumes: volumes.iter().map(|volume| (*volume).to_owned()).collect(),
        }
    }

    fn now(volumes: &[&str]) -> Volumes {
        Volumes {
            volumes: volumes.iter().map(|volume| (*volume).to_owned()).collect(),
            storages: ["l".to_owned()].into(),
        }
    }

    #[test]
    fn what_pve_has_written_anew_is_the_same_guest() {
        let (found, all) = (found(&[DISK]), now(&[DISK]));
        let unlocked = REWRITTEN.replacen("lock: create\n", "", 1);
        for (text, expected) in [
            (OLD, Remains::Whole),
            (REWRITTEN, Remains::Locked),
            (&unlocked, Remains::Whole),
            // In doubt it is the former one: a line that PVE could not parse is gone, or was put together anew.
            (&REWRITTEN.replace("memory: 512\n", ""), Remains::Locked),
            (&unlocked.replace("memory: 512\n", ""), Remains::Whole),
            // What PVE writes where it takes a guest away.
            ("lock: create\n", Remains::Nothing),
            ("memory: 128\nlock: create", Remains::Nothing),
            ("memory: 128\n", Remains::Nothing),
            ("", Remains::Nothing),
        ] {
            assert_eq!(found.remains(text.as_bytes(), Some(&all)), expected, "{text}");
            assert_eq!(found.remains(text.as_bytes(), None), expected, "{text}");
            let elsewhere = Volumes::default();
            assert_eq!(found.remains(text.as_bytes(), Some(&elsewhere)), expected, "{text}: the storage is silent");
        }
        // The volume is gone, and another one made.
        let other = now(&["l:subvol-101-disk-1"]);
        assert_eq!(found.remains(REWRITTEN.as_bytes(), Some(&other)), Remains::Nothing);
        assert_eq!(found.remains(unlocked.replace("512", "513").as_bytes(), Some(&other)), Remains::Nothing);
    }

    #[test]
    fn without_a_volume_the_meaning_decides_and_without_that_the_doubt() {
        let none = found(&[]);
        let other = REWRITTEN.replace("512", "513");
        assert_eq!(none.remains(REWRITTEN.as_bytes(), Some(&now(&[]))), Remains::Locked);
        assert_eq!(none.remains(other.as_bytes(), Some(&now(&[]))), Remains::Nothing);
        let unknown = AsFound { meaning_sha256: None, ..none };
        assert_eq!(unknown.remains(other.as_bytes(), Some(&now(&[]))), Remains::Locked);
        assert_eq!(unknown.remains(b"memory: 128\nlock: create", Some(&now(&[]))), Remains::Nothing);
    }

    #[test]
    fn other_words_mean_something_else() {
        for (one, other) in [
            ("memory: 512\n", "memory: 513\n"),
            ("a: 1\n[s]\nb: 1\n", "a: 1\nb: 1\n"),
            ("a: 1\nlock: backup\n", "a: 1\n"),
            ("mp0: l:a,mp=/a\n", "mp0: l:a,mp=/b\n"),
            ("lxc.a: 1\nlxc.a: 2\n", "lxc.a: 2\n"),
        ] {
            assert_ne!(meaning(one.as_bytes()), meaning(other.as_bytes()), "{one}");
        }
    }
}
