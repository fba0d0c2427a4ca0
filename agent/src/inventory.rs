//! `inventory`: what this box has on its backup servers, what it backs up, and what it leaves out.
//!
//! Each source is asked two questions, in turn: its room, and its list of snapshots. No manifest, no
//! chunk and no key is fetched, and nothing is written. What is asked how often, and how it grows:
//! `docs/inventory.md`.

mod ask;
mod guests;
mod send;
mod tell;

use std::collections::{BTreeMap, BTreeSet};

use pbs_driver::{compat, version};
use tenwords_escrow::root::KeptIn;
use tenwords_protocol::{
    bounded::{List, Text},
    fingerprint::Fingerprint,
    inventory::Inventory,
    time::Timestamp,
    v1::V1,
};

pub(crate) use self::{guests::Work, send::after as send_after};
use crate::{
    exit::{Code, Outcome},
    interrupt,
    keys::LiveKey,
    settings::Configuration,
    sources::{self, BoxSources},
};

/// The inventory, and how the command that took it ends.
pub(crate) struct Taken {
    pub(crate) inventory: Inventory,
    /// By source, the escrows that lie there beside the backups: by group, the time of the newest.
    pub(crate) escrows: BTreeMap<String, BTreeMap<String, Timestamp>>,
    /// Of the first source that gave no answer.
    pub(crate) failed: Option<Code>,
}

/// Jobs and guests as Proxmox VE's files have them now; no server is asked.
pub(crate) fn work(configuration: &Configuration, found: &BoxSources, problems: &mut Vec<String>) -> Outcome<Work> {
    let storages = storages(found);
    let node = sources::node(&configuration.settings)?;
    Ok(node.as_ref().map(|node| guests::look(node, &storages, problems)).unwrap_or_default())
}

/// The storages a job to which covers a guest. What is wrong with one is said of it, and not of each guest whose job is
/// what it was.
fn storages(found: &BoxSources) -> BTreeSet<&str> {
    let of_pve = found.sources.iter().filter(|source| source.kept_in == KeptIn::StorageCfg);
    of_pve.filter(|source| source.is_to_encrypt()).map(|source| source.id.as_str()).collect()
}

/// Asks every source that there is something to ask, and reads PVE's files.
///
/// # Errors
/// The sources cannot even be listed, or somebody ends the command. That a source gives no answer is none.
pub(crate) fn take(configuration: &Configuration) -> Outcome<Taken> {
    let made_at = Timestamp::now();
    let mut problems: Vec<String> = Vec::new();
    let found = sources::of_box(configuration)?;
    let client = sources::client(&configuration.settings);
    let client_version = match &client {
        Ok(client) => version::client(client).map_err(|error| error.to_string()),
        Err(stop) => Err(stop.to_string()),
    };
    let held: BTreeSet<Fingerprint> = found.keys().map(LiveKey::fingerprint).collect();
    let (mut entries, mut failed, mut escrows) = (Vec::new(), None, BTreeMap::new());
    problems.extend(found.notes.iter().cloned());
    for source in &found.sources {
        interrupt::check()?;
        match ask::entry(source, client.as_ref(), &held) {
            Ok((entry, held, code)) => {
                escrows.insert(source.id.clone(), held);
                failed = failed.or(code);
                entries.push(entry);
            }
            Err(why) => problems.push(why),
        }
    }
    interrupt::check()?;
    let storages = storages(&found);
    let node = sources::node(&configuration.settings)?;
    let work = node.as_ref().map(|node| guests::look(node, &storages, &mut problems)).unwrap_or_default();
    let name = node.as_ref().and_then(|node| node.name().map_err(|error| problems.push(error.to_string())).ok());
    match &client_version {
        Ok(version) => problems.extend(compat::remarks(version)),
        Err(why) => problems.push(format!("the client does not say its version: {why}")),
    }
    let (sources, too_many) = List::cut(entries);
    if too_many > 0 {
        problems.push(format!("{too_many} sources are left out: there are more than the inventory takes"));
    }
    let (jobs, jobs_left_out) = List::cut(work.jobs);
    let (guests, guests_left_out) = List::cut(work.guests);
    let inventory = Inventory {
        v: V1,
        made_at,
        agent_version: Text::cut(env!("CARGO_PKG_VERSION")),
        client_version: client_version.ok().map(|version| Text::cut(&version.to_string())),
        node: name.map(|name| Text::cut(&name)),
        sources,
        jobs,
        jobs_left_out,
        guests,
        guests_left_out,
        problems: List::cut(problems.iter().map(|problem| Text::cut(problem))).0,
    };
    Ok(Taken { inventory, escrows, failed })
}

impl Taken {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        tell::lines(&self.inventory)
    }
}
