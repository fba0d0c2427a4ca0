//! Where an archive is restored before it gets its place: under a name that carries the recovery's mark.
//!
//! What lies at a stage is unfinished, and this recovery's own; what lies at a target is whole, or
//! somebody else's. A target that does not exist gets its content by one rename. One that is an empty
//! folder may be somebody's mount point, which cannot be renamed over: the stage is then inside it, what
//! is in the stage moves up, and the folder becomes like the stage was.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use pbs_format::pxar;
use tenwords_protocol::{hash::Sha256, id::RecoveryId};

use super::{
    course::ItemId,
    orders::there::{self, There},
};
use crate::durable;

/// One item's stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) path: PathBuf,
    pub(crate) target: PathBuf,
    /// What lies at the target and may be replaced, exactly.
    pub(crate) replaces: Option<Sha256>,
}

/// What lies at a target before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    Nothing,
    /// A folder without anything in it, perhaps somebody's mount point: it stays.
    EmptyFolder,
    /// What an order named.
    Replaced(Sha256),
}

impl Stage {
    /// For a target on such a ground.
    pub(crate) fn of(recovery: RecoveryId, item: ItemId, target: &Path, ground: Ground) -> Self {
        let beside = target.parent().unwrap_or(Path::new("/"));
        let (folder, replaces) = match ground {
            Ground::Nothing => (beside, None),
            Ground::EmptyFolder => (target, None),
            Ground::Replaced(found) => (beside, Some(found)),
        };
        Self { path: folder.join(name(recovery, item)), target: target.to_owned(), replaces }
    }

    /// As a journal has it; nothing if the path is not one that this recovery would have chosen.
    pub(crate) fn again(
        recovery: RecoveryId,
        item: ItemId,
        (path, target): (&Path, &Path),
        replaces: Option<Sha256>,
    ) -> Option<Self> {
        let grounds = match replaces {
            Some(found) => vec![Ground::Replaced(found)],
            None => vec![Ground::Nothing, Ground::EmptyFolder],
        };
        let mut known = grounds.into_iter().map(|ground| Self::of(recovery, item, target, ground));
        known.find(|stage| stage.path == path)
    }

    fn is_inside(&self) -> bool {
        self.path.parent() == Some(&self.target)
    }

    /// The number by which what was staged is known again, wherever it lies.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        fs::symlink_metadata(&self.path).map(|found| found.ino())
    }

    /// A folder of the file system on which it lies.
    pub(crate) fn sync_point(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    pub(crate) fn is_there(&self) -> io::Result<bool> {
        exists(&self.path)
    }

    /// Whether what lies at the target is still what may be replaced, or nothing may be and nothing is there.
    pub(crate) fn is_as_it_was(&self) -> io::Result<bool> {
        match (self.replaces, there::look(&self.target)?) {
            (Some(replaced), There::Thing { found, .. }) => Ok(found == replaced),
            (Some(_), _) => Ok(false),
            (None, _) => Ok(true),
        }
    }

    /// Whether what lies at the stage is what was named, after it has changed places with what was staged.
    fn holds_what_was_named(&self) -> io::Result<bool> {
        Ok(matches!(there::look(&self.path)?, There::Thing { found, .. } if Some(found) == self.replaces))
    }

    /// Gives what was staged its place. Called again after a crash, it goes on.
    pub(crate) fn place(&self) -> io::Result<()> {
        if self.replaces.is_some() {
            // Of anything else than what was named nobody has said that it may go.
            if !self.is_as_it_was()? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            durable::exchange("archive-exchanged", &self.path, &self.target)?;
            // Looking takes its time, in which somebody may have put something there: now nobody can any more.
            if self.holds_what_was_named()? {
                return Ok(());
            }
            durable::exchange("archive-given-back", &self.path, &self.target)?;
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !self.is_inside() {
            return durable::place("archive-in-place", &self.path, &self.target);
        }
        // Nothing is moved out of what only a link leads to.
        if !fs::symlink_metadata(&self.path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let names = fs::read_dir(&self.path)?.map(|entry| entry.map(|entry| entry.file_name()));
        let names: Vec<OsString> = names.collect::<io::Result<_>>()?;
        // Either all of it finds its place free, or nothing is moved.
        if names.iter().any(|name| self.target.join(name).symlink_metadata().is_ok()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        for name in names {
            durable::place("archive-moved-up", &self.path.join(&name), &self.target.join(&name))?;
        }
        pxar::like(&self.target, &self.path)?;
        let times = fs::metadata(&self.path)?.modified()?;
        // The stage goes last, and with it the only sign that anything is unfinished: this is the sign that it
        // came so far.
        durable::create("archive-placed", &self.sign(), 0o600, b"")?;
        fs::remove_dir(&self.path)?;
        self.touch(times)
    }

    /// Removes what was replaced, which has changed places with what was staged. It is looked at once more first:
    /// what is another thing than was named stays, and is an error.
    pub(crate) fn remove_replaced(&self, inode: u64) -> io::Result<()> {
        if self.replaces.is_none() || !self.is_placed(inode)? {
            return Ok(());
        }
        // By this name a run that is killed while it removes knows what it has looked at.
        let going = self.going();
        if self.is_there()? {
            if !self.holds_what_was_named()? {
                return Err(io::Error::other("what lies there is not what the order named"));
            }
            durable::place("archive-replaced", &self.path, &going)?;
        }
        pxar::remove(&going)
    }

    fn going(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push("-replaced");
        name.into()
    }

    /// Takes the sign away that an archive inside an empty folder is all there. Once that is noted, nobody
    /// needs it.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        let sign = self.sign();
        if !self.is_inside() || !exists(&sign)? {
            return Ok(());
        }
        let times = fs::metadata(&self.target)?.modified()?;
        fs::remove_file(sign)?;
        self.touch(times)
    }

    fn sign(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push("-placed");
        name.into()
    }

    /// What was done inside the folder has touched its time.
    fn touch(&self, times: std::time::SystemTime) -> io::Result<()> {
        let folder = fs::File::open(&self.target)?;
        folder.set_modified(times)?;
        folder.sync_all()
    }

    /// Whether what was staged has got its place already.
    pub(crate) fn is_placed(&self, inode: u64) -> io::Result<bool> {
        // What was replaced may still lie at the stage.
        if self.replaces.is_none() && self.is_there()? {
            return Ok(false);
        }
        if self.is_inside() {
            return exists(&self.sign());
        }
        match fs::symlink_metadata(&self.target) {
            Ok(found) => Ok(found.ino() == inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes away what lies at the stage; what lies at the target is not touched.
    pub(crate) fn clear(&self) -> io::Result<()> {
        if self.is_there()? { pxar::remove(&self.path) } else { Ok(()) }
    }
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

fn name(recovery: RecoveryId, item: ItemId) -> OsString {
    format!(".tenwords-{recovery}-{item}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn recovery() -> Result<RecoveryId, tenwords_protocol::id::IdError> {
        "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()
    }

    #[test]
    fn what_is_staged_gets_its_place_and_is_known_there() -> Tested {
        let base = tempfile::tempdir()?;
        let target = base.path().join("root.pxar");
        let stage = Stage::of(recovery()?, ItemId(1), &target, Ground::Nothing);
        fs::create_dir(&stage.path)?;
        fs::write(stage.path.join("file"), "x")?;
        let inode = stage.inode()?;
        assert!(!stage.is_placed(inode)?);
        stage.place()?;
        assert!(stage.is_placed(inode)? && target.join("file").exists() && !stage.is_there()?);
        // Somebody else's is not taken for it, and not replaced.
        assert!(!stage.is_placed(inode + 1)?);
        fs::create_dir(&stage.path)?;
        assert!(stage.place().is_err());
        assert!(target.join("file").exists());
        Ok(())
    }

    #[test]
    fn an_empty_folder_stays_the_same_folder_wherever_the_move_was_cut() -> Tested {
        for moved in 0..3 {
            let base = tempfile::tempdir()?;
            let target = base.path().join("data");
            fs::create_dir(&target)?;
            let before = fs::metadata(&target)?.ino();
            let stage = Stage::of(recovery()?, ItemId(2), &target, Ground::EmptyFolder);
            fs::create_dir(&stage.path)?;
            for name in ["one", "two"] {
                fs::write(stage.path.join(name), name)?;
            }
            let inode = stage.inode()?;
            for name in ["one", "two"].iter().take(moved) {
                fs::rename(stage.path.join(name), target.join(name))?;
            }
            assert!(!stage.is_placed(inode)?);
            stage.place()?;
            assert!(stage.is_placed(inode)? && fs::metadata(&target)?.ino() == before);
            stage.tidy()?;
            // An empty folder, or any other, is not taken for what was placed.
            assert!(!stage.is_placed(inode)?);
            let mut names: Vec<_> =
                fs::read_dir(&target)?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
            names.sort();
            assert_eq!(names, ["one", "two"]);
        }
        Ok(())
    }

    #[test]
    fn into_a_folder_that_is_not_free_or_out_of_a_link_nothing_is_moved() -> Tested {
        let base = tempfile::tempdir()?;
        let target = base.path().join("data");
        fs::create_dir(&target)?;
        let stage = Stage::of(recovery()?, ItemId(2), &target, Ground::EmptyFolder);
        fs::create_dir(&stage.path)?;
        for name in ["a", "b", "c"] {
            fs::write(stage.path.join(name), name)?;
        }
        fs::write(target.join("b"), "theirs")?;
        assert_eq!(stage.place().map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read_dir(&stage.path)?.count(), 3);
        fs::remove_dir_all(&stage.path)?;
        let elsewhere = base.path().join("elsewhere");
        fs::create_dir(&elsewhere)?;
        fs::write(elsewhere.join("shadow"), "x")?;
        std::os::unix::fs::symlink(&elsewhere, &stage.path)?;
        assert!(stage.place().is_err());
        stage.clear()?;
        assert!(elsewhere.join("shadow").exists() && !stage.is_there()?);
        Ok(())
    }

    #[test]
    fn what_is_replaced_is_what_was_named_or_nothing_is() -> Tested {
        let base = tempfile::tempdir()?;
        let target = base.path().join("data");
        fs::create_dir(&target)?;
        fs::write(target.join("old"), "old")?;
        let There::Thing { found, .. } = there::look(&target)? else { return Err("nothing lies there".into()) };
        let stage = Stage::of(recovery()?, ItemId(5), &target, Ground::Replaced(found));
        fs::create_dir(&stage.path)?;
        fs::write(stage.path.join("new"), "new")?;
        let inode = stage.inode()?;
        assert!(!stage.is_placed(inode)? && stage.is_as_it_was()?);
        // Before it has its place, nothing that was there goes.
        stage.remove_replaced(inode)?;
        assert!(target.join("old").exists() && stage.path.join("new").exists());
        // Somebody has put something else there meanwhile.
        fs::write(target.join("more"), "theirs")?;
        assert_eq!(stage.place().map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists));
        assert!(target.join("more").exists() && stage.path.join("new").exists());

        let There::Thing { found, .. } = there::look(&target)? else { return Err("nothing lies there".into()) };
        let stage = Stage { replaces: Some(found), ..stage };
        stage.place()?;
        // Killed here, what was replaced still lies at the stage, and is known.
        assert!(stage.is_placed(inode)? && stage.path.join("old").exists() && target.join("new").exists());
        stage.remove_replaced(inode)?;
        assert!(stage.is_placed(inode)? && !stage.is_there()? && target.join("new").exists());
        Ok(())
    }

    #[test]
    fn a_path_that_is_not_the_recoverys_own_is_no_stage() -> Tested {
        let (recovery, target) = (recovery()?, Path::new("/srv/data"));
        let own = Stage::of(recovery, ItemId(3), target, Ground::Nothing);
        assert_eq!(Stage::again(recovery, ItemId(3), (&own.path, target), None), Some(own.clone()));
        for path in ["/srv/other", "/srv/data", "/", "/srv/.tenwords-x-3"] {
            assert_eq!(Stage::again(recovery, ItemId(3), (Path::new(path), target), None), None, "{path}");
        }
        assert_eq!(Stage::again(recovery, ItemId(4), (&own.path, target), None), None);
        Ok(())
    }
}
