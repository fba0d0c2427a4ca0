//! An archive's content as a stream, out of the chunks that its index names.
//!
//! `formats.md` §3.3. Each chunk is believed only when it is there, is encrypted exactly if the
//! archive is, decodes, has the length that the index says, and has the digest that the index
//! says. One chunk is in memory at a time.
//!
//! The index itself must have been compared with a manifest before
//! ([`Snapshot::archive`](crate::datastore::Snapshot::archive) does both): the digests of an index
//! that nobody vouched for prove nothing.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
};

use thiserror::Error;

use crate::{
    blob::{self, BlobError},
    chunk::{ChunkError, ChunkStore},
    digest::{Digest, chunk_digest},
    index::{ChunkSpan, Index},
    key::EncryptionKey,
    manifest::CryptMode,
};

/// Why an archive's content could not be read. Inside the [`io::Error`] of a [`ChunkReader`]:
/// `error.get_ref()` and a downcast give it back, or [`ArchiveError::of`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The chunk is missing or cannot be read.
    #[error("a chunk of the archive cannot be read")]
    Chunk(#[source] ChunkError),
    /// The chunk's file is damaged, was encrypted under another key, or needs a key.
    #[error("chunk {} of the archive cannot be decoded", hex::encode(digest))]
    Blob {
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        source: BlobError,
    },
    /// An encrypted chunk in an unencrypted archive, or the reverse.
    #[error("chunk {} is {} although the archive is not so", hex::encode(digest),
        if *encrypted { "encrypted" } else { "unencrypted" })]
    CryptMode {
        /// Its digest.
        digest: Digest,
        /// Whether the chunk is encrypted.
        encrypted: bool,
    },
    /// The chunk is sound, but has another length than the index says.
    #[error("chunk {} does not have the {expected} bytes that the index says", hex::encode(digest))]
    WrongLength {
        /// Its digest.
        digest: Digest,
        /// Bytes that it should have.
        expected: u64,
    },
    /// The chunk is sound, but is another one.
    #[error("chunk {} does not have the content of that digest", hex::encode(digest))]
    WrongDigest {
        /// The digest that was asked for.
        digest: Digest,
    },
}

impl ArchiveError {
    /// The archive's error inside an error of a reader over it, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// Reads an archive's content, forwards or from any place.
pub struct ChunkReader<'a> {
    store: ChunkStore,
    index: Index,
    key: Option<&'a EncryptionKey>,
    crypt_mode: CryptMode,
    offset: u64,
    /// The chunk that was read last: its digest and content.
    held: Option<(Digest, Vec<u8>)>,
}

impl<'a> ChunkReader<'a> {
    /// A reader at the beginning. `crypt_mode` is the manifest's word for this archive; a key is
    /// used only where that is [`CryptMode::Encrypt`].
    #[must_use]
    pub fn new(store: &ChunkStore, index: Index, crypt_mode: CryptMode, key: Option<&'a EncryptionKey>) -> Self {
        Self { store: store.clone(), index, key, crypt_mode, offset: 0, held: None }
    }

    /// Bytes of the content.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.index.size()
    }

    /// The index that is read through.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// One chunk's content, checked.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn chunk(&self, span: &ChunkSpan) -> Result<Vec<u8>, ArchiveError> {
        let digest = span.digest;
        let expected = span.end.saturating_sub(span.start);
        let wrong_length = || ArchiveError::WrongLength { digest, expected };
        let encrypt = self.crypt_mode == CryptMode::Encrypt;
        let raw = self.store.read_raw(&digest).map_err(ArchiveError::Chunk)?;
        let kind = blob::check(&raw).map_err(|source| ArchiveError::Blob { digest, source })?;
        if kind.is_encrypted() != encrypt {
            return Err(ArchiveError::CryptMode { digest, encrypted: kind.is_encrypted() });
        }
        let key = if encrypt { self.key } else { None };
        let room = usize::try_from(expected).map_err(|_| wrong_length())?;
        let content = match blob::decode(&raw, key, room) {
            Ok(content) if content.len() == room => content,
            Ok(_) | Err(BlobError::TooLarge { .. }) => return Err(wrong_length()),
            Err(source) => return Err(ArchiveError::Blob { digest, source }),
        };
        if chunk_digest(&content, key) == digest { Ok(content) } else { Err(ArchiveError::WrongDigest { digest }) }
    }

    /// Reads at `offset` without moving; 0 bytes at or beyond the end only.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let Some(span) = self.index.position(offset).and_then(|position| self.index.chunk(position)) else {
            return Ok(0);
        };
        // Images have long runs of one and the same chunk. Its length is the same, or it is not
        // the chunk: a digest stands for one content.
        let length = usize::try_from(span.end - span.start).unwrap_or(usize::MAX);
        let content = match &mut self.held {
            Some((digest, content)) if *digest == span.digest && content.len() == length => &*content,
            held => {
                *held = None;
                let content = self.chunk(&span)?;
                &self.held.insert((span.digest, content)).1
            }
        };
        let within = usize::try_from(offset - span.start).unwrap_or(usize::MAX);
        let rest = content.get(within..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Without the content that is held: it is somebody's data, and may be anything.
impl fmt::Debug for ChunkReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkReader")
            .field("store", &self.store)
            .field("size", &self.size())
            .field("crypt_mode", &self.crypt_mode)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Read for ChunkReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(self.offset, buffer).map_err(io::Error::other)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl Seek for ChunkReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.offset.checked_add_signed(by),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
        };
        self.offset = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.offset)
    }
}
