//! What is remembered from one report to the next: since when something is as it is, and how far the hub was.
//! Lost or damaged it begins anew, and everything is so since now.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
};

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    bounded::Text,
    json,
    report::{Alarm, AlarmCode},
    time::Timestamp,
    v1::V1,
};

use crate::{cluster::Nodes, durable, settings::Configuration};

const FILE: &str = "report.json";
const LIMIT: u64 = 4 << 20;
/// So many things are remembered; more than a report takes.
const MOST: usize = 20_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    v: V1,
    /// The highest number of a version that the hub said it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<NonZeroU64>,
    /// Since when the hub has fewer versions than it said it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<Timestamp>,
    /// Since when the clocks differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock_off: Option<Timestamp>,
    /// The node that escrows, if it has said nothing to the hub for long, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    silent: Option<(String, Timestamp)>,
    /// The cluster's nodes that do not belong to the box, and since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    not_joined: BTreeMap<String, Timestamp>,
    /// Since when each thing is as it is, by what it is.
    since: BTreeMap<String, Timestamp>,
    #[serde(skip)]
    asked: BTreeSet<String>,
}

impl Memory {
    pub(super) fn load(configuration: &Configuration) -> Self {
        let none = Self {
            v: V1,
            newest: None,
            lost: None,
            clock_off: None,
            silent: None,
            not_joined: BTreeMap::new(),
            since: BTreeMap::new(),
            asked: BTreeSet::new(),
        };
        let path = configuration.state(FILE);
        match durable::read_limited(&path, LIMIT) {
            Ok(text) => json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "what was reported is not known any more");
                none
            }),
            Err(_) => none,
        }
    }

    /// Keeps it, without what was not asked for: that is over.
    pub(super) fn keep(&mut self, configuration: &Configuration) -> std::io::Result<()> {
        self.since.retain(|what, _| self.asked.contains(what));
        let text = json::to_vec(self).map_err(std::io::Error::other)?;
        durable::folder(&configuration.settings.state, 0o700)?;
        durable::replace("report-memory", &configuration.state(FILE), 0o600, &text)
    }

    /// Since when this is so; since now if it was not so at the last report. A clock that was set back does not
    /// make anything begin in the future.
    pub(super) fn since(&mut self, what: &str, now: Timestamp) -> Timestamp {
        if self.asked.len() >= MOST {
            return now;
        }
        self.asked.insert(what.to_owned());
        let since = self.since.entry(what.to_owned()).or_insert(now);
        *since = (*since).min(now);
        *since
    }

    /// Takes in the hub's answer; whether the next report says something else by it.
    pub(super) fn heard(&mut self, newest: Option<NonZeroU64>, is_clock_off: bool, now: Timestamp) -> bool {
        let before = (self.lost, self.clock_off);
        let is_lost = self.newest.is_some() && newest < self.newest;
        self.lost = is_lost.then(|| self.lost.unwrap_or(now));
        self.clock_off = is_clock_off.then(|| self.clock_off.unwrap_or(now));
        self.newest = self.newest.max(newest);
        before != (self.lost, self.clock_off)
    }

    /// Takes in what the hub says of the box's nodes; without its word it is as it was.
    pub(super) fn of_nodes(&mut self, nodes: Option<&Nodes>, now: Timestamp) {
        let Some(nodes) = nodes else { return };
        let former = self.silent.take();
        self.silent = nodes.silent.clone().map(|keeper| match former {
            Some((name, since)) if name == keeper => (name, since),
            _ => (keeper, now),
        });
        let since = |name: &String| self.not_joined.get(name).copied().unwrap_or(now);
        self.not_joined = nodes.not_joined.iter().map(|name| (name.clone(), since(name))).collect();
    }

    /// What the hub's answers have shown.
    pub(super) fn alarms(&self, now: Timestamp) -> impl Iterator<Item = Alarm> {
        let of_hub = [(AlarmCode::HubLostVersions, self.lost), (AlarmCode::ClockOff, self.clock_off)];
        let of_hub = of_hub.into_iter().filter_map(|(code, since)| Some((code, "", since?)));
        let silent = self.silent.iter().map(|(name, since)| (AlarmCode::KeeperSilent, name.as_str(), *since));
        let others = self.not_joined.iter().map(|(name, since)| (AlarmCode::NodeNotJoined, name.as_str(), *since));
        of_hub.chain(silent).chain(others).map(move |(code, subject, since)| Alarm {
            code,
            subject: Text::cut(subject),
            since: since.min(now),
        })
    }
}

/// The hub was given its lost versions again, under other numbers: what it had before counts no more.
pub(crate) fn forget_newest(configuration: &Configuration) {
    let mut memory = Memory::load(configuration);
    memory.lost = None;
    if memory.newest.take().is_some() {
        memory.asked = memory.since.keys().cloned().collect();
        if let Err(error) = memory.keep(configuration) {
            tracing::warn!(%error, "what was reported cannot be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_forgotten_and_what_goes_on_keeps_its_beginning() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, format!("state = \"{}\"", folder.path().join("state").display()))?;
        let configuration = Configuration::read(&path).map_err(|stop| stop.what)?;
        let at = |second: i64| Timestamp::from_unix(1_790_000_000 + second);
        let mut memory = Memory::load(&configuration);
        assert_eq!(memory.since("one", at(0)?), at(0)?);
        memory.since("two", at(0)?);
        memory.keep(&configuration)?;
        let mut memory = Memory::load(&configuration);
        assert_eq!(memory.since("one", at(9)?), at(0)?);
        memory.keep(&configuration)?;
        let mut memory = Memory::load(&configuration);
        assert_eq!((memory.since("one", at(20)?), memory.since("two", at(20)?)), (at(0)?, at(20)?));
        // A clock that went back.
        assert_eq!(memory.since("two", at(-50)?), at(-50)?);
        std::fs::write(configuration.state(FILE), "damaged")?;
        assert_eq!(Memory::load(&configuration).since("one", at(30)?), at(30)?);
        Ok(())
    }

    #[test]
    fn what_the_hub_says_of_the_nodes_stands_until_it_says_another_thing() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, format!("state = \"{}\"", folder.path().join("state").display()))?;
        let mut memory = Memory::load(&Configuration::read(&path).map_err(|stop| stop.what)?);
        let at = |second: i64| Timestamp::from_unix(1_790_000_000 + second);
        let nodes = |silent: Option<&str>, others: &[&str]| Nodes {
            keeper: None,
            silent: silent.map(str::to_owned),
            not_joined: others.iter().map(|&name| name.to_owned()).collect(),
        };
        let stand = |memory: &Memory| -> Result<Vec<(String, i64)>, Box<dyn std::error::Error>> {
            let alarms = memory.alarms(at(1000)?);
            Ok(alarms.map(|alarm| (alarm.subject.as_str().to_owned(), alarm.since.unix() - 1_790_000_000)).collect())
        };
        memory.of_nodes(Some(&nodes(Some("pve1"), &["pve3"])), at(1)?);
        // The hub was not asked; then it says the same, and one more.
        memory.of_nodes(None, at(2)?);
        memory.of_nodes(Some(&nodes(Some("pve1"), &["pve3", "pve4"])), at(3)?);
        let told = |all: &[(&str, i64)]| all.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect::<Vec<_>>();
        assert_eq!(stand(&memory)?, told(&[("pve1", 1), ("pve3", 1), ("pve4", 3)]));
        // Another keeper is silent since now, and what is over is forgotten.
        memory.of_nodes(Some(&nodes(Some("pve2"), &["pve4"])), at(4)?);
        assert_eq!(stand(&memory)?, told(&[("pve2", 4), ("pve4", 3)]));
        memory.of_nodes(Some(&nodes(None, &[])), at(5)?);
        assert_eq!(stand(&memory)?, told(&[]));
        Ok(())
    }
}
