//! What came back, counted, and held beside the live tree. Live data changes, so a difference is a note
//! and no failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{interrupt, show::harmless};

/// So many differences are named.
const NAMED: usize = 5;
const PIECE: usize = 1 << 16;

/// What lies there.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// Regular files, by their names.
    pub(super) files: u64,
    /// Their content; of a file with several names once.
    pub(super) bytes: u64,
    /// What could not be looked at.
    pub(super) unseen: u64,
}

/// Two trees side by side.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    /// The live one.
    pub(crate) with: PathBuf,
    /// Files, folders, links and the like that are the same.
    pub(crate) same: u64,
    pub(crate) different: u64,
    /// The first of what differs.
    pub(crate) named: Vec<String>,
    /// Live folders that are another file system: a backup does not go into them.
    pub(crate) other_file_systems: u64,
    /// A signal ended it before all was looked at.
    pub(crate) is_cut: bool,
}

/// Counts a file, or everything below a folder.
pub(super) fn count(path: &Path) -> Counted {
    let mut counted = Counted::default();
    let (mut ways, mut several) = (vec![path.to_owned()], BTreeSet::new());
    while let Some(way) = ways.pop() {
        let Ok(found) = fs::symlink_metadata(&way) else {
            counted.unseen += 1;
            continue;
        };
        if found.is_file() {
            counted.files += 1;
            if found.nlink() < 2 || several.insert((found.dev(), found.ino())) {
                counted.bytes += found.len();
            }
        } else if found.is_dir() {
            match children(&way) {
                Ok(names) => ways.extend(names.into_iter().map(|name| way.join(name))),
                Err(_) => counted.unseen += 1,
            }
        }
    }
    counted
}

/// Holds what came back beside the live tree.
///
/// # Errors
/// The live tree cannot be looked at at all.
pub(super) fn compare(restored: &Path, live: &Path) -> io::Result<Compared> {
    let (found, device) = (fs::symlink_metadata(restored)?, fs::metadata(live)?.dev());
    // The live root may be named by a link; below it no link is followed.
    let live = fs::canonicalize(live)?;
    let mut compared =
        Compared { with: live.clone(), same: 0, different: 0, named: Vec::new(), other_file_systems: 0, is_cut: false };
    let mut ways = vec![(PathBuf::new(), found)];
    while let Some((way, found)) = ways.pop() {
        if interrupt::is_ending() {
            compared.is_cut = true;
            break;
        }
        let (here, there) = (join(restored, &way), join(&live, &way));
        let beside = match fs::symlink_metadata(&there) {
            Ok(beside) => beside,
            Err(_) => {
                compared.differs(&way, "is not there now");
                continue;
            }
        };
        if let Some(what) = difference(&here, &found, &there, &beside) {
            compared.differs(&way, what);
            continue;
        }
        compared.same += 1;
        if !found.is_dir() {
            continue;
        }
        if beside.dev() != device {
            compared.other_file_systems += 1;
            continue;
        }
        let Ok(mut live_names) = children(&there).map(BTreeSet::from_iter) else {
            compared.differs(&way, "cannot be read now");
            continue;
        };
        let mut below = BTreeMap::new();
        for name in children(&here)? {
            live_names.remove(&name);
            let path = here.join(&name);
            below.insert(way.join(&name), fs::symlink_metadata(path)?);
        }
        live_names.iter().for_each(|name| compared.differs(&way.join(name), "is not in the backup"));
        ways.extend(below.into_iter().rev());
    }
    Ok(compared)
}

impl Compared {
    fn differs(&mut self, way: &Path, what: &str) {
        self.different += 1;
        if self.named.len() < NAMED {
            let way = if way.as_os_str().is_empty() { Path::new(".") } else { way };
            self.named.push(harmless(&format!("{} {what}", way.display()), 200));
        }
    }
}

fn difference(here: &Path, found: &Metadata, there: &Path, beside: &Metadata) -> Option<&'static str> {
    if kind(found) != kind(beside) {
        Some("is of another kind now")
    } else if found.is_file() {
        let is_same = found.len() == beside.len() && is_same_content(here, there).unwrap_or(false);
        (!is_same).then_some("has another content now")
    } else if found.is_symlink() {
        let is_same = fs::read_link(here).ok() == fs::read_link(there).ok();
        (!is_same).then_some("points elsewhere now")
    } else {
        None
    }
}

fn kind(found: &Metadata) -> u8 {
    let kind = found.file_type();
    match () {
        () if kind.is_file() => 0,
        () if kind.is_dir() => 1,
        () if kind.is_symlink() => 2,
        () if kind.is_fifo() => 3,
        () if kind.is_socket() => 4,
        () if kind.is_block_device() => 5,
        () => 6,
    }
}

fn is_same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (regular(one)?, regular(other)?);
    let (mut piece, mut beside) = (vec![0; PIECE], vec![0; PIECE]);
    while !interrupt::is_ending() {
        let length = one.read(&mut piece)?;
        if length == 0 {
            return Ok(other.read(&mut beside)? == 0);
        }
        match other.read_exact(&mut beside[..length]) {
            Ok(()) if piece[..length] == beside[..length] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// What was a file a moment ago might be a pipe now, in a tree that somebody uses.
fn regular(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn children(folder: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}

/// As [`Path::join`]; an empty way would add a slash, behind which a file is none.
fn join(folder: &Path, way: &Path) -> PathBuf {
    if way.as_os_str().is_empty() { folder.to_owned() } else { folder.join(way) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder.join("etc/deep"))?;
        fs::write(folder.join("etc/hostname"), "mill\n")?;
        fs::write(folder.join("etc/deep/same"), "same")?;
        fs::hard_link(folder.join("etc/deep/same"), folder.join("again"))?;
        symlink("etc/hostname", folder.join("name"))
    }

    #[test]
    fn what_differs_is_counted_and_named_and_nothing_else_is() -> io::Result<()> {
        let base = tempfile::tempdir()?;
        let (one, other) = (base.path().join("one"), base.path().join("other"));
        tree(&one)?;
        tree(&other)?;
        assert_eq!(count(&one), Counted { files: 3, bytes: 9, unseen: 0 });
        let same = compare(&one, &other)?;
        assert_eq!((same.same, same.different), (7, 0), "{same:?}");

        fs::write(other.join("etc/hostname"), "bill\n")?;
        fs::remove_file(other.join("name"))?;
        symlink("etc/elsewhere", other.join("name"))?;
        fs::remove_file(other.join("again"))?;
        fs::create_dir(other.join("again"))?;
        fs::write(other.join("new\u{1b}[2J"), "x")?;
        fs::remove_file(other.join("etc/deep/same"))?;
        let differs = compare(&one, &other)?;
        assert_eq!(differs.different, 5, "{differs:?}");
        let named = differs.named.join("\n");
        for text in [
            "etc/hostname has another content",
            "name points elsewhere",
            "again is of another kind",
            "is not in the backup",
            "etc/deep/same is not there now",
        ] {
            assert!(named.contains(text), "{text}: {named}");
        }
        assert!(!named.contains('\u{1b}'));
        Ok(())
    }

    #[test]
    fn many_differences_are_counted_and_the_first_are_named() -> io::Result<()> {
        let base = tempfile::tempdir()?;
        let (one, other) = (base.path().join("one"), base.path().join("other"));
        fs::create_dir(&one)?;
        fs::create_dir(&other)?;
        for number in 0..40 {
            fs::write(one.join(number.to_string()), "x")?;
        }
        let compared = compare(&one, &other)?;
        assert_eq!((compared.different, compared.named.len()), (40, NAMED));
        Ok(())
    }

    #[test]
    fn a_single_file_is_compared_too() -> io::Result<()> {
        let base = tempfile::tempdir()?;
        let (one, other) = (base.path().join("one"), base.path().join("other"));
        fs::write(&one, "x")?;
        fs::write(&other, "x")?;
        assert_eq!(compare(&one, &other)?.same, 1);
        fs::write(&other, "y")?;
        assert_eq!(compare(&one, &other)?.named, [". has another content now"]);
        assert!(compare(&one, &base.path().join("missing")).is_err());
        Ok(())
    }
}
