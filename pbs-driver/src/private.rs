//! The private folder: the one place where a copy of a key or a token's secret may lie.
//!
//! It must be on a tmpfs (or ramfs), belong to us and be closed to everybody else (0700); anything
//! else is refused with a sentence that says what to do. What is made inside is 0600, and is
//! overwritten with zeros before it is removed. A folder of a process that was killed is swept up
//! by the next one: each live [`Folder`] holds a lock, and what nobody holds is nobody's.
//!
//! What cannot be promised: a tmpfs may be swapped out, and root sees everything.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
    sys::statfs::{FsType, TMPFS_MAGIC, fstatfs},
    unistd::geteuid,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// A checked private folder. Cloning copies the path only; the folder itself stays when it is dropped.
#[derive(Debug, Clone)]
pub struct PrivateDir {
    path: PathBuf,
}

/// A folder inside a [`PrivateDir`], for one piece of work; wiped and removed when it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Says "alive" to [`PrivateDir::open`] of other processes.
    _lock: Flock<File>,
}

/// Why a folder cannot hold secrets. The `Display` names the fact, [`Self::remedy`] what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrivateError {
    /// It is on a disk, or on a file system that might be.
    #[error("{} is not on a tmpfs, so that what is written there may reach a disk", .path.display())]
    OnDisk {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else's folder.
    #[error("{} belongs to user {owner}, not to the user running this ({us})", .path.display())]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Our user.
        us: u32,
    },
    /// Others could look in.
    #[error("{} has mode {mode:04o}, not 0700", .path.display())]
    Mode {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A relative path would mean another folder after a change of directory.
    #[error("{} is not an absolute path", .path.display())]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// Anything that the system said no to.
    #[error("{doing} {}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl PrivateDir {
    /// Takes an existing folder after checking that it may hold secrets, and sweeps up what a
    /// killed process left in it.
    ///
    /// # Errors
    /// [`PrivateError`]: not a tmpfs, not ours, not 0700, or not there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PrivateError> {
        let path = path.as_ref();
        if !path.is_absolute() {
            return Err(PrivateError::Relative { path: path.to_owned() });
        }
        let handle = directory(path)?;
        check(path, &handle)?;
        let path = fs::canonicalize(path).map_err(|source| io_error("resolving", path, source))?;
        sweep(&path, handle)?;
        Ok(Self { path })
    }

    /// As [`Self::open`], making the folder (0700) first if it is not there. Its parent must be.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self, PrivateError> {
        let path = path.as_ref();
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(io_error("making", path, source)),
        }
        Self::open(path)
    }

    /// Where it is, with symbolic links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder for one piece of work.
    ///
    /// # Errors
    /// [`PrivateError::Io`], a full tmpfs above all.
    pub fn folder(&self) -> Result<Folder, PrivateError> {
        // The parent is locked so that no sweep can meet the new folder before it is locked itself.
        let _parent = lock(directory(&self.path)?, FlockArg::LockExclusive)
            .map_err(|source| io_error("locking", &self.path, source))?;
        let made = tempfile::Builder::new()
            .prefix(PREFIX)
            .rand_bytes(12)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&self.path)
            .map_err(|source| io_error("making a folder in", &self.path, source))?;
        let lock = lock(directory(made.path())?, FlockArg::LockExclusiveNonblock)
            .map_err(|source| io_error("locking", made.path(), source))?;
        Ok(Folder { path: made.keep(), _lock: lock })
    }

    /// Whether a path lies inside, once the links of its parent are resolved.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        path.parent().and_then(|parent| fs::canonicalize(parent).ok()).is_some_and(|real| real.starts_with(&self.path))
    }
}

impl Folder {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new file (0600, never over an existing one) and tells its path.
    ///
    /// # Errors
    /// [`PrivateError::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, PrivateError> {
        let path = self.path.join(name);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|source| io_error("writing", &path, source))?;
        Ok(path)
    }

    /// Makes an empty folder (0700) inside and tells its path.
    ///
    /// # Errors
    /// [`PrivateError::Io`].
    pub fn subfolder(&self, name: &str) -> Result<PathBuf, PrivateError> {
        let path = self.path.join(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(|source| io_error("making", &path, source))?;
        Ok(path)
    }

    /// Reads a file of at most `max` bytes.
    ///
    /// # Errors
    /// [`PrivateError::Io`], also for a longer file.
    pub fn read(&self, name: &str, max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateError> {
        let path = self.path.join(name);
        read_whole(&path, max).map_err(|source| io_error("reading", &path, source))
    }

    /// Wipes and removes it, and tells if that did not work. (Dropping does the same in silence.)
    ///
    /// # Errors
    /// [`PrivateError::Io`].
    pub fn close(self) -> Result<(), PrivateError> {
        wipe(&self.path).map_err(|source| io_error("wiping", &self.path, source))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to tell; what stays behind is swept up by the next `PrivateDir::open`.
        let _ = wipe(&self.path);
    }
}

impl PrivateError {
    /// What the person can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::OnDisk { .. } => {
                "name a folder on a tmpfs, such as one under /run (RuntimeDirectory= of the unit) or /dev/shm, made with mode 0700"
            }
            Self::Owner { .. } => {
                "name a folder that belongs to the user running this, or give it to that user with chown"
            }
            Self::Mode { .. } => "close the folder to others with chmod 0700",
            Self::Relative { .. } => "give the folder with its full path",
            Self::Io { .. } => "see that the folder exists, belongs to the user running this and has room",
        }
    }
}

/// A file may grow by so much while it is read.
const SLACK: usize = 1024;

/// Reads a whole file, of at most `max` bytes, into one buffer that is wiped and does not move while it fills. It has
/// the file's size, since wiping takes as long for a line as for all that such a file could have.
pub(crate) fn read_whole(path: &Path, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file =
        OpenOptions::new().read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path)?;
    let expected = usize::try_from(file.metadata()?.len()).unwrap_or(max).min(max);
    let mut bytes = Zeroizing::new(vec![0; (expected + SLACK).min(max) + 1]);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let is_whole = filled < bytes.len();
    bytes.truncate(filled);
    if filled > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than such a file can be"));
    }
    if is_whole { Ok(bytes) } else { Err(io::Error::other("it grew while it was read")) }
}

fn check(path: &Path, handle: &File) -> Result<(), PrivateError> {
    let kind = fstatfs(handle).map_err(|errno| io_error("looking at", path, errno.into()))?.filesystem_type();
    if !volatile(kind) {
        return Err(PrivateError::OnDisk { path: path.to_owned() });
    }
    let metadata = handle.metadata().map_err(|source| io_error("looking at", path, source))?;
    let us = geteuid().as_raw();
    if metadata.uid() != us {
        return Err(PrivateError::Owner { path: path.to_owned(), owner: metadata.uid(), us });
    }
    let mode = metadata.mode() & 0o7777;
    if mode != 0o700 {
        return Err(PrivateError::Mode { path: path.to_owned(), mode });
    }
    Ok(())
}

fn volatile(kind: FsType) -> bool {
    kind == TMPFS_MAGIC || kind.0 == RAMFS_MAGIC
}

/// Wipes every folder of ours in `path` whose process is gone.
fn sweep(path: &Path, handle: File) -> Result<(), PrivateError> {
    let _parent = lock(handle, FlockArg::LockExclusive).map_err(|source| io_error("locking", path, source))?;
    for entry in fs::read_dir(path).map_err(|source| io_error("listing", path, source))? {
        let entry = entry.map_err(|source| io_error("listing", path, source))?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(folder) = directory(&entry.path()) else { continue };
        if let Ok(_lock) = lock(folder, FlockArg::LockExclusiveNonblock) {
            wipe(&entry.path()).map_err(|source| io_error("wiping", &entry.path(), source))?;
        }
    }
    Ok(())
}

/// Overwrites and removes a tree, links not followed. Goes on after an error and tells the first.
fn wipe(path: &Path) -> io::Result<()> {
    let mut first = Ok(());
    let mut keep = |result: io::Result<()>| {
        if let (Err(error), Ok(())) = (result, &first) {
            first = Err(error);
        }
    };
    match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(entries) => {
            for entry in entries {
                let Ok(entry) = entry else { continue };
                let inner = entry.path();
                keep(match entry.file_type() {
                    Ok(kind) if kind.is_dir() => {
                        let _ = fs::set_permissions(&inner, fs::Permissions::from_mode(0o700));
                        wipe(&inner)
                    }
                    Ok(kind) if kind.is_file() => zero(&inner).and_then(|()| fs::remove_file(&inner)),
                    Ok(_) => fs::remove_file(&inner),
                    Err(error) => Err(error),
                });
            }
        }
    }
    keep(fs::remove_dir(path));
    first
}

fn zero(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file).map(drop)
}

fn directory(path: &Path) -> Result<File, PrivateError> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
        .open(path)
        .map_err(|source| io_error("opening", path, source))
}

fn lock(file: File, how: FlockArg) -> io::Result<Flock<File>> {
    match Flock::lock(file, how) {
        Ok(lock) => Ok(lock),
        Err((back, Errno::EINTR)) => lock(back, how),
        Err((_, errno)) => Err(errno.into()),
    }
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> PrivateError {
    PrivateError::Io { doing, path: path.to_owned(), source }
}

/// `linux/magic.h`; nix has no name for it.
const RAMFS_MAGIC: i64 = 0x8584_58f6;
/// What the names of our folders start with.
const PREFIX: &str = "work-";

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own files say that they are empty, and have more when they are read: as one that grows.
    #[test]
    fn a_file_that_grows_while_it_is_read_is_told_and_moves_nothing() -> io::Result<()> {
        let short = read_whole(Path::new("/proc/self/comm"), 4096)?;
        assert!(!short.is_empty() && short.capacity() == SLACK + 1);
        let grown = read_whole(Path::new("/proc/self/smaps"), 1 << 20).map(drop).map_err(|error| error.to_string());
        assert_eq!(grown, Err("it grew while it was read".to_owned()));
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("file");
        for (length, is_read) in [(0, true), (4096, true), (4097, false)] {
            fs::write(&file, vec![7; length])?;
            assert_eq!(
                read_whole(&file, 4096).map(|bytes| bytes.len() == length).unwrap_or(false),
                is_read,
                "{length}"
            );
        }
        Ok(())
    }
}
