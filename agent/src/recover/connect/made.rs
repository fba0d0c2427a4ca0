//! A source of a root, for the tests of this room.

use tenwords_escrow::root::{Certificate, KeptIn, Source};
use tenwords_protocol::fingerprint::Fingerprint;

pub(super) fn source(server: &str) -> Result<Source, Box<dyn std::error::Error>> {
    Ok(Source {
        id: "pbs".parse()?,
        server: server.parse()?,
        port: 8007.try_into()?,
        datastore: "store".parse()?,
        namespace: Some("tenants/a".parse()?),
        certificate: Certificate::Pinned(Fingerprint::from_bytes([7; 32])),
        auth_id: "backup@pbs!box1".parse()?,
        key_fingerprint: Fingerprint::from_bytes([8; 32]),
        kept_in: KeptIn::Settings,
    })
}
