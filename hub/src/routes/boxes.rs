//! `POST /v1/boxes` adds a box and gives its enrolment ticket; `GET /v1/boxes` lists them; `PATCH
//! /v1/boxes/{box_id}` says whose one is.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{
    bounded::Text,
    boxes::{AddBoxRequest, BoxList, ChangeBoxRequest, TicketForms, TicketReply},
    id::BoxId,
    problem::ProblemCode,
    ticket::Ticket,
    time::Timestamp,
    v1::V1,
};

use super::{arm::no_box, tickets};
use crate::{
    app::App,
    body::{Json, Named},
    identity::OperatorCaller,
    refusal::Refusal,
    standing,
    store::{AddBox, AddBoxOutcome, ChangeBox, RetireOutcome},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Json(request): Json<AddBoxRequest>,
) -> Result<Response, Refusal> {
    let AddBoxRequest { box_id, name, customer, for_days, .. } = request;
    if !is_name(&name) {
        return Err(Refusal::saying(
            ProblemCode::BadRequest,
            "a box's name has 1 to 63 letters, digits, dots, hyphens and underscores",
        ));
    }
    let customer = customer.as_ref().map(named_customer).transpose()?.flatten();
    let now = app.now();
    let (ticket, kept) = app.new_ticket(now.plus(tickets::lifetime(for_days)?));
    let expires_at = kept.expires_at;
    let act = AddBox { box_id, name, customer, ticket: kept, actor: operator.actor(), now };
    match app.store.perform(act).await? {
        AddBoxOutcome::Added => Ok((StatusCode::CREATED, shown(box_id, &ticket, expires_at)).into_response()),
        AddBoxOutcome::Exists => Err(Refusal::saying(
            ProblemCode::Conflict,
            "a box with this name or id exists: choose another name, or look at `tenwords box list`",
        )),
    }
}

pub(super) async fn get(State(app): State<Arc<App>>, _operator: OperatorCaller) -> Result<Json<BoxList>, Refusal> {
    Ok(Json(BoxList { v: V1, boxes: standing::all(&app).await? }))
}

pub(super) async fn patch(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
    Json(request): Json<ChangeBoxRequest>,
) -> Result<StatusCode, Refusal> {
    let Some(customer) = &request.customer else {
        return Err(Refusal::saying(ProblemCode::BadRequest, "nothing is to be changed: say whose the box is"));
    };
    let act = ChangeBox { box_id, customer: named_customer(customer)?, actor: operator.actor(), now: app.now() };
    match app.store.perform(act).await? {
        RetireOutcome::Done | RetireOutcome::Known | RetireOutcome::Over => Ok(StatusCode::NO_CONTENT),
        RetireOutcome::NoBox => Err(no_box()),
    }
}

/// A text in one line, without anything that is not seen; none if it is empty.
fn named_customer(text: &Text<100>) -> Result<Option<String>, Refusal> {
    let text = text.as_str();
    if text.trim() != text || text.contains(char::is_control) {
        return Err(Refusal::saying(
            ProblemCode::BadRequest,
            "a customer is named in one line of at most 100 characters, without blanks around it",
        ));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// The one answer that carries a ticket.
pub(super) fn shown(box_id: BoxId, ticket: &Ticket, expires_at: Timestamp) -> Json<TicketReply> {
    let forms = TicketForms {
        paste: ticket.expose_pasted().as_str().to_owned(),
        typed: ticket.expose_typed().as_str().to_owned(),
    };
    Json(TicketReply { v: V1, box_id, ticket: forms, expires_at })
}

fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}
