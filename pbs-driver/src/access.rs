//! A source as a child needs it: repository, namespace, token and whose certificate counts.

use std::fmt;

use tenwords_protocol::fingerprint::Fingerprint;
use zeroize::Zeroizing;

use crate::{
    error::DriverError,
    repository::{Namespace, Repository},
};

/// Everything that a connecting command needs, checked.
#[derive(Debug)]
pub struct Access {
    repository: Repository,
    namespace: Namespace,
    token: TokenSecret,
    certificate: Certificate,
}

/// What proves that the server is the one that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// The SHA-256 of its certificate, and nothing else: the children get an empty trust store, or
    /// one that the system trusts would override the pin (`transcripts/hostile-pbs.txt` 1).
    Pinned(Fingerprint),
    /// Whatever the system's trust store accepts for the host's name.
    WebPki,
}

/// A token's secret (or a user's password). One line; wiped on drop; `Debug` tells nothing.
struct TokenSecret(Zeroizing<String>);

impl Access {
    /// Takes a source's parts. The secret is moved in, never copied.
    ///
    /// # Errors
    /// [`DriverError::Secret`] for a secret that PBS's client would not read whole: it takes the
    /// first line of a password file only (`formats.md` §11.2).
    pub fn new(
        repository: Repository,
        namespace: Namespace,
        token: Zeroizing<String>,
        certificate: Certificate,
    ) -> Result<Self, DriverError> {
        if token.is_empty() || token.len() > MAX_SECRET || token.chars().any(char::is_control) {
            return Err(DriverError::Secret);
        }
        Ok(Self { repository, namespace, token: TokenSecret(token), certificate })
    }

    /// Server, datastore and as whom.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Whose certificate counts.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.certificate
    }

    pub(crate) fn expose_token(&self) -> &str {
        &self.token.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret([redacted])")
    }
}

const MAX_SECRET: usize = 1024;
