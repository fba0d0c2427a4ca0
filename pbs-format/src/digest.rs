//! A chunk's name: a digest of its content, keyed where the archive is encrypted.
//!
//! `formats.md` §3.1. Always over the content, never over what lies on the disk. The same content
//! has one digest in the clear and another under each key.

use sha2::{Digest as _, Sha256};

use crate::key::EncryptionKey;

/// The digest of a chunk.
pub type Digest = [u8; 32];

/// SHA-256 of the content, followed by the id key if there is a key.
#[must_use]
pub fn chunk_digest(data: &[u8], key: Option<&EncryptionKey>) -> Digest {
    let plain = Sha256::new().chain_update(data);
    match key {
        Some(key) => plain.chain_update(key.expose_id_key()),
        None => plain,
    }
    .finalize()
    .into()
}
