//! What a failure of the client means, named by what the person can do next.
//!
//! The texts behind them are in one table, read by [`classify`]; a text that is not in it stays
//! [`Failure::Unknown`] and keeps its words, scrubbed.

use std::path::PathBuf;

use tenwords_protocol::fingerprint::{Fingerprint, ShortFingerprint};
use thiserror::Error;

use crate::{client::Client, repository::Repository};

pub use crate::texts::classify;

/// What went wrong, by what can be done about it. `Display` says what; [`Self::next_step`] what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The server's certificate is not the one that counts; nothing was sent to it.
    #[error("the server's certificate is not the {}{}", expectation(.expected), presentation(.presented))]
    Certificate {
        /// The pin; `None` where the system's trust store decides.
        expected: Option<Fingerprint>,
        /// The SHA-256 of the certificate that it showed, as [`crate::certificate`] saw it.
        presented: Option<Fingerprint>,
    },
    /// Something on the server is in use by another task.
    #[error("something else works on it on the server: {what}")]
    Busy {
        /// The server's words.
        what: String,
    },
    /// A chunk, blob or index on the server is missing or not what the manifest says.
    #[error("the backup is damaged on the server, {how}: {what}")]
    Damaged {
        /// In what way.
        how: Damage,
        /// The client's words for it, the chunk's digest or the file's name in them.
        what: String,
    },
    /// The server cannot get at the datastore: its disk is not there, or not as it was.
    #[error("the server cannot open the datastore: {what}")]
    DatastoreGone {
        /// The server's words.
        what: String,
    },
    /// No room where the data goes.
    #[error("there is no room left on the target's file system")]
    DiskFull,
    /// A signal from somebody else, or the caller's own wish.
    #[error("it was interrupted")]
    Interrupted,
    /// The key file is missing, damaged, or not a key file.
    #[error("the key file cannot be used: {why}")]
    KeyFile {
        /// The client's words for it.
        why: String,
    },
    /// The key in the file is not the one that the file says it is.
    #[error("the key file says that it holds key {stated}, but it holds {found}")]
    KeyFileMismatch {
        /// What the file says.
        stated: ShortFingerprint,
        /// What the client computed.
        found: ShortFingerprint,
    },
    /// The key file is under a passphrase, which a restore cannot be asked for.
    #[error("the key file is protected by a passphrase")]
    KeyProtected,
    /// The datastore is closed for now: offline, read-only, being removed, unmounted or refreshed.
    #[error("the datastore is in maintenance: {what}")]
    Maintenance {
        /// The server's words.
        what: String,
    },
    /// The snapshot is encrypted and no key was given.
    #[error("the backup is encrypted with key {asked}, and no key was given")]
    MissingKey {
        /// The key that it was made with.
        asked: ShortFingerprint,
    },
    /// There is no such program.
    #[error("there is no program {} (the package {} brings it)", .program.display(), Client::PACKAGE)]
    NoClient {
        /// Where it was looked for.
        program: PathBuf,
    },
    /// The server has no such thing.
    #[error("the server has no such {what}")]
    NotFound {
        /// What was asked for.
        what: Thing,
    },
    /// The server refuses us.
    #[error("the server refuses the access: {why}")]
    NotAuthorised {
        /// In what way.
        why: Refusal,
    },
    /// Two answers to one question were not the same: a byte was lost on the way.
    #[error("the passphrase did not arrive the same way twice")]
    PassphrasesDiffer,
    /// Under five bytes.
    #[error("the passphrase is too short")]
    PassphraseTooShort,
    /// Something is already where the data should go.
    #[error("something is already at the target")]
    TargetExists,
    /// The target cannot be written as it should be.
    #[error("the target cannot be written: {why}")]
    TargetUnusable {
        /// The client's words for it.
        why: String,
    },
    /// A deadline of ours went by.
    #[error("it did not finish in time, while waiting for {waiting_for}")]
    TimedOut {
        /// What had not come.
        waiting_for: &'static str,
    },
    /// It is not the program that we know: it knows our commands not, or holds another conversation.
    #[error("it does not behave like a known proxmox-backup-client: {why}")]
    UnknownClient {
        /// In what way.
        why: String,
    },
    /// A text that is in no table.
    #[error("it said: {text}")]
    Unknown {
        /// Its first error line (or last words), scrubbed.
        text: String,
    },
    /// No way to the server.
    #[error("the server cannot be reached: {why}")]
    Unreachable {
        /// In what way.
        why: Silence,
    },
    /// The snapshot was made with another key.
    #[error("the backup is encrypted with key {asked}, the key given is {given}")]
    WrongKey {
        /// The key that it was made with.
        asked: ShortFingerprint,
        /// The key that was given.
        given: ShortFingerprint,
    },
    /// The passphrase does not open the key file.
    #[error("the passphrase does not open the key file")]
    WrongPassphrase,
    /// The manifest was changed after the holder of the key had signed it.
    #[error("the backup's list of files does not carry the key's signature")]
    WrongSignature,
}

/// In what way a backup is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damage {
    /// The archive's own structure is not what a client writes.
    #[error("an archive cannot be read")]
    Archive,
    /// A chunk's content is not what its name and checksum say.
    #[error("a chunk is corrupt")]
    CorruptChunk,
    /// The manifest, an index or a blob is corrupt or not there.
    #[error("a file of the snapshot is missing or corrupt")]
    File,
    /// A chunk is not there any more.
    #[error("a chunk is missing")]
    MissingChunk,
}

/// What the server has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Thing {
    /// A file of a snapshot.
    #[error("archive")]
    Archive,
    /// A datastore.
    #[error("datastore")]
    Datastore,
    /// A namespace.
    #[error("namespace")]
    Namespace,
    /// A snapshot, or any snapshot of a group.
    #[error("snapshot")]
    Snapshot,
    /// The client does not say which.
    #[error("snapshot or namespace")]
    SnapshotOrNamespace,
}

/// In what way the server refuses an access.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// User or token unknown, disabled or expired.
    #[error("the user or token is unknown, disabled or expired")]
    Disabled,
    /// No secret reached the client.
    #[error("no secret was given")]
    NoSecret,
    /// The group belongs to somebody else.
    #[error("the backups belong to another owner")]
    Owner,
    /// The user or the token lacks a right (a token has only what both have), or there is no such datastore.
    #[error("a right is missing on the user or on the token ({})", .missing.as_deref().unwrap_or("the server does not say which"))]
    Role {
        /// Which, if the server said.
        missing: Option<String>,
    },
    /// 4.x: any of secret, user and token.
    #[error("secret, user or token is not accepted")]
    Unstated,
    /// The secret (or password) is wrong.
    #[error("the secret is wrong")]
    WrongSecret,
}

/// In what way there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Silence {
    /// The connection broke off in the middle.
    #[error("the connection broke off")]
    Lost,
    /// The name does not resolve.
    #[error("the name does not resolve")]
    NoSuchHost,
    /// Something else answers there.
    #[error("what answers there does not speak TLS")]
    NotPbs,
    /// Nobody listens there.
    #[error("nobody listens there")]
    Refused,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// No way there.
    #[error("there is no way there")]
    NoRoute,
    /// 4.x says no more.
    #[error("the client does not say why")]
    Unstated,
}

fn expectation(pin: &Option<Fingerprint>) -> String {
    match pin {
        Some(pin) => format!("pinned one: {pin} is expected"),
        None => "one that the system's trust store accepts".to_owned(),
    }
}

fn presentation(shown: &Option<Fingerprint>) -> String {
    shown.map(|shown| format!(", it shows {shown}")).unwrap_or_default()
}

impl Failure {
    /// What the person can do next.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => {
                "compare the fingerprint on the server (proxmox-backup-manager cert info); if the server was set up anew, this needs an order, never a yes"
            }
            Self::Busy { .. } => {
                "wait for the other task on the server (backup, prune, garbage collection, sync), then try again"
            }
            Self::Damaged { how: Damage::MissingChunk, .. } => {
                "take another snapshot; on the server run a verify job on the datastore, and find out what removed the chunk (a sync or a backup that brings it again heals it)"
            }
            Self::Damaged { .. } => {
                "take another snapshot; on the server run a verify job on the datastore, and check its disk"
            }
            Self::DatastoreGone { .. } => {
                "on the server, see that the datastore's disk is mounted (proxmox-backup-manager datastore list)"
            }
            Self::DiskFull => "make room on the target's file system, or choose another target",
            Self::Interrupted => "run the same command again, with an empty target",
            Self::KeyFile { .. } | Self::KeyFileMismatch { .. } => "take another copy of the key file",
            Self::KeyProtected => "open the key file first; a restore takes an unprotected copy",
            Self::Maintenance { .. } => "wait for the end of the maintenance, or end it on the server",
            Self::MissingKey { .. } | Self::WrongKey { .. } => {
                "find the key file with the fingerprint asked for (proxmox-backup-client key show names a file's); an older version of the escrow may hold it"
            }
            Self::NoClient { .. } => "install the package proxmox-backup-client, or give the program's path",
            Self::NotFound { .. } => "list what is there, and choose from that",
            Self::NotAuthorised { why } => match why {
                Refusal::Disabled => {
                    "see on the server that neither the user nor the token is missing, disabled or expired (proxmox-backup-manager user list, user list-tokens)"
                }
                Refusal::NoSecret => "give the token's secret; a user's password is never asked for here",
                Refusal::Owner => {
                    "give the group to this user or token (proxmox-backup-client change-owner), or use the token that made the backups"
                }
                Refusal::Role { .. } => {
                    "give both the user and the token the role DatastoreBackup on the datastore (a token has only what its user has too), and check the datastore's name"
                }
                Refusal::Unstated => {
                    "check the token's secret, and on the server that neither user nor token is missing, disabled or expired"
                }
                Refusal::WrongSecret => "make a new secret for the token on the server, and give it here",
            },
            Self::PassphrasesDiffer => "try again",
            Self::PassphraseTooShort => "use the ten words",
            Self::TargetExists => "choose an empty target; nothing is ever overwritten without an order",
            Self::TargetUnusable { .. } => "see that the target's folder exists and that this user may write there",
            Self::TimedOut { .. } => "see whether the server answers and the machine is not overloaded, then try again",
            Self::UnknownClient { .. } => "see which version of proxmox-backup-client is installed, and report this",
            Self::Unknown { .. } => "read what the client said; if it does not help, report it",
            Self::Unreachable { .. } => "check network, name and port, and whether the server runs",
            Self::WrongPassphrase => "check the words and their order",
            Self::WrongSignature => "do not use this snapshot; somebody changed it on the server",
        }
    }

    /// What the person can do next, with the names of the source that it is about.
    #[must_use]
    pub fn next_step_at(&self, source: &Repository) -> String {
        let (who, user) = (source.auth_id(), source.auth_id().user());
        let store = source.datastore();
        let at = format!("{}:{}", source.host(), source.port());
        match self {
            Self::Certificate { expected: Some(_), presented: Some(shown) } => format!(
                "on the server itself compare its fingerprint (proxmox-backup-manager cert info) with {shown}; if it is the same, the server was set up anew and its pin must be changed by an order, else somebody stands between here and {at}"
            ),
            Self::Certificate { .. } => {
                format!("on the server compare its fingerprint (proxmox-backup-manager cert info) with what {at} shows")
            }
            Self::DatastoreGone { .. } | Self::Maintenance { .. } => {
                format!("{}: datastore {store} on {}", self.next_step(), source.host())
            }
            Self::NotAuthorised { why: Refusal::WrongSecret | Refusal::Unstated } => match who.token() {
                Some(token) => format!(
                    "see on {} that the token {who} and its user {user} are enabled, or make it a new secret (proxmox-backup-manager user generate-token {user} {token}, after deleting the old one), and give that here",
                    source.host()
                ),
                None => format!("check the password of {user} on {}", source.host()),
            },
            Self::NotAuthorised { why: Refusal::Role { .. } } => match who.token() {
                Some(_) => format!(
                    "give both {user} and {who} the role DatastoreBackup on /datastore/{store} (proxmox-backup-manager acl update /datastore/{store} DatastoreBackup --auth-id …), and see that a datastore of this name exists on {}",
                    source.host()
                ),
                None => format!("give {user} the role DatastoreBackup on /datastore/{store}, and see that it exists"),
            },
            Self::NotAuthorised { why: Refusal::Disabled } => format!(
                "see on {} that {user} and {who} exist, are enabled and have not expired (proxmox-backup-manager user list, user list-tokens {user})",
                source.host()
            ),
            Self::MissingKey { asked } | Self::WrongKey { asked, .. } => {
                format!("find the key file of the key {asked}; an older version of the escrow may hold it")
            }
            Self::NotFound { what: Thing::Datastore } => {
                format!("see which datastores {} has, and whether {store} is one of them", source.host())
            }
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                format!("see whether {at} is right, answers from here (network, firewall, name), and runs")
            }
            _ => self.next_step().to_owned(),
        }
    }

    /// Whether the client, not what it was asked for, is the trouble of a key conversation: a reader
    /// that opens the format natively would not meet it.
    #[must_use]
    pub fn is_the_clients_own(&self) -> bool {
        matches!(
            self,
            Self::NoClient { .. }
                | Self::UnknownClient { .. }
                | Self::Unknown { .. }
                | Self::TimedOut { .. }
                | Self::PassphrasesDiffer
        )
    }
}
