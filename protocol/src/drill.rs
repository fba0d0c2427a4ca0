//! A box practises, and the hub writes it down: `POST /v1/boxes/{box_id}/drills/nonce`, then
//! `POST /v1/boxes/{box_id}/drills` with a [`WordsProof`] over that nonce.
//!
//! What the proof holds is that somebody had the ten words of that version. The rest is the box's own
//! word: how long each phase took, which archive came back and how large it was.

use std::{fmt, num::NonZeroU64, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use crate::{
    bounded::{List, Text},
    directive::{Group, Name},
    time::Timestamp,
    v1::V1,
    words::{Nonce, Purpose, WordsProof},
};

/// `POST /v1/boxes/{box_id}/drills/nonce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NonceRequest {
    /// Always 1.
    pub v: V1,
}

/// A nonce for one drill's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceReply {
    /// Always 1.
    pub v: V1,
    /// For the proof, used once. It serves no recovery.
    pub nonce: Nonce,
    /// The hub's clock.
    pub hub_time: Timestamp,
}

/// `POST /v1/boxes/{box_id}/drills`: what was practised. It is read only if it hangs together: a proof
/// for `drill-words` comes without an archive, one for `drill-archive` with one, and one for
/// `recover` is no drill's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "WrittenDrill")]
pub struct DrillRequest {
    /// Always 1.
    pub v: V1,
    /// That somebody had the ten words.
    pub proof: WordsProof,
    /// What was done one after the other, and how long each took.
    pub phases: List<Phase, 16>,
    /// What came back, in a drill of an archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<DrilledArchive>,
}

/// One step of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// What was done.
    pub name: Text<64>,
    /// How long it took.
    pub milliseconds: u64,
}

/// An archive that was restored to scratch and compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrilledArchive {
    /// The source by the root's id.
    pub source: Name,
    /// Of which snapshot.
    pub snapshot: Snapshot,
    /// Its name as the user of the client gives it, `root.pxar`.
    pub archive: Name,
    /// How many bytes came back.
    pub bytes: u64,
    /// In how many files.
    pub files: u64,
}

/// The hub has written the drill down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillReply {
    /// Always 1.
    pub v: V1,
    /// When, by the hub's clock.
    pub recorded_at: Timestamp,
}

/// A box's newest drill of each level.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drills {
    /// The escrow was opened in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<WordsDrill>,
    /// One archive was restored to scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveDrill>,
}

/// A drill of the words, as the hub has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordsDrill {
    /// When the hub wrote it down.
    pub at: Timestamp,
    /// Which version was opened.
    pub version: NonZeroU64,
    /// Under which code.
    pub code_number: NonZeroU64,
}

/// A drill of an archive, as the hub has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveDrill {
    /// When the hub wrote it down.
    pub at: Timestamp,
    /// Which version was opened.
    pub version: NonZeroU64,
    /// Under which code.
    pub code_number: NonZeroU64,
    /// The source by the root's id.
    pub source: Name,
    /// Of which snapshot.
    pub snapshot: Snapshot,
    /// Which archive.
    pub archive: Name,
    /// How many bytes came back, says the box.
    pub bytes: u64,
    /// In how many files, says the box.
    pub files: u64,
}

/// One snapshot of a PBS group, `ct/101/2026-03-03T12:00:00Z`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Snapshot {
    /// Its group.
    pub group: Group,
    /// When it was made.
    pub time: Timestamp,
}

/// The text names no snapshot.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a snapshot such as ct/101/2026-03-03T12:00:00Z was expected")]
pub struct SnapshotError;

/// Why a drill does not hang together.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DrillError {
    /// An archive, where the proof speaks of the words alone.
    #[error("a drill of the words has no archive")]
    Archive,
    /// No archive, where the proof speaks of one.
    #[error("a drill of an archive says which one came back")]
    NoArchive,
    /// The proof of a recovery.
    #[error("the proof is for a recovery, and this is a drill")]
    Recovery,
}

/// A drill as it stands in the text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDrill {
    v: V1,
    proof: WordsProof,
    phases: List<Phase, 16>,
    archive: Option<DrilledArchive>,
}

impl TryFrom<WrittenDrill> for DrillRequest {
    type Error = DrillError;

    fn try_from(written: WrittenDrill) -> Result<Self, DrillError> {
        let WrittenDrill { v, proof, phases, archive } = written;
        match (proof.purpose, &archive) {
            (Purpose::DrillWords, None) | (Purpose::DrillArchive, Some(_)) => Ok(Self { v, proof, phases, archive }),
            (Purpose::DrillWords, Some(_)) => Err(DrillError::Archive),
            (Purpose::DrillArchive, None) => Err(DrillError::NoArchive),
            (Purpose::Recover, _) => Err(DrillError::Recovery),
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.time)
    }
}

impl FromStr for Snapshot {
    type Err = SnapshotError;

    fn from_str(text: &str) -> Result<Self, SnapshotError> {
        let (group, time) = text.rsplit_once('/').ok_or(SnapshotError)?;
        Ok(Self { group: group.parse().map_err(|_| SnapshotError)?, time: time.parse().map_err(|_| SnapshotError)? })
    }
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
