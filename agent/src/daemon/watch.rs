//! The look at files, every twenty seconds: which of those that the escrow hangs on are other than they were.
//!
//! pmxcfs tells nobody of what another node has written, so there is nothing to wait for. A look costs a
//! `stat` for each file, and its bytes only where that is another, or where it could not be another yet:
//! pmxcfs knows whole seconds only, so a file that was just written is read again until it has aged.
//! While `/etc/pve` is not there, its files are not gone: nothing is said of them until it is back.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use pbs_driver::pve::{Node, State, secrets, tasks::TaskIndex};
use tenwords_protocol::hash::Sha256;
use zeroize::Zeroizing;

use super::course::Event;
use crate::{cluster, durable, settings::Settings, sources};

/// A file that was written so lately, by the wall clock, may be written again without its times telling.
const YOUNG_SECONDS: u64 = 60;
/// What is read of one file; pmxcfs holds no larger one.
const LIMIT: u64 = 1 << 20;
/// So many files of PVE's folder of keys are watched.
const MOST: usize = 512;

/// What a file is to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Keys,
    Jobs,
    Record,
    Client,
}

/// What was seen of Proxmox VE's own file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mount {
    /// This machine has no Proxmox VE.
    None,
    There,
    /// It has, and its files cannot be read now.
    Away,
}

/// What one look has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) events: Vec<Event>,
    pub(super) mount: Mount,
}

/// What is remembered from look to look.
pub(super) struct Eye {
    settings: Settings,
    seen: BTreeMap<PathBuf, Seen>,
    tasks: TaskIndex,
    /// PVE's files were looked at at least once, so that one more is one that has come.
    has_seen_pve: bool,
    is_first: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    stamp: Stamp,
    /// Of its bytes, where they matter. That of a key file is the hash of a secret of full entropy; it stays in
    /// memory.
    hash: Option<Sha256>,
}

/// What `stat` says; equal as long as nobody has written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stamp {
    Absent,
    /// Not to be looked at, and so neither there nor gone.
    Unclear,
    File {
        place: (u64, u64),
        size: u64,
        written: (i64, i64),
        changed: (i64, i64),
    },
}

impl Eye {
    pub(super) fn new(settings: Settings) -> Self {
        let tasks = TaskIndex::at_its_end(settings.pve_tasks());
        Self { settings, seen: BTreeMap::new(), tasks, has_seen_pve: false, is_first: true }
    }

    /// Looks with another configuration from now on. What it names anew counts as changed.
    pub(super) fn reload(&mut self, settings: Settings) {
        if settings.pve_tasks() != self.settings.pve_tasks() {
            self.tasks = TaskIndex::at_its_end(settings.pve_tasks());
        }
        self.settings = settings;
    }

    /// What is other than at the last look. The first only remembers.
    pub(super) fn look(&mut self, wall: i64) -> Look {
        let node = sources::node(&self.settings);
        let (mount, node) = match node {
            Ok(None) => (Mount::None, None),
            Ok(Some(node)) if matches!(node.state(), State::NotMounted { .. }) => (Mount::Away, None),
            Ok(Some(node)) => (Mount::There, Some(node)),
            Err(_) => (Mount::Away, None),
        };
        let mut changed = Vec::new();
        for (path, meaning) in self.own_files() {
            self.look_at(path, meaning, wall, &mut changed);
        }
        if let Some(node) = node {
            // Those that were there and are listed no more are looked at too: they are gone.
            let root = node.file("");
            let before = self.seen.keys().filter(|path| path.starts_with(&root)).cloned();
            let mut files: BTreeMap<PathBuf, Meaning> = before.map(|path| (path, Meaning::Keys)).collect();
            let room = (2 * MOST).saturating_sub(self.seen.len());
            files.extend(files_of(&node, room));
            let mut of_pve = Vec::new();
            for (path, meaning) in files {
                self.look_at(path, meaning, wall, &mut of_pve);
            }
            if self.has_seen_pve {
                changed.extend(of_pve);
            } else if !self.is_first && !of_pve.is_empty() {
                // It was away when the daemon began.
                changed.push(Meaning::Keys);
            }
            self.has_seen_pve = true;
        }
        let is_first = std::mem::replace(&mut self.is_first, false);
        let mut events: Vec<Event> = Vec::new();
        for meaning in changed.into_iter().filter(|_| !is_first) {
            let event = meaning.event();
            if !events.contains(&event) {
                events.push(event);
            }
        }
        match self.tasks.has_backup_ended() {
            Ok(true) => events.push(Event::TaskEnded),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "PVE's index of tasks cannot be read"),
        }
        Look { events, mount }
    }

    fn own_files(&self) -> Vec<(PathBuf, Meaning)> {
        let settings = &self.settings;
        let sources = settings.sources.iter();
        let mut files: Vec<_> = sources
            .flat_map(|source| [&source.key_file, &source.token_file])
            .map(|path| (path.clone(), Meaning::Keys))
            .collect();
        let records = ["escrow.json", "drills.json", "closure.json", "identity.json"];
        files.extend(records.map(|name| (settings.state.join(name), Meaning::Record)));
        files.push((settings.client.clone(), Meaning::Client));
        files
    }

    fn look_at(&mut self, path: PathBuf, meaning: Meaning, wall: i64, changed: &mut Vec<Meaning>) {
        let stamp = stamp(&path);
        let before = self.seen.get(&path);
        // What cannot be looked at is as it was.
        if stamp == Stamp::Unclear && before.is_some() {
            return;
        }
        let may_tell = before.is_some_and(|before| before.stamp == stamp) && !stamp.is_young(wall);
        if may_tell {
            return;
        }
        let hash = match (&stamp, meaning) {
            (Stamp::File { .. }, Meaning::Keys | Meaning::Jobs) => hash(&path),
            _ => None,
        };
        let is_same = before.is_some_and(|before| match meaning {
            // Its bytes decide: a file that was written anew with the same is the same.
            Meaning::Keys | Meaning::Jobs => {
                before.hash == hash && (before.stamp == Stamp::Absent) == (stamp == Stamp::Absent)
            }
            Meaning::Record | Meaning::Client => before.stamp == stamp,
        });
        if !is_same {
            changed.push(meaning);
        }
        // A folder's lost file is forgotten; what is named is remembered as gone.
        if stamp == Stamp::Absent && path.parent().is_some_and(|folder| folder.ends_with(secrets::FOLDER)) {
            self.seen.remove(&path);
        } else {
            self.seen.insert(path, Seen { stamp, hash });
        }
    }
}

impl Meaning {
    const fn event(self) -> Event {
        match self {
            Self::Keys => Event::KeysChanged,
            Self::Jobs => Event::JobsChanged,
            Self::Record => Event::RecordChanged,
            Self::Client => Event::ClientChanged,
        }
    }
}

impl Stamp {
    fn is_young(&self, wall: i64) -> bool {
        match self {
            Self::File { written: (seconds, _), .. } => wall.abs_diff(*seconds) < YOUNG_SECONDS,
            Self::Absent | Self::Unclear => false,
        }
    }
}

/// What of the cluster's files matters: storages, jobs, the folder with keys and passwords, and what its nodes share
/// of their box.
fn files_of(node: &Node, room: usize) -> Vec<(PathBuf, Meaning)> {
    let mut files = vec![
        (node.file("storage.cfg"), Meaning::Keys),
        (node.file("jobs.cfg"), Meaning::Jobs),
        (node.file("vzdump.cron"), Meaning::Jobs),
        (cluster::file(node), Meaning::Keys),
    ];
    let names = fs::read_dir(node.file(secrets::FOLDER)).into_iter().flatten().filter_map(Result::ok);
    let names = names.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        [".enc", ".enc.old", ".pw"].iter().any(|end| name.ends_with(end))
    });
    files.extend(names.take(MOST.min(room)).map(|path| (path, Meaning::Keys)));
    files
}

fn stamp(path: &Path) -> Stamp {
    match fs::metadata(path) {
        Ok(found) => Stamp::File {
            place: (found.dev(), found.ino()),
            size: found.size(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Stamp::Absent,
        Err(_) => Stamp::Unclear,
    }
}

fn hash(path: &Path) -> Option<Sha256> {
    let bytes = Zeroizing::new(durable::read_limited(path, LIMIT).ok()?);
    Some(Sha256::of(&bytes))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
