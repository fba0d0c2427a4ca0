//! Storages for the time of a run's restores, so that guests come back through PVE's own programs: in a rehearsal all
//! of them, and where a guest's backup needs another key than its storage has, since PVE gives its programs that one.
//!
//! Each stands under a name that holds the whole of the recovery's id, so that it is nobody else's and is
//! known again after a crash. It is for this node alone and for backups only; it goes when the run has restored, by
//! `recover --abort`, or with the next run. Nothing that is there is touched: no stanza of another name, no
//! key of another storage.

use std::collections::{BTreeMap, BTreeSet};

use pbs_driver::pve::{
    Node, PveError, StorageId,
    install::{named, take_away},
};
use tenwords_escrow::{
    gate::GatedKey,
    root::{KeptIn, Root},
};
use tenwords_protocol::{directive::Name, fingerprint::Fingerprint, id::RecoveryId};

use super::{Arc, Installed, ToInstall, Tokens, storage};
use crate::recover::{plan::chain, report::Missing};

/// Puts storages in place for these sources, each with this key, under scratch names.
pub(crate) fn put(
    node: &Node,
    recovery: RecoveryId,
    root: &Root,
    needed: &BTreeSet<(&Name, Fingerprint)>,
    keys: &BTreeMap<Fingerprint, Arc<GatedKey>>,
    tokens: &Tokens,
) -> Installed {
    let facts = root.facts();
    let mut installed = Installed::default();
    let storages = facts.trust.sources.iter().filter(|source| source.kept_in == KeptIn::StorageCfg);
    for (source, number) in storages.zip(1_u32..) {
        for (_, fingerprint) in needed.iter().filter(|(of, _)| **of == source.id) {
            let (Some(key), Some(id)) = (keys.get(fingerprint), id(recovery, number, *fingerprint)) else { continue };
            let token = tokens.get(&source.id).or_else(|| facts.secrets.tokens.get(&source.id));
            let item = ToInstall { source, key, token, restore_paths: BTreeMap::new() };
            storage::put_scratch(&mut installed, node, &item, &id);
        }
    }
    installed
}

/// Takes away every storage of this recovery's, also what of one a crash has left; tells what could not be.
pub(crate) fn remove(node: &Node, recovery: RecoveryId) -> Result<(), Missing> {
    let all =
        || -> Result<(), PveError> { named(node, &beginning(recovery))?.iter().try_for_each(|id| take_away(node, id)) };
    all().map_err(|error| Missing {
        what: "the storages in storage.cfg that stand for the time of the restore".to_owned(),
        why: format!("they could not be taken away again: {}", chain(&error)),
        remedy: format!("{}; then run the same command again, or `recover --abort`", error.next_step()),
        waits_for_order: false,
    })
}

/// Two keys of one source are two storages.
fn id(recovery: RecoveryId, number: u32, key: Fingerprint) -> Option<StorageId> {
    let key: String = key.to_hex().chars().take(16).collect();
    format!("{}{number}-{key}", beginning(recovery)).parse().ok()
}

fn beginning(recovery: RecoveryId) -> String {
    format!("{BEGINNING}{recovery}-")
}

/// Whether a storage is one of these, of whichever recovery: it is no source of the box.
pub(crate) fn is_one(storage: &str) -> bool {
    let rest = storage.strip_prefix(BEGINNING);
    rest.and_then(|rest| rest.get(..UUID)).is_some_and(|id| id.parse::<RecoveryId>().is_ok())
}

const BEGINNING: &str = "tenwords-";
/// So many characters has an id.
const UUID: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_of_a_recovery_is_known_by_its_name_alone() -> Result<(), Box<dyn std::error::Error>> {
        let recovery: RecoveryId = "0c5f4a1e-8a53-4f5e-9d2b-7f6a3c1d2e4f".parse()?;
        let id = id(recovery, 1, Fingerprint::from_bytes([7; 32])).ok_or("no storage's name")?;
        assert!(id.as_str().starts_with(&beginning(recovery)) && is_one(id.as_str()), "{id}");
        for other in
            ["pbs", "tenwords-pbs", "tenwords-", "tenwords-0c5f4a1e-8a53-4f5e-9d2b-7f6a3c1d2e4", "tenw\u{f6}rds-"]
        {
            assert!(!is_one(other), "{other}");
        }
        Ok(())
    }
}
