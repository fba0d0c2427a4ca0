//! What is played, since it needs other machines and programs: the backup servers' lists and the client's self-test.
//! What these passes leave in the state folder is left here, and what the lists say of the kept keys is taken in by
//! the real room.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::json;
use tenwords_protocol::{
    bounded::{List, Text},
    fingerprint::Fingerprint,
    inventory::{Answer, Inventory, KeySeen, Listing, Room, SourceEntry, SourceOrigin, SourceState},
    v1::V1,
};

use super::{
    Lived,
    life::{DAY, HOUR, Life},
    node::Node,
    told,
};
use crate::{daemon::course::End, lineage};

pub(super) const FILE: &str = "servers.json";
/// Backups are kept for so many days.
const KEPT: Duration = Duration::from_secs(20 * 86_400);

/// What lies on the servers: by storage and key, when the newest was made.
#[derive(Debug, Default)]
pub(super) struct Snapshots(BTreeMap<(String, Fingerprint), Duration>);

impl Snapshots {
    /// Each storage that encrypts is backed up to, and what is old is pruned.
    pub(super) fn go_on(&mut self, node: &Node, time: Duration) {
        for (id, storage) in node.storages.iter().filter(|(_, storage)| storage.is_in_use()) {
            if let Some(key) = storage.key {
                self.0.insert((id.clone(), key), time);
            }
        }
        self.0.retain(|_, at| time.saturating_sub(*at) < KEPT);
    }

    fn of(&self, id: &str) -> impl Iterator<Item = (Fingerprint, Duration)> {
        let of_storage = self.0.iter().filter(move |((of, _), _)| of == id);
        of_storage.map(|((_, key), at)| (*key, *at))
    }

    /// What the servers say of the kept keys, once a day: those that nothing needs any more are let go of.
    pub(super) fn are_counted(&self, life: &Life) -> Lived<usize> {
        let now = life.wall()?;
        let mut sources = Vec::new();
        for id in life.node.those(|_| true) {
            let mut keys = Vec::new();
            for (fingerprint, at) in self.of(&id) {
                let snapshots = 1 + (life.time.saturating_sub(at)).as_secs() / DAY.as_secs();
                keys.push(KeySeen { fingerprint, snapshots, newest: now, held: true });
            }
            sources.push(SourceEntry {
                id: Text::cut(&id),
                origin: SourceOrigin::StorageCfg,
                server: Text::cut("pbs.example"),
                port: 8007,
                datastore: Text::cut(&id),
                namespace: None,
                auth_id: Text::cut("backup@pbs!box1"),
                certificate: None,
                state: SourceState::InUse,
                why: None,
                key: None,
                answer: Answer::Listed(Listing {
                    room: Room { available: 1, total: 2, used: 1 },
                    snapshots: keys.len() as u64,
                    plain: 0,
                    keys: List::cut(keys).0,
                    keys_left_out: 0,
                    groups: List::default(),
                    groups_left_out: 0,
                }),
            });
        }
        let inventory = Inventory {
            v: V1,
            made_at: now,
            agent_version: Text::cut("0.1.0"),
            client_version: None,
            node: None,
            sources: List::cut(sources).0,
            jobs: List::default(),
            jobs_left_out: 0,
            guests: List::default(),
            guests_left_out: 0,
            problems: List::default(),
        };
        Ok(told(lineage::note_needed(&life.configuration, &inventory, now, &mut Vec::new()))?.len())
    }
}

/// As the pass `servers` keeps it: each that the box has has answered.
pub(super) fn ask(life: &Life) -> Lived<End> {
    if !life.node.is_mounted {
        return Ok(End::Failed);
    }
    let now = life.wall()?;
    let seen: BTreeMap<String, _> = life
        .node
        .those(|_| true)
        .into_iter()
        .map(|id| {
            let keys: BTreeMap<Fingerprint, u64> = life.snapshots.of(&id).map(|(key, _)| (key, 1)).collect();
            (id, json!({"answered_at": now, "pruning": "cannot", "groups": {}, "keys": keys}))
        })
        .collect();
    let said = json!({"v": 1, "at": now, "sources": seen, "alarms": []});
    fs::write(life.configuration.state(FILE), said.to_string())?;
    Ok(End::Done { retry_after: None, changed: false })
}

/// As `self-test` keeps it.
pub(super) fn self_test(life: &Life) -> Lived<End> {
    let verdict = if life.client_works { "works" } else { "not-wrapped" };
    let program = json!({"device": 1, "inode": 1, "size": 1, "written": 1, "agent": "0.1.0"});
    let said = json!({"v": 1, "at": life.wall()?, "client": "3.2.4", "verdict": verdict, "program": program});
    fs::write(life.configuration.state("self-test.json"), said.to_string())?;
    Ok(End::Done { retry_after: (!life.client_works).then_some(HOUR), changed: true })
}
