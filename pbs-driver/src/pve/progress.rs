//! What `pct restore` and `qmrestore` print while they work, read line by line as it comes.
//!
//! Texts and their order are those of pve-container 6.1.10, qemu-server 9.2.6, pve-qemu's
//! `pbs-restore` and the library below it (`docs/findings/pve-restore.md`). A line that is none of
//! them is kept, scrubbed and bounded; it changes nothing. For a container PVE prints no progress at
//! all: what moves there is only the kernel's count of what its processes have written.

use std::time::Duration;

use tenwords_protocol::fingerprint::ShortFingerprint;

use crate::scrub::scrub;

/// How far the restore of a guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestProgress {
    /// Since its start.
    pub elapsed: Duration,
    /// What is being done.
    pub step: Step,
    /// The disk at hand, once `pbs-restore` has spoken of it.
    pub disk: Option<DiskProgress>,
    /// Bytes that all processes of the restore have written so far, by the kernel's count, to
    /// anything: for a container the only sign of how far it is.
    pub written: u64,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Nothing was said yet.
    Start,
    /// The backed-up configuration is fetched, volumes are made.
    Configuration,
    /// A container's files are extracted.
    Tree,
    /// A disk is written: the how-manyth, from 1.
    Disk(usize),
    /// The new configuration is put together.
    Merging,
}

/// How far one disk is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskProgress {
    /// Its archive in the backup (`drive-scsi0.img.fidx`).
    pub archive: String,
    /// Of its chunks.
    pub percent: u8,
    /// Bytes read so far, those of zeros included.
    pub bytes: u64,
    /// Of these, how many are zero.
    pub zeroes: u64,
    /// Bytes a second since this disk was begun, as far as the program's whole seconds tell.
    pub speed: Option<u64>,
}

/// Reads what comes, in pieces of any size.
#[derive(Debug)]
pub(crate) struct Reader {
    line: Vec<u8>,
    /// The rest of a line that is too long is thrown away.
    skipping: bool,
    pub(crate) step: Step,
    disks: usize,
    pub(crate) disk: Option<DiskProgress>,
    /// Volumes that were made, and not removed again.
    pub(crate) volumes: Vec<String>,
    /// The keys that the client said it used.
    pub(crate) keys: Vec<ShortFingerprint>,
    /// Whether the line before said that a key is used: the next one names it.
    names_key: bool,
    pub(crate) other: Vec<String>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            line: Vec::new(),
            skipping: false,
            step: Step::Start,
            disks: 0,
            disk: None,
            volumes: Vec::new(),
            keys: Vec::new(),
            names_key: false,
            other: Vec::new(),
        }
    }

    /// The next bytes. `secrets` never get into what is kept.
    pub(crate) fn push(&mut self, bytes: &[u8], secrets: &[&str]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, ended) = match piece.split_last() {
                Some((b'\n' | b'\r', text)) => (text, true),
                _ => (piece, false),
            };
            if !self.skipping {
                let room = MAX_LINE.saturating_sub(self.line.len()).min(text.len());
                self.line.extend_from_slice(&text[..room]);
                self.skipping = room < text.len();
            }
            if ended {
                self.finish(secrets);
            }
        }
    }

    /// The end of a line.
    pub(crate) fn finish(&mut self, secrets: &[&str]) {
        self.skipping = false;
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty() && !self.understand(text) && self.other.len() < MAX_OTHER {
            self.other.push(scrub(text.as_bytes(), secrets));
        }
    }

    /// Whether the line is one of those that are known.
    fn understand(&mut self, line: &str) -> bool {
        let names_key = std::mem::replace(&mut self.names_key, line.starts_with(USING_KEY));
        if self.names_key {
            return true;
        }
        if let Some(fingerprint) = line.strip_prefix("Fingerprint: ").filter(|_| names_key) {
            match fingerprint.parse() {
                Ok(key) if !self.keys.contains(&key) && self.keys.len() < MAX_KEYS => self.keys.push(key),
                Ok(_) => {}
                Err(_) => return false,
            }
        } else if line.starts_with("recovering backed-up configuration from '") {
            self.step = Step::Configuration;
        } else if line.starts_with("restoring '") && line.ends_with("' now..") {
            self.step = Step::Tree;
        } else if line == "merging backed-up and given configuration.." || line == "rescan volumes..." {
            self.step = Step::Merging;
        } else if let Some(volid) = quoted(line, "new volume ID is '", "'").filter(|volid| is_volume(volid)) {
            self.step = Step::Configuration;
            if self.volumes.len() < MAX_VOLUMES {
                self.volumes.push(scrub(volid.as_bytes(), &[]));
            }
        } else if let Some(volid) = quoted(line, "temporary volume '", "' successfully removed") {
            self.volumes.retain(|volume| volume != volid);
        } else if let Some(command) = line.strip_prefix("restore proxmox backup image: ") {
            self.disks += 1;
            self.step = Step::Disk(self.disks);
            let archive = command.split(' ').find(|word| word.ends_with(".img.fidx")).unwrap_or_default();
            self.disk = Some(DiskProgress { archive: scrub(archive.as_bytes(), &[]), ..DiskProgress::default() });
        } else if let Some(numbers) = quoted(line, "progress ", " sec)") {
            return self.disk.as_mut().is_some_and(|disk| disk.read(numbers).is_some());
        } else if let Some(numbers) = quoted(line, "restore image complete (bytes=", "MB/s)") {
            return self.disk.as_mut().is_some_and(|disk| disk.complete(numbers).is_some());
        } else {
            return PBS_RESTORE.iter().any(|known| line.starts_with(known)) || line.starts_with("Formatting '");
        }
        true
    }
}

impl DiskProgress {
    /// `P% (read N bytes, zeroes = Z% (M bytes), duration S`
    fn read(&mut self, numbers: &str) -> Option<()> {
        let (percent, rest) = numbers.split_once("% (read ")?;
        let (bytes, rest) = rest.split_once(" bytes, zeroes = ")?;
        let (zeroes, seconds) = rest.split_once("% (")?.1.split_once(" bytes), duration ")?;
        let percent: u8 = percent.parse().ok().filter(|percent| *percent <= 100)?;
        let bytes: u64 = bytes.parse().ok()?;
        let zeroes = zeroes.parse().ok().filter(|zeroes| *zeroes <= bytes)?;
        let seconds: u64 = seconds.parse().ok()?;
        self.speed = bytes.checked_div(seconds);
        (self.percent, self.bytes, self.zeroes) = (percent, bytes, zeroes);
        Some(())
    }

    /// `N, duration=Ds, speed=V`
    fn complete(&mut self, numbers: &str) -> Option<()> {
        let (bytes, rest) = numbers.split_once(", duration=")?;
        let speed: f64 = rest.split_once("s, speed=")?.1.parse().ok()?;
        self.bytes = bytes.parse().ok()?;
        self.percent = 100;
        // A float that is too large, or none at all, becomes the nearest number.
        self.speed = Some((speed * 1024.0 * 1024.0) as u64);
        Some(())
    }
}

fn quoted<'a>(line: &'a str, start: &str, end: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix(end)
}

/// `<storage>:<volume>` as PVE names them. What a server says stands among these lines too, with line feeds
/// of its own, and a volume's name ends up in a command that a person is told to run.
fn is_volume(text: &str) -> bool {
    let plain = |part: &str, more: &[u8]| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || more.contains(&byte))
    };
    text.split_once(':').is_some_and(|(storage, volume)| plain(storage, b"") && plain(volume, b"/@+:"))
}

const USING_KEY: &str = "Using encryption key from file descriptor..";
/// What `pbs-restore --verbose` says before it has anything to tell.
const PBS_RESTORE: [&str; 6] = [
    "connecting to repository '",
    "download and verify backup index",
    "fetching up to ",
    "open block backend for target '",
    "starting to restore snapshot '",
    "using up to ",
];
/// Longer than any path in any of these lines.
const MAX_LINE: usize = 16 * 1024;
const MAX_OTHER: usize = 200;
const MAX_VOLUMES: usize = 1024;
const MAX_KEYS: usize = 16;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(text: &str, piece: usize) -> Reader {
        let mut reader = Reader::new();
        for piece in text.as_bytes().chunks(piece) {
            reader.push(piece, &["a-secret-token"]);
        }
        reader.finish(&[]);
        reader
    }

    const MACHINE: &str = "\
Formatting '/var/lib/vz/images/901/vm-901-disk-0.raw', fmt=raw size=20971520 preallocation=off
new volume ID is 'local:901/vm-901-disk-0.raw'
new volume ID is 'local:901/vm-901-disk-1.raw'
restore proxmox backup image: /usr/bin/pbs-restore --repository u@pbs!t@h:store vm/101/2026-01-01T00:00:00Z drive-scsi0.img.fidx /x --verbose --format raw
connecting to repository 'u@pbs!t@h:store'
using up to 4 threads
open block backend for target '/x'
starting to restore snapshot 'vm/101/2026-01-01T00:00:00Z'
download and verify backup index
fetching up to 16 chunks in parallel
progress 20% (read 4194304 bytes, zeroes = 50% (2097152 bytes), duration 2 sec)
";

    #[test]
    fn a_disks_progress_is_read_in_pieces_of_any_size() {
        for piece in [1, 7, 4096] {
            let reader = read(MACHINE, piece);
            let disk = reader.disk.unwrap();
            assert_eq!((disk.archive.as_str(), disk.percent, disk.bytes), ("drive-scsi0.img.fidx", 20, 4_194_304));
            assert_eq!((disk.zeroes, disk.speed), (2_097_152, Some(2_097_152)));
            assert_eq!(reader.step, Step::Disk(1));
            assert_eq!(reader.volumes.len(), 2);
            assert_eq!(reader.other, Vec::<String>::new());
        }
        let done = format!(
            "{MACHINE}restore image complete (bytes=20971520, duration=0.16s, speed=125.00MB/s)\nrescan volumes...\n\
             temporary volume 'local:901/vm-901-disk-1.raw' successfully removed\n"
        );
        let reader = read(&done, 100);
        let disk = reader.disk.unwrap();
        assert_eq!((disk.percent, disk.bytes, disk.speed), (100, 20_971_520, Some(125 << 20)));
        assert_eq!((reader.step, reader.volumes.len()), (Step::Merging, 1));
    }

    #[test]
    fn numbers_that_cannot_be_change_nothing() {
        for line in [
            "progress 101% (read 1 bytes, zeroes = 0% (0 bytes), duration 1 sec)",
            "progress 1% (read 1 bytes, zeroes = 0% (2 bytes), duration 1 sec)",
            "progress -1% (read x bytes, zeroes = 0% (0 bytes), duration 1 sec)",
            "progress 1% (read 99999999999999999999 bytes, zeroes = 0% (0 bytes), duration 1 sec)",
            "restore image complete (bytes=x, duration=1s, speed=1MB/s)",
            "progress ",
        ] {
            let reader = read(&format!("{MACHINE}{line}\n"), 64);
            assert_eq!(reader.disk.unwrap().percent, 20, "{line}");
            assert_eq!(reader.other.len(), 1, "{line}");
        }
        assert_eq!(read("progress 1% (read 1 bytes, zeroes = 0% (0 bytes), duration 1 sec)\n", 9).disk, None);
    }

    #[test]
    fn a_volume_that_a_server_makes_up_gets_into_no_command() {
        for volume in
            ["x:y; reboot", "x:$(reboot)", "x:`reboot`", "x:y'|sh #", "-f", "x:-f", "x:", ":y", "x", "x:a\u{202e}b"]
        {
            let reader = read(&format!("Error: no\nnew volume ID is '{volume}'\n"), 64);
            assert_eq!(reader.volumes, Vec::<String>::new(), "{volume}");
        }
        let named = [
            "local:901/vm-901-disk-0.raw",
            "zfs:subvol-101-disk-0",
            "lvm_thin:vm-1-disk-1",
            "rbd-1:base-9-disk-0/vm-1-disk-0",
        ];
        for volume in named {
            assert_eq!(read(&format!("new volume ID is '{volume}'\n"), 64).volumes, [volume]);
        }
    }

    #[test]
    fn a_key_is_named_only_by_the_line_that_follows() {
        let named = "Using encryption key from file descriptor..\nFingerprint: 1a:8d:27:c9:81:68:f6:3b\n";
        assert_eq!(read(named, 10).keys.len(), 1);
        assert_eq!(read(&named.replace("..\n", "..\nsomething\n"), 10).keys.len(), 0);
        assert_eq!(read("Fingerprint: 1a:8d:27:c9:81:68:f6:3b\n", 10).keys.len(), 0);
    }

    #[test]
    fn s71_what_is_kept_of_strange_lines_is_clean_and_bounded() {
        let reader = read("a\u{1b}[2Jb \u{202e}c\nsaid a-secret-token\n", 3);
        assert_eq!(reader.other, ["a [2Jb c", crate::scrub::WITHHELD]);
        let mut reader = Reader::new();
        for _ in 0..1000 {
            reader.push(&b"x".repeat(64 * 1024), &[]);
        }
        assert!(reader.line.len() <= MAX_LINE && reader.line.capacity() <= 4 * MAX_LINE);
        for _ in 0..100_000 {
            reader.push(b"y\n", &[]);
        }
        assert_eq!(reader.other.len(), MAX_OTHER);
    }
}
