//! One source: what it is to the box, and what its server lists.
//!
//! The list is folded into groups and keys at once; what is kept of it grows with the groups, not with
//! the snapshots.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
};

use pbs_driver::{
    Access, Certificate, Client, DriverError, Failure,
    snapshot::{self, ClaimedMode, SnapshotInfo, Verification},
    status,
};
use pbs_format::datastore::Group;
use tenwords_escrow::root::KeptIn;
use tenwords_protocol::{
    bounded::{List, Text},
    directive::{self, Name},
    fingerprint::Fingerprint,
    inventory::{
        Answer, Crypt, GroupEntry, KeySeen, Listing, Newest, NoAnswer, NoAnswerReason, Room, SourceEntry, SourceOrigin,
        SourceState, Verified,
    },
    time::Timestamp,
};

use crate::{
    exit::{Code, Stop},
    second_holder,
    sources::{BoxSource, Place, State},
};

/// What the inventory says of a source, and the exit code if it gave no answer.
///
/// # Errors
/// In words, for one of which nothing but a name is understood.
pub(super) fn entry(
    source: &BoxSource,
    client: Result<&Client, &Stop>,
    held: &BTreeSet<Fingerprint>,
) -> Result<(SourceEntry, Escrows, Option<Code>), String> {
    let (state, why) = match &source.state {
        State::InUse { .. } => (SourceState::InUse, None),
        State::Unencrypted => (SourceState::Unencrypted, None),
        State::NotUsed { why, .. } => (SourceState::NotUsed, Some(why.clone())),
        State::Broken(stop, _) => (SourceState::Broken, Some(in_words(stop))),
    };
    let Some(Place { repository, namespace, certificate }) = &source.place else {
        return Err(why.unwrap_or_else(|| format!("source {} is not understood", source.id)));
    };
    let (answer, escrows, failed) = match state {
        SourceState::NotUsed => (Answer::NotAsked, Escrows::new(), None),
        _ => match ask(source, client, held) {
            Ok((listing, escrows)) => (Answer::Listed(listing), escrows, None),
            Err((reason, text, code)) => {
                (Answer::Failed(NoAnswer { reason, text: Text::cut(&text) }), Escrows::new(), Some(code))
            }
        },
    };
    let entry = SourceEntry {
        id: Text::cut(&source.id),
        origin: match source.kept_in {
            KeptIn::Settings => SourceOrigin::Settings,
            KeptIn::StorageCfg => SourceOrigin::StorageCfg,
        },
        server: Text::cut(repository.host().name()),
        port: repository.port(),
        datastore: Text::cut(repository.datastore()),
        namespace: if namespace.is_root() { None } else { namespace.to_string().parse().ok() },
        auth_id: Text::cut(&repository.auth_id().to_string()),
        certificate: match certificate {
            Certificate::Pinned(fingerprint) => Some(*fingerprint),
            Certificate::WebPki => None,
        },
        state,
        why: why.map(|why| Text::cut(&why)),
        key: source.key().map(crate::keys::LiveKey::fingerprint),
        answer,
    };
    Ok((entry, escrows, failed))
}

type Silence = (NoAnswerReason, String, Code);

/// Escrows beside the backups: by group, the time of the newest.
pub(super) type Escrows = BTreeMap<String, Timestamp>;

fn ask(
    source: &BoxSource,
    client: Result<&Client, &Stop>,
    held: &BTreeSet<Fingerprint>,
) -> Result<(Listing, Escrows), Silence> {
    let client = client.map_err(|stop| (NoAnswerReason::Client, in_words(stop), stop.code))?;
    let access = source.access().map_err(|stop| (NoAnswerReason::Other, in_words(&stop), stop.code))?;
    listed(client, &access, held).map_err(|error| silence(&error, &access))
}

fn listed(client: &Client, access: &Access, held: &BTreeSet<Fingerprint>) -> Result<(Listing, Escrows), DriverError> {
    let status::Status { avail, total, used, .. } = status::probe(client, access)?;
    let mut tally = Tally::default();
    for info in snapshot::list(client, access, None)? {
        tally.add(info);
    }
    let escrows = std::mem::take(&mut tally.escrows);
    Ok((tally.listing(Room { available: avail, total, used }, held), escrows))
}

fn silence(error: &DriverError, access: &Access) -> Silence {
    let (reason, code) = match error.failure() {
        Some(Failure::Unreachable { .. } | Failure::TimedOut { .. }) => {
            (NoAnswerReason::Unreachable, Code::Unreachable)
        }
        Some(Failure::Certificate { .. }) => (NoAnswerReason::Certificate, Code::Preflight),
        Some(Failure::NotAuthorised { .. }) => (NoAnswerReason::NotAuthorised, Code::NotAuthorised),
        Some(Failure::NotFound { .. } | Failure::DatastoreGone { .. }) => (NoAnswerReason::NotFound, Code::Preflight),
        _ if error.is_the_clients_own() => (NoAnswerReason::Client, Code::Preflight),
        _ => (NoAnswerReason::Other, Code::Preflight),
    };
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let step = error.next_step_at(access.repository()).map(|step| format!("; {step}")).unwrap_or_default();
    (reason, format!("{error}{cause}{step}"), code)
}

fn in_words(stop: &Stop) -> String {
    let remedy = stop.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    format!("{}{remedy}", stop.in_one_line())
}

/// A list of snapshots, folded.
#[derive(Default)]
struct Tally {
    snapshots: u64,
    plain: u64,
    keys: BTreeMap<Fingerprint, (u64, Timestamp)>,
    groups: BTreeMap<Group, (u64, u64, Newest)>,
    escrows: Escrows,
}

impl Tally {
    fn add(&mut self, info: SnapshotInfo) {
        // The escrow itself, which is sealed already and no backup of anything.
        let (name, time) = (info.snapshot.group().to_string(), info.snapshot.time());
        if second_holder::is_group(&name) {
            let newest = self.escrows.entry(name).or_insert(time);
            *newest = time.max(*newest);
            return;
        }
        self.snapshots += 1;
        match info.fingerprint {
            None => self.plain += 1,
            Some(fingerprint) => {
                let (count, newest) = self.keys.entry(fingerprint).or_insert((0, time));
                *count += 1;
                *newest = time.max(*newest);
            }
        }
        let (group, protected) = (info.snapshot.group().clone(), u64::from(info.protected));
        let (count, kept, newest) = self.groups.entry(group).or_insert_with(|| (0, 0, said_of(&info)));
        *count += 1;
        *kept += protected;
        if time > newest.time {
            *newest = said_of(&info);
        }
    }

    fn listing(self, room: Room, held: &BTreeSet<Fingerprint>) -> Listing {
        let mut keys: Vec<KeySeen> = self
            .keys
            .into_iter()
            .map(|(fingerprint, (snapshots, newest))| KeySeen {
                fingerprint,
                snapshots,
                newest,
                held: held.contains(&fingerprint),
            })
            .collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.snapshots));
        let (keys, keys_left_out) = List::cut(keys);
        let mut unnamed = 0;
        let groups = self.groups.into_iter().filter_map(|(group, (count, protected, newest))| {
            // PBS takes longer ids than the inventory.
            let group = group.to_string().parse().inspect_err(|_| unnamed += 1).ok()?;
            Some(GroupEntry { group, count, protected, newest })
        });
        let (groups, too_many) = List::cut(groups);
        Listing {
            room,
            snapshots: self.snapshots,
            plain: self.plain,
            keys,
            keys_left_out,
            groups,
            groups_left_out: too_many + unnamed,
        }
    }
}

fn said_of(info: &SnapshotInfo) -> Newest {
    Newest {
        time: info.snapshot.time(),
        size: info.size,
        crypt: crypt(info),
        fingerprint: info.fingerprint,
        verified: match &info.verification {
            None => Verified::Never,
            Some(Verification::Ok) => Verified::Ok,
            Some(Verification::Failed) => Verified::Failed,
            Some(Verification::Unknown(_)) => Verified::Unknown,
        },
        owner: info.owner.as_deref().map(Text::cut),
        archives: archives(info),
    }
}

/// What a directive could name of it, as the client takes it: every file of the manifest but the catalog,
/// the two halves of a split archive as one. A guest is restored whole, so its files go unnamed.
fn archives(info: &SnapshotInfo) -> List<Name, 64> {
    const ENDS: [&str; 3] = [".didx", ".fidx", ".blob"];
    let is_guest = info.snapshot.group().to_string().parse::<directive::Group>().is_ok_and(|it| it.guest().is_some());
    let named = info.files.iter().filter(|_| !is_guest).filter_map(|file| {
        let name = file.name.as_str();
        if matches!(name, "index.json.blob" | "client.log.blob" | "catalog.pcat1.didx") || name.ends_with(".ppxar.didx")
        {
            return None;
        }
        let name = ENDS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        name.strip_suffix(".mpxar").map_or(name.to_owned(), |stem| format!("{stem}.pxar")).parse().ok()
    });
    List::cut(named.collect::<BTreeSet<Name>>()).0
}

/// By the files of the manifest; the manifest itself is signed at most, and the client's log stands
/// outside of it.
fn crypt(info: &SnapshotInfo) -> Crypt {
    let own = |name: &str| matches!(name, "index.json.blob" | "client.log.blob");
    let mut modes = info.files.iter().filter(|file| !own(file.name.as_str())).map(|file| match &file.crypt_mode {
        Some(ClaimedMode::Encrypt) => Crypt::Encrypt,
        Some(ClaimedMode::SignOnly) => Crypt::SignOnly,
        Some(ClaimedMode::None) => Crypt::None,
        Some(ClaimedMode::Unknown(_)) | None => Crypt::Unknown,
    });
    let Some(first) = modes.next() else { return Crypt::Unknown };
    modes.fold(first, |whole, mode| match (whole, mode) {
        _ if whole == mode => whole,
        (Crypt::Unknown, _) | (_, Crypt::Unknown) => Crypt::Unknown,
        _ => Crypt::Mixed,
    })
}

#[cfg(test)]
mod tests {
    use pbs_driver::snapshot::FileInfo;

    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn info(
        name: &str,
        modes: &[(&str, Option<ClaimedMode>)],
        key: Option<u8>,
    ) -> Result<SnapshotInfo, Box<dyn std::error::Error>> {
        let files = modes
            .iter()
            .map(|(name, mode)| Ok(FileInfo { name: name.parse()?, crypt_mode: mode.clone(), size: Some(1) }))
            .collect::<Result<_, pbs_format::datastore::NameError>>()?;
        Ok(SnapshotInfo {
            snapshot: name.parse()?,
            files,
            fingerprint: key.map(|byte| Fingerprint::from_bytes([byte; 32])),
            owner: Some("backup@pbs!box1".into()),
            protected: key == Some(2),
            size: Some(42),
            comment: Some("\u{1b}[2J".repeat(1000)),
            verification: None,
        })
    }

    #[test]
    fn a_snapshots_mode_is_that_of_its_archives() -> TestResult {
        let index = ("index.json.blob", Some(ClaimedMode::SignOnly));
        let log = ("client.log.blob", None);
        for (files, expected) in [
            (vec![], Crypt::Unknown),
            (vec![index.clone(), log.clone()], Crypt::Unknown),
            (vec![index.clone(), ("a.blob", Some(ClaimedMode::Encrypt)), log.clone()], Crypt::Encrypt),
            (vec![("a.blob", Some(ClaimedMode::None)), ("b.blob", Some(ClaimedMode::None))], Crypt::None),
            (vec![("a.blob", Some(ClaimedMode::SignOnly))], Crypt::SignOnly),
            (vec![("a.blob", Some(ClaimedMode::Encrypt)), ("b.blob", Some(ClaimedMode::None))], Crypt::Mixed),
            (vec![("a.blob", Some(ClaimedMode::Encrypt)), ("b.blob", None)], Crypt::Unknown),
            (vec![("a.blob", Some(ClaimedMode::Unknown("rot13".into())))], Crypt::Unknown),
        ] {
            assert_eq!(crypt(&info("ct/1/2026-01-01T00:00:00Z", &files, None)?), expected, "{files:?}");
        }
        Ok(())
    }

    #[test]
    fn the_archives_that_a_directive_could_name_are_those_of_no_guest() -> TestResult {
        let mode = Some(ClaimedMode::Encrypt);
        let files = ["index.json.blob", "client.log.blob", "catalog.pcat1.didx", "etc.pxar.didx", "disk.img.fidx"];
        let more = ["srv.mpxar.didx", "srv.ppxar.didx", "note.conf.blob"];
        let files: Vec<_> = files.into_iter().chain(more).map(|name| (name, mode.clone())).collect();
        let named = |group: &str| -> Result<Vec<String>, Box<dyn std::error::Error>> {
            let found = archives(&info(&format!("{group}/2026-01-01T00:00:00Z"), &files, None)?);
            Ok(found.iter().map(ToString::to_string).collect())
        };
        assert_eq!(named("host/box1")?, ["disk.img", "etc.pxar", "note.conf", "srv.pxar"]);
        assert_eq!(named("ct/web")?.len(), 4);
        assert!(named("ct/101")?.is_empty() && named("vm/102")?.is_empty());
        Ok(())
    }

    #[test]
    fn a_list_is_folded_whatever_its_order() -> TestResult {
        let files = [("a.blob", Some(ClaimedMode::Encrypt))];
        let mut tally = Tally::default();
        for (name, key) in [
            ("ct/9/2026-01-02T00:00:00Z", Some(1)),
            ("ct/10/2026-01-01T00:00:00Z", None),
            ("ct/9/2026-01-03T00:00:00Z", Some(2)),
            ("ct/9/2026-01-01T00:00:00Z", Some(1)),
        ] {
            tally.add(info(name, &files, key)?);
        }
        tally.add(info(&format!("host/{}/2026-01-01T00:00:00Z", "x".repeat(65)), &files, None)?);
        let held = BTreeSet::from([Fingerprint::from_bytes([1; 32])]);
        let listing = tally.listing(Room { available: 0, total: 0, used: 0 }, &held);
        assert_eq!((listing.snapshots, listing.plain, listing.groups_left_out), (5, 2, 1));
        let keys: Vec<_> = listing.keys.iter().map(|key| (key.snapshots, key.newest.to_string(), key.held)).collect();
        assert_eq!(keys, [(2, "2026-01-02T00:00:00Z".to_owned(), true), (1, "2026-01-03T00:00:00Z".to_owned(), false)]);
        let groups: Vec<_> = listing
            .groups
            .iter()
            .map(|g| (g.group.to_string(), g.count, g.protected, g.newest.time.to_string()))
            .collect();
        assert_eq!(
            groups,
            [
                ("ct/9".to_owned(), 3, 1, "2026-01-03T00:00:00Z".to_owned()),
                ("ct/10".to_owned(), 1, 0, "2026-01-01T00:00:00Z".to_owned())
            ]
        );
        Ok(())
    }
}
