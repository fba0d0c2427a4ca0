//! The numbers of the format (`formats.md` §8.1, §8.5) and what bounds an item.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// Bytes of an item's type and size.
pub(super) const HEADER_LEN: u64 = 16;

/// Folders inside folders that are read; a path that long cannot be named on Linux by one call.
pub const MAX_DEPTH: usize = 4096;

/// Bytes of names, attributes and access lists kept at one time, over all open folders.
pub(super) const MAX_KEPT: u64 = 16 * 1024 * 1024;

/// A name, its NUL not counted.
pub(super) const MAX_NAME: usize = 4096;
/// A symbolic link's target or a hard link's path, the NUL not counted.
pub(super) const MAX_TARGET: usize = 4096;
/// Name, NUL and value of an extended attribute; also a file capability.
pub(super) const MAX_XATTR: u64 = 65_791;

/// What an item is, by the number in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKind {
    FormatVersion,
    Prelude,
    Entry,
    EntryOld,
    Xattr,
    AclUser,
    AclGroup,
    AclGroupObj,
    AclDefault,
    AclDefaultUser,
    AclDefaultGroup,
    Fcaps,
    QuotaProjid,
    Filename,
    Symlink,
    Hardlink,
    Device,
    Payload,
    PayloadRef,
    Goodbye,
}

/// Number, kind, name and largest content of every item.
const ITEMS: [(u64, ItemKind, &str, u64); 20] = [
    (0x730f_6c75_df16_a40d, ItemKind::FormatVersion, "FORMAT_VERSION", 8),
    (0xe309_d79d_9f7b_771b, ItemKind::Prelude, "PRELUDE", 0),
    (0xd595_6474_e588_acef, ItemKind::Entry, "ENTRY", 40),
    (0x11da_850a_1c1c_ceff, ItemKind::EntryOld, "ENTRY (old)", 32),
    (0x0dab_0229_b57d_cd03, ItemKind::Xattr, "XATTR", MAX_XATTR),
    (0x2ce8_540a_457d_55b8, ItemKind::AclUser, "ACL_USER", 16),
    (0x136e_3ece_b04c_03ab, ItemKind::AclGroup, "ACL_GROUP", 16),
    (0x1086_8031_e958_2876, ItemKind::AclGroupObj, "ACL_GROUP_OBJ", 8),
    (0xbbbb_1341_5a68_96f5, ItemKind::AclDefault, "ACL_DEFAULT", 32),
    (0xc893_57b4_0532_cd1f, ItemKind::AclDefaultUser, "ACL_DEFAULT_USER", 16),
    (0xf90a_8a58_1603_8ffe, ItemKind::AclDefaultGroup, "ACL_DEFAULT_GROUP", 16),
    (0x2da9_dd9d_b5f7_fb67, ItemKind::Fcaps, "FCAPS", MAX_XATTR),
    (0xe075_40e8_2f7d_1cbb, ItemKind::QuotaProjid, "QUOTA_PROJID", 8),
    (0x1670_1121_0639_17b3, ItemKind::Filename, "FILENAME", MAX_NAME as u64 + 1),
    (0x27f9_71e7_dbf5_dc5f, ItemKind::Symlink, "SYMLINK", MAX_TARGET as u64 + 1),
    (0x5126_9c84_22bd_7275, ItemKind::Hardlink, "HARDLINK", MAX_TARGET as u64 + 9),
    (0x9fc9_e906_586d_5ce9, ItemKind::Device, "DEVICE", 16),
    (0x2814_7a1b_0b7c_1a25, ItemKind::Payload, "PAYLOAD", i64::MAX as u64),
    (0x419d_3d6b_c4ba_977e, ItemKind::PayloadRef, "PAYLOAD_REF", 16),
    (0x2fec_4fa6_42d5_731d, ItemKind::Goodbye, "GOODBYE", i64::MAX as u64),
];

/// Marks the last record of a GOODBYE table.
pub(super) const GOODBYE_TAIL: u64 = 0xef5e_ed5b_753e_1555;

/// "No mask" in an ACL_DEFAULT item.
pub(super) const NO_MASK: u64 = u64::MAX;

impl ItemKind {
    pub(super) fn from_number(number: u64) -> Option<Self> {
        ITEMS.iter().find(|item| item.0 == number).map(|item| item.1)
    }

    fn row(self) -> &'static (u64, ItemKind, &'static str, u64) {
        // The table's order is the enum's, which the test below holds.
        &ITEMS[self as usize]
    }

    pub(super) fn number(self) -> u64 {
        self.row().0
    }

    pub(super) fn name(self) -> &'static str {
        self.row().2
    }

    pub(super) fn max_content(self) -> u64 {
        self.row().3
    }
}

/// The hash of a name in GOODBYE tables: SipHash-2-4 under the format's two keys (§8.5).
#[must_use]
pub fn name_hash(name: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0x83ac_3f1c_fbb4_50db, 0xaa4f_1b68_7936_9fbd);
    hasher.write(name);
    hasher.finish()
}

/// A name that is one path component and nothing else (§8.3).
pub(super) fn is_plain_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// A hard link's path: plain names joined by single slashes, relative (§8.4).
pub(super) fn is_plain_path(path: &[u8]) -> bool {
    path.len() <= MAX_TARGET && path.split(|&byte| byte == b'/').all(is_plain_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_stands_in_its_row() {
        for (at, item) in ITEMS.iter().enumerate() {
            assert_eq!(item.1 as usize, at, "{}", item.2);
            assert_eq!(ItemKind::from_number(item.0), Some(item.1));
        }
        assert_eq!(ItemKind::from_number(GOODBYE_TAIL), None);
    }

    #[test]
    fn only_single_components_are_names() {
        for good in [&b"a"[..], b"...", b"..a", b" ", b"\xff\xfe", &[b'x'; 4096]] {
            assert!(is_plain_name(good), "{good:?}");
        }
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0", &[b'x'; 4097]] {
            assert!(!is_plain_name(bad), "{bad:?}");
        }
        assert!(is_plain_path(b"bin/tool"));
        for bad in [&b"/bin"[..], b"bin/", b"a//b", b"a/../b", b"./a", b"", b"a/.."] {
            assert!(!is_plain_path(bad), "{bad:?}");
        }
    }
}
