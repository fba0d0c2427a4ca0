//! The pass `servers`: asks each backup server what it has of this box, looks at the newest snapshots' signatures,
//! and raises what must not wait for a recovery.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use pbs_format::{datastore, name::SnapshotRef};
use tenwords_protocol::{
    bounded::{List, Text},
    directive::{Group, GroupType},
    fingerprint::Fingerprint,
    inventory::{Answer, Crypt, GuestKind, Inventory, Listing, Newest, SourceState},
    report::{Alarm as Told, AlarmCode, Pruning, Signature, SnapshotFact},
    time::Timestamp,
};

use super::{
    looked::{Looked, Source},
    signatures::Bench,
};
use crate::{
    exit::{Code, OrStop as _, Outcome},
    interrupt, inventory,
    keys::LiveKey,
    lineage,
    lock::StateLock,
    notify::Alarm,
    settings::Configuration,
    sources::{self, BoxSource, BoxSources},
};

/// Lists of files that are fetched in one pass, at most; the others follow with the next.
const SIGNATURES: usize = 64;

/// What a pass has found.
pub(crate) struct Asked {
    /// The report would be another.
    pub(crate) changed: bool,
    pub(crate) alarms: Vec<Alarm>,
}

/// Asks all of them. That one gives no answer is no error: it is known by its silence.
pub(crate) fn ask(configuration: &Configuration, now: Timestamp) -> Outcome<Asked> {
    let before = Looked::load(configuration);
    let found = sources::of_box(configuration)?;
    let mut notes = Vec::new();
    let kept = lineage::kept(configuration, &mut notes);
    let inventory = inventory::take(configuration)?.inventory;
    let mut looked = before.clone().unwrap_or_else(|| Looked::new(now)).at(now);
    looked.sources.retain(|id, _| inventory.sources.iter().any(|source| source.id.as_str() == id));
    for source in inventory.sources.iter() {
        let kept = looked.sources.entry(source.id.as_str().to_owned()).or_insert_with(|| Source {
            answered_at: None,
            pruning: Pruning::Unknown,
            groups: BTreeMap::new(),
            keys: BTreeMap::new(),
        });
        if let Answer::Listed(listing) = &source.answer {
            take_in(kept, listing, now);
        }
    }
    let keys: BTreeMap<Fingerprint, &LiveKey> =
        kept.values().chain(found.keys()).map(|key| (key.fingerprint(), key)).collect();
    let groups = own_groups(&inventory, &found);
    look_at_signatures(configuration, &found, &inventory, (&groups, &keys), &mut looked)?;
    let exempt = &configuration.settings.not_backed_up;
    let alarms = alarms(&inventory, &looked, (&groups, &keys), exempt);
    looked.alarms = List::cut(alarms.iter().filter_map(|alarm| told(alarm, before.as_ref(), now))).0;
    looked.keep(configuration).or_stop(Code::Preflight, || "what the servers said cannot be kept".to_owned())?;
    // What nothing needs any more is let go of, if no command is at work; there is no hurry.
    if let Some(_lock) = StateLock::take_for_pass(configuration)? {
        lineage::note_needed(configuration, &inventory, now, &mut notes)?;
    }
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    let changed = before.is_none_or(|before| before.at(now) != looked);
    Ok(Asked { changed, alarms })
}

/// What a server lists, in the place of what it listed before. A snapshot whose signature is known needs no second
/// look.
fn take_in(kept: &mut Source, listing: &Listing, now: Timestamp) {
    kept.answered_at = Some(now);
    kept.keys = listing.keys.iter().map(|key| (key.fingerprint, key.snapshots)).collect();
    let known = std::mem::take(&mut kept.groups);
    for entry in listing.groups.iter() {
        let name = entry.group.to_string();
        let fact = fact(&entry.newest);
        let is_same = |known: &&SnapshotFact| SnapshotFact { signature: known.signature, ..fact.clone() } == **known;
        let signature = known.get(&name).filter(is_same).map_or(Signature::Unknown, |known| known.signature);
        kept.groups.insert(name, SnapshotFact { signature, ..fact });
    }
}

fn fact(newest: &Newest) -> SnapshotFact {
    SnapshotFact {
        time: newest.time,
        crypt: newest.crypt,
        key: newest.fingerprint,
        verified: newest.verified,
        signature: Signature::Unknown,
    }
}

/// The groups of this box: its guests', and those that its own configuration names.
fn own_groups(inventory: &Inventory, found: &BoxSources) -> Vec<Group> {
    let guests = inventory.guests.iter().filter_map(|guest| {
        let kind = match guest.kind {
            GuestKind::Ct => GroupType::Ct,
            GuestKind::Vm => GroupType::Vm,
        };
        Some(Group { kind, id: guest.vmid.to_string().parse().ok()? })
    });
    let paths = found.sources.iter().flat_map(BoxSource::restore_paths).map(|path| path.group.clone());
    let mut groups: Vec<Group> = guests.chain(paths).collect();
    groups.sort();
    groups.dedup();
    groups
}

fn look_at_signatures(
    configuration: &Configuration,
    found: &BoxSources,
    inventory: &Inventory,
    (groups, keys): (&[Group], &BTreeMap<Fingerprint, &LiveKey>),
    looked: &mut Looked,
) -> Outcome<()> {
    let Ok(client) = sources::client(&configuration.settings) else { return Ok(()) };
    let bench = Bench::new(&configuration.settings, keys.values().copied())?;
    let mut left = SIGNATURES;
    for source in &found.sources {
        let answered = inventory
            .sources
            .iter()
            .any(|entry| entry.id.as_str() == source.id && matches!(entry.answer, Answer::Listed(_)));
        let (Some(kept), true) = (looked.sources.get_mut(&source.id), answered) else { continue };
        let Ok(access) = source.access() else { continue };
        for group in groups {
            let Some(fact) = kept.groups.get_mut(&group.to_string()) else { continue };
            let (Crypt::Encrypt, Signature::Unknown, Some(key)) = (fact.crypt, fact.signature, fact.key) else {
                continue;
            };
            if left == 0 {
                return Ok(());
            }
            interrupt::check()?;
            let Some(snapshot) = snapshot(group, fact.time) else { continue };
            fact.signature = bench.look(&client, &access, key, &snapshot);
            left -= 1;
        }
    }
    Ok(())
}

fn snapshot(group: &Group, time: Timestamp) -> Option<SnapshotRef> {
    let group: datastore::Group = group.to_string().parse().ok()?;
    SnapshotRef::new(group, time).ok()
}

/// What somebody has to hear of today, and not at the recovery.
fn alarms(
    inventory: &Inventory,
    looked: &Looked,
    (groups, keys): (&[Group], &BTreeMap<Fingerprint, &LiveKey>),
    exempt: &BTreeSet<NonZeroU32>,
) -> Vec<Alarm> {
    let names: BTreeSet<String> = groups.iter().map(Group::to_string).collect();
    let mut alarms = Vec::new();
    for source in inventory.sources.iter().filter(|source| source.state == SourceState::InUse) {
        let id = source.id.as_str();
        let Some(kept) = looked.sources.get(id) else { continue };
        for (group, fact) in &kept.groups {
            let of_box = names.contains(group);
            if of_box && (fact.crypt != Crypt::Encrypt || fact.key.is_none()) {
                alarms.push(Alarm {
                    code: "plain-snapshot",
                    subject: format!("{group} on {id}"),
                    what: format!(
                        "the newest snapshot of {group} on {id}, of {}, is not encrypted although {id} is",
                        fact.time
                    ),
                    remedy: "look whether a key file is gone (`tenwords-agent key list`); then back it up again, and \
                             remove that snapshot on the backup server"
                        .to_owned(),
                });
            }
            if of_box && fact.signature == Signature::Refused {
                alarms.push(Alarm {
                    code: "unsigned-snapshot",
                    subject: format!("{group} on {id}"),
                    what: format!(
                        "nothing shows that this box made the newest snapshot of {group} on {id}, of {}",
                        fact.time
                    ),
                    remedy: "find out who made it on the backup server; then back it up again".to_owned(),
                });
            }
        }
        for key in kept.keys.keys().filter(|key| !keys.contains_key(key)) {
            alarms.push(Alarm {
                code: "unknown-key",
                subject: format!("{} on {id}", key.short()),
                what: format!("snapshots on {id} need key {}, which this box does not have", key.short()),
                remedy: "find out what backs up under that key; without it nothing opens them".to_owned(),
            });
        }
    }
    for guest in inventory.uncovered().filter(|guest| !guest.template && !exempt.contains(&guest.vmid)) {
        alarms.push(Alarm {
            code: "not-covered",
            subject: guest.vmid.to_string(),
            what: format!("guest {} is in no job that writes to an encrypted backup server", guest.vmid),
            remedy: "put it into a backup job, or name it in `not_backed_up` of the agent's configuration".to_owned(),
        });
    }
    alarms
}

/// The alarm as the hub hears it, since it stands. What a report says by itself is not said twice.
fn told(alarm: &Alarm, before: Option<&Looked>, now: Timestamp) -> Option<Told> {
    let code = match alarm.code {
        "plain-snapshot" => AlarmCode::PlainSnapshot,
        "unknown-key" => AlarmCode::UnknownKey,
        _ => return None,
    };
    let subject = Text::cut(&alarm.subject);
    let known = before.and_then(|before| {
        before.alarms.iter().find(|known| known.code == code && known.subject == subject).map(|known| known.since)
    });
    Some(Told { code, subject, since: known.unwrap_or(now) })
}
