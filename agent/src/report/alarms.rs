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

/// All of them: first what is wrong on this machine, then its keys, and last what a server's list has brought. A report
/// takes so many, and a list that is long, or made to be, is not to crowd out the others.
pub(super) fn gather(
    configuration: &Configuration,
    looked: Option<&Looked>,
    unreadable: Option<&Stop>,
    memory: &mut Memory,
    now: Timestamp,
) -> Vec<Alarm> {
    let mut alarms: Vec<Alarm> = Vec::new();
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
    of_lineage(configuration, memory, now, &mut alarms);
    alarms.extend(looked.iter().flat_map(|looked| looked.alarms.iter().cloned()));
    alarms
}

/// What has happened to the keys: what somebody has to mend, and for a while what is over already.
fn of_lineage(configuration: &Configuration, memory: &mut Memory, now: Timestamp, alarms: &mut Vec<Alarm>) {
    let (index, damaged) = lineage::Index::load(configuration);
    if damaged.is_some() {
        let since = memory.since("alarm lineage", now);
        alarms.push(Alarm { code: AlarmCode::LineageDamaged, subject: Text::cut(""), since });
    }
    for change in index.standing().chain(index.changes.iter().filter(|change| !change.stands())) {
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

#[cfg(test)]
mod tests {
    use tenwords_protocol::bounded::List;

    use super::*;

    #[test]
    fn a_flood_on_a_server_does_not_crowd_out_what_is_wrong_here() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, format!("state = \"{}\"", folder.path().join("state").display()))?;
        let configuration = Configuration::read(&path).map_err(|stop| stop.what)?;
        std::fs::write(&path, "state = [")?;
        std::fs::create_dir_all(configuration.state("lineage"))?;
        std::fs::write(configuration.state("lineage/index.json"), "damaged")?;
        let now = Timestamp::from_unix(1_790_000_000)?;
        let of_server = |number: u32| Alarm {
            code: AlarmCode::PlainSnapshot,
            subject: Text::cut(&format!("ct/{number} on pbs")),
            since: now,
        };
        let mut looked = Looked::new(now);
        looked.alarms = List::cut((0..500).map(of_server)).0;
        let mut memory = Memory::load(&configuration);
        let alarms = gather(&configuration, Some(&looked), None, &mut memory, now);
        let (told, left_out): (List<Alarm, 128>, u64) = List::cut(alarms);
        let first: Vec<&AlarmCode> = told.iter().take(2).map(|alarm| &alarm.code).collect();
        assert_eq!(first, [&AlarmCode::ConfigurationBroken, &AlarmCode::LineageDamaged]);
        assert_eq!((told.len(), left_out), (128, 2));
        Ok(())
    }
}
