//! `POST /v1/boxes/{box_id}/drills`: a box shows that somebody had the ten words, alone or while one
//! archive came back to scratch. The hub checks the proof and writes down what the box says beside it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{
    drill::{DrillReply, DrillRequest},
    problem::ProblemCode,
    v1::V1,
};

use crate::{
    app::App,
    body::Json,
    identity::Writer,
    refusal::Refusal,
    store::{Drill, DrillOutcome, Entry},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: Writer,
    Json(request): Json<DrillRequest>,
) -> Result<Response, Refusal> {
    let now = app.now();
    let act = Drill {
        request,
        serial: caller.serial.clone(),
        spki_sha256: caller.spki_sha256,
        node_id: caller.node_id,
        box_id: caller.box_id,
        now,
    };
    match app.store.perform(act).await? {
        DrillOutcome::Recorded => {
            app.counters.drills.add();
            Ok((StatusCode::CREATED, Json(DrillReply { v: V1, recorded_at: now })).into_response())
        }
        DrillOutcome::Refused(why) => {
            note(&app, &caller, &format!("certificate {}: {why}", caller.serial)).await;
            Err(Refusal::saying(
                ProblemCode::ProofRefused,
                "ask for a new nonce, check the clock, and prove with the words of the version that was opened",
            ))
        }
        DrillOutcome::TooMany { retry_after } => {
            note(&app, &caller, "the day's drills are used up").await;
            Err(Refusal::later(ProblemCode::RateLimited, "48 drills are taken in a day (UTC)", retry_after))
        }
    }
}

async fn note(app: &App, caller: &Writer, detail: &str) {
    app.counters.drills_refused.add();
    let entry = Entry {
        time: app.now(),
        actor: caller.actor(),
        action: "drill.refused",
        box_id: Some(caller.box_id),
        detail: detail.to_owned(),
    };
    app.note(&caller.serial, entry).await;
}
