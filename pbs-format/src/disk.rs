//! Reading and writing of whole files, bounded and in one step.
//!
//! A datastore may come from a stranger's disk, so only regular files are read (opening a fifo
//! must not block), and never more of one than was said beforehand.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use nix::fcntl::OFlag;

/// Whether what was written must be on the disk before it gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Now.
    File,
    /// Later, by one call for the whole file system.
    Later,
}

/// A regular file for reading, and its length.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// A whole file, if it has at most `max` bytes.
pub(crate) fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let (file, length) = open_regular(path)?;
    let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
    let room = usize::try_from(length).ok().filter(|&length| length <= max).ok_or_else(too_large)?;
    let mut bytes = Vec::with_capacity(room + 1);
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max { Err(too_large()) } else { Ok(bytes) }
}

/// Gives `bytes` the name `path`, mode 0644, in one step: another name beside it, then a rename.
pub(crate) fn write(path: &Path, bytes: &[u8], sync: Sync) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let folder = path.parent().ok_or_else(invalid)?;
    let mut prefix = path.file_name().ok_or_else(invalid)?.to_owned();
    prefix.push(".tmp_");
    let mut file = tempfile::Builder::new().prefix(&prefix).rand_bytes(6).tempfile_in(folder)?;
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(bytes)?;
    if sync == Sync::File {
        file.as_file().sync_all()?;
    }
    file.persist(path)?;
    Ok(())
}

/// Puts the names in a folder on the disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
