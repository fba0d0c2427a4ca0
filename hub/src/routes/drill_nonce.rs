//! `POST /v1/boxes/{box_id}/drills/nonce`: a box is about to practise, and asks what to sign.

use std::sync::Arc;

use axum::extract::State;
use tenwords_protocol::{
    bytes::Base64Array,
    drill::{NonceReply, NonceRequest},
    problem::ProblemCode,
    v1::V1,
};

use crate::{
    app::App,
    body::Json,
    chance,
    identity::Writer,
    refusal::Refusal,
    store::{TakeNonce, TakeNonceOutcome},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: Writer,
    Json(NonceRequest { v: V1 }): Json<NonceRequest>,
) -> Result<Json<NonceReply>, Refusal> {
    let nonce = Base64Array(chance::bytes());
    let now = app.now();
    match app.store.perform(TakeNonce { nonce, serial: caller.serial.clone(), now }).await? {
        TakeNonceOutcome::Taken => Ok(Json(NonceReply { v: V1, nonce, hub_time: app.now() })),
        TakeNonceOutcome::NotTheBox => Err(Refusal::new(ProblemCode::CertificateRevoked)),
    }
}
