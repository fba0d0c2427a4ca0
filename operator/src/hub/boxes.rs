//! The calls about boxes and their nodes.

use reqwest::Method;
use tenwords_protocol::{
    boxes::{ChangeBoxRequest, RetireRequest, ReviveRequest, TicketReply},
    calls::{CallKind, CallRequest, Called},
    id::{BoxId, NodeId},
    nodes::TicketRequest,
    v1::V1,
};

use super::{Hub, Refused, checked};

impl Hub {
    /// An enrolment ticket of a box that is there.
    pub(crate) async fn ticket(&self, id: BoxId, request: &TicketRequest) -> Result<TicketReply, Refused> {
        let reply = self.ask(Method::POST, &format!("/v1/boxes/{id}/tickets"), Some(request)).await?;
        checked(reply, id)
    }

    pub(crate) async fn change_box(&self, id: BoxId, request: &ChangeBoxRequest) -> Result<(), Refused> {
        self.send(Method::PATCH, &format!("/v1/boxes/{id}"), Some(request)).await.map(drop)
    }

    pub(crate) async fn call_box(&self, id: BoxId, kind: CallKind) -> Result<Called, Refused> {
        self.ask(Method::POST, &format!("/v1/boxes/{id}/calls"), Some(&CallRequest { v: V1, kind })).await
    }

    pub(crate) async fn remove_node(&self, id: BoxId, node_id: NodeId) -> Result<(), Refused> {
        self.send(Method::DELETE, &format!("/v1/boxes/{id}/nodes/{node_id}"), None::<&()>).await.map(drop)
    }

    pub(crate) async fn retire(&self, id: BoxId, request: &RetireRequest) -> Result<(), Refused> {
        self.send(Method::POST, &format!("/v1/boxes/{id}/retirement"), Some(request)).await.map(drop)
    }

    pub(crate) async fn revive(&self, id: BoxId, request: &ReviveRequest) -> Result<(), Refused> {
        self.send(Method::DELETE, &format!("/v1/boxes/{id}/retirement"), Some(request)).await.map(drop)
    }
}
