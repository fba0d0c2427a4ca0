//! Writing a snapshot into a datastore directory.
//!
//! The order is what makes an interrupted backup harmless: group and owner, the snapshot's folder,
//! chunks, indexes and blobs (each under another name first), everything on the disk, and then, as
//! the last name of all, the manifest. A snapshot without a manifest is unfinished to every reader.
//!
//! The group is locked meanwhile as the server locks it (`formats.md` §6.3), and the datastore
//! against a garbage collection (§3.2). A writer that is dropped before [`SnapshotWriter::finish`]
//! removes the folder that it made; its chunks stay for the garbage collection.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, File},
    io::{self, Write},
    num::NonZeroUsize,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, Flock, FlockArg, fcntl},
    libc,
};
use rand::CryptoRng;
use tenwords_protocol::hash::Sha256;
use thiserror::Error;

use crate::{
    blob::{self, BlobError},
    chunk::{ChunkError, ChunkStore, Inserted},
    cut::{self, Cutter},
    datastore::{Datastore, DatastoreError, FileKind, FileName, Namespace, SnapshotRef},
    digest::{Digest, chunk_digest},
    disk::{self, Sync},
    index::{DynamicIndex, FixedIndex, Index, IndexError, IndexId},
    key::EncryptionKey,
    manifest::{CryptMode, FileEntry, MANIFEST_NAME, Manifest, ManifestError, UploadStats},
    ordered::Ordered,
};

/// Bytes of a blob's file that the server takes (`formats.md` §2.3).
const MAX_UPLOAD: usize = (16 << 20) + blob::ENCRYPTED_HEADER;

/// How a snapshot is protected, with the key that it takes.
#[derive(Clone, Copy, Debug)]
pub enum Protection<'k> {
    /// Not at all.
    None,
    /// The manifest is signed.
    Sign(&'k EncryptionKey),
    /// Everything is encrypted and the manifest is signed.
    Encrypt(&'k EncryptionKey),
}

impl<'k> Protection<'k> {
    /// As the manifest names it.
    #[must_use]
    pub const fn crypt_mode(self) -> CryptMode {
        match self {
            Self::None => CryptMode::None,
            Self::Sign(_) => CryptMode::SignOnly,
            Self::Encrypt(_) => CryptMode::Encrypt,
        }
    }

    const fn encrypting(self) -> Option<&'k EncryptionKey> {
        match self {
            Self::Encrypt(key) => Some(key),
            Self::None | Self::Sign(_) => None,
        }
    }

    const fn signing(self) -> Option<&'k EncryptionKey> {
        match self {
            Self::Encrypt(key) | Self::Sign(key) => Some(key),
            Self::None => None,
        }
    }
}

/// Why a snapshot was not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file or folder cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The datastore cannot be read.
    #[error("the datastore cannot be read")]
    Datastore(#[source] DatastoreError),
    /// Another backup into the group is running.
    #[error("another backup into {} is running", path.display())]
    GroupBusy {
        /// The group's folder.
        path: PathBuf,
    },
    /// A garbage collection is running.
    #[error("a garbage collection of the datastore is running")]
    StoreBusy,
    /// The group belongs to somebody else.
    #[error("the group belongs to {owner}, not to {given}")]
    Owner {
        /// As the group says.
        owner: String,
        /// Who wants to write.
        given: String,
    },
    /// Not an authentication id.
    #[error("an owner is a user or token id such as backup@pbs!box1")]
    OwnerName,
    /// There is a snapshot of this time already.
    #[error("the snapshot {snapshot} exists already")]
    Exists {
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// The file cannot be part of the snapshot: it is there already, is the manifest, or is asked
    /// for as the wrong kind.
    #[error("{filename} cannot be added to the snapshot")]
    File {
        /// Its name.
        filename: FileName,
    },
    /// It was written on after an error.
    #[error("{filename} is incomplete since an earlier error")]
    Incomplete {
        /// Its name.
        filename: FileName,
    },
    /// An archive without a single byte.
    #[error("{filename} is empty")]
    Empty {
        /// Its name.
        filename: FileName,
    },
    /// The blob is larger than a server takes.
    #[error("{filename} is too large for a blob")]
    TooLarge {
        /// Its name.
        filename: FileName,
    },
    /// A blob cannot be made.
    #[error("a blob cannot be made")]
    Blob(#[source] BlobError),
    /// A chunk cannot be stored.
    #[error("a chunk cannot be stored")]
    Chunk(#[source] ChunkError),
    /// The index cannot be made.
    #[error("the index of {filename} cannot be made")]
    Index {
        /// Its name.
        filename: FileName,
        /// What is wrong.
        source: IndexError,
    },
    /// The manifest cannot be made.
    #[error("the manifest cannot be made")]
    Manifest(#[source] ManifestError),
}

impl BackupError {
    /// The backup's error inside an error of an [`ArchiveWriter`], if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// A snapshot that is being written.
pub struct SnapshotWriter<'k, R> {
    chunks: ChunkStore,
    snapshot: SnapshotRef,
    folder: Unfinished,
    protection: Protection<'k>,
    rng: R,
    files: Vec<FileEntry>,
    stats: UploadStats,
    _group: Flock<File>,
    _store: File,
}

impl<'k, R: CryptoRng> SnapshotWriter<'k, R> {
    /// Begins a snapshot. A group that is not there is made and belongs to `owner`; into one that
    /// is, only its owner may write, or the user whose token owns it. A namespace must be there.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn begin(
        store: &Datastore,
        namespace: &Namespace,
        snapshot: SnapshotRef,
        owner: &str,
        protection: Protection<'k>,
        rng: R,
    ) -> Result<Self, BackupError> {
        if owner.is_empty() || owner.len() > 255 || owner.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(BackupError::OwnerName);
        }
        let lock = lock_store(store.root())?;
        let path = store.group_path(namespace, snapshot.group());
        let make = |path: &Path| fs::DirBuilder::new().mode(0o755).create(path).or_else(existing);
        let type_path = path.parent().unwrap_or(&path);
        make(type_path).map_err(write_error(type_path))?;
        make(&path).map_err(write_error(&path))?;
        let group = File::open(&path).map_err(write_error(&path))?;
        let group = Flock::lock(group, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => BackupError::GroupBusy { path: path.clone() },
            other => BackupError::Write { path: path.clone(), source: other.into() },
        })?;
        own(store, namespace, &snapshot, owner)?;

        let folder = store.snapshot_path(namespace, &snapshot);
        match fs::DirBuilder::new().mode(0o755).create(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(BackupError::Exists { snapshot });
            }
            Err(source) => return Err(BackupError::Write { path: folder, source }),
        }
        Ok(Self {
            chunks: store.chunks().clone(),
            snapshot,
            folder: Unfinished { path: folder, finished: false },
            protection,
            rng,
            files: Vec::new(),
            stats: UploadStats::default(),
            _group: group,
            _store: lock,
        })
    }

    /// Adds a blob, compressed and encrypted as the snapshot is.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn blob(&mut self, filename: &FileName, content: &[u8]) -> Result<(), BackupError> {
        self.expect_new(filename, filename.kind() == FileKind::Blob)?;
        let raw =
            blob::encode(content, self.protection.encrypting(), true, &mut self.rng).map_err(BackupError::Blob)?;
        if raw.len() > MAX_UPLOAD {
            return Err(BackupError::TooLarge { filename: filename.clone() });
        }
        self.put(filename.as_str(), &raw)?;
        self.add(filename, raw.len() as u64, Sha256::of(&raw));
        Ok(())
    }

    /// Begins an archive: a stream is written to what comes back, then that is finished. `ctime`
    /// is noted in the index, as Unix seconds, and decides nothing.
    ///
    /// # Errors
    /// [`BackupError::File`].
    pub fn archive(&mut self, filename: &FileName, ctime: i64) -> Result<ArchiveWriter<'_, 'k, R>, BackupError> {
        self.expect_new(filename, filename.kind() != FileKind::Blob)?;
        let cutter = match filename.kind() {
            FileKind::Fixed => Cutter::fixed(cut::USUAL),
            FileKind::Dynamic | FileKind::Blob => Cutter::content(cut::USUAL),
        };
        Ok(ArchiveWriter {
            filename: filename.clone(),
            ctime,
            cutter,
            held: Vec::new(),
            entries: Vec::new(),
            stats: ArchiveStats::default(),
            pool: None,
            failed: false,
            snapshot: self,
        })
    }

    /// Writes an archive with so many threads: `fill` writes the stream, they make chunks of it. What
    /// is stored is the same as with one thread, and so is the error, if there is one: the first in
    /// the order of the stream. It may come some chunks later, or at the end.
    ///
    /// Memory: two chunks (of 16 MiB at most) for each thread, and as much again while they are
    /// encoded.
    ///
    /// # Errors
    /// Those of `fill`, and [`BackupError`].
    pub fn archive_with<T, E: From<BackupError>>(
        &mut self,
        filename: &FileName,
        ctime: i64,
        threads: NonZeroUsize,
        fill: impl FnOnce(&mut ArchiveWriter<'_, 'k, R>) -> Result<T, E>,
    ) -> Result<(T, ArchiveStats), E> {
        let (chunks, key) = (self.chunks.clone(), self.protection.encrypting());
        let known = Mutex::new(HashSet::new());
        thread::scope(|scope| {
            let mut writer = self.archive(filename, ctime)?;
            if threads.get() > 1 {
                let (chunks, known) = (&chunks, &known);
                writer.pool = Ordered::start(scope, threads, move |piece: Piece| piece.store(chunks, key, Some(known)));
            }
            let result = fill(&mut writer)?;
            Ok((result, writer.finish()?))
        })
    }

    /// What was added so far.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Puts everything on the disk, and then the manifest with its comment, if there is one.
    ///
    /// # Errors
    /// [`BackupError`]. The snapshot is then removed, but for the case that its manifest had its
    /// name already and only the disk did not confirm it.
    pub fn finish(mut self, notes: Option<&str>) -> Result<Manifest, BackupError> {
        let (snapshot, files) = (self.snapshot.clone(), std::mem::take(&mut self.files));
        let manifest = match self.protection.signing() {
            Some(key) => Manifest::sign(snapshot, files, key),
            None => Manifest::unsigned(snapshot, files),
        };
        let mut manifest = manifest.map_err(BackupError::Manifest)?.with_upload_stats(self.stats);
        if let Some(notes) = notes {
            manifest = manifest.with_notes(notes);
        }
        let raw = manifest.to_blob(&mut self.rng).map_err(BackupError::Manifest)?;
        self.chunks.sync().map_err(BackupError::Chunk)?;
        self.put(MANIFEST_NAME, &raw)?;
        // From here on it is a snapshot, and nothing of it is removed whatever happens.
        self.folder.finished = true;
        let path = &self.folder.path;
        for folder in [Some(path.as_path()), path.parent()].into_iter().flatten() {
            disk::sync_folder(folder).map_err(write_error(folder))?;
        }
        Ok(manifest)
    }

    fn expect_new(&self, filename: &FileName, right_kind: bool) -> Result<(), BackupError> {
        let there = self.files.iter().any(|file| file.filename == *filename);
        if right_kind && !there && filename.as_str() != MANIFEST_NAME {
            Ok(())
        } else {
            Err(BackupError::File { filename: filename.clone() })
        }
    }

    fn put(&self, name: &str, raw: &[u8]) -> Result<(), BackupError> {
        let path = self.folder.path.join(name);
        disk::write(&path, raw, Sync::File).map_err(write_error(&path))
    }

    fn add(&mut self, filename: &FileName, size: u64, csum: Sha256) {
        let crypt_mode = self.protection.crypt_mode();
        self.files.push(FileEntry { filename: filename.clone(), crypt_mode, size, csum });
    }
}

impl<R> fmt::Debug for SnapshotWriter<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWriter")
            .field("snapshot", &self.snapshot)
            .field("folder", &self.folder)
            .field("protection", &self.protection)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// What an archive came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStats {
    /// Bytes of content.
    pub size: u64,
    /// Chunks.
    pub chunks: u64,
    /// Chunks that were there already.
    pub known: u64,
    /// Bytes of content in chunks that were not there.
    pub new_size: u64,
    /// Bytes that those take on the disk.
    pub stored: u64,
}

/// An archive that is being written. Nothing of it counts before [`Self::finish`].
pub struct ArchiveWriter<'w, 'k, R> {
    snapshot: &'w mut SnapshotWriter<'k, R>,
    filename: FileName,
    ctime: i64,
    cutter: Cutter,
    held: Vec<u8>,
    entries: Vec<(u64, Digest)>,
    stats: ArchiveStats,
    pool: Option<Ordered<Piece, Result<Stored, BackupError>>>,
    /// A chunk is missing.
    failed: bool,
}

/// A chunk to be stored.
struct Piece {
    content: Vec<u8>,
    iv: blob::Iv,
}

/// A chunk that was stored, or was there.
struct Stored {
    digest: Digest,
    length: u64,
    /// Bytes on the disk; `None` if it was there already.
    bytes: Option<u64>,
}

impl Piece {
    /// `known` are the chunks that this archive has already, if others store chunks of it meanwhile.
    fn store(
        self,
        chunks: &ChunkStore,
        key: Option<&EncryptionKey>,
        known: Option<&Mutex<HashSet<Digest>>>,
    ) -> Result<Stored, BackupError> {
        let digest = chunk_digest(&self.content, key);
        let length = self.content.len() as u64;
        // Of two equal chunks under way at a time one is stored and the other one is known, as in turn.
        let first = known.is_none_or(|known| known.lock().unwrap_or_else(PoisonError::into_inner).insert(digest));
        let mut bytes = None;
        if first && !chunks.touch(&digest, key.is_some()).map_err(BackupError::Chunk)? {
            let raw = blob::encode_with(&self.content, key, true, self.iv).map_err(BackupError::Blob)?;
            if chunks.insert(&digest, &raw).map_err(BackupError::Chunk)? == Inserted::New {
                bytes = Some(raw.len() as u64);
            }
        }
        Ok(Stored { digest, length, bytes })
    }
}

impl<R: CryptoRng> ArchiveWriter<'_, '_, R> {
    /// Stores what is left, writes the index, and adds the archive to the snapshot.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn finish(mut self) -> Result<ArchiveStats, BackupError> {
        if !self.held.is_empty() || self.failed {
            self.store()?;
        }
        while let Some(stored) = self.pool.as_mut().and_then(Ordered::take) {
            self.note(stored?);
        }
        let Self { snapshot, filename, ctime, entries, stats, .. } = self;
        if entries.is_empty() {
            return Err(BackupError::Empty { filename });
        }
        let mut uuid = [0; 16];
        snapshot.rng.fill_bytes(&mut uuid);
        let uuid = *uuid::Builder::from_random_bytes(uuid).as_uuid().as_bytes();
        let id = IndexId { uuid, ctime };
        let index = if filename.kind() == FileKind::Fixed {
            let digests = entries.into_iter().map(|(_, digest)| digest).collect();
            FixedIndex::new(id, stats.size, cut::USUAL as u64, digests).map(Index::Fixed)
        } else {
            DynamicIndex::new(id, entries).map(Index::Dynamic)
        };
        let index = index.map_err(|source| BackupError::Index { filename: filename.clone(), source })?;
        snapshot.put(filename.as_str(), &index.encode())?;
        snapshot.add(&filename, index.size(), index.csum());
        snapshot.stats.count += stats.chunks;
        snapshot.stats.size += stats.size;
        snapshot.stats.compressed_size += stats.stored;
        snapshot.stats.duplicates += stats.known;
        Ok(stats)
    }

    /// Makes a chunk of what is held.
    fn store(&mut self) -> Result<(), BackupError> {
        if self.failed {
            return Err(BackupError::Incomplete { filename: self.filename.clone() });
        }
        self.failed = true;
        self.give()?;
        self.failed = false;
        Ok(())
    }

    fn give(&mut self) -> Result<(), BackupError> {
        let iv = blob::draw_iv(&mut self.snapshot.rng);
        let Some(pool) = &mut self.pool else {
            let piece = Piece { content: std::mem::take(&mut self.held), iv };
            let stored = piece.store(&self.snapshot.chunks, self.snapshot.protection.encrypting(), None)?;
            self.note(stored);
            return Ok(());
        };
        let stored = if pool.is_full() { pool.take() } else { None };
        pool.give(Piece { content: std::mem::take(&mut self.held), iv });
        stored.transpose()?.into_iter().for_each(|stored| self.note(stored));
        Ok(())
    }

    fn note(&mut self, stored: Stored) {
        self.stats.chunks += 1;
        self.stats.size += stored.length;
        match stored.bytes {
            Some(bytes) => {
                self.stats.new_size += stored.length;
                self.stats.stored += bytes;
            }
            None => self.stats.known += 1,
        }
        self.entries.push((self.stats.size, stored.digest));
    }
}

/// Without the content that is held: it is somebody's data, and may be anything.
impl<R> fmt::Debug for ArchiveWriter<'_, '_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveWriter")
            .field("filename", &self.filename)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl<R: CryptoRng> Write for ArchiveWriter<'_, '_, R> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let Some(length) = self.cutter.next(data) else {
            self.held.extend_from_slice(data);
            return Ok(data.len());
        };
        self.held.extend_from_slice(&data[..length]);
        self.store().map_err(io::Error::other)?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The folder of a snapshot that has no manifest yet.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
    finished: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // Whoever dropped it has an error to tell already; without a manifest what may be left
            // is no snapshot to anybody.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    |source| BackupError::Write { path, source }
}

fn existing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Compares the group's owner, or becomes it.
fn own(store: &Datastore, namespace: &Namespace, snapshot: &SnapshotRef, given: &str) -> Result<(), BackupError> {
    let path = store.group_path(namespace, snapshot.group()).join("owner");
    match store.owner(namespace, snapshot.group()) {
        Ok(owner) => {
            let by_token = owner.split_once('!').is_some_and(|(user, _)| user == given);
            if owner == given || by_token { Ok(()) } else { Err(BackupError::Owner { owner, given: given.into() }) }
        }
        Err(error) if error.is_missing() => {
            disk::write(&path, format!("{given}\n").as_bytes(), Sync::File).map_err(write_error(&path))
        }
        Err(error) => Err(BackupError::Datastore(error)),
    }
}

/// A shared record lock on the datastore's lock file, held as long as the file is open.
fn lock_store(root: &Path) -> Result<File, BackupError> {
    let path = root.join(".lock");
    let file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(write_error(&path))?;
    let lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(file),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(BackupError::StoreBusy),
        Err(errno) => Err(BackupError::Write { path, source: errno.into() }),
    }
}
