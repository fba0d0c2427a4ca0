//! A small blob that is sealed already, as a snapshot of its own: no key of PBS has to do with it.
//!
//! The one thing that is stored here unencrypted, and the one that is fetched without the client's word
//! about a key: whoever asks judges what came by itself.

use std::ffi::OsString;

use pbs_format::datastore::{FileName, Group, SnapshotRef};

use crate::{
    access::Access,
    certificate::{PATIENCE, look_for_the_pin},
    client::Client,
    error::DriverError,
    snapshot::namespace,
};

/// Stores `bytes` as the blob `<name>.blob` of a new snapshot of `group`; `name` ends with `.conf`.
///
/// # Errors
/// [`DriverError`]; [`Failure::Certificate`](crate::Failure) before the client is started.
pub fn store(client: &Client, access: &Access, group: &Group, name: &str, bytes: &[u8]) -> Result<(), DriverError> {
    look_for_the_pin(access, PATIENCE).map_err(|failure| DriverError::Client { command: BACKUP, failure })?;
    let folder = client.private().folder()?;
    let path = folder.write("sealed", bytes)?;
    let mut spec = OsString::from(format!("{name}:"));
    spec.push(&path);
    let mut args = vec![BACKUP.into(), spec];
    args.extend(["--backup-type".into(), group.backup_type().to_string().into()]);
    args.extend(["--backup-id".into(), group.id().to_string().into()]);
    args.extend(["--crypt-mode".into(), "none".into()]);
    args.extend(namespace(access));
    client.ask(BACKUP, &args, Some(access)).map(drop)
}

/// Fetches such a blob, of at most as many bytes as an answer of the client may have.
///
/// # Errors
/// [`DriverError`].
pub fn fetch(
    client: &Client,
    access: &Access,
    snapshot: &SnapshotRef,
    file: &FileName,
) -> Result<Vec<u8>, DriverError> {
    let archive = file.archive().to_owned();
    let mut args: Vec<OsString> = vec![RESTORE.into(), snapshot.to_string().into(), archive.into(), "-".into()];
    args.extend(["--crypt-mode".into(), "none".into()]);
    args.extend(namespace(access));
    let (bytes, _) = client.ask(RESTORE, &args, Some(access))?;
    Ok(bytes)
}

const BACKUP: &str = "backup";
const RESTORE: &str = "restore";
