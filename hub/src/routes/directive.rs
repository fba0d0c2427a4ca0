//! `GET /v1/boxes/{box_id}/directive`: what an operator wants restored. The automatic one is for operators
//! to look at and to edit: it names what the last inventory knew, and a recovery must not hold back what
//! was made since. So without an operator's own there is none, and none means the newest good snapshot of
//! everything.

use std::sync::Arc;

use axum::extract::State;
use tenwords_protocol::{directive::Directive, directives::Origin, problem::ProblemCode};

use crate::{app::App, body::Json, identity::Reader, refusal::Refusal};

pub(super) async fn get(State(app): State<Arc<App>>, caller: Reader) -> Result<Json<Directive>, Refusal> {
    let standing = app.store.directive(caller.box_id, None).await?;
    standing.filter(|stored| stored.head.origin == Origin::Operator).map(|stored| Json(stored.directive)).ok_or_else(
        || Refusal::saying(ProblemCode::NotFound, "no operator's directive: the newest good snapshot of everything"),
    )
}
