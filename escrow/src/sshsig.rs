//! Signatures of a box key: OpenSSH's SSHSIG, so that `ssh-keygen -Y verify` checks them too.
//!
//! A signature is taken in one spelling only, the one that ssh-keygen writes: version 1, SHA-512,
//! nothing in the reserved field, lines of 70 characters (see `wire`). Whether an operator's signature
//! counts is decided in [`crate::signed`].

pub(crate) mod wire;

use ssh_key::{HashAlg, LineEnding, PublicKey, SshSig, public::KeyData};
use thiserror::Error;

use self::wire::Wire;
use crate::keys::{BoxKey, BoxPublicKey};

/// The text is no signature by this key over these bytes.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// Another hash than SHA-512.
    #[error("the signature is not over SHA-512")]
    Hash,
    /// Another key made it.
    #[error("the signature was made by another key")]
    Key,
    /// It was made for another purpose.
    #[error("the signature was made for another purpose than {expected}")]
    Namespace {
        /// What it should have been made for.
        expected: &'static str,
    },
    /// It is not over these bytes, or was changed.
    #[error("the signature does not hold for this text")]
    Refused,
    /// The text is not what ssh-keygen writes.
    #[error("the signature is not an SSHSIG of version 1 as ssh-keygen writes it")]
    Text,
    /// It cannot be made, which no Ed25519 key is known for.
    #[error("the signature cannot be made")]
    Unmade,
}

/// Signs `bytes`; what comes out is ssh-keygen's own armour.
pub(crate) fn sign(key: &BoxKey, namespace: &str, bytes: &[u8]) -> Result<String, SignatureError> {
    let signature = key.expose_private().sign(namespace, HashAlg::Sha512, bytes).map_err(|_| SignatureError::Unmade)?;
    armour(&signature).ok_or(SignatureError::Unmade)
}

/// Checks, in this order: the text, the namespace, the hash, the key, the signature over the raw
/// bytes.
pub(crate) fn verify(
    key: &BoxPublicKey,
    namespace: &'static str,
    bytes: &[u8],
    text: &str,
) -> Result<(), SignatureError> {
    let signature = Wire::read(text).ok_or(SignatureError::Text)?;
    if signature.namespace != namespace {
        return Err(SignatureError::Namespace { expected: namespace });
    }
    if signature.hash != HashAlg::Sha512 {
        return Err(SignatureError::Hash);
    }
    let key = PublicKey::new(KeyData::from(*key), "").to_bytes().map_err(|_| SignatureError::Key)?;
    if signature.key != key {
        return Err(SignatureError::Key);
    }
    if signature.holds(bytes) { Ok(()) } else { Err(SignatureError::Refused) }
}

/// ssh-keygen ends its last line too.
fn armour(signature: &SshSig) -> Option<String> {
    let text = signature.to_pem(LineEnding::LF).ok()?;
    Some(text.trim_end().to_owned() + "\n")
}
