//! The second holder: the box's own backup server keeps the sealed parts too, as a small snapshot
//! `host/tenwords-<box id>` beside the backups, unencrypted, since they are sealed already.
//!
//! It makes a recovery without a hub possible, and is a second opinion on what is newest. The hub hears
//! nothing of it.

use pbs_driver::{Access, Client, DriverError, sealed, snapshot, snapshot::SnapshotInfo};
use pbs_format::datastore::{BackupType, FileName, Group};
use tenwords_protocol::{
    id::BoxId,
    version::{Bundle, BundleError},
};
use thiserror::Error;

use crate::{kits::Kits, show::harmless};

/// The newest snapshots of each box that are looked at: what the words of an older code open is there too.
const NEWEST: usize = 32;
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
    #[error("the name of its snapshot cannot be made")]
    Name,
}

/// Whether a group is a box's second holder, and no backup.
pub(crate) fn is_group(group: &str) -> bool {
    group.strip_prefix("host/").and_then(|id| id.strip_prefix(PREFIX)).is_some_and(|id| id.parse::<BoxId>().is_ok())
}

/// Stores a bundle, reads it back byte for byte, and tells the snapshot.
pub(crate) fn store(client: &Client, access: &Access, bundle: &Bundle) -> Result<String, HolderError> {
    let group = group(bundle.header().facts().box_id)?;
    let text = bundle.to_text()?;
    sealed::store(client, access, &group, NAME, &text)?;
    let newest = snapshots(client, access, Some(&group))?.into_iter().next().ok_or(HolderError::Another)?;
    let back = sealed::fetch(client, access, &newest.snapshot, &file()?)?;
    if back == text { Ok(newest.snapshot.to_string()) } else { Err(HolderError::Another) }
}

/// The kits that lie there, of every box; those that cannot be read are told.
pub(crate) fn kits(client: &Client, access: &Access, said: &mut Vec<String>) -> Result<Kits, HolderError> {
    let file = file()?;
    let mut found = Vec::new();
    let mut of_group = std::collections::BTreeMap::<String, usize>::new();
    for info in snapshots(client, access, None)? {
        let seen = of_group.entry(info.snapshot.group().to_string()).or_default();
        *seen += 1;
        if *seen > NEWEST {
            continue;
        }
        let name = info.snapshot.to_string();
        match sealed::fetch(client, access, &info.snapshot, &file) {
            Ok(text) => match Bundle::parse(&text) {
                Ok(bundle) => found.push((format!("the snapshot {name}"), info.snapshot.time(), bundle)),
                Err(error) => said.push(format!("{name} is no kit: {}", harmless(&error.to_string(), 200))),
            },
            Err(error) => said.push(format!("{name} cannot be fetched: {}", crate::recover::plan::chain(&error))),
        }
    }
    Ok(Kits::of(found))
}

/// Of this group or of every box's, newest first.
fn snapshots(client: &Client, access: &Access, group: Option<&Group>) -> Result<Vec<SnapshotInfo>, HolderError> {
    let mut found = snapshot::list(client, access, group)?;
    found.retain(|info| is_group(&info.snapshot.group().to_string()));
    found.sort_by_key(|info| std::cmp::Reverse(info.snapshot.time()));
    Ok(found)
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
