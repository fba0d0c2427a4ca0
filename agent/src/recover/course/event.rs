//! What happens in a recovery, as its journal keeps it: public facts only, never a secret.

use std::{collections::BTreeSet, fmt, num::NonZeroU64, path::PathBuf};

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    hash::Sha256,
    id::{BoxId, RecoveryId},
    order::Challenge,
    time::Timestamp,
    v1::V1,
};

use crate::recover::report::{GuestKind, Restored, RestoredGuest};

/// One thing of the plan, by its number in it. A number is never used for another thing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ItemId(pub(crate) u32);

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record of the journal. What is about to be done is recorded before it, what came of it after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Event {
    /// The words have opened this escrow; the recovery has its mark.
    Begun(Begun),
    /// A run goes on with it.
    Resumed { at: Timestamp },
    /// The hub has taken the proof of the words.
    Proven { at: Timestamp },
    /// The plan of this hash is kept. A later run may plan anew what is not done.
    Planned { at: Timestamp, plan_sha256: Sha256, items: Vec<ItemId> },
    /// Sources, keys and tokens are about to be put in place.
    Installing { at: Timestamp },
    /// They are.
    Installed { at: Timestamp },
    /// A rehearsal's are taken away again.
    Removed { at: Timestamp },
    /// An item is about to be made, and how its unfinished state is recognised.
    Started { at: Timestamp, item: ItemId, mark: Mark },
    /// A staged archive is whole and of the signed snapshot: it is about to get its place.
    Staged { at: Timestamp, item: ItemId, inode: u64, what: What },
    /// An item is there, whole and judged.
    Restored { at: Timestamp, item: ItemId, what: What },
    /// It could not be made, and nothing of it is left.
    Failed { at: Timestamp, item: ItemId, why: String },
    /// It could not be made, and what is left of a guest has this configuration.
    Left { at: Timestamp, item: ItemId, config_sha256: Sha256 },
    /// What was left of an unfinished one is taken away.
    Cleared { at: Timestamp, item: ItemId },
    /// What lies in an unfinished one's place is not this recovery's: it is not touched.
    NotOurs { at: Timestamp, item: ItemId, why: String },
    /// An order of this text is asked for: its challenge is open.
    OrderAsked { at: Timestamp, text: String },
    /// An answer to an order was not taken.
    OrderRefused {
        at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<Sha256>,
        why: String,
    },
    /// An order was good, and is used up: its challenge is closed, and what it lets happen begins.
    OrderUsed { at: Timestamp, challenge: Challenge, signer: String },
    /// A challenge is closed unused.
    OrderWithdrawn { at: Timestamp, challenge: Challenge, why: String },
    /// The closing ceremony is about to be held.
    Closing { at: Timestamp },
    /// It was held.
    Closed { at: Timestamp, version: Option<NonZeroU64> },
    /// Everything of the plan is back.
    Ended { at: Timestamp },
}

/// Which escrow a recovery goes by, and what it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begun {
    pub(crate) v: V1,
    pub(crate) at: Timestamp,
    pub(crate) recovery: RecoveryId,
    pub(crate) box_id: BoxId,
    pub(crate) box_name: String,
    /// The hub's number for the version; a kit has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<NonZeroU64>,
    pub(crate) root_sha256: Sha256,
    pub(crate) rehearsal: bool,
    /// What is newer is not chosen, whatever a later run is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lost_at: Option<Timestamp>,
    /// Where archives go.
    pub(crate) into: PathBuf,
}

/// By what the unfinished state of an item is told from what is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Mark {
    /// It is made here, under a name that holds the recovery's id, and then gets its place. What an order
    /// named lies there until then.
    Stage {
        stage: PathBuf,
        target: PathBuf,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Sha256>,
    },
    /// A guest of this number, which was free, or is that of the guest that an order named; these volumes of
    /// the number were there before, on these storages, and are not that guest's own. By what its configuration
    /// means and its own volumes it is known again: Proxmox VE writes its configuration anew with each lock.
    Guest {
        guest: GuestKind,
        vmid: u32,
        volumes_before: BTreeSet<String>,
        storages_before: BTreeSet<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Sha256>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaced_meaning: Option<Sha256>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        replaced_volumes: BTreeSet<String>,
    },
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Archive(Restored),
    Guest(RestoredGuest),
}

impl Event {
    /// The name of the durable step that records it.
    pub(crate) fn step(&self) -> &'static str {
        match self {
            Self::Begun(_) => "journal-begun",
            Self::Resumed { .. } => "journal-resumed",
            Self::Proven { .. } => "journal-proven",
            Self::Planned { .. } => "journal-planned",
            Self::Installing { .. } => "journal-installing",
            Self::Installed { .. } => "journal-installed",
            Self::Removed { .. } => "journal-removed",
            Self::Started { .. } => "journal-started",
            Self::Staged { .. } => "journal-staged",
            Self::Restored { .. } => "journal-restored",
            Self::Failed { .. } => "journal-failed",
            Self::Left { .. } => "journal-left",
            Self::Cleared { .. } => "journal-cleared",
            Self::NotOurs { .. } => "journal-not-ours",
            Self::OrderAsked { .. } => "journal-order-asked",
            Self::OrderRefused { .. } => "journal-order-refused",
            Self::OrderUsed { .. } => "journal-order-used",
            Self::OrderWithdrawn { .. } => "journal-order-withdrawn",
            Self::Closing { .. } => "journal-closing",
            Self::Closed { .. } => "journal-closed",
            Self::Ended { .. } => "journal-ended",
        }
    }
}
