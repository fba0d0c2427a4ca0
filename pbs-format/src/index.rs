//! Indexes: which chunks, one after another, make up an archive.
//!
//! `formats.md` §4. A header of 4096 bytes, then entries up to the end of the file.
//!
//! | offset | `.didx` | `.fidx` |
//! | --- | --- | --- |
//! | 0 | magic 8, UUID 16, ctime i64, checksum 32 | the same |
//! | 64 | zeros | size of the image u64, chunk size u64, zeros |
//! | 4096 | per chunk: **end** offset u64, digest 32 | per chunk: digest 32 |
//!
//! The checksum is SHA-256 over the entries as they stand; a manifest repeats it. UUID and ctime
//! decide nothing. All integers are little-endian.

use sha2::{Digest as _, Sha256 as Hasher};
use tenwords_protocol::hash::Sha256;
use thiserror::Error;

use crate::{chunk::MAX_CHUNK, digest::Digest};

/// Bytes of an index file: enough for some fifty terabytes of chunks.
pub const MAX_INDEX: usize = 512 << 20;

const HEADER: usize = 4096;
const DYNAMIC_MAGIC: [u8; 8] = [0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd];
const FIXED_MAGIC: [u8; 8] = [0x2f, 0x7f, 0x41, 0xed, 0x91, 0xfd, 0x0f, 0xcd];
const DYNAMIC_ENTRY: usize = 40;
const FIXED_ENTRY: usize = 32;

/// One chunk of an archive: the bytes `start .. end` of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSpan {
    /// Where it begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// Its digest.
    pub digest: Digest,
}

/// What makes an index file the same or another, without meaning anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexId {
    /// A random UUID.
    pub uuid: [u8; 16],
    /// When it was made, in Unix seconds.
    pub ctime: i64,
}

/// The index of an archive whose chunks have any length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicIndex {
    id: IndexId,
    entries: Vec<(u64, Digest)>,
}

/// The index of an image whose chunks have one length, but for the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedIndex {
    id: IndexId,
    size: u64,
    chunk_size: u64,
    digests: Vec<Digest>,
}

/// An index of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Index {
    /// `.didx`
    Dynamic(DynamicIndex),
    /// `.fidx`
    Fixed(FixedIndex),
}

/// Why an index was not read or made.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexError {
    /// Shorter than its header.
    #[error("the index is too small ({found} bytes)")]
    TooSmall {
        /// Bytes found.
        found: usize,
    },
    /// Larger than any index.
    #[error("the index has more than {MAX_INDEX} bytes")]
    TooLarge,
    /// Another file, or an index of the other kind.
    #[error("the index starts with an unknown magic number")]
    UnknownMagic,
    /// The file does not end where its last entry does.
    #[error("the index has {found} bytes, which no number of entries has")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// The checksum in its header is not that of its entries.
    #[error("the index has a wrong checksum")]
    WrongChecksum,
    /// A chunk that ends before it begins, or is longer than a chunk may be.
    #[error("chunk {position} of the index has an impossible length")]
    ChunkLength {
        /// Counted from 0.
        position: usize,
    },
    /// The size of the image is zero, or the size of its chunks is no power of two or too large.
    #[error("the index states an impossible size ({size} bytes in chunks of {chunk_size})")]
    Size {
        /// Of the image.
        size: u64,
        /// Of a chunk.
        chunk_size: u64,
    },
}

impl DynamicIndex {
    /// The index of these chunks: where each ends, and its digest.
    ///
    /// # Errors
    /// [`IndexError::ChunkLength`] or [`IndexError::TooLarge`].
    pub fn new(id: IndexId, entries: Vec<(u64, Digest)>) -> Result<Self, IndexError> {
        if entries.len() > (MAX_INDEX - HEADER) / DYNAMIC_ENTRY {
            return Err(IndexError::TooLarge);
        }
        let mut start = 0_u64;
        for (position, &(end, _)) in entries.iter().enumerate() {
            match end.checked_sub(start) {
                Some(1..=LONGEST) => start = end,
                _ => return Err(IndexError::ChunkLength { position }),
            }
        }
        Ok(Self { id, entries })
    }

    /// Reads an index file.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn parse(raw: &[u8]) -> Result<Self, IndexError> {
        let (header, body) = split(raw, DYNAMIC_MAGIC)?;
        let (entries, []) = body.as_chunks::<DYNAMIC_ENTRY>() else {
            return Err(IndexError::Length { found: raw.len() });
        };
        header.expect_checksum(body)?;
        let entries = entries.iter().map(|entry| {
            let (end, digest) = entry.split_at(8);
            (u64_at(end, 0), array_at(digest, 0))
        });
        Self::new(header.id, entries.collect())
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(DYNAMIC_MAGIC, self.id, self.csum(), &[], self.body())
    }

    /// The index checksum.
    #[must_use]
    pub fn csum(&self) -> Sha256 {
        let hasher = self
            .entries
            .iter()
            .fold(Hasher::new(), |hasher, (end, digest)| hasher.chain_update(end.to_le_bytes()).chain_update(digest));
        Sha256::from_bytes(hasher.finalize().into())
    }

    /// Bytes of the archive.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.0)
    }

    fn body(&self) -> Vec<u8> {
        self.entries.iter().flat_map(|(end, digest)| end.to_le_bytes().into_iter().chain(*digest)).collect()
    }
}

impl FixedIndex {
    /// The index of an image of `size` bytes in chunks of `chunk_size`.
    ///
    /// # Errors
    /// [`IndexError::Size`] if the size is zero or the chunk size is no power of two or too large,
    /// [`IndexError::Length`] for another number of digests than the size asks for.
    pub fn new(id: IndexId, size: u64, chunk_size: u64, digests: Vec<Digest>) -> Result<Self, IndexError> {
        if size == 0 || !chunk_size.is_power_of_two() || chunk_size > LONGEST {
            return Err(IndexError::Size { size, chunk_size });
        }
        if digests.len() as u64 != size.div_ceil(chunk_size) {
            return Err(IndexError::Length { found: HEADER + digests.len() * FIXED_ENTRY });
        }
        Ok(Self { id, size, chunk_size, digests })
    }

    /// Reads an index file.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn parse(raw: &[u8]) -> Result<Self, IndexError> {
        let (header, body) = split(raw, FIXED_MAGIC)?;
        let (digests, []) = body.as_chunks::<FIXED_ENTRY>() else {
            return Err(IndexError::Length { found: raw.len() });
        };
        header.expect_checksum(body)?;
        Self::new(header.id, u64_at(raw, 64), u64_at(raw, 72), digests.to_vec())
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let sizes = [self.size.to_le_bytes(), self.chunk_size.to_le_bytes()].concat();
        encode(FIXED_MAGIC, self.id, self.csum(), &sizes, self.digests.concat())
    }

    /// The index checksum.
    #[must_use]
    pub fn csum(&self) -> Sha256 {
        let hasher = self.digests.iter().fold(Hasher::new(), |hasher, digest| hasher.chain_update(digest));
        Sha256::from_bytes(hasher.finalize().into())
    }

    /// Bytes of the image.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of every chunk but the last.
    #[must_use]
    pub fn chunk_size(&self) -> u64 {
        self.chunk_size
    }
}

impl Index {
    /// Reads an index file of the kind that its magic says.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn parse(raw: &[u8]) -> Result<Self, IndexError> {
        match raw.first_chunk() {
            Some(&FIXED_MAGIC) => FixedIndex::parse(raw).map(Self::Fixed),
            _ => DynamicIndex::parse(raw).map(Self::Dynamic),
        }
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Dynamic(index) => index.encode(),
            Self::Fixed(index) => index.encode(),
        }
    }

    /// The index checksum, which a manifest repeats.
    #[must_use]
    pub fn csum(&self) -> Sha256 {
        match self {
            Self::Dynamic(index) => index.csum(),
            Self::Fixed(index) => index.csum(),
        }
    }

    /// Bytes of the content.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Dynamic(index) => index.size(),
            Self::Fixed(index) => index.size(),
        }
    }

    /// What tells it from another file of the same content.
    #[must_use]
    pub fn id(&self) -> IndexId {
        match self {
            Self::Dynamic(index) => index.id,
            Self::Fixed(index) => index.id,
        }
    }

    /// How many chunks it has.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Dynamic(index) => index.entries.len(),
            Self::Fixed(index) => index.digests.len(),
        }
    }

    /// One of its chunks, counted from 0.
    #[must_use]
    pub fn chunk(&self, position: usize) -> Option<ChunkSpan> {
        match self {
            Self::Dynamic(index) => {
                let &(end, digest) = index.entries.get(position)?;
                let start = position.checked_sub(1).map_or(0, |before| index.entries[before].0);
                Some(ChunkSpan { start, end, digest })
            }
            Self::Fixed(index) => {
                let digest = *index.digests.get(position)?;
                let start = position as u64 * index.chunk_size;
                Some(ChunkSpan { start, end: index.size.min(start.saturating_add(index.chunk_size)), digest })
            }
        }
    }

    /// All of its chunks in order.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkSpan> {
        (0..self.count()).filter_map(|position| self.chunk(position))
    }

    /// The position of the chunk that holds the byte at `offset`.
    #[must_use]
    pub fn position(&self, offset: u64) -> Option<usize> {
        if offset >= self.size() {
            return None;
        }
        match self {
            Self::Dynamic(index) => Some(index.entries.partition_point(|&(end, _)| end <= offset)),
            Self::Fixed(index) => usize::try_from(offset / index.chunk_size).ok(),
        }
    }
}

/// The most bytes that a chunk has.
const LONGEST: u64 = MAX_CHUNK as u64;

struct Header {
    id: IndexId,
    checksum: [u8; 32],
}

impl Header {
    fn expect_checksum(&self, body: &[u8]) -> Result<(), IndexError> {
        if Sha256::of(body).as_bytes() == &self.checksum { Ok(()) } else { Err(IndexError::WrongChecksum) }
    }
}

fn split(raw: &[u8], magic: [u8; 8]) -> Result<(Header, &[u8]), IndexError> {
    if raw.len() > MAX_INDEX {
        return Err(IndexError::TooLarge);
    }
    match raw.first_chunk() {
        Some(found) if *found == magic => {}
        Some(_) => return Err(IndexError::UnknownMagic),
        None => return Err(IndexError::TooSmall { found: raw.len() }),
    }
    let (header, body) = raw.split_at_checked(HEADER).ok_or(IndexError::TooSmall { found: raw.len() })?;
    let id = IndexId { uuid: array_at(header, 8), ctime: i64::from_le_bytes(array_at(header, 24)) };
    Ok((Header { id, checksum: array_at(header, 32) }, body))
}

fn encode(magic: [u8; 8], id: IndexId, csum: Sha256, sizes: &[u8], body: Vec<u8>) -> Vec<u8> {
    let mut raw = Vec::with_capacity(HEADER + body.len());
    raw.extend_from_slice(&magic);
    raw.extend_from_slice(&id.uuid);
    raw.extend_from_slice(&id.ctime.to_le_bytes());
    raw.extend_from_slice(csum.as_bytes());
    raw.extend_from_slice(sizes);
    raw.resize(HEADER, 0);
    raw.extend(body);
    raw
}

/// The bytes from `offset` on; the callers have checked that they are there.
fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}
