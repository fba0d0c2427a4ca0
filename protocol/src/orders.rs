//! How orders travel through the hub: bytes in a queue, answers that nobody there can judge.
//!
//! The hub reads the small header around an order and never the order itself; whether a signature is a
//! good one it cannot know. It keeps what was asked, what was answered and what the box says came of
//! it, in the order in which it came.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::{
    bounded::{List, Text},
    bytes::Base64,
    hash::Sha256,
    id::{BoxId, NodeId},
    json::{self, JsonError},
    operators::Pins,
    time::Timestamp,
    v1::V1,
};

/// Orders of one machine that wait at the same time, at most.
pub const MAX_OPEN: usize = 64;
/// Answers to one order, at most.
pub const MAX_ANSWERS: usize = 16;
/// Orders in one list, at most; what is left out is said.
pub const MAX_LISTED: usize = 256;
/// How long an order may wait, in seconds.
pub const LONGEST: u64 = 7 * 86_400;
/// How long an answer may be waited for in one request, in seconds.
pub const LONGEST_WAIT: u64 = 45;
/// Bytes of answers in one page, at most, as they are written.
pub const MAX_PAGE_BYTES: usize = 1 << 20;
/// Pins statements that a hub lists, at most.
pub const MAX_PINS: usize = 256;

/// `POST /v1/boxes/{box_id}/orders`: a box asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskRequest {
    /// Always 1.
    pub v: V1,
    /// The exact text of the order, which the hub does not read.
    pub order: Base64,
    /// Until when it waits.
    pub expires_at: Timestamp,
}

/// The answer: the order's id, the SHA-256 of its text. Asked again, the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Always 1.
    pub v: V1,
    /// Over the order's text.
    pub order: Sha256,
}

/// How an order stands at the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderState {
    /// Nobody has answered, or the box has refused every answer that came.
    Open,
    /// An answer waits for the box.
    Answered,
    /// The box says that it was done.
    Done,
    /// It is asked no more: the box says so, what it tried has failed, or the machine is the box no more.
    Withdrawn,
    /// Its time is over.
    Expired,
}

/// What the box says came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// An answer was refused; the order goes on waiting.
    Refused,
    /// A good answer was used up: what it let happen is being done.
    Used,
    /// It was done.
    Done,
    /// It was tried, and did not come to its end.
    Failed,
    /// The box asks no more, or the machine that asked is the box no more.
    Withdrawn,
}

/// `POST /v1/boxes/{box_id}/orders/{order}/outcome`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeRequest {
    /// Always 1.
    pub v: V1,
    /// What.
    pub outcome: OutcomeKind,
    /// In the box's words.
    pub said: Text<400>,
}

/// One order, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingOrder {
    /// Over the order's text.
    pub order: Sha256,
    /// The box that asked.
    pub box_id: BoxId,
    /// The machine that asked.
    pub node_id: NodeId,
    /// The exact text.
    pub text: Base64,
    /// When it came, by the hub's clock.
    pub asked_at: Timestamp,
    /// Until when it waits.
    pub expires_at: Timestamp,
    /// How it stands.
    pub state: OrderState,
    /// How many answers there were.
    pub answers: u64,
    /// What the box last said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What a box said, and when; or the hub, of an order whose machine is the box no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What.
    pub outcome: OutcomeKind,
    /// In the box's words, or the hub's.
    pub said: Text<400>,
    /// By the hub's clock.
    pub at: Timestamp,
}

/// `GET /v1/orders`: those that wait, of all boxes, the oldest first; with `?all=true` those that have
/// ended too, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderList {
    /// Always 1.
    pub v: V1,
    /// The orders.
    pub orders: List<WaitingOrder, MAX_LISTED>,
    /// How many more there are.
    pub left_out: u64,
}

/// `POST /v1/boxes/{box_id}/orders/{order}/answers`: an operator answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// Always 1.
    pub v: V1,
    /// SSHSIG armour over the order's text.
    pub signature: Text<8192>,
}

/// The answer to an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerStored {
    /// Always 1.
    pub v: V1,
    /// Its number among the box's answers.
    pub number: NonZeroU64,
}

/// `GET /v1/boxes/{box_id}/answers?after=N&wait=SECONDS`: the box's answers after the one with number
/// `N`; if there is none, the hub waits for one so long before it says that there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerList {
    /// Always 1.
    pub v: V1,
    /// In the order in which they came.
    pub answers: List<Answer, MAX_LISTED>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its number among the box's answers.
    pub number: NonZeroU64,
    /// The order that it is to.
    pub order: Sha256,
    /// SSHSIG armour, good or not.
    pub signature: Text<8192>,
}

/// `POST /v1/pins`: a pins statement for every box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinsRequest {
    /// Always 1.
    pub v: V1,
    /// The statement, signed.
    pub pins: Pins,
}

/// `GET /v1/pins` (operators) and `GET /v1/boxes/{box_id}/pins` (a box): every statement, in the order
/// in which they came, but those that an operator has ended. Which of them hold, each box finds out by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinsList {
    /// Always 1.
    pub v: V1,
    /// The statements.
    pub pins: List<Pins, MAX_PINS>,
}

/// By which a hub knows a statement with its signature, `DELETE /v1/pins/{sha256}`: over its text, as it
/// stands in a list. The same statement under another signature is another one.
///
/// # Errors
/// [`JsonError`] if it cannot be written as JSON.
pub fn pins_sha256(pins: &Pins) -> Result<Sha256, JsonError> {
    json::to_vec(pins).map(|text| Sha256::of(&text))
}
