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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tenwords_protocol::bytes::Base64;

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const DAY: i64 = 24 * 60 * 60;

    /// A certificate for `key` that begins at midnight and ends at midnight.
    fn certificate(
        key: &KeyPair,
        begins: (i32, u8, u8),
        ends: (i32, u8, u8),
    ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.not_before = date_time_ymd(begins.0, begins.1, begins.2);
        params.not_after = date_time_ymd(ends.0, ends.1, ends.2);
        Ok(params.self_signed(key)?.der().to_vec())
    }

    #[test]
    fn a_certificate_is_due_when_two_thirds_of_its_life_are_over_however_long_it_is() -> Tested {
        let key = KeyPair::generate()?;
        for (ends, whole, due) in [((2026, 4, 1), 90, 60), ((2026, 1, 31), 30, 20), ((2027, 1, 1), 365, 243)] {
            let begins: Timestamp = "2026-01-01T00:00:00Z".parse()?;
            let (expires_at, due_at) =
                life(&certificate(&key, (2026, 1, 1), ends)?).map_err(|stop| stop.in_one_line())?;
            assert_eq!(expires_at.unix() - begins.unix(), whole * DAY, "its life");
            assert_eq!((due_at.unix() - begins.unix()) / DAY, due, "{whole} days");
        }
        assert!(life(b"no certificate").is_err_and(|stop| stop.code == Code::Preflight));
        Ok(())
    }

    /// A node whose certificate is this one, and whose hub does not answer: so it is seen that it was asked.
    fn node(folder: &Path, certificate: Vec<u8>, key: &KeyPair) -> Result<Configuration, Box<dyn std::error::Error>> {
        let text = format!("state = \"{0}/state\"\n[pve]\netc = \"{0}/pve\"\n", folder.display());
        let configuration =
            Configuration::of_text(&folder.join("agent.toml"), &text).map_err(|stop| stop.in_one_line())?;
        std::fs::create_dir(&configuration.settings.state)?;
        std::fs::write(configuration.state("node.key"), key.serialize_pem())?;
        let identity = Identity {
            v: V1,
            hub: "127.0.0.1:1".parse()?,
            box_id: "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?,
            box_name: "bakery".to_owned(),
            node_id: "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5e".parse()?,
            server_ca: Base64(certificate.clone()),
            certificate: Base64(certificate),
            key: None,
        };
        identity.keep_renewed(&configuration).map_err(|stop| stop.in_one_line())?;
        Ok(configuration)
    }

    #[test]
    fn on_day_59_of_90_nobody_is_asked_and_on_day_60_the_hub_is() -> Tested {
        let folder = tempfile::tempdir()?;
        let key = KeyPair::generate()?;
        let configuration = node(folder.path(), certificate(&key, (2026, 1, 1), (2026, 4, 1))?, &key)?;
        let asks = |now: &str| -> Result<bool, Box<dyn std::error::Error>> {
            match if_due(&configuration, now.parse()?, false) {
                Ok(renewed) if !renewed.changed => Ok(false),
                Err(stop) if stop.code == Code::Unreachable => Ok(true),
                other => Err(format!("{other:?}").into()),
            }
        };
        assert!(!asks("2026-01-01T00:00:00Z")?, "it has just begun");
        assert!(!asks("2026-03-01T00:00:00Z")?, "day 59");
        assert!(!asks("2026-03-01T23:59:59Z")?, "a second before day 60");
        assert!(asks("2026-03-02T00:00:00Z")?, "day 60");
        assert!(asks("2026-04-01T00:00:01Z")?, "it has ended");
        Ok(())
    }
}
