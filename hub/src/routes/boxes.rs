//! `POST /v1/boxes` adds a box and gives its enrolment ticket; `GET /v1/boxes` lists them.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{
    boxes::{AddBoxRequest, BoxList, TicketForms, TicketReply},
    id::BoxId,
    problem::ProblemCode,
    ticket::Ticket,
    time::Timestamp,
    v1::V1,
};

use crate::{
    app::App,
    body::Json,
    identity::OperatorCaller,
    refusal::Refusal,
    store::{AddBox, AddBoxOutcome},
};

/// How long an enrolment ticket is good.
const ENROLMENT: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Json(request): Json<AddBoxRequest>,
) -> Result<Response, Refusal> {
    let AddBoxRequest { box_id, name, .. } = request;
    if !is_name(&name) {
        return Err(Refusal::saying(
            ProblemCode::BadRequest,
            "a box's name has 1 to 63 letters, digits, dots, hyphens and underscores",
        ));
    }
    let now = app.now();
    let (ticket, kept) = app.new_ticket(now.plus(ENROLMENT));
    let expires_at = kept.expires_at;
    let act = AddBox { box_id, name, ticket: kept, actor: operator.actor(), now };
    match app.store.perform(act).await? {
        AddBoxOutcome::Added => Ok((StatusCode::CREATED, shown(box_id, &ticket, expires_at)).into_response()),
        AddBoxOutcome::Exists => Err(Refusal::saying(
            ProblemCode::Conflict,
            "a box with this name or id exists: choose another name, or look at `tenwords box list`",
        )),
    }
}

pub(super) async fn get(State(app): State<Arc<App>>, _operator: OperatorCaller) -> Result<Json<BoxList>, Refusal> {
    Ok(Json(BoxList { v: V1, boxes: app.store.boxes().await? }))
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
