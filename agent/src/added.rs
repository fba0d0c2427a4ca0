//! What the box has added to an escrow since its ceremony: its updates, opened with the root that the words have
//! opened.
//!
//! Wherever they lie, they prove themselves by signature and chain, and a broken one ends what is believed of
//! them. The same ceremony may have been stored more than once (by a box whose hub had lost it), and kits may lie
//! in several places: each is a beginning of its own, and the one that goes farthest counts, so that nobody who
//! adds something can take away what was there. A stolen box can add for as long as it likes; what was added
//! after the loss is named and not used.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    sync::Arc,
};

use tenwords_escrow::{
    gate::GatedKey,
    secret::TokenSecret,
    update::{Chain, open_chain},
};
use tenwords_protocol::{
    directive::Name,
    fingerprint::Fingerprint,
    hash::Sha256,
    json,
    part::PartName,
    time::Timestamp,
    update::{Statement, Update},
    version::{Kind, StoredHeader, UpdateVersion},
};

use crate::{
    hub::{Hub, HubError},
    opening::{Holder, OpenedEscrow},
    recover::plan::chain,
    show::harmless,
};

/// Updates of one ceremony that are looked at, at most, and bytes of them.
const MOST: usize = 1024;
const BYTES: usize = 64 << 20;
/// Beginnings of one ceremony that are looked at.
const BEGINNINGS: usize = 64;
/// Keys that updates add at most: a ceremony has to have room for all of them.
const MOST_KEYS: usize = 96;
/// Updates that are named one by one.
const TOLD: usize = 16;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// Keys that the root does not have, each through the key gate.
    pub(crate) keys: BTreeMap<Fingerprint, Arc<GatedKey>>,
    /// Secrets for tokens of the root, the newest first. They are tried where the root's own is taken no more.
    pub(crate) tokens: BTreeMap<Name, Vec<TokenSecret>>,
    /// How many updates stand.
    pub(crate) updates: usize,
    /// What a person should know of them.
    pub(crate) notes: Vec<String>,
}

/// An update as it was found.
#[derive(Clone)]
struct Found {
    sequence: NonZeroU64,
    part: Arc<Vec<u8>>,
    /// When it was stored, as far as somebody else than the box can say; by the box's own clock too.
    at: Timestamp,
}

impl Added {
    /// What lies on what was opened. After `lost_at` nothing is used.
    ///
    /// # Errors
    /// The hub does not answer.
    pub(crate) fn open(
        holder: Holder<'_>,
        opened: &OpenedEscrow,
        lost_at: Option<Timestamp>,
    ) -> Result<Self, HubError> {
        let mut notes = Vec::new();
        let beginnings = match holder {
            Holder::Hub { hub, box_id: _ } => of_hub(hub, opened, &mut notes)?,
            Holder::Kits(kits) => {
                let facts = opened.escrow.root().facts();
                kits.updates_on(facts.box_id, opened.escrow.root_sha256()).map(of_kit).collect()
            }
        };
        Ok(Self::of(opened, beginnings, lost_at, notes))
    }

    fn of(opened: &OpenedEscrow, beginnings: Vec<Vec<Found>>, lost_at: Option<Timestamp>, notes: Vec<String>) -> Self {
        let mut best: Option<(Chain, Vec<Found>)> = None;
        for found in beginnings.into_iter().take(BEGINNINGS) {
            let before = found.iter().take_while(|found| lost_at.is_none_or(|lost_at| found.at <= lost_at)).count();
            let (used, late) = found.split_at(before);
            let parts = used.iter().map(|found| (found.sequence, found.part.as_slice()));
            let chain = open_chain(opened.escrow.root(), opened.escrow.root_sha256(), parts);
            let reach = |chain: &Chain, late: &[Found]| (chain.updates().len(), late.len());
            let is_farther = best.as_ref().is_none_or(|(best, best_late)| reach(&chain, late) > reach(best, best_late));
            if is_farther {
                best = Some((chain, late.to_vec()));
            }
        }
        let mut added = Self { notes, ..Self::default() };
        if let Some((chain, late)) = best {
            added.take(opened, chain);
            added.name_late(&late, lost_at);
        }
        added
    }

    fn take(&mut self, opened: &OpenedEscrow, opened_chain: Chain) {
        let (updates, broken) = opened_chain.into_parts();
        self.updates = updates.len();
        if let Some(last) = updates.last() {
            self.notes.push(format!(
                "{} updates lie on this ceremony, the last of {}: the box has sealed them, nobody has proven them",
                updates.len(),
                last.made_at()
            ));
        }
        let mut left_out = 0;
        for update in &updates {
            let mut new = Vec::new();
            for (key, gated) in update.keys() {
                if opened.escrow.keys().contains_key(key) || self.keys.contains_key(key) {
                    continue;
                }
                if self.keys.len() >= MOST_KEYS {
                    left_out += 1;
                    continue;
                }
                self.keys.insert(*key, Arc::clone(gated));
                new.push(format!("key {}", key.short()));
            }
            for (source, token) in update.tokens() {
                let Ok(token) = TokenSecret::new(token.expose_text().to_owned().into()) else { continue };
                self.tokens.entry(source.clone()).or_default().insert(0, token);
                new.push(format!("another secret of the token of source {source}"));
            }
            if !new.is_empty() {
                let note = format!("update {} of {} added {}", update.sequence(), update.made_at(), new.join(", "));
                self.notes.push(note);
            }
        }
        if left_out > 0 {
            self.notes.push(format!("{left_out} keys of updates are left out: there are more than {MOST_KEYS}"));
        }
        if let Some(broken) = broken {
            self.notes.push(format!(
                "update {} is REFUSED, and {} after it were not looked at: {}",
                broken.sequence,
                broken.left,
                harmless(&chain(&broken.reason), 400)
            ));
        }
    }

    fn name_late(&mut self, late: &[Found], lost_at: Option<Timestamp>) {
        let Some(lost_at) = lost_at.filter(|_| !late.is_empty()) else { return };
        self.notes.push(format!(
            "{} updates came after the loss ({lost_at}) and are NOT used: whoever has the lost box can make them",
            late.len()
        ));
        for found in late.iter().take(TOLD) {
            let keys = stated(&found.part).map(|statement| statement.fingerprints).unwrap_or_default();
            let keys: Vec<_> = keys.iter().take(TOLD).map(Fingerprint::short).collect();
            self.notes.push(format!("  update {} of {}: keys {}", found.sequence, found.at, keys.join(", ")));
        }
    }

    /// The opened keys, and those that updates have added.
    pub(crate) fn keyring(&self, opened: &OpenedEscrow) -> BTreeMap<Fingerprint, Arc<GatedKey>> {
        let mut keys = opened.escrow.keys().clone();
        keys.extend(self.keys.iter().map(|(key, gated)| (*key, Arc::clone(gated))));
        keys
    }
}

/// What a statement says, before anybody has looked whether it is true.
fn stated(part: &[u8]) -> Option<Statement> {
    let update: Update = json::from_slice(part).ok()?;
    json::from_slice(&update.statement.0).ok()
}

/// By the clock of whoever stored it and by the box's own: the later of the two.
fn time(stored: Timestamp, part: &[u8]) -> Timestamp {
    stated(part).map_or(stored, |statement| statement.made_at.max(stored))
}

/// The updates of one kit. Nobody has said when they came but the box.
fn of_kit(updates: &[UpdateVersion]) -> Vec<Found> {
    let parts = updates.iter().flat_map(|version| {
        let made_at = version.header().facts().made_at;
        version.parts().iter().map(move |part| (made_at, part))
    });
    let update = |(made_at, (name, part)): (Timestamp, (&PartName, &Vec<u8>))| match name {
        PartName::Update(sequence) => {
            Some(Found { sequence: *sequence, at: time(made_at, part), part: Arc::new(part.clone()) })
        }
        _ => None,
    };
    parts.filter_map(update).take(MOST).collect()
}

/// The updates at the hub, by each storing of the ceremony that they lie on; a part that lies there twice counts
/// from when it came first.
fn of_hub(hub: &Hub, opened: &OpenedEscrow, notes: &mut Vec<String>) -> Result<Vec<Vec<Found>>, HubError> {
    let box_id = opened.escrow.root().facts().box_id;
    let root_sha256 = opened.escrow.root_sha256();
    let is_of = |stored: &StoredHeader| stored.header.facts().root_sha256 == root_sha256;
    let is_ceremony = |stored: &StoredHeader| stored.header.facts().kind == Kind::Ceremony;
    // What is older than another ceremony below the opened one lies on none of its storings.
    let mut versions = hub.versions_until(box_id, |so_far| {
        so_far.iter().any(|stored| stored.number < opened.number && is_ceremony(stored) && !is_of(stored))
    })?;
    versions.reverse();
    let mut beginnings: Vec<Vec<Found>> = Vec::new();
    let mut fetched: BTreeMap<Sha256, Found> = BTreeMap::new();
    let mut bytes = 0;
    for stored in versions.iter().filter(|stored| is_of(stored)) {
        if is_ceremony(stored) {
            beginnings.push(Vec::new());
            continue;
        }
        let Some(current) = beginnings.last_mut() else { continue };
        let update = stored.header.parts().iter().find_map(|entry| match entry.name {
            PartName::Update(sequence) => Some((sequence, entry)),
            _ => None,
        });
        let Some((sequence, entry)) = update else { continue };
        if let Some(known) = fetched.get(&entry.sha256) {
            current.push(known.clone());
            continue;
        }
        bytes += usize::try_from(entry.size).unwrap_or(usize::MAX);
        if fetched.len() >= MOST || bytes > BYTES {
            notes.push(format!("more updates lie there than are looked at: none after version {}", stored.number));
            break;
        }
        let part = match hub.parts(box_id, stored) {
            Ok(mut parts) => parts.remove(&PartName::Update(sequence)).unwrap_or_default(),
            Err(error @ (HubError::Unreachable(..) | HubError::Later { .. } | HubError::Clock)) => return Err(error),
            // What does not come is a break of the chain, which says so.
            Err(error) => {
                notes.push(format!("version {} cannot be fetched: {error}", stored.number));
                Vec::new()
            }
        };
        let found = Found { sequence, at: time(stored.received_at, &part), part: Arc::new(part) };
        fetched.insert(entry.sha256, found.clone());
        current.push(found);
    }
    let mut seen = BTreeSet::new();
    beginnings.retain(|found| seen.insert(found.iter().map(|found| Sha256::of(&found.part)).collect::<Vec<_>>()));
    Ok(beginnings)
}
