//! The nodes of a box at its hub.

use reqwest::Method;
use tenwords_protocol::{
    bounded::Text,
    boxes::TicketReply,
    id::{BoxId, NodeId},
    json,
    nodes::{JoinRequest, KeeperRequest, NodeList},
    v1::V1,
};

use super::{Hub, HubError, REPLY_LIMIT, read};

impl Hub {
    /// The nodes of the box, as the hub knows them.
    pub(crate) fn nodes(&self, box_id: BoxId) -> Result<NodeList, HubError> {
        read(&self.call(Method::GET, &format!("/v1/boxes/{box_id}/nodes"), None, REPLY_LIMIT)?)
    }

    /// Says which node escrows from now on.
    pub(crate) fn keeper(&self, box_id: BoxId, node_id: NodeId) -> Result<(), HubError> {
        let body = json::to_vec(&KeeperRequest { v: V1, node_id }).map_err(HubError::Answer)?;
        let path = format!("/v1/boxes/{box_id}/keeper");
        self.call(Method::PUT, &path, Some((body, "application/json")), REPLY_LIMIT).map(drop)
    }

    /// A ticket with which the machine of this name becomes a node of the same box.
    pub(crate) fn ticket_for(&self, box_id: BoxId, hostname: &str) -> Result<TicketReply, HubError> {
        self.post(&format!("/v1/boxes/{box_id}/tickets"), &JoinRequest { v: V1, hostname: Text::cut(hostname) })
    }
}
