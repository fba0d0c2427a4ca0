//! Where this node's Proxmox VE is, and whether its files may be written: told before anything is.
//!
//! `/etc/pve` is pmxcfs, a file system in user space. Some things go wrong with it that ordinary
//! folders do not know: it is not mounted (then `/etc/pve` is an empty folder on the root disk, and
//! what is written there is hidden by the next mount), its process died (every call says "transport
//! endpoint is not connected") or hangs, and its cluster has no quorum (every write is refused, to root too).
//! What tells them apart, as seen on the real one: `docs/findings/pmxcfs.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::statvfs::{FsFlags, statvfs},
    unistd::{AccessFlags, eaccess},
};
use serde::{Deserialize, de::IgnoredAny};
use thiserror::Error;

use super::error::PveError;
use crate::process::{RunError, within};

/// Where PVE's folder and programs are. Every one can be set, so that fixtures can stand in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The cluster file system.
    pub etc_pve: PathBuf,
    /// Containers.
    pub pct: PathBuf,
    /// Virtual machines.
    pub qm: PathBuf,
    /// Virtual machines from backups.
    pub qmrestore: PathBuf,
    /// PVE's API, for pools.
    pub pvesh: PathBuf,
    /// Storages.
    pub pvesm: PathBuf,
    /// Where PVE's programs lock a guest while they work on it.
    pub locks: PathBuf,
}

/// One node's Proxmox VE.
#[derive(Debug, Clone)]
pub struct Node {
    paths: Paths,
    patience: Duration,
}

/// What can be done with PVE's files here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Neither pmxcfs nor any of PVE's programs is here.
    NotPve,
    /// PVE is here, its file system is not.
    NotMounted {
        /// As seen.
        why: Absence,
    },
    /// Everything can be read, nothing written.
    ReadOnly {
        /// As seen.
        why: Refusal,
    },
    /// As far as can be told without writing, it can be written.
    Writable,
}

/// How pmxcfs is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Absence {
    /// The mount is there, its process is not.
    #[error("it is mounted, but its process is gone")]
    Dead,
    /// It does not answer.
    #[error("it does not answer")]
    Mute,
    /// The folder is there without pmxcfs's own files (`.version`, `.members`, `.vmlist`).
    #[error("its own files are not there, so it is not mounted")]
    NoFiles,
    /// Not even the folder.
    #[error("there is no such folder")]
    NoFolder,
}

/// Why PVE's files cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its folders carry no write permission, which is how pmxcfs shows that it lost its quorum.
    #[error("its folders are closed to writing, as in a cluster without quorum")]
    Closed,
    /// The file system is mounted read-only.
    #[error("it is mounted read-only")]
    Mounted,
    /// pmxcfs says that the cluster has no quorum.
    #[error("the cluster has no quorum")]
    NoQuorum,
    /// Somebody else may write, we may not.
    #[error("this user may not write there")]
    NotOurs,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            etc_pve: "/etc/pve".into(),
            pct: "/usr/sbin/pct".into(),
            qm: "/usr/sbin/qm".into(),
            qmrestore: "/usr/sbin/qmrestore".into(),
            pvesh: "/usr/bin/pvesh".into(),
            pvesm: "/usr/sbin/pvesm".into(),
            locks: "/run/lock".into(),
        }
    }
}

impl Refusal {
    /// What the person can do next.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Closed | Self::NoQuorum => {
                "bring the cluster's other nodes back, or see `pvecm status`; nothing was written"
            }
            Self::Mounted => "mount it writable; nothing was written",
            Self::NotOurs => "run this as root; nothing was written",
        }
    }
}

impl Node {
    /// With these paths; nothing is looked at yet.
    ///
    /// # Errors
    /// [`PveError::Relative`].
    pub fn new(paths: Paths) -> Result<Self, PveError> {
        let relative =
            [&paths.etc_pve, &paths.pct, &paths.qm, &paths.qmrestore, &paths.pvesh, &paths.pvesm, &paths.locks]
                .into_iter()
                .find(|p| !p.is_absolute());
        if let Some(path) = relative {
            return Err(PveError::Relative { path: path.clone() });
        }
        Ok(Self { paths, patience: PATIENCE })
    }

    /// The same, waiting for PVE's lock for so long only.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Where everything is.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// How long PVE's lock is waited for.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// A path below the cluster file system: `node.file("storage.cfg")`.
    #[must_use]
    pub fn file(&self, relative: &str) -> PathBuf {
        self.paths.etc_pve.join(relative)
    }

    /// What can be done with PVE's files. Writes nothing, and waits for no more than ten seconds.
    #[must_use]
    pub fn state(&self) -> State {
        let node = self.clone();
        match within(ANSWER, move || Ok(node.look())) {
            Ok(state) => state,
            // No thread to be had: then without a deadline.
            Err(RunError::Spawn(_)) => self.look(),
            Err(_) => State::NotMounted { why: Absence::Mute },
        }
    }

    fn look(&self) -> State {
        let folder = &self.paths.etc_pve;
        if let Some(why) = self.absence() {
            let programs = [&self.paths.pct, &self.paths.qmrestore, &self.paths.pvesm];
            // A dead mount is PVE's, whatever is installed.
            return if why == Absence::Dead || programs.iter().any(|program| program.exists()) {
                State::NotMounted { why }
            } else {
                State::NotPve
            };
        }
        if self.members().is_ok_and(|members| members.cluster.is_some_and(|cluster| cluster.quorate == 0)) {
            return State::ReadOnly { why: Refusal::NoQuorum };
        }
        // Without its cluster service pmxcfs does not even say that it has no quorum, and its root
        // looks open. Its links do not: nowhere else does a link have no write bits.
        if fs::symlink_metadata(self.file("local")).is_ok_and(|local| local.mode() & 0o222 == 0) {
            return State::ReadOnly { why: Refusal::Closed };
        }
        // priv/storage may not be there yet; what is there must be writable.
        let places = [folder.clone(), self.file("priv"), self.file(super::secrets::FOLDER)];
        match places.iter().find_map(|place| refusal(place)) {
            Some(why) => State::ReadOnly { why },
            None => State::Writable,
        }
    }

    /// That PVE's files can be read.
    ///
    /// # Errors
    /// [`PveError::NotPve`], [`PveError::NotMounted`].
    pub fn readable(&self) -> Result<(), PveError> {
        let path = self.paths.etc_pve.clone();
        match self.state() {
            State::NotPve => Err(PveError::NotPve { path }),
            State::NotMounted { why } => Err(PveError::NotMounted { path, why }),
            State::ReadOnly { .. } | State::Writable => Ok(()),
        }
    }

    /// That PVE's files can be written, as far as can be told without writing.
    ///
    /// # Errors
    /// As [`Self::readable`], and [`PveError::ReadOnly`].
    pub fn writable(&self) -> Result<(), PveError> {
        self.readable()?;
        match self.state() {
            State::ReadOnly { why } => Err(PveError::ReadOnly { path: self.paths.etc_pve.clone(), why }),
            _ => Ok(()),
        }
    }

    /// This node's name, as pmxcfs says it.
    ///
    /// # Errors
    /// [`PveError::Io`] if pmxcfs does not say it in a form that is known.
    pub fn name(&self) -> Result<String, PveError> {
        Ok(self.members()?.nodename)
    }

    /// The nodes of the cluster, by name, this one among them; of a node without a cluster, itself alone. `None` on a
    /// cluster's node whose cluster service did not start: that does not say which others there are.
    ///
    /// # Errors
    /// As [`Self::name`].
    pub fn nodes(&self) -> Result<Option<BTreeSet<String>>, PveError> {
        let Members { nodename, cluster, nodelist } = self.members()?;
        let is_told = cluster.is_some() || !self.is_clustered();
        Ok(is_told.then(|| nodelist.unwrap_or_default().into_keys().chain([nodename]).collect()))
    }

    /// Whether this node is one of a cluster.
    #[must_use]
    pub fn is_clustered(&self) -> bool {
        self.file("corosync.conf").exists()
    }

    /// A file below the cluster file system, of at most 1 MiB (pmxcfs's own limit); `None` if there is none.
    ///
    /// # Errors
    /// [`PveError::Io`], [`PveError::TooLarge`].
    pub fn read(&self, relative: &str) -> Result<Option<Vec<u8>>, PveError> {
        let path = self.file(relative);
        let opened =
            OpenOptions::new().read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(PveError::Io { doing: "opening", path, source }),
        };
        let mut bytes = Vec::new();
        match file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes) {
            Err(source) => Err(PveError::Io { doing: "reading", path, source }),
            Ok(_) if bytes.len() > MAX_FILE => Err(PveError::TooLarge { path, max: MAX_FILE }),
            Ok(_) => Ok(Some(bytes)),
        }
    }

    fn absence(&self) -> Option<Absence> {
        let dead = |error: &io::Error| error.raw_os_error() == Some(Errno::ENOTCONN as i32);
        match fs::metadata(&self.paths.etc_pve) {
            Err(error) if dead(&error) => return Some(Absence::Dead),
            Ok(metadata) if metadata.is_dir() => {}
            _ => return Some(Absence::NoFolder),
        }
        for name in OWN_FILES {
            match fs::metadata(self.file(name)) {
                Ok(_) => {}
                Err(error) if dead(&error) => return Some(Absence::Dead),
                Err(_) => return Some(Absence::NoFiles),
            }
        }
        None
    }

    fn members(&self) -> Result<Members, PveError> {
        let path = self.file(".members");
        let unclear = |source| PveError::Io { doing: "reading", path: path.clone(), source };
        let text = self.read(".members")?.ok_or_else(|| unclear(io::ErrorKind::NotFound.into()))?;
        serde_json::from_slice(&text).map_err(|error| unclear(error.into()))
    }
}

/// Why nothing can be written in `place`, if it is there.
fn refusal(place: &Path) -> Option<Refusal> {
    let metadata = fs::metadata(place).ok()?;
    if statvfs(place).is_ok_and(|about| about.flags().contains(FsFlags::ST_RDONLY)) {
        return Some(Refusal::Mounted);
    }
    if metadata.mode() & 0o222 == 0 {
        return Some(Refusal::Closed);
    }
    eaccess(place, AccessFlags::W_OK | AccessFlags::X_OK).is_err().then_some(Refusal::NotOurs)
}

#[derive(Deserialize)]
struct Members {
    nodename: String,
    cluster: Option<Cluster>,
    nodelist: Option<BTreeMap<String, IgnoredAny>>,
}

#[derive(Deserialize)]
struct Cluster {
    quorate: u8,
}

/// What only a mounted pmxcfs shows.
const OWN_FILES: [&str; 3] = [".version", ".members", ".vmlist"];
/// `MEMDB_MAX_FILE_SIZE` of pmxcfs.
pub(crate) const MAX_FILE: usize = 1024 * 1024;
/// For the few looks that tell its state; it answers from memory.
const ANSWER: Duration = Duration::from_secs(10);
/// PVE's own programs give up a piece of work under their lock after 60 s, and pmxcfs ends a lock
/// whose holder is gone 120 s after it is asked to.
const PATIENCE: Duration = Duration::from_secs(150);
