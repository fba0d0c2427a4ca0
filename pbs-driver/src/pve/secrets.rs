//! `priv/storage/<id>.{enc,enc.old,pw,master.pem}`: the keys and passwords of PVE's storages.

use std::fmt;

use tenwords_protocol::fingerprint::Fingerprint;
use zeroize::Zeroizing;

use super::{error::PveError, node::Node, storage::StorageId};

/// An unprotected key file as it stands in its place; the text is wiped on drop.
pub struct StoredKey {
    text: Zeroizing<Vec<u8>>,
    fingerprint: Fingerprint,
}

/// Which key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySlot {
    /// `<id>.enc`
    Current,
    /// `<id>.enc.old`, which PVE keeps when it makes a new key itself.
    Former,
}

/// What a `put_…` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was there already.
    Same,
    /// It is there now.
    Written,
}

impl StoredKey {
    /// The file's text, as it stands there.
    #[must_use]
    pub fn expose_text(&self) -> &[u8] {
        &self.text
    }

    /// Computed from the key itself, not what the file states.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredKey({})", self.fingerprint.short())
    }
}

/// The key of a storage; `None` if it has none.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::KeyFile`] for anything but an unprotected key file.
pub fn key(node: &Node, id: &StorageId, slot: KeySlot) -> Result<Option<StoredKey>, PveError> {
    let _ = (id, slot);
    node.readable()?;
    Err(PveError::Sections { why: "it is not written yet" })
}

/// The password or token secret of a storage (PVE reads the first line); `None` if it has none.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::Secret`] for one that is not text.
pub fn password(node: &Node, id: &StorageId) -> Result<Option<Zeroizing<String>>, PveError> {
    let _ = id;
    node.readable()?;
    Err(PveError::Sections { why: "it is not written yet" })
}

/// Puts an unprotected key file in a storage's place, under PVE's lock. Never over another key.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::DifferentKey`]; [`PveError::KeyFile`] for what is not an
/// unprotected key file; [`PveError::Locked`]; [`PveError::Io`].
pub fn put_key(node: &Node, id: &StorageId, text: &[u8]) -> Result<Put, PveError> {
    let _ = (id, text);
    node.writable()?;
    Err(PveError::Sections { why: "it is not written yet" })
}

/// Puts a password or token secret in a storage's place, under PVE's lock. Never over another one.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::DifferentSecret`], [`PveError::Secret`], [`PveError::Locked`],
/// [`PveError::Io`].
pub fn put_password(node: &Node, id: &StorageId, secret: &str) -> Result<Put, PveError> {
    let _ = (id, secret);
    node.writable()?;
    Err(PveError::Sections { why: "it is not written yet" })
}

/// Below `/etc/pve`.
pub(crate) const FOLDER: &str = "priv/storage";
