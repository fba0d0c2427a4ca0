//! What a box has on its backup servers, what it backs up, and what it leaves out.
//!
//! A box makes this text about itself; whoever reads it later (a recovery, the hub's page) compares
//! and shows. Nothing in it decides trust: the lists of servers are said by those servers, the names
//! of guests by whoever named them. So everything is bounded while it is being read, texts are cut
//! where they are made ([`Text::cut`]) and made harmless where they are shown, and what did not fit
//! is counted rather than dropped in silence.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{
    bounded::{List, Text},
    directive::{Group, Name, Namespace},
    fingerprint::Fingerprint,
    time::Timestamp,
    v1::V1,
};

/// Bytes of the whole text, at most; a reader refuses more before it parses.
pub const MAX_INVENTORY_BYTES: usize = 16 << 20;

/// Everything that a box knows of its backups at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Always 1.
    pub v: V1,
    /// When the asking began, by the box's clock.
    pub made_at: Timestamp,
    /// The agent that asked, `0.1.0`.
    pub agent_version: Text<64>,
    /// The client through which it asked, `3.2.4`; absent if there is none or it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<Text<64>>,
    /// The node that asked, by PVE's name; absent where there is no PVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Text<64>>,
    /// Where the box backs up to, used or not: `pbs:` storages, then `[[source]]` entries.
    pub sources: List<SourceEntry, 64>,
    /// vzdump's jobs, those that are switched off too.
    pub jobs: List<Job, 1000>,
    /// Jobs that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jobs_left_out: u64,
    /// The guests of all nodes, by number.
    pub guests: List<Guest, 10_000>,
    /// Guests that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub guests_left_out: u64,
    /// What of PVE's configuration could not be read, in words.
    pub problems: List<Text<400>, 64>,
}

/// One place where backups may lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEntry {
    /// Its name on the box.
    pub id: Text<128>,
    /// Where the box names it.
    pub origin: SourceOrigin,
    /// Host name or address, without brackets.
    pub server: Text<256>,
    /// Its port.
    pub port: u16,
    /// The datastore.
    pub datastore: Text<128>,
    /// The namespace; absent for the datastore's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// User or token.
    pub auth_id: Text<192>,
    /// How the server is recognised: a SHA-256, or absent for the web's PKI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Fingerprint>,
    /// What it is to the box.
    pub state: SourceState,
    /// Why it is so, where that needs words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Text<1000>>,
    /// The key in its key file, if there is one that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
    /// What the server said.
    pub answer: Answer,
}

/// Where a source is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceOrigin {
    /// A `[[source]]` of the agent's configuration.
    Settings,
    /// A `pbs:` storage of `storage.cfg`.
    #[serde(rename = "storage.cfg")]
    StorageCfg,
}

/// What a source is to the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceState {
    /// Its key is escrowed at a ceremony, and it is in the root.
    InUse,
    /// It takes backups, and they are not encrypted.
    Unencrypted,
    /// Switched off, or not for backups.
    NotUsed,
    /// Something is wrong with it; a ceremony refuses to be held until that is mended.
    Broken,
}

/// What came of asking a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It was not asked, because the box does not use it or has nothing to ask with.
    NotAsked,
    /// It was asked, and this is why nothing is known.
    Failed(NoAnswer),
    /// What it lists.
    Listed(Listing),
}

/// Why nothing is known of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoAnswer {
    /// By what can be done about it.
    pub reason: NoAnswerReason,
    /// In words, with what to do.
    pub text: Text<1000>,
}

/// Why nothing is known of a source, by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoAnswerReason {
    /// No way to the server, or no answer in time.
    Unreachable,
    /// Its certificate is not the one that counts.
    Certificate,
    /// User, token, secret or role.
    NotAuthorised,
    /// No such datastore or namespace.
    NotFound,
    /// The client is missing or behaves like no known one.
    Client,
    /// Anything else; the words say what.
    Other,
}

/// What a server lists in a source's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The datastore's room.
    pub room: Room,
    /// Snapshots in all.
    pub snapshots: u64,
    /// Those of them that name no key: not encrypted, or unfinished.
    pub plain: u64,
    /// The keys that snapshots name, the most used first.
    pub keys: List<KeySeen, 256>,
    /// Keys that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keys_left_out: u64,
    /// The groups, by type and id.
    pub groups: List<GroupEntry, 10_000>,
    /// Groups that did not fit, by number or by the length of their id.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub groups_left_out: u64,
}

/// A datastore's room, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// Free for us.
    pub available: u64,
    /// In all.
    pub total: u64,
    /// In use.
    pub used: u64,
}

/// A key that snapshots of a source are said to need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySeen {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// How many snapshots name it.
    pub snapshots: u64,
    /// The newest of them.
    pub newest: Timestamp,
    /// Whether a key file of this box holds it.
    pub held: bool,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupEntry {
    /// Its name.
    pub group: Group,
    /// Snapshots.
    pub count: u64,
    /// Those of them that are kept from pruning.
    pub protected: u64,
    /// The newest.
    pub newest: Newest,
}

/// The newest snapshot of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newest {
    /// When it was begun.
    pub time: Timestamp,
    /// Bytes, if the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How its files are said to be stored.
    pub crypt: Crypt,
    /// The key that it is said to need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// What the server's own verification found.
    pub verified: Verified,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Text<192>>,
    /// Its archives as the user of the client gives them, `root.pxar`; those of a guest go unnamed.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub archives: List<Name, 64>,
}

/// How the files of a snapshot are said to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crypt {
    /// All encrypted.
    Encrypt,
    /// All signed, none encrypted.
    SignOnly,
    /// All plain.
    None,
    /// Not all the same way.
    Mixed,
    /// It is not finished, or the server uses a word that is not known here.
    Unknown,
}

/// What a server's own verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// It did not run on this snapshot.
    Never,
    /// Every chunk there and whole.
    Ok,
    /// Not so.
    Failed,
    /// A word that is not known here.
    Unknown,
}

/// A backup job of vzdump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its id in `jobs.cfg`, or `vzdump.cron:<line>`.
    pub id: Text<128>,
    /// Whether it runs.
    pub enabled: bool,
    /// When, as it is written there.
    pub schedule: Text<128>,
    /// The storage that it writes to; absent where it leaves that to each node's `vzdump.conf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Text<128>>,
    /// The one node on which it runs; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Text<64>>,
    /// Which guests.
    pub selection: Selection,
    /// How many of the box's guests that are.
    pub guests: u64,
    /// What is wrong with it: it does not run, or not for all that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Text<400>>,
}

/// Which guests a job covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Every guest but these.
    AllBut(List<NonZeroU32, 10_000>),
    /// These.
    Listed(List<NonZeroU32, 10_000>),
    /// Nothing that can be understood.
    Nothing,
    /// The members of a pool.
    Pool(Text<128>),
}

/// A container or virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Its number.
    pub vmid: NonZeroU32,
    /// What it is.
    pub kind: GuestKind,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<256>>,
    /// Where it lives.
    pub node: Text<64>,
    /// Whether it is a template.
    #[serde(default, skip_serializing_if = "is_false")]
    pub template: bool,
    /// Whether jobs take care of it.
    pub coverage: Coverage,
    /// The jobs that do, switched on; at most 16 are named.
    pub jobs: List<Text<128>, 16>,
    /// What no backup of it holds.
    pub excluded: List<Excluded, 1024>,
    /// Why its configuration is not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Text<400>>,
}

/// What a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestKind {
    /// A container.
    Ct,
    /// A virtual machine.
    Vm,
}

/// Whether jobs take care of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// A job that is switched on writes it to a source that is in use, or would be if it were not broken.
    Source,
    /// Jobs that are switched on write it elsewhere: to a storage that is no such source, or to
    /// whatever `vzdump.conf` says.
    Elsewhere,
    /// No job that is switched on covers it.
    None,
}

/// A disk or mount point that no backup of its guest holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excluded {
    /// Its key in the configuration, `scsi1`, `mp0`.
    pub disk: Text<32>,
    /// The volume or path.
    pub volume: Text<256>,
    /// Why.
    pub why: Exclusion,
}

/// Why a disk or mount point is not backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exclusion {
    /// `backup=0`.
    SwitchedOff,
    /// A container's mount point without `backup=1`.
    NotSwitchedOn,
    /// A directory or device of the host, mounted into a container.
    OfTheHost,
    /// An EFI disk of a machine without OVMF.
    NoOvmf,
    /// Attached to nothing.
    Unused,
    /// PVE would not understand the line, and passes it over.
    Unreadable,
}

// === impl ===

impl Inventory {
    /// The keys that snapshots need and no key file of this box holds, with their source's id.
    pub fn unknown_keys(&self) -> impl Iterator<Item = (&SourceEntry, &KeySeen)> {
        self.sources.iter().flat_map(|source| {
            let keys = match &source.answer {
                Answer::Listed(listing) => &listing.keys[..],
                Answer::NotAsked | Answer::Failed(_) => &[],
            };
            keys.iter().filter(|key| !key.held).map(move |key| (source, key))
        })
    }

    /// The guests whose backups are in no source, by number.
    pub fn uncovered(&self) -> impl Iterator<Item = &Guest> {
        self.guests.iter().filter(|guest| guest.coverage != Coverage::Source)
    }
}

fn is_empty(names: &[Name]) -> bool {
    names.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(truth: &bool) -> bool {
    !*truth
}
