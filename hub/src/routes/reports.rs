//! `POST /v1/boxes/{box_id}/reports`: a node says how it is, and its box's keeper how the box is. The answer says
//! how the box stands by everything that the hub knows.

use std::sync::Arc;

use axum::extract::State;
use tenwords_protocol::{problem::ProblemCode, report::ReportReply, v1::V1};

use crate::{
    app::App,
    body::{Json, Reported as Body},
    identity::Writer,
    refusal::Refusal,
    standing,
    store::{Reported, SendReport},
};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    caller: Writer,
    Body(report): Body,
) -> Result<Json<ReportReply>, Refusal> {
    let now = app.now();
    let act = SendReport { report, serial: caller.serial.clone(), node_id: caller.node_id, box_id: caller.box_id, now };
    match app.store.perform(act).await? {
        Reported::Stored => app.counters.reports.add(),
        Reported::NotTheBox => return Err(Refusal::new(ProblemCode::CertificateRevoked)),
        Reported::TooSoon { retry_after } => {
            app.counters.reports_refused.add();
            let why = "a node reports every ten seconds at most";
            return Err(Refusal::later(ProblemCode::RateLimited, why, retry_after));
        }
    }
    let Some((readiness, newest)) = standing::of(&app, caller.box_id).await? else {
        return Err(Refusal::new(ProblemCode::NotFound));
    };
    Ok(Json(ReportReply { v: V1, hub_time: now, newest, readiness }))
}
