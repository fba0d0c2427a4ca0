//! `GET /v1/boxes/{box_id}/directive`: what the operator suggests to restore. There is no way yet to
//! leave one on the hub, and none on the hub means: the newest good snapshot of everything.

use tenwords_protocol::{directive::Directive, problem::ProblemCode};

use crate::{body::Json, identity::Reader, refusal::Refusal};

pub(super) async fn get(_caller: Reader) -> Result<Json<Directive>, Refusal> {
    Err(Refusal::saying(ProblemCode::NotFound, "no directive: the newest good snapshot of everything"))
}
