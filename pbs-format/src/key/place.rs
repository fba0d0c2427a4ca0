//! Key files on disk: read bounded, created exclusively, replaced in one step.
//!
//! `formats.md` §1.5. Mode 0600 always; a symbolic link is replaced, never followed; after a
//! failure the old file is as it was.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use thiserror::Error;
use zeroize::Zeroizing;

use super::file::{KeyFile, KeyFileError, MAX_KEY_FILE};

/// Why a key file was not read from or put in its place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyPlaceError {
    /// It could not be read.
    #[error("the key file {} could not be read", path.display())]
    Read {
        /// As given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was read and is no key file.
    #[error("{} is not a usable key file", path.display())]
    Content {
        /// As given.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyFileError,
    },
    /// It could not be written.
    #[error("the key file {} could not be written", path.display())]
    Write {
        /// As given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads a key file, at most [`MAX_KEY_FILE`] bytes of it.
///
/// # Errors
/// [`KeyPlaceError::Read`] or [`KeyPlaceError::Content`].
pub fn read_file(path: &Path) -> Result<KeyFile, KeyPlaceError> {
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE + 1));
    File::open(path)
        .and_then(|file| file.take(MAX_KEY_FILE as u64 + 1).read_to_end(&mut text))
        .map_err(|source| KeyPlaceError::Read { path: path.to_owned(), source })?;
    KeyFile::parse(&text).map_err(|source| KeyPlaceError::Content { path: path.to_owned(), source })
}

/// Makes a key file where there is none, mode 0600.
///
/// # Errors
/// [`KeyPlaceError::Write`], also if anything has that name.
pub fn create_file(path: &Path, key: &KeyFile) -> Result<(), KeyPlaceError> {
    let wrong = |source| KeyPlaceError::Write { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
    fill(&mut file, key).map_err(|source| {
        // Half a key file would stand in the way of the next try.
        match std::fs::remove_file(path) {
            Ok(()) => wrong(source),
            Err(worse) => wrong(worse),
        }
    })
}

/// Puts a key file in the place of whatever has that name, in one step, mode 0600.
///
/// # Errors
/// [`KeyPlaceError::Write`]; what was there is then still there.
pub fn replace_file(path: &Path, key: &KeyFile) -> Result<(), KeyPlaceError> {
    let replace = || {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut prefix = path.file_stem().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        prefix.push(".tmp_");
        let mut file = tempfile::Builder::new().prefix(&prefix).rand_bytes(6).tempfile_in(parent)?;
        fill(file.as_file_mut(), key)?;
        file.persist(path)?;
        Ok(())
    };
    replace().map_err(|source| KeyPlaceError::Write { path: path.to_owned(), source })
}

fn fill(file: &mut File, key: &KeyFile) -> io::Result<()> {
    // The umask may have taken bits away, and says nothing about a temporary file's mode.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(&key.to_json())?;
    file.sync_all()
}
