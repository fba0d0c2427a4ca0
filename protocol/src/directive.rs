//! What the hub suggests to restore.
//!
//! A directive can only choose among what the root already names: a source by the root's id,
//! groups, times, a guest number, a storage by name, a folder of two kinds. It has no field for a
//! server, datastore, token, pin or path, and one that brings such a field is refused whole.
//!
//! What the hub keeps of directives beside their text is said in [`crate::directives`].

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use crate::{time::Timestamp, v1::V1};

/// A suggestion, versioned by the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directive {
    /// Always 1.
    pub v: V1,
    /// The hub's number for it.
    pub number: u64,
    /// What to restore, in this order.
    pub items: Vec<Item>,
}

/// One thing to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// A source by the id that the root gives it.
    pub source: Name,
    /// A namespace of that source, if not the root's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Which group.
    pub group: Group,
    /// Which of its snapshots.
    pub snapshot: Wanted,
    /// As what.
    #[serde(rename = "as")]
    pub target: Target,
}

/// Which snapshot of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The one of this moment.
    At(Timestamp),
    /// The newest that is good.
    Newest,
    /// The newest that is good and not newer than this. Which one that is, the recovery finds in what
    /// the server lists then: nobody has to know before which snapshots there will be.
    Until(Timestamp),
}

/// As what something is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, try_from = "WrittenTarget")]
pub enum Target {
    /// One archive of the snapshot.
    Archive(AsArchive),
    /// A guest.
    Guest(AsGuest),
}

/// One archive, to one of two places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AsArchive {
    /// Its name as the user of the client gives it, `root.pxar`.
    pub archive: Name,
    /// Where.
    pub to: Place,
}

/// A guest, to a free number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AsGuest {
    /// Its number, if not the one of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmid: Option<NonZeroU32>,
    /// The target storage by name, if not the one of the guest's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Name>,
}

/// Where an archive may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A folder that the recovery makes.
    NewFolder,
    /// The path that the root lists for it.
    Original,
}

/// A PBS group's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupType {
    /// A container.
    Ct,
    /// Files of a host.
    Host,
    /// A virtual machine.
    Vm,
}

/// A PBS group, `ct/101`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Its kind.
    pub kind: GroupType,
    /// Its id.
    pub id: Name,
}

/// PBS's "safe id": letters, digits, `_`, then also `.` and `-`; at most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A PBS namespace, `a/b`, at most seven deep and 256 characters long.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

/// The text is no such name.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct NameError(&'static str);

/// A target as it stands in the text. (An untagged reader would buffer the value and read what it
/// buffered less strictly.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTarget {
    archive: Option<Name>,
    to: Option<Place>,
    vmid: Option<NonZeroU32>,
    storage: Option<Name>,
}

const UNTIL: &str = "until ";

// === impl ===

impl TryFrom<WrittenTarget> for Target {
    type Error = NameError;

    fn try_from(written: WrittenTarget) -> Result<Self, NameError> {
        match written {
            WrittenTarget { archive: Some(archive), to: Some(to), vmid: None, storage: None } => {
                Ok(Self::Archive(AsArchive { archive, to }))
            }
            WrittenTarget { archive: None, to: None, vmid, storage } => Ok(Self::Guest(AsGuest { vmid, storage })),
            _ => Err(NameError("a target is an archive and where to, or a guest's number and storage")),
        }
    }
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if first && rest && text.len() <= 64 {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError("a name of letters, digits, `_`, `.` and `-` was expected, at most 64 characters"))
        }
    }
}

impl Namespace {
    /// The namespace as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let components = text.split('/').count();
        let named = text.split('/').all(|component| component.parse::<Name>().is_ok());
        if named && components <= 7 && text.len() <= 256 {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError("a namespace such as `a/b` was expected, at most seven deep"))
        }
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ct => "ct",
            Self::Host => "host",
            Self::Vm => "vm",
        })
    }
}

impl FromStr for GroupType {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "ct" => Ok(Self::Ct),
            "host" => Ok(Self::Host),
            "vm" => Ok(Self::Vm),
            _ => Err(NameError("a group's kind is ct, host or vm")),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl Group {
    /// The number of a guest's group; any other group has none.
    #[must_use]
    pub fn guest(&self) -> Option<NonZeroU32> {
        let number: NonZeroU32 = self.id.as_str().parse().ok()?;
        (self.kind != GroupType::Host && number.to_string() == self.id.as_str()).then_some(number)
    }
}

impl FromStr for Group {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (kind, id) = text.split_once('/').ok_or(NameError("a group such as ct/101 was expected"))?;
        Ok(Self { kind: kind.parse()?, id: id.parse()? })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => time.fmt(f),
            Self::Newest => f.write_str("newest"),
            Self::Until(time) => write!(f, "{UNTIL}{time}"),
        }
    }
}

impl FromStr for Wanted {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let moment = |time: &str| {
            time.parse().map_err(|_| NameError("`newest`, `until <time>` or a snapshot's time was expected"))
        };
        match (text, text.strip_prefix(UNTIL)) {
            ("newest", _) => Ok(Self::Newest),
            (_, Some(time)) => moment(time).map(Self::Until),
            (time, None) => moment(time).map(Self::At),
        }
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text!(Group, GroupType, Name, Namespace, Wanted);

macro_rules! display_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

display_inner!(Name, Namespace);
