//! A rehearsal's storages: for the time of its restores, so that guests come back through PVE's own programs.
//!
//! Each stands under a name that holds the whole of the recovery's id, so that it is nobody else's and is
//! known again after a crash. It is for this node alone and for backups only; it goes when the run ends, by
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

/// Puts the storages of these sources in place, each under its scratch name.
pub(crate) fn put(
    node: &Node,
    recovery: RecoveryId,
    root: &Root,
    needed: &BTreeSet<&Name>,
    keys: &BTreeMap<Fingerprint, Arc<GatedKey>>,
    tokens: &Tokens,
) -> Installed {
    let facts = root.facts();
    let mut installed = Installed::default();
    let storages = facts.trust.sources.iter().filter(|source| source.kept_in == KeptIn::StorageCfg);
    for (source, number) in storages.zip(1_u32..).filter(|(source, _)| needed.contains(&source.id)) {
        let (Some(key), Some(id)) = (keys.get(&source.key_fingerprint), id(recovery, number)) else { continue };
        let token = tokens.get(&source.id).or_else(|| facts.secrets.tokens.get(&source.id));
        let item = ToInstall { source, key, token, restore_paths: BTreeMap::new() };
        storage::put_scratch(&mut installed, node, &item, &id);
    }
    installed
}

/// Takes away every storage of this recovery's, also what of one a crash has left; tells what could not be.
pub(crate) fn remove(node: &Node, recovery: RecoveryId) -> Result<(), Missing> {
    let all =
        || -> Result<(), PveError> { named(node, &beginning(recovery))?.iter().try_for_each(|id| take_away(node, id)) };
    all().map_err(|error| Missing {
        what: "the rehearsal's storages in storage.cfg".to_owned(),
        why: format!("they could not be taken away again: {}", chain(&error)),
        remedy: format!("{}; then run the same command again, or `recover --abort`", error.next_step()),
        waits_for_order: false,
    })
}

fn id(recovery: RecoveryId, number: u32) -> Option<StorageId> {
    format!("{}{number}", beginning(recovery)).parse().ok()
}

fn beginning(recovery: RecoveryId) -> String {
    format!("tenwords-{recovery}-")
}
