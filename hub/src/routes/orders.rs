//! `POST /v1/boxes/{box_id}/orders`: a box asks. `GET /v1/orders[?all=true]`: what waits for an operator, of
//! all boxes. `GET /v1/boxes/{box_id}/orders/{order}`: one of them, as it stands.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{
    hash::Sha256,
    order::MAX_ORDER_BYTES,
    orders::{AskRequest, Asked, OrderList, WaitingOrder},
    problem::ProblemCode,
    v1::V1,
};

use super::arm::no_box;
use crate::{
    app::App,
    body::{Json, OfBox},
    identity::{OperatorCaller, Writer},
    refusal::Refusal,
    store::{Ask, AskOutcome, Entry},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: Writer,
    Json(AskRequest { order, expires_at, .. }): Json<AskRequest>,
) -> Result<Response, Refusal> {
    if order.0.len() > MAX_ORDER_BYTES {
        return Err(Refusal::saying(ProblemCode::TooLarge, format!("{MAX_ORDER_BYTES} bytes are an order's limit")));
    }
    let now = app.now();
    let act = Ask {
        text: order.0,
        expires_at,
        serial: caller.serial.clone(),
        node_id: caller.node_id,
        box_id: caller.box_id,
        now,
    };
    let (status, order) = match app.store.perform(act).await? {
        AskOutcome::Asked(order) => {
            app.counters.orders.add();
            (StatusCode::CREATED, order)
        }
        AskOutcome::Known(order) => (StatusCode::OK, order),
        AskOutcome::NotTheBox => return Err(Refusal::new(ProblemCode::CertificateRevoked)),
        AskOutcome::NotSoLong => {
            let why =
                format!("an order waits until some time within the next 7 days, and by the hub's clock it is {now}");
            return Err(Refusal::saying(ProblemCode::BadRequest, why));
        }
        AskOutcome::TooManyOpen { retry_after } => {
            note(&app, &caller, "too many wait already").await;
            let why = "64 orders of one machine wait at the same time: withdraw those that nobody needs";
            return Err(Refusal::later(ProblemCode::RateLimited, why, retry_after));
        }
        AskOutcome::TooManyToday { retry_after } => {
            note(&app, &caller, "the day's orders are used up").await;
            let why = "200 orders of one machine are taken in a day (UTC)";
            return Err(Refusal::later(ProblemCode::RateLimited, why, retry_after));
        }
    };
    Ok((status, Json(Asked { v: V1, order })).into_response())
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    _operator: OperatorCaller,
    RawQuery(query): RawQuery,
) -> Result<Json<OrderList>, Refusal> {
    let all = match query.as_deref() {
        None | Some("" | "all=false") => false,
        Some("all=true") => true,
        Some(_) => {
            return Err(Refusal::saying(ProblemCode::BadRequest, "the list takes `all=true` and nothing else"));
        }
    };
    Ok(Json(app.store.orders(all, app.now()).await?))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    _operator: OperatorCaller,
    OfBox(box_id, order): OfBox<Sha256>,
) -> Result<Json<WaitingOrder>, Refusal> {
    match app.store.order(box_id, order, app.now()).await? {
        Some(found) => Ok(Json(found)),
        None if app.store.has_box(box_id).await? => Err(no_order()),
        None => Err(no_box()),
    }
}

pub(super) fn no_order() -> Refusal {
    Refusal::saying(ProblemCode::NotFound, "the box has no such order")
}

async fn note(app: &App, caller: &Writer, detail: &str) {
    app.counters.orders_refused.add();
    let entry = Entry {
        time: app.now(),
        actor: caller.actor(),
        action: "order.refused",
        box_id: Some(caller.box_id),
        detail: detail.to_owned(),
    };
    app.note(&caller.serial, entry).await;
}
