//! What protects an archive, as whoever asks for it says; and what the client is given for it.

use std::{ffi::OsString, path::Path};

use pbs_format::manifest::CryptMode;
use tenwords_protocol::fingerprint::Fingerprint;

use super::{Request, absolute};
use crate::error::DriverError;

/// What protects an archive. Each refuses the archives of the others.
#[derive(Debug, Clone, Copy)]
pub enum Protection<'a> {
    /// Encrypted under this key, in a list that is signed under it. The client must say that it used it.
    Under {
        /// An unprotected key file.
        key_file: &'a Path,
        /// The key in it.
        key: Fingerprint,
    },
    /// Nothing: in plain text, in a list that names no key. The client is given none.
    Plain,
    /// Whatever a list says that names this key and is not proven by it: the client is given the key, and
    /// need not say that it used it.
    Unproven {
        /// An unprotected key file.
        key_file: &'a Path,
        /// The key in it.
        key: Fingerprint,
    },
}

impl Request<'_> {
    /// That the entry is protected as was asked for, and that the key file means one file.
    pub(super) fn check(&self) -> Result<(), DriverError> {
        let listed = self.signed.crypt_mode;
        let is_asked_for = match self.protection {
            Protection::Under { .. } => listed == CryptMode::Encrypt,
            Protection::Plain => listed == CryptMode::None,
            Protection::Unproven { .. } => true,
        };
        if !is_asked_for {
            return Err(DriverError::OtherProtection { archive: self.archive().to_string(), listed });
        }
        self.protection.key_file().map_or(Ok(()), |(path, _)| absolute(path))
    }
}

impl<'a> Protection<'a> {
    /// The key that the client is given.
    pub(super) fn key_file(self) -> Option<(&'a Path, Fingerprint)> {
        match self {
            Self::Under { key_file, key } | Self::Unproven { key_file, key } => Some((key_file, key)),
            Self::Plain => None,
        }
    }
}

/// Not even a default one.
pub(super) fn no_key() -> [OsString; 2] {
    ["--crypt-mode".into(), "none".into()]
}
