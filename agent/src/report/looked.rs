//! What the backup servers said when they were asked last, as a report needs it. A server that does not answer
//! leaves what it said before, with the time at which it said it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    bounded::List,
    fingerprint::Fingerprint,
    json,
    report::{Alarm, Pruning, Signature, SnapshotFact},
    time::Timestamp,
    v1::V1,
};

use super::pruning;
use crate::{durable, settings::Configuration};

const FILE: &str = "servers.json";
const LIMIT: u64 = 16 << 20;

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Looked {
    v: V1,
    pub(super) at: Timestamp,
    pub(super) sources: BTreeMap<String, Source>,
    /// What was wrong with what they list.
    pub(super) alarms: List<Alarm, 128>,
    /// Where the next look at signatures begins.
    #[serde(default)]
    pub(super) turn: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// When it answered last; absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answered_at: Option<Timestamp>,
    pub(super) pruning: Pruning,
    /// When that was asked last, and of which token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pruning_asked: Option<pruning::Asked>,
    /// By group, its newest snapshot.
    pub(super) groups: BTreeMap<String, SnapshotFact>,
    /// The time of the newest of this box's escrow that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) escrow: Option<Timestamp>,
    /// By group, the time of the newest snapshot whose signature was found good.
    #[serde(default)]
    pub(super) signed: BTreeMap<String, Timestamp>,
    /// How many snapshots are said to need which key.
    pub(super) keys: BTreeMap<Fingerprint, u64>,
}

impl Looked {
    /// The same as if it had been asked at this moment.
    pub(super) fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }

    pub(super) fn new(at: Timestamp) -> Self {
        Self { v: V1, at, sources: BTreeMap::new(), alarms: List::default(), turn: 0 }
    }

    /// Whether a report would be the same by the other.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let said = |looked: &Self| -> Vec<Source> {
            // That a server has answered once more is no news; that it does not any more is known by the time.
            let said = |source| Source { answered_at: None, pruning_asked: None, escrow: None, ..source };
            looked.sources.values().cloned().map(said).collect()
        };
        self.alarms == other.alarms && self.sources.keys().eq(other.sources.keys()) && said(self) == said(other)
    }

    /// Takes down which snapshots were found to be signed.
    pub(super) fn note_signed(&mut self) {
        for source in self.sources.values_mut() {
            let Source { groups, signed, .. } = source;
            signed.retain(|group, _| groups.contains_key(group));
            for (group, fact) in groups.iter().filter(|(_, fact)| fact.signature == Signature::Good) {
                let at = signed.entry(group.clone()).or_insert(fact.time);
                *at = fact.time.max(*at);
            }
        }
    }

    /// What is known; nothing if it was never asked, or cannot be read.
    pub(crate) fn load(configuration: &Configuration) -> Option<Self> {
        let path = configuration.state(FILE);
        let text = durable::read_limited(&path, LIMIT).ok()?;
        json::from_slice(&text)
            .map_err(
                |error| tracing::warn!(path = %path.display(), %error, "what the servers said is not known any more"),
            )
            .ok()
    }

    pub(super) fn keep(&self, configuration: &Configuration) -> std::io::Result<()> {
        let text = json::to_vec(self).map_err(std::io::Error::other)?;
        durable::folder(&configuration.settings.state, 0o700)?;
        durable::replace("servers", &configuration.state(FILE), 0o600, &text)
    }

    /// Whether a source has listed, since it was given the box's escrow at that moment, that this is not there. One that
    /// is newer says nothing of it, nor does an answer of a time to come.
    pub(crate) fn lacks_escrow(&self, source: &str, at: Timestamp, now: Timestamp) -> bool {
        self.sources.get(source).is_some_and(|source| {
            source.answered_at.is_some_and(|answered| answered > at && answered <= now)
                && source.escrow.is_none_or(|newest| newest < at)
        })
    }

    /// How many snapshots need this key, on all of them.
    pub(super) fn need(&self, key: Fingerprint) -> u64 {
        self.sources.values().filter_map(|source| source.keys.get(&key)).sum()
    }
}
