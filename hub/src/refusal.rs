//! Refusals: a problem document for outside, and for the log what the outside must not see. The two
//! are two fields, and there is no `Display` by which one could be taken for the other.

use std::{error::Error, fmt::Write as _, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tenwords_protocol::{
    json,
    problem::{MEDIA_TYPE, Problem, ProblemCode},
};

use crate::{authority::AuthorityError, store::StoreError};

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Refusal {
    pub(crate) fn new(code: ProblemCode) -> Self {
        Self { problem: Box::new(Problem::new(code, None)), retry_after: None, cause: None }
    }

    /// With words for the caller.
    pub(crate) fn saying(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::new(code, detail.into())), retry_after: None, cause: None }
    }

    /// With an invitation to come again.
    pub(crate) fn later(code: ProblemCode, detail: impl Into<String>, after: Duration) -> Self {
        Self { retry_after: Some(after), ..Self::saying(code, detail) }
    }

    fn failed(code: ProblemCode, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Box::new(cause)), ..Self::new(code) }
    }

    /// The common refusal of a ticket, whatever the cause.
    pub(crate) fn ticket() -> Self {
        Self::saying(ProblemCode::TicketRefused, "ask the operator for a ticket that is good, and type it again")
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(_) | StoreError::Stopped => Self::failed(ProblemCode::Unavailable, error),
            other => Self::failed(ProblemCode::Internal, other),
        }
    }
}

impl From<AuthorityError> for Refusal {
    fn from(error: AuthorityError) -> Self {
        Self::failed(ProblemCode::Internal, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(code = %self.problem.code, cause = chain(cause.as_ref()), "a request failed");
        }
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A problem is text and numbers; it can always be written.
        let body = json::to_vec(&*self.problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if self.problem.code == ProblemCode::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
