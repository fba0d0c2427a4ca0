//! `POST /v1/pins`: an operator sends every box a new list of who may sign. `GET /v1/pins` and
//! `GET /v1/boxes/{box_id}/pins`: all that were sent, to operators and to a box or its recovery.
//! `DELETE /v1/pins/{sha256}`: an operator has one listed no more. The hub judges none of them.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tenwords_protocol::{
    bounded::List,
    hash::Sha256,
    orders::{PinsList, PinsRequest},
    problem::ProblemCode,
    v1::V1,
};

use crate::{
    app::App,
    body::{Json, Named},
    identity::{OperatorCaller, Reader},
    refusal::Refusal,
    store::{AddPins, AddPinsOutcome, EndPins, EndPinsOutcome},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Json(PinsRequest { pins, .. }): Json<PinsRequest>,
) -> Result<StatusCode, Refusal> {
    let too_many = |why: &str| Err(Refusal::saying(ProblemCode::RateLimited, why));
    match app.store.perform(AddPins { pins, operator: operator.name.clone(), now: app.now() }).await? {
        AddPinsOutcome::Added => Ok(StatusCode::CREATED),
        AddPinsOutcome::Known => Ok(StatusCode::OK),
        AddPinsOutcome::TooMany => too_many(
            "256 statements are listed: end those that no box needs (`tenwords pins end`), or carry this one to the \
             boxes as a file",
        ),
        AddPinsOutcome::TooManyEver => too_many(
            "16384 statements were sent to this hub, and it keeps them all: carry this one to the boxes as a file",
        ),
        AddPinsOutcome::TooManyToday { retry_after } => {
            let why = "16 statements are taken in a day (UTC): carry this one to the boxes as a file if it cannot wait";
            Err(Refusal::later(ProblemCode::RateLimited, why, retry_after))
        }
    }
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Named(sha256): Named<Sha256>,
) -> Result<StatusCode, Refusal> {
    match app.store.perform(EndPins { sha256, operator: operator.name.clone(), now: app.now() }).await? {
        EndPinsOutcome::Ended | EndPinsOutcome::Known => Ok(StatusCode::NO_CONTENT),
        EndPinsOutcome::NoPins => Err(Refusal::saying(ProblemCode::NotFound, "the hub has no such statement")),
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
