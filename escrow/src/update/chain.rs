//! Opens the updates of a ceremony, whoever handed them over.
//!
//! The order is fixed: the door, the signature over the raw bytes, then what the statement says (box,
//! code, root, number, the statement before), the hash of the body, and only then the identity, the
//! body's text, and each key and token in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    sync::Arc,
};

use tenwords_protocol::{
    directive::Name,
    fingerprint::Fingerprint,
    hash::Sha256,
    id::{BoxId, CodeId},
    json::{self, JsonError},
    time::Timestamp,
    update::{NAMESPACE, Statement},
};
use thiserror::Error;

use super::{
    body::{self, Body},
    make::{Ceremony, Link},
};
use crate::{
    door::{self, DoorError, SealedUpdate},
    gate::{GateError, GatedKey},
    keys::BoxPublicKey,
    root::Root,
    seal::{self, Unopened},
    secret::TokenSecret,
    sshsig::{self, SignatureError},
};

/// The updates that stand, in their order, and where the chain broke, if it did.
#[derive(Debug)]
pub struct Chain {
    updates: Vec<OpenedUpdate>,
    broken: Option<Break>,
}

/// What the box itself can say of a chain: what was stated, and where the next update goes.
#[derive(Debug)]
pub struct Followed {
    /// The statements that stand, in their order.
    pub statements: Vec<Statement>,
    /// The place of the next update.
    pub next: Link,
    /// Where it broke.
    pub broken: Option<Break>,
}

/// One update that stands.
#[derive(Debug)]
pub struct OpenedUpdate {
    statement: ChainedStatement,
    keys: BTreeMap<Fingerprint, Arc<GatedKey>>,
    tokens: BTreeMap<Name, TokenSecret>,
}

/// Where a chain ends although more was handed over.
#[derive(Debug)]
pub struct Break {
    /// The number that was to come.
    pub sequence: NonZeroU64,
    /// Why what came was refused.
    pub reason: UpdateError,
    /// How many came after it and were not looked at.
    pub left: usize,
}

/// A statement that the root's box key signed and that stands in its chain. Only [`open_chain`]
/// makes one.
///
/// ```compile_fail,E0423
/// # fn plant(statement: tenwords_protocol::update::Statement) {
/// let planted = tenwords_escrow::update::ChainedStatement(statement);
/// # }
/// ```
#[derive(Debug)]
pub struct ChainedStatement(Statement);

/// Why an update was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// Its body is none, or has a field that no body has.
    #[error("what opened is not the body of an update")]
    Body(#[source] JsonError),
    /// Its body is not the one that was signed.
    #[error("the body is not the one that the statement lists")]
    BodyHash,
    /// It is another box's.
    #[error("this is an update of box {found}, not of box {expected}")]
    BoxId {
        /// The root's.
        expected: BoxId,
        /// The statement's.
        found: BoxId,
    },
    /// It adds to a ceremony under another code.
    #[error("this is an update under code {found}, not under code {expected}")]
    CodeId {
        /// The root's.
        expected: CodeId,
        /// The statement's.
        found: CodeId,
    },
    /// The body was changed before it was signed.
    #[error("the body was changed after it was sealed: {0}")]
    Damaged(&'static str),
    /// It was turned away at the door.
    #[error("the update is not let in")]
    Door(#[source] DoorError),
    /// A key was refused at the gate.
    #[error("a key was refused at the gate")]
    Gate(#[from] GateError),
    /// The body was sealed for somebody else.
    #[error("the root's identity does not open the body")]
    Identity,
    /// A key file in it was turned away.
    #[error("the file of key {} is not let in", key.short())]
    Key {
        /// As it is listed.
        key: Fingerprint,
        /// Why.
        source: DoorError,
    },
    /// The statement lists a key that the body does not have.
    #[error("the statement lists key {}, and the body does not have it", .0.short())]
    KeyMissing(Fingerprint),
    /// It does not follow on the statement before.
    #[error("it does not follow on the one before it")]
    Previous,
    /// It adds to another root.
    #[error("this is an update of another ceremony")]
    Root,
    /// It has another number than the next one, or stands under another name.
    #[error("this is update {found}, where update {expected} was expected")]
    Sequence {
        /// The next one.
        expected: NonZeroU64,
        /// In the statement, or in the part's name.
        found: NonZeroU64,
    },
    /// The root's box key did not sign it.
    #[error("the box did not sign it")]
    Signature(#[from] SignatureError),
    /// What was signed is no statement.
    #[error("what was signed is not the statement of an update")]
    Statement(#[source] JsonError),
    /// A token is not one line.
    #[error("the token of {0} is not one line")]
    Token(Name),
    /// A token is for a source that the root does not have.
    #[error("{0} is not among the root's sources")]
    TokenForeign(Name),
}

/// Opens the updates on `root`, whose sealed bytes have the hash `root_sha256`.
///
/// `parts` are the parts `update/<sequence>` by their number, in the order in which they were stored.
/// The order counts: of two updates with one number the first stands, so that a box that was stolen
/// spoils nothing that was there before. The very same part once more is passed over.
#[must_use]
pub fn open_chain<'p>(
    root: &Root,
    root_sha256: Sha256,
    parts: impl IntoIterator<Item = (NonZeroU64, &'p [u8])>,
) -> Chain {
    let facts = root.facts();
    let mut place = Place::first(facts.box_id, facts.code.id, facts.box_key, root_sha256);
    let mut updates = Vec::new();
    let mut seen = BTreeSet::new();
    let mut parts = parts.into_iter();
    while let Some((number, part)) = parts.next() {
        if seen.contains(&Sha256::of(part)) {
            continue;
        }
        match place.open(root, number, part) {
            Ok(update) => updates.push(update),
            Err(reason) => {
                let broken = Break { sequence: place.sequence, reason, left: parts.count() };
                return Chain { updates, broken: Some(broken) };
            }
        }
        seen.insert(Sha256::of(part));
    }
    Chain { updates, broken: None }
}

/// Follows a chain as the box that made it can: everything that [`open_chain`] compares, but for what is sealed.
/// `key` is the public half of the ceremony's box key. The parts come as there.
#[must_use]
pub fn follow<'p>(
    ceremony: &Ceremony,
    key: BoxPublicKey,
    parts: impl IntoIterator<Item = (NonZeroU64, &'p [u8])>,
) -> Followed {
    let mut place = Place::first(ceremony.box_id, ceremony.code_id, key, ceremony.root_sha256);
    let mut statements = Vec::new();
    let mut seen = BTreeSet::new();
    let mut parts = parts.into_iter();
    while let Some((number, part)) = parts.next() {
        if !seen.insert(Sha256::of(part)) {
            continue;
        }
        let followed = door::check_update_part(part).map_err(UpdateError::Door).and_then(|sealed| {
            let statement = place.admit(number, &sealed)?;
            place.pass(&sealed);
            Ok(statement.0)
        });
        match followed {
            Ok(statement) => statements.push(statement),
            Err(reason) => {
                let broken = Break { sequence: place.sequence, reason, left: parts.count() };
                return Followed { statements, next: place.link(), broken: Some(broken) };
            }
        }
    }
    Followed { statements, next: place.link(), broken: None }
}

/// Where the next update must fit.
struct Place {
    box_id: BoxId,
    code_id: CodeId,
    box_key: BoxPublicKey,
    root_sha256: Sha256,
    sequence: NonZeroU64,
    previous: Sha256,
}

impl Place {
    const fn first(box_id: BoxId, code_id: CodeId, box_key: BoxPublicKey, root_sha256: Sha256) -> Self {
        Self { box_id, code_id, box_key, root_sha256, sequence: NonZeroU64::MIN, previous: root_sha256 }
    }

    /// Opens the next update and moves behind it.
    fn open(&mut self, root: &Root, number: NonZeroU64, part: &[u8]) -> Result<OpenedUpdate, UpdateError> {
        let sealed = door::check_update_part(part).map_err(UpdateError::Door)?;
        let statement = self.admit(number, &sealed)?;
        let text = seal::open_update(sealed.body(), &root.facts().identity).map_err(|why| match why {
            Unopened::Damaged(what) => UpdateError::Damaged(what),
            Unopened::WrongIdentity => UpdateError::Identity,
        })?;
        let update = admit_body(root, statement, body::read(&text).map_err(UpdateError::Body)?)?;
        self.pass(&sealed);
        Ok(update)
    }

    fn pass(&mut self, sealed: &SealedUpdate) {
        self.sequence = self.sequence.saturating_add(1);
        self.previous = Sha256::of(sealed.statement());
    }

    const fn link(&self) -> Link {
        Link::new(self.sequence, self.previous)
    }

    /// The statement, if the box key signed it, it is the next one here, and the body is the one that it lists.
    fn admit(&self, number: NonZeroU64, sealed: &SealedUpdate) -> Result<ChainedStatement, UpdateError> {
        sshsig::verify(&self.box_key, NAMESPACE, sealed.statement(), sealed.signature())?;
        let statement: Statement = json::from_slice(sealed.statement()).map_err(UpdateError::Statement)?;
        if statement.box_id != self.box_id {
            return Err(UpdateError::BoxId { expected: self.box_id, found: statement.box_id });
        }
        if statement.code_id != self.code_id {
            return Err(UpdateError::CodeId { expected: self.code_id, found: statement.code_id });
        }
        if statement.root_sha256 != self.root_sha256 {
            return Err(UpdateError::Root);
        }
        let expected = self.sequence;
        if let Some(found) = [statement.sequence, number].into_iter().find(|found| *found != expected) {
            return Err(UpdateError::Sequence { expected, found });
        }
        if statement.previous != self.previous {
            return Err(UpdateError::Previous);
        }
        if Sha256::of(sealed.body().bytes()) != statement.body_sha256 {
            return Err(UpdateError::BodyHash);
        }
        Ok(ChainedStatement(statement))
    }
}

fn admit_body(root: &Root, statement: ChainedStatement, body: Body) -> Result<OpenedUpdate, UpdateError> {
    let mut keys = BTreeMap::new();
    for (listed, text) in body.keys {
        let file = door::check_plain_key(text.0.as_bytes());
        let file = file.map_err(|source| UpdateError::Key { key: listed, source })?;
        keys.insert(listed, Arc::new(GatedKey::pass_update(listed, &file, &statement)?));
    }
    if let Some(missing) = statement.fingerprints().iter().find(|key| !keys.contains_key(key)) {
        return Err(UpdateError::KeyMissing(*missing));
    }
    let mut tokens = BTreeMap::new();
    for (id, text) in body.tokens {
        if !root.facts().trust.sources.iter().any(|source| source.id == id) {
            return Err(UpdateError::TokenForeign(id));
        }
        let token = TokenSecret::new(text.0).map_err(|_| UpdateError::Token(id.clone()))?;
        tokens.insert(id, token);
    }
    Ok(OpenedUpdate { statement, keys, tokens })
}

impl Chain {
    /// The updates that stand, the oldest first.
    #[must_use]
    pub fn updates(&self) -> &[OpenedUpdate] {
        &self.updates
    }

    /// Where the chain broke.
    #[must_use]
    pub const fn broken(&self) -> Option<&Break> {
        self.broken.as_ref()
    }

    /// Takes it apart: what stands, and where it broke.
    #[must_use]
    pub fn into_parts(self) -> (Vec<OpenedUpdate>, Option<Break>) {
        (self.updates, self.broken)
    }
}

impl OpenedUpdate {
    /// Its number.
    #[must_use]
    pub const fn sequence(&self) -> NonZeroU64 {
        self.statement.0.sequence
    }

    /// When it was made, by the clock of whoever had the box.
    #[must_use]
    pub const fn made_at(&self) -> Timestamp {
        self.statement.0.made_at
    }

    /// Its keys, by the fingerprint that was computed from each.
    #[must_use]
    pub const fn keys(&self) -> &BTreeMap<Fingerprint, Arc<GatedKey>> {
        &self.keys
    }

    /// Its token secrets, by the id of a source of the root.
    #[must_use]
    pub const fn tokens(&self) -> &BTreeMap<Name, TokenSecret> {
        &self.tokens
    }
}

impl ChainedStatement {
    /// The keys that it vouches for.
    #[must_use]
    pub const fn fingerprints(&self) -> &BTreeSet<Fingerprint> {
        &self.0.fingerprints
    }
}
