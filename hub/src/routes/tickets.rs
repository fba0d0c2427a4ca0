//! `POST /v1/boxes/{box_id}/tickets`: an enrolment ticket of a box that exists, for an operator or for a node of
//! it. What a node gets is good for one named machine and an hour.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{
    id::BoxId,
    nodes::{JoinRequest, MAX_TICKET_DAYS, TicketRequest},
    problem::ProblemCode,
};

use super::{
    arm::{no_box, retired},
    boxes,
    enroll::hostname,
};
use crate::{
    app::App,
    body::{Json, Named},
    identity::{OperatorCaller, Writer},
    refusal::Refusal,
    store::{Asker, Entry, GiveTicket, GiveTicketOutcome},
};

/// How long a ticket is good that a node has asked for.
const JOINING: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
    Json(request): Json<TicketRequest>,
) -> Result<Response, Refusal> {
    let TicketRequest { for_days, end_others, hostname: named, .. } = request;
    let named = named.map(|named| hostname(named.as_str())).transpose()?;
    let asker = Asker::Operator { actor: operator.actor(), end_others, hostname: named };
    give(&app, box_id, lifetime(for_days)?, asker).await
}

pub(super) async fn post_by_node(
    State(app): State<Arc<App>>,
    caller: Writer,
    Json(request): Json<JoinRequest>,
) -> Result<Response, Refusal> {
    let hostname = hostname(request.hostname.as_str())?;
    let asker = Asker::Node { serial: caller.serial.clone(), node_id: caller.node_id, hostname };
    let given = give(&app, caller.box_id, JOINING, asker).await;
    if given.is_err() {
        let entry = Entry {
            time: app.now(),
            actor: caller.actor(),
            action: "ticket.not-given",
            box_id: Some(caller.box_id),
            detail: "a node asked for an enrolment ticket and got none".to_owned(),
        };
        app.note(&caller.serial, entry).await;
    }
    given
}

async fn give(app: &App, box_id: BoxId, lifetime: Duration, asker: Asker) -> Result<Response, Refusal> {
    let now = app.now();
    let (ticket, kept) = app.new_ticket(now.plus(lifetime));
    let expires_at = kept.expires_at;
    match app.store.perform(GiveTicket { box_id, ticket: kept, asker, now }).await? {
        GiveTicketOutcome::Given => {
            Ok((StatusCode::CREATED, boxes::shown(box_id, &ticket, expires_at)).into_response())
        }
        GiveTicketOutcome::NoBox => Err(no_box()),
        GiveTicketOutcome::NotTheBox => Err(Refusal::new(ProblemCode::CertificateRevoked)),
        GiveTicketOutcome::Retired => Err(retired()),
        GiveTicketOutcome::TooManyOpen => Err(Refusal::saying(
            ProblemCode::Conflict,
            "64 enrolment tickets of this box wait for somebody: `tenwords box ticket NAME --end-others` ends them",
        )),
        GiveTicketOutcome::TooMany { retry_after } => {
            let why = "a box has 64 enrolment tickets of its own in 24 hours: ask the operator for one";
            Err(Refusal::later(ProblemCode::RateLimited, why, retry_after))
        }
    }
}

/// How long an operator's enrolment ticket is good.
pub(super) fn lifetime(for_days: Option<u32>) -> Result<Duration, Refusal> {
    match for_days.unwrap_or(1) {
        days @ 1..=MAX_TICKET_DAYS => Ok(DAY * days),
        _ => Err(Refusal::saying(ProblemCode::BadRequest, "an enrolment ticket is good for 1 to 30 days")),
    }
}
