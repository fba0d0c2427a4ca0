//! `POST /v1/recovery/claim`: a new machine takes an armed box's recovery ticket, and gets a
//! certificate that may read this box's directive, versions and parts, and nothing else. A key that
//! has proven gets the box's certificate from it again: so a lost answer to the proof is no loss.

use std::sync::Arc;

use axum::extract::State;
use tenwords_protocol::{
    bytes::{Base64, Base64Array},
    id::BoxId,
    problem::ProblemCode,
    recovery::{ClaimReply, ClaimRequest},
    v1::V1,
};

use crate::{
    app::App,
    authority::{RECOVERY_LIFETIME, RequestError, RequestedKey},
    body::Json,
    chance,
    identity::TicketCaller,
    refusal::Refusal,
    store::{Claim, ClaimOutcome, Entry, Found, Purpose, TicketRefusal},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: TicketCaller,
    Json(request): Json<ClaimRequest>,
) -> Result<Json<ClaimReply>, Refusal> {
    let now = app.now();
    let key = RequestedKey::from_request(&request.csr.0).map_err(bad_request)?;
    let ticket_hash = app.home.secret().of_ticket(&request.ticket);
    let found = app.store.find_ticket(&ticket_hash, Purpose::Recover, key.spki_sha256(), now).await?;
    let box_id = match found {
        Found::Refused(why, box_id) => return Err(refuse(&app, &caller, "recovery.claim", why, box_id).await),
        Found::Open(ticket) | Found::Again(ticket, ..) => ticket.box_id,
    };
    let issued = app.box_ca().issue_node(&key, box_id, chance::node_id(), RECOVERY_LIFETIME, now)?;
    let nonce = Base64Array(chance::bytes());
    match app.store.perform(Claim { ticket_hash, issued, nonce, now }).await? {
        ClaimOutcome::Refused(why, box_id) => Err(refuse(&app, &caller, "recovery.claim", why, box_id).await),
        ClaimOutcome::Claimed { ticket, node_id, der, nonce } => {
            caller.forgive(&app);
            app.counters.claims.add();
            Ok(Json(ClaimReply {
                v: V1,
                box_id: ticket.box_id,
                box_name: ticket.box_name,
                node_id,
                certificate: Base64(der),
                server_ca: Base64(app.home.server_ca().certificate().to_vec()),
                rehearsal: ticket.rehearsal,
                nonce,
                hub_time: app.now(),
                lost_at: ticket.lost_at,
            }))
        }
    }
}

/// One refusal outside, its reason in the audit.
pub(super) async fn refuse(
    app: &App,
    caller: &TicketCaller,
    what: &str,
    why: TicketRefusal,
    box_id: Option<BoxId>,
) -> Refusal {
    app.counters.tickets_refused.add();
    let entry = Entry {
        time: app.now(),
        actor: "anonymous".to_owned(),
        action: "ticket.refused",
        box_id,
        detail: format!("{what} from {}: {why}", caller.address),
    };
    app.note(&format!("ticket {}", caller.address), entry).await;
    Refusal::ticket()
}

pub(super) fn bad_request(error: RequestError) -> Refusal {
    Refusal::saying(ProblemCode::BadRequest, error.to_string())
}
