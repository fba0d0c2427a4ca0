//! The root: everything that a recovery believes.
//!
//! It is made last, under the recovery code, and lists the SHA-256 of every key part; whoever lacks
//! the code cannot make one that opens. *Trust facts* (where data comes from, who may order, where
//! it may go) stand nowhere else but here and in what operators have signed. A value of [`Root`]
//! has passed every check of this module, whether it was put together at a ceremony or opened at a
//! recovery. Updates and pins are not in it: they prove themselves, starting at it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::{NonZeroU16, NonZeroU64},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tenwords_protocol::{
    code16::{self, Code16, code16},
    directive::{Group, Name, Namespace},
    fingerprint::Fingerprint,
    hash::Sha256,
    id::{BoxId, CodeId},
    json::{self, JsonError},
    operators::OperatorList,
    order::OrderedPlace,
    time::Timestamp,
};
use thiserror::Error;

use crate::{
    keys::{AgeIdentity, BoxPublicKey, WordsKey},
    secret::{FileBytes, TokenSecret},
    text,
};

/// Bytes of all small files together, raw.
pub const MAX_FILES: usize = 512 << 10;
const MAX_SOURCES: usize = 64;
const MAX_PATHS: usize = 256;
const MAX_NAME: usize = 128;
const MAX_PATH: usize = 4096;

/// A root whose facts hold together. Only [`Root::new`] and opening a sealed one give it.
#[derive(Debug)]
pub struct Root {
    facts: RootFacts,
}

/// What a root says.
#[derive(Debug)]
pub struct RootFacts {
    /// Whose it is.
    pub box_id: BoxId,
    /// The box's name when it was made, for people.
    pub box_name: String,
    /// Under which code it lies.
    pub code: CodeLabel,
    /// The escrow's sequence number: the highest seen + 1.
    pub sequence: NonZeroU64,
    /// When it was made, by the box's clock.
    pub made_at: Timestamp,
    /// The SHA-256 of each key part. "Stands in the root" means: is a key of this.
    pub parts: BTreeMap<Fingerprint, Sha256>,
    /// Where data comes from, who may order, where it may go.
    pub trust: Trust,
    /// What else a recovery needs.
    pub secrets: Secrets,
    /// Signs that somebody had the words.
    pub words_key: WordsKey,
    /// Whose signature updates carry.
    pub box_key: BoxPublicKey,
    /// Opens updates.
    pub identity: AgeIdentity,
}

/// A code's number and public id, both unrelated to its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeLabel {
    /// Counted from 1, for people: "code 2".
    pub number: NonZeroU64,
    /// Random.
    pub id: CodeId,
}

/// The trust facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Sorted by id.
    pub sources: Vec<Source>,
    /// Who may order.
    pub operators: Operators,
    /// Where archives may go back to, sorted by source, group and archive.
    pub restore_paths: Vec<RestorePath>,
}

/// The one path to which one archive may go back. A directive can choose `original` for an archive;
/// only this says where that is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestorePath {
    /// The source by its id.
    pub source: Name,
    /// The group, `host/box1`.
    pub group: Group,
    /// The archive as the client names it, `data.pxar`.
    pub archive: Name,
    /// Where it came from; absolute, normalised.
    pub path: AbsolutePath,
}

/// Where the box backs up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The source's name: its storage, or its entry in the settings.
    pub id: Name,
    /// Host name or address of the server; an IPv6 address without brackets.
    pub server: ServerName,
    /// Its port.
    pub port: NonZeroU16,
    /// The datastore.
    pub datastore: Name,
    /// The namespace; absent for the datastore's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// How the server is recognised.
    pub certificate: Certificate,
    /// User or API token: `box@pbs!escrow`.
    pub auth_id: AuthId,
    /// Which K it is encrypted with.
    pub key_fingerprint: Fingerprint,
    /// Where the box keeps it, and where a recovery puts it back.
    #[serde(default, skip_serializing_if = "KeptIn::is_settings")]
    pub kept_in: KeptIn,
}

/// What on the box names a source, its key and its token. Absent in the text for [`Self::Settings`],
/// which is not written out: a fact has one spelling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeptIn {
    /// A `[[source]]` of the agent's own settings.
    #[default]
    #[serde(skip)]
    Settings,
    /// A `pbs:` storage of PVE's `storage.cfg`, with its files in `priv/storage`.
    #[serde(rename = "storage.cfg")]
    StorageCfg,
}

/// How a server is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// By the SHA-256 of its certificate, and by nothing else.
    Pinned(Fingerprint),
    /// As browsers do it.
    WebPki,
}

/// The operator keys that the box pins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operators {
    /// 1 at enrolment, then one more with each pins statement.
    pub generation: NonZeroU64,
    /// The list itself.
    pub signers: OperatorList,
}

/// What a recovery needs and nobody else may have.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Token secrets by the id of their source.
    pub tokens: BTreeMap<Name, TokenSecret>,
    /// Small files.
    pub files: Vec<FileSecret>,
}

/// A small file of the box.
#[derive(Debug)]
pub struct FileSecret {
    /// Where it lay.
    pub path: AbsolutePath,
    /// Its permission bits.
    pub mode: FileMode,
    /// Its content.
    pub data: FileBytes,
}

/// Permission bits, up to 0o7777.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileMode(u32);

/// A host name or address, without port and brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(String);

/// `user@realm` or `user@realm!token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthId(String);

/// A path from `/` without empty, `.` or `..` components, and without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbsolutePath(String);

/// Why facts are no root, or a text is not one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RootError {
    /// A fact that does not fit the others.
    #[error("{0}")]
    Facts(&'static str),
    /// Not two lines, or the first is not an age identity.
    #[error("the opened root is not an identity line and a line of facts")]
    Lines,
    /// A text inside is not of its kind.
    #[error("{0}")]
    Shape(#[from] ShapeError),
    /// The facts' text was not taken.
    #[error("the opened root's facts cannot be read")]
    Text(#[source] JsonError),
    /// More than a sealed root may have.
    #[error("the root has more than {limit} bytes")]
    TooLarge {
        /// How many it may have.
        limit: usize,
    },
    /// The facts could not be written.
    #[error("the root's facts cannot be written")]
    Unwritable,
}

/// A text that is not of its kind; it says what was expected.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ShapeError(&'static str);

// === impl Root ===

impl Root {
    /// A root with these facts; sources, paths and tokens need not be sorted.
    ///
    /// # Errors
    /// [`RootError::Facts`] if they do not hold together.
    pub fn new(mut facts: RootFacts) -> Result<Self, RootError> {
        facts.trust.sort();
        Self::checked(facts)
    }

    /// What it says.
    #[must_use]
    pub const fn facts(&self) -> &RootFacts {
        &self.facts
    }

    /// Takes it apart.
    #[must_use]
    pub fn into_facts(self) -> RootFacts {
        self.facts
    }

    /// The same once more, by way of its text. Its secrets are in memory twice then.
    ///
    /// # Errors
    /// [`RootError`] if it cannot be written, which no root that was opened is known for.
    pub fn again(&self) -> Result<Self, RootError> {
        text::read(&text::write(self)?)
    }

    /// The same where a source is at another place, as an operator has ordered: the caller has the order.
    ///
    /// # Errors
    /// [`RootError::Facts`] for a source that it does not have, or a place that no source can have.
    pub fn repointed(mut self, source: &Name, place: &OrderedPlace) -> Result<Self, RootError> {
        let no = RootError::Facts("the order names a source or a place that the root cannot have");
        let Some(found) = self.facts.trust.sources.iter_mut().find(|found| found.id == *source) else {
            return Err(no);
        };
        let Ok(server) = place.server.as_str().parse() else { return Err(no) };
        (found.server, found.port) = (server, place.port);
        (found.datastore, found.namespace) = (place.datastore.clone(), place.namespace.clone());
        found.certificate = Certificate::Pinned(place.certificate);
        Self::checked(self.facts)
    }

    /// The same with a list of operator keys that has proved itself from this one on.
    #[must_use]
    pub fn with_operators(mut self, operators: Operators) -> Self {
        self.facts.trust.operators = operators;
        self
    }

    /// Sixteen characters over the trust facts, for the sheet and for comparison at a recovery.
    ///
    /// # Errors
    /// [`RootError::Unwritable`] if the facts have no canonical text, which none are known for.
    pub fn check_line(&self) -> Result<Code16, RootError> {
        self.facts.trust.check_line(self.facts.box_id)
    }

    pub(crate) fn checked(facts: RootFacts) -> Result<Self, RootError> {
        let refuse = |reason| Err(RootError::Facts(reason));
        let RootFacts { box_name, parts, trust, secrets, .. } = &facts;
        if box_name.is_empty() || box_name.len() > MAX_NAME || box_name.chars().any(char::is_control) {
            return refuse("a box's name has 1 to 128 bytes without control characters");
        }
        if parts.is_empty() {
            return refuse("a root without a key part protects nothing");
        }
        let Trust { sources, restore_paths, .. } = trust;
        if sources.len() > MAX_SOURCES || restore_paths.len() > MAX_PATHS || secrets.files.len() > MAX_PATHS {
            return refuse("a root has at most 64 sources, 256 paths to restore and 256 files");
        }
        if sources.windows(2).any(|pair| pair[0].id >= pair[1].id) {
            return refuse("the sources are not sorted by id, or two have one id");
        }
        if sources.iter().any(|source| !parts.contains_key(&source.key_fingerprint)) {
            return refuse("a source is encrypted with a key that is not among the parts");
        }
        let place = |entry: &RestorePath| (entry.source.clone(), entry.group.clone(), entry.archive.clone());
        if restore_paths.windows(2).any(|pair| place(&pair[0]) >= place(&pair[1])) {
            return refuse("the paths to restore are not sorted, or an archive stands there twice");
        }
        if restore_paths.iter().map(|entry| &entry.path).collect::<BTreeSet<_>>().len() != restore_paths.len() {
            return refuse("a path to restore stands there twice");
        }
        if restore_paths.iter().any(|entry| !sources.iter().any(|source| source.id == entry.source)) {
            return refuse("a path to restore belongs to no source");
        }
        if secrets.tokens.keys().any(|id| !sources.iter().any(|source| source.id == *id)) {
            return refuse("a token belongs to no source");
        }
        let files = secrets.files.iter().map(|file| &file.path).collect::<BTreeSet<_>>();
        if files.len() != secrets.files.len() || files.iter().any(|path| path.as_str() == "/") {
            return refuse("a file stands there twice, or is no file");
        }
        if secrets.files.iter().map(|file| file.data.len()).sum::<usize>() > MAX_FILES {
            return refuse("the small files have more than 512 KiB");
        }
        Ok(Self { facts })
    }
}

impl Trust {
    /// The check line of a root of this box with these facts; they need not be sorted. So it is known
    /// before there are words.
    ///
    /// # Errors
    /// [`RootError::Unwritable`] if the facts have no canonical text, which none are known for.
    pub fn check_line(&self, box_id: BoxId) -> Result<Code16, RootError> {
        let mut trust = self.clone();
        trust.sort();
        let facts = serde_json::json!({ "box_id": box_id, "trust": trust });
        let text = json::canonical(&facts).map_err(|_| RootError::Unwritable)?;
        Ok(code16(code16::CHECK, text.as_bytes()))
    }

    fn sort(&mut self) {
        self.sources.sort_by(|a, b| a.id.cmp(&b.id));
        self.restore_paths.sort();
    }
}

impl KeptIn {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    const fn is_settings(&self) -> bool {
        matches!(self, Self::Settings)
    }
}

// === impl the texts inside ===

impl FileMode {
    /// These bits.
    ///
    /// # Errors
    /// [`ShapeError`] beyond 0o7777.
    pub const fn new(bits: u32) -> Result<Self, ShapeError> {
        if bits <= 0o7777 { Ok(Self(bits)) } else { Err(ShapeError("a file's mode is at most 0o7777")) }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0o{:o}", self.0)
    }
}

impl FromStr for ServerName {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_'));
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':');
        if plain && starts && text.len() <= 253 {
            Ok(Self(text.to_owned()))
        } else {
            Err(ShapeError("a host name or an address without brackets was expected"))
        }
    }
}

impl FromStr for AuthId {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let plain = |part: &str| {
            !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || ":/@!".contains(c))
        };
        let good = text.len() <= 192
            && text.split_once('@').is_some_and(|(user, rest)| {
                let (realm, token) = rest.split_once('!').map_or((rest, None), |(realm, token)| (realm, Some(token)));
                plain(user) && realm.parse::<Name>().is_ok() && token.is_none_or(|token| token.parse::<Name>().is_ok())
            });
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(ShapeError("`user@realm` or `user@realm!token` was expected"))
        }
    }
}

impl FromStr for AbsolutePath {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let normal = text == "/"
            || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|name| !matches!(name, "" | "." | "..")));
        if normal && text.len() <= MAX_PATH && !text.contains(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ShapeError("an absolute path without `.`, `..`, doubled or final slashes was expected"))
        }
    }
}

macro_rules! text_inside {
    ($($name:ident),*) => {$(
        impl $name {
            /// It as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

text_inside!(AbsolutePath, AuthId, ServerName);

impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Pinned(fingerprint) => fingerprint.serialize(serializer),
            Self::WebPki => serializer.serialize_str("web-pki"),
        }
    }
}

impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "web-pki" => Ok(Self::WebPki),
            text => text.parse().map(Self::Pinned).map_err(D::Error::custom),
        }
    }
}
