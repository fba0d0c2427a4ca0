//! The two gates. Nothing that has not passed them can be installed or restored.
//!
//! *Key gate*: a [`GatedKey`] is made here only, where three fingerprints are compared: the one
//! computed from the opened key, the one that its file states, and the one that the root lists, with
//! the hash of the very part. There is one other way in, for a key that came after the ceremony: the
//! third fingerprint is then the one that a statement lists which the root's box key signed and
//! which stands in its chain ([`crate::update`]). *Snapshot gate* (wall 8): a [`GatedSnapshot`] is made only from a
//! manifest whose HMAC verifies under a gated key, that names the snapshot of the plan, and whose
//! every file is encrypted. A hostile server can put our fingerprint on an unsigned plaintext
//! snapshot, and the real client then restores it without a word (`transcripts/hostile-pbs.txt`).
//! What does not pass is an [`UnprovenSnapshot`], which an order may let through by the hash of its list.
//!
//! ```compile_fail,E0451
//! # use std::sync::Arc;
//! # use tenwords_escrow::gate::GatedKey;
//! # fn plant(key: pbs_format::key::EncryptionKey) {
//! let planted = GatedKey { key, times: (0, 0) };
//! # }
//! ```
//!
//! ```compile_fail,E0308
//! # use tenwords_escrow::gate::GatedKey;
//! # fn double(key: &GatedKey) {
//! let second: GatedKey = key.clone();
//! # }
//! ```

mod unproven;

use std::{fmt, sync::Arc};

use pbs_format::{
    key::{EncryptionKey, KeyFile, KeyFileError},
    manifest::{CryptMode, FileEntry, Manifest, ManifestError, VerifiedManifest},
    name::{FileName, SnapshotRef},
};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

pub use self::unproven::{AllowedArchive, AllowedSnapshot, Lack, UnprovenSnapshot};
use crate::{
    door::{KeyPart, PlainKey},
    root::Root,
    update::ChainedStatement,
};

/// A key of ours: opened with the words, and the one that the root or a verified update lists.
///
/// It is handed around in an [`Arc`], because several snapshots of one recovery need the same key
/// at the same time; each handle ends with the recovery, and the key is wiped with the last.
pub struct GatedKey {
    key: EncryptionKey,
    times: (i64, i64),
}

/// A snapshot that a holder of a gated key made, that is the one of the plan, and all of whose
/// files are encrypted.
#[derive(Debug)]
pub struct GatedSnapshot {
    manifest: VerifiedManifest,
    key: Arc<GatedKey>,
}

/// A file of a gated snapshot, by its signed entry. Only its name goes to a restore.
#[derive(Debug, Clone, Copy)]
pub struct GatedArchive<'s> {
    entry: &'s FileEntry,
}

/// Why a key or a snapshot was not let through.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GateError {
    /// The opened key is another one than its file states.
    #[error("the key opened is {}, its file states {}", computed.short(), stated.short())]
    KeyComputed {
        /// Of the opened key.
        computed: Fingerprint,
        /// In the file.
        stated: Fingerprint,
    },
    /// The file in an update, listed as that of this key, holds none.
    #[error("the file of key {} does not hold a key", .0.short())]
    KeyFile(Fingerprint),
    /// The root does not list the key.
    #[error("key {} does not stand in the root", .0.short())]
    KeyForeign(Fingerprint),
    /// The update has the key under another one's fingerprint.
    #[error("the update has key {} under the fingerprint {}", computed.short(), listed.short())]
    KeyListed {
        /// Of the opened key.
        computed: Fingerprint,
        /// Where it stands.
        listed: Fingerprint,
    },
    /// The root lists the key with another part.
    #[error("the part of key {} is not the one that the root lists", .0.short())]
    KeyPart(Fingerprint),
    /// The signed statement does not list the key.
    #[error("key {} does not stand in the signed statement", .0.short())]
    KeyUnsigned(Fingerprint),
    /// A list of files that is to be looked at although it proves nothing cannot be read.
    #[error("the snapshot's list of files cannot be read")]
    List(#[source] ManifestError),
    /// The manifest cannot be read, or its signature does not verify under the key.
    #[error("the snapshot's manifest does not prove that a holder of key {} made it", key.short())]
    Manifest {
        /// The gated key.
        key: Fingerprint,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The order lets another list of files through.
    #[error("the list of files of {snapshot} has the hash {found} now, and the order is for {ordered}")]
    OtherList {
        /// The snapshot.
        snapshot: Box<SnapshotRef>,
        /// Of the list that may be restored.
        ordered: Sha256,
        /// Of the list as it is.
        found: Sha256,
    },
    /// A file is not encrypted.
    #[error("{name} in {snapshot} is not encrypted")]
    Plaintext {
        /// The snapshot.
        snapshot: SnapshotRef,
        /// The first such file.
        name: FileName,
    },
    /// It proves itself, and needs nobody to let it through.
    #[error("{0} proves itself: no order is needed for it")]
    Proven(SnapshotRef),
    /// A genuine manifest of another snapshot.
    #[error("the manifest is that of {found}, and {expected} was asked for")]
    Snapshot {
        /// The snapshot of the plan.
        expected: SnapshotRef,
        /// The one that was signed.
        found: SnapshotRef,
    },
}

/// What the snapshot gate asks, of a box that looks at its own backups with the key that lies there: whether they
/// would pass. It lets nothing through.
///
/// # Errors
/// As [`GatedSnapshot::check`].
pub fn is_signed(manifest: &[u8], key: &EncryptionKey, expected: &SnapshotRef) -> Result<(), GateError> {
    judged(manifest, key, expected).map(drop)
}

/// A list of files that this key has signed, of this very snapshot, with nothing in it that is not encrypted.
fn judged(manifest: &[u8], key: &EncryptionKey, expected: &SnapshotRef) -> Result<VerifiedManifest, GateError> {
    let read = Manifest::parse(manifest).and_then(|manifest| manifest.verify(key));
    let manifest = read.map_err(|source| GateError::Manifest { key: key.fingerprint(), source })?;
    if manifest.snapshot() != expected {
        return Err(GateError::Snapshot { expected: expected.clone(), found: manifest.snapshot().clone() });
    }
    if let Some(plain) = manifest.files().iter().find(|file| file.crypt_mode != CryptMode::Encrypt) {
        return Err(GateError::Plaintext { snapshot: expected.clone(), name: plain.filename.clone() });
    }
    Ok(manifest)
}

// === impl GatedKey ===

impl GatedKey {
    /// The key gate.
    pub(crate) fn pass(part: &KeyPart, key: EncryptionKey, root: &Root) -> Result<Self, GateError> {
        let computed = key.fingerprint();
        let stated = part.fingerprint();
        if computed != stated {
            return Err(GateError::KeyComputed { computed, stated });
        }
        match root.facts().parts.get(&computed) {
            None => Err(GateError::KeyForeign(computed)),
            Some(listed) if *listed != part.sha256() => Err(GateError::KeyPart(computed)),
            Some(_) => Ok(Self { key, times: part.times() }),
        }
    }

    /// The second way through the key gate: a plain file in the body of an update.
    pub(crate) fn pass_update(
        listed: Fingerprint,
        file: &PlainKey,
        statement: &ChainedStatement,
    ) -> Result<Self, GateError> {
        let key = file.open().map_err(|source| match source {
            KeyFileError::WrongFingerprint { stated, computed } => GateError::KeyComputed { computed, stated },
            _ => GateError::KeyFile(listed),
        })?;
        let computed = key.fingerprint();
        if computed != listed {
            return Err(GateError::KeyListed { computed, listed });
        }
        if !statement.fingerprints().contains(&computed) {
            return Err(GateError::KeyUnsigned(computed));
        }
        Ok(Self { key, times: file.times() })
    }

    /// Its fingerprint, computed from the key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.key.fingerprint()
    }

    /// The key, for the one who reads snapshots natively.
    #[must_use]
    pub const fn expose_key(&self) -> &EncryptionKey {
        &self.key
    }

    /// The unprotected key file, as it lay on the lost box; for the one who installs it (0600) or
    /// gives it to the client.
    #[must_use]
    pub fn expose_key_file(&self) -> Zeroizing<Vec<u8>> {
        self.key_file().to_json()
    }

    /// The same as a value, for [`pbs_format::key::create_file`]. Its `created` is the file's own,
    /// its `modified` when it was wrapped.
    #[must_use]
    pub fn key_file(&self) -> KeyFile {
        let (created, modified) = self.times;
        KeyFile::plain(&self.key, created, modified)
    }
}

impl fmt::Debug for GatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatedKey([redacted], {})", self.fingerprint().short())
    }
}

// === impl GatedSnapshot ===

impl GatedSnapshot {
    /// The snapshot gate. `manifest` is `index.json` as the client hands it out, or the stored blob.
    ///
    /// # Errors
    /// [`GateError`] unless every condition holds.
    pub fn check(manifest: &[u8], key: &Arc<GatedKey>, expected: &SnapshotRef) -> Result<Self, GateError> {
        let manifest = judged(manifest, key.expose_key(), expected)?;
        Ok(Self { manifest, key: Arc::clone(key) })
    }

    /// Which snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotRef {
        self.manifest.snapshot()
    }

    /// The key that it was made with.
    #[must_use]
    pub const fn key(&self) -> &Arc<GatedKey> {
        &self.key
    }

    /// Its signed files.
    pub fn archives(&self) -> impl ExactSizeIterator<Item = GatedArchive<'_>> {
        self.manifest.files().iter().map(|entry| GatedArchive { entry })
    }

    /// The signed file of this name, on the server (`root.pxar.didx`) or as users say it
    /// (`root.pxar`). A name that is not among the signed files gives none.
    #[must_use]
    pub fn archive(&self, name: &str) -> Option<GatedArchive<'_>> {
        self.archives().find(|archive| archive.server_name() == name || archive.name() == name)
    }
}

impl<'s> GatedArchive<'s> {
    /// Its name as the client takes it, `root.pxar`.
    #[must_use]
    pub fn name(&self) -> &'s str {
        self.entry.filename.archive()
    }

    /// Its name on the server, `root.pxar.didx`.
    #[must_use]
    pub fn server_name(&self) -> &'s str {
        self.entry.filename.as_str()
    }

    /// The signed entry.
    #[must_use]
    pub const fn entry(&self) -> &'s FileEntry {
        self.entry
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use pbs_format::key::KeyFile;

    use super::*;
    use crate::{door, text};

    const PART: &[u8] = include_bytes!("../tests/golden/blob-scrypt.json");
    const KEY: &[u8] = include_bytes!("../tests/golden/K.enc");
    const ROOT: &str = include_str!("../tests/golden/root.txt");

    fn key() -> EncryptionKey {
        KeyFile::parse(KEY).unwrap().open(None).unwrap()
    }

    fn another() -> EncryptionKey {
        EncryptionKey::from_bytes(Zeroizing::new([7; 32]))
    }

    /// The golden part, stating another key.
    fn stating(fingerprint: Fingerprint) -> KeyPart {
        let text = String::from_utf8(PART.to_vec()).unwrap();
        door::check_key_part(text.replace(&key().fingerprint().to_string(), &fingerprint.to_string()).as_bytes())
            .unwrap()
    }

    #[test]
    fn the_key_gate_compares_all_three_fingerprints() {
        let root = text::read(ROOT.as_bytes()).unwrap();
        let part = || door::check_key_part(PART).unwrap();
        let passed = GatedKey::pass(&part(), key(), &root).unwrap();
        assert_eq!(passed.fingerprint(), key().fingerprint());

        assert!(matches!(GatedKey::pass(&part(), another(), &root), Err(GateError::KeyComputed { .. })));
        let other = another().fingerprint();
        assert!(matches!(GatedKey::pass(&stating(other), key(), &root), Err(GateError::KeyComputed { .. })));
        assert!(
            matches!(GatedKey::pass(&stating(other), another(), &root), Err(GateError::KeyForeign(k)) if k == other)
        );
        let rewrapped = door::check_key_part(&[PART, b"\n"].concat()).unwrap();
        assert!(matches!(GatedKey::pass(&rewrapped, key(), &root), Err(GateError::KeyPart(_))));
    }
}
