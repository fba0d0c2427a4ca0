//! `POST /v1/boxes/{box_id}/orders/{order}/outcome`: a box says what came of its order.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tenwords_protocol::{hash::Sha256, orders::OutcomeRequest, problem::ProblemCode};

use super::orders::no_order;
use crate::{
    app::App,
    body::{Json, Named},
    identity::Writer,
    refusal::Refusal,
    store::{Tell, TellOutcome},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: Writer,
    Named(order): Named<Sha256>,
    Json(OutcomeRequest { outcome, said, .. }): Json<OutcomeRequest>,
) -> Result<StatusCode, Refusal> {
    let act = Tell {
        order,
        outcome,
        said,
        serial: caller.serial.clone(),
        node_id: caller.node_id,
        box_id: caller.box_id,
        now: app.now(),
    };
    match app.store.perform(act).await? {
        TellOutcome::Told | TellOutcome::Known => Ok(StatusCode::NO_CONTENT),
        TellOutcome::NotTheBox => Err(Refusal::new(ProblemCode::CertificateRevoked)),
        TellOutcome::NoOrder => Err(no_order()),
        TellOutcome::Ended => Err(Refusal::saying(ProblemCode::Outdated, "this order is over already")),
        TellOutcome::TooMany => Err(Refusal::saying(
            ProblemCode::RateLimited,
            "so much was said of this order: what is still taken is that it was done, failed, or is withdrawn",
        )),
    }
}
