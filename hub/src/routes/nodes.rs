//! `GET /v1/boxes/{box_id}/nodes` and `PUT /v1/boxes/{box_id}/keeper`: a node looks at the nodes of its box, and
//! says which one escrows. `DELETE /v1/boxes/{box_id}/nodes/{node_id}`: an operator takes one out.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tenwords_protocol::{
    id::NodeId,
    nodes::{KeeperRequest, NodeList},
    problem::ProblemCode,
};

use super::arm::no_box;
use crate::{
    app::App,
    body::{Json, OfBox},
    identity::{OperatorCaller, Writer},
    refusal::Refusal,
    store::{RemoveNode, RemoveNodeOutcome, SetKeeper, SetKeeperOutcome},
};

pub(super) async fn get(State(app): State<Arc<App>>, caller: Writer) -> Result<Json<NodeList>, Refusal> {
    Ok(Json(app.store.nodes(caller.box_id).await?))
}

pub(super) async fn put_keeper(
    State(app): State<Arc<App>>,
    caller: Writer,
    Json(KeeperRequest { node_id: keeper, .. }): Json<KeeperRequest>,
) -> Result<StatusCode, Refusal> {
    let now = app.now();
    if let Err(after) = app.keepers.take(&caller.box_id, now) {
        let why = "a box says 48 times in a day which of its nodes escrows";
        return Err(Refusal::later(ProblemCode::RateLimited, why, after));
    }
    let (box_id, actor) = (caller.box_id, caller.actor());
    match app.store.perform(SetKeeper { box_id, keeper, serial: caller.serial.clone(), actor, now }).await? {
        SetKeeperOutcome::Set => Ok(StatusCode::NO_CONTENT),
        SetKeeperOutcome::Known => {
            app.keepers.give_back(&box_id);
            Ok(StatusCode::NO_CONTENT)
        }
        SetKeeperOutcome::NoNode => Err(no_node()),
        SetKeeperOutcome::NotTheBox => Err(Refusal::new(ProblemCode::CertificateRevoked)),
    }
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    OfBox(box_id, node_id): OfBox<NodeId>,
) -> Result<StatusCode, Refusal> {
    let act = RemoveNode { box_id, node_id, actor: operator.actor(), now: app.now() };
    match app.store.perform(act).await? {
        RemoveNodeOutcome::Removed(_) => Ok(StatusCode::NO_CONTENT),
        RemoveNodeOutcome::NoNode if app.store.has_box(box_id).await? => Err(no_node()),
        RemoveNodeOutcome::NoNode => Err(no_box()),
    }
}

fn no_node() -> Refusal {
    Refusal::saying(ProblemCode::NotFound, "the box has no such node: look at `tenwords box show`")
}
