//! The hub's queue: orders go there, answers come back. Which answer is good is not decided here.

use std::time::Duration;

use reqwest::Method;
use tenwords_protocol::{
    bounded::List,
    hash::Sha256,
    id::BoxId,
    json,
    orders::{AnswerList, AskRequest, Asked, LONGEST_WAIT, OutcomeRequest, PinsList},
};

use super::{Hub, HubError, REPLY_LIMIT, read};

/// A whole page of the largest answers, or every pins statement.
const LONG_REPLY: usize = 17 << 20;

impl Hub {
    /// Has an order wait for an operator. The same text again is the same order.
    pub(crate) fn ask_order(&self, box_id: BoxId, request: &AskRequest) -> Result<Asked, HubError> {
        self.post(&format!("/v1/boxes/{box_id}/orders"), request)
    }

    /// The answers after the one with number `after`. If there is none, the hub waits so long for one
    /// (at most [`LONGEST_WAIT`], well below what any call may take) and may then still have none.
    pub(crate) fn answers(&self, box_id: BoxId, after: u64, wait: Duration) -> Result<AnswerList, HubError> {
        let wait = wait.as_secs().min(LONGEST_WAIT);
        let path = format!("/v1/boxes/{box_id}/answers?after={after}&wait={wait}");
        let AnswerList { v, answers } = read(&self.call(Method::GET, &path, None, LONG_REPLY)?)?;
        // That they are later ones, and their order, is not left to the hub.
        let mut later: Vec<_> = answers.iter().filter(|answer| answer.number.get() > after).cloned().collect();
        later.sort_by_key(|answer| answer.number);
        Ok(AnswerList { v, answers: List::cut(later).0 })
    }

    /// Says what came of an order.
    pub(crate) fn outcome(&self, box_id: BoxId, order: Sha256, request: &OutcomeRequest) -> Result<(), HubError> {
        let body = json::to_vec(request).map_err(HubError::Answer)?;
        let path = format!("/v1/boxes/{box_id}/orders/{order}/outcome");
        self.call(Method::POST, &path, Some((body, "application/json")), REPLY_LIMIT).map(drop)
    }

    /// Every pins statement that the hub keeps, in its order. Which of them hold is the caller's to find out.
    pub(crate) fn pins(&self, box_id: BoxId) -> Result<PinsList, HubError> {
        read(&self.call(Method::GET, &format!("/v1/boxes/{box_id}/pins"), None, LONG_REPLY)?)
    }
}
