//! The folder that a drill fills and takes away again. Its mark says that a drill has made it, so that the
//! next one may remove what a killed one has left, and nothing else.

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
    settings::Configuration,
};

const NAME: &str = "drill-scratch";
const MARK: &str = ".tenwords-drill.json";
/// What comes back lies under this name, whatever it is called.
const ARCHIVE: &str = "archive";
const LIMIT: u64 = 4096;

/// A drill's own folder (0700). Dropping it removes it.
pub(super) struct Scratch {
    path: PathBuf,
    is_there: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    v: V1,
    box_id: BoxId,
}

/// Where it is, or would be.
pub(super) fn path(configuration: &Configuration) -> PathBuf {
    configuration.state(NAME)
}

/// Removes what a drill that was killed has left; tells whether there was anything.
pub(super) fn sweep(configuration: &Configuration) -> Outcome<bool> {
    let path = path(configuration);
    let shown = path.display();
    let foreign = |why: &str| {
        Stop::new(Code::Preflight, format!("{shown} {why}"))
            .remedy("look at what it is and move it away; a drill removes only what a drill has made")
    };
    let cannot = || format!("cannot look at {shown}");
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Stop::new(Code::Preflight, cannot()).because(error)),
        Ok(found) if !found.is_dir() => return Err(foreign("is not a folder")),
        Ok(found) if found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 => {
            return Err(foreign("belongs to somebody else, or others can reach into it"));
        }
        Ok(_) => {}
    }
    let mark =
        durable::read_limited(&path.join(MARK), LIMIT).ok().and_then(|text| json::from_slice::<Mark>(&text).ok());
    let is_empty = fs::read_dir(&path).or_stop(Code::Preflight, cannot)?.next().is_none();
    if mark.is_none() && !is_empty {
        return Err(foreign("is there, and no drill has made it"));
    }
    remove(&path).or_stop(Code::Preflight, || format!("cannot remove what a drill has left in {shown}"))?;
    Ok(true)
}

impl Scratch {
    /// An empty one; what was there must have been swept.
    pub(super) fn make(configuration: &Configuration, box_id: BoxId) -> Outcome<Self> {
        let path = path(configuration);
        let cannot = || format!("cannot make {}", path.display());
        let mark = json::to_vec(&Mark { v: V1, box_id }).or_stop(Code::Internal, cannot)?;
        durable::folder(&configuration.settings.state, 0o700).or_stop(Code::Preflight, cannot)?;
        // Not with its parents: what is there already is not ours.
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).or_stop(Code::Preflight, cannot)?;
        let scratch = Self { path: path.clone(), is_there: true };
        durable::create("drill-mark", &path.join(MARK), 0o600, &mark).or_stop(Code::Preflight, cannot)?;
        Ok(scratch)
    }

    /// Where the archive goes.
    pub(super) fn archive(&self) -> PathBuf {
        self.path.join(ARCHIVE)
    }

    /// Takes all of it away.
    pub(super) fn remove(mut self) -> Outcome<()> {
        self.is_there = false;
        remove(&self.path).or_stop(Code::Internal, || {
            format!("what the drill has restored could NOT be removed from {}", self.path.display())
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.is_there
            && let Err(error) = remove(&self.path)
        {
            tracing::error!(path = %self.path.display(), %error, "what the drill has restored could not be removed");
        }
    }
}

/// The mark goes last: whoever is killed in between leaves what the next one knows.
fn remove(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() != MARK {
            pxar::remove(&entry.path())?;
        }
    }
    pxar::remove(&path.join(MARK))?;
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn configuration(folder: &Path) -> Outcome<Configuration> {
        let file = folder.join("agent.toml");
        let text = format!("state = \"{}\"\n", folder.join("state").display());
        fs::write(&file, text).or_stop(Code::Internal, || "writing".into())?;
        Configuration::read(&file)
    }

    #[test]
    fn only_what_a_drill_has_made_is_removed() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let configuration = configuration(folder.path()).map_err(|stop| stop.what)?;
        let id: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?;
        let sweep = || sweep(&configuration).map_err(|stop| stop.what);
        let path = path(&configuration);
        assert_eq!(sweep(), Ok(false));

        // A killed drill's: the mark is there.
        let mut scratch = Scratch::make(&configuration, id).map_err(|stop| stop.what)?;
        fs::create_dir(scratch.archive())?;
        fs::write(scratch.archive().join("file"), "x")?;
        assert!(Scratch::make(&configuration, id).is_err(), "a second one in the same place");
        scratch.is_there = false;
        drop(scratch);
        assert_eq!(sweep(), Ok(true));
        assert!(!path.exists());

        // Killed before the mark was written.
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        assert_eq!(sweep(), Ok(true));

        // Somebody's own.
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        fs::write(path.join("theirs"), "x")?;
        assert!(sweep().is_err_and(|what| what.contains("no drill has made it")));
        assert!(path.join("theirs").exists());
        fs::remove_dir_all(&path)?;
        symlink(folder.path(), &path)?;
        assert!(sweep().is_err_and(|what| what.contains("not a folder")));
        fs::remove_file(&path)?;

        let scratch = Scratch::make(&configuration, id).map_err(|stop| stop.what)?;
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o700);
        scratch.remove().map_err(|stop| stop.what)?;
        assert!(!path.exists());
        Ok(())
    }
}
