//! What is wrong on this node right now, each thing since it is.

use tenwords_protocol::{
    bounded::Text,
    report::{Alarm, AlarmCode},
    time::Timestamp,
};

use super::{looked::Looked, memory::Memory};
use crate::{
    durable,
    exit::Stop,
    lineage::{self, What},
    self_test::{SelfTest, Verdict},
    settings::Configuration,
    update,
};

/// What has happened once is told for so many days.
const TOLD_FOR_DAYS: u64 = 14;
const DAY: u64 = 86_400;

/// All of them.
pub(super) fn gather(
    configuration: &Configuration,
    looked: Option<&Looked>,
    unreadable: Option<&Stop>,
    memory: &mut Memory,
    now: Timestamp,
) -> Vec<Alarm> {
    let mut alarms: Vec<Alarm> = looked.map(|looked| looked.alarms.to_vec()).unwrap_or_default();
    of_lineage(configuration, memory, now, &mut alarms);
    let mut stands = |code: AlarmCode, subject: &str, alarms: &mut Vec<Alarm>| {
        let since = memory.since(&format!("alarm {code} {subject}"), now);
        alarms.push(Alarm { code, subject: Text::cut(subject), since });
    };
    if unreadable.is_some() {
        stands(AlarmCode::PveUnreadable, "", &mut alarms);
    }
    if SelfTest::last(configuration).is_some_and(|tested| tested.verdict != Verdict::Works) {
        stands(AlarmCode::ClientSelfTest, "", &mut alarms);
    }
    if update::is_waiting(configuration) {
        stands(AlarmCode::EscrowWaits, "", &mut alarms);
    }
    // The daemon goes on with the settings that it had.
    if Configuration::read(&configuration.path).is_err() {
        stands(AlarmCode::ConfigurationBroken, "", &mut alarms);
    }
    if durable::replace("writable", &configuration.state("writable"), 0o600, b"").is_err() {
        stands(AlarmCode::StateUnwritable, "", &mut alarms);
    }
    alarms.extend(memory.alarms(now));
    alarms
}

/// What has happened to the keys: what somebody has to mend, and for a while what is over already.
fn of_lineage(configuration: &Configuration, memory: &mut Memory, now: Timestamp, alarms: &mut Vec<Alarm>) {
    let (index, damaged) = lineage::Index::load(configuration);
    if damaged.is_some() {
        let since = memory.since("alarm lineage", now);
        alarms.push(Alarm { code: AlarmCode::LineageDamaged, subject: Text::cut(""), since });
    }
    for change in index.changes.iter() {
        let is_told = change.stands() || now.since(change.since).as_secs() < TOLD_FOR_DAYS * DAY;
        let found = match &change.what {
            What::KeyFileGone { source, .. } | What::AddedWithoutKey { source, .. } if change.stands() => {
                Some((AlarmCode::KeyFileGone, source.as_str()))
            }
            What::KeyChangedByHand { source, .. } | What::AddedWithAnotherKey { source, .. } if is_told => {
                Some((AlarmCode::KeyChanged, source.as_str()))
            }
            What::KeysVanished { .. } if is_told => Some((AlarmCode::KeysGoneAtOnce, "")),
            _ => None,
        };
        if let Some((code, subject)) = found {
            alarms.push(Alarm { code, subject: Text::cut(subject), since: change.since });
        }
    }
}
