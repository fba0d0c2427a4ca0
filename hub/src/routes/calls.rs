//! `POST /v1/boxes/{box_id}/calls`: an operator calls a box's nodes. `GET /v1/boxes/{box_id}/calls
//! [?after=N][&wait=SECONDS]`: a node waits for that.

use std::{sync::Arc, time::Duration};

use axum::extract::{RawQuery, State};
use tenwords_protocol::{
    bounded::Text,
    calls::{CallReply, CallRequest, Called, LONGEST_CALL_WAIT},
    id::BoxId,
    problem::ProblemCode,
    v1::V1,
};
use tokio::time::Instant;

use super::{answers::Asking, arm::no_box};
use crate::{
    app::App,
    body::{Json, Named},
    identity::{OperatorCaller, Writer},
    refusal::Refusal,
};

/// When to come again if all places are taken.
const PLACE_AGAIN: Duration = Duration::from_secs(60);

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
    Json(CallRequest { kind, .. }): Json<CallRequest>,
) -> Result<Json<Called>, Refusal> {
    if !app.store.has_box(box_id).await? {
        return Err(no_box());
    }
    let waiting = app.calls.call(box_id, kind);
    app.counters.calls.add();
    tracing::info!(operator = operator.name, %box_id, kind = kind.as_str(), waiting, "a box was called");
    Ok(Json(Called { v: V1, waiting }))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    caller: Writer,
    RawQuery(query): RawQuery,
) -> Result<Json<CallReply>, Refusal> {
    let Asking { after, wait } = Asking::read(query.as_deref().unwrap_or_default(), "calls", LONGEST_CALL_WAIT)?;
    let Some(mut place) = app.calls.enter(caller.box_id, caller.node_id) else {
        let why = "so many wait for a call already";
        return Err(Refusal::later(ProblemCode::RateLimited, why, PLACE_AGAIN));
    };
    let end = Instant::now() + wait;
    let mut has_waited = false;
    loop {
        let call = app.calls.after(caller.box_id, after);
        if call.is_some() || Instant::now() >= end || app.is_stopping() {
            if has_waited {
                caller.still_holds(&app, "GET /v1/boxes/{box_id}/calls, while it waited").await?;
            }
            if has_waited && call.is_some() && Instant::now() < end {
                app.counters.calls_woken.add();
            }
            let number = call.map_or(after, |call| call.number);
            return Ok(Json(CallReply { v: V1, number, kind: call.map(|call| Text::cut(call.kind.as_str())) }));
        }
        if !has_waited {
            app.counters.calls_waited.add();
            has_waited = true;
        }
        tokio::select! {
            _ = place.news.changed() => {}
            () = tokio::time::sleep_until(end) => {}
            () = app.stops() => {}
        }
    }
}
