//! `GET /v1/boxes/{box_id}/versions[?before=N]` and `…/{number|newest}`: headers, as the box wrote
//! them. The list comes in pages, newest first; an empty page is the end.

use std::{num::NonZeroU64, str::FromStr, sync::Arc};

use axum::extract::{RawQuery, State};
use tenwords_protocol::{boxes::VersionList, problem::ProblemCode, v1::V1, version::StoredHeader};

use crate::{
    app::App,
    body::{Json, Named},
    identity::Reader,
    refusal::Refusal,
};

/// Which version: a number, or `newest`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted(pub(super) Option<NonZeroU64>);

/// One version by its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub(super) NonZeroU64);

pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Reader,
    RawQuery(query): RawQuery,
) -> Result<Json<VersionList>, Refusal> {
    let before = before(query.as_deref())?;
    Ok(Json(VersionList { v: V1, versions: app.store.versions(caller.box_id, before).await? }))
}

/// Below which number a page begins.
pub(super) fn before(query: Option<&str>) -> Result<Option<NonZeroU64>, Refusal> {
    let refused = || Refusal::saying(ProblemCode::BadRequest, "the list takes `before=<number>` and nothing else");
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(None) };
    query.strip_prefix("before=").and_then(decimal).map(Some).ok_or_else(refused)
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    caller: Reader,
    Named(Wanted(number)): Named<Wanted>,
) -> Result<Json<StoredHeader>, Refusal> {
    let found = app.store.version(caller.box_id, number).await?;
    found.map(Json).ok_or_else(|| Refusal::saying(ProblemCode::NotFound, "the box has no such version"))
}

impl FromStr for Wanted {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "newest" => Ok(Self(None)),
            number => decimal(number).map(|number| Self(Some(number))).ok_or(()),
        }
    }
}

impl FromStr for Number {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        decimal(text).map(Self).ok_or(())
    }
}

/// One number, one text: no sign, no leading zero.
pub(super) fn decimal(text: &str) -> Option<NonZeroU64> {
    text.parse::<NonZeroU64>().ok().filter(|number| number.to_string() == text)
}
