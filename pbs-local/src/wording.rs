//! The client's words for what the format's readers find wrong.
//!
//! `pbs-format` says what happened in its own terms; whoever reads our output knows the client's
//! (`formats.md` §2.4, §4.2, §11.5; transcripts `ab`, `x`).

use std::io::{self, Read};

use pbs_format::{
    archive::ArchiveError,
    blob::BlobError,
    chunk::ChunkError,
    datastore::{DatastoreError, FileKind, FileName},
    index::IndexError,
    manifest::{FileEntry, ManifestError},
};

use crate::error::Error;

/// A reader whose errors are in the client's words.
#[derive(Debug)]
pub(crate) struct Worded<R>(pub(crate) R);

impl<R: Read> Read for Worded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match ArchiveError::of(&error) {
            Some(archive) => io::Error::new(error.kind(), archive_error(archive)),
            None => error,
        })
    }
}

fn archive_error(error: &ArchiveError) -> String {
    match error {
        ArchiveError::Chunk(ChunkError::Read { path, source }) => {
            format!("reading file {path:?} failed: {source}")
        }
        ArchiveError::Chunk(other) => other.to_string(),
        ArchiveError::Blob { digest, source } => {
            let text = blob_error(source);
            match source {
                BlobError::TooSmall { .. } | BlobError::UnknownMagic | BlobError::WrongChecksum => {
                    format!("Failed to parse chunk {} - {text}", hex::encode(digest))
                }
                _ => text,
            }
        }
        ArchiveError::CryptMode { .. } => "Index and chunk CryptMode don't match.".to_owned(),
        ArchiveError::WrongDigest { .. } => "detected chunk with wrong digest.".to_owned(),
        ArchiveError::WrongLength { expected, .. } => {
            format!("detected chunk with wrong length (expected {expected} bytes)")
        }
        other => other.to_string(),
    }
}

/// A blob's trouble.
pub(crate) fn blob_error(error: &BlobError) -> String {
    match error {
        BlobError::TooSmall { found } => format!("blob too small ({found} bytes)."),
        BlobError::UnknownMagic => "unable to parse raw blob - wrong magic".to_owned(),
        BlobError::WrongChecksum => "Data blob has wrong CRC checksum.".to_owned(),
        BlobError::KeyNeeded => "unable to decrypt blob - missing CryptConfig".to_owned(),
        BlobError::NotAuthentic => "OpenSSL error".to_owned(),
        other => other.to_string(),
    }
}

/// A manifest's trouble, checks with a key included.
pub(crate) fn manifest_error(error: ManifestError) -> Error {
    match error {
        ManifestError::MissingKey { stated } => Error::MissingKey { manifest: stated.short() },
        ManifestError::WrongKey { stated, given, signed: true } => {
            Error::WrongKeySigned { manifest: stated.short(), provided: given.short() }
        }
        ManifestError::WrongKey { stated, given, signed: false } => {
            Error::WrongKey { manifest: stated.short(), provided: given.short() }
        }
        ManifestError::WrongSignature => Error::WrongSignature,
        ManifestError::Blob(source) => Error::Content(blob_error(&source)),
        ManifestError::Json(source) => Error::Content(format!("unable to parse manifest - {source}")),
        other => Error::Content(format!("unable to parse manifest - {other}")),
    }
}

/// The trouble with a file that the manifest lists.
pub(crate) fn file_error(error: DatastoreError, entry: &FileEntry, raw: impl FnOnce() -> Option<Vec<u8>>) -> Error {
    let file = entry.filename.to_string();
    let kind = match entry.filename.kind() {
        FileKind::Dynamic => Some("dynamic"),
        FileKind::Fixed => Some("fixed"),
        FileKind::Blob => None,
    };
    match error {
        DatastoreError::Read { path, source } if source.kind() == io::ErrorKind::NotFound => match kind {
            Some(kind) => Error::IndexMissing { kind, path },
            None => Error::FileMissing { path },
        },
        DatastoreError::Read { path, source } => Error::Store { what: "reading file", path, cause: source.to_string() },
        DatastoreError::WrongSize { stated, found, .. } => Error::WrongSize { file, expected: stated, found },
        DatastoreError::WrongChecksum { .. } => Error::WrongChecksum { file },
        DatastoreError::Index { source, .. } => {
            // The client computes size and checksum from the entries, and only then compares.
            let size = raw().and_then(|raw| content_length(&entry.filename, &raw));
            match (source, size) {
                (IndexError::WrongChecksum | IndexError::ChunkLength { .. }, Some(found)) if found != entry.size => {
                    Error::WrongSize { file, expected: entry.size, found }
                }
                (IndexError::WrongChecksum | IndexError::ChunkLength { .. }, _) => Error::WrongChecksum { file },
                (source, _) => {
                    let kind = kind.unwrap_or("dynamic");
                    let cause = match source {
                        IndexError::UnknownMagic => "got unknown magic number".to_owned(),
                        other => other.to_string(),
                    };
                    Error::BadIndex { kind, file, cause }
                }
            }
        }
        other => Error::Content(other.to_string()),
    }
}

/// How long an index says that its content is, whatever else is wrong with it.
fn content_length(file: &FileName, raw: &[u8]) -> Option<u64> {
    let field = match file.kind() {
        FileKind::Fixed => raw.get(64..72),
        _ => raw.len().checked_sub(40).filter(|at| *at >= 4096).and_then(|at| raw.get(at..at + 8)),
    };
    field.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
}
