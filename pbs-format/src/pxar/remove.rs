//! Taking a tree away again, however deep it is.
//!
//! An archive may nest 4096 folders, and the standard library's removal holds a descriptor for each: with
//! the usual limit of 1024 it gives up half way, and what was refused would stay. This one goes down
//! as the restore did, and like it follows no symbolic link. It does not go into what is mounted
//! below: that is somebody else's, and an error.

use super::descent::{Descent, FOLDER};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Removes what stands there, with everything below it; a symbolic link itself. Nothing there is fine.
///
/// # Errors
/// The system's, with the first that cannot be removed; what was removed until then is gone.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            below(path, FOLDER)?;
            fs::remove_dir(path)
        }
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes everything in a folder, which itself stays. (A link in the folder's own path is followed.)
///
/// # Errors
/// As [`remove`].
pub fn empty(folder: &Path) -> io::Result<()> {
    below(folder, FOLDER.difference(OFlags::NOFOLLOW))
}

fn below(folder: &Path, how: OFlags) -> io::Result<()> {
    let mut descent = Descent::new(openat(CWD, folder, how, Mode::empty())?);
    let mut way: Vec<Vec<u8>> = Vec::new();
    loop {
        if let Some(name) = clear(descent.here())? {
            let next = openat(descent.here(), &name[..], FOLDER, Mode::empty())?;
            descent.enter(next)?;
            way.push(name);
            continue;
        }
        let Some(name) = way.pop() else { return Ok(()) };
        descent.leave()?;
        unlinkat(descent.here(), &name[..], AtFlags::REMOVEDIR)?;
    }
}

/// Removes what can be removed at once; the first folder that has something in it, if there is one.
fn clear(folder: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let refused = match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(refused) => refused,
        };
        match unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_bytes().to_vec())),
            // A file: why it cannot be removed was said before.
            Err(Errno::NOTDIR) => return Err(refused.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use rustix::fs::{CWD, mkdirat, openat};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::os::unix::fs::symlink;

    fn deep(root: &Path, depth: usize) {
        fs::create_dir(root).unwrap();
        let mut here = openat(CWD, root, FOLDER, Mode::empty()).unwrap();
        for _ in 0..depth {
            mkdirat(&here, "d", Mode::RWXU).unwrap();
            mkdirat(&here, "e", Mode::RWXU).unwrap();
            here = openat(&here, "d", FOLDER, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn a_tree_that_is_deeper_than_descriptors_go_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..before }).unwrap();
        let root = scratch.path().join("tree");
        deep(&root, 600);
        assert!(fs::remove_dir_all(&root).is_err(), "the standard library can: then this is not needed any more");
        remove(&root).unwrap();
        assert!(!root.exists());
        setrlimit(Resource::Nofile, before).unwrap();
    }

    #[test]
    fn links_are_removed_and_not_followed_and_only_the_content_goes() {
        let scratch = tempfile::tempdir().unwrap();
        let (theirs, ours) = (scratch.path().join("theirs"), scratch.path().join("ours"));
        fs::create_dir_all(theirs.join("folder")).unwrap();
        fs::write(theirs.join("folder/file"), "kept").unwrap();
        fs::create_dir_all(ours.join("a/b")).unwrap();
        fs::write(ours.join("a/b/file"), "x").unwrap();
        symlink(&theirs, ours.join("a/b/link")).unwrap();
        symlink("nowhere", ours.join("dangling")).unwrap();
        empty(&ours).unwrap();
        assert_eq!(fs::read_dir(&ours).unwrap().count(), 0);
        symlink(&theirs, ours.join("link")).unwrap();
        remove(&ours.join("link")).unwrap();
        remove(&ours.join("missing")).unwrap();
        remove(&ours).unwrap();
        assert!(!ours.exists());
        assert_eq!(fs::read(theirs.join("folder/file")).unwrap(), b"kept");
    }
}
