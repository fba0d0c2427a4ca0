//! What the box has of its own escrow: the ceremony that it belongs to, the updates that were acknowledged, and
//! the one that may be on its way.
//!
//! The acknowledged bytes lie in `escrow.bundle`, as a kit: ceremony version and updates, so that a hub that has
//! lost them is given them again, and that a kit or a drill without a hub has them. An update that was made lies
//! in `escrow.pending` before it is sent anywhere, since two of one number would break the chain: whatever
//! happens, that one is sent, and sent again.

use std::{collections::BTreeSet, io, num::NonZeroU64};

use serde::{Deserialize, Serialize};
use tenwords_escrow::{
    keys::BoxKey,
    update::{Ceremony, Followed, follow},
};
use tenwords_protocol::{
    bytes::Base64,
    fingerprint::Fingerprint,
    hash::Sha256,
    part::PartName,
    update::Statement,
    v1::V1,
    version::{Bundle, Header, Kind, PartEntry, UpdateVersion},
};

use super::facts::{Facts, FactsKey};
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    kits,
    record::Record,
    settings::Configuration,
};

const PENDING: &str = "escrow.pending";

/// The escrow as the box has kept it.
pub(super) struct Own {
    pub(super) record: Record,
    pub(super) ceremony: Ceremony,
    pub(super) key: BoxKey,
    /// With the updates that were acknowledged.
    pub(super) bundle: Bundle,
    /// Of those updates.
    pub(super) chain: Followed,
}

/// An update that was made.
pub(super) struct Pending {
    pub(super) version: UpdateVersion,
    /// What is escrowed once it is acknowledged.
    pub(super) facts: Facts,
}

/// Why the box's own copy is not to be had.
pub(super) enum Unloaded {
    /// It is not there, or not what was written: the hub's copy will do.
    Damaged(Stop),
    /// It may be good, and something else is not: it stays as it is.
    Other(Stop),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: V1,
    facts: Facts,
    bundle: Base64,
}

// === impl Own ===

impl Own {
    /// Of this ceremony.
    pub(super) fn load(configuration: &Configuration, record: Record) -> Result<Self, Unloaded> {
        let key = record.box_key(configuration)?;
        let cannot = || "what this box has kept of its escrow cannot be read".to_owned();
        let text = Record::bundle_text(configuration).map_err(|error| {
            let is_lost = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge);
            let stop = Stop::new(Code::Internal, cannot()).because(error);
            if is_lost { Unloaded::Damaged(stop) } else { Unloaded::Other(stop) }
        })?;
        let bundle = Bundle::parse(&text).or_stop(Code::Internal, cannot).map_err(Unloaded::Damaged)?;
        Self::of(record, key, bundle)
    }

    /// The same with a bundle from elsewhere, where the box's own is damaged.
    pub(super) fn of(record: Record, key: BoxKey, bundle: Bundle) -> Result<Self, Unloaded> {
        if bundle.header().parts() != record.parts {
            let what = "what this box has kept of its escrow is another ceremony's";
            return Err(Unloaded::Damaged(Stop::new(Code::Internal, what).remedy(CEREMONY)));
        }
        let ceremony = record.ceremony()?;
        let chain = chain(&ceremony, &key, bundle.updates());
        if let Some(broken) = &chain.broken {
            let what =
                format!("the updates that this box has kept break off at {}: {}", broken.sequence, broken.reason);
            return Err(Unloaded::Damaged(Stop::new(Code::Internal, what).remedy(CEREMONY)));
        }
        Ok(Self { record, ceremony, key, bundle, chain })
    }

    /// The acknowledged updates with keys or tokens, by their part.
    pub(super) fn updates(&self) -> impl Iterator<Item = &UpdateVersion> {
        self.bundle.updates().iter()
    }

    /// Those of their update parts, in the order of the chain.
    pub(super) fn hashes(&self) -> impl Iterator<Item = Sha256> {
        self.updates().filter_map(|version| update_of(version.header())).map(|entry| entry.sha256)
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.chain.statements
    }

    /// Whether an update is among the acknowledged ones.
    pub(super) fn has(&self, pending: &Pending) -> bool {
        self.updates().any(|version| update_of(version.header()).map(|entry| entry.sha256) == pending.sha256())
    }

    /// The keys that are in the root, or in an update that stands on it.
    pub(super) fn keys(&self) -> BTreeSet<Fingerprint> {
        let added = self.statements().iter().flat_map(|statement| &statement.fingerprints);
        self.record.keys.iter().chain(added).copied().collect()
    }

    /// The ceremony version as it is pushed, without what lies on it.
    pub(super) fn plain(&self) -> Outcome<Bundle> {
        Bundle::of_fetched(self.bundle.header().clone(), self.bundle.parts().clone())
            .or_stop(Code::Internal, || "what this box has kept of its escrow does not hold together".to_owned())
    }

    /// With an update that was acknowledged.
    pub(super) fn add(&mut self, configuration: &Configuration, version: UpdateVersion) -> Outcome<()> {
        let mut updates = self.bundle.updates().to_vec();
        if !updates.contains(&version) {
            updates.push(version);
            self.put(configuration, updates)?;
        }
        Ok(())
    }

    /// With exactly these updates.
    pub(super) fn put(&mut self, configuration: &Configuration, updates: Vec<UpdateVersion>) -> Outcome<()> {
        let bundle = self.plain()?.with_kit(updates, None);
        let of = Self::of(self.record.clone(), self.record.box_key(configuration)?, bundle)?;
        Record::keep_bundle(configuration, &of.bundle)?;
        *self = of;
        Ok(())
    }
}

/// The update among the parts of a version, if it has one and is not one of pins alone.
pub(super) fn update_of(header: &Header) -> Option<&PartEntry> {
    header.parts().iter().find(|part| matches!(part.name, PartName::Update(_)))
}

/// Follows the updates in these versions.
pub(super) fn chain(ceremony: &Ceremony, key: &BoxKey, versions: &[UpdateVersion]) -> Followed {
    let parts = versions.iter().flat_map(|version| version.parts()).filter_map(|(name, bytes)| match name {
        PartName::Update(sequence) => Some((*sequence, bytes.as_slice())),
        _ => None,
    });
    follow(ceremony, key.public(), parts)
}

// === impl Unloaded ===

impl From<Stop> for Unloaded {
    fn from(stop: Stop) -> Self {
        Self::Other(stop)
    }
}

impl From<Unloaded> for Stop {
    fn from(unloaded: Unloaded) -> Self {
        match unloaded {
            Unloaded::Damaged(stop) | Unloaded::Other(stop) => stop,
        }
    }
}

// === impl Pending ===

impl Pending {
    /// Whether there is one, good or not.
    pub(super) fn is_there(configuration: &Configuration) -> bool {
        configuration.state(PENDING).symlink_metadata().is_ok()
    }

    /// The one that may be on its way on this ceremony. One that is damaged, or of another ceremony, is none:
    /// had it arrived, it is found where it was sent.
    pub(super) fn load(configuration: &Configuration, key: &FactsKey, root_sha256: Sha256) -> Option<Self> {
        let text = durable::read_limited(&configuration.state(PENDING), kits::LIMIT).ok()?;
        let Written { facts, bundle, .. } = key.opened("pending", &text)?;
        let bundle = Bundle::parse(&bundle.0).ok()?;
        let (header, parts) = bundle.into_parts();
        let is_of = header.facts().kind == Kind::Update && header.facts().root_sha256 == root_sha256;
        is_of.then(|| UpdateVersion::of_fetched(header, parts).ok()).flatten().map(|version| Self { version, facts })
    }

    pub(super) fn keep(&self, configuration: &Configuration, key: &FactsKey) -> Outcome<()> {
        let cannot = || "the update cannot be kept, and is not sent".to_owned();
        let bundle = self.bundle()?.to_text().or_stop(Code::Internal, cannot)?;
        let written = Written { v: V1, facts: self.facts.clone(), bundle: Base64(bundle) };
        let text = key.sealed("pending", written).or_stop(Code::Internal, cannot)?;
        durable::replace("update-pending", &configuration.state(PENDING), 0o600, &text).or_stop(Code::Preflight, cannot)
    }

    /// It has arrived, or its place was taken.
    pub(super) fn forget(configuration: &Configuration) -> Outcome<()> {
        let path = configuration.state(PENDING);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).or_stop(Code::Preflight, || format!("{} cannot be taken away", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// As it is pushed.
    pub(super) fn bundle(&self) -> Outcome<Bundle> {
        Bundle::of_fetched(self.version.header().clone(), self.version.parts().clone())
            .or_stop(Code::Internal, || "the update does not hold together".to_owned())
    }

    pub(super) fn sequence(&self) -> Option<NonZeroU64> {
        match update_of(self.version.header())?.name {
            PartName::Update(sequence) => Some(sequence),
            _ => None,
        }
    }

    pub(super) fn sha256(&self) -> Option<Sha256> {
        update_of(self.version.header()).map(|entry| entry.sha256)
    }
}

pub(super) const CEREMONY: &str = "hold a ceremony: `tenwords-agent escrow create` with the customer at the console";
