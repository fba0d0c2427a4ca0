//! The claim: a ticket becomes a certificate that may read this box's escrow.
//!
//! The key pair and the answer are kept before they are used, so that a run that lost the answer,
//! or comes back after the window has ended, goes on with the same certificate.

use std::io;

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    hash::Sha256, json, recovery::ClaimReply, ticket::HubAddress, ticket::Ticket, time::Timestamp, v1::V1,
};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::{Hub, HubError},
    identity::{Identity, NodeKey},
    settings::Configuration,
    tls::{self, Recognise},
};

/// The key pair of the recovery; the node's own once it is proven.
pub(crate) const RECOVERY_KEY: &str = "recovery.key";
const CLAIM: &str = "recovery.json";
const LIMIT: u64 = 256 << 10;

/// A claim, and a connection that uses it.
pub(crate) struct Claimed {
    pub(crate) identity: Identity,
    pub(crate) hub: Hub,
    pub(crate) spki_sha256: Sha256,
    kept: Kept,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    v: V1,
    hub: HubAddress,
    reply: ClaimReply,
    proven: bool,
}

impl Claimed {
    /// Claims with the ticket, or goes on with the claim that an earlier run has kept.
    pub(crate) fn make(configuration: &Configuration, ticket: impl FnOnce() -> Outcome<Ticket>) -> Outcome<Self> {
        let earlier = Kept::load(configuration)?;
        let key = NodeKey::load_or_make(configuration, RECOVERY_KEY)?;
        let kept = match (&earlier, claim(&key, ticket()?)) {
            (_, Ok(kept)) => kept,
            // Used up by our own earlier run, or its window has ended since: the claim still stands.
            (Some(earlier), Err(Unclaimed::Hub(HubError::Refused(_) | HubError::Unreachable(..)))) => earlier.clone(),
            (_, Err(Unclaimed::Hub(error))) => return Err(error.into()),
            (_, Err(Unclaimed::Stop(stop))) => return Err(stop),
        };
        let proven =
            earlier.is_some_and(|earlier| earlier.proven && earlier.reply.certificate == kept.reply.certificate);
        let kept = Kept { proven, ..kept };
        kept.keep(configuration)?;
        let identity = kept.identity();
        Ok(Self { hub: identity.connect_with(&key)?, identity, spki_sha256: key.spki_sha256(), kept })
    }

    pub(crate) fn reply(&self) -> &ClaimReply {
        &self.kept.reply
    }

    /// By an earlier run.
    pub(crate) fn is_proven(&self) -> bool {
        self.kept.proven
    }

    /// The hub has taken the proof; from now on this certificate is the box's.
    pub(crate) fn proven(&mut self, configuration: &Configuration) -> Outcome<()> {
        self.kept.proven = true;
        self.kept.keep(configuration)
    }

    /// How far the hub's clock is from ours, when it was asked.
    pub(crate) fn hub_time(&self) -> Timestamp {
        self.kept.reply.hub_time
    }
}

enum Unclaimed {
    Hub(HubError),
    Stop(Stop),
}

fn claim(key: &NodeKey, ticket: Ticket) -> Result<Kept, Unclaimed> {
    let prefix = ticket.authority();
    let address = ticket.hub().clone();
    let hub = Hub::new(address.clone(), Recognise::Ticket(prefix), None).map_err(Unclaimed::Hub)?;
    let request = key.request().map_err(Unclaimed::Stop)?;
    let reply = hub.claim(ticket.into_secret(), request).map_err(Unclaimed::Hub)?;
    if tls::prefix_of(&reply.server_ca.0) != Some(prefix) {
        return Err(Unclaimed::Stop(
            Stop::new(Code::GateRefused, "the hub named another authority than the ticket's")
                .remedy("tell the operator; nothing was kept"),
        ));
    }
    Ok(Kept { v: V1, hub: address, reply, proven: false })
}

impl Kept {
    fn load(configuration: &Configuration) -> Outcome<Option<Self>> {
        let path = configuration.state(CLAIM);
        match durable::read_limited(&path, LIMIT) {
            Ok(text) => json::from_slice(&text).map(Some).or_stop(Code::Preflight, || {
                format!("{} is damaged; remove it and ask the operator for a new ticket", path.display())
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Stop::new(Code::Preflight, format!("cannot read {}", path.display())).because(error)),
        }
    }

    fn keep(&self, configuration: &Configuration) -> Outcome<()> {
        let cannot = || "cannot keep the claim".to_owned();
        let text = json::to_vec(self).or_stop(Code::Internal, cannot)?;
        durable::replace("claim", &configuration.state(CLAIM), 0o600, &text).or_stop(Code::Preflight, cannot)
    }

    fn identity(&self) -> Identity {
        let ClaimReply { box_id, box_name, node_id, certificate, server_ca, .. } = self.reply.clone();
        Identity { v: V1, hub: self.hub.clone(), box_id, box_name, node_id, certificate, server_ca }
    }
}
