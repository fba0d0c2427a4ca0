//! `GET /v1/boxes/{box_id}/directives[?before=N]` lists what a box's directives are, newest first;
//! `…/{number|newest}` gives one; `POST` makes an operator's own, or the automatic one, the newest.

use std::{num::NonZeroU64, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{
    directives::{DirectiveList, EditRequest, Origin, StoredDirective, check},
    id::BoxId,
    problem::ProblemCode,
    v1::V1,
};

use super::{
    arm::no_box,
    versions::{Wanted, before},
};
use crate::{
    app::App,
    body::{Edited, Json, Named, OfBox},
    identity::OperatorCaller,
    refusal::Refusal,
    store::{Edit, EditOutcome},
};

pub(super) async fn list(
    State(app): State<Arc<App>>,
    _operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
    RawQuery(query): RawQuery,
) -> Result<Json<DirectiveList>, Refusal> {
    let directives = app.store.directives(box_id, before(query.as_deref())?).await?;
    if directives.is_empty() && !app.store.has_box(box_id).await? {
        return Err(no_box());
    }
    Ok(Json(DirectiveList { v: V1, directives }))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    _operator: OperatorCaller,
    OfBox(box_id, Wanted(number)): OfBox<Wanted>,
) -> Result<Json<StoredDirective>, Refusal> {
    match app.store.directive(box_id, number).await? {
        Some(found) => Ok(Json(found)),
        None if app.store.has_box(box_id).await? => {
            Err(Refusal::saying(ProblemCode::NotFound, "the box has no such directive"))
        }
        None => Err(no_box()),
    }
}

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    Named(box_id): Named<BoxId>,
    Edited(EditRequest { based_on, automatic, items, .. }): Edited,
) -> Result<Response, Refusal> {
    let items = match (automatic, items) {
        (true, items) if items.is_empty() => None,
        (true, _) => {
            let why = "the automatic directive takes no items: it is made from the last inventory";
            return Err(Refusal::saying(ProblemCode::BadRequest, why));
        }
        (false, items) => {
            check(&items).map_err(|why| Refusal::saying(ProblemCode::BadRequest, why.to_string()))?;
            Some(items)
        }
    };
    let act = Edit { box_id, based_on, items, operator: operator.name.clone(), now: app.now() };
    match app.store.perform(act).await? {
        EditOutcome::Stands(stored) => Ok((StatusCode::CREATED, Json(stored)).into_response()),
        EditOutcome::NoBox => Err(no_box()),
        EditOutcome::Outdated(head) => {
            let standing = match head {
                None => "the box has no directive".to_owned(),
                Some(head) => {
                    let by = match (head.origin, head.by) {
                        (Origin::Operator, Some(name)) => format!("operator {name}"),
                        (Origin::Automatic, Some(name)) => {
                            format!("operator {name}, who went back to the automatic one")
                        }
                        (_, None) => "the hub, from a new inventory".to_owned(),
                    };
                    format!("number {} stands, made {} by {by}", head.number, head.made_at)
                }
            };
            let why = format!("the edit is based on number {}, and {standing}", told(based_on));
            Err(Refusal::saying(ProblemCode::Outdated, why))
        }
    }
}

fn told(number: u64) -> String {
    NonZeroU64::new(number).map_or_else(|| "none".to_owned(), |number| number.to_string())
}
