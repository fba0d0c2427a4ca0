//! DataBlob: what every chunk file and every `.blob` file is.
//!
//! `formats.md` §2. Magic 8, CRC-32 4 (little-endian, over everything after the header), then the
//! payload; the encrypted kinds have IV 16 and tag 16 between. Compressed first, encrypted after:
//! so read in the order CRC, tag, decompression, and nothing that is not authentic is decompressed.
//!
//! The CRC finds accidents only, and covers neither IV nor tag. An unencrypted blob proves nothing
//! of itself: what it must be equal to stands in an index or a manifest.

use rand::CryptoRng;
use thiserror::Error;
use zstd::zstd_safe;

use crate::{cipher, key::EncryptionKey};

/// Bytes of content that a blob may carry.
pub const MAX_PLAIN: usize = 128 << 20;
/// Bytes before the payload of an unencrypted blob.
pub const HEADER: usize = 12;
/// Bytes before the ciphertext of an encrypted blob.
pub const ENCRYPTED_HEADER: usize = HEADER + cipher::IV + cipher::TAG;

/// What the reference compresses with.
const LEVEL: i32 = 1;
/// libzstd's number for "destination too small".
const DESTINATION_TOO_SMALL: usize = 70;

/// The four kinds, told apart by their magics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobKind {
    /// The content itself.
    Plain,
    /// A zstd frame.
    Compressed,
    /// The content, encrypted.
    Encrypted,
    /// A zstd frame, encrypted.
    CompressedEncrypted,
}

/// Why a blob was not read or made.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobError {
    /// Shorter than its header.
    #[error("the blob is too small ({found} bytes)")]
    TooSmall {
        /// Bytes found.
        found: usize,
    },
    /// None of the four magics.
    #[error("the blob starts with an unknown magic number")]
    UnknownMagic,
    /// The payload is not what was written.
    #[error("the blob has a wrong checksum")]
    WrongChecksum,
    /// It is encrypted and no key was given.
    #[error("the blob is encrypted and no key was given")]
    KeyNeeded,
    /// It was encrypted under another key, or was changed. These cannot be told apart.
    #[error("the blob was encrypted under another key or was changed")]
    NotAuthentic,
    /// More content than it may have here.
    #[error("the blob's content has more than {max} bytes")]
    TooLarge {
        /// What was allowed.
        max: usize,
    },
    /// The zstd frame is broken.
    #[error("the blob cannot be decompressed ({reason})")]
    Decompress {
        /// libzstd's name for it.
        reason: &'static str,
    },
    /// libzstd could not compress.
    #[error("the blob cannot be compressed ({reason})")]
    Compress {
        /// libzstd's name for it.
        reason: &'static str,
    },
}

impl BlobKind {
    const ALL: [Self; 4] = [Self::Plain, Self::Compressed, Self::Encrypted, Self::CompressedEncrypted];

    /// The first eight bytes of SHA-256 of a name (`formats.md` §2.1).
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Plain => [0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1],
            Self::Compressed => [0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f],
            Self::Encrypted => [0x7b, 0x67, 0x85, 0xbe, 0x22, 0x2d, 0x4c, 0xf0],
            Self::CompressedEncrypted => [0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b],
        }
    }

    /// Whether a key is needed to read it.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Encrypted | Self::CompressedEncrypted)
    }

    /// Whether it holds a zstd frame.
    #[must_use]
    pub const fn is_compressed(self) -> bool {
        matches!(self, Self::Compressed | Self::CompressedEncrypted)
    }

    const fn header(self) -> usize {
        if self.is_encrypted() { ENCRYPTED_HEADER } else { HEADER }
    }
}

/// The kind of a blob, by its magic and its least length.
///
/// # Errors
/// [`BlobError::TooSmall`] or [`BlobError::UnknownMagic`].
pub fn kind(raw: &[u8]) -> Result<BlobKind, BlobError> {
    let too_small = BlobError::TooSmall { found: raw.len() };
    let (Some(magic), true) = (raw.first_chunk::<8>(), raw.len() >= HEADER) else { return Err(too_small) };
    let kind = BlobKind::ALL.into_iter().find(|kind| kind.magic() == *magic).ok_or(BlobError::UnknownMagic)?;
    if raw.len() < kind.header() { Err(too_small) } else { Ok(kind) }
}

/// Checks kind, length and checksum, without a key and without decompressing.
///
/// # Errors
/// [`BlobError::TooSmall`], [`BlobError::UnknownMagic`] or [`BlobError::WrongChecksum`].
pub fn check(raw: &[u8]) -> Result<BlobKind, BlobError> {
    let kind = kind(raw)?;
    let stated = raw[8..HEADER].iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
    if crc32fast::hash(&raw[kind.header()..]) == stated { Ok(kind) } else { Err(BlobError::WrongChecksum) }
}

/// A blob's content, at most `max_plain` bytes of it. A key that is not needed is not looked at:
/// who expects an encrypted blob asks [`kind`] too.
///
/// # Errors
/// [`BlobError`], in the order size, magic, checksum, key, size again.
pub fn decode(raw: &[u8], key: Option<&EncryptionKey>, max_plain: usize) -> Result<Vec<u8>, BlobError> {
    let kind = check(raw)?;
    let payload = &raw[kind.header()..];
    // What is not compressed is as long as its payload.
    if !kind.is_compressed() && payload.len() > max_plain {
        return Err(BlobError::TooLarge { max: max_plain });
    }
    if !kind.is_encrypted() {
        return if kind.is_compressed() { decompress(payload, max_plain) } else { Ok(payload.to_vec()) };
    }
    let key = key.ok_or(BlobError::KeyNeeded)?;
    let too_small = || BlobError::TooSmall { found: raw.len() };
    let (iv, rest) = raw[HEADER..].split_first_chunk().ok_or_else(too_small)?;
    let tag = rest.first_chunk().ok_or_else(too_small)?;
    let mut text = payload.to_vec();
    cipher::open(key.expose_bytes(), iv, tag, &mut text).map_err(|cipher::Refused| BlobError::NotAuthentic)?;
    if kind.is_compressed() { decompress(&text, max_plain) } else { Ok(text) }
}

/// Makes a blob: compressed if that is asked for and makes it shorter, encrypted if a key is given.
///
/// # Errors
/// [`BlobError::TooLarge`] beyond [`MAX_PLAIN`], [`BlobError::Compress`].
pub fn encode(
    data: &[u8],
    key: Option<&EncryptionKey>,
    compress: bool,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Vec<u8>, BlobError> {
    encode_with(data, key, compress, draw_iv(rng))
}

/// What a blob takes of chance.
pub(crate) type Iv = [u8; cipher::IV];

pub(crate) fn draw_iv(rng: &mut (impl CryptoRng + ?Sized)) -> Iv {
    let mut iv = [0; cipher::IV];
    rng.fill_bytes(&mut iv);
    iv
}

/// The same with an IV that was drawn for this one blob.
pub(crate) fn encode_with(
    data: &[u8],
    key: Option<&EncryptionKey>,
    compress: bool,
    iv: Iv,
) -> Result<Vec<u8>, BlobError> {
    let too_large = BlobError::TooLarge { max: MAX_PLAIN };
    if data.len() > MAX_PLAIN {
        return Err(too_large);
    }
    let frame = if compress { shorter(data)? } else { None };
    let kind = match (frame.is_some(), key.is_some()) {
        (false, false) => BlobKind::Plain,
        (true, false) => BlobKind::Compressed,
        (false, true) => BlobKind::Encrypted,
        (true, true) => BlobKind::CompressedEncrypted,
    };
    let payload = frame.as_deref().unwrap_or(data);
    let mut raw = Vec::with_capacity(kind.header() + payload.len());
    raw.extend_from_slice(&kind.magic());
    raw.resize(kind.header(), 0);
    raw.extend_from_slice(payload);
    if let Some(key) = key {
        let tag =
            cipher::seal(key.expose_bytes(), &iv, &mut raw[ENCRYPTED_HEADER..]).map_err(|cipher::Refused| too_large)?;
        raw[HEADER..HEADER + cipher::IV].copy_from_slice(&iv);
        raw[HEADER + cipher::IV..ENCRYPTED_HEADER].copy_from_slice(&tag);
    }
    let sum = crc32fast::hash(&raw[kind.header()..]);
    raw[8..HEADER].copy_from_slice(&sum.to_le_bytes());
    Ok(raw)
}

/// `data` as a zstd frame, if that is shorter.
fn shorter(data: &[u8]) -> Result<Option<Vec<u8>>, BlobError> {
    let mut frame = Vec::with_capacity(data.len());
    match zstd_safe::compress(&mut frame, data, LEVEL) {
        Ok(length) if length < data.len() => Ok(Some(frame)),
        Ok(_) => Ok(None),
        Err(code) if error_number(code) == DESTINATION_TOO_SMALL => Ok(None),
        Err(code) => Err(BlobError::Compress { reason: zstd_safe::get_error_name(code) }),
    }
}

/// All frames in `frames`, into at most `max` bytes. One call with the whole output at hand needs
/// no window, so the frame's own wishes for memory are never granted.
fn decompress(frames: &[u8], max: usize) -> Result<Vec<u8>, BlobError> {
    let single = zstd_safe::find_frame_compressed_size(frames) == Ok(frames.len());
    let stated = zstd_safe::get_frame_content_size(frames).ok().flatten().filter(|_| single);
    let mut room = match stated.map(usize::try_from) {
        Some(Ok(size)) if size <= max => size,
        Some(_) => return Err(BlobError::TooLarge { max }),
        // A streaming encoder does not say. Most content is less than sixteen times its frame.
        None => max.min(frames.len().saturating_mul(16).saturating_add(1 << 16)),
    };
    loop {
        let mut content = Vec::with_capacity(room);
        match zstd_safe::decompress(&mut content, frames) {
            Ok(_) => {
                content.shrink_to_fit();
                return Ok(content);
            }
            Err(code) if error_number(code) == DESTINATION_TOO_SMALL && room < max => {
                room = max.min(room.saturating_mul(8));
            }
            Err(code) if error_number(code) == DESTINATION_TOO_SMALL => return Err(BlobError::TooLarge { max }),
            Err(code) => return Err(BlobError::Decompress { reason: zstd_safe::get_error_name(code) }),
        }
    }
}

/// libzstd returns its error numbers negated.
fn error_number(code: usize) -> usize {
    code.wrapping_neg()
}
