//! What the server says is there: groups, snapshots and their files.
//!
//! Nothing in these lists proves anything: a hostile server can put any fingerprint and any
//! crypt-mode into them (`transcripts/hostile-pbs.txt` 2 and 3). They choose; the signed manifest
//! decides. Fields that this crate does not know are ignored; a known one that cannot be read, or a
//! name that is none, makes the whole answer unreadable: a row left out in silence would be good
//! news that nobody checked.

use std::ffi::OsString;

use pbs_format::datastore::{BackupType, FileName, Group, NameError, SnapshotRef};
use serde::Deserialize;
use tenwords_protocol::{fingerprint::Fingerprint, time::Timestamp};

use crate::{
    access::Access,
    client::Client,
    error::DriverError,
    failure::{Failure, Thing},
};

/// One snapshot, as the server tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its name.
    pub snapshot: SnapshotRef,
    /// Its files.
    pub files: Vec<FileInfo>,
    /// The key that it is said to need; `None` for a plain one.
    pub fingerprint: Option<Fingerprint>,
    /// Whose it is.
    pub owner: Option<String>,
    /// Whether it is kept from pruning.
    pub protected: bool,
    /// Bytes in all.
    pub size: Option<u64>,
    /// Somebody's note.
    pub comment: Option<String>,
    /// What the server's own verification found last, if it ran.
    pub verification: Option<Verification>,
}

/// One file of a snapshot, as the server tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name on the server.
    pub name: FileName,
    /// How it is said to be stored; `None` for files outside the manifest.
    pub crypt_mode: Option<ClaimedMode>,
    /// Length of the content: for an archive, what `restore … -` will stream.
    pub size: Option<u64>,
}

/// A crypt-mode that the server states. (What holds is in the signed manifest.)
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ClaimedMode {
    /// `encrypt`
    Encrypt,
    /// `sign-only`
    SignOnly,
    /// `none`
    None,
    /// A word that is none of these.
    Unknown(String),
}

/// What the server's verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// Every chunk there and whole.
    Ok,
    /// Not so.
    Failed,
    /// A word that is neither.
    Unknown(String),
}

/// One group, as the server tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub group: Group,
    /// How many snapshots it has.
    pub count: u64,
    /// The time of the newest, unless it has none.
    pub newest: Option<Timestamp>,
    /// Whose it is.
    pub owner: Option<String>,
}

/// The snapshots of the access's namespace, or of one group in it. A group that does not exist has
/// none; order is the server's.
///
/// # Errors
/// [`DriverError`]; [`Thing::Namespace`] for a namespace that does not exist.
pub fn list(client: &Client, access: &Access, group: Option<&Group>) -> Result<Vec<SnapshotInfo>, DriverError> {
    let group = group.map(|group| group.to_string().into());
    let rows: Vec<SnapshotRow> = ask(client, access, "snapshot list", group, Thing::Namespace)?;
    rows.into_iter().map(|row| row.read().map_err(|error| unreadable("snapshot list", error))).collect()
}

/// The files of one snapshot, `index.json.blob` among them.
///
/// # Errors
/// [`DriverError`]; [`Thing::Snapshot`] for a snapshot that does not exist.
pub fn files(client: &Client, access: &Access, snapshot: &SnapshotRef) -> Result<Vec<FileInfo>, DriverError> {
    let missing = if access.namespace().is_root() { Thing::Snapshot } else { Thing::SnapshotOrNamespace };
    let rows: Vec<FileRow> = ask(client, access, "snapshot files", Some(snapshot.to_string().into()), missing)?;
    rows.into_iter().map(|row| row.read().map_err(|error| unreadable("snapshot files", error))).collect()
}

/// The groups of the access's namespace.
///
/// # Errors
/// [`DriverError`]; [`Thing::Namespace`] for a namespace that does not exist.
pub fn groups(client: &Client, access: &Access) -> Result<Vec<GroupInfo>, DriverError> {
    let rows: Vec<GroupRow> = ask(client, access, "list", None, Thing::Namespace)?;
    rows.into_iter().map(|row| row.read().map_err(|error| unreadable("list", error))).collect()
}

impl From<String> for ClaimedMode {
    fn from(word: String) -> Self {
        match word.as_str() {
            "encrypt" => Self::Encrypt,
            "sign-only" => Self::SignOnly,
            "none" => Self::None,
            _ => Self::Unknown(word),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SnapshotRow {
    backup_type: String,
    backup_id: String,
    backup_time: i64,
    #[serde(default)]
    files: Vec<FileRow>,
    fingerprint: Option<Fingerprint>,
    owner: Option<String>,
    #[serde(default)]
    protected: bool,
    size: Option<u64>,
    comment: Option<String>,
    verification: Option<VerificationRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FileRow {
    filename: String,
    crypt_mode: Option<ClaimedMode>,
    size: Option<u64>,
}

#[derive(Deserialize)]
struct VerificationRow {
    state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct GroupRow {
    backup_type: String,
    backup_id: String,
    backup_count: u64,
    last_backup: Option<i64>,
    owner: Option<String>,
}

impl SnapshotRow {
    fn read(self) -> Result<SnapshotInfo, NameError> {
        let group = group(&self.backup_type, &self.backup_id)?;
        let verification = self.verification.map(|row| match row.state.as_str() {
            "ok" => Verification::Ok,
            "failed" => Verification::Failed,
            _ => Verification::Unknown(row.state),
        });
        Ok(SnapshotInfo {
            snapshot: SnapshotRef::new(group, time(self.backup_time)?)?,
            files: self.files.into_iter().map(FileRow::read).collect::<Result<_, _>>()?,
            fingerprint: self.fingerprint,
            owner: self.owner,
            protected: self.protected,
            size: self.size,
            comment: self.comment,
            verification,
        })
    }
}

impl FileRow {
    fn read(self) -> Result<FileInfo, NameError> {
        Ok(FileInfo { name: self.filename.parse()?, crypt_mode: self.crypt_mode, size: self.size })
    }
}

impl GroupRow {
    fn read(self) -> Result<GroupInfo, NameError> {
        Ok(GroupInfo {
            group: group(&self.backup_type, &self.backup_id)?,
            count: self.backup_count,
            newest: self.last_backup.map(time).transpose()?,
            owner: self.owner,
        })
    }
}

fn group(backup_type: &str, id: &str) -> Result<Group, NameError> {
    Group::new(backup_type.parse::<BackupType>()?, id)
}

fn time(seconds: i64) -> Result<Timestamp, NameError> {
    Timestamp::from_unix(seconds).map_err(|_| NameError::Time)
}

fn ask<T: for<'a> Deserialize<'a>>(
    client: &Client,
    access: &Access,
    command: &'static str,
    about: Option<OsString>,
    missing: Thing,
) -> Result<T, DriverError> {
    let mut args: Vec<OsString> = command.split(' ').map(OsString::from).collect();
    args.extend(about);
    args.extend(namespace(access));
    args.extend(["--output-format".into(), "json".into()]);
    let (answer, _) = client.ask(command, &args, Some(access)).map_err(|error| match error {
        // `ENOENT: No such file or directory`: only the question tells of what.
        DriverError::Client { command, failure: Failure::NotFound { what: Thing::SnapshotOrNamespace } } => {
            DriverError::Client { command, failure: Failure::NotFound { what: missing } }
        }
        other => other,
    })?;
    serde_json::from_slice(&answer).map_err(|error| unreadable(command, error))
}

/// `--ns …`, unless it is the root namespace.
pub(crate) fn namespace(access: &Access) -> impl Iterator<Item = OsString> {
    let namespace = access.namespace();
    let words = (!namespace.is_root()).then(|| ["--ns".into(), namespace.to_string().into()]);
    words.into_iter().flatten()
}

pub(crate) fn unreadable(
    command: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> DriverError {
    DriverError::Answer { command, source: source.into() }
}
