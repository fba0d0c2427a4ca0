//! The nodes of the cluster, held beside those that the hub knows: who escrows there, who has not joined, and whether
//! the keeper still speaks.

use std::{collections::BTreeSet, time::Duration};

use tenwords_protocol::{id::NodeId, nodes::NodeList};

use super::{Role, is_same, name};
use crate::{exit::Outcome, hub::Hub, identity::Identity, settings::Configuration, sources};

/// A keeper reports every quarter of an hour; one that was not heard for so long, while this node was, is silent.
const SILENT: Duration = Duration::from_secs(3 * 3600);

/// What is known of them.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    /// The hub's id of the node that escrows.
    pub(crate) keeper: Option<NodeId>,
    /// The keeper's name, if the hub has not heard of it for long.
    pub(crate) silent: Option<String>,
    /// Nodes of the cluster without an agent that belongs to the box, as the keeper sees it.
    pub(crate) not_joined: BTreeSet<String>,
}

/// Asks the hub, of a cluster; nothing of a single machine. A hub that was told of another keeper is told of this one.
pub(crate) fn ask(
    configuration: &Configuration,
    role: &Role,
    hub: &Hub,
    identity: &Identity,
) -> Outcome<Option<Nodes>> {
    let keeper = match role {
        Role::Alone | Role::Stranger => return Ok(None),
        Role::Keeper(_) | Role::Unshared => None,
        Role::Member(member) => Some(member.keeper.as_str()),
    };
    let list = hub.nodes(identity.box_id)?;
    let Some(keeper) = keeper else {
        if list.keeper != Some(identity.node_id) {
            hub.keeper(identity.box_id, identity.node_id)?;
        }
        let not_joined = not_joined(configuration, identity, &list)?;
        return Ok(Some(Nodes { keeper: Some(identity.node_id), silent: None, not_joined }));
    };
    Ok(Some(of_member(keeper, identity.node_id, &list)))
}

fn of_member(keeper: &str, own: NodeId, list: &NodeList) -> Nodes {
    let nodes = || list.nodes.iter();
    // One that came by a recovery has no name at the hub until it has reported, and one that was enrolled under the
    // machine's name may have another one there.
    let by_id = || nodes().find(|node| Some(node.node_id) == list.keeper && node.node_id != own);
    let there = nodes().find(|node| is_same(node.hostname.as_str(), keeper)).or_else(by_id);
    // Both times are the hub's: it has just heard of this node.
    let heard = nodes().find(|node| node.node_id == own).and_then(|node| node.last_seen);
    let last = there.and_then(|node| node.last_seen);
    let is_silent = match (heard, last) {
        (Some(heard), Some(last)) => heard.since(last) > SILENT,
        (_, None) => true,
        (None, Some(_)) => false,
    };
    Nodes {
        keeper: there.map(|node| node.node_id),
        silent: is_silent.then(|| keeper.to_owned()),
        not_joined: BTreeSet::new(),
    }
}

fn not_joined(configuration: &Configuration, identity: &Identity, list: &NodeList) -> Outcome<BTreeSet<String>> {
    let Some(node) = sources::node(&configuration.settings)? else { return Ok(BTreeSet::new()) };
    let own = name(&node)?;
    let of_cluster = node.nodes().map_err(|error| sources::stop_of_pve(&error, "the cluster's nodes are not known"))?;
    let joined = |name: &str| {
        name == own
            || list.nodes.iter().any(|node| node.node_id != identity.node_id && is_same(node.hostname.as_str(), name))
    };
    Ok(of_cluster.into_iter().flatten().filter(|name| !joined(name)).collect())
}

#[cfg(test)]
mod tests {
    use tenwords_protocol::{
        bounded::{List, Text},
        nodes::NodeState,
        time::Timestamp,
        v1::V1,
    };

    use super::*;

    #[test]
    fn a_keeper_is_silent_by_the_hubs_clock_and_only_while_this_node_is_heard() -> Result<(), Box<dyn std::error::Error>>
    {
        let id = |n: u8| -> Result<NodeId, Box<dyn std::error::Error>> {
            Ok(format!("00000000-0000-4000-8000-0000000000{n:02}").parse()?)
        };
        let at = |hours: i64| Timestamp::from_unix(1_790_000_000 + hours * 3600);
        let node = |n: u8, hostname: &str, seen: Option<i64>| -> Result<NodeState, Box<dyn std::error::Error>> {
            Ok(NodeState {
                node_id: id(n)?,
                hostname: Text::cut(hostname),
                enrolled_at: at(0)?,
                certificate_expires_at: at(9000)?,
                last_seen: seen.map(at).transpose()?,
            })
        };
        for (keeper_seen, own_seen, expected) in [
            (Some(10), Some(12), false),
            (Some(10), Some(14), true),
            // Its clock is not asked; the hub was away for both.
            (Some(10), Some(10), false),
            (Some(10), None, false),
            (None, Some(10), true),
        ] {
            let nodes = vec![node(1, "pve1.example", keeper_seen)?, node(2, "pve2", own_seen)?];
            let list = NodeList { v: V1, keeper: None, nodes: List::cut(nodes).0 };
            let found = of_member("PVE1", id(2)?, &list);
            assert_eq!(found.silent.is_some(), expected, "{keeper_seen:?} {own_seen:?}");
            assert_eq!(found.keeper, Some(id(1)?));
            assert!(of_member("pve9", id(2)?, &list).silent.is_some(), "one that the hub does not know");
            let of = |keeper| NodeList { v: V1, keeper, nodes: list.nodes.clone() };
            // By the name that it has there, or by what it has told the hub.
            let renamed = of_member("pve9", id(2)?, &of(Some(id(1)?)));
            assert_eq!((renamed.silent.is_some(), renamed.keeper), (expected, Some(id(1)?)));
            assert!(of_member("pve9", id(2)?, &of(Some(id(2)?))).silent.is_some(), "this node is not the other");
        }
        Ok(())
    }
}
