//! The chunk store: `.chunks/<first four digits>/<digest>`, each file a blob.
//!
//! `formats.md` §3.2. A file's name says what its content must be; the store itself believes
//! nothing and decodes nothing. Folders for the first digits are made as they are needed; a real
//! server makes all 65,536 at once and wants them there.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use nix::sys::{
    stat::{UtimensatFlags, utimensat},
    time::TimeSpec,
};
use thiserror::Error;

use crate::{
    blob::{self, BlobError, BlobKind},
    digest::Digest,
    disk::{self, Sync},
};

/// Bytes of content in a chunk: the server's limit for uploads, and of every reader's buffer.
pub const MAX_CHUNK: usize = 16 << 20;
/// Bytes that a chunk's file may have.
pub const MAX_CHUNK_FILE: usize = MAX_CHUNK + blob::ENCRYPTED_HEADER;

/// The chunks of a datastore.
#[derive(Clone, Debug)]
pub struct ChunkStore {
    folder: PathBuf,
}

/// What became of a chunk that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It was not there, or only as an empty or a longer file.
    New,
    /// It was there already.
    Known,
}

/// Why a chunk was not read or stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// There is no chunk store.
    #[error("{} is not a chunk store", path.display())]
    NoStore {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The chunk cannot be read; if it is missing, its source says so.
    #[error("the chunk {} cannot be read", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The chunk cannot be written.
    #[error("the chunk {} cannot be written", path.display())]
    Write {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is to be stored is no blob, or the file that is there is none.
    #[error("the chunk {} is not a blob", path.display())]
    NotABlob {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: BlobError,
    },
    /// A file of this name is there that cannot have this content.
    #[error("the chunk {} is there already and cannot be the same", path.display())]
    Conflict {
        /// Its file.
        path: PathBuf,
    },
}

impl ChunkError {
    /// Whether the chunk is not there at all.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl ChunkStore {
    /// The store of the datastore at `root`.
    ///
    /// # Errors
    /// [`ChunkError::NoStore`].
    pub fn open(root: &Path) -> Result<Self, ChunkError> {
        let folder = root.join(".chunks");
        match fs::read_dir(&folder) {
            Ok(_) => Ok(Self { folder }),
            Err(source) => Err(ChunkError::NoStore { path: folder, source }),
        }
    }

    /// Makes an empty store in `root`, which exists.
    ///
    /// # Errors
    /// [`ChunkError::Write`], also if there is one.
    pub fn create(root: &Path) -> Result<Self, ChunkError> {
        let folder = root.join(".chunks");
        match fs::DirBuilder::new().mode(0o750).create(&folder) {
            Ok(()) => Ok(Self { folder }),
            Err(source) => Err(ChunkError::Write { path: folder, source }),
        }
    }

    /// Where the chunk of this digest lies, or would.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = hex::encode(digest);
        self.folder.join(&name[..4]).join(name)
    }

    /// The chunk's file, undecoded and unchecked, at most [`MAX_CHUNK_FILE`] bytes.
    ///
    /// # Errors
    /// [`ChunkError::Read`].
    pub fn read_raw(&self, digest: &Digest) -> Result<Vec<u8>, ChunkError> {
        let path = self.path(digest);
        disk::read(&path, MAX_CHUNK_FILE).map_err(|source| ChunkError::Read { path, source })
    }

    /// Whether a chunk of this digest is there that is encrypted or not, as asked; if so its
    /// access time is refreshed, so that a garbage collection leaves it alone. Its content is not
    /// looked at.
    ///
    /// # Errors
    /// [`ChunkError::Read`] or [`ChunkError::Write`].
    pub fn touch(&self, digest: &Digest, encrypted: bool) -> Result<bool, ChunkError> {
        let path = self.path(digest);
        match Found::at(&path)? {
            Some(Found { kind: Ok(kind), .. }) if kind.is_encrypted() == encrypted => refresh(&path).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Stores a chunk's blob under its digest. That the digest is right is the caller's word.
    ///
    /// A file that is there is kept if it can be the same chunk, replaced if it is empty, or
    /// longer than a new unencrypted one. Between encrypted and unencrypted nothing is ever the
    /// same: their digests differ.
    ///
    /// # Errors
    /// [`ChunkError`].
    pub fn insert(&self, digest: &Digest, raw: &[u8]) -> Result<Inserted, ChunkError> {
        let path = self.path(digest);
        let new = match blob::kind(raw) {
            Ok(kind) => kind,
            Err(source) => return Err(ChunkError::NotABlob { path, source }),
        };
        let Some(old) = Found::at(&path)? else {
            return self.write(&path, raw);
        };
        let length = raw.len() as u64;
        if old.length == 0 {
            return self.write(&path, raw);
        }
        if old.length == length {
            return refresh(&path).map(|()| Inserted::Known);
        }
        let kind = match old.kind {
            Ok(kind) => kind,
            Err(source) => return Err(ChunkError::NotABlob { path, source }),
        };
        match (kind.is_encrypted(), new.is_encrypted()) {
            (true, true) if kind.is_compressed() || new.is_compressed() => refresh(&path).map(|()| Inserted::Known),
            (false, false) if old.length < length => refresh(&path).map(|()| Inserted::Known),
            (false, false) => self.write(&path, raw),
            _ => Err(ChunkError::Conflict { path }),
        }
    }

    /// Puts everything that was stored so far on the disk.
    ///
    /// # Errors
    /// [`ChunkError::Write`].
    pub fn sync(&self) -> Result<(), ChunkError> {
        File::open(&self.folder)
            .and_then(|folder| Ok(nix::unistd::syncfs(&folder)?))
            .map_err(|source| ChunkError::Write { path: self.folder.clone(), source })
    }

    fn write(&self, path: &Path, raw: &[u8]) -> Result<Inserted, ChunkError> {
        let write = || {
            let folder = path.parent().unwrap_or(&self.folder);
            match fs::DirBuilder::new().mode(0o750).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            disk::write(path, raw, Sync::Later)
        };
        match write() {
            Ok(()) => Ok(Inserted::New),
            Err(source) => Err(ChunkError::Write { path: path.to_owned(), source }),
        }
    }
}

/// What lies under a chunk's name.
struct Found {
    length: u64,
    kind: Result<BlobKind, BlobError>,
}

impl Found {
    fn at(path: &Path) -> Result<Option<Self>, ChunkError> {
        let look = || {
            let (file, length) = disk::open_regular(path)?;
            let mut header = Vec::with_capacity(blob::ENCRYPTED_HEADER);
            file.take(blob::ENCRYPTED_HEADER as u64).read_to_end(&mut header)?;
            Ok(Self { length, kind: blob::kind(&header) })
        };
        match look() {
            Ok(found) => Ok(Some(found)),
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ChunkError::Read { path: path.to_owned(), source }),
        }
    }
}

/// Access time now, modification time as it was.
fn refresh(path: &Path) -> Result<(), ChunkError> {
    let omit = TimeSpec::UTIME_OMIT;
    utimensat(nix::fcntl::AT_FDCWD, path, &TimeSpec::UTIME_NOW, &omit, UtimensatFlags::FollowSymlink)
        .map_err(|errno| ChunkError::Write { path: path.to_owned(), source: errno.into() })
}
