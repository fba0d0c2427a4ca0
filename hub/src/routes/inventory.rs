//! `POST /v1/boxes/{box_id}/versions/{number}/inventory`: a box says what it has, once for a version that
//! it has stored. `GET /v1/boxes/{box_id}/inventory`: the last that it said, to the box, its recovery and
//! operators.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{
    holdings::{InventoryReply, InventoryStored},
    id::BoxId,
    problem::ProblemCode,
    v1::V1,
};

use super::{arm::no_box, versions::Number};
use crate::{
    app::App,
    body::{Inventory, Json, Named},
    identity::{OperatorCaller, Reader, Writer},
    refusal::Refusal,
    store::{Inventoried, SendInventory},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: Writer,
    Named(Number(version)): Named<Number>,
    Inventory(inventory): Inventory,
) -> Result<Response, Refusal> {
    let act = SendInventory {
        inventory,
        version,
        serial: caller.serial.clone(),
        box_id: caller.box_id,
        actor: caller.actor(),
        now: app.now(),
    };
    let status = match app.store.perform(act).await? {
        Inventoried::Stored => StatusCode::CREATED,
        Inventoried::Known => StatusCode::OK,
        Inventoried::NotTheBox => return Err(Refusal::new(ProblemCode::CertificateRevoked)),
        Inventoried::NoVersion => {
            return Err(Refusal::saying(ProblemCode::NotFound, "the box has no such version"));
        }
        Inventoried::Other => {
            return Err(Refusal::saying(
                ProblemCode::Conflict,
                "another inventory is kept with that version: the next ceremony's version takes a new one",
            ));
        }
    };
    Ok((status, Json(InventoryStored { v: V1, version })).into_response())
}

pub(super) async fn get(State(app): State<Arc<App>>, caller: Reader) -> Result<Json<InventoryReply>, Refusal> {
    app.store.inventory(caller.box_id).await?.map(Json).ok_or_else(none)
}

pub(super) async fn get_by_operator(
    State(app): State<Arc<App>>,
    _operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
) -> Result<Json<InventoryReply>, Refusal> {
    match app.store.inventory(box_id).await? {
        Some(found) => Ok(Json(found)),
        None if app.store.has_box(box_id).await? => Err(none()),
        None => Err(no_box()),
    }
}

fn none() -> Refusal {
    Refusal::saying(ProblemCode::NotFound, "the box has not said yet what it has: it does so after each ceremony")
}
