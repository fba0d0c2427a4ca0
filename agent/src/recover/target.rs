//! The folder that a recovery fills: missing or empty, or left by an interrupted run of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tenwords_protocol::{id::BoxId, json, v1::V1};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
};

const MARK: &str = ".tenwords-recovery.json";
const LIMIT: u64 = 4096;

/// The folder, marked as this recovery's.
pub(crate) struct TargetFolder {
    path: PathBuf,
    box_id: BoxId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    v: V1,
    box_id: BoxId,
    finished: bool,
}

impl TargetFolder {
    /// Takes the folder. What an interrupted run for the same box has left there is begun anew; a
    /// finished one, and anything else, is never touched.
    pub(crate) fn take(path: &Path, box_id: BoxId) -> Outcome<Self> {
        let cannot = || format!("cannot use {}", path.display());
        let folder = Self { path: path.to_owned(), box_id };
        match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                durable::folder(path, 0o700).or_stop(Code::Preflight, cannot)?;
            }
            Err(error) => return Err(Stop::new(Code::Preflight, cannot()).because(error)),
            Ok(mut entries) => {
                if entries.next().is_some() {
                    folder.clear_unfinished()?;
                }
            }
        }
        folder.mark(false)?;
        Ok(folder)
    }

    /// Everything of the plan is there; a later run will not touch it.
    pub(crate) fn finish(&self) -> Outcome<()> {
        self.mark(true)
    }

    fn clear_unfinished(&self) -> Outcome<()> {
        let path = &self.path;
        let mark = durable::read_limited(&path.join(MARK), LIMIT).ok();
        let mark: Option<Mark> = mark.and_then(|text| json::from_slice(&text).ok());
        match mark {
            Some(Mark { box_id, finished: false, .. }) if box_id == self.box_id => {}
            Some(Mark { finished: true, .. }) => {
                return Err(Stop::new(Code::Preflight, format!("{} holds a finished recovery", path.display()))
                    .remedy("name another folder with --into; what is there is not touched"));
            }
            _ => {
                return Err(Stop::new(
                    Code::Preflight,
                    format!("{} is not empty, and not of this recovery", path.display()),
                )
                .remedy("name a folder that is missing or empty with --into; what is there is not touched"));
            }
        }
        let clear = || -> io::Result<()> {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                if entry.file_name() == MARK {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?
                } else {
                    fs::remove_file(entry.path())?
                }
            }
            Ok(())
        };
        clear()
            .or_stop(Code::Preflight, || format!("cannot clear what an interrupted run has left in {}", path.display()))
    }

    fn mark(&self, finished: bool) -> Outcome<()> {
        let cannot = || format!("cannot write into {}", self.path.display());
        let mark = Mark { v: V1, box_id: self.box_id, finished };
        let text = json::to_vec(&mark).or_stop(Code::Internal, cannot)?;
        durable::replace("target-mark", &self.path.join(MARK), 0o600, &text).or_stop(Code::Preflight, cannot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_interrupted_run_has_left_is_begun_anew() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("into");
        let one: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?;
        let other: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5e".parse()?;
        let take = |id| TargetFolder::take(&path, id).map_err(|stop| stop.what);

        take(one)?;
        fs::create_dir(path.join("half"))?;
        fs::write(path.join("half/file"), "x")?;
        assert!(take(other).is_err_and(|what| what.contains("not of this recovery")));
        assert!(path.join("half/file").exists());
        let mine = take(one)?;
        assert!(!path.join("half").exists());

        fs::write(path.join("data"), "x")?;
        mine.finish().map_err(|stop| stop.what)?;
        assert!(take(one).is_err_and(|what| what.contains("finished")));
        assert!(path.join("data").exists());

        fs::remove_file(path.join(MARK))?;
        assert!(take(one).is_err_and(|what| what.contains("not of this recovery")));
        Ok(())
    }
}
