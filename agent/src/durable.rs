//! The one door for durable writes: a file is either as it was or whole and on the disk.
//!
//! Every write has a name, so that a harness can find and count the steps (`TENWORDS_LOG=trace`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use tempfile::NamedTempFile;

/// Makes `path` hold `bytes` with `mode`: temporary file beside it, fsync, rename, fsync of the
/// folder. What stood there before is replaced.
pub(crate) fn replace(step: &str, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    beside(step, path, mode, bytes)?.persist(path).map_err(|error| error.error)?;
    File::open(folder_of(path)?)?.sync_all()
}

/// Makes `path` hold `bytes` with `mode`, if nothing is there; never replaces.
pub(crate) fn create(step: &str, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    beside(step, path, mode, bytes)?.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder_of(path)?)?.sync_all()
}

/// The whole file, on the disk, under a temporary name in the folder where it belongs.
fn beside(step: &str, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<NamedTempFile> {
    tracing::trace!(step, path = %path.display(), "durable write");
    let mut temporary = tempfile::Builder::new().prefix(".tenwords-").tempfile_in(folder_of(path)?)?;
    temporary.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

/// A folder of this mode, made with its parents if missing.
pub(crate) fn folder(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)
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
}
