//! Files that are named on the command line: read whole within a bound, written once.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use nix::fcntl::OFlag;

use crate::failure::Failure;

/// The whole file, if it has at most so many bytes.
pub(crate) fn read(path: &Path, largest: usize) -> Result<Vec<u8>, Failure> {
    let failed = |why: &str| {
        let what = format!("{} cannot be read: {why}", crate::show::clean(&path.to_string_lossy()));
        Failure::usage("file", what, "name a file that is there and that you may read")
    };
    let mut text = Vec::new();
    // Not blocking, so that a FIFO put there cannot hold us.
    let opened = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let read = opened.and_then(|file| {
        if !file.metadata()?.is_file() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        file.take(u64::try_from(largest).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut text)
    });
    match read {
        Err(error) => Err(failed(match error.kind() {
            io::ErrorKind::NotFound => "there is no such file",
            io::ErrorKind::PermissionDenied => "you may not read it",
            io::ErrorKind::InvalidInput => "it is not a plain file",
            _ => "reading it failed",
        })),
        Ok(size) if size > largest => Err(failed(&format!("it is larger than {largest} bytes"))),
        Ok(_) => Ok(text),
    }
}

/// Refuses a place where something lies already, before work is done for it.
pub(crate) fn is_free(path: &Path) -> Result<(), Failure> {
    if fs::symlink_metadata(path).is_ok() { Err(taken(path)) } else { Ok(()) }
}

/// The whole file or none of it, and never over another.
pub(crate) fn write_new(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let failed = |error: &io::Error| {
        let what = format!("{} cannot be written: {}", path.display(), error.kind());
        Failure::usage("file", what, "name another place: --out FILE")
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // There is nothing secret in what is written here: it is to be carried to another machine.
    let builder = builder.prefix(".tenwords").permissions(Permissions::from_mode(0o644));
    let mut file = builder.tempfile_in(folder).map_err(|error| failed(&error))?;
    file.write_all(text).and_then(|()| file.as_file().sync_all()).map_err(|error| failed(&error))?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(taken(path)),
        Err(error) => Err(failed(&error.error)),
    }
}

fn taken(path: &Path) -> Failure {
    let what = format!("{} is there already, and nothing is written over it", path.display());
    Failure::usage("file_exists", what, "move it away, or name another place: --out FILE")
}
