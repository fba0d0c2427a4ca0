//! `GET /healthz`, `/readyz`, `/metrics`: on loopback, for whoever watches the process.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use crate::{app::App, refusal::chain};

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    match app.store.answers().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(cause = chain(&error), "the store does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n")
        }
    }
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> String {
    app.counters.to_text() + &app.tally.to_text()
}
