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

use pbs_driver::pve::Node;
use serde::{Deserialize, Serialize};
use tenwords_protocol::{id::BoxId, json, v1::V1};

pub(crate) use self::{
    join::{Offer, join, let_in, offer, ticket},
    keeper::{move_to, show},
    nodes::{Nodes, ask as ask_nodes},
    shared::{Shared, file, share},
    take_up::take_up,
};
use crate::{durable, exit::Outcome, settings::Configuration, sources};

const SEEN: &str = "cluster.json";
const LIMIT: u64 = 4096;

/// What this machine is to its box.
#[derive(Debug)]
pub(crate) enum Role {
    /// Nothing is shared: it does for its box what is to be done.
    Alone,
    /// It escrows for the box.
    Keeper,
    /// Another node does. What they share is absent if it cannot be read now.
    Member { keeper: String, shared: Option<Box<Shared>> },
    /// The cluster that it has joined is another box; until it joins that one too, it does for its own as before.
    Stranger,
}

/// What was seen last of what they share: a member does not become a second keeper because a file cannot be read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    v: V1,
    box_id: BoxId,
    keeper: String,
    is_keeper: bool,
}

impl Role {
    /// Of this machine, as a node of this box.
    pub(crate) fn of(configuration: &Configuration, of: BoxId) -> Outcome<Self> {
        let Some(node) = sources::node(&configuration.settings)? else { return Ok(Self::Alone) };
        let with_name = |shared: Shared| name(&node).map(|name| (shared, name));
        let found = Shared::load(&node).and_then(|shared| shared.map(with_name).transpose());
        match found {
            Ok(Some((shared, _))) if shared.box_id != of => Ok(Self::Stranger),
            Ok(Some((shared, name))) => {
                let is_keeper = shared.keeper == name;
                remember(configuration, &shared, is_keeper);
                Ok(match is_keeper {
                    true => Self::Keeper,
                    false => Self::Member { keeper: shared.keeper.clone(), shared: Some(Box::new(shared)) },
                })
            }
            Ok(None) => Ok(Self::last_seen(configuration, of)),
            Err(stop) => {
                tracing::warn!("{}", stop.in_one_line());
                Ok(Self::last_seen(configuration, of))
            }
        }
    }

    fn last_seen(configuration: &Configuration, of: BoxId) -> Self {
        let text = durable::read_limited(&configuration.state(SEEN), LIMIT).ok();
        match text.and_then(|text| json::from_slice::<Seen>(&text).ok()).filter(|seen| seen.box_id == of) {
            Some(Seen { is_keeper: false, keeper, .. }) => Self::Member { keeper, shared: None },
            Some(_) => Self::Keeper,
            None => Self::Alone,
        }
    }

    /// Whether this machine brings the box's escrow up to date, and speaks for the box.
    pub(crate) fn escrows(&self) -> bool {
        !matches!(self, Self::Member { .. })
    }
}

fn remember(configuration: &Configuration, shared: &Shared, is_keeper: bool) {
    let seen = Seen { v: V1, box_id: shared.box_id, keeper: shared.keeper.clone(), is_keeper };
    let Ok(text) = json::to_vec(&seen) else { return };
    if durable::read_limited(&configuration.state(SEEN), LIMIT).is_ok_and(|there| there == text) {
        return;
    }
    if let Err(error) = durable::replace("cluster-seen", &configuration.state(SEEN), 0o600, &text) {
        tracing::warn!(%error, "which node escrows cannot be written down");
    }
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
