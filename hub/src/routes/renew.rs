//! `POST /v1/boxes/{box_id}/certificate`: a node gets its next certificate. An ended one is good enough to ask,
//! for a while: a box that slept for 91 days must come back by itself.

use std::sync::Arc;

use axum::extract::State;
use tenwords_protocol::{
    bytes::Base64,
    problem::ProblemCode,
    renew::{RenewReply, RenewRequest},
    v1::V1,
};

use super::claim;
use crate::{
    app::App,
    authority::{NODE_LIFETIME, RequestedKey},
    body::Json,
    identity::Renewer,
    refusal::Refusal,
    store::{Entry, Renew, RenewOutcome},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: Renewer,
    Json(RenewRequest { csr, .. }): Json<RenewRequest>,
) -> Result<Json<RenewReply>, Refusal> {
    let now = app.now();
    let key = RequestedKey::from_request(&csr.0).map_err(claim::bad_request)?;
    let issued = app.box_ca().issue_node(&key, caller.box_id, caller.node_id, NODE_LIFETIME, now)?;
    match app.store.perform(Renew { serial: caller.serial.clone(), issued, now }).await? {
        RenewOutcome::Renewed { der, expires_at } => {
            app.counters.renewals.add();
            Ok(Json(RenewReply {
                v: V1,
                certificate: Base64(der),
                server_ca: Base64(app.home.server_ca().certificate().to_vec()),
                expires_at,
            }))
        }
        RenewOutcome::NotTheBox => Err(Refusal::new(ProblemCode::CertificateRevoked)),
        RenewOutcome::TooMany { retry_after } => {
            app.counters.renewals_refused.add();
            let entry = Entry {
                time: now,
                actor: caller.actor(),
                action: "renewal.refused",
                box_id: Some(caller.box_id),
                detail: "the day's certificates are used up".to_owned(),
            };
            app.note(&caller.serial, entry).await;
            let why = "8 certificates of a node are given in 24 hours";
            Err(Refusal::later(ProblemCode::RateLimited, why, retry_after))
        }
    }
}
