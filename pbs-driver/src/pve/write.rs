//! Putting a file in its place on pmxcfs: it is either as it was or whole.
//!
//! pmxcfs has no hard links and no rename that refuses to replace (both tried), so "never over
//! something else" rests on PVE's lock: look, write beside, rename, all under it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    error::PveError,
    lock::FileLock,
    node::{MAX_FILE, Node},
};
use crate::private::read_whole;

/// Makes `path` hold `bytes`; what stood there is replaced. Reads it back.
pub(crate) fn replace(lock: &FileLock, path: &Path, mode: u32, bytes: &[u8]) -> Result<(), PveError> {
    if bytes.len() > MAX_FILE {
        return Err(PveError::TooLarge { path: path.to_owned(), max: MAX_FILE });
    }
    let beside = beside(path);
    let written = write(&beside, mode, bytes)
        .map_err(|source| PveError::Io { doing: "writing", path: beside.clone(), source })
        .and_then(|()| lock.still_ours())
        .and_then(|()| {
            fs::rename(&beside, path).map_err(|source| PveError::Io {
                doing: "replacing",
                path: path.to_owned(),
                source,
            })
        });
    if let Err(error) = written {
        // What cannot be removed now is removed by the next run.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    if let Some(folder) = path.parent() {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| PveError::Io { doing: "writing out", path: folder.to_owned(), source })?;
    }
    match read(path)? {
        Some(there) if *there == bytes => Ok(()),
        _ => Err(PveError::Unproven { path: path.to_owned() }),
    }
}

/// A whole file, in a buffer that is wiped; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, PveError> {
    match read_whole(path, MAX_FILE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(PveError::TooLarge { path: path.to_owned(), max: MAX_FILE })
        }
        Err(source) => Err(PveError::Io { doing: "reading", path: path.to_owned(), source }),
    }
}

/// The system's words for a write that pmxcfs refused are told with pmxcfs's state, if that explains them.
pub(crate) fn explained<T>(node: &Node, result: Result<T, PveError>) -> Result<T, PveError> {
    match result {
        Err(PveError::Io { .. }) => node.writable().and(result),
        other => other,
    }
}

fn write(beside: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    // Under the lock, a file of this name is what a killed run of ours left.
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(beside)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// One name for each file, so that nothing can pile up.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tenwords-new");
    name.into()
}
