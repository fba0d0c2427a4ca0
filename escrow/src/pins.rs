//! Which operator keys count now: the root's list, and what holders of recovery keys said of it since.
//!
//! One statement replaces one list by the next. It names the generation after the one that it replaces
//! and the hash of that list, and carries the signature of a key which *that list* gives the role
//! `recovery`. So a statement can be handed over by anybody, late, twice or in any order, and the
//! result is the same; one of an earlier generation changes nothing.
//!
//! Two good statements that make different lists of one generation are a split: whoever made the second
//! had a recovery key, and nobody here can know which of them was meant. Nothing destructive may happen
//! then ([`Replayed::for_orders`]), whatever either list says.
//!
//! A new list may have keys that this version does not verify. It is taken all the same (a fired
//! operator must not stay because of a newer key beside him); such a key signs nothing here.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
};

use tenwords_protocol::{
    code16::Code16,
    operators::{NAMESPACE, OperatorList, Pins, PinsError, PinsStatement, Role},
    time::Timestamp,
};
use thiserror::Error;

use crate::{
    root::Operators,
    signed::{self, SignatureRefusal},
};

/// What became of the statements.
#[derive(Debug)]
pub struct Replayed {
    /// The list that the last good statement made, for people to look at. What is ordered is judged by
    /// [`Self::for_orders`].
    pub operators: Operators,
    /// The statements that were taken, in the order of their generations.
    pub taken: Vec<Taken>,
    /// Those that were not, with the generation that they name.
    pub refused: Vec<(Option<NonZeroU64>, PinsRefusal)>,
    /// The generation of which there are two lists.
    pub split: Option<NonZeroU64>,
}

/// A statement that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The generation that it made.
    pub generation: NonZeroU64,
    /// The code of that list, to be compared with the operator's.
    pub code: Code16,
    /// Who signed it, as `ssh-keygen -l` prints a key.
    pub signer: String,
    /// When it was made, by the signer's clock.
    pub made_at: Timestamp,
    /// The statement itself, to be kept. Others that name this generation prove nothing.
    pub pins: Pins,
}

/// Why a statement was not taken.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinsRefusal {
    /// The list that it replaces is not here.
    #[error("the statement replaces a list that this box does not have: generation {missing} is missing")]
    Gap {
        /// What must come first.
        missing: NonZeroU64,
    },
    /// It replaces another list of that generation.
    #[error("the statement replaces another list than the one that this box has")]
    Replaces,
    /// The key is pinned, and not for this.
    #[error("the key {signer} may sign orders, but not change the list of keys")]
    Role {
        /// The key, as `ssh-keygen -l` prints it.
        signer: String,
    },
    /// The signature does not count.
    #[error(transparent)]
    Signature(#[from] SignatureRefusal),
    /// It is behind a generation of which there are two lists.
    #[error("there are two lists of generation {split}, and nothing behind it is believed")]
    Split {
        /// Where they part.
        split: NonZeroU64,
    },
    /// It cannot be read.
    #[error(transparent)]
    Text(#[from] PinsError),
    /// More than a hub keeps.
    #[error("more than {MAX_READ} statements were handed over; the others were not looked at")]
    TooMany,
}

/// So many statements are judged, at most.
const MAX_READ: usize = 1024;

/// A statement and who signed it.
struct Good<'s> {
    statement: PinsStatement,
    pins: &'s Pins,
    signer: String,
}

impl Good<'_> {
    /// Which of those that make one list is shown does not depend on who brought it first.
    fn place(&self) -> (Timestamp, &str, &str) {
        (self.statement.made_at, &self.signer, &self.pins.signature)
    }
}

/// One that can be read, not yet believed.
struct Read<'s> {
    statement: PinsStatement,
    pins: &'s Pins,
}

/// Takes from the root's list on what can be taken; the order of the statements does not matter.
pub fn replay<'s>(root: &Operators, statements: impl IntoIterator<Item = &'s Pins>) -> Replayed {
    let mut refused = Vec::new();
    let mut waiting = read(root.generation, statements, &mut refused);
    let (mut operators, mut taken, mut split) = (root.clone(), Vec::new(), None);
    while let Some(next) = operators.generation.checked_add(1) {
        let mut good = Vec::new();
        for read in waiting.remove(&next).unwrap_or_default() {
            match judge(&operators.signers, read) {
                Ok(statement) => good.push(statement),
                Err(refusal) => refused.push((Some(next), refusal)),
            }
        }
        // The same list twice is no split: whatever replaces it names its hash, and both have that one.
        good.sort_by(|a, b| a.place().cmp(&b.place()));
        let mut good = good.into_iter();
        let Some(first) = good.next() else { break };
        if good.any(|other| other.statement.signers != first.statement.signers) {
            split = Some(next);
            break;
        }
        let Good { statement: PinsStatement { signers, made_at, .. }, pins, signer } = first;
        taken.push(Taken { generation: next, code: signers.code(), signer, made_at, pins: pins.clone() });
        operators = Operators { generation: next, signers };
    }
    for (generation, left) in waiting {
        let missing = operators.generation.saturating_add(1);
        refused.extend(left.iter().map(|_| {
            let refusal = split.map_or(PinsRefusal::Gap { missing }, |split| PinsRefusal::Split { split });
            (Some(generation), refusal)
        }));
    }
    refused.sort_by_cached_key(|(generation, refusal)| (*generation, refusal.to_string()));
    Replayed { operators, taken, refused, split }
}

/// The statements after `root` that can be read, each once.
fn read<'s>(
    root: NonZeroU64,
    statements: impl IntoIterator<Item = &'s Pins>,
    refused: &mut Vec<(Option<NonZeroU64>, PinsRefusal)>,
) -> BTreeMap<NonZeroU64, Vec<Read<'s>>> {
    let mut seen = BTreeSet::new();
    let mut waiting = BTreeMap::<_, Vec<_>>::new();
    let mut count = 0;
    for pins in statements {
        if !seen.insert((&pins.statement.0, &pins.signature)) {
            continue;
        }
        match PinsStatement::parse(&pins.statement.0) {
            Ok(statement) if statement.generation <= root => {}
            // What cannot be read, is older, or stands there twice takes no genuine one's place.
            Ok(_) if count == MAX_READ => {
                refused.push((None, PinsRefusal::TooMany));
                break;
            }
            Ok(statement) => {
                count += 1;
                waiting.entry(statement.generation).or_default().push(Read { statement, pins });
            }
            Err(error) if refused.len() < MAX_READ => refused.push((None, error.into())),
            Err(_) => {}
        }
    }
    waiting
}

/// Whether it replaces exactly this list, and a recovery key of this list says so.
fn judge<'s>(list: &OperatorList, read: Read<'s>) -> Result<Good<'s>, PinsRefusal> {
    let Read { statement, pins } = read;
    let judged = signed::judge(&pins.signature, NAMESPACE, list)?;
    if !judged.holds(&pins.statement.0) {
        return Err(SignatureRefusal::Text { signer: judged.signer() }.into());
    }
    if statement.replaces != list.hash() {
        return Err(PinsRefusal::Replaces);
    }
    if !judged.has(Role::Recovery) {
        return Err(PinsRefusal::Role { signer: judged.signer() });
    }
    Ok(Good { statement, pins, signer: judged.signer() })
}

// === impl Replayed ===

impl Replayed {
    /// The keys whose orders count; none at all after a split.
    #[must_use]
    pub fn for_orders(&self) -> Option<&OperatorList> {
        self.split.is_none().then_some(&self.operators.signers)
    }
}

// === impl PinsRefusal ===

impl PinsRefusal {
    /// What a person can do now.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Gap { .. } => {
                "hand over the statements that come before it too; the hub and whoever made them have them"
            }
            Self::Replaces => {
                "compare the code of the box's list with the operator's; make the statement anew for that list"
            }
            Self::Role { .. } => "sign the statement with a key that is pinned as `recovery`",
            Self::Signature(refusal) => refusal.next_step(),
            Self::Split { .. } => {
                "find out who made the second list: it takes a recovery key. Nothing can be ordered until the right list is pinned on the box itself and sealed by a ceremony"
            }
            Self::Text(_) => "make the statement with `tenwords pins propose`, and do not change it",
            Self::TooMany => "hand over those that are missing here alone",
        }
    }
}
