//! `POST /v1/enroll`: a node joins its box with a ticket.

use std::sync::Arc;

use axum::extract::State;
use tenwords_protocol::{
    bytes::Base64,
    enroll::{EnrollReply, EnrollRequest},
    problem::ProblemCode,
    v1::V1,
};

use super::claim;
use crate::{
    app::App,
    authority::{NODE_LIFETIME, RequestedKey},
    body::Json,
    chance,
    identity::TicketCaller,
    refusal::Refusal,
    store::{Enroll, EnrollOutcome, Found, Purpose},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: TicketCaller,
    Json(request): Json<EnrollRequest>,
) -> Result<Json<EnrollReply>, Refusal> {
    let now = app.now();
    let hostname = hostname(&request.hostname)?;
    let key = RequestedKey::from_request(&request.csr.0).map_err(claim::bad_request)?;
    let ticket_hash = app.home.secret().of_ticket(&request.ticket);
    let found = app.store.find_ticket(&ticket_hash, Purpose::Enroll, key.spki_sha256(), now).await?;
    let box_id = match found {
        Found::Refused(why, box_id) => return Err(claim::refuse(&app, &caller, "enroll", why, box_id).await),
        Found::Open(ticket) | Found::Again(ticket, ..) => ticket.box_id,
    };
    let issued = app.box_ca().issue_node(&key, box_id, chance::node_id(), NODE_LIFETIME, now)?;
    match app.store.perform(Enroll { ticket_hash, hostname, issued, now }).await? {
        EnrollOutcome::Refused(why, box_id) => Err(claim::refuse(&app, &caller, "enroll", why, box_id).await),
        EnrollOutcome::Enrolled { box_id, box_name, node_id, der } => {
            caller.forgive(&app);
            Ok(Json(EnrollReply {
                v: V1,
                box_id,
                box_name,
                node_id,
                certificate: Base64(der),
                server_ca: Base64(app.home.server_ca().certificate().to_vec()),
            }))
        }
    }
}

/// Shown, never believed; still, it is text.
fn hostname(text: &str) -> Result<String, Refusal> {
    let fits = !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Refusal::saying(ProblemCode::BadRequest, "a host name has letters, digits, dots and hyphens"))
    }
}
