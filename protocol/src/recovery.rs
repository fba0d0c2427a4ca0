//! A lost box comes back: `POST /v1/recovery/claim`, then `POST /v1/recovery/prove` with a
//! [`crate::words::WordsProof`]; afterwards `GET /v1/boxes/{box_id}/certificates`.

use serde::{Deserialize, Serialize};

use crate::{
    bytes::Base64,
    id::{BoxId, NodeId},
    ticket::{self, TicketSecret},
    time::Timestamp,
    v1::V1,
    words::Nonce,
};

/// What the new machine sends, once it has recognised the hub.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Always 1.
    pub v: V1,
    /// The ticket's secret.
    #[serde(with = "ticket::sent")]
    pub ticket: TicketSecret,
    /// A PKCS #10 request (DER); the hub takes the public key out of it and nothing else.
    pub csr: Base64,
}

/// A certificate that may read this box's directive, versions and parts, and nothing else; to a key
/// that has proven already, the box's certificate once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimReply {
    /// Always 1.
    pub v: V1,
    /// The box.
    pub box_id: BoxId,
    /// The box's name at the hub.
    pub box_name: String,
    /// This machine.
    pub node_id: NodeId,
    /// The recovery certificate (DER), for seven days; after the proof, the box's.
    pub certificate: Base64,
    /// The server CA to pin (DER).
    pub server_ca: Base64,
    /// Whether this only practises: nothing is revoked then.
    pub rehearsal: bool,
    /// For the proof, used once.
    pub nonce: Nonce,
    /// The hub's clock.
    pub hub_time: Timestamp,
    /// When the operator says that the box was lost; what is newer is listed, not chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<Timestamp>,
}

/// What a proof has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProveReply {
    /// Always 1.
    pub v: V1,
    /// Whether this machine is the box now (it stays a reader in a rehearsal).
    pub is_box: bool,
    /// How many certificates of the lost box were revoked by it.
    pub revoked: u64,
    /// The box's certificate (DER) from now on, over the same public key and of an enrolment's
    /// lifetime; the recovery certificate is revoked. Absent in a rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Base64>,
}

/// The certificates that a hub has given for a box: those that it still takes come first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateList {
    /// Always 1.
    pub v: V1,
    /// Of every machine that was this box, or claimed it.
    pub certificates: Vec<CertificateEntry>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateEntry {
    /// Which machine's.
    pub node_id: NodeId,
    /// Whether it speaks for the box; else it may read, in a recovery.
    pub is_box: bool,
    /// When it was given.
    pub made_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}
