//! Opens a ceremony version, whoever handed it over.
//!
//! The order is fixed: the door for the root, the root with the words, the box id, the list of
//! parts, the door for each key part, the hash of each part, then each key natively and by the
//! client, then the key gate. Nothing of a header is used. A tool sees a part only after the root
//! has vouched for its bytes; until then a wrong code has yielded nothing and a hostile blob has
//! cost one scrypt derivation of 64 MiB.

use std::{collections::BTreeMap, sync::Arc};

use pbs_format::key::{EncryptionKey, KeyFileError};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256, id::BoxId, part::PartName};
use thiserror::Error;

use crate::{
    code::RecoveryCode,
    door::{self, DoorError, KeyPart},
    gate::{GateError, GatedKey},
    root::Root,
    seal::SealError,
};

/// The parts of one version, as they were fetched.
pub type Parts = BTreeMap<PartName, Vec<u8>>;

/// Somebody other than our own reading who can open a key part with the words:
/// proxmox-backup-client over a pty in the product.
///
/// The part has passed the door. Whoever implements this works on a copy, in a private folder that
/// is gone when it returns, and hands the words to nobody but the program that it drives.
pub trait KeyOpener {
    /// Why it could not.
    type Error: std::error::Error + 'static;

    /// Opens a copy of the part, and returns the key that came out.
    ///
    /// # Errors
    /// If the program refused, or could not be driven.
    fn open_copy(&self, part: &KeyPart, code: &RecoveryCode) -> Result<EncryptionKey, Self::Error>;
}

/// An opened ceremony version: the root, and every key that it lists, gated.
#[derive(Debug)]
pub struct OpenedEscrow<E> {
    root: Root,
    root_sha256: Sha256,
    keys: BTreeMap<Fingerprint, Arc<GatedKey>>,
    not_by_client: BTreeMap<Fingerprint, E>,
}

/// Why a version was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The root is that of another box.
    #[error("this is the escrow of box {found}, not of box {expected}")]
    BoxId {
        /// The box that is recovered.
        expected: BoxId,
        /// In the root.
        found: BoxId,
    },
    /// The client's key is not the one that our own reading found.
    #[error("proxmox-backup-client opened key {} to another key, {}", expected.short(), found.short())]
    ClientDisagrees {
        /// Found natively.
        expected: Fingerprint,
        /// Found by the client.
        found: Fingerprint,
    },
    /// A part was turned away at the door.
    #[error("{name} is not let in")]
    Door {
        /// The part.
        name: PartName,
        /// Why.
        source: DoorError,
    },
    /// The version has a part that the root does not list.
    #[error("{name} is not among the parts that the root lists")]
    Extra {
        /// The part.
        name: PartName,
    },
    /// The key gate refused.
    #[error("a key was refused at the gate")]
    Gate(#[from] GateError),
    /// The part's hash is not the one in the root.
    #[error("{name} is not the part that the root lists")]
    Hash {
        /// The part.
        name: PartName,
    },
    /// The part is the one of the root, and does not open with the code that opened the root.
    #[error("the code that opened the root does not open key {}", key.short())]
    Key {
        /// The key.
        key: Fingerprint,
        /// Why.
        source: KeyFileError,
    },
    /// The version lacks a part.
    #[error("the version lacks {name}")]
    Missing {
        /// The part.
        name: PartName,
    },
    /// The root did not open, or is none.
    #[error("the root is not opened")]
    Root(#[from] SealError),
}

impl OpenError {
    /// Whether this is what a wrong code looks like, and nothing is known to be wrong with the
    /// version.
    #[must_use]
    pub const fn is_wrong_words(&self) -> bool {
        matches!(self, Self::Root(SealError::WrongWords))
    }

    /// Whether the version was turned away before the words opened anything: it may be anybody's.
    #[must_use]
    pub const fn is_before_opening(&self) -> bool {
        matches!(
            self,
            Self::Root(SealError::WrongWords)
                | Self::Door { name: PartName::Root, .. }
                | Self::Missing { name: PartName::Root }
        )
    }
}

/// Opens a ceremony version of `box_id` with the words, natively and through `client`.
///
/// If the client cannot open a part that opened natively, the key has passed the gate all the same
/// and [`OpenedEscrow::not_by_client`] says so: at a recovery the caller goes on and reports it.
///
/// # Errors
/// [`OpenError`]; nothing is opened then.
pub fn open_ceremony<O: KeyOpener>(
    parts: &Parts,
    box_id: BoxId,
    code: &RecoveryCode,
    client: &O,
) -> Result<OpenedEscrow<O::Error>, OpenError> {
    let (root, root_sha256) = open_root(parts, box_id, code)?;
    let admitted = admit_keys(parts, &root)?;
    let mut keys = BTreeMap::new();
    let mut not_by_client = BTreeMap::new();
    for part in &admitted {
        let listed = part.fingerprint();
        let key = part.open(code).map_err(|source| OpenError::Key { key: listed, source })?;
        let key = GatedKey::pass(part, key, &root)?;
        match client.open_copy(part, code) {
            Ok(found) if found.fingerprint() == key.fingerprint() => {}
            Ok(found) => {
                let (expected, found) = (key.fingerprint(), found.fingerprint());
                return Err(OpenError::ClientDisagrees { expected, found });
            }
            Err(error) => {
                not_by_client.insert(listed, error);
            }
        }
        keys.insert(key.fingerprint(), Arc::new(key));
    }
    Ok(OpenedEscrow { root, root_sha256, keys, not_by_client })
}

/// The root alone: its door, the words, the box.
pub(crate) fn open_root(parts: &Parts, box_id: BoxId, code: &RecoveryCode) -> Result<(Root, Sha256), OpenError> {
    let name = PartName::Root;
    let bytes = parts.get(&name).ok_or(OpenError::Missing { name })?;
    let part = door::check_root(bytes).map_err(|source| OpenError::Door { name, source })?;
    let root = Root::open(&part, code)?;
    let found = root.facts().box_id;
    if found != box_id {
        return Err(OpenError::BoxId { expected: box_id, found });
    }
    Ok((root, part.sha256()))
}

/// Every part but the root is a key part that the root lists, byte for byte, and none is missing.
fn admit_keys(parts: &Parts, root: &Root) -> Result<Vec<KeyPart>, OpenError> {
    let listed = &root.facts().parts;
    let unlisted = |name: &PartName| match name {
        PartName::Root => false,
        PartName::Key(key) => !listed.contains_key(key),
        PartName::Pins(_) | PartName::Update(_) => true,
    };
    if let Some(name) = parts.keys().copied().find(unlisted) {
        return Err(OpenError::Extra { name });
    }
    let admit = |(key, sha256): (&Fingerprint, &Sha256)| {
        let name = PartName::Key(*key);
        let bytes = parts.get(&name).ok_or(OpenError::Missing { name })?;
        let part = door::check_named_key_part(*key, bytes).map_err(|source| OpenError::Door { name, source })?;
        if part.sha256() == *sha256 { Ok(part) } else { Err(OpenError::Hash { name }) }
    };
    listed.iter().map(admit).collect()
}

impl<E> OpenedEscrow<E> {
    /// What the recovery believes.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// The hash of `root.age`; a recovery's journal keeps it to open the same version again.
    #[must_use]
    pub const fn root_sha256(&self) -> Sha256 {
        self.root_sha256
    }

    /// Every key of the root, by the fingerprint that was computed from it.
    #[must_use]
    pub const fn keys(&self) -> &BTreeMap<Fingerprint, Arc<GatedKey>> {
        &self.keys
    }

    /// The keys that only our own reading could open, with what the client said.
    #[must_use]
    pub const fn not_by_client(&self) -> &BTreeMap<Fingerprint, E> {
        &self.not_by_client
    }

    pub(crate) fn into_not_by_client(self) -> BTreeMap<Fingerprint, E> {
        self.not_by_client
    }

    /// Takes it apart: root and keys.
    #[must_use]
    pub fn into_parts(self) -> (Root, BTreeMap<Fingerprint, Arc<GatedKey>>) {
        (self.root, self.keys)
    }
}
