//! A node joins: `POST /v1/enroll`.

use serde::{Deserialize, Serialize};

use crate::{
    bytes::Base64,
    id::{BoxId, NodeId},
    ticket::{self, TicketSecret},
    v1::V1,
};

/// What the agent sends, once it has recognised the hub.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// Always 1.
    pub v: V1,
    /// The ticket's secret.
    #[serde(with = "ticket::sent")]
    pub ticket: TicketSecret,
    /// A PKCS #10 request (DER); the hub takes the public key out of it and nothing else.
    pub csr: Base64,
    /// What the node calls itself; shown, never believed.
    pub hostname: String,
}

/// What the hub answers. The same key with the same ticket gets the same answer again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollReply {
    /// Always 1.
    pub v: V1,
    /// The box.
    pub box_id: BoxId,
    /// The box's name at the hub.
    pub box_name: String,
    /// This node.
    pub node_id: NodeId,
    /// The node's certificate (DER).
    pub certificate: Base64,
    /// The server CA to pin (DER).
    pub server_ca: Base64,
}
