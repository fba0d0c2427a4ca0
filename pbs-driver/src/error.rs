//! Why a call of this crate did not do what it should.

use std::{io, path::PathBuf};

use pbs_format::{manifest::CryptMode, witness::WitnessError};
use tenwords_protocol::fingerprint::Fingerprint;
use thiserror::Error;

use crate::{failure::Failure, private::PrivateError, repository::Repository};

/// Each `Display` is its own level only; the causes follow as sources.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The answer is not what the client is known to print.
    #[error("the answer of {command} cannot be read")]
    Answer {
        /// The command, without arguments of the caller.
        command: &'static str,
        /// Where the reading stopped.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The client did not do what it was asked to.
    #[error("{command} did not succeed")]
    Client {
        /// The command, without arguments of the caller.
        command: &'static str,
        /// What that means.
        #[source]
        failure: Failure,
    },
    /// Something here, not in the client.
    #[error("{doing} {}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// After (or before) the client's work the key file is not as it must be.
    #[error("the key file {}: {what}", .when)]
    KeyFile {
        /// `before` or `after` the client's work.
        when: &'static str,
        /// In what way.
        what: &'static str,
    },
    /// Only copies in the private folder are ever re-keyed.
    #[error("{} is not in the private folder, and only a copy there is ever re-keyed", .path.display())]
    NotACopy {
        /// The path given.
        path: PathBuf,
    },
    /// A restore ended well, but without the client's word that it used our key: plaintext from the server.
    #[error("the client did not say that it used key {expected}; what it restored is not to be trusted")]
    NotUnderOurKey {
        /// The key that was given.
        expected: Fingerprint,
    },
    /// A restore that had to be refused was not.
    #[error("the client restored an archive without a key")]
    NotRefused,
    /// The list names another protection than the one that was asked for.
    #[error("{archive} is listed as `{listed}`, and that is not what was to be restored")]
    OtherProtection {
        /// The file's name on the server.
        archive: String,
        /// As the list has it.
        listed: CryptMode,
    },
    /// What came is not what was signed: damaged, or the server handed the client another list.
    #[error("what came for {archive} is not what the snapshot's list names")]
    NotSigned {
        /// The file's name on the server.
        archive: String,
        /// In what way.
        #[source]
        source: WitnessError,
    },
    /// A restore failed, and what it had written could not be removed.
    #[error("what was restored to {} could not be removed again ({cause}): do not use it", .path.display())]
    Left {
        /// Where it lies.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
        /// Why the restore failed.
        #[source]
        why: Box<DriverError>,
    },
    /// A passphrase with a byte that means something else to the client's terminal, or too long.
    #[error("the passphrase cannot be typed: it is empty, too long, or holds a control character")]
    Passphrase,
    /// The private folder.
    #[error("the private folder cannot be used")]
    Private(#[from] PrivateError),
    /// What a relative path means would depend on where a child starts.
    #[error("{} is not an absolute path", .path.display())]
    Relative {
        /// The path given.
        path: PathBuf,
    },
    /// A token's secret that is empty, too long, or not one line.
    #[error("the token's secret is empty, too long, or not one line")]
    Secret,
    /// The archive is not of the kind that was asked for.
    #[error("{archive} is not {wanted}")]
    WrongKind {
        /// Its name.
        archive: String,
        /// What was needed.
        wanted: &'static str,
    },
}

impl DriverError {
    /// What the client's failure means, if it was the client's.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Client { failure, .. } => Some(failure),
            Self::Left { why, .. } => why.failure(),
            _ => None,
        }
    }

    /// What the person can do next, where it is known.
    #[must_use]
    pub fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Client { failure, .. } => Some(failure.next_step()),
            Self::Private(error) => Some(error.remedy()),
            Self::NotSigned { .. } => Some(
                "do not use what this server sends: restore an older snapshot, and ask who can write to the server \
                 (a backup that another program than proxmox-backup-client made cannot be told from its content either)",
            ),
            Self::Left { why, .. } => why.next_step(),
            _ => None,
        }
    }

    /// The same with the names of the source that it is about.
    #[must_use]
    pub fn next_step_at(&self, source: &Repository) -> Option<String> {
        match self {
            Self::Client { failure, .. } => Some(failure.next_step_at(source)),
            Self::Left { why, .. } => why.next_step_at(source),
            _ => self.next_step().map(str::to_owned),
        }
    }

    /// Whether the client could not be driven at all (missing, unknown words, no end), so that a
    /// recovery may open the same thing natively and say so.
    #[must_use]
    pub fn is_the_clients_own(&self) -> bool {
        match self {
            Self::Client { failure, .. } => failure.is_the_clients_own(),
            Self::Answer { .. } => true,
            _ => false,
        }
    }
}
