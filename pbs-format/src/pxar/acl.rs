//! POSIX ACLs between the archive's items and the kernel's attributes `system.posix_acl_access`
//! and `system.posix_acl_default`.
//!
//! Kernel form: version 2 as u32, then per entry tag u16, permissions u16, id u32 (all ones where
//! there is none), in the order of the tags and, within a tag, of the ids.
//!
//! Archive form (`formats.md` §8.1, §8.7): of an access ACL only what the mode does not say. If
//! it has a mask, the mode's group bits are the mask and ACL_GROUP_OBJ holds the group.

use super::metadata::{AclEntry, DefaultAcl, Metadata};

pub(super) const ACCESS: &str = "system.posix_acl_access";
pub(super) const DEFAULT: &str = "system.posix_acl_default";

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The access ACL to set; `Ok(None)` if the mode says it all.
pub(super) fn access(metadata: &Metadata) -> Result<Option<Vec<u8>>, Unsound> {
    let named = !metadata.acl_users.is_empty() || !metadata.acl_groups.is_empty();
    if !named && metadata.acl_group_obj.is_none() {
        return Ok(None);
    }
    let mode = metadata.mode;
    let group = mode >> 3 & 7;
    let mut acl = Kernel::new();
    acl.put(USER_OBJ, mode >> 6 & 7, NO_ID.into())?;
    acl.put_all(USER, &metadata.acl_users)?;
    acl.put(GROUP_OBJ, metadata.acl_group_obj.unwrap_or(group), NO_ID.into())?;
    acl.put_all(GROUP, &metadata.acl_groups)?;
    acl.put(MASK, group, NO_ID.into())?;
    acl.put(OTHER, mode & 7, NO_ID.into())?;
    Ok(Some(acl.0))
}

/// The default ACL to set; `Ok(None)` if there is none.
pub(super) fn default(metadata: &Metadata) -> Result<Option<Vec<u8>>, Unsound> {
    let named = !metadata.acl_default_users.is_empty() || !metadata.acl_default_groups.is_empty();
    let Some(unnamed) = metadata.acl_default else {
        return if named { Err(Unsound) } else { Ok(None) };
    };
    let mut acl = Kernel::new();
    acl.put(USER_OBJ, unnamed.user_obj, NO_ID.into())?;
    acl.put_all(USER, &metadata.acl_default_users)?;
    acl.put(GROUP_OBJ, unnamed.group_obj, NO_ID.into())?;
    acl.put_all(GROUP, &metadata.acl_default_groups)?;
    match unnamed.mask {
        Some(mask) => acl.put(MASK, mask, NO_ID.into())?,
        None if named => return Err(Unsound),
        None => {}
    }
    acl.put(OTHER, unnamed.other, NO_ID.into())?;
    Ok(Some(acl.0))
}

/// An ACL that no kernel takes: bits beyond rwx, an id that is none, names without a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsound;

struct Kernel(Vec<u8>);

impl Kernel {
    fn new() -> Self {
        Self(VERSION.to_le_bytes().to_vec())
    }

    fn put(&mut self, tag: u16, permissions: u64, id: u64) -> Result<(), Unsound> {
        let permissions = u16::try_from(permissions).ok().filter(|bits| *bits <= 7);
        let id = u32::try_from(id).map_err(|_| Unsound)?;
        self.0.extend_from_slice(&tag.to_le_bytes());
        self.0.extend_from_slice(&permissions.ok_or(Unsound)?.to_le_bytes());
        self.0.extend_from_slice(&id.to_le_bytes());
        Ok(())
    }

    fn put_all(&mut self, tag: u16, entries: &[AclEntry]) -> Result<(), Unsound> {
        let mut sorted = entries.to_vec();
        sorted.sort_by_key(|entry| entry.id);
        for entry in sorted {
            if entry.id >= NO_ID.into() {
                return Err(Unsound);
            }
            self.put(tag, entry.permissions, entry.id)?;
        }
        Ok(())
    }
}

/// The kernel's entries, sorted out by tag.
#[derive(Debug, Default)]
struct Parsed {
    user_obj: u64,
    group_obj: u64,
    other: u64,
    mask: Option<u64>,
    users: Vec<AclEntry>,
    groups: Vec<AclEntry>,
}

fn parse(value: &[u8]) -> Option<Parsed> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    let (entries, []) = entries.as_chunks::<8>() else {
        return None;
    };
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let mut parsed = Parsed::default();
    for [t0, t1, p0, p1, i0, i1, i2, i3] in entries {
        let permissions = u16::from_le_bytes([*p0, *p1]).into();
        let id = u32::from_le_bytes([*i0, *i1, *i2, *i3]).into();
        match u16::from_le_bytes([*t0, *t1]) {
            USER_OBJ => parsed.user_obj = permissions,
            USER => parsed.users.push(AclEntry { id, permissions }),
            GROUP_OBJ => parsed.group_obj = permissions,
            GROUP => parsed.groups.push(AclEntry { id, permissions }),
            MASK => parsed.mask = Some(permissions),
            OTHER => parsed.other = permissions,
            _ => return None,
        }
    }
    Some(parsed)
}

/// Takes the kernel's access ACL into the archive's items; `false` if it is not one.
pub(super) fn take_access(value: &[u8], metadata: &mut Metadata) -> bool {
    let Some(parsed) = parse(value) else {
        return false;
    };
    // Without a mask it says no more than the mode.
    if parsed.mask.is_some() {
        metadata.acl_users = parsed.users;
        metadata.acl_groups = parsed.groups;
        metadata.acl_group_obj = Some(parsed.group_obj);
    }
    true
}

/// Takes the kernel's default ACL into the archive's items; `false` if it is not one.
pub(super) fn take_default(value: &[u8], metadata: &mut Metadata) -> bool {
    let Some(parsed) = parse(value) else {
        return false;
    };
    metadata.acl_default = Some(DefaultAcl {
        user_obj: parsed.user_obj,
        group_obj: parsed.group_obj,
        other: parsed.other,
        mask: parsed.mask,
    });
    metadata.acl_default_users = parsed.users;
    metadata.acl_default_groups = parsed.groups;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_list_comes_back_as_the_kernel_gave_it() {
        // etc/os-release of the golden tree.
        let value = hex::decode(concat!(
            "02000000",
            "01000600ffffffff0200040022000000",
            "04000400ffffffff0800060001000000",
            "10000600ffffffff20000400ffffffff"
        ))
        .expect("hex");
        let mut metadata = Metadata { mode: 0o100_664, ..Metadata::default() };
        assert!(take_access(&value, &mut metadata));
        assert_eq!(metadata.acl_group_obj, Some(4));
        assert_eq!(access(&metadata), Ok(Some(value)));
    }

    #[test]
    fn what_no_kernel_takes_is_unsound() {
        let entry = |id, permissions| Metadata { acl_users: vec![AclEntry { id, permissions }], ..Metadata::default() };
        assert!(matches!(access(&entry(5, 7)), Ok(Some(_))));
        assert_eq!(access(&entry(5, 8)), Err(Unsound));
        assert_eq!(access(&entry(1 << 32, 7)), Err(Unsound));
        assert_eq!(access(&entry(u64::from(u32::MAX), 7)), Err(Unsound));
        let named = Metadata { acl_default_users: vec![AclEntry { id: 1, permissions: 1 }], ..Metadata::default() };
        assert_eq!(default(&named), Err(Unsound));
    }
}
