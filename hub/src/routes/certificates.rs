//! `GET /v1/boxes/{box_id}/certificates`: which certificates of the box the hub has given, and which of
//! them it still takes. After a recovery the box asks whether the lost machine's is dead.

use std::sync::Arc;

use axum::extract::State;
use tenwords_protocol::{recovery::CertificateList, v1::V1};

use crate::{app::App, body::Json, identity::Writer, refusal::Refusal};

pub(super) async fn get(State(app): State<Arc<App>>, caller: Writer) -> Result<Json<CertificateList>, Refusal> {
    Ok(Json(CertificateList { v: V1, certificates: app.store.certificates(caller.box_id).await? }))
}
