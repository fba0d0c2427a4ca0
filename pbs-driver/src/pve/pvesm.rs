//! PVE's own program for storages.

use super::{error::PveError, node::Node, storage::PbsStorage};
use crate::private::PrivateDir;

/// Adds a storage by `pvesm add pbs`, key and secret included; neither is ever an argument: the
/// secret goes by a pipe, the key by a 0600 file in the private folder.
///
/// Mind what `pvesm add` does by itself: it deletes the key, password and master key files of that
/// name that it is not given, rewrites `storage.cfg` without comments and unknown stanzas, and takes
/// everything back if the server does not answer. [`super::install`] decides when it is the right door.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::NoProgram`], [`PveError::Program`], [`PveError::Refused`].
pub fn add_pbs(
    node: &Node,
    private: &PrivateDir,
    storage: &PbsStorage,
    secret: &str,
    key: Option<&[u8]>,
) -> Result<(), PveError> {
    let _ = (private, storage, secret, key);
    node.writable()?;
    Err(PveError::Sections { why: "it is not written yet" })
}
