//! A guest's configuration: lines of `key: value`, up to the first section of a snapshot.

use std::{collections::BTreeMap, fs::File, io::Read as _};

/// As PVE writes a configuration that it has read, whatever it looked like: in each section the description first, then
/// its keys in their order; pending changes, then snapshots by name. Of two lines with one key the later counts, and
/// what cannot be parsed is gone. PVE's lock is in it, or not.
pub(crate) fn rewritten(text: &str, lock: Option<&str>) -> String {
    let mut sections: BTreeMap<String, Section> = BTreeMap::from([(String::new(), Section::default())]);
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match line.trim_end().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(section) => name = section.to_owned(),
            None => sections.entry(name.clone()).or_default().read(line),
        }
    }
    let main = sections.remove("").unwrap_or_default().with_lock(lock);
    let mut written = main.text();
    let mut others: Vec<(String, Section)> = sections.into_iter().collect();
    others.sort_by_key(|(name, _)| !name.to_lowercase().ends_with("pending"));
    for (name, section) in others {
        written.push_str(&format!("\n[{name}]\n{}", section.text()));
    }
    written
}

#[derive(Default)]
struct Section {
    description: Vec<String>,
    keys: BTreeMap<String, String>,
    raw: Vec<String>,
}

impl Section {
    fn read(&mut self, line: &str) {
        if let Some(comment) = line.strip_prefix('#') {
            return self.description.push(comment.replace(':', "%3A"));
        }
        let Some((key, value)) = line.split_once(':') else { return };
        let value = value.trim();
        let name = key.trim_end_matches(|c: char| c.is_ascii_digit());
        if key == "description" {
            self.description.push(value.to_owned());
        } else if key.starts_with("lxc.") {
            self.raw.push(format!("{key}: {value}"));
        } else if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-')) {
            let value = match value {
                "on" | "yes" | "true" if BOOLEANS.contains(&key) => "1",
                "off" | "no" | "false" if BOOLEANS.contains(&key) => "0",
                value => value,
            };
            self.keys.insert(key.to_owned(), value.to_owned());
        }
    }

    fn with_lock(mut self, lock: Option<&str>) -> Self {
        self.keys.remove("lock");
        self.keys.extend(lock.map(|lock| ("lock".to_owned(), lock.to_owned())));
        self
    }

    fn text(&self) -> String {
        let is_used = |value: &str| {
            self.keys.iter().any(|(key, other)| !key.starts_with("unused") && volume(other) == volume(value))
        };
        let keys = self.keys.iter().filter(|(key, value)| !(key.starts_with("unused") && is_used(value)));
        let description = self.description.iter().map(|line| format!("#{line}\n"));
        let keys = keys.map(|(key, value)| format!("{key}: {value}\n"));
        description.chain(keys).chain(self.raw.iter().map(|line| format!("{line}\n"))).collect()
    }
}

const BOOLEANS: [&str; 5] = ["agent", "onboot", "protection", "template", "unprivileged"];

/// The part before the first `[section]`.
pub(crate) fn main_part(text: &str) -> &str {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with('[') {
            break;
        }
        end += line.len();
    }
    &text[..end]
}

/// Keys and values, comments left out.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    main_part(text)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
}

/// One value.
pub(crate) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    entries(text).find(|(found, _)| *found == key).map(|(_, value)| value)
}

/// The volume of a drive or mount point, and one of its options.
pub(crate) fn volume(value: &str) -> &str {
    value.split(',').next().unwrap_or(value).trim_start_matches("file=").trim_start_matches("volume=")
}

/// `name=…` of a drive, mount point or network card.
pub(crate) fn option<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(',').filter_map(|part| part.split_once('=')).find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// The same with `name=…` set to something else.
pub(crate) fn with_option(value: &str, name: &str, new: &str) -> String {
    let parts = value.split(',').map(|part| match part.split_once('=') {
        Some((found, _)) if found == name => format!("{name}={new}"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(",")
}

/// The same with another volume.
pub(crate) fn with_volume(value: &str, volume: &str) -> String {
    match value.split_once(',') {
        Some((_, rest)) => format!("{volume},{rest}"),
        None => volume.to_owned(),
    }
}

/// A size as PVE writes it (`8G`, `512M`, `4194304K`, bytes).
pub(crate) fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'K') => (&text[..at], 1 << 10),
        (at, 'M') => (&text[..at], 1 << 20),
        (at, 'G') => (&text[..at], 1 << 30),
        (at, 'T') => (&text[..at], 1 << 40),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// A network card's address in Proxmox's own range.
pub(crate) fn random_ether_addr() -> String {
    let [a, b, c, ..] = random();
    format!("BC:24:11:{a:02X}:{b:02X}:{c:02X}")
}

/// A random UUID.
pub(crate) fn random_uuid() -> String {
    let mut bytes = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // A fixture's address is no secret: zeros serve where the system has no generator.
    let _ = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#a note\nmemory: 512\nnet0: name=eth0,bridge=vmbr0,hwaddr=AA:BB:CC:DD:EE:FF\n\
                        rootfs: local:100/x.raw,size=8G\n\n[before]\nmemory: 1\n";

    #[test]
    fn snapshots_are_left_out() {
        assert_eq!(value(TEXT, "memory"), Some("512"));
        assert_eq!(entries(TEXT).count(), 3);
        assert!(!main_part(TEXT).contains("[before]"));
    }

    #[test]
    fn what_is_written_again_is_in_pves_order() {
        let by_hand = "memory: 512\n\nlxc.idmap: u 0 1 2\n# what: it is\nhostname: a\nnonsense\nonboot: yes\nhostname: b\n\
                       unused0: l:900/a\nrootfs: l:900/a,size=1G\n[snap]\nb: 1\na: 1\n[pve:pending]\nmemory: 1\n";
        let sorted = "# what%3A it is\nhostname: b\nlock: create\nmemory: 512\nonboot: 1\nrootfs: l:900/a,size=1G\n\
                      lxc.idmap: u 0 1 2\n\n[pve:pending]\nmemory: 1\n\n[snap]\na: 1\nb: 1\n";
        assert_eq!(rewritten(by_hand, Some("create")), sorted);
        assert_eq!(rewritten(sorted, None), sorted.replace("lock: create\n", ""));
    }

    #[test]
    fn parts_of_values() {
        let root = value(TEXT, "rootfs").unwrap_or_default();
        assert_eq!((volume(root), option(root, "size").and_then(size)), ("local:100/x.raw", Some(8 << 30)));
        assert_eq!(with_volume(root, "s:1"), "s:1,size=8G");
        assert_eq!(with_option("a=1,b=2", "b", "3"), "a=1,b=3");
        assert_eq!(size("nonsense"), None);
    }
}
