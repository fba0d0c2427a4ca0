//! What a restore or a backup did, and what it could not do.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Rows that a report lists one by one; further ones are counted.
const MAX_ROWS: usize = 10_000;
/// Bytes of their paths and attributes' names: a path in a deep tree may be a megabyte long.
const MAX_NAMES: usize = 8 * 1024 * 1024;

/// A property of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Property {
    /// An extended attribute.
    Xattr(OsString),
    /// Owner and group.
    Owner,
    /// The access ACL.
    AccessAcl,
    /// The default ACL of a folder.
    DefaultAcl,
    /// The file capability, `security.capability`.
    Capability,
    /// Inode flags, in the archive's numbering.
    Flags(u64),
    /// The project quota id.
    QuotaProject,
    /// The device node itself.
    DeviceNode,
}

/// For a person. An attribute's name is the archive's own: it is quoted, with escapes for what is not text.
impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xattr(name) => write!(f, "extended attribute {name:?}"),
            Self::Owner => f.write_str("owner"),
            Self::AccessAcl => f.write_str("ACL"),
            Self::DefaultAcl => f.write_str("default ACL"),
            Self::Capability => f.write_str("file capability"),
            Self::Flags(flags) => write!(f, "inode flags {flags:#x}"),
            Self::QuotaProject => f.write_str("project quota id"),
            Self::DeviceNode => f.write_str("device node"),
        }
    }
}

impl Property {
    /// Bytes of names in it.
    fn names(&self) -> usize {
        match self {
            Self::Xattr(name) => name.len(),
            _ => 0,
        }
    }
}

/// Why something was not set.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The system refused.
    Refused(io::Error),
    /// There is no way to set it here.
    Unsupported,
    /// What the archive says makes no sense to any system.
    Unsound,
}

/// For a person.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(cause) => write!(f, "{cause}"),
            Self::Unsupported => f.write_str("not possible here"),
            Self::Unsound => f.write_str("the archive's value makes no sense"),
        }
    }
}

/// Something of an entry that is in the archive and not in the target.
#[derive(Debug)]
pub struct NotSet {
    /// The entry, from the archive's root; empty for the root.
    pub path: PathBuf,
    /// What is missing.
    pub property: Property,
    /// Why.
    pub reason: Reason,
}

/// Entries whose properties were not set because the options said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ignored {
    /// Entries whose owner was not set.
    pub owners: u64,
    /// Attributes and capabilities that were not set.
    pub xattrs: u64,
    /// ACLs that were not set.
    pub acls: u64,
    /// Entries whose mode was not set.
    pub permissions: u64,
}

/// What a restore did.
#[derive(Debug, Default)]
pub struct ExtractReport {
    /// Folders, the root included.
    pub directories: u64,
    /// Regular files, further names not counted.
    pub files: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files.
    pub hardlinks: u64,
    /// Device nodes, fifos and sockets.
    pub specials: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// What could not be set, up to 10,000 rows and 8 MiB of names.
    pub not_set: Vec<NotSet>,
    /// Rows beyond that.
    pub not_set_further: u64,
    /// Bytes of names in `not_set`.
    names: usize,
    /// What the options said not to set.
    pub ignored: Ignored,
}

impl ExtractReport {
    /// Whether all that the archive says is in the target.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.not_set.is_empty() && self.ignored == Ignored::default()
    }

    pub(super) fn missed(&mut self, path: PathBuf, property: Property, reason: Reason) {
        let names = self.names + path.as_os_str().len() + property.names();
        if self.not_set.len() < MAX_ROWS && names <= MAX_NAMES {
            self.names = names;
            self.not_set.push(NotSet { path, property, reason });
        } else {
            self.not_set_further += 1;
        }
    }
}

/// Why something is not, or not exactly, in the archive.
#[derive(Debug)]
#[non_exhaustive]
pub enum OmitReason {
    /// It was gone or something else when it was about to be read.
    Vanished,
    /// The system refused to read it.
    Unreadable(io::Error),
    /// Another file system is mounted there: stored as an empty folder.
    MountPoint,
    /// It became shorter while it was read: filled with zeros.
    Shrank {
        /// Size when it was opened, and in the archive.
        expected: u64,
        /// Bytes it gave.
        found: u64,
    },
    /// It became longer while it was read: cut.
    Grew {
        /// Size when it was opened, and in the archive.
        stored: u64,
    },
    /// The format has no place for it.
    Unsupported,
}

/// Something that is on disk and not in the archive.
#[derive(Debug)]
pub struct NotStored {
    /// The entry, from the stored folder.
    pub path: PathBuf,
    /// The property, or `None` if it is about the entry or its content.
    pub property: Option<Property>,
    /// Why.
    pub reason: OmitReason,
}

/// What storing a folder did.
#[derive(Debug, Default)]
pub struct CreateReport {
    /// Folders, the root included.
    pub directories: u64,
    /// Regular files, further names not counted.
    pub files: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files.
    pub hardlinks: u64,
    /// Device nodes, fifos and sockets.
    pub specials: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Entries that a `.pxarexclude` list leaves out; what is in such a folder is not counted.
    pub excluded: u64,
    /// Lists, or lines of them, that were not followed: the list, and why. Up to 100.
    pub not_followed: Vec<(PathBuf, String)>,
    /// What is not stored as it is on disk, up to 10,000 rows and 8 MiB of names.
    pub not_stored: Vec<NotStored>,
    /// Rows beyond that.
    pub not_stored_further: u64,
    /// Bytes of names in `not_stored`.
    names: usize,
    /// Attributes of namespaces that are never stored (`security.selinux`), by name: on how many
    /// entries they were.
    pub foreign_xattrs: BTreeMap<OsString, u64>,
}

impl CreateReport {
    pub(super) fn missed(&mut self, path: PathBuf, property: Option<Property>, reason: OmitReason) {
        let names = self.names + path.as_os_str().len() + property.as_ref().map_or(0, Property::names);
        if self.not_stored.len() < MAX_ROWS && names <= MAX_NAMES {
            self.names = names;
            self.not_stored.push(NotStored { path, property, reason });
        } else {
            self.not_stored_further += 1;
        }
    }

    pub(super) fn foreign(&mut self, name: Vec<u8>) {
        use std::os::unix::ffi::OsStringExt;
        let name = OsString::from_vec(name);
        // So many different names are no namespaces but an attack on memory.
        if self.foreign_xattrs.len() < MAX_ROWS || self.foreign_xattrs.contains_key(&name) {
            *self.foreign_xattrs.entry(name).or_default() += 1;
        } else {
            self.not_stored_further += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded_by_number_and_by_what_their_names_weigh() {
        let mut report = ExtractReport::default();
        (0..MAX_ROWS + 5).for_each(|_| report.missed("a".into(), Property::Owner, Reason::Unsupported));
        assert_eq!((report.not_set.len(), report.not_set_further), (MAX_ROWS, 5));
        let mut report = ExtractReport::default();
        let (long, name) = ("d/".repeat(1 << 19), OsString::from("x".repeat(1 << 16)));
        (0..20).for_each(|_| report.missed(long.as_str().into(), Property::Xattr(name.clone()), Reason::Unsupported));
        assert_eq!((report.not_set.len(), report.not_set_further), (7, 13));
        let mut report = CreateReport::default();
        (0..20).for_each(|_| report.missed(long.as_str().into(), None, OmitReason::Vanished));
        assert_eq!((report.not_stored.len(), report.not_stored_further), (8, 12));
    }
}
