//! Where a restore puts things, and how it takes them away again.
//!
//! Nothing that is there is ever replaced: a tree goes into a folder that is new or empty, a file is
//! made anew (0600, whatever the umask). Until it is kept, a target is on probation: dropped on any way
//! out, it is left as it was found.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use pbs_format::pxar;

use super::{
    COMMAND, absolute,
    beside::{GoOn, aside},
};
use crate::{error::DriverError, failure::Failure};

/// A target on probation.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    found: Found,
}

/// What lay there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// A folder without anything in it, perhaps somebody's mount point: it stays.
    EmptyFolder,
    /// Nothing, and what is there now is somebody's to keep.
    Kept,
}

impl Target {
    /// For a tree: looked at, and not made yet.
    pub(super) fn folder(path: &Path) -> Result<Self, DriverError> {
        absolute(path)?;
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            // Whoever laid it there may mean another folder.
            return Err(exists());
        }
        let found = match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Found::EmptyFolder,
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
                Found::Nothing
            }
            Ok(false) => return Err(exists()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(exists()),
            Err(source) => return Err(DriverError::Io { doing: "looking into", path: path.to_owned(), source }),
        };
        Ok(Self { path: path.to_owned(), found })
    }

    /// For a file: made.
    pub(super) fn file(path: &Path) -> Result<(Self, File), DriverError> {
        absolute(path)?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return exists();
            }
            DriverError::Io { doing: "making", path: path.to_owned(), source }
        })?;
        Ok((Self { path: path.to_owned(), found: Found::Nothing }, made))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was restored stays.
    pub(super) fn keep(mut self) {
        self.found = Found::Kept;
    }

    /// Takes away what was restored, and passes on why; if something cannot be taken away, that is
    /// what has to be told first.
    pub(super) fn give_up(mut self, why: DriverError, go_on: GoOn<'_>) -> DriverError {
        let path = self.path.clone();
        let found = std::mem::replace(&mut self.found, Found::Kept);
        let cause = match aside(PATIENCE, move || Self { path, found }.clear(), go_on) {
            Ok(Ok(Ok(()))) => return why,
            Ok(Ok(Err(cause))) | Err(cause) => cause,
            Ok(Err(_)) => no_answer(),
        };
        DriverError::Left { path: self.path.clone(), cause, why: Box::new(why) }
    }

    /// Leaves what was restored where it is: somebody who hangs may still write to it.
    pub(super) fn leave(mut self, why: DriverError) -> DriverError {
        self.found = Found::Kept;
        DriverError::Left { path: self.path.clone(), cause: no_answer(), why: Box::new(why) }
    }

    fn clear(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.found, Found::Kept) {
            Found::Kept => Ok(()),
            Found::Nothing => pxar::remove(&self.path),
            Found::EmptyFolder => pxar::empty(&self.path),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Whoever did not give up by name (a panic) has nobody to tell.
        drop(self.clear());
    }
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "its disk does not answer in time")
}

fn exists() -> DriverError {
    DriverError::Client { command: COMMAND, failure: Failure::TargetExists }
}

/// Once it is to end, a large tree may take so long to be removed.
const PATIENCE: Duration = Duration::from_secs(120);
