//! What a box tells its hub of its backups once a ceremony's version is stored.
//!
//! It is cut out of the inventory and is its plain part: names, ids, fingerprints, times and sizes.
//! Where the servers are, as whom the box comes to them, what its jobs are and what is wrong with them
//! stays on the box: a hub's stolen disk must not lead to the backups. As with the inventory, nothing in
//! it decides trust, lists are bounded while they are being read, and what did not fit is counted.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::{
    bounded::{List, Text},
    directive::{Group, GroupType, Name, Namespace},
    fingerprint::Fingerprint,
    inventory::{Answer, Coverage, GroupEntry, Guest, GuestKind, Inventory, SourceEntry, SourceState},
    json::{self, JsonError},
    time::Timestamp,
    v1::V1,
};

/// Bytes of the whole text, at most; a reader refuses more before it parses.
pub const MAX_HOLDINGS_BYTES: usize = 1 << 20;

/// What a box had at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holdings {
    /// Always 1.
    pub v: V1,
    /// When the asking began, by the box's clock.
    pub made_at: Timestamp,
    /// The sources that are in use, and so in the root.
    pub sources: List<HeldSource, 64>,
    /// The box's guests, by number.
    pub guests: List<HeldGuest, 10_000>,
    /// Guests that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub guests_left_out: u64,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldSource {
    /// Its id, as in the root.
    pub id: Name,
    /// Its namespace; absent for the datastore's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Whether the server answered; if not, that it lists nothing says nothing.
    pub answered: bool,
    /// Its groups, by type and id.
    pub groups: List<HeldGroup, 10_000>,
    /// Groups that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub groups_left_out: u64,
}

/// One group of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldGroup {
    /// Its name.
    pub group: Group,
    /// Snapshots.
    pub count: u64,
    /// When the newest was begun.
    pub newest: Timestamp,
    /// That one's bytes, if the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The key that it is said to need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
    /// Its archives, `root.pxar`; those of a guest go unnamed.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub archives: List<Name, 64>,
}

/// A guest of the box, backed up or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldGuest {
    /// The group that its backups have, or would have.
    pub group: Group,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<64>>,
    /// Whether a job writes it to a source that is in use.
    pub covered: bool,
}

/// The answer to `GET /v1/boxes/{box_id}/inventory`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryReply {
    /// Always 1.
    pub v: V1,
    /// The version with which the box sent it.
    pub version: NonZeroU64,
    /// When the hub took it.
    pub received_at: Timestamp,
    /// What the box said.
    pub inventory: Holdings,
}

/// The answer to a box that has sent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryStored {
    /// Always 1.
    pub v: V1,
    /// The version it is kept with.
    pub version: NonZeroU64,
}

// === impl Holdings ===

impl Holdings {
    /// What of an inventory the hub may know, as large as the hub takes it.
    ///
    /// # Errors
    /// [`JsonError`] if it cannot be written at all.
    pub fn fitting(inventory: &Inventory) -> Result<(Self, Vec<u8>), JsonError> {
        let mut most = usize::MAX;
        loop {
            let holdings = Self::of(inventory, most);
            let text = json::to_vec(&holdings)?;
            if text.len() <= MAX_HOLDINGS_BYTES || most == 0 {
                return Ok((holdings, text));
            }
            most = most.min(10_000) / 2;
        }
    }

    /// With at most so many guests, and groups of each source.
    fn of(inventory: &Inventory, most: usize) -> Self {
        let used = inventory.sources.iter().filter(|source| source.state == SourceState::InUse);
        let (guests, cut) = List::cut(inventory.guests.iter().take(most).filter_map(HeldGuest::of));
        Self {
            v: V1,
            made_at: inventory.made_at,
            sources: List::cut(used.filter_map(|source| HeldSource::of(source, most))).0,
            guests,
            guests_left_out: cut + beyond(inventory.guests.len(), most) + inventory.guests_left_out,
        }
    }

    /// What a group is called by its owner, if it is a guest's.
    #[must_use]
    pub fn name_of(&self, group: &Group) -> Option<&str> {
        let guest = self.guests.iter().find(|guest| guest.group == *group)?;
        guest.name.as_ref().map(Text::as_str)
    }
}

impl HeldSource {
    fn of(source: &SourceEntry, most: usize) -> Option<Self> {
        // One whose id is no name cannot be in a root.
        let id = source.id.as_str().parse().ok()?;
        let listing = match &source.answer {
            Answer::Listed(listing) => Some(listing),
            Answer::NotAsked | Answer::Failed(_) => None,
        };
        let all: &[GroupEntry] = listing.map_or(&[], |listing| &listing.groups);
        let (groups, cut) = List::cut(all.iter().take(most).map(HeldGroup::of));
        let before = listing.map_or(0, |listing| listing.groups_left_out);
        Some(Self {
            id,
            namespace: source.namespace.clone(),
            answered: listing.is_some(),
            groups,
            groups_left_out: cut + beyond(all.len(), most) + before,
        })
    }
}

impl HeldGroup {
    fn of(entry: &GroupEntry) -> Self {
        let newest = &entry.newest;
        Self {
            group: entry.group.clone(),
            count: entry.count,
            newest: newest.time,
            size: newest.size,
            key: newest.fingerprint,
            archives: newest.archives.clone(),
        }
    }
}

impl HeldGuest {
    fn of(guest: &Guest) -> Option<Self> {
        let kind = match guest.kind {
            GuestKind::Ct => GroupType::Ct,
            GuestKind::Vm => GroupType::Vm,
        };
        Some(Self {
            group: Group { kind, id: guest.vmid.to_string().parse().ok()? },
            name: guest.name.as_ref().map(|name| Text::cut(name.as_str())),
            covered: guest.coverage == Coverage::Source,
        })
    }
}

fn beyond(all: usize, most: usize) -> u64 {
    u64::try_from(all.saturating_sub(most)).unwrap_or(u64::MAX)
}

fn is_empty(names: &[Name]) -> bool {
    names.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
