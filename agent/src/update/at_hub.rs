//! What the hub has of this box's escrow, held beside what the box has kept of it.
//!
//! A hub that was restored from an old backup has lost versions that it had acknowledged; a box whose own state
//! was set back has lost them itself. Both are mended here: what the hub lacks it is given again, the ceremony
//! first and the updates in their order; what this box lacks is taken from the hub, if the box's own key has
//! signed it. Where the two have parted ways, ceremony and updates are stored once more, as a new beginning that
//! stands for itself: nothing that lies there already can be taken away, and nothing in it is used.

use std::{collections::BTreeSet, num::NonZeroU64};

use serde::Serialize;
use tenwords_protocol::{
    hash::Sha256,
    id::BoxId,
    version::{Bundle, Header, Kind, StoredHeader, UpdateVersion},
};

use super::own::{CEREMONY, Own, chain, update_of};
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::{Hub, HubError},
    settings::Configuration,
};

/// What was found and done there.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Versions that the hub had lost and has again.
    pub(super) given_again: u64,
    /// Updates that the hub had and this box had not.
    pub(super) taken_back: u64,
    pub(super) faults: Vec<HubFault>,
    pub(super) notes: Vec<String>,
}

/// What is wrong with what the hub has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HubFault {
    /// It had lost versions that it had acknowledged.
    Lost,
    /// Somebody has stored updates there that this box did not make.
    Parted,
    /// It has a newer ceremony than the one that this box knows of.
    Newer,
    /// What it gives back is not what it has acknowledged.
    Damaged,
}

/// How the hub's updates stand to the box's.
#[derive(Debug, PartialEq, Eq)]
enum Stands {
    /// The hub lacks those from this one on.
    Behind(usize),
    /// The hub has more: those from this one on.
    Ahead(usize),
    Apart,
}

fn compare(own: &[Sha256], there: &[Sha256]) -> Stands {
    let same = own.iter().zip(there).take_while(|(own, there)| own == there).count();
    match (same == own.len(), same == there.len()) {
        (_, true) => Stands::Behind(same),
        (true, false) => Stands::Ahead(same),
        (false, false) => Stands::Apart,
    }
}

/// Brings hub and box to one state. `pending` is the update that may have arrived there. What was found by then is
/// told in `step`, whatever comes of it.
pub(super) fn bring_together(
    configuration: &Configuration,
    own: &mut Own,
    pending: Option<Sha256>,
    hub: &Hub,
    of: BoxId,
    step: &mut Step,
) -> Result<(), Trouble> {
    let is_ours = |stored: &StoredHeader| stored.header.parts() == own.record.parts;
    let is_ceremony = |stored: &&StoredHeader| stored.header.facts().kind == Kind::Ceremony;
    let versions = hub.versions_until(of, |so_far| so_far.iter().any(|stored| is_ceremony(&stored)))?;
    let newest = versions.iter().find(is_ceremony);
    let sequence = |stored: &StoredHeader| stored.header.facts().sequence;
    match newest {
        Some(stored) if is_ours(stored) => number_is(configuration, own, stored.number)?,
        // Somebody who has the words has held one since.
        Some(stored) if sequence(stored) > own.record.sequence => {
            step.faults.push(HubFault::Newer);
            return Err(Stop::new(
                Code::GateRefused,
                format!(
                    "the hub has a newer ceremony (version {}) than the one that this box knows of: nothing is added to \
                     the former one",
                    stored.number
                ),
            )
            .remedy(format!("ask the operator who has held it; if it was this box and it was interrupted, {CEREMONY}"))
            .into());
        }
        _ => {
            step.faults.push(HubFault::Lost);
            step.notes.push("the hub had lost this box's newest ceremony version".to_owned());
            return begin_anew(configuration, own, hub, of, step);
        }
    }
    let (on_it, there) = on_ceremony(own, &versions);
    let mine: Vec<Sha256> = own.hashes().collect();
    match compare(&mine, &there) {
        Stands::Behind(at) => {
            if at < mine.len() {
                step.faults.push(HubFault::Lost);
                step.notes.push(format!("the hub had lost {} acknowledged updates", mine.len() - at));
            }
            let with_update = own.updates().enumerate().filter(|(_, version)| update_of(version.header()).is_some());
            let first = with_update.map(|(index, _)| index).nth(at);
            give(own, first.unwrap_or(usize::MAX), hub, of, step)?;
        }
        Stands::Ahead(at) => {
            let more: Vec<&StoredHeader> = on_it.into_iter().skip(at).collect();
            let is_pending = more.len() == 1 && there.last().copied() == pending;
            let taken = fetch(hub, of, &more)?;
            let mut all: Vec<UpdateVersion> = own.updates().cloned().collect();
            all.extend(taken);
            if chain(&own.ceremony, &own.key, &all).broken.is_none() {
                own.put(configuration, all)?;
                if !is_pending {
                    step.taken_back = more.len() as u64;
                    step.notes.push(format!("{} updates at the hub were not known to this box any more", more.len()));
                }
            } else {
                step.faults.push(HubFault::Parted);
                step.notes.push(
                    "somebody has stored an update at the hub that this box's key did not sign: ceremony and updates \
                     are stored there once more; tell the operator"
                        .to_owned(),
                );
                begin_anew(configuration, own, hub, of, step)?;
            }
        }
        Stands::Apart => {
            step.faults.push(HubFault::Parted);
            step.notes.push(
                "the updates at the hub are not those that this box has stored there: ceremony and updates are stored \
                 once more; tell the operator"
                    .to_owned(),
            );
            begin_anew(configuration, own, hub, of, step)?;
        }
    }
    Ok(())
}

/// Takes what another node of the box has stored since, and changes nothing there. Whether the hub's newest ceremony is
/// this one.
pub(super) fn follow(configuration: &Configuration, own: &mut Own, hub: &Hub, of: BoxId) -> Result<bool, Trouble> {
    let is_ceremony = |stored: &&StoredHeader| stored.header.facts().kind == Kind::Ceremony;
    let versions = hub.versions_until(of, |so_far| so_far.iter().any(|stored| is_ceremony(&stored)))?;
    match versions.iter().find(is_ceremony) {
        Some(stored) if stored.header.parts() == own.record.parts => number_is(configuration, own, stored.number)?,
        _ => return Ok(false),
    }
    let (on_it, there) = on_ceremony(own, &versions);
    let mine: Vec<Sha256> = own.hashes().collect();
    let from = match compare(&mine, &there) {
        Stands::Behind(_) => return Ok(true),
        Stands::Ahead(at) => Some(at),
        // Where the two have parted ways, what lies there counts, if the box's key has signed all of it.
        Stands::Apart => None,
    };
    let taken = fetch(hub, of, &on_it[from.unwrap_or(0)..])?;
    let stays = |version: &&UpdateVersion| from.is_some() || update_of(version.header()).is_none();
    let all: Vec<UpdateVersion> = own.updates().filter(stays).cloned().chain(taken).collect();
    if chain(&own.ceremony, &own.key, &all).broken.is_none() {
        own.put(configuration, all)?;
    }
    Ok(true)
}

/// The updates on this ceremony, in the order in which they were stored, each once; with their hashes.
fn on_ceremony<'v>(own: &Own, versions: &'v [StoredHeader]) -> (Vec<&'v StoredHeader>, Vec<Sha256>) {
    let since = own.record.number;
    let mut on_it: Vec<&StoredHeader> = versions.iter().filter(|stored| is_on(own, stored, since)).collect();
    on_it.sort_by_key(|stored| stored.number);
    let mut seen = BTreeSet::new();
    on_it.retain(|stored| update_of(&stored.header).is_some_and(|entry| seen.insert(entry.sha256)));
    let hashes = on_it.iter().filter_map(|stored| update_of(&stored.header)).map(|entry| entry.sha256).collect();
    (on_it, hashes)
}

/// Whether a version is an update on this ceremony, stored after it.
fn is_on(own: &Own, stored: &StoredHeader, since: NonZeroU64) -> bool {
    let facts = stored.header.facts();
    facts.kind == Kind::Update
        && facts.root_sha256 == own.record.root_sha256
        && stored.number > since
        && update_of(&stored.header).is_some()
}

/// Stores the ceremony version once more, and everything that lies on it.
fn begin_anew(
    configuration: &Configuration,
    own: &mut Own,
    hub: &Hub,
    of: BoxId,
    step: &mut Step,
) -> Result<(), Trouble> {
    let number = push(hub, of, &own.plain()?)?;
    number_is(configuration, own, number)?;
    step.given_again += 1;
    give(own, 0, hub, of, step)
}

/// Stores the box's own versions from this one on: those that lie on the ceremony, pins among them.
fn give(own: &Own, from: usize, hub: &Hub, of: BoxId, step: &mut Step) -> Result<(), Trouble> {
    for version in own.updates().skip(from) {
        let bundle = Bundle::of_fetched(version.header().clone(), version.parts().clone()).map_err(HubError::Bundle)?;
        push(hub, of, &bundle)?;
        step.given_again += 1;
    }
    Ok(())
}

/// Pushes a version, and reads it back byte for byte.
pub(super) fn push(hub: &Hub, of: BoxId, bundle: &Bundle) -> Result<NonZeroU64, Trouble> {
    let number = hub.push(of, bundle)?.number;
    let another = || {
        Stop::new(
            Code::GateRefused,
            format!(
                "version {number} that the hub gave back is not what was stored there; the box is NOT protected by it"
            ),
        )
        .remedy("tell the hub's operator; the same is sent again with the next run")
    };
    let stored = hub.version(of, number)?.ok_or_else(another)?;
    if stored.header != *bundle.header() || hub.parts(of, &stored)? != *bundle.parts() {
        return Err(another().into());
    }
    Ok(number)
}

fn fetch(hub: &Hub, of: BoxId, versions: &[&StoredHeader]) -> Result<Vec<UpdateVersion>, Trouble> {
    let one = |stored: &&StoredHeader| -> Result<UpdateVersion, Trouble> {
        let header: Header = stored.header.clone();
        Ok(UpdateVersion::of_fetched(header, hub.parts(of, stored)?).map_err(HubError::Bundle)?)
    };
    versions.iter().map(one).collect()
}

/// The ceremony of a record, as the hub has it: where the box's own copy is damaged.
pub(super) fn ceremony(hub: &Hub, of: BoxId, own: &crate::record::Record) -> Outcome<Bundle> {
    let lost = || {
        Stop::new(Code::Internal, "what this box has kept of its escrow is damaged, and the hub does not have it")
            .remedy(CEREMONY)
    };
    let stored = hub.version(of, own.number)?.filter(|stored| stored.header.parts() == own.parts).ok_or_else(lost)?;
    let parts = hub.parts(of, &stored)?;
    Bundle::of_fetched(stored.header, parts)
        .or_stop(Code::GateRefused, || format!("version {} at the hub is not what its header says", own.number))
}

fn number_is(configuration: &Configuration, own: &mut Own, number: NonZeroU64) -> Outcome<()> {
    if own.record.number != number {
        own.record.number = number;
        own.record.keep_facts(configuration)?;
    }
    Ok(())
}

/// Why hub and box are not at one.
pub(super) enum Trouble {
    Stop(Stop),
    /// The day's versions are used up; so long it is to be waited.
    Later(std::time::Duration),
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<HubError> for Trouble {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Later { after, .. } => Self::Later(after),
            error => Self::Stop(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s19_what_the_hub_lacks_is_told_from_what_the_box_lacks_and_from_what_somebody_else_did() {
        let hashes = |text: &str| text.bytes().map(|byte| Sha256::of(&[byte])).collect::<Vec<_>>();
        for (own, there, expected) in [
            ("", "", Stands::Behind(0)),
            ("abc", "abc", Stands::Behind(3)),
            ("abc", "ab", Stands::Behind(2)),
            ("abc", "", Stands::Behind(0)),
            ("ab", "abc", Stands::Ahead(2)),
            ("", "a", Stands::Ahead(0)),
            ("abc", "axc", Stands::Apart),
            ("abc", "ac", Stands::Apart),
            ("ab", "xab", Stands::Apart),
        ] {
            assert_eq!(compare(&hashes(own), &hashes(there)), expected, "{own} and {there}");
        }
    }
}
