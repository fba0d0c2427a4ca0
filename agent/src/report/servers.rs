//! The pass `servers`: asks each backup server what it has of this box, looks at the newest snapshots' signatures,
//! and raises what must not wait for a recovery.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use pbs_driver::Client;
use pbs_format::{datastore, name::SnapshotRef};
use tenwords_protocol::{
    bounded::{List, Text},
    directive::{Group, GroupType},
    fingerprint::Fingerprint,
    inventory::{Answer, Crypt, GuestKind, Inventory, Listing, Newest, SourceEntry, SourceState},
    report::{Alarm as Told, AlarmCode, Pruning, Signature, SnapshotFact},
    time::Timestamp,
};

use super::{
    looked::{Looked, Source},
    pruning,
    signatures::Bench,
};
use crate::{
    exit::{Code, OrStop as _, Outcome},
    interrupt,
    inventory::{self, Taken},
    keys::LiveKey,
    lineage,
    lock::StateLock,
    notify::{Alarm, TOKEN_MAY_PRUNE},
    second_holder,
    settings::Configuration,
    sources::{self, BoxSource, BoxSources},
    standing::Standing,
};

/// Signatures that are found out in one pass, at most; the others follow with the next.
const SIGNATURES: usize = 64;
/// So long lists of files are fetched in one pass; a server that hangs may take the rest of it, and nothing else.
const LOOKING: Duration = Duration::from_secs(10 * 60);

/// What a pass has found.
pub(crate) struct Asked {
    /// The report would be another.
    pub(crate) changed: bool,
    pub(crate) alarms: Vec<Alarm>,
}

/// Asks all of them. That one gives no answer is no error: it is known by its silence. What is wrong by their lists
/// alone is kept and handed to `raise` before the signatures are looked at, which takes longer and may be cut off.
pub(crate) fn ask(configuration: &Configuration, now: Timestamp, raise: impl FnOnce(&[Alarm])) -> Outcome<Asked> {
    let before = Looked::load(configuration);
    let found = sources::of_box(configuration)?;
    let mut notes = Vec::new();
    let kept = lineage::kept(configuration, &mut notes);
    let Taken { inventory, escrows, .. } = inventory::take(configuration)?;
    let own_escrow = Standing::load(configuration)?.and_then(|own| second_holder::group_name(own.facts().id).ok());
    let mut looked = before.clone().unwrap_or_else(|| Looked::new(now)).at(now);
    looked.sources.retain(|id, _| inventory.sources.iter().any(|source| source.id.as_str() == id));
    for source in inventory.sources.iter() {
        let kept = looked.sources.entry(source.id.as_str().to_owned()).or_insert_with(|| Source {
            answered_at: None,
            pruning: Pruning::Unknown,
            pruning_asked: None,
            groups: BTreeMap::new(),
            escrow: None,
            signed: BTreeMap::new(),
            keys: BTreeMap::new(),
        });
        if let Answer::Listed(listing) = &source.answer {
            take_in(kept, listing, now);
            let held = escrows.get(source.id.as_str()).zip(own_escrow.as_ref());
            kept.escrow = held.and_then(|(held, own)| held.get(own)).copied();
        }
    }
    let keys: BTreeMap<Fingerprint, &LiveKey> =
        kept.values().chain(found.keys()).map(|key| (key.fingerprint(), key)).collect();
    let groups = own_groups(&inventory, &found);
    // A pass that is cut off has not begun at the same place for nothing: the next begins elsewhere.
    looked.turn = looked.turn.wrapping_add(1);
    let judge = |looked: &mut Looked| -> Outcome<Vec<Alarm>> {
        looked.note_signed();
        let alarms = alarms(&inventory, looked, (&groups, &keys), &configuration.settings.not_backed_up);
        looked.alarms = List::cut(alarms.iter().filter_map(|alarm| told(alarm, before.as_ref(), now))).0;
        looked.keep(configuration).or_stop(Code::Preflight, || "what the servers said cannot be kept".to_owned())?;
        Ok(alarms)
    };
    raise(&judge(&mut looked)?);
    if let Ok(client) = sources::client(&configuration.settings) {
        let answered = answered(&inventory);
        pruning::ask(&client, &found, &answered, &groups, &mut looked, now);
        look_at_signatures(configuration, &client, (&found, &answered), (&groups, &keys), &mut looked)?;
    }
    let alarms = judge(&mut looked)?;
    interrupt::check()?;
    // What nothing needs any more is let go of, if no command is at work; there is no hurry.
    if let Some(_lock) = StateLock::take_for_pass(configuration)? {
        lineage::note_needed(configuration, &inventory, now, &mut notes)?;
    }
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    let changed = before.is_none_or(|before| !before.says_the_same(&looked));
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

/// The sources whose servers have listed what they have.
fn answered(inventory: &Inventory) -> BTreeSet<&str> {
    let listed = inventory.sources.iter().filter(|source| matches!(source.answer, Answer::Listed(_)));
    listed.map(|source| source.id.as_str()).collect()
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

/// Those that are not known yet, as long as there is time, and beginning at another each time. One whose list cannot
/// be fetched now keeps no other from its turn.
fn look_at_signatures(
    configuration: &Configuration,
    client: &Client,
    (found, answered): (&BoxSources, &BTreeSet<&str>),
    (groups, keys): (&[Group], &BTreeMap<Fingerprint, &LiveKey>),
    looked: &mut Looked,
) -> Outcome<()> {
    let bench = Bench::new(&configuration.settings, keys.values().copied())?;
    let mut open = Vec::new();
    for source in &found.sources {
        let is_there = answered.contains(source.id.as_str());
        let (Some(kept), true) = (looked.sources.get(&source.id), is_there) else { continue };
        for group in groups {
            let name = group.to_string();
            let Some(fact) = kept.groups.get(&name) else { continue };
            if let (Crypt::Encrypt, Signature::Unknown, Some(key)) = (fact.crypt, fact.signature, fact.key)
                && keys.contains_key(&key)
                && let Some(snapshot) = snapshot(group, fact.time)
            {
                open.push(Open { source, group: name, key, snapshot });
            }
        }
    }
    let until = Instant::now() + LOOKING;
    let (mut found_out, mut failed) = (0, 0_u64);
    for Open { source, group, key, snapshot } in in_turn(open, looked.turn) {
        if found_out == SIGNATURES || Instant::now() >= until || interrupt::is_ending() {
            break;
        }
        let signature =
            source.access().map_or(Signature::Unknown, |access| bench.look(client, &access, key, &snapshot));
        if signature == Signature::Unknown {
            failed += 1;
        } else {
            found_out += 1;
        }
        let fact = looked.sources.get_mut(&source.id).and_then(|kept| kept.groups.get_mut(&group));
        if let Some(fact) = fact {
            fact.signature = signature;
        }
    }
    // What was found out is open no more; what failed is passed by.
    looked.turn = looked.turn.wrapping_add(failed);
    Ok(())
}

/// A snapshot whose signature is to be looked at.
struct Open<'a> {
    source: &'a BoxSource,
    group: String,
    key: Fingerprint,
    snapshot: SnapshotRef,
}

/// All of them, beginning with another at each turn.
fn in_turn<T>(mut all: Vec<T>, turn: u64) -> Vec<T> {
    if let Some(place) = u64::try_from(all.len()).ok().and_then(|count| turn.checked_rem(count)) {
        all.rotate_left(usize::try_from(place).unwrap_or_default());
    }
    all
}

fn snapshot(group: &Group, time: Timestamp) -> Option<SnapshotRef> {
    let group: datastore::Group = group.to_string().parse().ok()?;
    SnapshotRef::new(group, time).ok()
}

/// The keys that snapshots name and this box does not have. A server says of a key how many name it and not which; so
/// one that the newest snapshot of somebody else's group names, and none of this box's does, is that other's.
fn unknown_keys(kept: &Source, own: &BTreeSet<String>, is_held: &dyn Fn(&Fingerprint) -> bool) -> Vec<Fingerprint> {
    let named_by = |of_box: bool| -> BTreeSet<Fingerprint> {
        kept.groups
            .iter()
            .filter(|(group, _)| own.contains(*group) == of_box)
            .filter_map(|(_, fact)| fact.key)
            .collect()
    };
    let (ours, theirs) = (named_by(true), named_by(false));
    let named: BTreeSet<Fingerprint> = kept.keys.keys().chain(&ours).copied().collect();
    named.into_iter().filter(|key| !is_held(key) && (ours.contains(key) || !theirs.contains(key))).collect()
}

/// What somebody has to hear of today, and not at the recovery. What is one thing of a whole source comes first, so
/// that a list of groups does not crowd it out.
fn alarms(
    inventory: &Inventory,
    looked: &Looked,
    (groups, keys): (&[Group], &BTreeMap<Fingerprint, &LiveKey>),
    exempt: &BTreeSet<NonZeroU32>,
) -> Vec<Alarm> {
    let names: BTreeSet<String> = groups.iter().map(Group::to_string).collect();
    let mut alarms = Vec::new();
    for source in to_encrypt(inventory) {
        let id = source.id.as_str();
        let Some(kept) = looked.sources.get(id) else { continue };
        let unknown = unknown_keys(kept, &names, &|key| keys.contains_key(key));
        if !unknown.is_empty() {
            let some: Vec<String> = unknown.iter().take(3).map(Fingerprint::short).collect();
            let more = if unknown.len() > some.len() { ", …" } else { "" };
            let count = if unknown.len() == 1 { "1 key".to_owned() } else { format!("{} keys", unknown.len()) };
            alarms.push(Alarm {
                code: "unknown-key",
                subject: id.to_owned(),
                what: format!("snapshots on {id} need {count} that this box does not have ({}{more})", some.join(", ")),
                remedy: "find out what backs up there under another key; without it nothing opens them".to_owned(),
            });
        }
    }
    for source in inventory.sources.iter().filter(|source| source.state != SourceState::NotUsed) {
        let id = source.id.as_str();
        if looked.sources.get(id).is_some_and(|kept| kept.pruning == Pruning::May) {
            alarms.push(Alarm {
                code: TOKEN_MAY_PRUNE,
                subject: id.to_owned(),
                what: format!("the token of {id} may remove backups there: so could whoever takes this box over"),
                remedy: "on the backup server give it the role DatastoreBackup and no other; what jobs of this box \
                         prune there, a prune job of the server's has to do then"
                    .to_owned(),
            });
        }
    }
    for source in to_encrypt(inventory) {
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

/// The sources whose backups are to be encrypted, also those with which something is wrong: a key file that is gone is
/// when snapshots in the clear are to be looked for.
fn to_encrypt(inventory: &Inventory) -> impl Iterator<Item = &SourceEntry> {
    inventory.sources.iter().filter(|source| matches!(source.state, SourceState::InUse | SourceState::Broken))
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

#[cfg(test)]
mod tests {
    use tenwords_protocol::inventory::Verified;

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn each_turn_begins_elsewhere_and_leaves_none_out() {
        assert_eq!(in_turn(Vec::<u8>::new(), 7), [0_u8; 0]);
        assert_eq!(in_turn(vec![1, 2, 3], 0), [1, 2, 3]);
        assert_eq!(in_turn(vec![1, 2, 3], 1), [2, 3, 1]);
        assert_eq!(in_turn(vec![1, 2, 3], 5), [3, 1, 2]);
        assert_eq!(in_turn(vec![1, 2, 3], u64::MAX).len(), 3);
    }

    #[test]
    fn a_key_of_somebody_elses_group_is_not_missed_and_one_of_ours_is() -> Tested {
        let key = |byte: u8| Fingerprint::from_bytes([byte; 32]);
        let time = Timestamp::from_unix(1_790_000_000)?;
        let fact = |key| SnapshotFact {
            time,
            crypt: Crypt::Encrypt,
            key: Some(key),
            verified: Verified::Never,
            signature: Signature::Unknown,
        };
        let (held, missed, old, foreign) = (key(1), key(2), key(3), key(4));
        let kept = Source {
            answered_at: Some(time),
            pruning: Pruning::Unknown,
            pruning_asked: None,
            signed: BTreeMap::new(),
            escrow: None,
            groups: [("ct/100", missed), ("ct/101", held), ("vm/900", foreign)]
                .map(|(group, key)| (group.to_owned(), fact(key)))
                .into(),
            keys: [held, missed, old, foreign].map(|key| (key, 1)).into(),
        };
        let own: BTreeSet<String> = ["ct/100", "ct/101"].map(str::to_owned).into();
        let is_held = |key: &Fingerprint| *key == held;
        assert_eq!(unknown_keys(&kept, &own, &is_held), [missed, old]);
        // A group of this box's under the same key makes it this box's.
        let all: BTreeSet<String> = ["ct/100", "ct/101", "vm/900"].map(str::to_owned).into();
        assert_eq!(unknown_keys(&kept, &all, &is_held), [missed, old, foreign]);
        Ok(())
    }
}
