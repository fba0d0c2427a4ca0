//! What a request carries, read strictly and within a limit. Every refusal is a problem document.

use std::{str::FromStr, sync::Arc};

use axum::{
    body::Bytes,
    extract::{
        DefaultBodyLimit, FromRequest, FromRequestParts, RawPathParams, Request,
        rejection::{BytesRejection, FailedToBufferBody},
    },
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::{Serialize, de::DeserializeOwned};
use tenwords_protocol::{
    directives::{EditRequest, MAX_DIRECTIVE_BYTES},
    holdings::{Holdings, MAX_HOLDINGS_BYTES},
    id::BoxId,
    json,
    problem::ProblemCode,
    report::{MAX_REPORT_BYTES, Report},
    version::{Bundle, MAX_BUNDLE_BYTES},
};

use crate::{
    app::App,
    refusal::{Refusal, chain},
};

/// Bytes of a JSON request, at most.
const MAX_JSON_BYTES: usize = 64 << 10;

/// A JSON text.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// What a box says it has.
#[derive(Debug)]
pub(crate) struct Inventory(pub(crate) Holdings);

/// What a node says.
#[derive(Debug)]
pub(crate) struct Reported(pub(crate) Report);

/// An operator's edit of a directive.
#[derive(Debug)]
pub(crate) struct Edited(pub(crate) EditRequest);

/// A pushed bundle: two lines of text whose parts are those of its header.
#[derive(Debug)]
pub(crate) struct Pushed(pub(crate) Bundle);

/// One parameter of the path: the one after the box id, or the box id alone.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) T);

/// The box that an operator's path names, and the parameter after it.
#[derive(Debug)]
pub(crate) struct OfBox<T>(pub(crate) BoxId, pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Refusal> {
        read_json(request, MAX_JSON_BYTES).await.map(Self)
    }
}

impl FromRequest<Arc<App>> for Inventory {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Refusal> {
        read_json(request, MAX_HOLDINGS_BYTES).await.map(Self)
    }
}

impl FromRequest<Arc<App>> for Reported {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Refusal> {
        read_json(request, MAX_REPORT_BYTES).await.map(Self)
    }
}

impl FromRequest<Arc<App>> for Edited {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Refusal> {
        read_json(request, MAX_DIRECTIVE_BYTES).await.map(Self)
    }
}

impl FromRequest<Arc<App>> for Pushed {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Refusal> {
        let text = read(request, MAX_BUNDLE_BYTES).await?;
        let bundle = Bundle::parse(&text).map_err(|error| Refusal::saying(ProblemCode::BadRequest, chain(&error)))?;
        if !bundle.updates().is_empty() || bundle.directive().is_some() {
            return Err(Refusal::saying(
                ProblemCode::BadRequest,
                "a push is one version: updates and a directive stand in kits only",
            ));
        }
        Ok(Self(bundle))
    }
}

impl<T: FromStr + Send> FromRequestParts<Arc<App>> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let missing = || Refusal::new(ProblemCode::NotFound);
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| missing())?;
        let last = params.iter().last().and_then(|(_, value)| value.parse().ok());
        last.map(Self).ok_or_else(missing)
    }
}

impl<T: FromStr + Send> FromRequestParts<Arc<App>> for OfBox<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let missing = || Refusal::new(ProblemCode::NotFound);
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| missing())?;
        let box_id = params.iter().find(|(name, _)| *name == "box_id").and_then(|(_, id)| id.parse().ok());
        let Named(last) = Named::from_request_parts(parts, app).await?;
        box_id.map(|box_id| Self(box_id, last)).ok_or_else(missing)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match json::to_vec(&self.0) {
            Ok(text) => {
                let mut response = (StatusCode::OK, text).into_response();
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            Err(_) => Refusal::new(ProblemCode::Internal).into_response(),
        }
    }
}

async fn read_json<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, Refusal> {
    let text = read(request, limit).await?;
    json::from_slice(&text).map_err(|error| Refusal::saying(ProblemCode::BadRequest, chain(&error)))
}

async fn read(mut request: Request, limit: usize) -> Result<Bytes, Refusal> {
    DefaultBodyLimit::max(limit).apply(&mut request);
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Refusal::saying(ProblemCode::TooLarge, format!("{limit} bytes are the limit"))
        }
        _ => Refusal::saying(ProblemCode::BadRequest, "the body did not arrive whole"),
    })
}
