//! Whether a token of this box may remove backups: whoever takes the box over could do it then.
//!
//! It is asked of each backup server by a question that removes nothing ([`pbs_driver::pruning`]).

use std::collections::BTreeSet;

use pbs_driver::{
    Client,
    pruning::{self, Pruning as Said},
};
use pbs_format::datastore;
use serde::{Deserialize, Serialize};
use tenwords_protocol::{directive::Group, hash::Sha256, report::Pruning, time::Timestamp};

use super::looked::{Looked, Source};
use crate::{
    interrupt,
    recover::plan::chain,
    sources::{BoxSource, BoxSources},
};

/// That a token cannot is taken for granted for so long.
const CANNOT: u64 = 24 * 60 * 60;
/// Everything else is asked again after this time: who has taken the privilege away is not to wait a day to see it.
const ELSE: u64 = 60 * 60;
/// What was said holds for so long if no other answer comes.
const KNOWN_FOR: u64 = 7 * 24 * 60 * 60;

/// When somebody was asked, and what of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    at: Timestamp,
    /// Of which token at which place.
    of: Sha256,
    /// When an answer came last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_at: Option<Timestamp>,
}

/// Asks those that have just listed what they have (`answered`), each by a group of this box's own. What no answer
/// came to stays as it was known.
pub(super) fn ask(
    client: &Client,
    found: &BoxSources,
    answered: &BTreeSet<&str>,
    groups: &[Group],
    looked: &mut Looked,
    now: Timestamp,
) {
    for source in found.sources.iter().filter(|source| source.is_used()) {
        let (Some(kept), Some(of)) = (looked.sources.get_mut(&source.id), identity(source)) else { continue };
        forget_another(kept, of);
        if !answered.contains(source.id.as_str()) || !is_due(kept, now) || interrupt::is_ending() {
            continue;
        }
        let own = groups.iter().map(Group::to_string).find(|group| kept.groups.contains_key(group));
        let Some(group) = own.and_then(|group| group.parse::<datastore::Group>().ok()) else { continue };
        let Ok(access) = source.access() else { continue };
        let said = match pruning::ask(client, &access, &group) {
            Said::May => Pruning::May,
            Said::Cannot => Pruning::Cannot,
            Said::Unknown { why } => {
                let (id, why) = (&source.id, chain(&why));
                tracing::warn!(source = id, why, "whether its token may remove backups is not known");
                Pruning::Unknown
            }
        };
        take_in(kept, of, said, now);
    }
}

/// Without an answer it is for a while what it was.
fn take_in(kept: &mut Source, of: Sha256, said: Pruning, now: Timestamp) {
    let known_at = kept.pruning_asked.as_ref().and_then(|asked| asked.known_at);
    let known_at = match said {
        Pruning::Unknown => known_at.filter(|at| *at <= now && now.since(*at).as_secs() < KNOWN_FOR),
        _ => Some(now),
    };
    if said != Pruning::Unknown || known_at.is_none() {
        kept.pruning = said;
    }
    kept.pruning_asked = Some(Asked { at: now, of, known_at });
}

/// What was said of another token, or at another place, says nothing of this one.
fn forget_another(kept: &mut Source, of: Sha256) {
    if kept.pruning_asked.as_ref().is_none_or(|asked| asked.of != of) {
        (kept.pruning, kept.pruning_asked) = (Pruning::Unknown, None);
    }
}

/// The secret is not in it: a token's privileges are those of its name.
fn identity(source: &BoxSource) -> Option<Sha256> {
    let place = source.place.as_ref()?;
    Some(Sha256::of(format!("{} {}", place.repository, place.namespace).as_bytes()))
}

/// Whether it is time to ask, by a clock that may have jumped.
fn is_due(kept: &Source, now: Timestamp) -> bool {
    kept.pruning_asked.as_ref().is_none_or(|asked| {
        let is_fresh = asked.known_at >= Some(asked.at);
        let good_for = if is_fresh && kept.pruning == Pruning::Cannot { CANNOT } else { ELSE };
        now < asked.at || now.since(asked.at).as_secs() >= good_for
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_token_that_cannot_is_asked_of_each_day_and_any_other_each_hour() -> Result<(), Box<dyn std::error::Error>> {
        let at = |second: i64| Timestamp::from_unix(1_790_000_000 + second);
        let (here, elsewhere) = (Sha256::of(b"here"), Sha256::of(b"elsewhere"));
        let kept = |pruning| -> Result<Source, Box<dyn std::error::Error>> {
            Ok(Source {
                answered_at: None,
                pruning,
                pruning_asked: Some(Asked { at: at(0)?, of: here, known_at: Some(at(0)?) }),
                groups: BTreeMap::new(),
                escrow: None,
                signed: BTreeMap::new(),
                keys: BTreeMap::new(),
            })
        };
        for (pruning, second, due) in [
            (Pruning::Cannot, 86_399, false),
            (Pruning::Cannot, 86_400, true),
            (Pruning::May, 3_599, false),
            (Pruning::May, 3_600, true),
            (Pruning::Unknown, 3_599, false),
            (Pruning::Unknown, 3_600, true),
            (Pruning::Cannot, -1, true),
        ] {
            assert_eq!(is_due(&kept(pruning)?, at(second)?), due, "{pruning:?} after {second} s");
        }
        // Without an answer it is asked again soon, and what was known is not known for ever.
        let mut silent = kept(Pruning::Cannot)?;
        take_in(&mut silent, here, Pruning::Unknown, at(86_400)?);
        assert!(silent.pruning == Pruning::Cannot && is_due(&silent, at(90_000)?));
        take_in(&mut silent, here, Pruning::Unknown, at(604_799)?);
        assert_eq!(silent.pruning, Pruning::Cannot);
        take_in(&mut silent, here, Pruning::Unknown, at(604_800)?);
        assert_eq!(silent.pruning, Pruning::Unknown);
        take_in(&mut silent, here, Pruning::May, at(604_801)?);
        take_in(&mut silent, here, Pruning::Unknown, at(5)?);
        assert_eq!(silent.pruning, Pruning::Unknown, "an answer that is still to come is none");
        let mut same = kept(Pruning::Cannot)?;
        forget_another(&mut same, here);
        assert_eq!(same, kept(Pruning::Cannot)?);
        let mut other = kept(Pruning::Cannot)?;
        forget_another(&mut other, elsewhere);
        assert!(other.pruning == Pruning::Unknown && is_due(&other, at(1)?));
        Ok(())
    }
}
