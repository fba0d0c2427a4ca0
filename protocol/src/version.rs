//! An escrow version: its header, and the bundle in which it travels.
//!
//! Nothing in a header decides trust at recovery: it sorts and labels what has to prove itself. The
//! hub checks that parts and header agree, so that what it stores is what the box meant to send.

use std::{collections::BTreeMap, fmt, num::NonZeroU64};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    bytes::Base64,
    directive::Directive,
    fingerprint::Fingerprint,
    hash::Sha256,
    id::{BoxId, CodeId},
    json::{self, JsonError},
    part::PartName,
    time::Timestamp,
    v1::V1,
    words::WordsPublicKey,
};

/// The raw bytes of one version's parts, at most.
pub const MAX_VERSION_BYTES: usize = 2 << 20;
/// Bytes of one age part (root or update), at most.
pub const MAX_AGE_BYTES: usize = 1 << 20;
/// Bytes of one key part, at most.
pub const MAX_KEY_BYTES: usize = 4 << 10;
/// Parts of one version, at most.
pub const MAX_PARTS: usize = 256;
/// Bytes of a bundle as text: its parts in base64, its headers, a directive, and room for names.
pub const MAX_BUNDLE_BYTES: usize = MAX_VERSION_BYTES / 3 * 4 + (256 << 10);

const FIRST_LINE: &str = "tenwords kit 1 - Never keep this beside the ten words.";

/// How a version came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Keys and root, made while the recovery code was at hand.
    Ceremony,
    /// One update and/or new pins, on a ceremony version.
    Update,
}

/// What is known of a version's openings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// proxmox-backup-client and our own reading have both opened every key part.
    Proven,
    /// Sealed without the recovery code, and read back byte for byte.
    Sealed,
}

/// One part, as the header lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartEntry {
    /// Its name.
    pub name: PartName,
    /// Bytes.
    pub size: u64,
    /// Over its bytes.
    pub sha256: Sha256,
}

/// What a header says beside its list of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderFacts {
    /// How the version came to be.
    pub kind: Kind,
    /// Whose it is.
    pub box_id: BoxId,
    /// The code's number, from 1.
    pub code_number: NonZeroU64,
    /// The code's public id.
    pub code_id: CodeId,
    /// The escrow's sequence number, from 1.
    pub sequence: NonZeroU64,
    /// What is known of its openings.
    pub grade: Grade,
    /// Over `root.age` of the ceremony version.
    pub root_sha256: Sha256,
    /// The public half of the words key.
    pub words_key: WordsPublicKey,
    /// The agent that made it, `0.1.0`.
    pub agent_version: String,
    /// When, by the box's clock.
    pub made_at: Timestamp,
}

/// A header whose list of parts is sorted, free of doubles, and fits its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenHeader", into = "WrittenHeader")]
pub struct Header {
    facts: HeaderFacts,
    parts: Vec<PartEntry>,
}

/// A header as the hub keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHeader {
    /// Always 1.
    pub v: V1,
    /// The hub's number for it, from 1, per box.
    pub number: NonZeroU64,
    /// When the hub acknowledged it.
    pub received_at: Timestamp,
    /// What the box wrote.
    pub header: Header,
}

/// One version with its parts; what is pushed, and, with updates and a directive, a kit. A value of
/// this type has exactly the parts that its header lists.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    header: Header,
    parts: BTreeMap<PartName, Vec<u8>>,
    updates: Vec<UpdateVersion>,
    directive: Option<Directive>,
}

/// An update version inside a kit.
#[derive(Clone, PartialEq, Eq)]
pub struct UpdateVersion {
    header: Header,
    parts: BTreeMap<PartName, Vec<u8>>,
}

/// Why a header or bundle was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The text does not begin with a bundle's first line.
    #[error("this is not a tenwords bundle: its first line is not `{FIRST_LINE}`")]
    FirstLine,
    /// Its JSON was not taken.
    #[error("the bundle's text cannot be read")]
    Json(#[from] JsonError),
    /// The agent's version is not a short word.
    #[error("the agent's version is not a word of 1 to 64 letters, digits and signs")]
    AgentVersion,
    /// The text does not end with its second line.
    #[error("the bundle is cut off, or has more than two lines")]
    Lines,
    /// An update that says it was proven.
    #[error("an update version cannot be proven, only sealed")]
    Grade,
    /// A part does not belong into a version of this kind.
    #[error("part {name} does not belong into a version of kind {kind:?}")]
    Kind {
        /// The part.
        name: PartName,
        /// The version's kind.
        kind: Kind,
    },
    /// A ceremony version needs a root and a key, an update version an update or pins.
    #[error("the version lacks the part {0}")]
    Lacks(&'static str),
    /// Header and parts disagree.
    #[error("part {name} is not the one that the header lists")]
    Mismatch {
        /// The part.
        name: PartName,
    },
    /// An update version with more than one update.
    #[error("an update version holds one update")]
    SeveralUpdates,
    /// The list is not sorted by name, or names one part twice.
    #[error("the header's parts are not sorted, or one stands there twice")]
    Order,
    /// A limit is passed.
    #[error("{what} has {found} bytes, {limit} are the limit")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its bytes.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many parts.
    #[error("the version has {0} parts, {MAX_PARTS} are the limit")]
    TooMany(usize),
}

// === impl Header ===

impl Header {
    /// The header of these parts.
    ///
    /// # Errors
    /// [`BundleError`] if the parts do not fit the kind or the limits.
    pub fn new(facts: HeaderFacts, parts: &BTreeMap<PartName, Vec<u8>>) -> Result<Self, BundleError> {
        let entries = parts
            .iter()
            .map(|(name, bytes)| PartEntry { name: *name, size: bytes.len() as u64, sha256: Sha256::of(bytes) })
            .collect();
        Self::checked(facts, entries)
    }

    fn checked(facts: HeaderFacts, parts: Vec<PartEntry>) -> Result<Self, BundleError> {
        if parts.len() > MAX_PARTS {
            return Err(BundleError::TooMany(parts.len()));
        }
        if parts.windows(2).any(|pair| pair[0].name >= pair[1].name) {
            return Err(BundleError::Order);
        }
        let mut total = 0;
        for part in &parts {
            let limit = match part.name {
                PartName::Key(_) => MAX_KEY_BYTES,
                PartName::Root | PartName::Update(_) | PartName::Pins(_) => MAX_AGE_BYTES,
            };
            total += within(&part.name.to_string(), usize::try_from(part.size).unwrap_or(usize::MAX), limit)?;
            let of_ceremony = matches!(part.name, PartName::Key(_) | PartName::Root);
            if of_ceremony != (facts.kind == Kind::Ceremony) {
                return Err(BundleError::Kind { name: part.name, kind: facts.kind });
            }
            if part.name == PartName::Root && part.sha256 != facts.root_sha256 {
                return Err(BundleError::Mismatch { name: part.name });
            }
        }
        within("the version", total, MAX_VERSION_BYTES)?;
        if !(1..=64).contains(&facts.agent_version.len()) || !facts.agent_version.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(BundleError::AgentVersion);
        }
        let has = |wanted: fn(&PartName) -> bool| parts.iter().any(|part| wanted(&part.name));
        match facts.kind {
            Kind::Ceremony if !has(|name| *name == PartName::Root) => Err(BundleError::Lacks("root.age")),
            Kind::Ceremony if !has(|name| matches!(name, PartName::Key(_))) => Err(BundleError::Lacks("key/…")),
            Kind::Update if parts.is_empty() => Err(BundleError::Lacks("update/… or pins/…")),
            Kind::Update if facts.grade == Grade::Proven => Err(BundleError::Grade),
            Kind::Update if parts.iter().filter(|part| matches!(part.name, PartName::Update(_))).count() > 1 => {
                Err(BundleError::SeveralUpdates)
            }
            Kind::Ceremony | Kind::Update => Ok(Self { facts, parts }),
        }
    }

    /// What it says beside its parts.
    #[must_use]
    pub fn facts(&self) -> &HeaderFacts {
        &self.facts
    }

    /// Its parts, sorted by name.
    #[must_use]
    pub fn parts(&self) -> &[PartEntry] {
        &self.parts
    }

    /// The keys that it has parts of.
    pub fn keys(&self) -> impl Iterator<Item = Fingerprint> {
        self.parts.iter().filter_map(|part| match part.name {
            PartName::Key(key) => Some(key),
            PartName::Root | PartName::Update(_) | PartName::Pins(_) => None,
        })
    }

    /// Whether these are exactly the parts that it lists.
    ///
    /// # Errors
    /// [`BundleError::Mismatch`] naming the first that is not.
    pub fn match_parts(&self, parts: &BTreeMap<PartName, Vec<u8>>) -> Result<(), BundleError> {
        for entry in &self.parts {
            let same = parts
                .get(&entry.name)
                .is_some_and(|bytes| bytes.len() as u64 == entry.size && Sha256::of(bytes) == entry.sha256);
            if !same {
                return Err(BundleError::Mismatch { name: entry.name });
            }
        }
        match parts.keys().find(|name| !self.parts.iter().any(|entry| entry.name == **name)) {
            Some(name) => Err(BundleError::Mismatch { name: *name }),
            None => Ok(()),
        }
    }
}

// === impl Bundle ===

impl Bundle {
    /// A bundle to push.
    ///
    /// # Errors
    /// [`BundleError`] if the parts do not fit the kind or the limits.
    pub fn new(facts: HeaderFacts, parts: BTreeMap<PartName, Vec<u8>>) -> Result<Self, BundleError> {
        Ok(Self { header: Header::new(facts, &parts)?, parts, updates: Vec::new(), directive: None })
    }

    /// The bundle of a header and the parts that were fetched for it.
    ///
    /// # Errors
    /// [`BundleError::Mismatch`] if the parts are not those of the header.
    pub fn of_fetched(header: Header, parts: BTreeMap<PartName, Vec<u8>>) -> Result<Self, BundleError> {
        header.match_parts(&parts)?;
        Ok(Self { header, parts, updates: Vec::new(), directive: None })
    }

    /// The same with what a kit carries beside the ceremony version.
    #[must_use]
    pub fn with_kit(mut self, updates: Vec<UpdateVersion>, directive: Option<Directive>) -> Self {
        self.updates = updates;
        self.directive = directive;
        self
    }

    /// Reads a bundle's two lines.
    ///
    /// # Errors
    /// [`BundleError`]; nothing of it is kept then.
    pub fn parse(text: &[u8]) -> Result<Self, BundleError> {
        // A kit may carry several update versions; a push is bounded by the hub's own body limit.
        within("the bundle", text.len(), MAX_BUNDLE_BYTES * 8)?;
        let rest = text.strip_prefix(FIRST_LINE.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
        let line = rest.ok_or(BundleError::FirstLine)?;
        let line = line.strip_suffix(b"\n").filter(|line| !line.contains(&b'\n')).ok_or(BundleError::Lines)?;
        let written: WrittenBundle = json::from_slice(line)?;
        let parts = raw(written.parts);
        written.header.match_parts(&parts)?;
        let mut updates = Vec::with_capacity(written.updates.len());
        for update in written.updates {
            updates.push(UpdateVersion::of_fetched(update.header, raw(update.parts))?);
        }
        Ok(Self { header: written.header, parts, updates, directive: written.directive })
    }

    /// Its two lines, each ended by LF.
    ///
    /// # Errors
    /// [`BundleError::Json`] if it cannot be written.
    pub fn to_text(&self) -> Result<Vec<u8>, BundleError> {
        let written = WrittenBundle {
            v: V1,
            header: self.header.clone(),
            parts: coded(&self.parts),
            updates: self
                .updates
                .iter()
                .map(|update| WrittenUpdate { header: update.header.clone(), parts: coded(&update.parts) })
                .collect(),
            directive: self.directive.clone(),
        };
        let mut text = format!("{FIRST_LINE}\n").into_bytes();
        text.extend(json::to_vec(&written)?);
        text.push(b'\n');
        Ok(text)
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its parts by name.
    #[must_use]
    pub fn parts(&self) -> &BTreeMap<PartName, Vec<u8>> {
        &self.parts
    }

    /// The update versions that a kit carries, oldest first; empty in what is pushed.
    #[must_use]
    pub fn updates(&self) -> &[UpdateVersion] {
        &self.updates
    }

    /// The directive that a kit carries.
    #[must_use]
    pub fn directive(&self) -> Option<&Directive> {
        self.directive.as_ref()
    }

    /// Header and parts.
    #[must_use]
    pub fn into_parts(self) -> (Header, BTreeMap<PartName, Vec<u8>>) {
        (self.header, self.parts)
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("header", &self.header)
            .field("updates", &self.updates.len())
            .finish_non_exhaustive()
    }
}

impl UpdateVersion {
    /// The update version of a header and the parts that were fetched for it.
    ///
    /// # Errors
    /// [`BundleError`] if it is no update, or the parts are not those of the header.
    pub fn of_fetched(header: Header, parts: BTreeMap<PartName, Vec<u8>>) -> Result<Self, BundleError> {
        if header.facts.kind != Kind::Update {
            return Err(BundleError::Lacks("update/… or pins/…"));
        }
        header.match_parts(&parts)?;
        Ok(Self { header, parts })
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its parts by name.
    #[must_use]
    pub fn parts(&self) -> &BTreeMap<PartName, Vec<u8>> {
        &self.parts
    }
}

impl fmt::Debug for UpdateVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateVersion").field("header", &self.header).finish_non_exhaustive()
    }
}

// === the written forms ===

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHeader {
    v: V1,
    kind: Kind,
    box_id: BoxId,
    code_number: NonZeroU64,
    code_id: CodeId,
    sequence: NonZeroU64,
    grade: Grade,
    root_sha256: Sha256,
    words_key: WordsPublicKey,
    agent_version: String,
    made_at: Timestamp,
    parts: Vec<PartEntry>,
}

impl TryFrom<WrittenHeader> for Header {
    type Error = BundleError;

    fn try_from(w: WrittenHeader) -> Result<Self, BundleError> {
        let facts = HeaderFacts {
            kind: w.kind,
            box_id: w.box_id,
            code_number: w.code_number,
            code_id: w.code_id,
            sequence: w.sequence,
            grade: w.grade,
            root_sha256: w.root_sha256,
            words_key: w.words_key,
            agent_version: w.agent_version,
            made_at: w.made_at,
        };
        Self::checked(facts, w.parts)
    }
}

impl From<Header> for WrittenHeader {
    fn from(header: Header) -> Self {
        let f = header.facts;
        Self {
            v: V1,
            kind: f.kind,
            box_id: f.box_id,
            code_number: f.code_number,
            code_id: f.code_id,
            sequence: f.sequence,
            grade: f.grade,
            root_sha256: f.root_sha256,
            words_key: f.words_key,
            agent_version: f.agent_version,
            made_at: f.made_at,
            parts: header.parts,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBundle {
    v: V1,
    header: Header,
    parts: BTreeMap<PartName, Base64>,
    updates: Vec<WrittenUpdate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directive: Option<Directive>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenUpdate {
    header: Header,
    parts: BTreeMap<PartName, Base64>,
}

fn raw(parts: BTreeMap<PartName, Base64>) -> BTreeMap<PartName, Vec<u8>> {
    parts.into_iter().map(|(name, Base64(bytes))| (name, bytes)).collect()
}

fn coded(parts: &BTreeMap<PartName, Vec<u8>>) -> BTreeMap<PartName, Base64> {
    parts.iter().map(|(name, bytes)| (*name, Base64(bytes.clone()))).collect()
}

fn within(what: &str, found: usize, limit: usize) -> Result<usize, BundleError> {
    if found <= limit { Ok(found) } else { Err(BundleError::TooLarge { what: what.to_owned(), found, limit }) }
}

/// The size that a part has inside a bundle's text.
#[must_use]
pub fn text_size(raw: usize) -> usize {
    base64::encoded_len(raw, true).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    #[test]
    fn a_full_version_fits_the_bundle_limit() {
        assert!(text_size(MAX_VERSION_BYTES) + MAX_PARTS * 256 < MAX_BUNDLE_BYTES);
        assert_eq!(STANDARD.encode([0; 7]).len(), text_size(7));
    }
}
