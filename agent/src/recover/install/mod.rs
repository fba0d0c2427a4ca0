//! Step 7: puts keys, tokens and sources in place; never over something else.
//!
//! A source goes back to where it was kept: a storage of PVE into `storage.cfg` ([`storage`]), any
//! other one into the agent's settings ([`settings`]). Nothing of the root is written to its own
//! path: small files go to `recovered-files/` for a person to compare ([`files`]). A key file that
//! holds another key is not replaced without an order.

mod files;
pub(super) mod jobs;
pub(super) mod scratch;
mod settings;
mod storage;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use pbs_driver::pve::{Node, StorageCfg, StorageId};
use tenwords_escrow::{
    gate::GatedKey,
    root::{KeptIn, Root, Source},
    secret::TokenSecret,
};
use tenwords_protocol::{directive::Name, fingerprint::Fingerprint};

pub(super) use files::keep_files;

use super::{connect::Tokens, report::Missing};
use crate::{exit::Outcome, settings::Configuration, sources};

const LIMIT: u64 = 1 << 20;

/// What was put in place, and what was left alone.
#[derive(Default)]
pub(crate) struct Installed {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) notes: Vec<String>,
    /// The storages of PVE that are now the root's own, key and token included, by the source's name.
    pub(crate) storages: BTreeMap<Name, StorageId>,
    /// Where each source's own key lies now, and its token.
    pub(crate) keys: BTreeMap<Name, PathBuf>,
    pub(crate) tokens: BTreeMap<Name, PathBuf>,
}

/// One source with what belongs to it.
pub(crate) struct ToInstall<'a> {
    pub(crate) source: &'a Source,
    pub(crate) key: &'a GatedKey,
    pub(crate) token: Option<&'a TokenSecret>,
    pub(crate) restore_paths: BTreeMap<String, PathBuf>,
}

/// Installs every source of a root whose key is held, with the tokens that are known to work.
pub(crate) fn of_root(
    configuration: &Configuration,
    node: Option<&Node>,
    root: &Root,
    keys: &BTreeMap<Fingerprint, Arc<GatedKey>>,
    tokens: &Tokens,
) -> Installed {
    let facts = root.facts();
    let items: Vec<ToInstall<'_>> = facts
        .trust
        .sources
        .iter()
        .filter_map(|source| {
            Some(ToInstall {
                source,
                key: keys.get(&source.key_fingerprint)?,
                token: tokens.get(&source.id).or_else(|| facts.secrets.tokens.get(&source.id)),
                restore_paths: sources::configured_paths(&facts.trust, &source.id),
            })
        })
        .collect();
    let lost = facts.secrets.files.iter().find(|file| file.path.as_str().ends_with("/storage.cfg"));
    let lost = StorageCfg::parse(lost.map_or(&[], |file| file.data.expose_bytes()));
    install(configuration, node, &lost, &items)
}

/// Installs every source. What cannot go in is reported, and the others go on: a restore of archives
/// needs none of it. Without a node, a storage of PVE goes into the settings too. `lost` is the lost
/// box's own `storage.cfg`, as far as the root has it.
fn install(
    configuration: &Configuration,
    node: Option<&Node>,
    lost: &StorageCfg,
    sources: &[ToInstall<'_>],
) -> Installed {
    let mut installed = Installed::default();
    let mut for_settings = Vec::new();
    for item in sources {
        match (item.source.kept_in, node) {
            (KeptIn::StorageCfg, Some(node)) => storage::put(&mut installed, node, lost, item, None),
            (KeptIn::StorageCfg, None) => {
                installed.notes.push(format!(
                    "source {} was a storage of Proxmox VE, which is not on this machine: it is put into {}",
                    item.source.id,
                    configuration.path.display()
                ));
                for_settings.push(item);
            }
            (KeptIn::Settings, _) => for_settings.push(item),
        }
    }
    settings::put(&mut installed, configuration, &for_settings);
    installed
}

impl Installed {
    fn report(&mut self, result: Outcome<()>, what: impl FnOnce() -> String) {
        if let Err(stop) = result {
            self.missing.push(Missing::of(what(), stop));
        }
    }
}
