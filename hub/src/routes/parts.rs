//! `GET /v1/boxes/{box_id}/versions/{n}/parts/{*name}`: one part's bytes, as the box sent them.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, RawPathParams, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header, request::Parts};
use tenwords_protocol::{part::PartName, problem::ProblemCode};

use super::versions;
use crate::{app::App, identity::Reader, refusal::Refusal};

/// Version and name, from the path.
#[derive(Debug)]
pub(super) struct Place(std::num::NonZeroU64, PartName);

pub(super) async fn get(
    State(app): State<Arc<App>>,
    caller: Reader,
    Place(number, name): Place,
) -> Result<Response, Refusal> {
    let Some(body) = app.store.part(caller.box_id, number, name).await? else { return Err(missing()) };
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

impl FromRequestParts<Arc<App>> for Place {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| missing())?;
        let find = |wanted| params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let number = find("number").and_then(versions::decimal).ok_or_else(missing)?;
        let name = find("name").and_then(|name| name.parse().ok()).ok_or_else(missing)?;
        Ok(Self(number, name))
    }
}

fn missing() -> Refusal {
    Refusal::saying(ProblemCode::NotFound, "the box has no such part")
}
