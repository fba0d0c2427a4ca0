//! The manifest, `index.json.blob`: which files make up a snapshot, and who says so.
//!
//! `formats.md` §7. A plain or compressed blob, never an encrypted one, around a JSON object. Its
//! signature is an HMAC under the id key over the canonical text of the object **as stored**,
//! without its two top-level fields `signature` and `unprotected`; so a field that this reader does
//! not know counts as well. What stands in `unprotected` is signed by nobody, the key's
//! fingerprint included: it says which key to try, and proves nothing.
//!
//! A parsed [`Manifest`] is a claim. Only [`Manifest::verify`] makes a [`VerifiedManifest`] of it.
//! [`Manifest::check`] is what the stock client asks for, which is less.

mod strict;
mod write;

use std::fmt;

use hmac::Mac as _;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256, json, time::Timestamp};
use thiserror::Error;

use crate::{
    blob::{self, BlobError},
    key::EncryptionKey,
    name::{BackupType, FileName, Group, NameError, SnapshotRef},
};

pub use self::write::UploadStats;

/// Bytes of a manifest's text, and of the blob around it.
pub const MAX_MANIFEST: usize = 16 << 20;

/// The manifest's own name in a snapshot; it is not among its files.
pub const MANIFEST_NAME: &str = "index.json.blob";

/// How a file is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CryptMode {
    /// Neither encrypted nor signed.
    None,
    /// Encrypted, and signed through the manifest.
    Encrypt,
    /// Only signed through the manifest.
    SignOnly,
}

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name on the server, with its ending.
    pub filename: FileName,
    /// How it is protected.
    pub crypt_mode: CryptMode,
    /// Of an index: the length of its content. Of a blob: the length of the file.
    pub size: u64,
    /// Of an index: its index checksum. Of a blob: the SHA-256 of the file.
    pub csum: Sha256,
}

/// A manifest that was read. Anybody may have written it.
#[derive(Clone, Debug)]
pub struct Manifest {
    stored: Map<String, Value>,
    snapshot: SnapshotRef,
    files: Vec<FileEntry>,
    signature: Option<[u8; 32]>,
    key_fingerprint: Option<Fingerprint>,
}

/// A manifest whose signature was made with the key that it was verified under. All that it says
/// outside `unprotected` was said by a holder of that key; whether it is the snapshot that was
/// asked for, and how its files are protected, remains to be looked at.
#[derive(Clone, Debug)]
pub struct VerifiedManifest {
    manifest: Manifest,
    key: Fingerprint,
}

/// Why a manifest was not read, not verified or not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Larger than any manifest.
    #[error("the manifest has more than {MAX_MANIFEST} bytes")]
    TooLarge,
    /// The blob around it cannot be read.
    #[error("the manifest's blob cannot be read")]
    Blob(#[source] BlobError),
    /// The blob around it is encrypted, which a manifest never is.
    #[error("the manifest is encrypted")]
    Encrypted,
    /// Not JSON, or an object with the same key twice.
    #[error("the manifest is not JSON, or has a key twice")]
    Json(#[source] serde_json::Error),
    /// A field is missing or is not what it should be.
    #[error("the manifest's {field} is missing or not what it should be")]
    Field {
        /// Its name.
        field: &'static str,
    },
    /// The snapshot that it names is none.
    #[error("the manifest does not name a snapshot")]
    Name(#[source] NameError),
    /// Two files of one name.
    #[error("the manifest lists {filename} twice")]
    ListedTwice {
        /// The name.
        filename: FileName,
    },
    /// It has a null or a number that is no integer in its signed part.
    #[error("the manifest has no canonical text")]
    NoCanonicalText(#[source] json::JsonError),
    /// Nobody signed it.
    #[error("the manifest is not signed")]
    Unsigned,
    /// It states another key than the one given.
    #[error("the manifest was made with key {}, not with key {}", stated.short(), given.short())]
    WrongKey {
        /// As it says itself.
        stated: Fingerprint,
        /// Of the key given.
        given: Fingerprint,
        /// Whether it has a signature.
        signed: bool,
    },
    /// It was made with a key and none was given.
    #[error("the manifest was made with key {}, and no key was given", stated.short())]
    MissingKey {
        /// As it says itself.
        stated: Fingerprint,
    },
    /// The signature was made with another key, or the manifest was changed.
    #[error("the manifest's signature is wrong")]
    WrongSignature,
    /// What is to be written is larger than a reader takes.
    #[error("the manifest is too large to be written")]
    Unwritable(#[source] BlobError),
}

impl Manifest {
    /// Reads a manifest as it is stored (a blob) or as a client hands it out (the text).
    ///
    /// # Errors
    /// [`ManifestError`] for anything whose meaning two readers could see differently.
    pub fn parse(raw: &[u8]) -> Result<Self, ManifestError> {
        match raw.iter().find(|byte| !byte.is_ascii_whitespace()) {
            // None of the blobs' magics starts so.
            Some(b'{') if blob::kind(raw).is_err() => Self::from_text(raw),
            _ => Self::from_blob(raw),
        }
    }

    /// Reads the stored blob.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_blob(raw: &[u8]) -> Result<Self, ManifestError> {
        if raw.len() > MAX_MANIFEST {
            return Err(ManifestError::TooLarge);
        }
        if blob::kind(raw).map_err(ManifestError::Blob)?.is_encrypted() {
            return Err(ManifestError::Encrypted);
        }
        Self::from_text(&blob::decode(raw, None, MAX_MANIFEST).map_err(ManifestError::Blob)?)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_text(text: &[u8]) -> Result<Self, ManifestError> {
        if text.len() > MAX_MANIFEST {
            return Err(ManifestError::TooLarge);
        }
        let stored = strict::object(text).map_err(ManifestError::Json)?;
        let field = |name| stored.get(name);
        let wrong = |field| move || ManifestError::Field { field };

        let backup_type: BackupType = field("backup-type")
            .and_then(Value::as_str)
            .ok_or_else(wrong("backup-type"))?
            .parse()
            .map_err(ManifestError::Name)?;
        let id = field("backup-id").and_then(Value::as_str).ok_or_else(wrong("backup-id"))?;
        let group = Group::new(backup_type, id).map_err(ManifestError::Name)?;
        let time = field("backup-time")
            .and_then(Value::as_i64)
            .and_then(|seconds| Timestamp::from_unix(seconds).ok())
            .ok_or_else(wrong("backup-time"))?;
        let snapshot = SnapshotRef::new(group, time).map_err(ManifestError::Name)?;

        let listed = field("files").and_then(Value::as_array).ok_or_else(wrong("files"))?;
        let mut files: Vec<FileEntry> = Vec::with_capacity(listed.len());
        let mut names = std::collections::BTreeSet::new();
        for file in listed {
            let entry = FileEntry::read(file)?;
            if !names.insert(entry.filename.clone()) {
                return Err(ManifestError::ListedTwice { filename: entry.filename });
            }
            files.push(entry);
        }

        let signature = match field("signature") {
            None | Some(Value::Null) => None,
            Some(Value::String(hex)) => Some(read_hex(hex).ok_or_else(wrong("signature"))?),
            Some(_) => return Err(wrong("signature")()),
        };
        let key_fingerprint = match field("unprotected") {
            None => None,
            Some(Value::Object(unprotected)) => match unprotected.get("key-fingerprint") {
                None | Some(Value::Null) => None,
                Some(value) => {
                    Some(value.as_str().and_then(|text| text.parse().ok()).ok_or_else(wrong("key-fingerprint"))?)
                }
            },
            Some(_) => return Err(wrong("unprotected")()),
        };
        Ok(Self { stored, snapshot, files, signature, key_fingerprint })
    }

    /// The snapshot that it says it belongs to.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotRef {
        &self.snapshot
    }

    /// The files that it lists, in its order.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The file of this name on the server.
    #[must_use]
    pub fn file(&self, filename: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.filename.as_str() == filename)
    }

    /// Whether it has a signature, right or wrong.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// The key that it says it was made with. Not covered by the signature.
    #[must_use]
    pub fn key_fingerprint(&self) -> Option<Fingerprint> {
        self.key_fingerprint
    }

    /// The part that no signature covers: notes, verification state, upload statistics.
    #[must_use]
    pub fn unprotected(&self) -> Option<&Map<String, Value>> {
        self.stored.get("unprotected").and_then(Value::as_object)
    }

    /// The text that is signed.
    ///
    /// # Errors
    /// [`ManifestError::NoCanonicalText`].
    pub fn canonical_text(&self) -> Result<String, ManifestError> {
        let signed = self.stored.iter().filter(|(name, _)| !matches!(name.as_str(), "signature" | "unprotected"));
        let signed: Map<String, Value> = signed.map(|(name, value)| (name.clone(), value.clone())).collect();
        json::canonical(&Value::Object(signed)).map_err(ManifestError::NoCanonicalText)
    }

    /// Verifies the signature under a key.
    ///
    /// # Errors
    /// [`ManifestError::Unsigned`], [`ManifestError::WrongKey`], [`ManifestError::WrongSignature`]
    /// or [`ManifestError::NoCanonicalText`].
    pub fn verify(&self, key: &EncryptionKey) -> Result<VerifiedManifest, ManifestError> {
        let signature = self.signature.ok_or(ManifestError::Unsigned)?;
        self.expect_key(key)?;
        if bool::from(self.mac(key)?.ct_eq(&signature)) {
            Ok(VerifiedManifest { manifest: self.clone(), key: key.fingerprint() })
        } else {
            Err(ManifestError::WrongSignature)
        }
    }

    /// What the stock client asks for, given a key or none (`formats.md` §7.3): without a key it
    /// does not look at a signature, and an unsigned manifest passes with any key that its
    /// fingerprint field does not contradict. Enough to open what one trusts already, no more.
    ///
    /// # Errors
    /// [`ManifestError::MissingKey`], [`ManifestError::WrongKey`] or
    /// [`ManifestError::WrongSignature`].
    pub fn check(&self, key: Option<&EncryptionKey>) -> Result<(), ManifestError> {
        match (key, self.key_fingerprint) {
            (None, Some(stated)) => Err(ManifestError::MissingKey { stated }),
            (None, None) => Ok(()),
            (Some(key), _) if self.is_signed() => self.verify(key).map(drop),
            (Some(key), _) => self.expect_key(key),
        }
    }

    fn expect_key(&self, key: &EncryptionKey) -> Result<(), ManifestError> {
        match self.key_fingerprint {
            Some(stated) if stated != key.fingerprint() => {
                Err(ManifestError::WrongKey { stated, given: key.fingerprint(), signed: self.is_signed() })
            }
            _ => Ok(()),
        }
    }

    fn mac(&self, key: &EncryptionKey) -> Result<[u8; 32], ManifestError> {
        Ok(key.mac().chain_update(self.canonical_text()?).finalize().into_bytes().into())
    }
}

impl VerifiedManifest {
    /// The snapshot that it belongs to. Whether that is the one that was asked for, the caller
    /// compares.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotRef {
        self.manifest.snapshot()
    }

    /// The signed files.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        self.manifest.files()
    }

    /// The signed file of this name on the server.
    #[must_use]
    pub fn file(&self, filename: &str) -> Option<&FileEntry> {
        self.manifest.file(filename)
    }

    /// The fingerprint of the key that verified it: computed from the key, not read from the file.
    #[must_use]
    pub fn key_fingerprint(&self) -> Fingerprint {
        self.key
    }

    /// Whether every file is encrypted. An empty snapshot has nothing that is not.
    #[must_use]
    pub fn all_encrypted(&self) -> bool {
        self.files().iter().all(|file| file.crypt_mode == CryptMode::Encrypt)
    }

    /// The manifest with its unsigned parts.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl FileEntry {
    fn read(value: &Value) -> Result<Self, ManifestError> {
        let wrong = |field| move || ManifestError::Field { field };
        let file = value.as_object().ok_or_else(wrong("files"))?;
        let text = |name| file.get(name).and_then(Value::as_str);
        let crypt_mode = match file.get("crypt-mode") {
            // Files from before the field existed.
            None => CryptMode::None,
            Some(mode) => mode.as_str().and_then(CryptMode::read).ok_or_else(wrong("crypt-mode"))?,
        };
        Ok(Self {
            filename: text("filename").and_then(|name| name.parse().ok()).ok_or_else(wrong("filename"))?,
            crypt_mode,
            size: file.get("size").and_then(Value::as_u64).ok_or_else(wrong("size"))?,
            csum: text("csum").and_then(read_hex).map(Sha256::from_bytes).ok_or_else(wrong("csum"))?,
        })
    }
}

impl CryptMode {
    fn read(text: &str) -> Option<Self> {
        [Self::None, Self::Encrypt, Self::SignOnly].into_iter().find(|mode| mode.as_str() == text)
    }

    /// PBS's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Encrypt => "encrypt",
            Self::SignOnly => "sign-only",
        }
    }
}

impl fmt::Display for CryptMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// 64 lower-case hex digits. Capitals would let a signature be changed without being wrong.
fn read_hex(text: &str) -> Option<[u8; 32]> {
    let lower = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let mut bytes = [0; 32];
    (text.bytes().all(lower) && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}
