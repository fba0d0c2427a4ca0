//! `DELETE /v1/boxes/{box_id}/recovery`: an operator closes the window. A machine that claimed it and
//! has not proven the words reads no more.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tenwords_protocol::id::BoxId;

use super::arm;
use crate::{
    app::App,
    body::Named,
    identity::OperatorCaller,
    refusal::Refusal,
    store::{Disarm, DisarmOutcome},
};

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
) -> Result<StatusCode, Refusal> {
    match app.store.perform(Disarm { box_id, actor: operator.actor(), now: app.now() }).await? {
        DisarmOutcome::Disarmed(_) => Ok(StatusCode::NO_CONTENT),
        DisarmOutcome::NoBox => Err(arm::no_box()),
    }
}
