//! The disk of the state folder: what it refuses, where a process on it is ended, and what lies there.

use std::{
    cell::Cell,
    fs, io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    rc::Rc,
};

use tenwords_protocol::hash::Sha256;

use super::{Lived, servers};
use crate::durable::faults::{self, At};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    Good,
    Full,
    ReadOnly,
}

/// The process was ended.
pub(super) struct Killed;

/// As durable writes meet it, and as long as the process has steps left.
pub(super) fn meeting(disk: Rc<Cell<Disk>>, left: Rc<Cell<Option<u32>>>) -> faults::Disk {
    Box::new(move |at, _| {
        if at != At::Folder
            && let Some(steps) = left.get()
        {
            left.set(steps.checked_sub(1));
            if steps == 0 {
                resume_unwind(Box::new(Killed));
            }
        }
        match (disk.get(), at) {
            (Disk::Good, _) | (_, At::Over) | (Disk::Full, At::Folder) => Ok(()),
            (Disk::Full, At::Begins) => Err(io::ErrorKind::StorageFull.into()),
            (Disk::ReadOnly, At::Folder | At::Begins) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    })
}

/// Of everything in the state folder that a pass goes by. Locks are held, and what the servers said changes by its
/// time alone: that it is older than a day is not come to while it is asked for each half hour.
pub(super) fn digest(state: &Path) -> Lived<Sha256> {
    let mut all = Vec::new();
    for path in below(state)? {
        let name = path.to_string_lossy().into_owned();
        if !name.ends_with("lock") && !name.ends_with(servers::FILE) {
            all.extend_from_slice(name.as_bytes());
            all.extend_from_slice(Sha256::of(&fs::read(&path)?).as_bytes());
        }
    }
    Ok(Sha256::of(&all))
}

/// Every file below a folder.
pub(super) fn below(folder: &Path) -> Lived<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(below(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
