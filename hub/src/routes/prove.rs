//! `POST /v1/recovery/prove`: the machine that claimed shows that somebody had the ten words, and
//! gets the box's certificate, over the key that it has.

use std::sync::Arc;

use axum::extract::State;
use tenwords_protocol::{bytes::Base64, problem::ProblemCode, recovery::ProveReply, v1::V1, words::WordsProof};

use crate::{
    app::App,
    authority::{NODE_LIFETIME, RequestedKey},
    body::Json,
    identity::BoxCaller,
    refusal::Refusal,
    store::{Entry, Prove, ProveOutcome},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: BoxCaller,
    Json(proof): Json<WordsProof>,
) -> Result<Json<ProveReply>, Refusal> {
    let now = app.now();
    let key = RequestedKey::of_certificate(&caller.der)?;
    let issued = app.box_ca().issue_node(&key, caller.box_id, caller.node_id, NODE_LIFETIME, now)?;
    let der = issued.der.clone();
    let act = Prove {
        proof,
        issued,
        serial: caller.serial.clone(),
        spki_sha256: caller.spki_sha256,
        box_id: caller.box_id,
        now,
    };
    let (is_box, revoked, certificate) = match app.store.perform(act).await? {
        ProveOutcome::IsBox { revoked } => (true, revoked, Some(Base64(der))),
        ProveOutcome::WasBox => (true, 0, Some(Base64(caller.der.clone()))),
        ProveOutcome::Rehearsed => (false, 0, None),
        ProveOutcome::Refused(why) => {
            app.counters.proofs_refused.add();
            let entry = Entry {
                time: now,
                actor: caller.actor(),
                action: "proof.refused",
                box_id: Some(caller.box_id),
                detail: format!("certificate {}: {why}", caller.serial),
            };
            app.note(&caller.serial, entry).await;
            return Err(Refusal::saying(
                ProblemCode::ProofRefused,
                "claim again for a new nonce, check the clock, and prove with the words of the version that was opened",
            ));
        }
    };
    app.counters.proofs.add();
    Ok(Json(ProveReply { v: V1, is_box, revoked, certificate }))
}
