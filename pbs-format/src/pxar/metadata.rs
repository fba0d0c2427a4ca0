//! What an archive says about an entry beside its content, and the ENTRY item (`formats.md` §8.2).

use super::format::{ItemKind, NO_MASK};

/// Modification time: whole seconds since 1970, rounded down, and nanoseconds forward from there.
/// A second and a half before 1970 is `-2` and `500_000_000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mtime {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// What kind of file a mode names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// A folder.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A unix socket.
    Socket,
}

impl FileType {
    /// The type bits of a mode; `None` if they name no type.
    #[must_use]
    pub fn from_mode(mode: u64) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o040_000 => Self::Directory,
            0o100_000 => Self::File,
            0o120_000 => Self::Symlink,
            0o060_000 => Self::BlockDevice,
            0o020_000 => Self::CharDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// With its namespace: `user.note`. No NUL, not empty.
    pub name: Vec<u8>,
    /// Any bytes.
    pub value: Vec<u8>,
}

/// Permissions of one named user or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclEntry {
    /// User or group id; 64 bits wide in the archive.
    pub id: u64,
    /// The bits rwx = 4, 2, 1.
    pub permissions: u64,
}

/// The unnamed part of a folder's default ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultAcl {
    /// The owner's permissions.
    pub user_obj: u64,
    /// The owning group's permissions.
    pub group_obj: u64,
    /// Everybody else's permissions.
    pub other: u64,
    /// The mask, if there is one.
    pub mask: Option<u64>,
}

/// Everything about an entry but its name and content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// File type and permission bits, as `st_mode`.
    pub mode: u64,
    /// Inode flags in the archive's own numbering (§8.6); 0 for none.
    pub flags: u64,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Mtime,
    /// Extended attributes, in the archive's order.
    pub xattrs: Vec<Xattr>,
    /// Named users of the access ACL.
    pub acl_users: Vec<AclEntry>,
    /// Named groups of the access ACL.
    pub acl_groups: Vec<AclEntry>,
    /// The owning group's entry of the access ACL; the group bits of `mode` are then the mask.
    pub acl_group_obj: Option<u64>,
    /// The default ACL of a folder.
    pub acl_default: Option<DefaultAcl>,
    /// Named users of the default ACL.
    pub acl_default_users: Vec<AclEntry>,
    /// Named groups of the default ACL.
    pub acl_default_groups: Vec<AclEntry>,
    /// The value of `security.capability`.
    pub fcaps: Option<Vec<u8>>,
    /// Project quota id.
    pub quota_project_id: Option<u64>,
}

impl Metadata {
    /// The kind of file, by mode.
    #[must_use]
    pub fn file_type(&self) -> Option<FileType> {
        FileType::from_mode(self.mode)
    }

    /// Set-id, sticky and permission bits.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        (self.mode & 0o7777) as u32
    }

    /// Content of an ENTRY item; `None` if mode or time cannot stand in one.
    pub(super) fn from_entry(content: &[u8; 40]) -> Option<Self> {
        Self {
            mode: u64_at(content, 0),
            flags: u64_at(content, 8),
            uid: u32_at(content, 16),
            gid: u32_at(content, 20),
            mtime: Mtime { seconds: u64_at(content, 24).cast_signed(), nanoseconds: u32_at(content, 32) },
            ..Self::default()
        }
        .checked()
    }

    /// Content of an old ENTRY item, whose time is one count of nanoseconds since 1970.
    pub(super) fn from_old_entry(content: &[u8; 32]) -> Option<Self> {
        let nanoseconds = u64_at(content, 24);
        Self {
            mode: u64_at(content, 0),
            flags: u64_at(content, 8),
            uid: u32_at(content, 16),
            gid: u32_at(content, 20),
            mtime: Mtime {
                seconds: (nanoseconds / 1_000_000_000).cast_signed(),
                nanoseconds: (nanoseconds % 1_000_000_000) as u32,
            },
            ..Self::default()
        }
        .checked()
    }

    fn checked(self) -> Option<Self> {
        let sound = self.file_type().is_some() && self.mode & !0o177_777 == 0 && self.mtime.nanoseconds < 1_000_000_000;
        sound.then_some(self)
    }

    /// ENTRY and the metadata items, in the writer's order.
    pub(super) fn append_items(&self, out: &mut Vec<u8>) {
        header(out, ItemKind::Entry, 40);
        for value in [self.mode, self.flags] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&self.uid.to_le_bytes());
        out.extend_from_slice(&self.gid.to_le_bytes());
        out.extend_from_slice(&self.mtime.seconds.to_le_bytes());
        out.extend_from_slice(&self.mtime.nanoseconds.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for xattr in &self.xattrs {
            header(out, ItemKind::Xattr, xattr.name.len() + 1 + xattr.value.len());
            out.extend_from_slice(&xattr.name);
            out.push(0);
            out.extend_from_slice(&xattr.value);
        }
        for entry in &self.acl_users {
            numbers(out, ItemKind::AclUser, &[entry.id, entry.permissions]);
        }
        for entry in &self.acl_groups {
            numbers(out, ItemKind::AclGroup, &[entry.id, entry.permissions]);
        }
        if let Some(permissions) = self.acl_group_obj {
            numbers(out, ItemKind::AclGroupObj, &[permissions]);
        }
        if let Some(acl) = self.acl_default {
            let mask = acl.mask.unwrap_or(NO_MASK);
            let values = [acl.user_obj, acl.group_obj, acl.other, mask];
            numbers(out, ItemKind::AclDefault, &values);
        }
        for entry in &self.acl_default_users {
            numbers(out, ItemKind::AclDefaultUser, &[entry.id, entry.permissions]);
        }
        for entry in &self.acl_default_groups {
            numbers(out, ItemKind::AclDefaultGroup, &[entry.id, entry.permissions]);
        }
        if let Some(fcaps) = &self.fcaps {
            header(out, ItemKind::Fcaps, fcaps.len());
            out.extend_from_slice(fcaps);
        }
        if let Some(id) = self.quota_project_id {
            numbers(out, ItemKind::QuotaProjid, &[id]);
        }
    }
}

/// An item's header in front of `content` bytes.
pub(super) fn header(out: &mut Vec<u8>, kind: ItemKind, content: usize) {
    out.extend_from_slice(&kind.number().to_le_bytes());
    out.extend_from_slice(&(content as u64 + super::format::HEADER_LEN).to_le_bytes());
}

/// A whole item of numbers.
pub(super) fn numbers(out: &mut Vec<u8>, kind: ItemKind, values: &[u64]) {
    header(out, kind, values.len() * 8);
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// The number at a place that is inside the slice by its caller's types.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_entry_counts_nanoseconds() {
        let mut content = [0; 32];
        content[..8].copy_from_slice(&0o100_644_u64.to_le_bytes());
        content[16..20].copy_from_slice(&7_u32.to_le_bytes());
        content[20..24].copy_from_slice(&8_u32.to_le_bytes());
        content[24..].copy_from_slice(&1_500_000_001_u64.to_le_bytes());
        let read = Metadata::from_old_entry(&content).expect("a sound entry");
        assert_eq!((read.uid, read.gid), (7, 8));
        assert_eq!((read.mtime.seconds, read.mtime.nanoseconds), (1, 500_000_001));
    }

    #[test]
    fn an_entry_with_foreign_bits_is_refused() {
        let entry = |mode: u64, nanoseconds: u32| {
            let mut content = [0; 40];
            content[..8].copy_from_slice(&mode.to_le_bytes());
            content[32..36].copy_from_slice(&nanoseconds.to_le_bytes());
            Metadata::from_entry(&content).is_some()
        };
        assert!(entry(0o104_755, 999_999_999));
        assert!(!entry(0o104_755, 1_000_000_000));
        assert!(!entry(0o1_100_644, 0));
        assert!(!entry(0o1_0000_0010_0644, 0));
        assert!(!entry(0o000_644, 0));
        assert!(!entry(0o170_644, 0));
    }
}
