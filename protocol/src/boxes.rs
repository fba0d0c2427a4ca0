//! What operators ask and are told: boxes and recovery windows.

use std::{fmt, num::NonZeroU64};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    bounded::{List, Text},
    drill::Drills,
    id::{BoxId, NodeId},
    nodes::{MAX_NODES, NodeState},
    readiness::Readiness,
    time::Timestamp,
    v1::V1,
    version::StoredHeader,
};

/// The history of a retired box is kept for so many days, at least; and so many if nothing is said.
pub const KEEP_DAYS: (u32, u32) = (30, 400);

/// `POST /v1/boxes`. The id is made by the operator's command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddBoxRequest {
    /// Always 1.
    pub v: V1,
    /// The box's id.
    pub box_id: BoxId,
    /// What operators call it.
    pub name: String,
    /// Whose it is; absent if nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Text<100>>,
    /// For how many days the ticket is good, 1 to [`crate::nodes::MAX_TICKET_DAYS`]; one if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_days: Option<u32>,
}

/// `PATCH /v1/boxes/{box_id}`: changes what is said of a box. What is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeBoxRequest {
    /// Always 1.
    pub v: V1,
    /// Whose it is; empty for nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Text<100>>,
}

/// `POST /v1/boxes/{box_id}/retirement`: the box is no more. Its certificates and tickets are revoked; its
/// history is kept, and none of it is deleted before the days that are named here are over; then the hub lets it go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetireRequest {
    /// Always 1.
    pub v: V1,
    /// Why, for the audit.
    pub reason: String,
    /// For how many days the history is kept, at least.
    pub keep_days: u32,
}

/// `DELETE /v1/boxes/{box_id}/retirement`: the box is one again. No certificate comes back by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviveRequest {
    /// Always 1.
    pub v: V1,
    /// Why, for the audit.
    pub reason: String,
}

/// A ticket in both forms. Shown once.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct TicketForms {
    /// To paste.
    pub paste: String,
    /// To type.
    pub typed: String,
}

/// The answer to a new box and to `arm`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TicketReply {
    /// Always 1.
    pub v: V1,
    /// The box.
    pub box_id: BoxId,
    /// The ticket, shown once.
    pub ticket: TicketForms,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// `POST /v1/boxes/{box_id}/recovery`: opens a recovery window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmRequest {
    /// Always 1.
    pub v: V1,
    /// Why, for the audit.
    pub reason: String,
    /// How long the window stays open, 5 to 1440.
    pub minutes: u32,
    /// Practise: nothing is revoked.
    #[serde(default)]
    pub rehearsal: bool,
    /// The box was stolen: its certificates are revoked at once.
    #[serde(default)]
    pub stolen: bool,
    /// When the box was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<Timestamp>,
    /// Arm although the box was heard of within the hour.
    #[serde(default)]
    pub confirm_alive: bool,
}

/// `GET /v1/boxes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxList {
    /// Always 1.
    pub v: V1,
    /// All boxes, by name.
    pub boxes: Vec<BoxSummary>,
}

/// One box, as the hub sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxSummary {
    /// Its id.
    pub box_id: BoxId,
    /// What the hub calls it.
    pub name: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Text<100>>,
    /// When a node of it enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled_at: Option<Timestamp>,
    /// When the hub last heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// How many escrow versions it has.
    pub versions: u64,
    /// The newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<StoredHeader>,
    /// The open or last recovery window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryState>,
    /// The newest drill of each level; absent if there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drills: Option<Drills>,
    /// The node that escrows, as the box says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<NodeId>,
    /// Its nodes, by when they enrolled.
    #[serde(default, skip_serializing_if = "List::is_empty")]
    pub nodes: List<NodeState, MAX_NODES>,
    /// That it was retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Retirement>,
    /// How it stands, by everything that the hub knows; absent for a box that was retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Readiness>,
    /// Since when it is in that state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_state_since: Option<Timestamp>,
}

/// What was said when a box was retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Its history is kept for so many days, at least.
    pub keep_days: u32,
    /// When it was let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_go_at: Option<Timestamp>,
}

/// A recovery window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryState {
    /// Why it was opened.
    pub reason: String,
    /// When.
    pub armed_at: Timestamp,
    /// Until when a claim is taken.
    pub until: Timestamp,
    /// Practise.
    pub rehearsal: bool,
    /// The box was stolen.
    pub stolen: bool,
    /// Closed by an operator before it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disarmed_at: Option<Timestamp>,
    /// When a machine claimed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Timestamp>,
    /// When that machine proved that it had the ten words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<Timestamp>,
}

/// `GET /v1/boxes/{box_id}/versions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionList {
    /// Always 1.
    pub v: V1,
    /// Newest first.
    pub versions: Vec<StoredHeader>,
}

/// The answer to a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushReply {
    /// Always 1.
    pub v: V1,
    /// The hub's number for the version; an equal newest one keeps its number.
    pub number: NonZeroU64,
    /// When the hub acknowledged it.
    pub received_at: Timestamp,
}

impl fmt::Debug for TicketForms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketForms([redacted])")
    }
}
