//! `.pxarexclude`: lists of what a folder's owner does not want stored, read as the client reads
//! them (`formats.md` §8.7), with the client's own library of patterns.
//!
//! | line | means |
//! | --- | --- |
//! | empty, or after `#` | nothing |
//! | `pattern` | left out, at any depth at or below this folder, whatever lies above it |
//! | `/pattern` | left out at this place, by the whole path |
//! | `!pattern`, `!/pattern` | stored all the same |
//! | `pattern/` | folders only |
//!
//! The last pattern that fits decides, and a folder's own list comes after those above it. What is
//! in a folder that is left out is not looked at, its list neither. The list itself is a file like
//! any other, and is stored.
//!
//! As in the client, the folder's path stands before `/pattern` as it is, and that counts as part of
//! the pattern.

use std::{fs::File, io::Read as _, os::fd::BorrowedFd};

use pathpatterns::{MatchEntry, MatchFlag, MatchType, ParseError, PatternFlag};
use rustix::{
    fs::{Mode, OFlags, openat},
    io::Errno,
};

/// The name of a list.
pub(super) const LIST: &str = ".pxarexclude";
/// The name under which the client stores the patterns of its command line, in the root: a file of
/// this name there is left out, as it would be taken for those.
pub(super) const OF_COMMAND_LINE: &str = ".pxarexclude-cli";
/// Bytes of a list that are read. A longer one is not followed at all.
const MAX_LIST: u64 = 1 << 20;
/// Bytes of a pattern that is followed, the path before a `/pattern` included.
const MAX_PATTERN: usize = 4096;

/// The patterns of the folders that are open, outermost first.
#[derive(Debug, Default)]
pub(super) struct Excludes {
    entries: Vec<MatchEntry>,
}

/// What kept a list, or a line of it, from being followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfollowed {
    #[error("the list cannot be read: {0}")]
    Read(std::io::Error),
    #[error("it is no file")]
    Kind,
    #[error("the list is longer than {MAX_LIST} bytes")]
    TooLong,
    #[error("bad pattern in line {line}: {source}")]
    Pattern { line: usize, source: BadPattern },
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BadPattern {
    #[error("{0}")]
    Parse(ParseError),
    #[error("a [ without its ]")]
    Unclosed,
    #[error("more than {MAX_PATTERN} bytes")]
    TooLong,
}

impl Excludes {
    /// How many patterns there are: what [`Self::truncate`] takes when the folder is left.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
    }

    /// Takes in the list of a folder, if it has one; `path` is the folder's, from the stored one.
    pub(super) fn read(&mut self, folder: BorrowedFd<'_>, path: &[u8]) -> Vec<Unfollowed> {
        let content = match content(folder) {
            Ok(Some(content)) => content,
            Ok(None) => return Vec::new(),
            Err(why) => return vec![why],
        };
        let mut unfollowed = Vec::new();
        for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match entry(line, path) {
                Ok(entry) => self.entries.push(entry),
                Err(source) => unfollowed.push(Unfollowed::Pattern { line: number + 1, source }),
            }
        }
        unfollowed
    }

    /// Whether an entry is left out; its path is from the stored folder.
    pub(super) fn leave_out(&self, path: &[u8], mode: u32) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        let path = [b"/", path].concat();
        let last = self.entries.iter().rev().find(|entry| entry.matches(&path, Some(mode)));
        last.is_some_and(|entry| entry.match_type() == MatchType::Exclude)
    }
}

fn entry(line: &[u8], path: &[u8]) -> Result<MatchEntry, BadPattern> {
    let (line, kind) = match line.strip_prefix(b"!") {
        Some(rest) => (rest, MatchType::Include),
        None => (line, MatchType::Exclude),
    };
    if line.starts_with(b"/") {
        return Ok(parse(&[path, line].concat(), kind)?.add_flags(MatchFlag::ANCHORED));
    }
    parse(line, kind)
}

/// The library panics where a `[` is never closed (0.1.2, and with it the client), and goes as deep
/// as a pattern is long.
fn parse(pattern: &[u8], kind: MatchType) -> Result<MatchEntry, BadPattern> {
    if pattern.len() > MAX_PATTERN {
        return Err(BadPattern::TooLong);
    }
    if is_unclosed(pattern) {
        return Err(BadPattern::Unclosed);
    }
    MatchEntry::parse_pattern(pattern, PatternFlag::PATH_NAME, kind).map_err(BadPattern::Parse)
}

fn is_unclosed(pattern: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        at = match byte {
            b'\\' => at + 2,
            b'[' => match class_end(pattern, at + 1) {
                Some(end) => end + 1,
                None => return true,
            },
            _ => at + 1,
        };
    }
    false
}

/// Where the `]` of a class is whose content begins at `at`. A range's end and what stands after a
/// backslash close nothing.
fn class_end(pattern: &[u8], mut at: usize) -> Option<usize> {
    at += usize::from(pattern.get(at) == Some(&b'^'));
    let mut before = false;
    loop {
        match pattern.get(at)? {
            b']' => return Some(at),
            // `[:alpha:]`; with another name the library refuses the pattern.
            b'[' if pattern.get(at + 1) == Some(&b':') => {
                at += 1 + pattern.get(at + 1..)?.iter().position(|byte| *byte == b']')?;
                before = false;
            }
            b'-' if before => {
                at += 1 + usize::from(pattern.get(at + 1) == Some(&b'\\'));
                before = false;
            }
            byte => {
                at += usize::from(*byte == b'\\');
                before = true;
            }
        }
        at += 1;
    }
}

/// A symbolic link is followed, as the client does. A pipe is not waited for, other than there.
fn content(folder: BorrowedFd<'_>) -> Result<Option<Vec<u8>>, Unfollowed> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(folder, LIST, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(Unfollowed::Read(error.into())),
    };
    let kind = file.metadata().map_err(Unfollowed::Read)?.file_type();
    if !kind.is_file() {
        return Err(Unfollowed::Kind);
    }
    let mut content = Vec::new();
    file.take(MAX_LIST + 1).read_to_end(&mut content).map_err(Unfollowed::Read)?;
    if content.len() as u64 > MAX_LIST { Err(Unfollowed::TooLong) } else { Ok(Some(content)) }
}
