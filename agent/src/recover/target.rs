//! The folder that a recovery fills: missing or empty (but for a mark), or this very recovery's own.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use tenwords_protocol::{id::RecoveryId, json, v1::V1};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
};

const MARK: &str = ".tenwords-recovery.json";
const LIMIT: u64 = 4096;

/// A folder that may be used, not yet touched.
pub(crate) struct TargetFolder {
    path: PathBuf,
}

/// What the folder's mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ended,
    Running,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    v: V1,
    recovery: RecoveryId,
    state: State,
}

impl TargetFolder {
    /// Looks at the folder: missing, empty, or of the recovery that is gone on with.
    pub(crate) fn look(path: &Path, again: Option<RecoveryId>) -> Outcome<Self> {
        let cannot = || format!("cannot use {}", path.display());
        let refuse = |why: &str| {
            Err(Stop::new(Code::Preflight, format!("{} {why}", path.display()))
                .remedy("name a folder that is missing or empty with --into; what is there is not touched"))
        };
        let folder = Self { path: path.to_owned() };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(folder),
            Err(error) => return Err(Stop::new(Code::Preflight, cannot()).because(error)),
            Ok(found) if !found.is_dir() => return refuse("is not a folder"),
            Ok(found) if found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 => {
                return refuse("belongs to somebody else, or others may write there");
            }
            Ok(_) => {}
        }
        let mut entries = fs::read_dir(path).or_stop(Code::Preflight, cannot)?;
        // A run that had no archives to restore has left its mark alone.
        if entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == MARK)) {
            return Ok(folder);
        }
        let mark = durable::read_limited(&path.join(MARK), LIMIT).ok();
        match mark.and_then(|text| json::from_slice(&text).ok()) {
            Some(Mark { recovery, .. }) if Some(recovery) == again => Ok(folder),
            Some(Mark { state: State::Ended, .. }) => refuse("holds what an earlier recovery has restored"),
            _ => refuse("is not empty, and not of this recovery"),
        }
    }

    /// Marks the folder as this recovery's; what is in it stays.
    pub(crate) fn begin(&self, recovery: RecoveryId) -> Outcome<()> {
        let cannot = || format!("cannot begin in {}", self.path.display());
        durable::folder(&self.path, 0o700).or_stop(Code::Preflight, cannot)?;
        self.mark(recovery, State::Running)
    }

    /// The recovery has come to its end.
    pub(crate) fn end(&self, recovery: RecoveryId) -> Outcome<()> {
        self.mark(recovery, State::Ended)
    }

    /// Takes the mark away, and the folder if nothing else is in it; tells whether it is gone.
    pub(crate) fn forget(&self) -> Outcome<bool> {
        let cannot = || format!("cannot clear {}", self.path.display());
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(Stop::new(Code::Preflight, cannot()).because(error)),
        };
        for entry in entries {
            if entry.or_stop(Code::Preflight, cannot)?.file_name() != MARK {
                return Ok(false);
            }
        }
        let removed = fs::remove_file(self.path.join(MARK)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        removed.or_stop(Code::Preflight, cannot)?;
        // A mount point stays.
        Ok(fs::remove_dir(&self.path).is_ok())
    }

    fn mark(&self, recovery: RecoveryId, state: State) -> Outcome<()> {
        let cannot = || format!("cannot write into {}", self.path.display());
        let mark = Mark { v: V1, recovery, state };
        let text = json::to_vec(&mark).or_stop(Code::Internal, cannot)?;
        durable::replace("target-mark", &self.path.join(MARK), 0o600, &text).or_stop(Code::Preflight, cannot)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_recoverys_own_folder_is_gone_on_with() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("into");
        let one: RecoveryId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?;
        let other: RecoveryId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5e".parse()?;
        let look = |id| TargetFolder::look(&path, id).map_err(|stop| stop.what);
        let refused = |id, why: &str| look(id).is_err_and(|what| what.contains(why));

        look(None)?.begin(one).map_err(|stop| stop.what)?;
        fs::write(path.join("data"), "x")?;
        for stranger in [None, Some(other)] {
            assert!(refused(stranger, "not of this recovery"));
        }
        let again = look(Some(one))?;
        again.begin(one).map_err(|stop| stop.what)?;
        assert!(path.join("data").exists(), "what is there stays");
        again.end(one).map_err(|stop| stop.what)?;
        assert!(refused(None, "earlier recovery"));

        fs::remove_file(path.join(MARK))?;
        assert!(refused(Some(one), "not of this recovery"));

        // Where nothing was restored, nothing can be lost.
        fs::remove_file(path.join("data"))?;
        again.end(one).map_err(|stop| stop.what)?;
        look(Some(other))?;
        Ok(())
    }

    #[test]
    fn a_folder_that_others_can_reach_into_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let shared = folder.path().join("shared");
        fs::create_dir(&shared)?;
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777))?;
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link)?;
        for path in [&shared, &link] {
            assert!(TargetFolder::look(path, None).is_err(), "{}", path.display());
        }
        Ok(())
    }
}
