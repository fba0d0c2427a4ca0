//! The second holder: the box's own backup server keeps the sealed parts too, as a small snapshot
//! `host/tenwords-<box id>` beside the backups, unencrypted, since they are sealed already.
//!
//! It makes a recovery without a hub possible, and is a second opinion on what is newest. The hub hears
//! nothing of it.

use std::{collections::BTreeSet, time::Duration};

use pbs_driver::{Access, Client, DriverError, sealed, snapshot, snapshot::SnapshotInfo};
use pbs_format::datastore::{BackupType, FileName, Group, SnapshotRef};
use tenwords_protocol::{
    id::BoxId,
    time::Timestamp,
    version::{Bundle, BundleError, PartEntry},
};
use thiserror::Error;

use crate::{interrupt, kits::Kits, show::harmless};

/// So many snapshots of a box are fetched at most, the newest first; who writes there can add any number.
const SNAPSHOTS: usize = 256;
/// So many boxes are looked at.
const BOXES: usize = 64;
/// Bytes that are held of all of them.
const BYTES: usize = 256 << 20;
const PREFIX: &str = "tenwords-";
const NAME: &str = "kit.conf";

/// Why the second holder has not what it should have.
#[derive(Debug, Error)]
pub(crate) enum HolderError {
    #[error("what it gave back is not what was stored there")]
    Another,
    #[error("the version cannot be written as a kit")]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error("interrupted")]
    Interrupted,
    #[error("the name of its snapshot cannot be made")]
    Name,
}

/// Whether a group is a box's second holder, and no backup.
pub(crate) fn is_group(group: &str) -> bool {
    of_group(group).is_some()
}

/// Stores a bundle, reads it back byte for byte, and tells the snapshot.
pub(crate) fn store(client: &Client, access: &Access, bundle: &Bundle) -> Result<String, HolderError> {
    let group = group(bundle.header().facts().box_id)?;
    let text = bundle.to_text()?;
    // The one that is made is the one that was not there: the newest may be one with a time to come.
    let before: BTreeSet<_> = snapshots(client, access, &group)?.into_iter().map(|info| info.snapshot).collect();
    after_its_second(before.iter().map(SnapshotRef::time).max());
    sealed::store(client, access, &group, NAME, &text)?;
    let made = snapshots(client, access, &group)?.into_iter().find(|info| !before.contains(&info.snapshot));
    let made = made.ok_or(HolderError::Another)?.snapshot;
    let back = sealed::fetch(client, access, &made, &file()?)?;
    if back == text { Ok(made.to_string()) } else { Err(HolderError::Another) }
}

/// A server names a snapshot by its second, and takes no other of the same one: that second is waited out.
fn after_its_second(newest: Option<Timestamp>) {
    while newest.is_some_and(|newest| newest == Timestamp::now()) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a version with exactly these parts lies among a box's newest there.
pub(crate) fn has(client: &Client, access: &Access, of: BoxId, parts: &[PartEntry]) -> Result<bool, HolderError> {
    let file = file()?;
    for info in snapshots(client, access, &group(of)?)?.into_iter().take(4) {
        let text = sealed::fetch(client, access, &info.snapshot, &file)?;
        if Bundle::parse(&text).is_ok_and(|bundle| bundle.header().parts() == parts) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The kits that lie there, of every box; those that cannot be read are told.
pub(crate) fn kits(client: &Client, access: &Access, said: &mut Vec<String>) -> Result<Kits, HolderError> {
    let (file, mut found, mut bytes) = (file()?, Vec::new(), 0);
    let groups = snapshot::groups(client, access)?;
    let boxes: Vec<BoxId> = groups.iter().filter_map(|info| of_group(&info.group.to_string())).collect();
    if boxes.len() > BOXES {
        said.push(format!("{} boxes keep an escrow there, {BOXES} are looked at", boxes.len()));
    }
    for of in boxes.into_iter().take(BOXES) {
        let snapshots = snapshots(client, access, &group(of)?)?;
        if snapshots.len() > SNAPSHOTS {
            said.push(format!("{of} has {} escrows there, the newest {SNAPSHOTS} are looked at", snapshots.len()));
        }
        for info in snapshots.into_iter().take(SNAPSHOTS) {
            if interrupt::is_ending() {
                return Err(HolderError::Interrupted);
            }
            let name = info.snapshot.to_string();
            match sealed::fetch(client, access, &info.snapshot, &file) {
                Ok(text) => match Bundle::parse(&text) {
                    Ok(bundle) if bundle.header().facts().box_id == of => {
                        bytes += text.len();
                        found.push((format!("the snapshot {name}"), info.snapshot.time(), bundle));
                    }
                    Ok(_) => said.push(format!("{name} is another box's kit, and is passed over")),
                    Err(error) => said.push(format!("{name} is no kit: {}", harmless(&error.to_string(), 200))),
                },
                Err(error) => said.push(format!("{name} cannot be fetched: {}", crate::recover::plan::chain(&error))),
            }
            if bytes > BYTES {
                said.push(format!("what lies there is too much: nothing is looked at beyond {name}"));
                return Ok(Kits::of(found));
            }
        }
    }
    Ok(Kits::of(found))
}

/// Of this group, newest first.
fn snapshots(client: &Client, access: &Access, group: &Group) -> Result<Vec<SnapshotInfo>, HolderError> {
    let mut found = snapshot::list(client, access, Some(group))?;
    found.sort_by_key(|info| std::cmp::Reverse(info.snapshot.time()));
    Ok(found)
}

/// The box whose second holder a group is.
fn of_group(group: &str) -> Option<BoxId> {
    group.strip_prefix("host/")?.strip_prefix(PREFIX)?.parse().ok()
}

/// The name of the group in which a box's escrow lies.
pub(crate) fn group_name(of: BoxId) -> Result<String, HolderError> {
    group(of).map(|group| group.to_string())
}

fn group(of: BoxId) -> Result<Group, HolderError> {
    Group::new(BackupType::Host, &format!("{PREFIX}{of}")).map_err(|_| HolderError::Name)
}

fn file() -> Result<FileName, HolderError> {
    format!("{NAME}.blob").parse().map_err(|_| HolderError::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_named_by_a_box_is_a_second_holder() {
        for (group, expected) in [
            ("host/tenwords-3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d", true),
            ("host/tenwords-3F2B8A52-7c1d-4e7a-9b60-0d1f2a3b4c5d", false),
            ("host/tenwords-mill", false),
            ("host/tenwords", false),
            ("ct/101", false),
            ("vm/tenwords-3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d", false),
        ] {
            assert_eq!(is_group(group), expected, "{group}");
        }
    }
}
