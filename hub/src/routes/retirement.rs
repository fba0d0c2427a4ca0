//! `POST /v1/boxes/{box_id}/retirement`: an operator says that a box is no more. `DELETE` of it: that it is one
//! again. Neither deletes anything; what does, once the days that were stated are over, is the hub itself (`standing.rs`).

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tenwords_protocol::{
    boxes::{KEEP_DAYS, RetireRequest, ReviveRequest},
    id::BoxId,
    problem::ProblemCode,
};

use super::arm::{no_box, reason};
use crate::{
    app::App,
    body::{Json, Named},
    identity::OperatorCaller,
    refusal::Refusal,
    store::{Retire, RetireOutcome, Revive},
};

/// A hundred years; whoever wants longer keeps the hub's backups.
const LONGEST: u32 = 36_500;

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
    Json(RetireRequest { reason: why, keep_days, .. }): Json<RetireRequest>,
) -> Result<StatusCode, Refusal> {
    reason(&why)?;
    if !(KEEP_DAYS.0..=LONGEST).contains(&keep_days) {
        return Err(Refusal::saying(ProblemCode::BadRequest, "the history is kept for 30 days at least"));
    }
    let act = Retire { box_id, reason: why, keep_days, actor: operator.actor(), now: app.now() };
    match app.store.perform(act).await? {
        RetireOutcome::Done => Ok(StatusCode::CREATED),
        RetireOutcome::Known | RetireOutcome::Over => Ok(StatusCode::OK),
        RetireOutcome::NoBox => Err(no_box()),
    }
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
    Json(ReviveRequest { reason: why, .. }): Json<ReviveRequest>,
) -> Result<StatusCode, Refusal> {
    reason(&why)?;
    let act = Revive { box_id, reason: why, actor: operator.actor(), now: app.now() };
    match app.store.perform(act).await? {
        RetireOutcome::Done | RetireOutcome::Known => Ok(StatusCode::NO_CONTENT),
        RetireOutcome::Over => Err(Refusal::saying(
            ProblemCode::BoxRetired,
            "the days for which its history was kept are over, and it was let go: add the machine as another box",
        )),
        RetireOutcome::NoBox => Err(no_box()),
    }
}
