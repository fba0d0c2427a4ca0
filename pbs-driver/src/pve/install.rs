//! Bringing a storage with its key and token onto a node, in the order that leaves no gap.

use super::{error::PveError, node::Node, secrets::Put, storage::PbsStorage};
use crate::private::PrivateDir;

/// Everything that PVE needs for one Proxmox Backup Server.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The stanza. Its `encryption_key` is set from `key`, whatever it says.
    pub storage: &'a PbsStorage,
    /// An unprotected key file.
    pub key: Option<&'a [u8]>,
    /// The password or token secret.
    pub secret: &'a str,
}

/// What was done; everything [`Put::Same`] on a second run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// The stanza in `storage.cfg`.
    pub stanza: Put,
    /// The key file, if one was wanted.
    pub key: Option<Put>,
    /// The password file.
    pub secret: Put,
    /// Through which door the stanza went, if it was written.
    pub door: Door,
}

/// How the stanza got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// By `pvesm add`.
    Pvesm,
    /// By editing the file under PVE's lock.
    File,
    /// Not at all: it was there.
    None,
}

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("storage", self.storage).finish_non_exhaustive()
    }
}

/// Makes the node know this storage. Everything that speaks against it is found before the first write.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::DifferentStorage`], [`PveError::DifferentKey`],
/// [`PveError::DifferentSecret`], [`PveError::KeyFile`]; [`PveError::Io`], [`PveError::Locked`].
pub fn install(node: &Node, private: &PrivateDir, wanted: &Wanted<'_>) -> Result<Installed, PveError> {
    let _ = (private, wanted);
    node.writable()?;
    Err(PveError::Sections { why: "it is not written yet" })
}
