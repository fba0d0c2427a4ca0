//! What the nodes of a cluster share of their box: its newest ceremony, who escrows, whose orders count, and the
//! box key. Below `/etc/pve/priv`, so root's alone on each of them, as PVE's own keys are.
//!
//! The box key comes first and what names it last: where the two do not fit, somebody is just writing them.

use std::path::PathBuf;

use pbs_driver::pve::{Node, ours};
use serde::{Deserialize, Serialize};
use tenwords_escrow::{keys::BoxKey, root::Operators};
use tenwords_protocol::{id::BoxId, json, v1::V1};

use super::{Seen, name};
use crate::{
    enroll,
    exit::{Code, OrStop as _, Outcome, Stop},
    record::Record,
    settings::Configuration,
    show::harmless,
    sources,
    standing::BoxFacts,
};

const BOX: &str = "box.json";
const BOX_KEY: &str = "box.key";

/// All of it but the box key. Where a later agent has written what this one does not understand, this node stays what it
/// was, and says so.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shared {
    v: V1,
    pub(crate) box_id: BoxId,
    pub(crate) box_name: String,
    /// The node that escrows, by the name that Proxmox VE has for it.
    pub(crate) keeper: String,
    /// The newest ceremony, without what is one node's own.
    pub(crate) record: Record,
    /// Whose orders count, as the node knew that wrote this.
    pub(crate) operators: Operators,
}

/// Where it lies.
pub(crate) fn file(node: &Node) -> PathBuf {
    ours::path(node, BOX)
}

/// Shares a ceremony that this node has, and says that it escrows from now on; the other node that did before, if one
/// did. Without Proxmox VE there is nobody to share it with.
pub(crate) fn share(configuration: &Configuration, of: &BoxFacts, record: &Record) -> Outcome<Option<String>> {
    let Some(node) = sources::node(&configuration.settings)? else { return Ok(None) };
    let held = ours::lock(&node).map_err(|error| sources::stop_of_pve(&error, &cannot()))?;
    // What cannot be read is written anew; so is what a single machine was before it became this box.
    let former = Shared::load(&node).ok().flatten();
    if let Some(other) = former.as_ref().filter(|former| former.box_id != of.id && node.is_clustered()) {
        let name = harmless(&other.box_name, 64);
        let what = format!("this cluster is box {name} ({}), and this machine is of another one", other.box_id);
        let folder = node.file(ours::FOLDER);
        return Err(Stop::new(Code::Preflight, what).remedy(format!(
            "`tenwords-agent join --leave {}` makes it a node of that box; if the cluster is to be box {} from now on, \
             remove {}",
            of.name,
            of.name,
            folder.display()
        )));
    }
    let pinned = enroll::pinned_operators(configuration)?;
    // Another node may have taken a newer list, which this one has not heard of.
    let newer = former.as_ref().filter(|former| former.box_id == of.id).map(|former| &former.operators);
    let newer = newer.filter(|operators| operators.generation > pinned.generation).cloned();
    let shared = Shared {
        v: V1,
        box_id: of.id,
        box_name: of.name.clone(),
        keeper: name(&node)?,
        record: Record { kit: None, ..record.clone() },
        operators: newer.unwrap_or(pinned),
    };
    let key = record.box_key(configuration)?.expose_openssh().or_stop(Code::Internal, cannot)?;
    shared.put(&held, &[(BOX_KEY, key.as_bytes())])?;
    // Somebody has said so here: whatever was known before counts no more.
    Seen::of(&shared, true).keep(configuration);
    let former = former.filter(|former| former.box_id == of.id);
    Ok(former.map(|former| former.keeper).filter(|keeper| *keeper != shared.keeper))
}

/// Shares the operators' list that this node has pinned, if that is a newer one than is shared. Whatever else is shared
/// stays: another node may have held a newer ceremony.
pub(crate) fn share_operators(configuration: &Configuration, of: BoxId) -> Outcome<()> {
    let Some(node) = sources::node(&configuration.settings)? else { return Ok(()) };
    if Shared::load(&node)?.is_none() {
        return Ok(());
    }
    let pinned = enroll::pinned_operators(configuration)?;
    Shared::change(&node, of, |there| {
        let is_newer = pinned.generation > there.operators.generation;
        if is_newer {
            there.operators = pinned;
        }
        is_newer
    })
    .map(drop)
}

impl Shared {
    /// What is shared here, by whichever node.
    pub(crate) fn load(node: &Node) -> Outcome<Option<Self>> {
        let what = format!("{} cannot be read", ours::path(node, BOX).display());
        let text = ours::get(node, BOX).map_err(|error| sources::stop_of_pve(&error, &what))?;
        text.map(|text| json::from_slice(&text)).transpose().map_err(|error| {
            Stop::new(Code::Preflight, what)
                .remedy(
                    "if the agents of the cluster's nodes are of different versions, upgrade this one; else, on the node that \
                     is to escrow, `tenwords-agent keeper` with that node's name writes it anew",
                )
                .because(error)
        })
    }

    /// The box key of the ceremony that is shared.
    pub(super) fn box_key(&self, node: &Node) -> Outcome<BoxKey> {
        let what = format!("the box key in {} is not the shared ceremony's", ours::path(node, BOX_KEY).display());
        let text = ours::get(node, BOX_KEY).map_err(|error| sources::stop_of_pve(&error, &what))?;
        let text = text.as_deref().and_then(|text| std::str::from_utf8(text).ok());
        let key = text.and_then(|text| BoxKey::from_openssh(text).ok());
        key.filter(|key| self.record.box_key.as_deref() == Some(key.public().to_string().as_str())).ok_or_else(|| {
            Stop::new(Code::Preflight, what).remedy(format!(
                "a node may just be writing it: try again; if it stays so, `tenwords-agent keeper {}` on that node",
                self.keeper
            ))
        })
    }

    /// Changes what is shared of this box under the lock, if `change` says that it is another now; whether anything is
    /// shared of it.
    pub(super) fn change(node: &Node, of: BoxId, change: impl FnOnce(&mut Self) -> bool) -> Outcome<bool> {
        let held = ours::lock(node).map_err(|error| sources::stop_of_pve(&error, &cannot()))?;
        let Some(mut there) = Self::load(node)?.filter(|there| there.box_id == of) else { return Ok(false) };
        if change(&mut there) {
            there.put(&held, &[])?;
        }
        Ok(true)
    }

    fn put(&self, held: &ours::Held<'_>, first: &[(&str, &[u8])]) -> Outcome<()> {
        let text = json::to_vec(self).or_stop(Code::Internal, cannot)?;
        let files: Vec<(&str, &[u8])> = first.iter().copied().chain([(BOX, text.as_slice())]).collect();
        held.put(&files).map_err(|error| sources::stop_of_pve(&error, &cannot()))
    }
}

fn cannot() -> String {
    "the cluster's other nodes cannot be told of the escrow".to_owned()
}
