//! Nothing is lost: every key that the box had for longer than a look is kept, and once nothing is in the way it is at
//! the hub; every version that the hub had is there again; and nothing is stored that is no news.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256, json};

use super::{
    Lived, Year,
    disk::Disk,
    hub::Version,
    life::{DAY, Life},
    told,
};
use crate::{
    daemon::course::End,
    enroll, lineage,
    record::Record,
    update::{self, Escrowed},
};

/// A key that lay in a key file for so long was seen: a look, what is gathered, and a pass that was in the way.
const SEEN: Duration = Duration::from_secs(120);
/// So long after the last thing that was in the way everything is done: the longest wait after a failure, and more.
pub(super) const SETTLED: Duration = Duration::from_secs(2 * 60 * 60);

/// What is true, beside what the box and the hub say of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Keys that may not be lost any more.
    pub(super) promised: BTreeSet<Fingerprint>,
    live_since: BTreeMap<Fingerprint, Duration>,
    /// Every version that the hub ever had, by its header.
    pub(super) acknowledged: BTreeMap<Sha256, Version>,
    /// What lies at the hub now.
    pub(super) versions: Vec<Version>,
    /// So often a key or secret of the box became another.
    pub(super) changes: usize,
    pub(super) released: usize,
    /// When something was last in the way, or will be until: a hub that takes no more for now has said how long.
    restless: Duration,
    pub(super) set_back: Option<Duration>,
    /// Since when the hub refuses the box: it was set back to before the box's certificate.
    pub(super) locked_out: Option<Duration>,
    /// When somebody put another key in the place of one, and when all of them went.
    pub(super) by_hand: Told,
    pub(super) vanished: Told,
    /// As the last report found the box.
    pub(super) reported: Reported,
}

/// Something that is told for a week from when it was noticed.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Told {
    pub(super) has_happened: bool,
    pub(super) noticed: Option<Duration>,
}

/// What was in the way of the last report that arrived.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Reported {
    pub(super) offset: i64,
    pub(super) at: Duration,
}

impl Told {
    pub(super) fn happens(&mut self) {
        *self = Self { has_happened: true, noticed: None };
    }
}

impl Ledger {
    /// Something is in the way, or was until now.
    pub(super) fn restless(&mut self, life: &Life) {
        self.restless_for(life, Duration::ZERO);
    }

    pub(super) fn restless_for(&mut self, life: &Life, long: Duration) {
        self.restless = self.restless.max(life.time + long);
    }

    /// Whether the box itself can do its work.
    pub(super) fn is_sound(&self, life: &Life) -> bool {
        life.disk() == Disk::Good && life.node.is_mounted && life.offset == 0 && !life.will_be_killed()
    }

    /// Takes down which keys lie there, before something changes and as time goes by.
    pub(super) fn see(&mut self, life: &Life) {
        let is_seen = life.node.is_mounted && life.disk() == Disk::Good;
        let live = if is_seen { life.node.live() } else { BTreeSet::new() };
        self.live_since.retain(|key, _| live.contains(key));
        for key in live {
            let since = *self.live_since.entry(key).or_insert(life.time);
            if life.time.saturating_sub(since) >= SEEN {
                self.promised.insert(key);
            }
        }
    }

    /// A pass `keep` has ended.
    pub(super) fn kept(&mut self, life: &Life, end: End) {
        if matches!(end, End::Failed) || life.disk() != Disk::Good || !life.node.is_mounted {
            return;
        }
        for told in [&mut self.by_hand, &mut self.vanished] {
            if told.has_happened && told.noticed.is_none() {
                told.noticed = Some(life.time);
            }
        }
    }

    pub(super) fn reported(&mut self, life: &Life) {
        self.reported = Reported { offset: life.offset, at: life.time };
    }

    /// The hub's answer to a pass, if there was one.
    pub(super) fn answered(&mut self, life: &Life, end: End) {
        match end {
            End::Refused => {
                self.locked_out.get_or_insert(life.time);
            }
            End::Done { .. } if self.locked_out.take().is_some() => self.restless(life),
            _ => {}
        }
    }

    fn at_hub(&self) -> BTreeSet<Fingerprint> {
        self.versions.iter().flat_map(|version| version.keys.iter().copied()).collect()
    }
}

impl Year {
    /// What lies at the hub now, and what was ever there.
    pub(super) fn read_versions(&mut self) -> Lived {
        self.ledger.versions = self.hub.versions(self.of)?;
        let mut there = BTreeSet::new();
        for version in &self.ledger.versions {
            let name = Sha256::of(&json::to_vec(&version.stored.header)?);
            if !there.insert(name) {
                return Err(format!("version {} is there twice", version.stored.number).into());
            }
            self.ledger.acknowledged.entry(name).or_insert_with(|| version.clone());
        }
        Ok(())
    }

    /// Whether nothing is in the way of anything, and has not been for so long.
    pub(super) fn is_calm(&self, long: Duration) -> bool {
        self.ledger.is_sound(&self.life)
            && !self.hub.is_cut()
            && self.ledger.locked_out.is_none()
            && self.life.time >= self.ledger.restless + long
    }

    /// Whether a key is not at the hub.
    pub(super) fn lacks(&self, key: Fingerprint) -> bool {
        !self.ledger.versions.iter().any(|version| version.keys.contains(&key))
    }

    pub(super) fn check(&mut self) -> Lived {
        self.ledger.see(&self.life);
        self.read_versions()?;
        let kept = lineage::kept(&self.life.configuration, &mut Vec::new());
        let own = told(update::escrowed(&self.life.configuration))?;
        let at_hub = self.ledger.at_hub();
        for key in &self.ledger.promised {
            // A hub that was set back is given what the box has kept of its escrow.
            let is_safe = kept.contains_key(key) || at_hub.contains(key) || own.of_key(*key) != Escrowed::No;
            if !is_safe {
                return Err(format!("key {} is lost", key.short()).into());
            }
            if self.is_calm(SETTLED) && !at_hub.contains(key) {
                return Err(format!("nothing is in the way, and key {} is not escrowed", key.short()).into());
            }
        }
        self.acknowledged_is_there(&at_hub)?;
        let updates = self.ledger.acknowledged.values().filter(|version| !version.is_ceremony()).count();
        if updates > self.ledger.changes {
            return Err(format!("{updates} updates were made of {} changes", self.ledger.changes).into());
        }
        let (files, bytes) = self.life.weighs()?;
        if files > FILES + kept.len() || bytes > BYTES {
            return Err(format!("{files} files and {bytes} bytes lie in the state folder").into());
        }
        self.hub_did_no_wrong()?;
        self.is_explained()
    }

    /// What the box holds is there again, each version as it was. A former ceremony's is not given again: what it had
    /// lies in a later one.
    fn acknowledged_is_there(&self, at_hub: &BTreeSet<Fingerprint>) -> Lived {
        if !self.is_calm(SETTLED) {
            return Ok(());
        }
        let record = told(Record::load(&self.life.configuration))?;
        let root = record.map(|record| record.root_sha256);
        for version in self.ledger.acknowledged.values() {
            let is_there = || self.ledger.versions.iter().any(|there| there.stored.header == version.stored.header);
            if Some(version.root()) == root && !is_there() {
                return Err("a version that the hub had acknowledged is not there, and not given again".into());
            }
            if let Some(key) = version.keys.difference(at_hub).next() {
                return Err(format!("key {} went with a version that the hub lost", key.short()).into());
            }
        }
        Ok(())
    }

    /// Nobody but the box stores under its name: what the hub has is never another history.
    fn hub_did_no_wrong(&self) -> Lived {
        let alarms = std::fs::read_to_string(self.life.configuration.state("alarms.json")).unwrap_or_default();
        match ["hub-parted", "hub-newer"].into_iter().find(|code| alarms.contains(code)) {
            Some(code) => Err(format!("the box says {code}").into()),
            None => Ok(()),
        }
    }

    /// A hub that was set back to before a renewal knows the box's certificate no more. The box says so itself, after a
    /// day, and the operator gives a ticket with which it enrols again.
    pub(super) fn is_let_in_again(&mut self) -> Lived {
        let Some(since) = self.ledger.locked_out else { return Ok(()) };
        // By then a pass was run that could say that it has been so for a day.
        let told_by = since + DAY * u32::try_from(self.life.rested + 2)?;
        if self.life.time < told_by || !self.ledger.is_sound(&self.life) || self.hub.is_cut() {
            return Ok(());
        }
        let alarms = std::fs::read_to_string(self.life.configuration.state("alarms.json"))?;
        if !alarms.contains("`keep` does not come to its end") {
            return Err("the hub refuses the box for days, and nobody is told".into());
        }
        let ticket = self.hub.ticket_again(self.of, &enroll::node_name(&self.life.configuration))?;
        told(enroll::again(&self.life.configuration, ticket))?;
        self.ledger.locked_out = None;
        self.life.touch();
        self.ledger.restless(&self.life);
        Ok(())
    }

    /// With the words of the sheets: everything that was promised comes back.
    pub(super) fn ends_with_everything(&mut self) -> Lived {
        self.read_versions()?;
        let opened =
            self.sheets.open(&self.hub, &self.life.node, self.of, &self.ledger.versions, &self.ledger.promised)?;
        match self.ledger.promised.difference(&opened).next() {
            Some(lost) => Err(format!("the words do not give key {} back", lost.short()).into()),
            None => Ok(()),
        }
    }
}

/// Files in the state folder beside the kept keys.
const FILES: usize = 32;
/// Its bytes: the escrow with a year's updates, as text, and everything else.
const BYTES: u64 = 1 << 20;
