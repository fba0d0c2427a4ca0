//! `closure.json`: what a recovery leaves to be done, and what was seen or said of each line since.
//!
//! No secret lies here. Of each token that the lost box had, a salted hash: enough to see whether this box
//! still uses it, and nothing that opens anything. (A token's secret is drawn by PBS and cannot be guessed;
//! a user's password could be, by whoever reads this file, which root alone does, beside the password.)

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};
use serde::{Deserialize, Serialize};
use tenwords_escrow::{root::RootFacts, secret::TokenSecret};
use tenwords_protocol::{
    bytes::Base64Array,
    directive::Name,
    hash::Sha256,
    id::{BoxId, NodeId},
    json,
    time::Timestamp,
    v1::V1,
};
use zeroize::Zeroizing;

use super::line::{Id, State};
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    recover::report::RestoredGuest,
    settings::Configuration,
    sources,
};

const FILE: &str = "closure.json";
const LIMIT: u64 = 1 << 20;

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    v: V1,
    pub(super) box_id: BoxId,
    pub(super) recovered_at: Timestamp,
    /// This machine at the hub, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) node_id: Option<NodeId>,
    /// What the words opened.
    pub(super) code_number: u64,
    pub(super) sequence: u64,
    pub(super) tokens: Vec<LostToken>,
    pub(super) guests: Vec<Guest>,
    /// Small files of the lost box, by name: some may hold secrets.
    pub(super) files: Vec<String>,
    pub(super) lines: BTreeMap<Id, State>,
    /// Snapshots that were seen before their time had come: nobody's backup.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) ahead: BTreeSet<String>,
}

/// A token that the lost box has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LostToken {
    pub(super) source: Name,
    pub(super) server: String,
    pub(super) port: u16,
    pub(super) auth_id: String,
    pub(super) certificate: String,
    salt: Base64Array<32>,
    mark: Sha256,
}

/// A guest that came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guest {
    /// `ct/101`, as it will be backed up.
    pub(super) group: String,
    pub(super) restored_at: Timestamp,
}

impl LostToken {
    /// Whether this secret is the one that the lost box has.
    pub(super) fn is(&self, secret: &TokenSecret) -> bool {
        mark(&self.salt.0, secret) == self.mark
    }
}

impl Kept {
    /// Of a recovery that ends now.
    pub(super) fn new(facts: &RootFacts, node_id: Option<NodeId>, guests: &[RestoredGuest], now: Timestamp) -> Self {
        let tokens = facts.trust.sources.iter().filter_map(|source| {
            let token = facts.secrets.tokens.get(&source.id)?;
            let mut salt = [0; 32];
            UnwrapErr(SysRng).fill_bytes(&mut salt);
            Some(LostToken {
                source: source.id.clone(),
                server: source.server.as_str().to_owned(),
                port: source.port.get(),
                auth_id: source.auth_id.to_string(),
                certificate: sources::written_certificate(source),
                mark: mark(&salt, token),
                salt: Base64Array(salt),
            })
        });
        let guest = |guest: &RestoredGuest| Guest { group: format!("{}/{}", guest.kind, guest.vmid), restored_at: now };
        Self {
            v: V1,
            box_id: facts.box_id,
            recovered_at: now,
            node_id,
            code_number: facts.code.number.get(),
            sequence: facts.sequence.get(),
            tokens: tokens.collect(),
            guests: guests.iter().map(guest).collect(),
            files: facts.secrets.files.iter().map(|file| file.path.as_str().to_owned()).collect(),
            lines: BTreeMap::new(),
            ahead: BTreeSet::new(),
        }
    }

    /// The same after what an earlier run of this recovery has left: what was restored then, seen and said
    /// stays, and so does what the words opened first.
    pub(super) fn after(self, earlier: Self) -> Self {
        let mut kept = earlier;
        for guest in self.guests {
            kept.guests.retain(|there| there.group != guest.group);
            kept.lines.remove(&Id::Backup(guest.group.clone()));
            kept.guests.push(guest);
        }
        for token in self.tokens {
            // The lost box's secret is in the root that was opened first.
            if !kept.tokens.iter().any(|there| there.source == token.source) {
                kept.tokens.push(token);
            }
        }
        kept.node_id = self.node_id.or(kept.node_id);
        kept
    }

    /// The box's own, if a recovery has left one.
    ///
    /// # Errors
    /// It cannot be read: then nothing is known to be closed.
    pub(super) fn load(configuration: &Configuration, box_id: BoxId) -> Outcome<Option<Self>> {
        let path = configuration.state(FILE);
        let damaged = || {
            Stop::new(Code::Internal, format!("the closure checklist {} cannot be read", path.display())).remedy(
                "put it back from a backup of this machine; or go through docs/closure.md by hand, then remove it",
            )
        };
        match durable::read_limited(&path, LIMIT) {
            Ok(text) => {
                let kept: Self = json::from_slice(&text).map_err(|error| damaged().because(error))?;
                Ok(Some(kept).filter(|kept| kept.box_id == box_id))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(damaged().because(error)),
        }
    }

    pub(super) fn keep(&self, configuration: &Configuration) -> Outcome<()> {
        let path = configuration.state(FILE);
        let cannot = || format!("cannot keep the closure checklist in {}", path.display());
        let text = json::to_vec(self).or_stop(Code::Internal, cannot)?;
        durable::replace("closure", &path, 0o600, &text).or_stop(Code::Internal, cannot)
    }
}

fn mark(salt: &[u8; 32], secret: &TokenSecret) -> Sha256 {
    let secret = secret.expose_text().as_bytes();
    let mut bytes = Zeroizing::new(Vec::with_capacity(LABEL.len() + salt.len() + secret.len()));
    bytes.extend_from_slice(LABEL);
    bytes.extend_from_slice(salt);
    bytes.extend_from_slice(secret);
    Sha256::of(&bytes)
}

const LABEL: &[u8] = b"tenwords-lost-token-v1\n";
