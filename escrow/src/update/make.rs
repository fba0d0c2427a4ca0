//! Makes an update: on the box, with nothing that opens one.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
};

use pbs_format::key::{KeyFile, KeyFileError};
use tenwords_protocol::{
    bytes::Base64,
    directive::Name,
    fingerprint::Fingerprint,
    hash::Sha256,
    id::{BoxId, CodeId},
    json::{self, JsonError},
    time::Timestamp,
    update::{MAX_KEYS, NAMESPACE, Statement, Update},
    v1::V1,
};
use thiserror::Error;

use super::body;
use crate::{
    door::{self, DoorError},
    keys::{AgeRecipient, BoxKey},
    root::Root,
    seal,
    secret::TokenSecret,
    sshsig::{self, SignatureError},
};

/// What a box keeps of a ceremony to add to it. All of it may be read by anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// Whose.
    pub box_id: BoxId,
    /// Under which code.
    pub code_id: CodeId,
    /// The hash of its `root.age`.
    pub root_sha256: Sha256,
    /// The public half of its identity.
    pub recipient: AgeRecipient,
    /// Its sources. A token for another one would end the chain.
    pub sources: BTreeSet<Name>,
}

/// The place of an update in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    sequence: NonZeroU64,
    previous: Sha256,
}

/// What is added.
#[derive(Debug, Default)]
pub struct Contents {
    /// Keys, in the unprotected files that PVE keeps.
    pub keys: Vec<KeyFile>,
    /// Token secrets by the id of their source.
    pub tokens: BTreeMap<Name, TokenSecret>,
}

/// Why an update was not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MakeError {
    /// What was made would not be let in at a recovery: it is too large.
    #[error("what was made would not be let in again")]
    Door(#[from] DoorError),
    /// A key file is under a passphrase, or holds no key.
    #[error("a key file does not open without a passphrase")]
    Key(#[source] KeyFileError),
    /// The update before cannot be read.
    #[error("the update before it cannot be read")]
    Previous(#[source] JsonError),
    /// age or the writer refused.
    #[error("the update cannot be sealed")]
    Sealing,
    /// The box key does not sign.
    #[error("the update cannot be signed")]
    Signature(#[from] SignatureError),
    /// A token of a source that the root does not have.
    #[error("{0} is not among the sources of the ceremony")]
    Source(Name),
    /// More keys than one update may have.
    #[error("an update has at most {MAX_KEYS} keys")]
    TooMany,
}

impl Ceremony {
    /// Of this root, whose sealed bytes have that hash.
    #[must_use]
    pub fn of(root: &Root, root_sha256: Sha256) -> Self {
        let facts = root.facts();
        Self {
            box_id: facts.box_id,
            code_id: facts.code.id,
            root_sha256,
            recipient: facts.identity.public(),
            sources: facts.trust.sources.iter().map(|source| source.id.clone()).collect(),
        }
    }
}

impl Link {
    /// The first on this root.
    #[must_use]
    pub const fn first(root_sha256: Sha256) -> Self {
        Self { sequence: NonZeroU64::MIN, previous: root_sha256 }
    }

    pub(super) const fn new(sequence: NonZeroU64, previous: Sha256) -> Self {
        Self { sequence, previous }
    }

    /// The one after this part, which the box made.
    ///
    /// # Errors
    /// [`MakeError::Previous`] if it is no update.
    pub fn after(part: &[u8]) -> Result<Self, MakeError> {
        let update: Update = json::from_slice(part).map_err(MakeError::Previous)?;
        let statement: Statement = json::from_slice(&update.statement.0).map_err(MakeError::Previous)?;
        Ok(Self { sequence: statement.sequence.saturating_add(1), previous: Sha256::of(&update.statement.0) })
    }

    /// Its number.
    #[must_use]
    pub const fn sequence(self) -> NonZeroU64 {
        self.sequence
    }
}

/// Makes the part `update/<sequence>` at this place of the chain.
///
/// It is never the same twice, and two of one number break the chain: whoever makes one keeps it
/// before it is sent, and sends that one again.
///
/// # Errors
/// [`MakeError`]; nothing is made then.
pub fn make(
    ceremony: &Ceremony,
    link: Link,
    contents: &Contents,
    key: &BoxKey,
    made_at: Timestamp,
) -> Result<Vec<u8>, MakeError> {
    if let Some(id) = contents.tokens.keys().find(|id| !ceremony.sources.contains(id)) {
        return Err(MakeError::Source(id.clone()));
    }
    let mut keys = BTreeMap::new();
    for file in &contents.keys {
        let key = file.open(None).map_err(MakeError::Key)?;
        keys.insert(key.fingerprint(), KeyFile::plain(&key, file.created(), file.modified()).to_json());
    }
    if keys.len() > MAX_KEYS {
        return Err(MakeError::TooMany);
    }
    let text = body::write(&keys, &contents.tokens).ok_or(MakeError::Sealing)?;
    let sealed = seal::seal_to(ceremony.recipient.recipient(), &text).ok_or(MakeError::Sealing)?;
    let statement = state(ceremony, link, keys.into_keys().collect(), &sealed, made_at)?;
    let signature = sshsig::sign(key, NAMESPACE, &statement)?;
    let update = Update { v: V1, statement: Base64(statement), signature, body: Base64(sealed) };
    let part = json::to_vec(&update).map_err(|_| MakeError::Sealing)?;
    door::check_update_part(&part)?;
    Ok(part)
}

fn state(
    ceremony: &Ceremony,
    link: Link,
    fingerprints: BTreeSet<Fingerprint>,
    body: &[u8],
    made_at: Timestamp,
) -> Result<Vec<u8>, MakeError> {
    let statement = Statement {
        v: V1,
        box_id: ceremony.box_id,
        code_id: ceremony.code_id,
        sequence: link.sequence,
        previous: link.previous,
        root_sha256: ceremony.root_sha256,
        body_sha256: Sha256::of(body),
        fingerprints,
        made_at,
    };
    json::to_vec(&statement).map_err(|_| MakeError::Sealing)
}
