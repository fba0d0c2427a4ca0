//! The journal: what a recovery was about to do and what came of it, on the disk before it goes on.
//!
//! Append-only lines `<checksum> <record>`, each checksum over the one before it and the record, so
//! that a line cannot be lost, changed or moved unnoticed. The end of a write that a power cut has torn
//! is dropped: what it said had not been relied on. Anything else that does not fit ends the run; it
//! is never guessed at.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use tenwords_protocol::{hash::Sha256, json};
use thiserror::Error;

use super::course::Event;
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    settings::Configuration,
};

/// The folder of the recovery that is going on, in the state folder.
const FOLDER: &str = "recovery";
const JOURNAL: &str = "journal";
const LIMIT: u64 = 64 << 20;
/// What stands before the first checksum.
const BEGINNING: &str = "tenwords-recovery-journal-1";

/// Why a journal cannot be gone on with.
#[derive(Debug, Error)]
pub(crate) enum JournalError {
    #[error("line {line} of {path} does not have its checksum: somebody or something has changed it")]
    Checksum { path: PathBuf, line: usize },
    #[error("line {line} of {path} cannot be understood")]
    Record { path: PathBuf, line: usize },
}

/// The journal, open at its end.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    last: String,
}

/// What a journal's text says.
struct Read {
    events: Vec<Event>,
    /// As far as it is whole.
    length: u64,
    last: String,
}

impl Journal {
    /// The folder with the journal and the plan.
    pub(crate) fn folder(configuration: &Configuration) -> PathBuf {
        configuration.state(FOLDER)
    }

    /// What it says, without touching it; nothing if there is none.
    pub(crate) fn look(configuration: &Configuration) -> Outcome<Vec<Event>> {
        let path = Self::folder(configuration).join(JOURNAL);
        Ok(load(&path)?.map(|read| read.events).unwrap_or_default())
    }

    /// Opens it, or begins it. A torn end is cut off.
    pub(crate) fn open(configuration: &Configuration) -> Outcome<(Self, Vec<Event>)> {
        let folder = Self::folder(configuration);
        let path = folder.join(JOURNAL);
        let cannot = || format!("the journal {} cannot be opened", path.display());
        durable::folder(&folder, 0o700).or_stop(Code::Preflight, cannot)?;
        let read = match load(&path)? {
            Some(read) => read,
            None => {
                match durable::create("journal", &path, 0o600, b"") {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(Stop::new(Code::Preflight, cannot()).because(error)),
                }
                Read { events: Vec::new(), length: 0, last: BEGINNING.to_owned() }
            }
        };
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .or_stop(Code::Preflight, cannot)?;
        file.set_len(read.length).and_then(|()| file.sync_data()).or_stop(Code::Preflight, cannot)?;
        Ok((Self { path, file, length: read.length, last: read.last }, read.events))
    }

    /// Keeps an event. When this returns, it is on the disk; if it fails, the journal is as it was.
    pub(crate) fn append(&mut self, event: &Event) -> Outcome<()> {
        let cannot = || format!("the journal {} cannot be written", self.path.display());
        let record = json::to_vec(event).or_stop(Code::Internal, cannot)?;
        let sum = checksum(&self.last, &record);
        let mut line = Vec::with_capacity(sum.len() + record.len() + 2);
        line.extend_from_slice(sum.as_bytes());
        line.push(b' ');
        line.extend_from_slice(&record);
        line.push(b'\n');
        durable::append(event.step(), &self.path, &self.file, self.length, &line)
            .or_stop(Code::Preflight, cannot)
            .map_err(|stop| stop.remedy("make room there, then run the same command again: it goes on where it was"))?;
        self.length += line.len() as u64;
        self.last = sum;
        Ok(())
    }

    /// Puts the whole folder aside, out of the way of another recovery.
    pub(crate) fn put_aside(configuration: &Configuration, name: &str) -> Outcome<PathBuf> {
        Self::move_aside(configuration, &Self::folder(configuration), name)
    }

    /// The same of a folder that was put aside before.
    pub(crate) fn move_aside(configuration: &Configuration, folder: &Path, name: &str) -> Outcome<PathBuf> {
        let cannot = || "the journal cannot be put aside".to_owned();
        let aside = configuration.state(&format!("{FOLDER}-{name}"));
        durable::place("journal-aside", folder, &aside).or_stop(Code::Preflight, cannot)?;
        Ok(aside)
    }

    /// The folders of recoveries that came to their end and were put aside since, each with what its journal says.
    pub(crate) fn ended(configuration: &Configuration) -> Outcome<Vec<(PathBuf, Vec<Event>)>> {
        let cannot = || "the state folder cannot be listed".to_owned();
        let mut ended = Vec::new();
        let entries = match fs::read_dir(configuration.state("")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ended),
            Err(error) => return Err(Stop::new(Code::Preflight, cannot()).because(error)),
        };
        for entry in entries {
            let path = entry.or_stop(Code::Preflight, cannot)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(&format!("{FOLDER}-ended-")) {
                let read = load(&path.join(JOURNAL))?;
                ended.push((path, read.map(|read| read.events).unwrap_or_default()));
            }
        }
        Ok(ended)
    }
}

fn load(path: &Path) -> Outcome<Option<Read>> {
    let cannot = || format!("the journal {} cannot be read", path.display());
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Stop::new(Code::Preflight, cannot()).because(error)),
        Ok(_) => {}
    }
    let text = durable::read_limited(path, LIMIT).or_stop(Code::Preflight, cannot)?;
    read(path, &text).map(Some).map_err(|error| {
        Stop::new(Code::Preflight, "what this recovery has done cannot be told from its journal").because(error).remedy(
            "nothing was touched. `tenwords-agent recover --abort` puts the journal aside; what was restored stays, and \
             what was left unfinished is then removed by hand",
        )
    })
}

fn read(path: &Path, text: &[u8]) -> Result<Read, JournalError> {
    let mut read = Read { events: Vec::new(), length: 0, last: BEGINNING.to_owned() };
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        let record = whole(line, &read.last);
        let Some((sum, record)) = record else {
            // The last one may be torn, also one that got its end but not its middle.
            if lines.peek().is_none() {
                break;
            }
            return Err(JournalError::Checksum { path: path.to_owned(), line: number });
        };
        let event =
            json::from_slice(record).map_err(|_| JournalError::Record { path: path.to_owned(), line: number })?;
        read.events.push(event);
        read.length += line.len() as u64;
        read.last = sum;
    }
    Ok(read)
}

/// The checksum and the record of a line that is whole.
fn whole<'l>(line: &'l [u8], last: &str) -> Option<(String, &'l [u8])> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, record) = line.split_at_checked(SUM)?;
    let record = record.strip_prefix(b" ")?;
    let right = checksum(last, record);
    (right.as_bytes() == sum).then_some((right, record))
}

fn checksum(last: &str, record: &[u8]) -> String {
    let mut bytes = last.as_bytes().to_vec();
    bytes.push(b'\n');
    bytes.extend_from_slice(record);
    Sha256::of(&bytes).to_string()
}

/// Digits of a checksum.
const SUM: usize = 64;

#[cfg(test)]
mod tests {
    use tenwords_protocol::time::Timestamp;

    use super::*;
    use crate::recover::course::ItemId;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn lines() -> Result<(Vec<Event>, Vec<u8>), Box<dyn std::error::Error>> {
        let at: Timestamp = "2026-03-03T12:00:00Z".parse()?;
        let events = vec![
            Event::Proven { at },
            Event::Failed { at, item: ItemId(3), why: "the disk\nis full".into() },
            Event::Cleared { at, item: ItemId(3) },
        ];
        let mut text = Vec::new();
        let mut last = BEGINNING.to_owned();
        for event in &events {
            let record = json::to_vec(event)?;
            last = checksum(&last, &record);
            text.extend_from_slice(last.as_bytes());
            text.push(b' ');
            text.extend_from_slice(&record);
            text.push(b'\n');
        }
        Ok((events, text))
    }

    #[test]
    fn cut_anywhere_it_says_what_was_whole() -> Tested {
        let (events, text) = lines()?;
        let ends: Vec<usize> = text.iter().zip(1..).filter(|(byte, _)| **byte == b'\n').map(|(_, end)| end).collect();
        for cut in 0..=text.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let read = read(Path::new("j"), &text[..cut])?;
            assert_eq!(read.events, events[..whole], "cut at {cut}");
            assert_eq!(read.length, if whole == 0 { 0 } else { ends[whole - 1] } as u64, "cut at {cut}");
        }
        Ok(())
    }

    #[test]
    fn a_torn_end_of_any_content_is_dropped() -> Tested {
        let (events, text) = lines()?;
        for tail in [&b"\0\0\0\0"[..], b"\n", b"0000 {}\n", &[0xff; 300]] {
            let mut torn = text.clone();
            torn.extend_from_slice(tail);
            let read = read(Path::new("j"), &torn)?;
            assert_eq!((read.events, read.length), (events.clone(), text.len() as u64));
        }
        Ok(())
    }

    #[test]
    fn a_changed_lost_or_moved_line_ends_it() -> Tested {
        let (_, text) = lines()?;
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let last = lines[2].len();
        // Every byte but those of the last line and the end of the one before it: that might be one torn line.
        for position in 0..text.len() - last - 1 {
            let mut changed = text.clone();
            changed[position] ^= 1;
            assert!(read(Path::new("j"), &changed).is_err(), "byte {position}");
        }
        for order in [vec![1, 0, 2], vec![0, 2, 2], vec![1, 2, 2], vec![0, 0, 1, 2]] {
            let moved: Vec<u8> = order.iter().flat_map(|line| lines[*line].to_vec()).collect();
            assert!(read(Path::new("j"), &moved).is_err(), "{order:?}");
        }
        Ok(())
    }
}
