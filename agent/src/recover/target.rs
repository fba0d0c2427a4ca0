//! The folder that a recovery fills: missing or empty (but for a mark), or left by an interrupted run of
//! its own.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;
use pbs_format::pxar;
use serde::{Deserialize, Serialize};
use tenwords_protocol::{id::BoxId, json, v1::V1};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
};

const MARK: &str = ".tenwords-recovery.json";
const LIMIT: u64 = 4096;

/// A folder that may be used, not yet touched.
pub(crate) struct TargetFolder {
    path: PathBuf,
    box_id: BoxId,
}

/// What the folder's mark says. A run that came to its end, complete or not, says so: only what a
/// run was torn out of is begun anew.
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
    box_id: BoxId,
    state: State,
}

impl TargetFolder {
    /// Looks at the folder: missing, empty, or torn out of by an earlier run for the same box.
    pub(crate) fn look(path: &Path, box_id: BoxId) -> Outcome<Self> {
        let cannot = || format!("cannot use {}", path.display());
        let refuse = |why: &str| {
            Err(Stop::new(Code::Preflight, format!("{} {why}", path.display()))
                .remedy("name a folder that is missing or empty with --into; what is there is not touched"))
        };
        let folder = Self { path: path.to_owned(), box_id };
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
            Some(Mark { box_id, state: State::Running, .. }) if box_id == folder.box_id => Ok(folder),
            Some(Mark { state: State::Ended, .. }) => refuse("holds what an earlier recovery has restored"),
            _ => refuse("is not empty, and not of this recovery"),
        }
    }

    /// Clears what an earlier run was torn out of, and marks the folder as this run's.
    pub(crate) fn begin(&self) -> Outcome<()> {
        let path = &self.path;
        let cannot = || format!("cannot begin in {}", path.display());
        durable::folder(path, 0o700).or_stop(Code::Preflight, cannot)?;
        let clear = || -> io::Result<()> {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                if entry.file_name() == MARK {
                    continue;
                }
                // However deep an archive was of which it restored a part.
                pxar::remove(&entry.path())?;
            }
            Ok(())
        };
        clear().or_stop(Code::Preflight, || {
            format!("cannot clear what an interrupted run has left in {}", path.display())
        })?;
        self.mark(State::Running)
    }

    /// The run has come to its end; no later one clears what is there.
    pub(crate) fn end(&self) -> Outcome<()> {
        self.mark(State::Ended)
    }

    fn mark(&self, state: State) -> Outcome<()> {
        let cannot = || format!("cannot write into {}", self.path.display());
        let mark = Mark { v: V1, box_id: self.box_id, state };
        let text = json::to_vec(&mark).or_stop(Code::Internal, cannot)?;
        durable::replace("target-mark", &self.path.join(MARK), 0o600, &text).or_stop(Code::Preflight, cannot)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_what_a_run_was_torn_out_of_is_begun_anew() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("into");
        let one: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?;
        let other: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5e".parse()?;
        let look = |id| TargetFolder::look(&path, id).map_err(|stop| stop.what);
        let refused = |id, why: &str| look(id).is_err_and(|what| what.contains(why));

        look(one)?.begin().map_err(|stop| stop.what)?;
        fs::create_dir(path.join("half"))?;
        fs::write(path.join("half/file"), "x")?;
        assert!(refused(other, "not of this recovery"));
        let again = look(one)?;
        assert!(path.join("half/file").exists(), "looking touches nothing");
        again.begin().map_err(|stop| stop.what)?;
        assert!(!path.join("half").exists());

        fs::write(path.join("data"), "x")?;
        again.end().map_err(|stop| stop.what)?;
        assert!(refused(one, "earlier recovery"));
        assert!(path.join("data").exists());

        fs::remove_file(path.join(MARK))?;
        assert!(refused(one, "not of this recovery"));

        // Where nothing was restored, nothing can be lost.
        fs::remove_file(path.join("data"))?;
        again.end().map_err(|stop| stop.what)?;
        look(other)?;
        Ok(())
    }

    #[test]
    fn a_folder_that_others_can_reach_into_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let id: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?;
        let shared = folder.path().join("shared");
        fs::create_dir(&shared)?;
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777))?;
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link)?;
        for path in [&shared, &link] {
            assert!(TargetFolder::look(path, id).is_err(), "{}", path.display());
        }
        Ok(())
    }
}
