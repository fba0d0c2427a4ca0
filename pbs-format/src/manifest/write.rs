//! Manifests as PBS writes them: two blanks of indent, keys sorted at every level, `signature` and
//! `unprotected` always there, no newline at the end.

use rand::CryptoRng;
use serde_json::{Map, Value, json};
use tenwords_protocol::fingerprint::Fingerprint;

use super::{FileEntry, Manifest, ManifestError};
use crate::{blob, key::EncryptionKey, name::SnapshotRef};

/// What the server notes about the upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadStats {
    /// Chunks in the archives.
    pub count: u64,
    /// Bytes in them.
    pub size: u64,
    /// Bytes that they take on the disk.
    pub compressed_size: u64,
    /// Chunks that were there already.
    pub duplicates: u64,
}

impl Manifest {
    /// A manifest that nobody signs, for a snapshot that no key had a part in.
    ///
    /// # Errors
    /// [`ManifestError::ListedTwice`].
    pub fn unsigned(snapshot: SnapshotRef, files: Vec<FileEntry>) -> Result<Self, ManifestError> {
        Self::build(snapshot, files, None)
    }

    /// A manifest that is signed with `key`.
    ///
    /// # Errors
    /// [`ManifestError::ListedTwice`].
    pub fn sign(snapshot: SnapshotRef, files: Vec<FileEntry>, key: &EncryptionKey) -> Result<Self, ManifestError> {
        let mut manifest = Self::build(snapshot, files, Some(key.fingerprint()))?;
        let signature = manifest.mac(key)?;
        manifest.signature = Some(signature);
        manifest.stored.insert("signature".into(), hex::encode(signature).into());
        Ok(manifest)
    }

    /// The same manifest with a comment; the signature stays valid.
    #[must_use]
    pub fn with_notes(self, notes: &str) -> Self {
        self.with_unprotected("notes", notes.into())
    }

    /// The same manifest with what an upload cost; the signature stays valid.
    #[must_use]
    pub fn with_upload_stats(self, stats: UploadStats) -> Self {
        let UploadStats { count, size, compressed_size, duplicates } = stats;
        let value = json!({"compressed_size": compressed_size, "count": count, "duplicates": duplicates, "size": size});
        self.with_unprotected("chunk_upload_stats", value)
    }

    /// The text as PBS writes it. A manifest that was read and is written keeps every field.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{:#}", sorted(&Value::Object(self.stored.clone())))
    }

    /// The text in its blob.
    ///
    /// # Errors
    /// [`ManifestError::TooLarge`] or [`ManifestError::Unwritable`].
    pub fn to_blob(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Vec<u8>, ManifestError> {
        let text = self.to_text();
        if text.len() > super::MAX_MANIFEST {
            return Err(ManifestError::TooLarge);
        }
        blob::encode(text.as_bytes(), None, true, rng).map_err(ManifestError::Unwritable)
    }

    fn build(
        snapshot: SnapshotRef,
        files: Vec<FileEntry>,
        key_fingerprint: Option<Fingerprint>,
    ) -> Result<Self, ManifestError> {
        let mut names = std::collections::BTreeSet::new();
        if let Some(file) = files.iter().find(|file| !names.insert(&file.filename)) {
            return Err(ManifestError::ListedTwice { filename: file.filename.clone() });
        }
        let listed = files.iter().map(|file| {
            json!({
                "crypt-mode": file.crypt_mode.as_str(),
                "csum": file.csum.to_string(),
                "filename": file.filename.as_str(),
                "size": file.size,
            })
        });
        let mut unprotected = Map::new();
        if let Some(fingerprint) = key_fingerprint {
            unprotected.insert("key-fingerprint".into(), fingerprint.to_string().into());
        }
        let mut stored = Map::new();
        stored.insert("backup-id".into(), snapshot.group().id().into());
        stored.insert("backup-time".into(), snapshot.time().unix().into());
        stored.insert("backup-type".into(), snapshot.group().backup_type().to_string().into());
        stored.insert("files".into(), listed.collect());
        stored.insert("signature".into(), Value::Null);
        stored.insert("unprotected".into(), unprotected.into());
        Ok(Self { stored, snapshot, files, signature: None, key_fingerprint })
    }

    fn with_unprotected(mut self, name: &str, value: Value) -> Self {
        if let Some(unprotected) = self.stored.get_mut("unprotected").and_then(Value::as_object_mut) {
            unprotected.insert(name.to_owned(), value);
        } else {
            self.stored.insert("unprotected".into(), json!({ name: value }));
        }
        self
    }
}

/// Whether serde_json's maps keep their keys sorted depends on a feature that any other crate in
/// the build may turn off; so the order is made here.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_unstable();
            Value::Object(keys.into_iter().map(|key| (key.clone(), sorted(&object[key]))).collect())
        }
        other => other.clone(),
    }
}
