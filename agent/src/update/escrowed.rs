//! How each key is escrowed, by what this box has kept of its acknowledged versions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256, readiness::Policy, time::Timestamp};

use super::own::Own;
use crate::{
    exit::{Outcome, Stop},
    record::Record,
    settings::Configuration,
};

/// How a key is escrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "grade")]
pub(crate) enum Escrowed {
    /// Both openings have had it, at this ceremony.
    Proven {
        at: Timestamp,
    },
    /// The box has sealed it, and read it back; nobody has opened it.
    Sealed {
        since: Timestamp,
    },
    No,
}

/// The keys of a box's escrow.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    proven: BTreeSet<Fingerprint>,
    at: Option<Timestamp>,
    sealed: BTreeMap<Fingerprint, Timestamp>,
    /// The hashes of the updates that were acknowledged.
    pub(crate) updates: Vec<Sha256>,
}

/// By this box's own record; nothing without a ceremony.
pub(crate) fn escrowed(configuration: &Configuration) -> Outcome<Sealed> {
    match Record::load(configuration)? {
        Some(record) => Ok(Sealed::of(configuration, record)),
        None => Ok(Sealed::default()),
    }
}

impl Sealed {
    /// Of this ceremony, and the updates on it. Where those cannot be read, none of them counts.
    pub(crate) fn of(configuration: &Configuration, record: Record) -> Self {
        let (proven, at) = (record.keys.clone(), record.made_at);
        let mut sealed = BTreeMap::new();
        let mut updates = Vec::new();
        match Own::load(configuration, record).map_err(Stop::from) {
            Ok(own) => {
                for statement in own.statements() {
                    for key in statement.fingerprints.iter().filter(|key| !proven.contains(key)) {
                        sealed.entry(*key).or_insert(statement.made_at);
                    }
                }
                updates.extend(own.hashes());
            }
            Err(stop) => tracing::warn!("{}", stop.in_one_line()),
        }
        Self { proven, at: Some(at), sealed, updates }
    }

    pub(crate) fn of_key(&self, key: Fingerprint) -> Escrowed {
        match (self.at, self.sealed.get(&key)) {
            (Some(at), _) if self.proven.contains(&key) => Escrowed::Proven { at },
            (_, Some(since)) => Escrowed::Sealed { since: *since },
            _ => Escrowed::No,
        }
    }

    /// The keys that came by updates, and since when.
    pub(crate) fn sealed(&self) -> &BTreeMap<Fingerprint, Timestamp> {
        &self.sealed
    }
}

impl Escrowed {
    /// Whether the words are wanted once, so that it is proven. A time that is still to come is no young one.
    pub(crate) fn wants_the_words(self, now: Timestamp) -> bool {
        match self {
            Self::Sealed { since } => {
                now.since(since) > Policy::default().sealed_for || since.unix() > now.unix() + SKEW
            }
            Self::Proven { .. } | Self::No => false,
        }
    }

    pub(crate) fn in_words(self) -> String {
        match self {
            Self::Proven { at } => format!("escrowed, proven at the ceremony of {at}"),
            Self::Sealed { since } => format!("escrowed by an update of {since}: sealed, not proven"),
            Self::No => "NOT ESCROWED".to_owned(),
        }
    }
}

/// A clock may be wrong by so many seconds.
const SKEW: i64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_wants_the_words_after_fourteen_days() -> Result<(), Box<dyn std::error::Error>> {
        let since: Timestamp = "2026-05-09T12:00:00Z".parse()?;
        for (now, expected) in [
            ("2026-05-09T12:00:00Z", false),
            ("2026-05-23T12:00:00Z", false),
            ("2026-05-23T12:00:01Z", true),
            ("2026-05-09T11:51:00Z", false),
            ("2020-01-01T00:00:00Z", true),
        ] {
            assert_eq!(Escrowed::Sealed { since }.wants_the_words(now.parse()?), expected, "{now}");
            assert!(!Escrowed::Proven { at: since }.wants_the_words(now.parse()?));
        }
        Ok(())
    }
}
