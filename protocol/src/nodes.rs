//! The nodes of a box: who they are, which of them escrows, and how another one joins.
//!
//! `GET /v1/boxes/{box_id}/nodes`, `PUT /v1/boxes/{box_id}/keeper` and `POST /v1/boxes/{box_id}/tickets` by
//! a node of the box; `POST /v1/boxes/{box_id}/tickets` and `DELETE /v1/boxes/{box_id}/nodes/{node_id}` by an
//! operator.

use serde::{Deserialize, Serialize};

use crate::{
    bounded::{List, Text},
    id::NodeId,
    time::Timestamp,
    v1::V1,
};

/// Nodes of one box whose certificates are not revoked.
pub const MAX_NODES: usize = 64;
/// An enrolment ticket is good for so many days, at most.
pub const MAX_TICKET_DAYS: u32 = 30;

/// A machine that is a node of the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its id.
    pub node_id: NodeId,
    /// What it called itself when it enrolled; empty if it came by a recovery. Shown, never believed.
    pub hostname: Text<253>,
    /// When it enrolled first.
    pub enrolled_at: Timestamp,
    /// When the newest certificate that it has used ends. A node whose certificate has ended can do nothing
    /// but renew it.
    pub certificate_expires_at: Timestamp,
    /// When the hub last heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

/// `GET /v1/boxes/{box_id}/nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeList {
    /// Always 1.
    pub v: V1,
    /// The one that escrows, as the box says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<NodeId>,
    /// All of them, by when they enrolled.
    pub nodes: List<NodeState, MAX_NODES>,
}

/// `PUT /v1/boxes/{box_id}/keeper`: which node escrows from now on. A plain fact, to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeeperRequest {
    /// Always 1.
    pub v: V1,
    /// A node of the same box.
    pub node_id: NodeId,
}

/// An operator asks for an enrolment ticket of a box that exists: for another node, or for one that was
/// installed anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketRequest {
    /// Always 1.
    pub v: V1,
    /// For how many days, 1 to [`MAX_TICKET_DAYS`]; one if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_days: Option<u32>,
    /// The box's other enrolment tickets that nobody has used end.
    #[serde(default)]
    pub end_others: bool,
    /// A node that was installed anew: the ticket is good for a machine of this name alone, and takes that node's
    /// place although its certificate holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Text<253>>,
}

/// A node asks for an enrolment ticket with which a machine of this name joins the same box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// Always 1.
    pub v: V1,
    /// The machine's name: the ticket is good for no other.
    pub hostname: Text<253>,
}
