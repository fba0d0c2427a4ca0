//! Making a folder like another in everything but what is in it.

use std::{
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::Path,
};

use rustix::fs::{Mode, OFlags, open};

use super::{handle::Handle, metadata::Mtime};

/// Gives `folder` the owner, mode, extended attributes (access lists among them) and time of `model`. A
/// mount point cannot be replaced by what was restored beside it; so it becomes like it.
///
/// # Errors
/// The system's, with the first property that it refuses.
pub fn like(folder: &Path, model: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (model, folder) = (open(model, flags, Mode::empty())?, open(folder, flags, Mode::empty())?);
    let (from, to) = (Handle::Open(model.as_fd()), Handle::Open(folder.as_fd()));
    let found = std::fs::File::from(model.try_clone()?).metadata()?;
    to.set_owner(found.uid(), found.gid())?;
    to.set_permissions(found.mode() & 0o7777)?;
    for name in from.xattr_names()? {
        if let Some(value) = from.xattr(&name)? {
            to.set_xattr(&name, &value)?;
        }
    }
    let nanoseconds = u32::try_from(found.mtime_nsec()).unwrap_or(0);
    to.set_mtime(Mtime { seconds: found.mtime(), nanoseconds })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::PermissionsExt as _,
        time::{Duration, SystemTime},
    };

    use super::*;

    #[test]
    fn mode_and_time_are_those_of_the_model() -> io::Result<()> {
        let base = tempfile::tempdir()?;
        let (model, folder) = (base.path().join("model"), base.path().join("folder"));
        fs::create_dir(&model)?;
        fs::create_dir(&folder)?;
        fs::write(folder.join("inside"), "stays")?;
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
        fs::File::open(&model)?.set_modified(time)?;
        fs::set_permissions(&model, fs::Permissions::from_mode(0o2751))?;
        like(&folder, &model)?;
        let found = fs::metadata(&folder)?;
        assert_eq!((found.mode() & 0o7777, found.modified()?), (0o2751, time));
        assert!(folder.join("inside").exists());
        // A link to a folder is not followed.
        std::os::unix::fs::symlink(&folder, base.path().join("link"))?;
        assert!(like(&base.path().join("link"), &model).is_err());
        Ok(())
    }
}
