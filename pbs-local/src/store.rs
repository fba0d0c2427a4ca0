//! From a repository to its datastore, and the names in it.

use std::fs::{File, TryLockError};
use std::path::Path;

use pbs_format::datastore::{Datastore, DatastoreError, Group, Namespace, SnapshotRef};

use crate::{
    arguments::Parsed,
    command::Context,
    error::Error,
    repository::Repository,
    server::{Session, Use},
};

/// The datastore of a session. `missing` is what the server says if a named one is not there, or not
/// for this token.
pub(crate) fn open(
    context: &Context<'_>,
    session: &Session<'_>,
    what: Use,
    missing: Error,
) -> Result<Datastore, Error> {
    if !session.has_rights() {
        return Err(missing);
    }
    session.is_open_for(what)?;
    let folder = session.repository.folder(context.root)?;
    Datastore::open(&folder).map_err(|error| {
        if matches!(session.repository, Repository::Named { .. }) && !folder.exists() {
            return missing;
        }
        let cause = match error {
            DatastoreError::NotADatastore { source, .. } => match std::error::Error::source(&source) {
                Some(cause) => format!("it has no readable folder .chunks: {cause}"),
                None => source.to_string(),
            },
            other => other.to_string(),
        };
        Error::NoDatastore { path: folder.clone(), cause }
    })
}

/// The value of `--ns`.
pub(crate) fn namespace(parsed: &Parsed) -> Result<Namespace, Error> {
    let text = parsed.text("ns")?.unwrap_or_default();
    text.parse().map_err(|_| parsed.refused("ns", "value does not match the regex pattern"))
}

/// What a snapshot argument names.
#[derive(Debug)]
pub(crate) enum Named {
    Group(Group),
    Snapshot(SnapshotRef),
}

/// Reads `type/id` or `type/id/time`.
pub(crate) fn named(text: &str) -> Result<Named, Error> {
    if let Ok(snapshot) = text.parse() {
        return Ok(Named::Snapshot(snapshot));
    }
    text.parse().map(Named::Group).map_err(|_| Error::BadSnapshot { text: text.to_owned() })
}

/// Trouble with the datastore's own folders.
pub(crate) fn failed(error: DatastoreError) -> Error {
    match error {
        error if error.is_missing() => Error::NotFound,
        DatastoreError::Read { path, source } => Error::Store { what: "reading", path, cause: source.to_string() },
        DatastoreError::Write { path, source } => Error::Store { what: "writing", path, cause: source.to_string() },
        other => Error::Content(other.to_string()),
    }
}

/// A lock on a folder, as PBS takes it (`formats.md` §6.3), for as long as the file is open.
///
/// Where the file system has no locks, nobody else has taken one either.
pub(crate) fn lock(path: &Path, what: &'static str, exclusive: bool) -> Result<Option<File>, Error> {
    let Ok(folder) = File::open(path) else { return Ok(None) };
    let locked = if exclusive { folder.try_lock() } else { folder.try_lock_shared() };
    match locked {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { what, path: path.to_owned() }),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}
