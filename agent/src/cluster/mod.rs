//! A cluster is one box: one `/etc/pve`, so one set of keys, one code, one history. What its nodes share, which of
//! them escrows, and how another one joins.
//!
//! What they share is what the keeper of the box needs ([`shared`]). It lies beside PVE's own keys and is as open as
//! they are: to root of each node, and to nobody else. A ceremony writes it, on whichever node it is held, and that
//! node is the keeper from then on, until [`keeper`] moves it. The others take the newest ceremony up by themselves
//! ([`take_up()`]), so that each of them could be the keeper, and watch that the one that is does its work. Who the
//! keeper is, is the cluster's own word: the hub is told, and decides nothing.

mod join;
mod keeper;
mod nodes;
mod shared;
mod take_up;

use std::{collections::BTreeSet, num::NonZeroU64};

use pbs_driver::pve::Node;
use serde::{Deserialize, Serialize};
use tenwords_protocol::{hash::Sha256, id::BoxId, json, v1::V1};

pub(crate) use self::{
    join::{Offer, join, let_in, offer, ticket},
    keeper::{move_to, show},
    nodes::{Nodes, ask as ask_nodes},
    shared::{Shared, file, share, share_operators},
    take_up::take_up,
};
use crate::{
    durable,
    exit::{Code, Outcome, Stop},
    record::Record,
    settings::Configuration,
    show::harmless,
    sources,
};

const SEEN: &str = "cluster.json";
const LIMIT: u64 = 4096;

/// What this machine is to its box.
#[derive(Debug)]
pub(crate) enum Role {
    /// Nothing is shared: it does for its box what is to be done.
    Alone,
    /// It escrows for the box. What they share is absent if it cannot be read now.
    Keeper(Option<Box<Shared>>),
    /// It escrows, and has a newer ceremony than the one that is shared.
    Unshared,
    /// Another node does.
    Member(Member),
    /// The cluster that it has joined is another box; until it joins that one too, it does for its own as before.
    Stranger,
}

/// On a node that does not escrow.
#[derive(Debug)]
pub(crate) struct Member {
    /// Who does.
    pub(crate) keeper: String,
    /// That one is no node of this cluster: it was renamed, or taken out, or this one was.
    pub(crate) is_gone: bool,
    /// Absent if it cannot be read now.
    pub(crate) shared: Option<Box<Shared>>,
}

/// What was seen last of what they share: a member does not become a second keeper because a file cannot be read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    v: V1,
    box_id: BoxId,
    keeper: String,
    is_keeper: bool,
    /// The ceremony that was shared: one that is older was put back, and names nobody.
    root_sha256: Sha256,
    sequence: NonZeroU64,
}

impl Role {
    /// Of this machine, as a node of this box. Nothing is written by it: who looks holds no lock.
    pub(crate) fn of(configuration: &Configuration, of: BoxId) -> Outcome<Self> {
        let Some(node) = sources::node(&configuration.settings)? else { return Ok(Self::Alone) };
        let last_seen = || Self::last_seen(configuration, of, &node);
        let with_name = |shared: Shared| name(&node).map(|name| (shared, name));
        let found = Shared::load(&node).and_then(|shared| shared.map(with_name).transpose());
        match found {
            // A single machine that has become another box is that one.
            Ok(Some((shared, _))) if shared.box_id != of && !node.is_clustered() => Ok(Self::Alone),
            // A member of its own box does not become a second keeper of that.
            Ok(Some((shared, _))) if shared.box_id != of => Ok(match last_seen() {
                Self::Member(member) => Self::Member(member),
                _ => Self::Stranger,
            }),
            Ok(Some((shared, name))) => Ok(match newer(configuration, &shared)? {
                // It had this one from the others: what they share was set back, for all of them.
                Some(own) if Seen::load(configuration, of).is_some_and(|seen| seen.is_of_another(&own)) => last_seen(),
                Some(_) => Self::Unshared,
                // It knows of a newer one, and does not have it.
                None if Seen::load(configuration, of).is_some_and(|seen| seen.is_newer_than(&shared)) => last_seen(),
                None if shared.keeper == name => Self::Keeper(Some(Box::new(shared))),
                None => Self::Member(Member {
                    keeper: shared.keeper.clone(),
                    is_gone: is_gone(&node, &shared.keeper),
                    shared: Some(Box::new(shared)),
                }),
            }),
            Ok(None) => Ok(last_seen()),
            Err(stop) => {
                tracing::warn!("{}", stop.in_one_line());
                Ok(last_seen())
            }
        }
    }

    fn last_seen(configuration: &Configuration, of: BoxId, node: &Node) -> Self {
        match Seen::load(configuration, of) {
            Some(Seen { is_keeper: false, keeper, .. }) => {
                Self::Member(Member { is_gone: is_gone(node, &keeper), keeper, shared: None })
            }
            Some(_) => Self::Keeper(None),
            None => Self::Alone,
        }
    }

    /// Takes down who escrows, for when that cannot be read. The caller holds the lock.
    pub(crate) fn remember(&self, configuration: &Configuration) {
        let (shared, is_keeper) = match self {
            Self::Keeper(Some(shared)) => (shared, true),
            Self::Member(Member { shared: Some(shared), .. }) => (shared, false),
            _ => return,
        };
        Seen::of(shared, is_keeper).keep(configuration);
    }

    /// Whether this machine brings the box's escrow up to date, and speaks for the box.
    pub(crate) fn escrows(&self) -> bool {
        !matches!(self, Self::Member(_))
    }
}

impl Seen {
    fn of(shared: &Shared, is_keeper: bool) -> Self {
        let (box_id, keeper) = (shared.box_id, shared.keeper.clone());
        let Record { root_sha256, sequence, .. } = shared.record;
        Self { v: V1, box_id, keeper, is_keeper, root_sha256, sequence }
    }

    fn load(configuration: &Configuration, of: BoxId) -> Option<Self> {
        let text = durable::read_limited(&configuration.state(SEEN), LIMIT).ok()?;
        json::from_slice::<Self>(&text).ok().filter(|seen| seen.box_id == of)
    }

    /// Whether another node shared this ceremony, and escrowed by it.
    fn is_of_another(&self, own: &Record) -> bool {
        !self.is_keeper && self.root_sha256 == own.root_sha256
    }

    fn is_newer_than(&self, shared: &Shared) -> bool {
        self.sequence > shared.record.sequence
    }

    fn keep(&self, configuration: &Configuration) {
        let Ok(text) = json::to_vec(self) else { return };
        if durable::read_limited(&configuration.state(SEEN), LIMIT).is_ok_and(|there| there == text) {
            return;
        }
        if let Err(error) = durable::replace("cluster-seen", &configuration.state(SEEN), 0o600, &text) {
            tracing::warn!(%error, "which node escrows cannot be written down");
        }
    }
}

/// The ceremony of this node, if it is newer than the one that is shared.
fn newer(configuration: &Configuration, shared: &Shared) -> Outcome<Option<Record>> {
    let own = Record::load(configuration)?.filter(|own| own.box_id == shared.box_id);
    Ok(own.filter(|own| own.sequence > shared.record.sequence))
}

/// What somebody has to do so that the nodes are at one again, if anything: in a sentence, and the command.
pub(crate) fn at_odds(configuration: &Configuration, role: &Role) -> Option<(String, String)> {
    let own = || name(&sources::node(&configuration.settings).ok()??).ok();
    match role {
        Role::Unshared => Some((
            "the cluster's other nodes do not know of the newest ceremony, which this one has".to_owned(),
            format!("`tenwords-agent keeper {}` here, as soon as /etc/pve can be written", own()?),
        )),
        Role::Member(Member { keeper, is_gone: true, .. }) => Some((
            format!("{} escrows for this box, and is no node of this cluster: nobody does", harmless(keeper, 64)),
            format!(
                "`tenwords-agent keeper {}` here, if that node was renamed or is gone for good. If it was this one that was \
                 taken out of the cluster, it is another box from now on: put {} aside, then `tenwords-agent enroll` with a \
                 ticket for that",
                own()?,
                configuration.settings.state.display()
            ),
        )),
        _ => None,
    }
}

/// That the other nodes of a cluster know nothing of the escrow that this one has.
pub(crate) fn is_unshared(configuration: &Configuration) -> Option<String> {
    let node = sources::node(&configuration.settings).ok()??;
    if !node.is_clustered() || Shared::load(&node).ok()?.is_some() {
        return None;
    }
    let own = name(&node).ok()?;
    Some(format!(
        "the cluster's other nodes know nothing of this escrow yet: `tenwords-agent keeper {own}` here tells them"
    ))
}

fn is_gone(node: &Node, keeper: &str) -> bool {
    matches!(node.nodes(), Ok(Some(nodes)) if !nodes.contains(keeper))
}

/// Whether there is another node that could be asked; a cluster that does not say is one.
fn has_others(node: &Node) -> bool {
    node.nodes().ok().flatten().map_or_else(|| node.is_clustered(), |nodes| nodes.len() > 1)
}

/// The cluster's nodes, this one among them.
fn of_cluster(node: &Node) -> Outcome<BTreeSet<String>> {
    node.nodes().map_err(|error| sources::stop_of_pve(&error, "the cluster's nodes are not known"))?.ok_or_else(|| {
        Stop::new(
            Code::Preflight,
            "this node's cluster service is not running, so it does not know the cluster's nodes",
        )
        .remedy("see `pvecm status` and `systemctl status corosync`")
    })
}

/// This node's name, as Proxmox VE has it.
fn name(node: &Node) -> Outcome<String> {
    let what = "the cluster does not say which of its nodes this is";
    node.name().map_err(|error| sources::stop_of_pve(&error, what))
}

/// Two names of a node are the same without their domain.
fn is_same(one: &str, other: &str) -> bool {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    short(one) == short(other)
}
