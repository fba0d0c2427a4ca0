//! The numbers that a box has used up: codes and sequences.

use std::{collections::BTreeSet, num::NonZeroU64};

use tenwords_protocol::{
    fingerprint::Fingerprint,
    id::BoxId,
    time::Timestamp,
    version::{Kind, StoredHeader},
};

use crate::{
    exit::{Code, Outcome, Stop},
    hub::Hub,
    record::Record,
    settings::Configuration,
    update::Sealed,
};

/// The highest numbers seen, by this box and by its hub.
pub(crate) struct History {
    code: Option<NonZeroU64>,
    sequence: Option<NonZeroU64>,
    /// The newest ceremony.
    pub(crate) former: Option<Former>,
}

/// The code that the box has before the ceremony, by its own record or the hub's newest header: a hint
/// for a person, and nothing that is believed.
pub(crate) struct Former {
    pub(crate) code: NonZeroU64,
    pub(crate) made_at: Timestamp,
    pub(crate) keys: BTreeSet<Fingerprint>,
}

impl History {
    pub(crate) fn ask(configuration: &Configuration, of: BoxId, hub: Option<&Hub>) -> Outcome<Self> {
        // A damaged record costs a hint, and must not cost the ceremony that makes a new one.
        let record = Record::load(configuration).unwrap_or_else(|stop| {
            tracing::warn!("{}", stop.what);
            None
        });
        let record = record.filter(|record| record.box_id == of);
        let versions = hub.map(|hub| hub.page(of, None)).transpose()?.unwrap_or_default();
        let own_code = record.as_ref().map(|record| record.code_number);
        let own_sequence = record.as_ref().map(|record| record.sequence);
        let total = versions.first().map_or(0, |newest| newest.number.get());
        let facts = || versions.iter().map(|stored| stored.header.facts());
        Ok(Self {
            code: highest(own_code, total, facts().map(|facts| facts.code_number)),
            sequence: highest(own_sequence, total, facts().map(|facts| facts.sequence)),
            former: record
                .map(|record| Former::of_record(configuration, record))
                .or_else(|| Former::of_versions(&versions)),
        })
    }

    /// The same with what a root says of itself.
    #[must_use]
    pub(crate) fn and(mut self, sequence: NonZeroU64) -> Self {
        self.sequence = self.sequence.max(Some(sequence));
        self
    }

    pub(crate) fn next_code(&self) -> Outcome<NonZeroU64> {
        next(self.code)
    }

    pub(crate) fn next_sequence(&self) -> Outcome<NonZeroU64> {
        next(self.sequence)
    }
}

impl Former {
    /// With the keys that updates have added: on another node than the one that is to be escrowed now, they may be all
    /// that there is of them.
    fn of_record(configuration: &Configuration, record: Record) -> Self {
        let (code, made_at, mut keys) = (record.code_number, record.made_at, record.keys.clone());
        keys.extend(Sealed::of(configuration, record).sealed().keys());
        Self { code, made_at, keys }
    }

    fn of_versions(versions: &[StoredHeader]) -> Option<Self> {
        let newest = versions.iter().find(|stored| stored.header.facts().kind == Kind::Ceremony)?;
        let facts = newest.header.facts();
        Some(Self { code: facts.code_number, made_at: facts.made_at, keys: newest.header.keys().collect() })
    }
}

/// The highest number seen. What a header says is nobody's word: a box that was taken over once can
/// write any number there. An honest one grows by one a version, so a header counts only up to what
/// this box knows of itself and the versions there are.
fn highest(own: Option<NonZeroU64>, total: u64, said: impl Iterator<Item = NonZeroU64>) -> Option<NonZeroU64> {
    let bound = own.map_or(0, NonZeroU64::get).saturating_add(total);
    said.filter(|number| number.get() <= bound).chain(own).max()
}

fn next(highest: Option<NonZeroU64>) -> Outcome<NonZeroU64> {
    match highest {
        None => Ok(NonZeroU64::MIN),
        Some(highest) => highest.checked_add(1).ok_or_else(|| {
            Stop::new(Code::GateRefused, "the hub lists a number after which there is none")
                .remedy("the box's history at the hub is spoilt: tell the operator")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_a_number_beyond_all_versions_ends_nothing() {
        let number = |n| NonZeroU64::new(n);
        let said = |numbers: &[u64]| numbers.iter().copied().filter_map(NonZeroU64::new).collect::<Vec<_>>();
        assert_eq!(highest(None, 0, said(&[]).into_iter()), None);
        assert_eq!(highest(None, 3, said(&[1, 3, 2]).into_iter()), number(3));
        assert_eq!(highest(number(2), 3, said(&[u64::MAX, 3]).into_iter()), number(3));
        assert_eq!(highest(number(7), 1, said(&[u64::MAX]).into_iter()), number(7));
        assert_eq!(highest(None, 1, said(&[u64::MAX]).into_iter()), None);
    }
}
