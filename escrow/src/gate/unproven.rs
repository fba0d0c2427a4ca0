//! A snapshot that does not prove itself, and the one way by which it may be restored all the same.
//!
//! It stays what it is: no value here becomes a [`super::GatedSnapshot`], and nothing but a comparison with
//! the hash of exactly this list of files makes an [`AllowedSnapshot`]. Whose hash that is (an order that
//! an operator signed) is not decided here.
//!
//! ```compile_fail,E0451
//! # use tenwords_escrow::gate::{AllowedSnapshot, UnprovenSnapshot};
//! # fn plant(snapshot: UnprovenSnapshot) {
//! let planted = AllowedSnapshot { snapshot };
//! # }
//! ```
//!
//! ```compile_fail,E0308
//! # use tenwords_escrow::gate::{GatedSnapshot, UnprovenSnapshot};
//! # fn pass(snapshot: UnprovenSnapshot) {
//! let gated: GatedSnapshot = snapshot;
//! # }
//! ```

use std::{collections::BTreeMap, sync::Arc};

use pbs_format::{
    manifest::{CryptMode, FileEntry, Manifest},
    name::{FileName, SnapshotRef},
};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
use thiserror::Error;

use super::{GateError, GatedKey};

/// A snapshot as its list of files tells it, and what that list lacks.
#[derive(Debug)]
pub struct UnprovenSnapshot {
    manifest: Manifest,
    list_sha256: Sha256,
    lacks: Vec<Lack>,
    key: Option<Arc<GatedKey>>,
}

/// An unproven snapshot that was let through by the hash of its list.
#[derive(Debug)]
pub struct AllowedSnapshot {
    snapshot: UnprovenSnapshot,
}

/// A file of an allowed snapshot, by its entry in exactly the list that was let through.
#[derive(Debug, Clone, Copy)]
pub struct AllowedArchive<'s> {
    entry: &'s FileEntry,
}

/// What a snapshot lacks to prove itself. `Display` is a clause for a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Lack {
    /// A file is in plain text.
    #[error("{0} is not encrypted")]
    Encryption(FileName),
    /// A file is encrypted, and not under a key of ours: it cannot be restored at all.
    #[error("{0} is encrypted under no key of ours, and cannot be read")]
    Key(FileName),
    /// It is signed, by nobody whom we know.
    #[error("its list of files is signed under no key of ours")]
    KnownSigner {
        /// The key that it states.
        stated: Option<Fingerprint>,
    },
    /// Nobody signed it.
    #[error("its list of files is not signed")]
    Signature,
    /// It states a key of ours, and its signature is not by that key.
    #[error("its list of files names key {}, and its signature is wrong", .0.short())]
    TrueSignature(Fingerprint),
}

// === impl UnprovenSnapshot ===

impl UnprovenSnapshot {
    /// Reads a list of files (`index.json` as the client hands it out), as strictly as the gate does. Which of
    /// `keys` it is under, if any, is found out here.
    ///
    /// # Errors
    /// [`GateError::List`] if it cannot be read; [`GateError::Snapshot`] if it is that of another snapshot;
    /// [`GateError::Proven`] if it lacks nothing: the gate lets it through, and nobody is to be asked.
    pub fn read(
        manifest: &[u8],
        keys: &BTreeMap<Fingerprint, Arc<GatedKey>>,
        wanted: &SnapshotRef,
    ) -> Result<Self, GateError> {
        let list_sha256 = Sha256::of(manifest);
        let manifest = Manifest::parse(manifest).map_err(GateError::List)?;
        if manifest.snapshot() != wanted {
            return Err(GateError::Snapshot { expected: wanted.clone(), found: manifest.snapshot().clone() });
        }
        let stated = manifest.key_fingerprint();
        let signer = keys.values().find(|key| manifest.verify(key.expose_key()).is_ok());
        let key = signer.or_else(|| stated.and_then(|stated| keys.get(&stated))).cloned();
        let mut lacks = Vec::new();
        match (signer, stated) {
            (Some(_), _) => {}
            (None, _) if !manifest.is_signed() => lacks.push(Lack::Signature),
            (None, Some(stated)) if keys.contains_key(&stated) => lacks.push(Lack::TrueSignature(stated)),
            (None, stated) => lacks.push(Lack::KnownSigner { stated }),
        }
        lacks.extend(manifest.files().iter().filter_map(|file| match file.crypt_mode {
            CryptMode::Encrypt if key.is_some() => None,
            CryptMode::Encrypt => Some(Lack::Key(file.filename.clone())),
            CryptMode::None | CryptMode::SignOnly => Some(Lack::Encryption(file.filename.clone())),
        }));
        if lacks.is_empty() {
            return Err(GateError::Proven(wanted.clone()));
        }
        Ok(Self { manifest, list_sha256, lacks, key })
    }

    /// Which snapshot it says it is; it is the one that was asked for.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotRef {
        self.manifest.snapshot()
    }

    /// Over its list of files, every byte as the server has it: what nobody signed, its notes for example,
    /// counts too.
    #[must_use]
    pub const fn list_sha256(&self) -> Sha256 {
        self.list_sha256
    }

    /// What it lacks; at least one thing.
    #[must_use]
    pub fn lacks(&self) -> &[Lack] {
        &self.lacks
    }

    /// What its list says of each file. Nobody vouches for it.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        self.manifest.files()
    }

    /// Lets it through if this is the hash of its list, which only an order can say.
    ///
    /// # Errors
    /// [`GateError::OtherList`].
    pub fn allow(self, ordered: Sha256) -> Result<AllowedSnapshot, GateError> {
        let found = self.list_sha256;
        if found == ordered {
            Ok(AllowedSnapshot { snapshot: self })
        } else {
            Err(GateError::OtherList { snapshot: Box::new(self.manifest.snapshot().clone()), ordered, found })
        }
    }
}

// === impl AllowedSnapshot ===

impl AllowedSnapshot {
    /// Which snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotRef {
        self.snapshot.snapshot()
    }

    /// The hash of the list by which it was let through.
    #[must_use]
    pub const fn list_sha256(&self) -> Sha256 {
        self.snapshot.list_sha256
    }

    /// The key of ours that its list names or is signed under; `None` if it names none. The client asks for
    /// that key even where every file is in plain text.
    #[must_use]
    pub const fn key(&self) -> Option<&Arc<GatedKey>> {
        self.snapshot.key.as_ref()
    }

    /// What it still lacks, for the report.
    #[must_use]
    pub fn lacks(&self) -> &[Lack] {
        &self.snapshot.lacks
    }

    /// Its files that can be read: those in plain text, and those that are encrypted if [`Self::key`] is there.
    pub fn archives(&self) -> impl Iterator<Item = AllowedArchive<'_>> {
        let has_key = self.snapshot.key.is_some();
        let files = self.snapshot.manifest.files().iter();
        files
            .filter(move |entry| has_key || entry.crypt_mode != CryptMode::Encrypt)
            .map(|entry| AllowedArchive { entry })
    }

    /// The one of this name, on the server (`root.pxar.didx`) or as users say it (`root.pxar`).
    #[must_use]
    pub fn archive(&self, name: &str) -> Option<AllowedArchive<'_>> {
        self.archives().find(|archive| archive.server_name() == name || archive.name() == name)
    }
}

impl<'s> AllowedArchive<'s> {
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

    /// Its entry.
    #[must_use]
    pub const fn entry(&self) -> &'s FileEntry {
        self.entry
    }
}
