//! `renew`: the node's certificate is replaced when two thirds of its life are over.
//!
//! The order of the steps is what keeps a node that is cut off at any of them a node of its box: a key beside
//! the one in use, the certificate for it, the key under its own name, then one write of the identity, which
//! names certificate and key together. The hub takes the former certificate until the new one has been used,
//! and gives the same key the same answer, so that an answer that was lost is asked for again.

use serde::Serialize;
use tenwords_protocol::{time::Timestamp, v1::V1};

use crate::{
    exit::{Code, Outcome, Stop},
    hub::HubError,
    identity::{Identity, NodeKey},
    settings::Configuration,
    tls,
};

/// The key of the next certificate, until it has one.
const NEXT_KEY: &str = "node-next.key";

/// How the certificate stands.
#[derive(Debug, Serialize)]
pub(crate) struct Renewed {
    v: V1,
    /// Whether this run has renewed it.
    pub(crate) changed: bool,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
    /// From when on it is renewed.
    pub(crate) due_at: Timestamp,
    /// What could not be done yet, and is nothing to worry about.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Renews the node's certificate if two thirds of its life are over by this machine's clock, or at once.
pub(crate) fn if_due(configuration: &Configuration, now: Timestamp, at_once: bool) -> Outcome<Renewed> {
    let identity = Identity::required(configuration)?;
    let (expires_at, due_at) = life(&identity.certificate.0)?;
    if !at_once && now < due_at {
        tidy(configuration, &identity);
        return Ok(Renewed { v: V1, changed: false, expires_at, due_at, note: None });
    }
    let key = next_key(configuration, &identity)?;
    let hub = identity.connect(configuration)?;
    let reply = hub.renew(identity.box_id, key.request()?).map_err(Stop::of_call)?;
    let strange =
        |what: &str| Stop::new(Code::GateRefused, what).remedy("tell the hub's operator; nothing was changed");
    if tls::spki_sha256(&reply.certificate.0) != Some(key.spki_sha256()) {
        return Err(strange("the hub's certificate for this node is for another key"));
    }
    if reply.server_ca != identity.server_ca {
        return Err(strange("the hub named another authority than the one that this node has pinned"));
    }
    let (expires_at, due_at) = life(&reply.certificate.0)?;
    key.keep(configuration)?;
    let renewed = Identity { certificate: reply.certificate, key: Some(key.spki_sha256()), ..identity.clone() };
    renewed.keep_renewed(configuration)?;
    // The first use ends the former certificate. If it has to wait, the next call to the hub is it.
    let note = match renewed.connect(configuration)?.nodes(renewed.box_id) {
        Ok(_) => None,
        Err(error @ HubError::Refused(_)) => return Err(error.into()),
        Err(error) => Some(format!("the new certificate was kept, and not used yet: {error}")),
    };
    tidy(configuration, &renewed);
    Ok(Renewed { v: V1, changed: true, expires_at, due_at, note })
}

impl Renewed {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let what = if self.changed { "was renewed" } else { "need not be renewed now" };
        let line = format!(
            "This node's certificate {what}: it is good until {}, and renewed from {} on.",
            self.expires_at, self.due_at
        );
        [Some(line), self.note.clone()].into_iter().flatten().collect()
    }
}

/// The key beside the one in use. One that is in use already is what an earlier run had not cleared away.
pub(crate) fn next_key(configuration: &Configuration, identity: &Identity) -> Outcome<NodeKey> {
    let key = NodeKey::load_or_make(configuration, NEXT_KEY)?;
    if Some(key.spki_sha256()) != tls::spki_sha256(&identity.certificate.0) {
        return Ok(key);
    }
    remove(configuration, NEXT_KEY);
    NodeKey::load_or_make(configuration, NEXT_KEY)
}

/// When a node's certificate ends.
pub(crate) fn ends(certificate: &[u8]) -> Outcome<Timestamp> {
    life(certificate).map(|(ends, _)| ends)
}

/// When the certificate ends, and when two thirds of its life are over.
fn life(certificate: &[u8]) -> Outcome<(Timestamp, Timestamp)> {
    let unreadable = || {
        Stop::new(Code::Preflight, "this node's certificate cannot be read")
            .remedy("ask the operator for a new enrolment ticket (`tenwords box ticket`), and enrol again")
    };
    let (begins, ends) = tls::validity(certificate).ok_or_else(unreadable)?;
    let due = begins + ends.saturating_sub(begins) / 3 * 2;
    match (Timestamp::from_unix(ends), Timestamp::from_unix(due)) {
        (Ok(ends), Ok(due)) => Ok((ends, due)),
        _ => Err(unreadable()),
    }
}

/// Takes away the keys that this identity does not name. That one stays behind harms nobody.
pub(crate) fn tidy(configuration: &Configuration, identity: &Identity) {
    let in_use = identity.key_name();
    let Ok(found) = std::fs::read_dir(&configuration.settings.state) else { return };
    for name in found.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let is_key = name == "node.key" || (name.starts_with("node-") && name.ends_with(".key"));
        // A key that has no certificate yet is asked with again.
        let is_waiting = name == NEXT_KEY
            && NodeKey::load(configuration, &name)
                .is_ok_and(|key| Some(key.spki_sha256()) != tls::spki_sha256(&identity.certificate.0));
        if is_key && name != in_use && !is_waiting {
            remove(configuration, &name);
        }
    }
}

fn remove(configuration: &Configuration, name: &str) {
    if let Err(error) = std::fs::remove_file(configuration.state(name)) {
        tracing::warn!(name, %error, "a key of this node that is not used any more cannot be removed");
    }
}
