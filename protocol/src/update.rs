//! An update: what a box adds to its escrow without the ten words.
//!
//! The part travels as [`Update`]: the exact bytes of a [`Statement`], the box key's signature over
//! them, and a body that only the root's age identity opens. Everything in a statement can be read
//! by whoever carries it. That it is true is shown by its signature and by the chain, which begins
//! at the root; neither is looked at here.

use std::{collections::BTreeSet, num::NonZeroU64};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    bounded::List,
    bytes::Base64,
    fingerprint::Fingerprint,
    hash::Sha256,
    id::{BoxId, CodeId},
    time::Timestamp,
    v1::V1,
    version::MAX_PARTS,
};

/// The SSHSIG namespace of a box key's signature over a statement.
pub const NAMESPACE: &str = "tenwords-update-v1";
/// The keys of one update, at most.
pub const MAX_KEYS: usize = MAX_PARTS;

/// The part `update/<sequence>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Always 1.
    pub v: V1,
    /// The exact bytes of the statement.
    pub statement: Base64,
    /// SSHSIG armour over them, namespace [`NAMESPACE`], SHA-512.
    pub signature: String,
    /// A binary age file for the root's identity.
    pub body: Base64,
}

/// What the box key signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Always 1.
    pub v: V1,
    /// Whose update it is.
    pub box_id: BoxId,
    /// The code of the ceremony that it adds to.
    pub code_id: CodeId,
    /// From 1, one more with each update on a ceremony.
    pub sequence: NonZeroU64,
    /// Over the previous statement's bytes; over `root.age` for the first.
    pub previous: Sha256,
    /// Over `root.age` of that ceremony.
    pub root_sha256: Sha256,
    /// Over the age file.
    pub body_sha256: Sha256,
    /// The keys in the body: sorted, each once.
    #[serde(deserialize_with = "sorted")]
    pub fingerprints: BTreeSet<Fingerprint>,
    /// When it was made, by the box's clock.
    pub made_at: Timestamp,
}

/// One set, one text: what is not sorted, or stands there twice, is refused.
fn sorted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Fingerprint>, D::Error> {
    let list = List::<Fingerprint, MAX_KEYS>::deserialize(deserializer)?;
    if list.windows(2).all(|pair| pair[0] < pair[1]) {
        Ok(list.iter().copied().collect())
    } else {
        Err(D::Error::custom("the fingerprints are not sorted, or one stands there twice"))
    }
}
