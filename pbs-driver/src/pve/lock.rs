//! The locks that PVE's own programs take before they change a file of `/etc/pve`: one for `storage.cfg`
//! and the storages' secrets, one for `jobs.cfg`.
//!
//! Each is a folder, `priv/lock/file-storage_cfg`: who can make it, has it, on the whole cluster. A
//! holder that died leaves it behind; whoever waits asks for its end by setting its times to zero,
//! which pmxcfs refuses for 120 s and then grants by removing it (seen: after 124 s). PVE's programs
//! work for at most 60 s under it, and so do we.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::sys::{
    stat::{UtimensatFlags, utimensat},
    time::TimeSpec,
};

use super::{error::PveError, node::Node};

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    path: PathBuf,
    since: Instant,
}

impl FileLock {
    /// Waits for that of `storage.cfg`, as long as the node's patience says.
    pub(crate) fn take(node: &Node) -> Result<Self, PveError> {
        Self::named(node, STORAGES)
    }

    /// The same for that of `jobs.cfg`.
    pub(crate) fn of_jobs(node: &Node) -> Result<Self, PveError> {
        Self::named(node, JOBS)
    }

    /// The same for what is ours alone.
    pub(crate) fn of_ours(node: &Node) -> Result<Self, PveError> {
        Self::named(node, OURS)
    }

    fn named(node: &Node, name: &str) -> Result<Self, PveError> {
        node.writable()?;
        folder(&node.file("priv"))?;
        folder(&node.file(FOLDER))?;
        let path = node.file(FOLDER).join(name);
        let began = Instant::now();
        loop {
            match make(&path) {
                Ok(()) => return Ok(Self { path, since: Instant::now() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(PveError::Io { doing: "taking PVE's lock", path, source }),
            }
            if began.elapsed() >= node.patience() {
                return Err(PveError::Locked { path });
            }
            // Refused as long as its holder may be alive; then it vanishes, and the next round takes it.
            let _ = utimensat(nix::fcntl::AT_FDCWD, &path, &LONG_AGO, &LONG_AGO, UtimensatFlags::NoFollowSymlink);
            thread::sleep(ROUND.min(node.patience()));
        }
    }

    /// That nobody can have taken it from us meanwhile: asked before each rename.
    pub(crate) fn still_ours(&self) -> Result<(), PveError> {
        if self.since.elapsed() < WORK { Ok(()) } else { Err(PveError::Locked { path: self.path.clone() }) }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if self.still_ours().is_ok() {
            // Nobody is left to tell; pmxcfs ends it for the next one who asks.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Makes a closed folder unless it is there.
pub(crate) fn folder(path: &Path) -> Result<(), PveError> {
    match make(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(PveError::Io { doing: "making", path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

const FOLDER: &str = "priv/lock";
/// What PVE makes of each file's name.
const STORAGES: &str = "file-storage_cfg";
const JOBS: &str = "file-jobs_cfg";
const OURS: &str = "domain-tenwords";
const LONG_AGO: TimeSpec = TimeSpec::new(0, 0);
const ROUND: Duration = Duration::from_millis(200);
const WORK: Duration = Duration::from_secs(60);
