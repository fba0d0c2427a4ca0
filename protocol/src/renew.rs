//! A node's certificate is replaced before it ends: `POST /v1/boxes/{box_id}/certificate`.
//!
//! The former certificate goes on being taken until the one that was given has been used: an answer that
//! was lost on the way harms nobody.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{bytes::Base64, time::Timestamp, v1::V1};

/// So long after its end a certificate may still ask for the next one, and for nothing else.
pub const GRACE: Duration = Duration::from_secs(180 * 86_400);

/// What the node of a certificate sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// Always 1.
    pub v: V1,
    /// A PKCS #10 request (DER); the hub takes the public key out of it and nothing else.
    pub csr: Base64,
}

/// What the hub answers. The same key gets the same answer again until it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewReply {
    /// Always 1.
    pub v: V1,
    /// The node's certificate (DER) from now on.
    pub certificate: Base64,
    /// The server CA to pin (DER).
    pub server_ca: Base64,
    /// When the certificate ends.
    pub expires_at: Timestamp,
}
