//! The words-key proof: somebody had the ten words, here and now.
//!
//! The private half of the words key lies only under the recovery code. The hub keeps the public
//! half with each version, so a later, poisoned version cannot lock the words of an earlier one out.

use std::{fmt, num::NonZeroU64};

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{bytes::Base64Array, hash::Sha256, id::BoxId, time::Timestamp, v1::V1};

/// A nonce of the hub, used once.
pub type Nonce = Base64Array<32>;
/// The public half of a words key: a raw Ed25519 key.
pub type WordsPublicKey = Base64Array<32>;

/// What the words were used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// One archive was restored to scratch and compared.
    DrillArchive,
    /// The escrow was opened in memory and wiped.
    DrillWords,
    /// A recovery.
    Recover,
}

/// What is signed, beside the label.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// What for.
    pub purpose: Purpose,
    /// Which box.
    pub box_id: BoxId,
    /// The hub's number of the version that was opened.
    pub version: NonZeroU64,
    /// The hub's nonce.
    pub nonce: Nonce,
    /// When, by the signer's clock.
    pub time: Timestamp,
    /// Over the SPKI (DER) of the certificate that speaks for the box.
    pub spki_sha256: Sha256,
}

/// The proof as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordsProof {
    /// Always 1.
    pub v: V1,
    /// What the words were used for.
    pub purpose: Purpose,
    /// The hub's number of the version that was opened.
    pub version: NonZeroU64,
    /// When, by the signer's clock.
    pub time: Timestamp,
    /// The hub's nonce.
    pub nonce: Nonce,
    /// Raw Ed25519 over [`signing_text`].
    pub signature: Base64Array<64>,
}

/// The proof is not one of this box, version, nonce, time and certificate.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the words key did not sign this")]
pub struct ProofError;

/// The exact text that the words key signs: LF-ended lines.
#[must_use]
pub fn signing_text(claim: &Claim) -> String {
    let Claim { purpose, box_id, version, nonce, time, spki_sha256 } = claim;
    format!("tenwords-words-v1\n{purpose}\n{box_id}\n{version}\n{nonce}\n{time}\n{spki_sha256}\n")
}

impl WordsProof {
    /// Checks the signature. That nonce, version and time are acceptable is the caller's to know.
    ///
    /// # Errors
    /// [`ProofError`] if `key` did not sign this for this box and certificate.
    pub fn verify(&self, box_id: BoxId, spki_sha256: Sha256, key: &WordsPublicKey) -> Result<(), ProofError> {
        let claim = Claim {
            purpose: self.purpose,
            box_id,
            version: self.version,
            nonce: self.nonce,
            time: self.time,
            spki_sha256,
        };
        let key = VerifyingKey::from_bytes(&key.0).map_err(|_| ProofError)?;
        key.verify_strict(signing_text(&claim).as_bytes(), &Signature::from_bytes(&self.signature.0))
            .map_err(|_| ProofError)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DrillArchive => "drill-archive",
            Self::DrillWords => "drill-words",
            Self::Recover => "recover",
        })
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    #[test]
    fn a_proof_holds_for_nothing_but_what_was_signed() -> Result<(), Box<dyn std::error::Error>> {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = Base64Array(key.verifying_key().to_bytes());
        let box_id: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?;
        let spki_sha256 = Sha256::of(b"spki");
        let claim = Claim {
            purpose: Purpose::Recover,
            box_id,
            version: NonZeroU64::MIN,
            nonce: Base64Array([9; 32]),
            time: "2026-03-03T12:00:00Z".parse()?,
            spki_sha256,
        };
        let signature = Base64Array(key.sign(signing_text(&claim).as_bytes()).to_bytes());
        let proof = WordsProof {
            v: V1,
            purpose: claim.purpose,
            version: claim.version,
            time: claim.time,
            nonce: claim.nonce,
            signature,
        };
        assert_eq!(proof.verify(box_id, spki_sha256, &public), Ok(()));
        let changes: [fn(&mut WordsProof); 5] = [
            |p| p.purpose = Purpose::DrillWords,
            |p| p.version = NonZeroU64::MAX,
            |p| p.time = p.time.plus(std::time::Duration::from_secs(1)),
            |p| p.nonce.0[0] ^= 1,
            |p| p.signature.0[0] ^= 1,
        ];
        for change in changes {
            let mut changed = proof.clone();
            change(&mut changed);
            assert_eq!(changed.verify(box_id, spki_sha256, &public), Err(ProofError));
        }
        assert_eq!(proof.verify(box_id, Sha256::of(b"other"), &public), Err(ProofError));
        let other: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5e".parse()?;
        assert_eq!(proof.verify(other, spki_sha256, &public), Err(ProofError));
        Ok(())
    }
}
