//! `keeper`: which node of the cluster escrows for the box, and having another one do it.
//!
//! The word lies among what the nodes share, so that it holds without the hub, which is told. Another node than this
//! one is made the keeper only if the hub knows it as a node of the box: one without an agent would keep nothing.

use pbs_driver::pve::Node;
use serde::Serialize;
use tenwords_protocol::{nodes::NodeList, time::Timestamp, v1::V1};

use super::{Shared, is_same, name, of_cluster, share, take_up};
use crate::{
    exit::{Code, Outcome, Stop},
    hub::Hub,
    record::Record,
    settings::Configuration,
    show::harmless,
    sources,
    standing::Standing,
};

/// How it stands.
#[derive(Debug, Serialize)]
pub(crate) struct Keeper {
    v: V1,
    box_id: String,
    box_name: String,
    /// Absent as long as nothing is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    keeper: Option<String>,
    this_node: String,
    /// Whether this run has changed it.
    changed: bool,
    nodes: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// A node of the cluster.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// Whether it has an agent that belongs to the box; absent if the hub was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    joined: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
}

/// What both work on.
struct Ground<'c> {
    configuration: &'c Configuration,
    standing: Standing,
    node: Node,
    name: String,
    hub: Option<Hub>,
    list: Outcome<Option<NodeList>>,
}

/// `keeper`: shows it.
pub(crate) fn show(configuration: &Configuration) -> Outcome<Keeper> {
    let ground = Ground::look(configuration)?;
    let mut notes = Vec::new();
    let shared = match Shared::load(&ground.node) {
        Ok(shared) => shared,
        Err(stop) => {
            notes.push(stop.in_one_line());
            None
        }
    };
    if let Some(other) = shared.as_ref().filter(|shared| shared.box_id != ground.standing.facts().id) {
        return Err(other_box(other));
    }
    if shared.is_none() {
        notes.push(
            "nothing is shared with the cluster's other nodes: the next ceremony does it, or `tenwords-agent keeper` with \
             the name of the node that has held it, there"
                .to_owned(),
        );
    }
    ground.result(shared.map(|shared| shared.keeper), false, notes)
}

/// `keeper NODE`: has that node escrow from now on.
pub(crate) fn move_to(configuration: &Configuration, to: &str) -> Outcome<Keeper> {
    let ground = Ground::look(configuration)?;
    let of_cluster = ground.of_cluster()?;
    let Some(to) = of_cluster.iter().find(|name| is_same(name, to)).cloned() else {
        return Err(Stop::new(Code::Usage, format!("this cluster has no node {}", harmless(to, 64)))
            .remedy(format!("one of these: {}", of_cluster.join(", "))));
    };
    let mut notes = Vec::new();
    let own = Record::load(configuration)?.filter(|own| own.box_id == ground.standing.facts().id);
    let shared = match Shared::load(&ground.node) {
        // What is damaged is written anew by a node that has the whole of it.
        Err(stop) if own.is_some() && to == ground.name => {
            notes.push(stop.in_one_line());
            None
        }
        shared => shared?,
    };
    if let Some(other) = shared.as_ref().filter(|shared| shared.box_id != ground.standing.facts().id) {
        return Err(other_box(other));
    }
    let former = shared.as_ref().map(|shared| shared.keeper.clone());
    if to == ground.name {
        ground.here(shared.as_ref(), own)?;
    } else {
        ground.there(shared.as_ref(), own, &to)?;
    }
    let changed = former.as_deref() != Some(to.as_str());
    ground.tell(&to, &mut notes);
    ground.result(Some(to), changed, notes)
}

fn other_box(other: &Shared) -> Stop {
    let name = harmless(&other.box_name, 64);
    Stop::new(Code::Preflight, format!("this cluster is box {name} ({}), and this machine is not of it", other.box_id))
        .remedy("`tenwords-agent join` makes it a node of that box")
}

impl<'c> Ground<'c> {
    fn look(configuration: &'c Configuration) -> Outcome<Self> {
        let standing = Standing::required(configuration)?;
        let node = sources::node(&configuration.settings)?.ok_or_else(|| {
            Stop::new(Code::Preflight, "there is no Proxmox VE on this machine, so its box has no other node")
                .remedy("nothing is to be done: it escrows by itself")
        })?;
        let name = name(&node)?;
        let hub = standing.identity().map(|identity| identity.connect(configuration)).transpose()?;
        let of = standing.facts().id;
        let list = hub.as_ref().map(|hub| hub.nodes(of)).transpose().map_err(Stop::from);
        Ok(Self { configuration, standing, node, name, hub, list })
    }

    fn of_cluster(&self) -> Outcome<Vec<String>> {
        of_cluster(&self.node).map(|nodes| nodes.into_iter().collect())
    }

    /// This node takes over, with everything that a keeper needs.
    fn here(&self, shared: Option<&Shared>, own: Option<Record>) -> Outcome<()> {
        let of = self.standing.facts();
        if let (Some(shared), Some(hub)) = (shared, &self.hub) {
            take_up(self.configuration, shared, hub)?;
        }
        let own = Record::load(self.configuration)?.filter(|own| own.box_id == of.id).or(own);
        let is_whole = |own: &Record| {
            shared.is_none_or(|shared| {
                own.root_sha256 == shared.record.root_sha256 || own.sequence > shared.record.sequence
            })
        };
        match own.filter(is_whole) {
            Some(own) => share(self.configuration, &of, &own).map(drop),
            None => Err(Stop::new(Code::Preflight, "this node does not have the newest ceremony").remedy(
                "hold one here (`tenwords-agent escrow create`), with the customer: the node on which it is held escrows",
            )),
        }
    }

    /// Another node does.
    fn there(&self, shared: Option<&Shared>, own: Option<Record>, to: &str) -> Outcome<()> {
        let list = match &self.list {
            Ok(list) => list.as_ref(),
            Err(stop) => {
                return Err(Stop::new(
                    Code::Unreachable,
                    format!("the hub was not asked whether {to} belongs to the box: {stop}"),
                )
                .remedy(format!("run `tenwords-agent keeper {to}` on {to} itself, which needs no hub")));
            }
        };
        if !list.is_some_and(|list| list.nodes.iter().any(|node| is_same(node.hostname.as_str(), to))) {
            return Err(Stop::new(Code::Preflight, format!("{to} has no agent that belongs to this box")).remedy(
                format!("first `tenwords-agent join` on {to}; `tenwords-agent join --for {to}` here lets it in"),
            ));
        }
        let of = self.standing.facts();
        // The one that is to go on with a ceremony has to hear of it.
        if let Some(own) = own
            && shared.is_none_or(|shared| own.sequence > shared.record.sequence)
        {
            share(self.configuration, &of, &own)?;
        }
        let is_other = |there: &mut Shared| std::mem::replace(&mut there.keeper, to.to_owned()) != to;
        match Shared::change(&self.node, of.id, is_other)? {
            true => Ok(()),
            false => Err(Stop::new(
                Code::Preflight,
                "nothing is shared yet, and this node has no ceremony that it could share",
            )
            .remedy("run the same on the node that has held the last ceremony, or hold one")),
        }
    }

    /// The hub is told; it hears of it once more from the keeper itself.
    fn tell(&self, to: &str, notes: &mut Vec<String>) {
        let (Some(hub), Ok(Some(list))) = (&self.hub, &self.list) else {
            if self.hub.is_some() {
                notes.push("the hub was not told, and hears of it with that node's next report".to_owned());
            }
            return;
        };
        let own = self.standing.identity().filter(|_| to == self.name).map(|identity| identity.node_id);
        let there = || list.nodes.iter().find(|node| is_same(node.hostname.as_str(), to)).map(|node| node.node_id);
        let Some(node_id) = own.or_else(there) else { return };
        if let Err(error) = hub.keeper(self.standing.facts().id, node_id) {
            notes.push(format!("the hub was not told, and hears of it with that node's next report: {error}"));
        }
    }

    fn result(self, keeper: Option<String>, changed: bool, mut notes: Vec<String>) -> Outcome<Keeper> {
        let of = self.standing.facts();
        let own = self.standing.identity().map(|identity| identity.node_id);
        let list = match &self.list {
            Ok(list) => list.as_ref(),
            Err(stop) => {
                notes.push(format!("the hub was not asked: {stop}"));
                None
            }
        };
        let row = |name: String| {
            let is_it = |node: &&tenwords_protocol::nodes::NodeState| match name == self.name {
                true => Some(node.node_id) == own,
                false => is_same(node.hostname.as_str(), &name),
            };
            let there = list.and_then(|list| list.nodes.iter().find(is_it));
            Row { joined: list.map(|_| there.is_some()), last_seen: there.and_then(|node| node.last_seen), name }
        };
        let nodes = self.of_cluster()?.into_iter().map(row).collect();
        Ok(Keeper {
            v: V1,
            box_id: of.id.to_string(),
            box_name: harmless(&of.name, 64),
            keeper,
            this_node: self.name,
            changed,
            nodes,
            notes,
        })
    }
}

impl Keeper {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![match (&self.keeper, self.changed) {
            (Some(keeper), true) => {
                format!("From now on {keeper} escrows for box {} ({}).", self.box_name, self.box_id)
            }
            (Some(keeper), false) => format!("{keeper} escrows for box {} ({}).", self.box_name, self.box_id),
            (None, _) => format!("Box {} ({}) has no keeper yet.", self.box_name, self.box_id),
        }];
        for row in &self.nodes {
            let joined = match (row.joined, &row.last_seen) {
                (Some(true), Some(seen)) => format!("belongs to the box, heard of at {seen}"),
                (Some(true), None) => "belongs to the box".to_owned(),
                (Some(false), _) => format!(
                    "has no agent of the box: `tenwords-agent join` on it, `tenwords-agent join --for {}` here",
                    row.name
                ),
                (None, _) => "the hub was not asked".to_owned(),
            };
            let here = if row.name == self.this_node { " (this node)" } else { "" };
            lines.push(format!("  {}{here}: {joined}", harmless(&row.name, 64)));
        }
        lines.extend(self.notes.iter().map(|note| format!("  note: {}", harmless(note, 400))));
        lines
    }
}
