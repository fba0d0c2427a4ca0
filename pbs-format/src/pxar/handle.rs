//! One inode, held by a descriptor, whatever kind it is.
//!
//! Links, pipes, sockets and device nodes cannot be opened without side effects, so they are held
//! by `O_PATH` descriptors; what a descriptor of that kind refuses goes through
//! `/proc/self/fd/N`, which leads to exactly that inode and follows nothing further.

use super::metadata::Mtime;
use rustix::fs::{
    AtFlags, Gid, IFlags, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmod, chownat, fchmod, fgetxattr,
    flistxattr, fremovexattr, fsetxattr, getxattr, ioctl_getflags, ioctl_setflags, listxattr, removexattr, setxattr,
    utimensat,
};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The kernel's limits on one value and on the list of names.
const XATTR_MAX: usize = 65_536;

#[derive(Debug, Clone, Copy)]
pub(super) enum Handle<'a> {
    /// Opened for reading or writing: files and folders.
    Open(BorrowedFd<'a>),
    /// Opened with `O_PATH`.
    Path(BorrowedFd<'a>),
}

impl<'a> Handle<'a> {
    fn fd(self) -> BorrowedFd<'a> {
        match self {
            Self::Open(fd) | Self::Path(fd) => fd,
        }
    }

    fn proc_path(fd: BorrowedFd<'_>) -> String {
        format!("/proc/self/fd/{}", fd.as_raw_fd())
    }

    pub(super) fn set_owner(self, uid: u32, gid: u32) -> Result<(), Errno> {
        if uid == u32::MAX || gid == u32::MAX {
            // To the kernel this number means "leave it".
            return Err(Errno::INVAL);
        }
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        chownat(self.fd(), c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
    }

    pub(super) fn set_permissions(self, permissions: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(permissions);
        match self {
            Self::Open(fd) => fchmod(fd, mode),
            Self::Path(fd) => chmod(Self::proc_path(fd), mode),
        }
    }

    pub(super) fn set_mtime(self, mtime: Mtime) -> Result<(), Errno> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() },
        };
        utimensat(self.fd(), c"", &times, AtFlags::EMPTY_PATH)
    }

    pub(super) fn set_xattr(self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Path(fd) => setxattr(Self::proc_path(fd), name, value, XattrFlags::empty()),
        }
    }

    pub(super) fn remove_xattr(self, name: &[u8]) -> Result<(), Errno> {
        let removed = match self {
            Self::Open(fd) => fremovexattr(fd, name),
            Self::Path(fd) => removexattr(Self::proc_path(fd), name),
        };
        match removed {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            other => other,
        }
    }

    /// `None` if there is no such attribute.
    pub(super) fn xattr(self, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        let mut value = vec![0; XATTR_MAX];
        let found = match self {
            Self::Open(fd) => fgetxattr(fd, name, &mut value[..]),
            Self::Path(fd) => getxattr(Self::proc_path(fd), name, &mut value[..]),
        };
        match found {
            Ok(length) => {
                value.truncate(length);
                value.shrink_to_fit();
                Ok(Some(value))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names of all attributes, sorted, so that one tree is one archive; none where the file system
    /// has none at all. (The client takes them as the file system gives them, which says nothing.)
    pub(super) fn xattr_names(self) -> Result<Vec<Vec<u8>>, Errno> {
        let mut list = vec![0; XATTR_MAX];
        let found = match self {
            Self::Open(fd) => flistxattr(fd, &mut list[..]),
            Self::Path(fd) => listxattr(Self::proc_path(fd), &mut list[..]),
        };
        let length = match found {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => 0,
            Err(error) => return Err(error),
        };
        let names = list[..length].split(|&byte| byte == 0);
        let mut names: Vec<_> = names.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
        names.sort();
        Ok(names)
    }

    /// The inode flags; `None` where there are none (not a file or folder, other file systems).
    pub(super) fn flags(self) -> Result<Option<IFlags>, Errno> {
        let Self::Open(fd) = self else {
            return Ok(None);
        };
        match ioctl_getflags(fd) {
            Ok(flags) => Ok(Some(flags)),
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn set_flags(self, flags: IFlags) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => ioctl_setflags(fd, flags),
            Self::Path(_) => Err(Errno::OPNOTSUPP),
        }
    }
}

/// Archive flag and inode flag (`formats.md` §8.6).
const FLAGS: [(u64, u32); 10] = [
    (0x1_0000, 0x20),          // append only
    (0x2_0000, 0x80),          // noatime
    (0x4_0000, 0x04),          // compress
    (0x8_0000, 0x0080_0000),   // nocow
    (0x10_0000, 0x40),         // nodump
    (0x20_0000, 0x0001_0000),  // dirsync
    (0x40_0000, 0x10),         // immutable
    (0x80_0000, 0x08),         // sync
    (0x100_0000, 0x400),       // no compression
    (0x200_0000, 0x2000_0000), // project id inherited
];

/// Inode flags of an archive's flags, and the archive's flags that no inode has here.
pub(super) fn inode_flags(archive: u64) -> (IFlags, u64) {
    let mut flags = 0;
    let mut rest = archive;
    for (ours, theirs) in FLAGS {
        if archive & ours != 0 {
            flags |= theirs;
            rest &= !ours;
        }
    }
    (IFlags::from_bits_retain(flags), rest)
}

/// Archive flags of an inode's flags; what the archive has no place for is left out.
pub(super) fn archive_flags(inode: IFlags) -> u64 {
    let set = FLAGS.iter().filter(|row| inode.bits() & row.1 != 0);
    set.fold(0, |flags, row| flags | row.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_back() {
        for (ours, _) in FLAGS {
            let (inode, rest) = inode_flags(ours);
            assert_eq!((archive_flags(inode), rest), (ours, 0), "{ours:#x}");
        }
        assert_eq!(inode_flags(0x2000 | 0x40_0000), (IFlags::IMMUTABLE, 0x2000));
    }
}
