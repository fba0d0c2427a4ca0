//! `POST /v1/boxes/{box_id}/recovery`: an operator opens a recovery window and gets its ticket.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{boxes::ArmRequest, id::BoxId, problem::ProblemCode};

use super::boxes;
use crate::{
    app::App,
    body::{Json, Named},
    identity::OperatorCaller,
    refusal::Refusal,
    store::{Arm, ArmOutcome},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
    Json(request): Json<ArmRequest>,
) -> Result<Response, Refusal> {
    let now = app.now();
    let window = window(&request)?;
    let (ticket, kept) = app.new_ticket(now.plus(window));
    let expires_at = kept.expires_at;
    let act = Arm {
        box_id,
        ticket: kept,
        reason: request.reason,
        rehearsal: request.rehearsal,
        stolen: request.stolen,
        lost_at: request.lost_at,
        confirm_alive: request.confirm_alive,
        actor: operator.actor(),
        now,
    };
    match app.store.perform(act).await? {
        ArmOutcome::Armed => Ok((StatusCode::CREATED, boxes::shown(box_id, &ticket, expires_at)).into_response()),
        ArmOutcome::NoBox => Err(no_box()),
        ArmOutcome::Retired => Err(retired()),
        ArmOutcome::Alive(heard) => Err(Refusal::saying(
            ProblemCode::BoxIsAlive,
            format!("it was heard of at {heard}: if it is lost all the same, confirm that and arm again"),
        )),
    }
}

fn window(request: &ArmRequest) -> Result<Duration, Refusal> {
    let bad = |detail: &str| Err(Refusal::saying(ProblemCode::BadRequest, detail));
    reason(&request.reason)?;
    if request.rehearsal && request.stolen {
        return bad("a rehearsal revokes nothing: it is either a rehearsal or a stolen box");
    }
    match request.minutes {
        5..=1440 => Ok(Duration::from_secs(u64::from(request.minutes) * 60)),
        _ => bad("a window is open for 5 to 1440 minutes"),
    }
}

/// A reason that can stand in the audit.
pub(super) fn reason(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() || text.len() > 500 || text.contains(char::is_control) {
        let why = "a reason of 1 to 500 characters in one line is needed: it stands in the audit";
        return Err(Refusal::saying(ProblemCode::BadRequest, why));
    }
    Ok(())
}

pub(super) fn no_box() -> Refusal {
    Refusal::saying(ProblemCode::NotFound, "no box has this id: look at `tenwords box list`")
}

pub(super) fn retired() -> Refusal {
    let why = "its history is kept still: if it is one again, say so first (`tenwords box retire NAME --undo`)";
    Refusal::saying(ProblemCode::BoxRetired, why)
}
