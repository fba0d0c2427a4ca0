//! The box as its keeper sees it: keys, sources, and what should be backed up, each with what is known of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
};

use pbs_driver::pve::schedule;
use tenwords_protocol::{
    bounded::{List, Text},
    directive::{Group, GroupType},
    fingerprint::Fingerprint,
    inventory::{Coverage, Guest, GuestKind, Job, SourceState},
    report::{Escrowed, GroupFact, HeldEscrow, KeyFact, Observed, Pruning, SecondHolder, SnapshotFact, SourceFact},
    time::Timestamp,
    version::Grade,
};

use super::{looked::Looked, memory::Memory};
use crate::{
    exit::Outcome,
    inventory,
    keys::LiveKey,
    lineage,
    record::Record,
    settings::Configuration,
    sources::{BoxSource, BoxSources, State},
    update,
};

/// A group of the box's own is backed up so often, if its source says nothing else.
const DAILY: u64 = 86_400;

/// What there is to see it by.
pub(super) struct Sight<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) found: &'a BoxSources,
    pub(super) record: Option<&'a Record>,
    pub(super) looked: Option<&'a Looked>,
    pub(super) now: Timestamp,
}

impl Sight<'_> {
    /// Everything that is known. What could not be read is told in `notes`.
    pub(super) fn observed(&self, memory: &mut Memory, notes: &mut Vec<String>) -> Outcome<Observed> {
        let (keys, keys_left_out) = List::cut(self.keys(memory, notes)?);
        let (sources, _) = List::cut(self.found.sources.iter().map(|source| self.source(source, memory)));
        let (groups, groups_left_out) = List::cut(self.groups(memory, notes)?);
        Ok(Observed {
            escrow: self.escrow(memory)?,
            keys,
            keys_left_out,
            sources,
            servers_asked_at: self.looked.map(|looked| looked.at),
            groups,
            groups_left_out,
        })
    }

    fn escrow(&self, memory: &Memory) -> Outcome<Option<HeldEscrow>> {
        let Some(record) = self.record else { return Ok(None) };
        Ok(Some(HeldEscrow {
            ceremony: record.number,
            newest: memory.newest.map_or(record.number, |newest: NonZeroU64| newest.max(record.number)),
            root_sha256: record.root_sha256,
            second_holder: match update::second_holder(self.configuration, self.now)? {
                update::Holds::Newest => SecondHolder::Agrees,
                update::Holds::Older => SecondHolder::Differs,
                update::Holds::Nothing => SecondHolder::None,
            },
        }))
    }

    fn keys(&self, memory: &mut Memory, notes: &mut Vec<String>) -> Outcome<Vec<KeyFact>> {
        let escrowed = update::escrowed(self.configuration)?;
        let (index, damaged) = lineage::Index::load(self.configuration);
        notes.extend(damaged);
        let kept = lineage::kept(self.configuration, notes);
        let in_use: BTreeSet<Fingerprint> = self
            .found
            .sources
            .iter()
            .filter(|source| source.is_used())
            .filter_map(|source| source.key().map(LiveKey::fingerprint))
            .collect();
        let held: BTreeSet<Fingerprint> =
            self.found.keys().map(LiveKey::fingerprint).chain(kept.keys().copied()).collect();
        let on_servers =
            self.looked.iter().flat_map(|looked| looked.sources.values()).flat_map(|source| source.keys.keys());
        let mut all: BTreeSet<Fingerprint> = held.iter().copied().collect();
        all.extend(on_servers.copied());
        let fact = |key: Fingerprint| KeyFact {
            fingerprint: key,
            in_use: in_use.contains(&key),
            snapshots: self.looked.map_or(0, |looked| looked.need(key)),
            held: held.contains(&key),
            escrowed: match escrowed.of_key(key) {
                update::Escrowed::Proven { at } => Some(Escrowed { grade: Grade::Proven, since: at }),
                update::Escrowed::Sealed { since } => Some(Escrowed { grade: Grade::Sealed, since }),
                update::Escrowed::No => None,
            },
            since: match index.keys.get(&key) {
                Some(entry) => entry.first_seen,
                None => memory.since(&format!("key {key}"), self.now),
            },
        };
        // Those in use first: were there more than a report takes, they must be in it.
        let mut facts: Vec<KeyFact> = all.into_iter().map(fact).collect();
        facts.sort_by_key(|fact| (!fact.in_use, std::cmp::Reverse(fact.snapshots)));
        Ok(facts)
    }

    fn source(&self, source: &BoxSource, memory: &mut Memory) -> SourceFact {
        let state = match &source.state {
            State::InUse { .. } => SourceState::InUse,
            State::Unencrypted => SourceState::Unencrypted,
            State::NotUsed { .. } => SourceState::NotUsed,
            State::Broken(..) => SourceState::Broken,
        };
        let in_escrow = match (&source.state, self.record) {
            (State::InUse { fact, .. }, Some(record)) => update::stands_in(record, fact),
            _ => false,
        };
        let seen = self.looked.and_then(|looked| looked.sources.get(&source.id));
        SourceFact {
            id: Text::cut(&source.id),
            state,
            in_escrow,
            answered_at: seen.and_then(|seen| seen.answered_at),
            pruning: seen.map_or(Pruning::Unknown, |seen| seen.pruning),
            since: memory.since(&format!("source {} {state:?} {in_escrow}", source.id), self.now),
        }
    }

    fn groups(&self, memory: &mut Memory, notes: &mut Vec<String>) -> Outcome<Vec<GroupFact>> {
        let encrypting = self.found.sources.iter().filter(|source| source.is_to_encrypt());
        let encrypting: BTreeSet<&str> = encrypting.map(|source| source.id.as_str()).collect();
        let work = inventory::work(self.configuration, self.found, notes)?;
        let jobs: BTreeMap<&str, &Job> = work.jobs.iter().map(|job| (job.id.as_str(), job)).collect();
        let mut facts = Vec::new();
        for guest in work.guests.iter().filter(|guest| !guest.template) {
            let Some(group) = group_of(guest) else { continue };
            facts.push(GroupFact {
                name: guest.name.as_ref().map(|name| Text::cut(name.as_str())),
                coverage: guest.coverage,
                exempt: self.configuration.settings.not_backed_up.contains(&guest.vmid),
                interval: interval(guest, &jobs),
                newest: self.newest(&group, &encrypting),
                signed_at: self.signed_at(&group, &encrypting),
                since: memory.since(&format!("group {group}"), self.now),
                group,
            });
        }
        for group in self.own_groups() {
            facts.push(GroupFact {
                name: None,
                coverage: Coverage::Source,
                exempt: false,
                interval: Some(DAILY),
                newest: self.newest(&group, &encrypting),
                signed_at: self.signed_at(&group, &encrypting),
                since: memory.since(&format!("group {group}"), self.now),
                group,
            });
        }
        Ok(facts)
    }

    /// Groups that the box's own configuration says archives of.
    fn own_groups(&self) -> BTreeSet<Group> {
        self.found.sources.iter().flat_map(BoxSource::restore_paths).map(|path| path.group.clone()).collect()
    }

    /// When the newest snapshot was made that was found to be signed, on any of them.
    fn signed_at(&self, group: &Group, encrypting: &BTreeSet<&str>) -> Option<Timestamp> {
        let name = group.to_string();
        let seen = self.looked?.sources.iter().filter(|(id, _)| encrypting.contains(id.as_str()));
        seen.filter_map(|(_, source)| source.signed.get(&name)).max().copied()
    }

    /// The newest snapshot on any server that the box's backups are to be encrypted on.
    fn newest(&self, group: &Group, encrypting: &BTreeSet<&str>) -> Option<SnapshotFact> {
        let name = group.to_string();
        let seen = self.looked?.sources.iter().filter(|(id, _)| encrypting.contains(id.as_str()));
        seen.filter_map(|(_, source)| source.groups.get(&name)).max_by_key(|fact| fact.time).cloned()
    }
}

fn group_of(guest: &Guest) -> Option<Group> {
    let kind = match guest.kind {
        GuestKind::Ct => GroupType::Ct,
        GuestKind::Vm => GroupType::Vm,
    };
    Some(Group { kind, id: guest.vmid.to_string().parse().ok()? })
}

/// The longest time between two runs of the job that runs most often; nothing if none of them is understood.
fn interval(guest: &Guest, jobs: &BTreeMap<&str, &Job>) -> Option<u64> {
    let of_guest = guest.jobs.iter().filter_map(|id| jobs.get(id.as_str()));
    of_guest.filter_map(|job| schedule::longest_gap(job.schedule.as_str())).min().map(|gap| gap.as_secs())
}
