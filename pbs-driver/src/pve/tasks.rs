//! Which backup tasks have ended on this node, from the index that PVE keeps of its tasks.
//!
//! PVE (pve-common `PVE/RESTEnvironment.pm`, `active_workers`) appends a line to `/var/log/pve/tasks/index`
//! for each task that has ended, `<UPID> <end, eight hex digits> <status>`, some seconds after its end, and
//! renames the file to `index.1` when it passes 50 000 bytes. A UPID (`PVE/UPID.pm`) is
//! `UPID:<node>:<pid>:<pstart>:<start>:<type>:<id>:<user>:`, numbers in hex.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Where PVE keeps it.
pub const INDEX: &str = "/var/log/pve/tasks/index";

/// A task that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedTask {
    /// `vzdump`, `qmrestore`, …
    pub kind: String,
    /// Which guest; a backup of several has none.
    pub id: String,
    /// When, in Unix time.
    pub ended_at: i64,
    /// Whether PVE counts it as done: `OK`, or with warnings.
    pub is_done: bool,
}

/// The index, read on from where it was read to.
#[derive(Debug)]
pub struct TaskIndex {
    path: PathBuf,
    /// The file that was read, and how far.
    read: Option<((u64, u64), u64)>,
}

impl TaskIndex {
    /// What stands in it by now is over, and is not told.
    #[must_use]
    pub fn at_its_end(path: &Path) -> Self {
        let read = std::fs::metadata(path).ok().map(|found| ((found.dev(), found.ino()), found.len()));
        Self { path: path.to_owned(), read }
    }

    /// Whether a backup has ended since the last look. Where lines cannot be known any more, since the file
    /// was renamed meanwhile or grew by too much, one may have.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn has_backup_ended(&mut self) -> io::Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.read.take().is_some()),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        let (place, length) = ((found.dev(), found.ino()), found.len());
        let (from, is_another) = match self.read {
            Some((before, read)) if before == place && read <= length => (read, false),
            Some(_) => (0, true),
            // There was none: all of it is new.
            None => (0, false),
        };
        if length.saturating_sub(from) > LIMIT {
            self.read = Some((place, length));
            return Ok(true);
        }
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes)?;
        // A line that is still being written is read the next time.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.read = Some((place, from + whole as u64));
        Ok(is_another || ended(&bytes[..whole]).any(|task| task.kind == BACKUP))
    }
}

/// The tasks of an index's text; a line that is none is passed over.
pub fn ended(text: &[u8]) -> impl Iterator<Item = EndedTask> + '_ {
    text.split(|byte| *byte == b'\n').filter_map(|line| line_of(std::str::from_utf8(line).ok()?))
}

fn line_of(line: &str) -> Option<EndedTask> {
    let (upid, rest) = line.split_once(' ')?;
    let (end, status) = rest.split_once(' ')?;
    let parts: Vec<&str> = upid.split(':').collect();
    let ["UPID", _node, pid, pstart, start, kind, id, _user, ""] = parts[..] else { return None };
    let is_hex = |text: &str| !text.is_empty() && text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if ![pid, pstart, start, end].into_iter().all(is_hex) {
        return None;
    }
    Some(EndedTask {
        kind: kind.to_owned(),
        id: id.to_owned(),
        ended_at: i64::from_str_radix(end, 16).ok()?,
        is_done: status == "OK" || status.starts_with("WARNINGS: "),
    })
}

const BACKUP: &str = "vzdump";
/// Of lines that are new; PVE starts another file long before.
const LIMIT: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    const BACKUP_OK: &str = "UPID:pve1:001178F1:00DFDA72:65BAD0F0:vzdump::root@pam: 65BAD11C OK\n";
    const RESTORE: &str = "UPID:pve1:0011A000:00DFDB00:65BAD200:qmrestore:101:root@pam: 65BAD300 OK\n";

    fn add(path: &Path, text: &str) -> io::Result<()> {
        fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
    }

    #[test]
    fn a_line_is_read_as_pve_writes_it() {
        let tasks: Vec<EndedTask> = ended(
            b"UPID:pve1:001178F1:00DFDA72:65BAD0F0:vzdump:101:root@pam!cron: 65BAD11C job errors\n\
              UPID:pve1:001178F1:00DFDA72:65BAD0F0:vzdump::root@pam: 65BAD11C WARNINGS: 1\n",
        )
        .collect();
        let task =
            |id: &str, is_done| EndedTask { kind: "vzdump".into(), id: id.into(), ended_at: 0x65BA_D11C, is_done };
        assert_eq!(tasks, [task("101", false), task("", true)]);
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        for line in [
            "",
            "UPID",
            "UPID:pve1:001178F1:00DFDA72:65BAD0F0:vzdump::root@pam:",
            "UPID:pve1:001178F1:00DFDA72:65BAD0F0:vzdump::root@pam: 65BAD11C",
            "UPID:pve1:xyz:00DFDA72:65BAD0F0:vzdump::root@pam: 65BAD11C OK",
            "UPID:pve1:001178F1:00DFDA72:65BAD0F0:vzdump::root@pam: FFFFFFFFFFFFFFFF OK",
            "UPID:pve1:001178F1:00DFDA72:65BAD0F0:vzdump::root@pam: -5BAD11C OK",
            "UPID:pve1:001178F1:00DFDA72:65BAD0F0:vzdump:root@pam: 65BAD11C OK",
            "\u{202e}UPID:a:1:1:1:vzdump::u: 1 OK",
        ] {
            assert_eq!(ended(line.as_bytes()).count(), 0, "{line}");
        }
        assert_eq!(ended(b"\xff\xfe\n\0\0\n").count(), 0);
    }

    #[test]
    fn a_backup_is_told_once_and_what_is_over_never() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("index");
        add(&path, BACKUP_OK)?;
        let mut index = TaskIndex::at_its_end(&path);
        assert!(!index.has_backup_ended()?, "it ended before");
        add(&path, RESTORE)?;
        assert!(!index.has_backup_ended()?, "a restore is no backup");
        let (torn, rest) = BACKUP_OK.split_at(30);
        add(&path, torn)?;
        assert!(!index.has_backup_ended()?, "half a line is none");
        add(&path, rest)?;
        assert!(index.has_backup_ended()?);
        assert!(!index.has_backup_ended()?, "it was told twice");
        Ok(())
    }

    #[test]
    fn where_lines_cannot_be_known_a_backup_may_have_ended() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("index");
        let mut index = TaskIndex::at_its_end(&path);
        assert!(!index.has_backup_ended()?, "there is no index");
        add(&path, RESTORE)?;
        assert!(!index.has_backup_ended()?);
        fs::rename(&path, folder.path().join("index.1"))?;
        assert!(index.has_backup_ended()?, "it was renamed");
        assert!(!index.has_backup_ended()?);
        add(&path, &RESTORE.repeat(LIMIT as usize / RESTORE.len() + 1))?;
        assert!(index.has_backup_ended()?, "it grew by too much");
        assert!(!index.has_backup_ended()?);
        Ok(())
    }
}
