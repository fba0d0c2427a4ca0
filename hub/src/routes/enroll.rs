//! `POST /v1/enroll`: a node joins its box with a ticket.

use std::sync::Arc;

use axum::extract::State;
use tenwords_protocol::{
    bytes::Base64,
    enroll::{EnrollReply, EnrollRequest},
    id::BoxId,
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
    store::{self, Enroll, EnrollOutcome, Entry, Found, Purpose},
};

/// Somebody else may enrol the same host between our look and the act.
const TRIES: usize = 3;

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
    // A host that the box has had already is the same node again.
    let mut known = app.store.node_called(box_id, &hostname).await?;
    for _ in 0..TRIES {
        let node_id = known.unwrap_or_else(chance::node_id);
        let issued = app.box_ca().issue_node(&key, box_id, node_id, NODE_LIFETIME, now)?;
        let act = Enroll { ticket_hash: ticket_hash.clone(), hostname: hostname.clone(), issued, known, now };
        match app.store.perform(act).await? {
            EnrollOutcome::Refused(why, box_id) => {
                return Err(claim::refuse(&app, &caller, "enroll", why, box_id).await);
            }
            EnrollOutcome::Lives(box_id) => {
                caller.forgive(&app);
                return Err(lives(&app, &caller, box_id, &hostname).await);
            }
            EnrollOutcome::NoRoom => {
                caller.forgive(&app);
                return Err(Refusal::saying(
                    ProblemCode::Conflict,
                    "the box has 64 nodes: ask the operator to take out those that are gone (`tenwords box remove-node`)",
                ));
            }
            EnrollOutcome::OtherNode(found) => known = found,
            EnrollOutcome::Enrolled { box_id, box_name, node_id, der } => {
                caller.forgive(&app);
                return Ok(Json(EnrollReply {
                    v: V1,
                    box_id,
                    box_name,
                    node_id,
                    certificate: Base64(der),
                    server_ca: Base64(app.home.server_ca().certificate().to_vec()),
                }));
            }
        }
    }
    Err(Refusal::saying(ProblemCode::Unavailable, "this host is just enrolling from elsewhere: try again"))
}

/// The host is a node that lives, and the ticket is not for installing it anew.
async fn lives(app: &App, caller: &TicketCaller, box_id: BoxId, hostname: &str) -> Refusal {
    let entry = Entry {
        time: app.now(),
        actor: "anonymous".to_owned(),
        action: "enroll.refused",
        box_id: Some(box_id),
        detail: format!("from {}: host {hostname} is a node whose certificate holds", caller.address),
    };
    app.note(&format!("enroll {}", caller.address), entry).await;
    Refusal::saying(
        ProblemCode::Conflict,
        "the box has a node of this name, and its certificate holds. If it was installed anew, the operator's \
         `tenwords box ticket NAME --reinstall HOST` gives a ticket for it; another machine needs another name",
    )
}

pub(super) fn hostname(text: &str) -> Result<String, Refusal> {
    let wrong = || Refusal::saying(ProblemCode::BadRequest, "a host name has letters, digits, dots and hyphens");
    store::hostname(text).ok_or_else(wrong)
}
