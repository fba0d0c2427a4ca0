//! A datastore directory: namespaces, groups, snapshots and their files.
//!
//! `formats.md` §6.
//!
//! ```text
//! <root>/.lock  .chunks/…
//!        <type>/<id>/owner
//!        <type>/<id>/<time>/index.json.blob  <archive>.didx|fidx|blob
//!        ns/<name>/<type>/…                  a namespace: the same again
//! ```
//!
//! Lists name what has a proper name and is a folder, as the server does, and pass over the rest.
//! Nothing that is read here is believed: [`Snapshot`] compares a file with what a manifest says of
//! it, and whether to believe the manifest is for its reader to settle first.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use tenwords_protocol::{hash::Sha256, time::Timestamp};
use thiserror::Error;

use crate::{
    archive::ChunkReader,
    blob::{self, BlobError},
    chunk::{ChunkError, ChunkStore},
    disk,
    index::{Index, IndexError, MAX_INDEX},
    key::EncryptionKey,
    manifest::{CryptMode, FileEntry, MANIFEST_NAME, MAX_MANIFEST, Manifest, ManifestError},
};

pub use crate::name::{BackupType, FileKind, FileName, Group, NameError, Namespace, SnapshotRef};

/// Bytes of a blob's file: its content, and a header.
const MAX_BLOB_FILE: usize = blob::MAX_PLAIN + blob::ENCRYPTED_HEADER;
/// Bytes of an owner file.
const MAX_OWNER: usize = 4096;
/// The one blob that is not encrypted in an encrypted snapshot: RSA did that already.
const WRAPPED_KEY: &str = "rsa-encrypted.key.blob";

/// A datastore directory.
#[derive(Clone, Debug)]
pub struct Datastore {
    root: PathBuf,
    chunks: ChunkStore,
}

/// Why something in a datastore was not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatastoreError {
    /// The directory is no datastore.
    #[error("{} is not a datastore", path.display())]
    NotADatastore {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        source: ChunkError,
    },
    /// There is something already where a datastore was to be made.
    #[error("{} is not an empty directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A file or folder cannot be read; if it is missing, its source says so.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest is none.
    #[error("the manifest of {snapshot} cannot be read")]
    Manifest {
        /// The snapshot.
        snapshot: SnapshotRef,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The manifest is that of another snapshot.
    #[error("the manifest in {snapshot} is that of {stated}")]
    MisplacedManifest {
        /// The snapshot.
        snapshot: SnapshotRef,
        /// What the manifest says.
        stated: SnapshotRef,
    },
    /// The index is none.
    #[error("the index {filename} cannot be read")]
    Index {
        /// The file.
        filename: FileName,
        /// What is wrong with it.
        source: IndexError,
    },
    /// The file has another size than the manifest says.
    #[error("{filename} has {found} bytes, the manifest says {stated}")]
    WrongSize {
        /// The file.
        filename: FileName,
        /// What the manifest says.
        stated: u64,
        /// What was found.
        found: u64,
    },
    /// The file has another checksum than the manifest says.
    #[error("{filename} has another checksum than the manifest says")]
    WrongChecksum {
        /// The file.
        filename: FileName,
    },
    /// The blob is unencrypted although the manifest says otherwise, or the reverse.
    #[error("{filename} is not protected as the manifest says ({stated})")]
    CryptMode {
        /// The file.
        filename: FileName,
        /// What the manifest says.
        stated: CryptMode,
    },
    /// The blob cannot be decoded.
    #[error("{filename} cannot be decoded")]
    Blob {
        /// The file.
        filename: FileName,
        /// What is wrong.
        source: BlobError,
    },
    /// A blob was asked for as an archive, or the reverse.
    #[error("{filename} is not that kind of file")]
    Kind {
        /// The file.
        filename: FileName,
    },
}

impl DatastoreError {
    /// Whether what was asked for is not there at all.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl Datastore {
    /// The datastore in this directory.
    ///
    /// # Errors
    /// [`DatastoreError::NotADatastore`].
    pub fn open(root: &Path) -> Result<Self, DatastoreError> {
        match ChunkStore::open(root) {
            Ok(chunks) => Ok(Self { root: root.to_owned(), chunks }),
            Err(source) => Err(DatastoreError::NotADatastore { path: root.to_owned(), source }),
        }
    }

    /// Makes an empty datastore, in a directory that is empty or does not exist yet.
    ///
    /// # Errors
    /// [`DatastoreError::NotEmpty`], [`DatastoreError::Write`] or [`DatastoreError::NotADatastore`].
    pub fn create(root: &Path) -> Result<Self, DatastoreError> {
        let wrong = |source| DatastoreError::Write { path: root.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(root).map_err(wrong)?;
        if fs::read_dir(root).map_err(wrong)?.next().is_some() {
            return Err(DatastoreError::NotEmpty { path: root.to_owned() });
        }
        fs::File::create_new(root.join(".lock")).map_err(wrong)?;
        match ChunkStore::create(root) {
            Ok(chunks) => Ok(Self { root: root.to_owned(), chunks }),
            Err(source) => Err(DatastoreError::NotADatastore { path: root.to_owned(), source }),
        }
    }

    /// Its directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its chunks.
    #[must_use]
    pub fn chunks(&self) -> &ChunkStore {
        &self.chunks
    }

    /// The folder of a namespace.
    #[must_use]
    pub fn namespace_path(&self, namespace: &Namespace) -> PathBuf {
        namespace.components().fold(self.root.clone(), |path, name| path.join("ns").join(name))
    }

    /// The folder of a group.
    #[must_use]
    pub fn group_path(&self, namespace: &Namespace, group: &Group) -> PathBuf {
        self.namespace_path(namespace).join(group.to_string())
    }

    /// The folder of a snapshot.
    #[must_use]
    pub fn snapshot_path(&self, namespace: &Namespace, snapshot: &SnapshotRef) -> PathBuf {
        self.namespace_path(namespace).join(snapshot.to_string())
    }

    /// All namespaces, the root first, each before its children.
    ///
    /// # Errors
    /// [`DatastoreError::Read`].
    pub fn namespaces(&self) -> Result<Vec<Namespace>, DatastoreError> {
        let mut found = vec![Namespace::root()];
        let mut next = 0;
        while let Some(parent) = found.get(next).cloned() {
            let inner = self.namespace_path(&parent).join("ns");
            let mut children: Vec<Namespace> =
                folders_if_any(&inner)?.iter().filter_map(|name| parent.child(name).ok()).collect();
            children.sort();
            found.extend(children);
            next += 1;
        }
        found.sort();
        Ok(found)
    }

    /// The groups of a namespace, sorted as the server sorts them.
    ///
    /// # Errors
    /// [`DatastoreError::Read`], also for a namespace that is not there.
    pub fn groups(&self, namespace: &Namespace) -> Result<Vec<Group>, DatastoreError> {
        let home = self.namespace_path(namespace);
        if let Err(source) = fs::read_dir(&home) {
            return Err(DatastoreError::Read { path: home, source });
        }
        let mut groups = Vec::new();
        for backup_type in [BackupType::Ct, BackupType::Host, BackupType::Vm] {
            let names = folders_if_any(&home.join(backup_type.to_string()))?;
            groups.extend(names.iter().filter_map(|id| Group::new(backup_type, id).ok()));
        }
        groups.sort();
        Ok(groups)
    }

    /// The snapshots of a group, oldest first, unfinished ones too.
    ///
    /// # Errors
    /// [`DatastoreError::Read`], also for a group that is not there.
    pub fn snapshots(&self, namespace: &Namespace, group: &Group) -> Result<Vec<SnapshotRef>, DatastoreError> {
        let times = folders(&self.group_path(namespace, group))?;
        let times = times.iter().filter_map(|time| Timestamp::from_str(time).ok());
        let mut snapshots: Vec<_> = times.filter_map(|time| SnapshotRef::new(group.clone(), time).ok()).collect();
        snapshots.sort();
        Ok(snapshots)
    }

    /// The authentication id that a group belongs to.
    ///
    /// # Errors
    /// [`DatastoreError::Read`].
    pub fn owner(&self, namespace: &Namespace, group: &Group) -> Result<String, DatastoreError> {
        let path = self.group_path(namespace, group).join("owner");
        let read = || {
            let text = String::from_utf8(disk::read(&path, MAX_OWNER)?)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            Ok(text.lines().next().unwrap_or_default().to_owned())
        };
        read().map_err(|source| DatastoreError::Read { path: path.clone(), source })
    }

    /// A snapshot, for reading.
    ///
    /// # Errors
    /// [`DatastoreError::Read`] if it is not there.
    pub fn snapshot(&self, namespace: &Namespace, snapshot: &SnapshotRef) -> Result<Snapshot<'_>, DatastoreError> {
        let path = self.snapshot_path(namespace, snapshot);
        match fs::read_dir(&path) {
            Ok(_) => Ok(Snapshot { store: self, snapshot: snapshot.clone(), path }),
            Err(source) => Err(DatastoreError::Read { path, source }),
        }
    }
}

/// One snapshot of a datastore.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    store: &'a Datastore,
    snapshot: SnapshotRef,
    path: PathBuf,
}

impl<'a> Snapshot<'a> {
    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which one it is.
    #[must_use]
    pub fn reference(&self) -> &SnapshotRef {
        &self.snapshot
    }

    /// The files that lie there and count as part of a snapshot, the manifest among them, with the
    /// bytes that they take, sorted by name.
    ///
    /// # Errors
    /// [`DatastoreError::Read`].
    pub fn files(&self) -> Result<Vec<(FileName, u64)>, DatastoreError> {
        let list = || {
            let mut files = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                let name = entry.file_name().into_string().ok().and_then(|name| name.parse().ok());
                if let Some(name) = name.filter(|_| metadata.is_file()) {
                    files.push((name, metadata.len()));
                }
            }
            files.sort();
            Ok(files)
        };
        list().map_err(|source| DatastoreError::Read { path: self.path.clone(), source })
    }

    /// Its manifest, unverified, but that of this snapshot by its own word.
    ///
    /// # Errors
    /// [`DatastoreError::Read`], [`DatastoreError::Manifest`] or
    /// [`DatastoreError::MisplacedManifest`].
    pub fn manifest(&self) -> Result<Manifest, DatastoreError> {
        let snapshot = self.snapshot.clone();
        let raw = self.read(MANIFEST_NAME, MAX_MANIFEST)?;
        match Manifest::from_blob(&raw) {
            Ok(manifest) if *manifest.snapshot() == snapshot => Ok(manifest),
            Ok(manifest) => Err(DatastoreError::MisplacedManifest { snapshot, stated: manifest.snapshot().clone() }),
            Err(source) => Err(DatastoreError::Manifest { snapshot, source }),
        }
    }

    /// A file as it lies there, undecoded and unchecked.
    ///
    /// # Errors
    /// [`DatastoreError::Read`].
    pub fn raw(&self, filename: &FileName) -> Result<Vec<u8>, DatastoreError> {
        let max = if filename.kind() == FileKind::Blob { MAX_BLOB_FILE } else { MAX_INDEX };
        self.read(filename.as_str(), max)
    }

    /// The index of an archive, found equal to what the manifest says of it.
    ///
    /// # Errors
    /// [`DatastoreError`].
    pub fn index(&self, entry: &FileEntry) -> Result<Index, DatastoreError> {
        let filename = || entry.filename.clone();
        let (fixed, raw) = match entry.filename.kind() {
            FileKind::Blob => return Err(DatastoreError::Kind { filename: filename() }),
            kind => (kind == FileKind::Fixed, self.raw(&entry.filename)?),
        };
        let index = match Index::parse(&raw) {
            Ok(index) if matches!(index, Index::Fixed(_)) == fixed => index,
            Ok(_) => {
                return Err(DatastoreError::Index { filename: filename(), source: IndexError::UnknownMagic });
            }
            Err(source) => return Err(DatastoreError::Index { filename: filename(), source }),
        };
        expect(entry, index.size(), index.csum())?;
        Ok(index)
    }

    /// The content of an archive, as a stream.
    ///
    /// # Errors
    /// [`DatastoreError`], before the first chunk is read.
    pub fn archive<'k>(
        &self,
        entry: &FileEntry,
        key: Option<&'k EncryptionKey>,
    ) -> Result<ChunkReader<'k>, DatastoreError> {
        Ok(ChunkReader::new(&self.store.chunks, self.index(entry)?, entry.crypt_mode, key))
    }

    /// The content of a blob.
    ///
    /// # Errors
    /// [`DatastoreError`].
    pub fn blob(&self, entry: &FileEntry, key: Option<&EncryptionKey>) -> Result<Vec<u8>, DatastoreError> {
        let filename = || entry.filename.clone();
        if entry.filename.kind() != FileKind::Blob {
            return Err(DatastoreError::Kind { filename: filename() });
        }
        let raw = self.raw(&entry.filename)?;
        expect(entry, raw.len() as u64, Sha256::of(&raw))?;
        let wrong = |source| DatastoreError::Blob { filename: filename(), source };
        let encrypted = entry.crypt_mode == CryptMode::Encrypt && entry.filename.as_str() != WRAPPED_KEY;
        if blob::check(&raw).map_err(wrong)?.is_encrypted() != encrypted {
            return Err(DatastoreError::CryptMode { filename: filename(), stated: entry.crypt_mode });
        }
        blob::decode(&raw, key, blob::MAX_PLAIN).map_err(wrong)
    }

    fn read(&self, name: &str, max: usize) -> Result<Vec<u8>, DatastoreError> {
        let path = self.path.join(name);
        disk::read(&path, max).map_err(|source| DatastoreError::Read { path, source })
    }
}

fn expect(entry: &FileEntry, found: u64, csum: Sha256) -> Result<(), DatastoreError> {
    let filename = entry.filename.clone();
    if found != entry.size {
        return Err(DatastoreError::WrongSize { filename, stated: entry.size, found });
    }
    if csum == entry.csum { Ok(()) } else { Err(DatastoreError::WrongChecksum { filename }) }
}

/// The names of the folders in a folder, where they are UTF-8. A link to a folder is none.
fn folders(path: &Path) -> Result<Vec<String>, DatastoreError> {
    let list = || {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(OsString::into_string(entry.file_name()).ok());
            }
        }
        Ok(names)
    };
    list().map_err(|source| DatastoreError::Read { path: path.to_owned(), source })
}

/// The same, with nothing in a folder that does not exist.
fn folders_if_any(path: &Path) -> Result<Vec<String>, DatastoreError> {
    match folders(path) {
        Err(error) if error.is_missing() => Ok(Vec::new()),
        other => other,
    }
}
