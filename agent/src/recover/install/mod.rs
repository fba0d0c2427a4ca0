//! Step 7: puts keys, tokens and sources in place; never over something else.
//!
//! A source goes back to where it was kept: a storage of PVE into `storage.cfg` ([`storage`]), any
//! other one into the agent's settings ([`settings`]). Nothing of the root is written to its own
//! path: small files go to `recovered-files/` for a person to compare ([`files`]). A key file that
//! holds another key is not replaced without an order ([`other`]).

mod files;
pub(super) mod jobs;
mod other;
pub(super) mod scratch;
mod settings;
mod storage;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use pbs_driver::pve::{Node, StorageCfg, StorageId};
use tenwords_escrow::{
    gate::GatedKey,
    root::{KeptIn, Root, Source},
    secret::TokenSecret,
};
use tenwords_protocol::{directive::Name, fingerprint::Fingerprint};

pub(super) use files::keep_files;
pub(crate) use other::{OtherKey, Replacing};

use super::{connect::Tokens, report::Missing};
use crate::{exit::Outcome, settings::Configuration, sources};

const LIMIT: u64 = 1 << 20;

/// What was put in place, and what was left alone.
#[derive(Default)]
pub(crate) struct Installed {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) notes: Vec<String>,
    /// The storages of PVE through which guests can be restored, by the source's name and the key that they have.
    pub(crate) storages: BTreeMap<(Name, Fingerprint), StorageId>,
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

/// What a root's sources are put in place from.
pub(crate) struct Of<'o> {
    pub(crate) configuration: &'o Configuration,
    pub(crate) node: Option<&'o Node>,
    pub(crate) root: &'o Root,
    pub(crate) keys: &'o BTreeMap<Fingerprint, Arc<GatedKey>>,
    /// Those that are known to work.
    pub(crate) tokens: &'o Tokens,
}

impl Of<'_> {
    /// Every source whose key is held.
    fn items(&self) -> Vec<ToInstall<'_>> {
        let facts = self.root.facts();
        let sources = facts.trust.sources.iter();
        let items = sources.filter_map(|source| {
            let Source { id, key_fingerprint, .. } = source;
            Some(ToInstall {
                source,
                key: self.keys.get(key_fingerprint)?,
                token: self.tokens.get(id).or_else(|| facts.secrets.tokens.get(id)),
                restore_paths: sources::configured_paths(&facts.trust, id),
            })
        });
        items.collect()
    }

    /// Where another key stands in the place of a source's own, and nothing else is in the way: what only an
    /// order lets be replaced.
    pub(crate) fn other_keys(&self) -> Vec<OtherKey> {
        let other = |item: ToInstall<'_>| match (item.source.kept_in, self.node) {
            (KeptIn::StorageCfg, Some(node)) => storage::other_key(node, &item),
            _ => settings::other_key(self.configuration, &item),
        };
        self.items().into_iter().filter_map(other).collect()
    }

    /// Installs all of it, or these sources only.
    pub(crate) fn put(&self, only: Option<&BTreeSet<Name>>, replacing: &Replacing<'_>) -> Installed {
        let mut items = self.items();
        items.retain(|item| only.is_none_or(|only| only.contains(&item.source.id)));
        let lost = self.root.facts().secrets.files.iter().find(|file| file.path.as_str().ends_with("/storage.cfg"));
        let lost = StorageCfg::parse(lost.map_or(&[], |file| file.data.expose_bytes()));
        install(self.configuration, self.node, &lost, &items, replacing)
    }
}

/// Installs every source. What cannot go in is reported, and the others go on: a restore of archives
/// needs none of it. Without a node, a storage of PVE goes into the settings too. `lost` is the lost
/// box's own `storage.cfg`, as far as the root has it.
fn install(
    configuration: &Configuration,
    node: Option<&Node>,
    lost: &StorageCfg,
    sources: &[ToInstall<'_>],
    replacing: &Replacing<'_>,
) -> Installed {
    let mut installed = Installed::default();
    let mut for_settings = Vec::new();
    for item in sources {
        match (item.source.kept_in, node) {
            (KeptIn::StorageCfg, Some(node)) => storage::put(&mut installed, node, lost, item, replacing),
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
    settings::put(&mut installed, configuration, &for_settings, replacing);
    installed
}

impl Installed {
    fn report(&mut self, result: Outcome<()>, what: impl FnOnce() -> String) {
        if let Err(stop) = result {
            self.missing.push(Missing::of(what(), stop));
        }
    }

    fn replaced(&mut self, path: &std::path::Path, kept: &std::path::Path) {
        self.notes.push(format!(
            "{} holds the escrow's key now, as it was ordered; what stood there is kept at {}",
            path.display(),
            kept.display()
        ));
    }

    /// What stood for the time of a restore is gone.
    pub(crate) fn forget_scratch(&mut self) {
        self.storages.retain(|_, id| !scratch::is_one(id.as_str()));
    }

    /// Takes in what was put in place later.
    pub(crate) fn add(&mut self, later: Self) {
        let Self { paths, missing, notes, storages, keys, tokens } = later;
        self.paths.extend(paths);
        self.missing.extend(missing);
        self.notes.extend(notes);
        self.storages.extend(storages);
        self.keys.extend(keys);
        self.tokens.extend(tokens);
    }
}
