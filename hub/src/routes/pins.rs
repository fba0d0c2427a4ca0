//! `POST /v1/pins`: an operator sends every box a new list of who may sign. `GET /v1/pins` and
//! `GET /v1/boxes/{box_id}/pins`: all that were sent, to operators and to a box or its recovery. The hub
//! judges none of them.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tenwords_protocol::{
    bounded::List,
    orders::{PinsList, PinsRequest},
    problem::ProblemCode,
    v1::V1,
};

use crate::{
    app::App,
    body::Json,
    identity::{OperatorCaller, Reader},
    refusal::Refusal,
    store::{AddPins, AddPinsOutcome},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Json(PinsRequest { pins, .. }): Json<PinsRequest>,
) -> Result<StatusCode, Refusal> {
    match app.store.perform(AddPins { pins, operator: operator.name.clone(), now: app.now() }).await? {
        AddPinsOutcome::Added => Ok(StatusCode::CREATED),
        AddPinsOutcome::Known => Ok(StatusCode::OK),
        AddPinsOutcome::TooMany => Err(Refusal::saying(
            ProblemCode::RateLimited,
            "256 statements are kept, and none is ever removed: carry this one to the boxes as a file",
        )),
    }
}

pub(super) async fn get(State(app): State<Arc<App>>, _caller: Reader) -> Result<Json<PinsList>, Refusal> {
    all(&app).await
}

pub(super) async fn get_by_operator(
    State(app): State<Arc<App>>,
    _operator: OperatorCaller,
) -> Result<Json<PinsList>, Refusal> {
    all(&app).await
}

async fn all(app: &App) -> Result<Json<PinsList>, Refusal> {
    Ok(Json(PinsList { v: V1, pins: List::cut(app.store.pins().await?).0 }))
}
