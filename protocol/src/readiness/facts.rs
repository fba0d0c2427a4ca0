//! What is known of a box at one moment, whoever knows it.

use std::{collections::BTreeSet, num::NonZeroU64, time::Duration};

use crate::{
    fingerprint::Fingerprint,
    hash::Sha256,
    report::{Alarm, Observed},
    time::Timestamp,
    version::StoredHeader,
};

const DAY: u64 = 86_400;

/// Everything that readiness is computed from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// When a node of it enrolled first.
    pub enrolled_at: Option<Timestamp>,
    /// The newest ceremony that is stored.
    pub ceremony: Option<&'a Ceremony>,
    /// The highest number of a version that is stored.
    pub newest: Option<NonZeroU64>,
    /// What its keeper said last of the box.
    pub said: Option<Said<'a>>,
    /// Its nodes.
    pub nodes: &'a [Node],
    /// When its ten words were tried last under the code of the newest ceremony, which counts as the first time.
    pub drilled_at: Option<Timestamp>,
    /// When a certificate of it was refused last for what is another box's.
    pub trespassed_at: Option<Timestamp>,
    /// When one of it was refused last that was revoked.
    pub revoked_used_at: Option<Timestamp>,
}

/// A stored ceremony, by its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// Its number.
    pub number: NonZeroU64,
    /// Its root.
    pub root_sha256: Sha256,
    /// The keys that it has parts of.
    pub keys: BTreeSet<Fingerprint>,
    /// When it was stored, by the clock that also says when the keeper was heard; what the keeper said before is
    /// not held against it. Absent where that is not known: then it is.
    pub received_at: Option<Timestamp>,
}

impl Ceremony {
    /// A ceremony as the hub has it.
    #[must_use]
    pub fn of(stored: &StoredHeader) -> Self {
        Self {
            number: stored.number,
            root_sha256: stored.header.facts().root_sha256,
            keys: stored.header.keys().collect(),
            received_at: Some(stored.received_at),
        }
    }
}

/// What the keeper has said of the box.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// When it was heard.
    pub at: Timestamp,
    /// What it saw.
    pub observed: &'a Observed,
}

/// A node of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it escrows for the box.
    pub is_keeper: bool,
    /// When it was heard of last.
    pub heard_at: Option<Timestamp>,
    /// When its certificate ends.
    pub certificate_ends: Timestamp,
    /// What it says is wrong.
    pub alarms: Vec<Alarm>,
}

/// What is asked of a box. The defaults are the ones that `docs/readiness.md` explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A key that was sealed without the words is good for so long.
    pub sealed_for: Duration,
    /// The words are to be tried so often.
    pub drill_every: Duration,
    /// A box may be silent so long.
    pub silent_for: Duration,
    /// Its backup servers may be silent so long.
    pub servers_silent_for: Duration,
    /// A certificate that ends earlier than in this time should have been renewed.
    pub certificate_left: Duration,
    /// What was refused once is said for so long.
    pub refused_is_said: Duration,
    /// Whether a token that may remove backups is a reason; else it is a note.
    pub pruning_is_a_reason: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            sealed_for: Duration::from_secs(14 * DAY),
            drill_every: Duration::from_secs(180 * DAY),
            silent_for: Duration::from_secs(DAY),
            servers_silent_for: Duration::from_secs(DAY),
            certificate_left: Duration::from_secs(20 * DAY),
            refused_is_said: Duration::from_secs(7 * DAY),
            pruning_is_a_reason: false,
        }
    }
}
