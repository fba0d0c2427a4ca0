//! Whether there is room for what the plan puts where: before anything is touched, with numbers.
//!
//! What a container's archive holds must fit in any case. A disk's image is as large as the disk; how much
//! of it a storage really takes up depends on how much of it was ever written, and on the storage. So too
//! little for whole disks is refused unless `--overcommit` says that it will do.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, path::Path};

use pbs_driver::{
    PrivateDir,
    pve::{
        Node, StorageId,
        pvesm::{self, Activity},
    },
};

use super::{Failures, free_space};
use crate::{
    recover::plan::{Plan, chain},
    show::{harmless, size},
};

/// What guests need of a storage.
#[derive(Default)]
struct Need {
    /// Of archives of files.
    files: u64,
    /// Of whole disks.
    disks: u64,
    guests: Vec<u32>,
}

/// Everything for which there is no room; and what could not be told.
pub(crate) fn room(
    plan: &Plan<'_>,
    node: Option<&Node>,
    private: &PrivateDir,
    into: &Path,
    overcommit: bool,
) -> (Failures, Vec<String>) {
    let (mut failures, mut notes) = (Failures::default(), Vec::new());
    if let Some(node) = node {
        for (id, need) in needs(plan) {
            if let Err(why) = storage(node, private, &id, &need, overcommit, &mut failures) {
                notes.push(format!("the room on storage {id} cannot be told: {}", harmless(&why, 300)));
            }
        }
    }
    folders(plan, into, &mut failures);
    (failures, notes)
}

/// By storage.
fn needs(plan: &Plan<'_>) -> BTreeMap<String, Need> {
    let mut needs: BTreeMap<String, Need> = BTreeMap::new();
    for guest in &plan.guests {
        for (storage, bytes, is_disk) in guest.needs() {
            let need = needs.entry(storage).or_default();
            let sum = if is_disk { &mut need.disks } else { &mut need.files };
            *sum = sum.saturating_add(bytes);
            if !need.guests.contains(&guest.vmid) {
                need.guests.push(guest.vmid);
            }
        }
    }
    needs
}

fn storage(
    node: &Node,
    private: &PrivateDir,
    id: &str,
    need: &Need,
    overcommit: bool,
    failures: &mut Failures,
) -> Result<(), String> {
    let parsed: StorageId = id.parse().map_err(|error| chain(&error))?;
    let found = pvesm::status(node, private, Some(&parsed)).map_err(|error| chain(&error))?;
    let status = found.iter().find(|status| status.id == id).ok_or("pvesm does not name it")?;
    let guests = need.guests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if status.activity != Activity::Active {
        failures.add(
            format!("storage {id}, which is for {guests}, does not answer"),
            format!("see `pvesm status --storage {id}`; or {ANOTHER}"),
        );
        return Ok(());
    }
    if status.total == 0 {
        return Err("pvesm does not say".to_owned());
    }
    if let Some((what, remedy)) = lacking(id, &guests, need, status.available.saturating_mul(1024), overcommit) {
        failures.add(what, remedy);
    }
    Ok(())
}

/// What is too much for a storage, and what to do.
fn lacking(id: &str, guests: &str, need: &Need, free: u64, overcommit: bool) -> Option<(String, String)> {
    let whole = need.files.saturating_add(need.disks);
    let numbers = |needed: u64| {
        format!(
            "{} are needed on storage {id} for {guests}, {} are free: {} too little",
            size(needed),
            size(free),
            size(needed.saturating_sub(free))
        )
    };
    if need.files > free {
        return Some((numbers(need.files), format!("make room on {id}, or {ANOTHER}")));
    }
    if whole > free && !overcommit {
        let remedy = format!(
            "make room on {id}, or {ANOTHER}; if the disks are mostly empty and {id} takes up only what is written, say \
             --overcommit"
        );
        return Some((numbers(whole), remedy));
    }
    None
}

/// Archives into folders, by file system.
fn folders(plan: &Plan<'_>, into: &Path, failures: &mut Failures) {
    let mut needs: BTreeMap<u64, (u64, &Path)> = BTreeMap::new();
    for piece in plan.work.iter().flat_map(|work| &work.archives) {
        let existing = piece.target.ancestors().find_map(|ancestor| std::fs::metadata(ancestor).ok());
        let place = if piece.target.starts_with(into) { into } else { &piece.target };
        let device = existing.map_or(0, |found| found.dev());
        let (needed, _) = needs.entry(device).or_insert((0, place));
        *needed = needed.saturating_add(piece.bytes);
    }
    for (needed, place) in needs.into_values() {
        if let Some(free) = free_space(place)
            && free < needed
        {
            let remedy = match place == into {
                true => "make room, or name another folder with --into; nothing was installed",
                false => {
                    "make room there, or ask the operator for a directive that restores into a new folder; nothing was \
                     installed"
                }
            };
            failures
                .add(format!("{} are needed at {}, {} are free", size(needed), place.display(), size(free)), remedy);
        }
    }
}

const ANOTHER: &str = "ask the operator for a directive that names another storage";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_must_fit_and_whole_disks_unless_somebody_says_otherwise() {
        let need = |files, disks| Need { files, disks, guests: vec![101, 102] };
        let lacks = |need: &Need, overcommit| lacking("fast", "101, 102", need, 100 << 20, overcommit);
        for (files, disks, overcommit, is_refused) in [
            (50, 50, false, false),
            (50, 51, false, true),
            (50, 51, true, false),
            (100, 0, false, false),
            (101, 0, false, true),
            (101, 0, true, true),
            (0, u64::MAX >> 20, true, false),
        ] {
            let told = lacks(&need(files << 20, disks << 20), overcommit);
            assert_eq!(told.is_some(), is_refused, "{files} {disks} {overcommit}");
        }
        let (what, remedy) = lacks(&need(50 << 20, 51 << 20), false).unwrap_or_default();
        assert_eq!(
            what,
            "101.00 MiB are needed on storage fast for 101, 102, 100.00 MiB are free: 1.00 MiB too little"
        );
        assert!(remedy.contains("another storage") && remedy.contains("--overcommit"), "{remedy}");
        let (_, remedy) = lacks(&need(101 << 20, 0), true).unwrap_or_default();
        assert!(!remedy.contains("--overcommit"), "{remedy}");
        // No sum is one that has gone around.
        assert!(lacks(&need(u64::MAX, u64::MAX), true).is_some());
    }
}
