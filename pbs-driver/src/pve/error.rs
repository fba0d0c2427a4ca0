//! Why something on PVE's side was not done. Each names what is there; [`PveError::next_step`] what to do.

use std::{io, path::PathBuf};

use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
use thiserror::Error;

use super::node::{Absence, Refusal};
use crate::{error::DriverError, private::PrivateError};

/// A refusal or a failure. No variant holds a secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PveError {
    /// A storage of this name is there, and is not the one that was wanted.
    #[error("the storage {id} is there with {property} \"{there}\", not \"{wanted}\"")]
    DifferentStorage {
        /// The storage's name.
        id: String,
        /// The first property that differs.
        property: &'static str,
        /// Its value in `storage.cfg`.
        there: String,
        /// The value that was to be written.
        wanted: String,
    },
    /// A job of this id is there, and is not the one that was to be put; it was not touched.
    #[error("jobs.cfg has another job {id}")]
    DifferentJob {
        /// The job's id.
        id: String,
    },
    /// Something else is in the key file's place; it was not touched.
    #[error("{} {there}, and key {given} was to be put there", .path.display())]
    DifferentKey {
        /// The key file.
        path: PathBuf,
        /// What is in it.
        there: KeyThere,
        /// Over its bytes, as they lie there.
        sha256: Sha256,
        /// The key that was to be written.
        given: Box<Fingerprint>,
    },
    /// Another secret is in the file's place; it was not touched.
    #[error("{} holds something else than what was to be put there", .path.display())]
    DifferentSecret {
        /// The password file, or the master key's.
        path: PathBuf,
    },
    /// The system said no.
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
    /// What is, or was to be put, in a key file's place is not an unprotected PBS key file.
    #[error("{} {why}", .path.display())]
    KeyFile {
        /// The key file's place.
        path: PathBuf,
        /// In what way.
        why: &'static str,
    },
    /// Somebody else holds PVE's lock.
    #[error("another program of PVE has held the lock {} for too long", .path.display())]
    Locked {
        /// The lock's folder.
        path: PathBuf,
    },
    /// PVE's program is not there.
    #[error("there is no program {}", .program.display())]
    NoProgram {
        /// Where it was looked for.
        program: PathBuf,
    },
    /// pmxcfs is not mounted, or its process is gone.
    #[error("{} is not PVE's cluster file system: {why}", .path.display())]
    NotMounted {
        /// The folder, usually `/etc/pve`.
        path: PathBuf,
        /// As seen.
        why: Absence,
    },
    /// No Proxmox VE here.
    #[error("Proxmox VE is not installed here: neither {} nor its programs are there", .path.display())]
    NotPve {
        /// The folder, usually `/etc/pve`.
        path: PathBuf,
    },
    /// The private folder.
    #[error("the private folder cannot be used")]
    Private(#[from] PrivateError),
    /// PVE's program could not be run to its end.
    #[error("{command} could not be driven")]
    Program {
        /// The command, without arguments of the caller.
        command: &'static str,
        /// Why.
        #[source]
        source: Box<DriverError>,
    },
    /// PVE's program ran and refused.
    #[error("{command} did not succeed: {said}")]
    Refused {
        /// The command, without arguments of the caller.
        command: &'static str,
        /// Its words, scrubbed.
        said: String,
    },
    /// It can be read and not written.
    #[error("{} cannot be written: {why}", .path.display())]
    ReadOnly {
        /// The folder, usually `/etc/pve`.
        path: PathBuf,
        /// As seen.
        why: Refusal,
    },
    /// A relative path would mean something else elsewhere.
    #[error("{} is not an absolute path", .path.display())]
    Relative {
        /// The path given.
        path: PathBuf,
    },
    /// A property that cannot stand in a stanza, or a stanza that is not there.
    #[error("the text cannot be changed that way: {why}")]
    Sections {
        /// In what way.
        why: &'static str,
    },
    /// A password that PVE would not read back as it is.
    #[error("the password or token secret is empty, too long, or not one line")]
    Secret,
    /// A stanza of type `pbs` that is not understood.
    #[error("the storage {id} in storage.cfg is not understood: {property} {why}")]
    Storage {
        /// The storage's name.
        id: String,
        /// The property.
        property: &'static str,
        /// In what way.
        why: String,
    },
    /// Not a name that PVE takes for a storage.
    #[error("\"{0}\" is not a storage's name (a letter, then letters, digits, '-', '_', '.'; a letter or digit last)")]
    StorageId(String),
    /// Larger than pmxcfs takes.
    #[error("{} is larger than {max} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        max: usize,
    },
    /// What was written does not read back as it was meant.
    #[error("{} was written and reads back as something else", .path.display())]
    Unproven {
        /// The file.
        path: PathBuf,
    },
}

/// What is in a key file's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyThere {
    /// A key that PVE can use.
    #[error("holds key {0}")]
    Key(Fingerprint),
    /// None, and in what way not.
    #[error("{0}")]
    NoKey(&'static str),
}

impl PveError {
    /// What the person can do next.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::DifferentStorage { .. } => {
                "choose another name for the storage, or remove the one that is there if nobody needs it"
            }
            Self::DifferentJob { .. } => {
                "compare it with the recovered file; change the one that is there, if it should be"
            }
            Self::DifferentKey { .. } => {
                "keep the key that is there: backups may need it; replacing it takes an order, or another storage name"
            }
            Self::DifferentSecret { .. } => {
                "see which token the storage is meant to use; set it with `pvesm set <storage> --password`"
            }
            Self::Io { .. } => "see what the system says about that path, then run the same command again",
            Self::KeyFile { .. } => "take another copy of the key file; PVE needs it without a passphrase",
            Self::Locked { .. } => {
                "wait until the other program (a running `pvesm` or the web interface) is done, then run the same command again"
            }
            Self::NoProgram { .. } => "install Proxmox VE's packages, or give the program's path",
            Self::NotMounted { .. } => {
                "start the cluster file system (systemctl restart pve-cluster) and see journalctl -u pve-cluster"
            }
            Self::NotPve { .. } => "run this on a Proxmox VE node, or restore into plain folders",
            Self::Private(error) => error.remedy(),
            Self::Program { source, .. } => {
                source.next_step().unwrap_or("see whether the program runs by itself, then try again")
            }
            Self::Refused { .. } => "read what the program said; if it does not help, report it",
            Self::ReadOnly { why, .. } => why.next_step(),
            Self::Relative { .. } => "give the full path",
            Self::Sections { .. } => "this is a mistake of the program; report it",
            Self::Secret => "make a new secret for the token on the server",
            Self::Storage { .. } => "mend the stanza in /etc/pve/storage.cfg, or with `pvesm set`",
            Self::StorageId(_) => "choose a name that PVE takes",
            Self::TooLarge { .. } => "see what made that file so large; pmxcfs takes 1 MiB a file",
            Self::Unproven { .. } => "see who else writes that file, then run the same command again",
        }
    }
}
