//! Who this node is to the hub: what enrolment or a proven recovery has left in the state folder.

use std::{io, path::Path};

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    bytes::Base64,
    enroll::EnrollReply,
    hash::Sha256,
    id::{BoxId, NodeId},
    json,
    ticket::HubAddress,
    v1::V1,
};
use zeroize::Zeroizing;

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::{self, Hub},
    settings::Configuration,
    standing::BoxFacts,
    tls::{Certificate, Recognise},
};

const LIMIT: u64 = 256 << 10;
const IDENTITY: &str = "identity.json";
const NODE_KEY: &str = "node.key";

/// A node's place at the hub. It names its key, so that one write of one file changes certificate and key together.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) v: V1,
    pub(crate) hub: HubAddress,
    pub(crate) box_id: BoxId,
    pub(crate) box_name: String,
    pub(crate) node_id: NodeId,
    pub(crate) certificate: Base64,
    pub(crate) server_ca: Base64,
    /// SHA-256 over the SPKI (DER) of the key that came with a renewal; without one it is the first key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Sha256>,
}

/// A node's key pair, kept as PKCS #8.
pub(crate) struct NodeKey(KeyPair);

impl NodeKey {
    /// The key in `name`, which must be there.
    pub(crate) fn load(configuration: &Configuration, name: &str) -> Outcome<Self> {
        let path = configuration.state(name);
        let text = durable::read_limited(&path, LIMIT).map_err(|error| {
            Stop::new(Code::Preflight, format!("the node's key in {} cannot be read", path.display()))
                .remedy("ask the operator for a ticket of this very host (`tenwords box ticket NAME --reinstall HOST`), remove identity.json, and enrol again")
                .because(error)
        })?;
        Self::parse(Zeroizing::new(text), &path)
    }

    /// The key in `name`, made if there is none: so that a call that is repeated is made with the
    /// same key, and gets the same answer.
    pub(crate) fn load_or_make(configuration: &Configuration, name: &str) -> Outcome<Self> {
        let path = configuration.state(name);
        let cannot = || format!("cannot keep the node's key in {}", path.display());
        match durable::read_limited(&path, LIMIT) {
            Ok(text) => Self::parse(Zeroizing::new(text), &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate().or_stop(Code::Internal, || "cannot make a key pair".into())?;
                durable::folder(&configuration.settings.state, 0o700).or_stop(Code::Preflight, cannot)?;
                let pem = Zeroizing::new(key.serialize_pem());
                durable::create("node-key", &path, 0o600, pem.as_bytes()).or_stop(Code::Preflight, cannot)?;
                Ok(Self(key))
            }
            Err(error) => Err(Stop::new(Code::Preflight, cannot()).because(error)),
        }
    }

    fn parse(text: Zeroizing<Vec<u8>>, path: &Path) -> Outcome<Self> {
        std::str::from_utf8(&text)
            .ok()
            .and_then(|pem| KeyPair::from_pem(pem).ok())
            .map(Self)
            .ok_or_else(|| Stop::new(Code::Preflight, format!("{} is not a key of ours", path.display())))
    }

    /// A request for a certificate (DER). The hub takes the public key and nothing else.
    pub(crate) fn request(&self) -> Outcome<Vec<u8>> {
        CertificateParams::new(Vec::new())
            .and_then(|params| params.serialize_request(&self.0))
            .map(|request| request.der().to_vec())
            .or_stop(Code::Internal, || "cannot make a certificate request".into())
    }

    /// SHA-256 over the public key's SPKI (DER).
    pub(crate) fn spki_sha256(&self) -> Sha256 {
        Sha256::of(&self.0.subject_public_key_info())
    }

    /// Keeps it under the name that an identity knows it by.
    pub(crate) fn keep(&self, configuration: &Configuration) -> Outcome<()> {
        let path = configuration.state(&key_name(Some(self.spki_sha256())));
        let pem = Zeroizing::new(self.0.serialize_pem());
        durable::replace("node-key-renewed", &path, 0o600, pem.as_bytes())
            .or_stop(Code::Preflight, || format!("cannot keep the node's key in {}", path.display()))
    }

    fn expose_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize_der())
    }
}

impl Identity {
    /// What a hub has answered to an enrolment. `key` where it is not the one in `node.key`.
    pub(crate) fn enrolled(hub: &Hub, reply: EnrollReply, key: Option<Sha256>) -> Self {
        let EnrollReply { v, box_id, box_name, node_id, certificate, server_ca } = reply;
        Self { v, hub: hub.address().clone(), box_id, box_name, node_id, certificate, server_ca, key }
    }

    /// The identity, if this node has one.
    pub(crate) fn load(configuration: &Configuration) -> Outcome<Option<Self>> {
        let path = configuration.state(IDENTITY);
        let damaged = || {
            Stop::new(Code::Preflight, format!("{} is damaged", path.display()))
                .remedy("ask the operator for a new enrolment ticket, remove the file, and enrol again")
        };
        match durable::read_limited(&path, LIMIT) {
            Ok(text) => json::from_slice(&text).map(Some).map_err(|error| damaged().because(error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(damaged().because(error)),
        }
    }

    /// The identity; without one, what to do.
    pub(crate) fn required(configuration: &Configuration) -> Outcome<Self> {
        Self::load(configuration)?.ok_or_else(|| {
            Stop::new(Code::Preflight, "this node is not enrolled").remedy(
                "ask the operator for a ticket, then run `tenwords-agent enroll --ticket … --operator-keys FILE`",
            )
        })
    }

    /// Whose escrow a node of it makes.
    pub(crate) fn facts(&self) -> BoxFacts {
        BoxFacts { id: self.box_id, name: self.box_name.clone() }
    }

    /// Keeps the identity with the key that it names, which is there already.
    pub(crate) fn keep_renewed(&self, configuration: &Configuration) -> Outcome<()> {
        let cannot = || format!("cannot keep the identity in {}", configuration.settings.state.display());
        let text = json::to_vec(self).or_stop(Code::Internal, cannot)?;
        durable::replace("identity-renewed", &configuration.state(IDENTITY), 0o600, &text)
            .or_stop(Code::Preflight, cannot)
    }

    /// The file of its key.
    pub(crate) fn key_name(&self) -> String {
        key_name(self.key)
    }

    /// Keeps the identity; the key in `key_name` becomes the node's.
    pub(crate) fn keep(&self, configuration: &Configuration, key_name: &str) -> Outcome<()> {
        let cannot = || format!("cannot keep the identity in {}", configuration.settings.state.display());
        let text = json::to_vec(self).or_stop(Code::Internal, cannot)?;
        if key_name != NODE_KEY {
            let key = durable::read_limited(&configuration.state(key_name), LIMIT).or_stop(Code::Internal, cannot)?;
            let key = Zeroizing::new(key);
            durable::replace("node-key", &configuration.state(NODE_KEY), 0o600, &key)
                .or_stop(Code::Internal, cannot)?;
        }
        durable::replace("identity", &configuration.state(IDENTITY), 0o600, &text).or_stop(Code::Internal, cannot)
    }

    /// A connection to the hub as this node.
    pub(crate) fn connect(&self, configuration: &Configuration) -> Outcome<Hub> {
        self.connect_with(&NodeKey::load(configuration, &self.key_name())?)
    }

    /// A connection to the hub as this node, with a key that is not (yet) the node's.
    pub(crate) fn connect_with(&self, key: &NodeKey) -> Outcome<Hub> {
        let certificate = Certificate { der: hub::authority(&self.certificate), key: key.expose_der() };
        let recognise = Recognise::Authority(hub::authority(&self.server_ca));
        Ok(Hub::new(self.hub.clone(), recognise, Some(certificate))?)
    }
}

/// The file of a node's key.
fn key_name(renewed: Option<Sha256>) -> String {
    match renewed {
        None => NODE_KEY.to_owned(),
        Some(hash) => format!("node-{}.key", hash.to_string().get(..16).unwrap_or_default()),
    }
}
