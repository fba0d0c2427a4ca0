//! The way from a root folder down to an open one, by descriptors.
//!
//! Nothing here resolves a path of more than one component, or follows a symbolic link. Far
//! ancestors' descriptors are let go, so that depth does not exhaust the process' limit; on the
//! way back such a folder is opened as `..` and must be the same inode as before.

use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Descriptors kept open above the innermost folder.
const WINDOW: usize = 64;

/// How a folder is entered.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[derive(Debug)]
pub(super) struct Descent {
    /// Parents of `here`, outermost first.
    above: Vec<Level>,
    here: OwnedFd,
}

#[derive(Debug)]
struct Level {
    fd: Option<OwnedFd>,
    device: u64,
    inode: u64,
}

impl Descent {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { above: Vec::new(), here: root }
    }

    /// The innermost open folder.
    pub(super) fn here(&self) -> BorrowedFd<'_> {
        self.here.as_fd()
    }

    /// The root, which is never let go.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        let root = self.above.first().and_then(|level| level.fd.as_ref());
        root.unwrap_or(&self.here).as_fd()
    }

    /// Goes into a folder that was opened below `here`.
    pub(super) fn enter(&mut self, folder: OwnedFd) -> Result<(), Errno> {
        let stat = fstat(&self.here)?;
        let parent = std::mem::replace(&mut self.here, folder);
        self.above.push(Level { fd: Some(parent), device: stat.st_dev, inode: stat.st_ino });
        // The root stays.
        if let Some(far) = self.above.len().checked_sub(WINDOW).filter(|&far| far > 0) {
            self.above[far].fd = None;
        }
        Ok(())
    }

    /// Goes back to the parent and hands out the folder that was left; `None` at the root.
    pub(super) fn leave(&mut self) -> Result<Option<OwnedFd>, Errno> {
        let Some(level) = self.above.pop() else {
            return Ok(None);
        };
        let parent = match level.fd {
            Some(fd) => fd,
            None => {
                let fd = openat(&self.here, c"..", FOLDER, Mode::empty())?;
                let stat = fstat(&fd)?;
                if (stat.st_dev, stat.st_ino) != (level.device, level.inode) {
                    // Somebody moved the folder meanwhile.
                    return Err(Errno::STALE);
                }
                fd
            }
        };
        Ok(Some(std::mem::replace(&mut self.here, parent)))
    }
}

/// Opens the folder that holds the last component of a plain path below `root`, and gives that
/// component. The path is made of plain names by its caller.
pub(super) fn parent_of<'p>(root: BorrowedFd<'_>, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8]), Errno> {
    let mut folder = openat(root, c".", FOLDER, Mode::empty())?;
    let mut rest = path;
    while let Some(slash) = rest.iter().position(|&byte| byte == b'/') {
        folder = openat(&folder, &rest[..slash], FOLDER, Mode::empty())?;
        rest = &rest[slash + 1..];
    }
    Ok((folder, rest))
}

/// What stands under a name, without following it.
pub(super) fn look(folder: BorrowedFd<'_>, name: &[u8]) -> Result<rustix::fs::Stat, Errno> {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use rustix::fs::{CWD, fstat, mkdirat, renameat};

    #[test]
    fn a_folder_that_was_moved_meanwhile_leads_nowhere() {
        let scratch = tempfile::tempdir().unwrap();
        let depth = WINDOW + 10;
        for moved in [false, true] {
            let name = format!("run-{moved}");
            let root = scratch.path().join(name);
            std::fs::create_dir_all(root.join("elsewhere")).unwrap();
            let mut descent = Descent::new(openat(CWD, &root, FOLDER, Mode::empty()).unwrap());
            for _ in 0..depth {
                mkdirat(descent.here(), "d", Mode::RWXU).unwrap();
                let next = openat(descent.here(), "d", FOLDER, Mode::empty()).unwrap();
                descent.enter(next).unwrap();
            }
            // The fourth folder's descriptor is let go by now; its child goes somewhere else.
            if moved {
                renameat(descent.root(), "d/d/d/d/d", descent.root(), "elsewhere/d").unwrap();
            }
            let left = (0..depth).map(|_| descent.leave()).take_while(|left| matches!(left, Ok(Some(_)))).count();
            assert_eq!(left, if moved { depth - 5 } else { depth });
            if !moved {
                let here = fstat(descent.here()).unwrap();
                assert_eq!(here.st_ino, fstat(descent.root()).unwrap().st_ino);
                assert!(matches!(descent.leave(), Ok(None)));
            }
        }
    }
}
