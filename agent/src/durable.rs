//! The one door for durable writes: a file is either as it was or whole and on the disk.
//!
//! Every write has a name, and says when it begins and when it is on the disk, so that a harness can
//! find and count the steps (`TENWORDS_LOG=trace`).

#[cfg(test)]
pub(crate) mod faults;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tempfile::NamedTempFile;

/// Makes `path` hold `bytes` with `mode`: temporary file beside it, fsync, rename, fsync of the
/// folder. What stood there before is replaced.
pub(crate) fn replace(step: &str, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    beside(step, path, mode, bytes)?.persist(path).map_err(|error| error.error)?;
    File::open(folder_of(path)?)?.sync_all()?;
    done(step, path);
    Ok(())
}

/// Makes `path` hold `bytes` with `mode`, if nothing is there; never replaces.
pub(crate) fn create(step: &str, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    beside(step, path, mode, bytes)?.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder_of(path)?)?.sync_all()?;
    done(step, path);
    Ok(())
}

/// Adds `bytes` to the end of a file of `length` bytes. What cannot be written whole is taken back, so
/// that a full disk leaves it as it was.
pub(crate) fn append(step: &str, path: &Path, mut file: &File, length: u64, bytes: &[u8]) -> io::Result<()> {
    begins(step, path)?;
    let written =
        file.seek(SeekFrom::Start(length)).and_then(|_| file.write_all(bytes)).and_then(|()| file.sync_data());
    if let Err(error) = written {
        file.set_len(length)?;
        file.sync_data()?;
        return Err(error);
    }
    done(step, path);
    Ok(())
}

/// Moves what lies at `from` to `to`, where nothing may be: never replaces. Both are in one file system.
pub(crate) fn place(step: &str, from: &Path, to: &Path) -> io::Result<()> {
    begins(step, to)?;
    renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE)?;
    File::open(folder_of(to)?)?.sync_all()?;
    done(step, to);
    Ok(())
}

/// Lets what lies at `from` and what lies at `to` change places, in one step.
pub(crate) fn exchange(step: &str, from: &Path, to: &Path) -> io::Result<()> {
    begins(step, to)?;
    renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_EXCHANGE)?;
    File::open(folder_of(to)?)?.sync_all()?;
    done(step, to);
    Ok(())
}

/// The whole file, on the disk, under a temporary name in the folder where it belongs.
fn beside(step: &str, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<NamedTempFile> {
    begins(step, path)?;
    let mut temporary = tempfile::Builder::new().prefix(".tenwords-").tempfile_in(folder_of(path)?)?;
    temporary.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

fn begins(step: &str, path: &Path) -> io::Result<()> {
    tracing::trace!(step, path = %path.display(), "durable write");
    #[cfg(test)]
    faults::meet(faults::At::Begins, path)?;
    Ok(())
}

fn done(step: &str, path: &Path) {
    tracing::trace!(step, path = %path.display(), "on the disk");
    #[cfg(test)]
    faults::is_over(path);
}

/// A folder of this mode, made with its parents if missing.
pub(crate) fn folder(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(test)]
    faults::meet(faults::At::Folder, path)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
    // Each is an entry of the one above it, which a power cut may take along.
    for made in missing {
        if let Some(above) = made.parent().filter(|above| !above.as_os_str().is_empty()) {
            File::open(above)?.sync_all()?;
        }
    }
    Ok(())
}

/// Brings everything below `path`, whoever wrote it, onto the disk.
pub(crate) fn settle(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
    rustix::fs::syncfs(&file)?;
    Ok(())
}

/// Reads a file of at most `limit` bytes, into one buffer that does not move while it fills: a
/// secret in it leaves no copy behind.
pub(crate) fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOCTTY).open(path)?;
    let expected = file.metadata()?.len().min(limit).saturating_add(64);
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    io::Read::read_to_end(&mut io::Read::take(file, limit + 1), &mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes")));
    }
    Ok(bytes)
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_never_replaces_and_replace_leaves_no_temporary_file() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        create("test", &path, 0o600, b"one")?;
        assert_eq!(create("test", &path, 0o600, b"two").map_err(|e| e.kind()), Err(io::ErrorKind::AlreadyExists));
        replace("test", &path, 0o640, b"three")?;
        assert_eq!(fs::read(&path)?, b"three");
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn what_is_placed_never_replaces() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from)?;
        place("test", &from, &to)?;
        assert!(to.is_dir() && !from.exists());
        // Not even an empty folder, which a plain rename would take away.
        fs::create_dir(&from)?;
        assert_eq!(place("test", &from, &to).map_err(|e| e.kind()), Err(io::ErrorKind::AlreadyExists));
        assert!(from.is_dir());
        Ok(())
    }

    #[test]
    fn what_cannot_be_added_whole_is_taken_back() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        fs::write(&path, "one\ntorn")?;
        let file = OpenOptions::new().write(true).open(&path)?;
        append("test", &path, &file, 4, b"two\n")?;
        assert_eq!(fs::read(&path)?, b"one\ntwo\n");
        // A descriptor that cannot be written to: as a full disk, something fails.
        let file = OpenOptions::new().read(true).open(&path)?;
        assert!(append("test", &path, &file, 8, b"three\n").is_err());
        assert_eq!(fs::read(&path)?, b"one\ntwo\n");
        Ok(())
    }
}
