//! What becomes of a durable write on this thread, as a test says: a disk that is full, one that may only be read, or
//! an end of the process between two steps.

use std::{cell::RefCell, io, path::Path};

/// Where a write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The folder that it goes to is asked for.
    Folder,
    /// Nothing is written yet.
    Begins,
    /// It is on the disk; nothing can go wrong with it any more, but the process may end.
    Over,
}

/// What a write meets.
pub(crate) type Disk = Box<dyn FnMut(At, &Path) -> io::Result<()>>;

thread_local! {
    static DISK: RefCell<Option<Disk>> = const { RefCell::new(None) };
}

/// From now on writes of this thread meet this disk, or the machine's own again.
pub(crate) fn set(disk: Option<Disk>) {
    DISK.with_borrow_mut(|here| *here = disk);
}

pub(super) fn meet(at: At, path: &Path) -> io::Result<()> {
    DISK.with(|disk| match disk.try_borrow_mut() {
        Ok(mut disk) => disk.as_mut().map_or(Ok(()), |disk| disk(at, path)),
        // What a process does that is being ended.
        Err(_) => Ok(()),
    })
}

pub(super) fn is_over(path: &Path) {
    let _too_late = meet(At::Over, path);
}
