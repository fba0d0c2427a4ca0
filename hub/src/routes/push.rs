//! `POST /v1/boxes/{box_id}/versions`: a box adds an escrow version. The hub compares the parts with
//! the header's sizes and hashes, and looks at nothing in them.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{boxes::PushReply, problem::ProblemCode, v1::V1};

use crate::{
    app::App,
    body::{Json, Pushed},
    identity::Writer,
    refusal::Refusal,
    store::{Entry, Push, PushOutcome, TRESPASSED},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: Writer,
    Pushed(bundle): Pushed,
) -> Result<Response, Refusal> {
    let now = app.now();
    if bundle.header().facts().box_id != caller.box_id {
        app.counters.forbidden.add();
        app.counters.foreign.add();
        let detail = "the header names another box than the certificate".to_owned();
        note(&app, &caller, TRESPASSED, &detail).await;
        return Err(Refusal::saying(ProblemCode::Forbidden, detail));
    }
    let act = Push::new(bundle, caller.serial.clone(), caller.actor(), now)?;
    let (status, number, received_at) = match app.store.perform(act).await? {
        PushOutcome::Stored(number, received_at) => {
            app.counters.versions_stored.add();
            (StatusCode::CREATED, number, received_at)
        }
        PushOutcome::Known(number, received_at) => {
            app.counters.versions_known.add();
            (StatusCode::OK, number, received_at)
        }
        PushOutcome::NotTheBox => return Err(Refusal::new(ProblemCode::CertificateRevoked)),
        PushOutcome::TooMany { retry_after } => {
            app.counters.versions_refused.add();
            note(&app, &caller, "version.refused", "the day's versions are used up").await;
            return Err(Refusal::later(
                ProblemCode::RateLimited,
                "24 versions of a kind are taken in 24 hours: keep the newest state and push it then",
                retry_after,
            ));
        }
    };
    Ok((status, Json(PushReply { v: V1, number, received_at })).into_response())
}

async fn note(app: &App, caller: &Writer, action: &'static str, detail: &str) {
    let entry = Entry {
        time: app.now(),
        actor: caller.actor(),
        action,
        box_id: Some(caller.box_id),
        detail: detail.to_owned(),
    };
    app.note(&caller.serial, entry).await;
}
