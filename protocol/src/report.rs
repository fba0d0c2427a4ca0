//! What a node says of its box: `POST /v1/boxes/{box_id}/reports`.
//!
//! A report decides nothing about trust. It is what readiness is computed from ([`crate::readiness`]), and
//! a box that was taken over can write into it what it likes; therefore the hub holds it against what it
//! has itself, and silence is never good news. Unknown fields are passed over, and words that are not known
//! are kept as such: a newer agent must not fall silent at an older hub. Everything is bounded while it is read.

use std::{fmt, num::NonZeroU64};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    bounded::{List, Text},
    directive::Group,
    fingerprint::Fingerprint,
    hash::Sha256,
    id::NodeId,
    inventory::{Coverage, Crypt, SourceState, Verified},
    readiness::Readiness,
    time::Timestamp,
    v1::V1,
    version::Grade,
};

/// Bytes of a report's text, at most; a reader refuses more before it parses.
pub const MAX_REPORT_BYTES: usize = 4 << 20;

/// One node's word at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Always 1.
    pub v: V1,
    /// When, by the node's clock.
    pub made_at: Timestamp,
    /// The node itself.
    pub machine: Machine,
    /// The box, as its keeper sees it; absent from every other node, and from a keeper that could not look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// What is wrong right now.
    pub alarms: List<Alarm, 128>,
    /// Alarms that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub alarms_left_out: u64,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub name: Text<64>,
    /// The agent, `0.1.0`.
    pub agent_version: Text<64>,
    /// The client, `3.2.4`; absent if there is none or it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<Text<64>>,
    /// The kernel's name for this start of the machine.
    pub boot_id: Text<64>,
    /// Seconds since that start, by the clock that nobody sets: it only grows. Two machines that share an
    /// identity are told by it.
    pub uptime: u64,
    /// The node that escrows for the box, as this one knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<NodeId>,
}

/// A box, as its keeper sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The escrow that it takes to be stored; absent before the first ceremony.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrow: Option<HeldEscrow>,
    /// Keys that are in use, or that snapshots need.
    pub keys: List<KeyFact, 256>,
    /// Keys that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keys_left_out: u64,
    /// Where the box backs up to.
    pub sources: List<SourceFact, 64>,
    /// When the backup servers were asked last; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers_asked_at: Option<Timestamp>,
    /// What should be backed up: each guest, and each group of the box itself.
    pub groups: List<GroupFact, 10_000>,
    /// Those that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub groups_left_out: u64,
}

/// The escrow that a box takes to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldEscrow {
    /// The hub's number of the newest ceremony.
    pub ceremony: NonZeroU64,
    /// The hub's number of the newest version on it: the ceremony itself, or an update.
    pub newest: NonZeroU64,
    /// The ceremony's root.
    pub root_sha256: Sha256,
    /// Whether a backup server holds the same.
    pub second_holder: SecondHolder,
}

/// Whether a backup server of the box holds its escrow too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecondHolder {
    /// One holds the newest.
    Agrees,
    /// One holds something older, or something else.
    Differs,
    /// None holds anything.
    None,
    /// None could be asked.
    #[serde(other)]
    Unknown,
}

/// A key of the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFact {
    /// Which.
    pub fingerprint: Fingerprint,
    /// Whether a source backs up under it now.
    pub in_use: bool,
    /// How many snapshots are said to need it.
    pub snapshots: u64,
    /// Whether this box has the key.
    pub held: bool,
    /// How it is escrowed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrowed: Option<Escrowed>,
    /// Since when the box knows of it.
    pub since: Timestamp,
}

/// That a key is escrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escrowed {
    /// Proven with the words, or sealed without them.
    pub grade: Grade,
    /// Since when.
    pub since: Timestamp,
}

/// A source. It says neither where the server is nor why something is wrong with it: a hub's stolen disk must not
/// lead to the backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFact {
    /// Its name on the box.
    pub id: Text<128>,
    /// What it is to the box.
    pub state: SourceState,
    /// Whether the root has it as it is now.
    pub in_escrow: bool,
    /// When its server answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// What its token may do to what is there.
    pub pruning: Pruning,
    /// Since when it is as it is.
    pub since: Timestamp,
}

/// Whether a box's own token may remove backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pruning {
    /// It may not.
    Cannot,
    /// It may.
    May,
    /// The server did not say.
    #[serde(other)]
    Unknown,
}

/// A group that should have backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupFact {
    /// Its name on the backup server.
    pub group: Group,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<64>>,
    /// Whether jobs take care of it.
    pub coverage: Coverage,
    /// The box's configuration says that it is not backed up on purpose.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exempt: bool,
    /// Seconds between two runs of the job that takes care of it, at most; absent if that is not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    /// The newest snapshot, on whichever source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<SnapshotFact>,
    /// The time of the newest snapshot whose signature was found good; absent if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
    /// Since when the box knows of it.
    pub since: Timestamp,
}

/// The newest snapshot of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFact {
    /// When it was begun.
    pub time: Timestamp,
    /// How its files are said to be stored.
    pub crypt: Crypt,
    /// The key that it is said to need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
    /// What the server's own verification found.
    pub verified: Verified,
    /// Whether its list of files is signed by a key of the box.
    pub signature: Signature,
}

/// What the box found when it held a snapshot's list of files against its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// It is signed, and every file of it is encrypted.
    Good,
    /// It is not.
    Refused,
    /// The box has not looked yet.
    #[serde(other)]
    Unknown,
}

/// Something that is wrong with a box, seen by the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What it is.
    pub code: AlarmCode,
    /// With what: a key, a source, a guest.
    pub subject: Text<128>,
    /// Since when.
    pub since: Timestamp,
}

/// The hub's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportReply {
    /// Always 1.
    pub v: V1,
    /// The hub's clock.
    pub hub_time: Timestamp,
    /// The highest number of a version that it has of this box; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<NonZeroU64>,
    /// How the box stands, by everything that the hub knows.
    pub readiness: Readiness,
}

macro_rules! alarms {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What a box raises an alarm about.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum AlarmCode {
            $($(#[$doc])* $name,)*
            /// A word that this program does not know.
            Unknown(String),
        }

        impl AlarmCode {
            /// Every code that is known.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown(text) => text,
                }
            }

            fn of(text: &str) -> Self {
                match text {
                    $($text => Self::$name,)*
                    other => Self::Unknown(other.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()),
                }
            }
        }
    };
}

alarms! {
    /// A key file has gone although backups are to be encrypted.
    KeyFileGone = "key-file-gone";
    /// A key file holds another key than before.
    KeyChanged = "key-changed";
    /// All keys went at once, as they do when a node joins a cluster.
    KeysGoneAtOnce = "keys-gone-at-once";
    /// A snapshot is not encrypted although its source is.
    PlainSnapshot = "plain-snapshot";
    /// A snapshot needs a key that nobody holds.
    UnknownKey = "unknown-key";
    /// The client that stands here now does not wrap and open a key as it must.
    ClientSelfTest = "client-self-test";
    /// Another machine speaks with this one's identity.
    Clone = "clone";
    /// The hub has lost versions that it had acknowledged.
    HubLostVersions = "hub-lost-versions";
    /// The hub gives something else back than it has acknowledged.
    EscrowDamaged = "escrow-damaged";
    /// An update of the escrow waits to be stored.
    EscrowWaits = "escrow-waits";
    /// The agent cannot write its state.
    StateUnwritable = "state-unwritable";
    /// This machine's clock and the hub's differ.
    ClockOff = "clock-off";
    /// The configuration is not understood; the former one is used.
    ConfigurationBroken = "configuration-broken";
    /// Proxmox VE's files cannot be read.
    PveUnreadable = "pve-unreadable";
    /// The node that escrows for the box does not work.
    KeeperSilent = "keeper-silent";
    /// A node of the cluster has no agent that belongs to the box.
    NodeNotJoined = "node-not-joined";
    /// What the agent keeps of former keys is damaged.
    LineageDamaged = "lineage-damaged";
}

impl fmt::Display for AlarmCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for AlarmCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AlarmCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of(&text))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(truth: &bool) -> bool {
    !*truth
}
