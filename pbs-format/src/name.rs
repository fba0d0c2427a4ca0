//! Names inside a datastore, parsed once into types that cannot be wrong.
//!
//! `formats.md` §6.1. A safe id starts with a letter, digit or underscore, so none is `.`, `..`,
//! empty, hidden or an option, and none holds a slash or a control character: such a name can
//! become a path component as it is.

use std::{cmp::Ordering, fmt, str::FromStr};

use tenwords_protocol::time::Timestamp;
use thiserror::Error;

/// Characters that a safe id may have; the longest name that a file system takes.
const MAX_ID: usize = 255;
/// Namespaces below one another.
const MAX_DEPTH: usize = 7;
/// Characters of a namespace's text.
const MAX_NAMESPACE: usize = 256;

/// Why a text is not such a name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// Neither `vm` nor `ct` nor `host`.
    #[error("a backup type is vm, ct or host")]
    Type,
    /// Not a safe id.
    #[error("an id has letters, digits, '.', '_' and '-', and starts with none of '.' and '-'")]
    Id,
    /// Not a snapshot's time.
    #[error("a snapshot's time looks like 2026-03-03T12:00:00Z")]
    Time,
    /// Neither `type/id` nor `type/id/time`.
    #[error("a group is type/id, a snapshot type/id/time")]
    Path,
    /// Too deep, too long, or a component is not a safe id.
    #[error("a namespace is at most seven ids, separated by slashes")]
    Namespace,
    /// Not a file of a snapshot.
    #[error("a file of a snapshot is an id that ends in .didx, .fidx or .blob")]
    File,
}

/// What was backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackupType {
    /// A container.
    Ct,
    /// A machine, or any set of files.
    Host,
    /// A virtual machine.
    Vm,
}

/// All snapshots of one thing: `type/id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    backup_type: BackupType,
    id: String,
}

/// One snapshot: `type/id/time`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotRef {
    group: Group,
    time: Timestamp,
}

/// Where in a datastore; the root namespace has no components and an empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Vec<String>);

/// The name of a file that counts as part of a snapshot, as it stands on the server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

/// What a file's name says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `.didx`
    Dynamic,
    /// `.fidx`
    Fixed,
    /// `.blob`
    Blob,
}

/// Whether `text` is a safe id.
#[must_use]
pub fn is_safe_id(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    let first = text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_');
    first && text.len() <= MAX_ID && text.bytes().all(inner)
}

impl fmt::Display for BackupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vm => "vm",
            Self::Ct => "ct",
            Self::Host => "host",
        })
    }
}

impl FromStr for BackupType {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "vm" => Ok(Self::Vm),
            "ct" => Ok(Self::Ct),
            "host" => Ok(Self::Host),
            _ => Err(NameError::Type),
        }
    }
}

impl Group {
    /// The group of this type and id.
    ///
    /// # Errors
    /// [`NameError::Id`].
    pub fn new(backup_type: BackupType, id: &str) -> Result<Self, NameError> {
        if is_safe_id(id) { Ok(Self { backup_type, id: id.to_owned() }) } else { Err(NameError::Id) }
    }

    /// What was backed up.
    #[must_use]
    pub fn backup_type(&self) -> BackupType {
        self.backup_type
    }

    /// Its id, a number for guests.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backup_type, self.id)
    }
}

impl FromStr for Group {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (backup_type, id) = text.split_once('/').ok_or(NameError::Path)?;
        Self::new(backup_type.parse()?, id)
    }
}

/// By type, then by id: two numbers as numbers, anything else as text.
impl Ord for Group {
    fn cmp(&self, other: &Self) -> Ordering {
        let ids = || match (self.id.parse::<u64>(), other.id.parse::<u64>()) {
            (Ok(mine), Ok(theirs)) => mine.cmp(&theirs).then_with(|| self.id.cmp(&other.id)),
            _ => self.id.cmp(&other.id),
        };
        self.backup_type.cmp(&other.backup_type).then_with(ids)
    }
}

impl PartialOrd for Group {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl SnapshotRef {
    /// The snapshot of this group at this time.
    ///
    /// # Errors
    /// [`NameError::Time`] for the very second 0, which PBS does not allow.
    pub fn new(group: Group, time: Timestamp) -> Result<Self, NameError> {
        if time.unix() >= 1 { Ok(Self { group, time }) } else { Err(NameError::Time) }
    }

    /// The group that it belongs to.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// When it was begun.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }
}

impl fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.time)
    }
}

impl FromStr for SnapshotRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (group, time) = text.rsplit_once('/').ok_or(NameError::Path)?;
        Self::new(group.parse()?, time.parse().map_err(|_| NameError::Time)?)
    }
}

impl Namespace {
    /// The root namespace.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Whether it is the root namespace.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The namespace of this name inside this one.
    ///
    /// # Errors
    /// [`NameError::Namespace`].
    pub fn child(&self, name: &str) -> Result<Self, NameError> {
        let mut components = self.0.clone();
        components.push(name.to_owned());
        let child = Self(components);
        let fits = child.0.len() <= MAX_DEPTH && child.to_string().len() <= MAX_NAMESPACE;
        if fits && is_safe_id(name) { Ok(child) } else { Err(NameError::Namespace) }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        text.split('/').try_fold(Self::root(), |namespace, name| namespace.child(name))
    }
}

impl FileName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the file is, by its ending.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        match self.0.rsplit_once('.') {
            Some((_, "didx")) => FileKind::Dynamic,
            Some((_, "fidx")) => FileKind::Fixed,
            _ => FileKind::Blob,
        }
    }

    /// The name without the ending that the server adds: `root.pxar` for `root.pxar.didx`.
    #[must_use]
    pub fn archive(&self) -> &str {
        self.0.rsplit_once('.').map_or(self.as_str(), |(archive, _)| archive)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.rsplit_once('.') {
            Some((archive, "didx" | "fidx" | "blob")) if is_safe_id(archive) && text.len() <= MAX_ID => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NameError::File),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were() -> Result<(), NameError> {
        for text in ["vm/100/2024-06-10T06:13:20Z", "host/a-b_c.d/1970-01-01T00:00:01Z", "ct/_/9999-12-31T23:59:59Z"] {
            assert_eq!(text.parse::<SnapshotRef>()?.to_string(), text);
        }
        for text in ["", "a", "a/b/c/d/e/f/g"] {
            assert_eq!(text.parse::<Namespace>()?.to_string(), text);
        }
        let name: FileName = "root.pxar.didx".parse()?;
        assert_eq!((name.kind(), name.archive(), name.as_str()), (FileKind::Dynamic, "root.pxar", "root.pxar.didx"));
        Ok(())
    }

    #[test]
    fn what_could_leave_its_folder_is_no_name() {
        for bad in ["", ".", "..", ".chunks", "-x", "a/b", "a b", "a\n", "a\0", "ä", &"x".repeat(256)] {
            assert_eq!(Group::new(BackupType::Ct, bad), Err(NameError::Id), "{bad:?}");
        }
        for bad in [
            "ct/100",
            "ct/100/",
            "ct//2024-06-10T06:13:20Z",
            "ct/100/1970-01-01T00:00:00Z",
            "ct/100/2024-06-10T06:13:20+00:00",
            "lxc/100/2024-06-10T06:13:20Z",
            "ct/../2024-06-10T06:13:20Z",
            "/ct/100/2024-06-10T06:13:20Z",
            "ct/1/2/2024-06-10T06:13:20Z",
        ] {
            assert!(bad.parse::<SnapshotRef>().is_err(), "{bad}");
        }
        for bad in ["/", "a/", "/a", "a//b", "..", "a/../b", "a/b/c/d/e/f/g/h", &"x".repeat(257)] {
            assert_eq!(bad.parse::<Namespace>(), Err(NameError::Namespace), "{bad}");
        }
        for bad in ["", ".blob", "..blob", "x", "x.didx/", "../x.blob", "x.blob\n", "x.img", "-x.blob"] {
            assert_eq!(bad.parse::<FileName>(), Err(NameError::File), "{bad}");
        }
    }

    #[test]
    fn groups_sort_by_type_and_numbers_as_numbers() -> Result<(), NameError> {
        let mut groups = ["vm/100", "host/b", "ct/1000", "ct/99", "host/10", "ct/a"]
            .into_iter()
            .map(str::parse::<Group>)
            .collect::<Result<Vec<_>, _>>()?;
        groups.sort();
        let sorted: Vec<_> = groups.iter().map(Group::to_string).collect();
        assert_eq!(sorted, ["ct/99", "ct/1000", "ct/a", "host/10", "host/b", "vm/100"]);
        Ok(())
    }
}
