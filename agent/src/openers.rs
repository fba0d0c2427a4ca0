//! The client as somebody who can open a key part.

use pbs_driver::{Client, DriverError, key};
use pbs_format::key::{EncryptionKey, KeyFile, KeyFileError};
use tenwords_escrow::{code::RecoveryCode, door::KeyPart, verify::KeyOpener};
use thiserror::Error;

/// proxmox-backup-client, driven over a pty in the private folder.
pub(crate) struct ByClient<'a>(pub(crate) &'a Client);

/// Why the client did not open a copy.
#[derive(Debug, Error)]
pub(crate) enum ByClientError {
    /// The client.
    #[error("proxmox-backup-client did not open the copy")]
    Client(#[source] DriverError),
    /// What it left is no plain key file.
    #[error("what proxmox-backup-client left is not an opened key file")]
    Left(#[source] KeyFileError),
}

impl ByClientError {
    /// Whether the client could not be driven at all, rather than the words being wrong.
    pub(crate) fn is_the_clients_own(&self) -> bool {
        match self {
            Self::Client(error) => error.is_the_clients_own(),
            Self::Left(_) => true,
        }
    }
}

impl KeyOpener for ByClient<'_> {
    type Error = ByClientError;

    fn open_copy(&self, part: &KeyPart, code: &RecoveryCode) -> Result<EncryptionKey, ByClientError> {
        let opened = key::unwrapped(self.0, part.bytes(), code.expose_passphrase()).map_err(ByClientError::Client)?;
        KeyFile::parse(&opened).and_then(|file| file.open(None)).map_err(ByClientError::Left)
    }
}
