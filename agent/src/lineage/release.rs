//! Which kept keys nothing needs any more. The set of keys only shrinks here.
//!
//! A key goes when it was found unneeded on [`DAYS`] days of the calendar, with no look in between that found a
//! snapshot of it. Days are counted as they are seen and not reckoned from a first one, so that a clock that
//! jumps by years lets nothing go. A look counts for a key only if every place answered, and wholly, where
//! backups under it may lie: of a storage that was removed nobody knows what lies there, and its key stays. What
//! is let go of is escrowed: a server may list a snapshot without the key that it needs.

use std::collections::{BTreeMap, BTreeSet};

use tenwords_protocol::{
    fingerprint::Fingerprint,
    inventory::{Answer, Inventory, SourceEntry},
    time::Timestamp,
};

use super::{
    files,
    index::{Index, Needed, Unneeded},
    place,
};
use crate::{
    settings::Configuration,
    sources::BoxSources,
    update::{self, Escrowed, Sealed},
};

/// On so many days a key must have been found unneeded.
pub(crate) const DAYS: u32 = 30;

/// What the servers have said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Snapshots by the key that they need.
    snapshots: BTreeMap<Fingerprint, u64>,
    /// The places that have told everything.
    complete: BTreeSet<String>,
}

impl Answers {
    /// As an inventory has them.
    pub(crate) fn of(inventory: &Inventory) -> Self {
        let mut answers = Self::default();
        for source in inventory.sources.iter() {
            let Answer::Listed(listing) = &source.answer else { continue };
            for key in listing.keys.iter() {
                *answers.snapshots.entry(key.fingerprint).or_default() += key.snapshots;
            }
            if listing.keys_left_out == 0 {
                answers.complete.insert(place_of(source));
            }
        }
        answers
    }
}

fn place_of(source: &SourceEntry) -> String {
    let namespace = source.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
    place(source.auth_id.as_str(), (source.server.as_str(), source.port), source.datastore.as_str(), &namespace)
}

/// Takes the servers' answers into the index, and lets go of what nothing needs; tells which keys those were.
/// The caller holds the lock. What cannot be kept or taken away is told, and tried again at the next look.
pub(crate) fn take(
    configuration: &Configuration,
    found: &BoxSources,
    answers: &Answers,
    now: Timestamp,
    notes: &mut Vec<String>,
) -> Vec<Fingerprint> {
    let (mut index, damaged) = Index::load(configuration);
    notes.extend(damaged);
    let live = found.keys().map(crate::keys::LiveKey::fingerprint).collect();
    let escrowed = update::escrowed(configuration).unwrap_or_else(|stop| {
        notes.push(format!("no kept key is let go of: {}", stop.in_one_line()));
        Sealed::default()
    });
    let is_escrowed = |key| escrowed.of_key(key) != Escrowed::No;
    index.asked_on = Some(now.day());
    let unneeded = judge(&mut index, &live, is_escrowed, answers, now);
    let mut released = Vec::new();
    for key in unneeded {
        match files::release(&files::folder(configuration), key) {
            Ok(()) => {
                index.keys.remove(&key);
                released.push(key);
            }
            Err(error) => notes.push(format!("key {}, which nothing needs, stays: {error}", key.short())),
        }
    }
    if let Err(error) = index.keep(configuration) {
        notes.push(format!("what the servers need of the kept keys cannot be written down: {error}"));
    }
    released
}

/// The keys that may go.
fn judge(
    index: &mut Index,
    live: &BTreeSet<Fingerprint>,
    is_escrowed: impl Fn(Fingerprint) -> bool,
    answers: &Answers,
    now: Timestamp,
) -> Vec<Fingerprint> {
    let today = now.day();
    let mut unneeded = Vec::new();
    for (key, entry) in &mut index.keys {
        let snapshots = answers.snapshots.get(key).copied().unwrap_or(0);
        let is_answered = !entry.places.is_empty() && entry.places.is_subset(&answers.complete);
        if snapshots > 0 || is_answered {
            entry.needed = Some(Needed { snapshots, at: now });
        }
        if snapshots > 0 || live.contains(key) {
            entry.unneeded = None;
            continue;
        }
        if !is_answered {
            continue;
        }
        let counted = entry.unneeded.unwrap_or(Unneeded { days: 0, last_day: i64::MIN });
        // A clock that goes back counts no day twice.
        let is_later = today > counted.last_day;
        let days = counted.days.saturating_add(u32::from(is_later));
        entry.unneeded = Some(Unneeded { days, last_day: counted.last_day.max(today) });
        if days >= DAYS && is_escrowed(*key) {
            unneeded.push(*key);
        }
    }
    unneeded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Fingerprint {
        Fingerprint::from_bytes([byte; 32])
    }

    fn day(number: i64) -> Timestamp {
        Timestamp::from_unix(1_772_539_200 + number * 86_400).unwrap_or_else(|_| Timestamp::now())
    }

    fn index() -> Index {
        let mut index = Index::new();
        index.entry(key(1), day(0)).places.insert("a".to_owned());
        index
    }

    fn answers(complete: &[&str], snapshots: u64) -> Answers {
        let snapshots = if snapshots > 0 { BTreeMap::from([(key(1), snapshots)]) } else { BTreeMap::new() };
        Answers { snapshots, complete: complete.iter().map(|place| (*place).to_owned()).collect() }
    }

    /// On which look the key goes.
    fn goes(mut index: Index, looks: impl IntoIterator<Item = (i64, Answers)>, live: bool) -> Option<usize> {
        let live = if live { BTreeSet::from([key(1)]) } else { BTreeSet::new() };
        looks.into_iter().position(|(at, answers)| !judge(&mut index, &live, |_| true, &answers, day(at)).is_empty())
    }

    #[test]
    fn a_key_that_is_not_escrowed_never_goes_and_goes_once_it_is() {
        let mut index = index();
        let none = BTreeSet::new();
        for at in 0..100 {
            let gone = judge(&mut index, &none, |_| false, &answers(&["a"], 0), day(at));
            assert!(gone.is_empty(), "look {at}: it is kept nowhere else");
        }
        assert!(judge(&mut index, &none, |other| other == key(2), &answers(&["a"], 0), day(100)).is_empty());
        assert_eq!(judge(&mut index, &none, |other| other == key(1), &answers(&["a"], 0), day(101)), [key(1)]);
    }

    #[test]
    fn a_key_goes_after_thirty_days_on_which_nothing_needed_it() {
        let daily = |until| (0..until).map(|at| (at, answers(&["a", "b"], 0)));
        assert_eq!(goes(index(), daily(60), false), Some(29));
        assert_eq!(goes(index(), daily(60), true), None, "a key in use never goes");
        assert_eq!(goes(index(), daily(60).map(|(_, it)| (3, it)), false), None, "sixty looks are no thirty days");
        assert_eq!(
            goes(index(), daily(60).map(|(at, it)| (at % 20, it)), false),
            None,
            "nor is a clock that goes back"
        );
        let jump = [(0, answers(&["a"], 0)), (3650, answers(&["a"], 0)), (-3650, answers(&["a"], 0))];
        assert_eq!(goes(index(), jump, false), None, "nor is a clock that jumps by ten years");
    }

    #[test]
    fn one_snapshot_begins_the_count_anew_and_a_silent_place_counts_for_nothing() {
        let with = |at: i64| (at, answers(&["a"], u64::from(at == 28)));
        assert_eq!(goes(index(), (0..100).map(with), false), Some(58));
        let mut elsewhere = index();
        elsewhere.entry(key(1), day(0)).places.insert("a storage that was removed".to_owned());
        assert_eq!(goes(elsewhere, (0..100).map(|at| (at, answers(&["a"], 0))), false), None);
        assert_eq!(goes(index(), (0..100).map(|at| (at, answers(&["b"], 0))), false), None);
        let mut nowhere = index();
        nowhere.entry(key(1), day(0)).places.clear();
        assert_eq!(
            goes(nowhere, (0..100).map(|at| (at, answers(&["a"], 0))), false),
            None,
            "of which nothing is known"
        );
    }
}
