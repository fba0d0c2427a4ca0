//! `tenwords box remove-node NAME NODE`

use serde::Serialize;
use tenwords_protocol::{
    id::{BoxId, NodeId},
    nodes::NodeState,
    v1::V1,
};

use super::{Desk, ask, called};
use crate::{cli::RemoveNode, failure::Failure, show::clean};

#[derive(Serialize)]
struct Removed {
    v: V1,
    box_id: BoxId,
    node_id: NodeId,
}

pub(super) async fn run(desk: &Desk, remove: &RemoveNode) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&remove.which.name)?;
    let name = called(&map, id);
    let hub = desk.hub()?;
    let boxes = hub.boxes().await?;
    let nodes = boxes.iter().find(|summary| summary.box_id == id).map(|summary| &*summary.nodes).unwrap_or_default();
    let node = find(nodes, &remove.node, &name)?;
    let host = clean(node.hostname.as_str());
    if !remove.yes {
        if nodes.len() == 1 {
            desk.warn(&format!("{name} has no other node: without one it escrows nothing"));
        }
        ask::yes(&format!("Take {host} ({}) out of {name}? It can do nothing for the box any more.", node.node_id))?;
    }
    hub.remove_node(id, node.node_id).await?;
    desk.print_json(&Removed { v: V1, box_id: id, node_id: node.node_id })?;
    desk.print(&format!("{host} ({}) is no node of {name} any more.\n", node.node_id))
}

/// By its id, or by its host name if one alone has it.
fn find<'n>(nodes: &'n [NodeState], typed: &str, name: &str) -> Result<&'n NodeState, Failure> {
    let is_it = |node: &&NodeState| node.node_id.to_string() == typed || node.hostname.as_str() == typed;
    let mut found = nodes.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => {
            let what = format!("{name} has no node {:?}", clean(typed));
            Err(Failure::usage("not_found", what, "`tenwords box show` has its nodes"))
        }
        (Some(_), Some(_)) => {
            let what = format!("{name} has several nodes of the name {:?}", clean(typed));
            Err(Failure::usage("not_one", what, "give the node's id, as `tenwords box show` has it"))
        }
    }
}
