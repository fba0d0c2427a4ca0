//! Reads the operator keys that somebody puts on the box at enrolment.
//!
//! The file is OpenSSH's own `allowed_signers`, with roles as principals:
//! `<role>[,<role>] <keytype> <base64> [comment]`. Comments and empty lines are dropped. Options
//! (`namespaces=…`, `valid-before=…`, `cert-authority`) are refused, since a list that silently lost
//! one would allow more than its author meant; so are certificates and key types that we could not
//! verify. What comes out is the one list whose text has the hash that travels.

use std::ops::RangeInclusive;

use ssh_key::{Algorithm, EcdsaCurve, PublicKey, public::KeyData};
use tenwords_protocol::operators::{OperatorList, OperatorListError, Role, Signer};
use thiserror::Error;

/// The longest file that is read.
const MAX_FILE: usize = 256 << 10;
/// Bits that an RSA key must have, and those that are verified at most.
const RSA: RangeInclusive<usize> = 2048..=4096;

/// Why a file of operator keys was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignersError {
    /// The key cannot be read, or is of a kind that is not verified here.
    #[error("line {line}: {reason}")]
    Key {
        /// Counted from 1.
        line: usize,
        /// What is wrong, and which keys are taken.
        reason: &'static str,
    },
    /// A line without a key.
    #[error("line {line} is not `<role>[,<role>] <keytype> <base64>`")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Too much text, or not text.
    #[error("a file of operator keys is text of at most {MAX_FILE} bytes")]
    NotText,
    /// A line has an option.
    #[error("line {line} has an option; options of operator keys are not honoured, so they are refused")]
    Option {
        /// Counted from 1.
        line: usize,
    },
    /// A principal that is not a role.
    #[error("line {line}: a principal is `operational` or `recovery`, or both with a comma")]
    Role {
        /// Counted from 1.
        line: usize,
    },
    /// One key stands on two lines.
    #[error("one key stands on two lines; write its roles on one, with a comma")]
    Twice,
}

/// Reads the whole file. An empty list is a list: nothing destructive can be ordered then.
///
/// # Errors
/// [`SignersError`] with the number of the first line that was not taken.
pub fn parse(file: &[u8]) -> Result<OperatorList, SignersError> {
    let text = str::from_utf8(file).ok().filter(|text| text.len() <= MAX_FILE).ok_or(SignersError::NotText)?;
    let mut signers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if fields.first().is_some_and(|field| !field.starts_with('#')) {
            signers.push(signer(&fields, index + 1)?);
        }
    }
    OperatorList::new(signers).map_err(|_| SignersError::Twice)
}

fn signer(fields: &[&str], line: usize) -> Result<Signer, SignersError> {
    let [principals, key_type, key, ..] = fields else { return Err(SignersError::Line { line }) };
    let roles = principals.split(',').map(str::parse::<Role>).collect::<Result<_, _>>();
    let roles = roles.map_err(|_| SignersError::Role { line })?;
    if !is_key_type(key_type) {
        return Err(SignersError::Option { line });
    }
    let refused = |reason| SignersError::Key { line, reason };
    let key = PublicKey::from_openssh(&format!("{key_type} {key}"))
        .map_err(|_| refused("the key cannot be read; a plain OpenSSH public key was expected, no certificate"))?;
    acceptable(key.key_data()).map_err(refused)?;
    let bytes = key.to_bytes().map_err(|_| refused("the key cannot be written again"))?;
    Signer::new(roles, key_type, bytes).map_err(|error| match error {
        OperatorListError::Role => SignersError::Role { line },
        _ => refused("the key is not of the type that the line names"),
    })
}

/// Whether the field is a key type at all; what stands in its place otherwise is an option.
fn is_key_type(field: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| field.starts_with(start)) && !field.contains(['=', '"', ','])
}

/// Whether signatures of this key are verified here.
pub(crate) fn acceptable(key: &KeyData) -> Result<(), &'static str> {
    match key.algorithm() {
        Algorithm::Ed25519
        | Algorithm::SkEd25519
        | Algorithm::SkEcdsaSha2NistP256
        | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384 } => Ok(()),
        Algorithm::Rsa { .. } => match key.rsa().and_then(|rsa| rsa.n.as_positive_bytes()) {
            Some(modulus) if RSA.contains(&(modulus.len() * 8)) => Ok(()),
            _ => Err("an RSA key must have 2048 to 4096 bits"),
        },
        _ => Err("keys are taken of the types ed25519, ecdsa (nistp256, nistp384), rsa, sk-ed25519 and sk-ecdsa"),
    }
}
