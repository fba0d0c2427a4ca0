//! The claim: a ticket becomes a certificate that may read this box's escrow.
//!
//! The key pair and the answer are kept before they are used, so that a run that lost the answer,
//! or comes back after the window has ended, goes on with the same certificate.

use std::io;

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    bytes::Base64, hash::Sha256, id::BoxId, json, recovery::ClaimReply, ticket::HubAddress, ticket::Ticket,
    time::Timestamp, v1::V1,
};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::{Hub, HubError},
    identity::{Identity, NodeKey},
    settings::Configuration,
    show::harmless,
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
    /// Where this machine knew the hub before, if that was elsewhere.
    former_hub: Option<HubAddress>,
    /// The answer is one that an earlier run has kept: its nonce may be used up.
    again: bool,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    v: V1,
    hub: HubAddress,
    /// Over the ticket's secret, which is spent: it says whether a ticket is this claim's.
    ticket: Sha256,
    reply: ClaimReply,
    proven: bool,
}

impl Claimed {
    /// Claims with the ticket, or goes on with the claim that an earlier run has kept. `is_expected` says of a
    /// box, and whether it is a rehearsal, that it is the recovery that was begun here, if any was.
    pub(crate) fn make(
        configuration: &Configuration,
        is_expected: impl FnOnce(BoxId, bool) -> Outcome<()>,
        ticket: impl FnOnce() -> Outcome<Ticket>,
    ) -> Outcome<Self> {
        let earlier = Kept::load(configuration)?;
        let standing = Identity::load(configuration)?;
        let known = standing.as_ref().map(|identity| &identity.hub).or(earlier.as_ref().map(|earlier| &earlier.hub));
        let known = known.cloned();
        let own = standing.as_ref().map(|identity| (identity.box_id, harmless(&identity.box_name, 64)));
        // A proven recovery that is run again has an identity already: of the same box, and with a claim.
        if let Some(identity) =
            standing.filter(|identity| earlier.as_ref().is_none_or(|e| e.reply.box_id != identity.box_id))
        {
            let name = harmless(&identity.box_name, 64);
            return Err(Stop::new(
                Code::Preflight,
                format!("this machine is a node of box {name} ({})", identity.box_id),
            )
            .remedy("recover on a new machine; this one is enrolled, and its state is not overwritten"));
        }
        let key = NodeKey::load_or_make(configuration, RECOVERY_KEY)?;
        let ticket = ticket()?;
        let ticket_sha256 = Sha256::of(ticket.expose_secret().expose_bytes());
        let earlier = earlier.filter(|earlier| earlier.ticket == ticket_sha256);
        let (kept, again) = match (&earlier, claim(&key, ticket, ticket_sha256)) {
            (_, Ok(kept)) => (kept, false),
            // Used up by our own earlier run, or its window has ended since: the claim still stands.
            (Some(earlier), Err(Unclaimed::Hub(HubError::Refused(_) | HubError::Later { .. }))) => {
                (earlier.clone(), true)
            }
            (_, Err(Unclaimed::Hub(error))) => return Err(error.into()),
            (_, Err(Unclaimed::Stop(stop))) => return Err(stop),
        };
        // Before it takes the place of the claim that is there: a wrong ticket costs nothing.
        let (box_id, rehearsal) = (kept.reply.box_id, kept.reply.rehearsal);
        if let Some(name) = own.filter(|(own, _)| *own != box_id).map(|(_, name)| name) {
            return Err(Stop::new(
                Code::Preflight,
                format!("this machine is a node of box {name}, and the ticket is another's"),
            )
            .remedy("recover that box on another machine; nothing was kept"));
        }
        is_expected(box_id, rehearsal)?;
        let proven = earlier.is_some_and(|earlier| earlier.proven && earlier.reply.node_id == kept.reply.node_id);
        let kept = Kept { proven, ..kept };
        kept.keep(configuration)?;
        let identity = kept.identity();
        let former_hub = known.filter(|known| *known != kept.hub);
        let hub = identity.connect_with(&key)?;
        Ok(Self { hub, identity, spki_sha256: key.spki_sha256(), kept, former_hub, again })
    }

    /// Whether the answer is an earlier run's, whose nonce may be used up.
    pub(crate) fn is_again(&self) -> bool {
        self.again
    }

    /// That the ticket led elsewhere than what this machine knew: a sheet may say that too.
    pub(crate) fn stale(&self) -> Option<String> {
        let of = |hub: &HubAddress| harmless(&hub.to_string(), 280);
        let former = of(self.former_hub.as_ref()?);
        Some(format!(
            "the hub is reached at {} now; this machine knew it at {former}, and so may the recovery sheet: \
             `tenwords-agent sheet` prints a new one",
            of(&self.kept.hub)
        ))
    }

    /// Whether an earlier run has kept one that is not forgotten yet.
    pub(crate) fn is_kept(configuration: &Configuration) -> Outcome<bool> {
        Ok(Kept::load(configuration)?.is_some())
    }

    /// Forgets the claim: the recovery has come to its end.
    pub(crate) fn forget(configuration: &Configuration) {
        for name in [CLAIM, RECOVERY_KEY] {
            if let Err(error) = std::fs::remove_file(configuration.state(name)) {
                tracing::warn!(name, %error, "cannot remove what is left of the claim");
            }
        }
    }

    pub(crate) fn reply(&self) -> &ClaimReply {
        &self.kept.reply
    }

    /// By an earlier run.
    pub(crate) fn is_proven(&self) -> bool {
        self.kept.proven
    }

    /// The hub has taken the proof, and in earnest has given the box's certificate for it: that is
    /// used and kept from now on. The identity is kept first, so that a run that ends between the two
    /// claims and proves again.
    pub(crate) fn proven(&mut self, configuration: &Configuration, certificate: Option<Base64>) -> Outcome<()> {
        if let Some(certificate) = certificate {
            self.kept.reply.certificate = certificate;
            self.identity = self.kept.identity();
            self.hub = self.identity.connect_with(&NodeKey::load_or_make(configuration, RECOVERY_KEY)?)?;
            self.identity.keep(configuration, RECOVERY_KEY)?;
        }
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

fn claim(key: &NodeKey, ticket: Ticket, ticket_sha256: Sha256) -> Result<Kept, Unclaimed> {
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
    if tls::spki_sha256(&reply.certificate.0) != Some(key.spki_sha256()) {
        return Err(Unclaimed::Stop(
            Stop::new(Code::GateRefused, "the hub's certificate for this machine is for another key")
                .remedy("nothing was kept; tell the operator, then run the same command again"),
        ));
    }
    Ok(Kept { v: V1, hub: address, ticket: ticket_sha256, reply, proven: false })
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
        Identity { v: V1, hub: self.hub.clone(), box_id, box_name, node_id, certificate, server_ca, key: None }
    }
}
