//! What a server would check before it answers: certificate and token.
//!
//! There is no server. A token is checked only if tokens were given with `--token-sha256`, and
//! `PBS_FINGERPRINT` only if a certificate was given with `--certificate-sha256`; then the outcomes
//! and texts are the client's. A datastore that is named by its path is nobody's, and nothing is
//! checked for it. Nothing here protects the folder: whoever can read it can read it.

use std::{
    cell::Cell,
    io::{self, BufRead as _},
};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tenwords_protocol::fingerprint::Fingerprint;
use zeroize::Zeroizing;

use crate::{
    environment,
    error::Error,
    log::{Log, to_stderr},
    repository::{AuthId, Repository},
    terminal,
};

/// The options before the command that play a server.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) tokens: Vec<Token>,
    pub(crate) certificate: Option<Fingerprint>,
    /// Who comes in, and may do nothing with any datastore.
    pub(crate) without_rights: Vec<AuthId>,
    /// What those are that come in; whoever is not named is a `DatastoreBackup`.
    pub(crate) roles: Vec<Role>,
    pub(crate) maintenance: Option<Maintenance>,
}

/// Whose role it is, and what of it matters here.
#[derive(Debug)]
pub(crate) struct Role {
    auth_id: AuthId,
    removing: Removing,
}

impl Role {
    /// Reads `user@realm!token=<role>`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (auth_id, role) = text.rsplit_once('=')?;
        let auth_id = AuthId::parse(auth_id).filter(AuthId::is_token)?;
        let removing = match role {
            "DatastoreBackup" => Removing::Nothing,
            "DatastorePowerUser" => Removing::Own,
            "DatastoreAdmin" => Removing::Any,
            _ => return None,
        };
        Some(Self { auth_id, removing })
    }
}

/// Which backups somebody may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removing {
    Nothing,
    /// Those of groups that are his own: the privilege `Datastore.Prune`.
    Own,
    /// All: the privilege `Datastore.Modify`.
    Any,
}

/// For whom the datastores are closed, and what the administrator wrote beside it.
#[derive(Debug)]
pub(crate) struct Maintenance {
    offline: bool,
    message: String,
}

impl Maintenance {
    /// Reads `offline[:message]` or `read-only[:message]`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mode, message) = text.split_once(':').unwrap_or((text, ""));
        let offline = match mode {
            "offline" => true,
            "read-only" => false,
            _ => return None,
        };
        Some(Self { offline, message: message.to_owned() })
    }
}

/// What is going to be done with a datastore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
}

/// A token that may come in: its id, and the SHA-256 of its secret.
#[derive(Debug)]
pub(crate) struct Token {
    auth_id: AuthId,
    secret_sha256: [u8; 32],
}

impl Token {
    /// Reads `user@realm!token=<64 hex>`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (auth_id, digest) = text.rsplit_once('=')?;
        let auth_id = AuthId::parse(auth_id).filter(AuthId::is_token)?;
        let mut secret_sha256 = [0; 32];
        hex::decode_to_slice(digest, &mut secret_sha256).ok()?;
        Some(Self { auth_id, secret_sha256 })
    }
}

/// A client that has its repository and its password, and has asked for nothing yet.
pub(crate) struct Session<'a> {
    pub(crate) repository: Repository,
    server: &'a Server,
    log: Log,
    secret: Option<Zeroizing<Vec<u8>>>,
    certificate_accepted: Cell<bool>,
}

impl<'a> Session<'a> {
    /// Finds the password, as the client does before it connects.
    pub(crate) fn login(server: &'a Server, repository: Repository, log: Log) -> Result<Self, Error> {
        let named = matches!(repository, Repository::Named { .. });
        let secret = if named && !server.tokens.is_empty() {
            let secret = password(&repository.auth_id());
            Some(secret.map_err(|cause| Error::Login { repository: repository.to_string(), cause: Box::new(cause) })?)
        } else {
            None
        };
        Ok(Self { repository, server, log, secret, certificate_accepted: Cell::new(false) })
    }

    /// What every request goes through: the certificate, then the token.
    pub(crate) fn request(&self) -> Result<(), Error> {
        if matches!(self.repository, Repository::Folder(_)) {
            return Ok(());
        }
        if let Some(certificate) = self.server.certificate
            && !self.certificate_accepted.get()
        {
            self.check_certificate(&certificate.to_string())?;
            self.certificate_accepted.set(true);
        }
        let Some(secret) = &self.secret else { return Ok(()) };
        let auth_id = self.repository.auth_id();
        if !auth_id.is_token() {
            return Err(Error::WrongPassword);
        }
        let token = self.server.tokens.iter().find(|token| token.auth_id == auth_id).ok_or(Error::UnknownToken)?;
        let given = Sha256::digest(secret.as_slice());
        if bool::from(given.as_slice().ct_eq(&token.secret_sha256)) { Ok(()) } else { Err(Error::WrongSecret) }
    }

    /// Whether who was let in may do anything with the datastore. The server looks at this before it
    /// opens one, and tells a datastore that is not there by the same words.
    pub(crate) fn has_rights(&self) -> bool {
        let named = matches!(self.repository, Repository::Named { .. });
        !named || !self.server.without_rights.contains(&self.repository.auth_id())
    }

    /// Which backups who was let in may remove. Where nobody is asked for a token, nobody is asked for this.
    pub(crate) fn removing(&self) -> Removing {
        if !self.has_rights() {
            return Removing::Nothing;
        }
        if matches!(self.repository, Repository::Folder(_)) || self.server.tokens.is_empty() {
            return Removing::Any;
        }
        let auth_id = self.repository.auth_id();
        let role = self.server.roles.iter().find(|role| role.auth_id == auth_id);
        role.map_or(Removing::Nothing, |role| role.removing)
    }

    /// What the server says of a datastore in maintenance.
    pub(crate) fn is_open_for(&self, what: Use) -> Result<(), Error> {
        match (&self.repository, &self.server.maintenance) {
            (Repository::Named { store, .. }, Some(Maintenance { offline, message }))
                if *offline || what == Use::Write =>
            {
                let mode = if *offline { "offline" } else { "read-only" };
                Err(Error::Maintenance { store: store.clone(), mode, message: message.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check_certificate(&self, certificate: &str) -> Result<(), Error> {
        let expected = environment::setting("PBS_FINGERPRINT");
        if let Some(expected) = &expected {
            if expected.eq_ignore_ascii_case(certificate) {
                return Ok(());
            }
            self.log.warn("WARNING: certificate fingerprint does not match expected fingerprint!");
            self.log.warn(format_args!("expected:    {expected}"));
        }
        if terminal::is_interactive() && confirmed(certificate)? {
            return Ok(());
        }
        self.log.error("certificate validation failed - Certificate fingerprint was not confirmed.");
        Err(Error::Certificate)
    }
}

fn confirmed(certificate: &str) -> Result<bool, Error> {
    to_stderr(&format!("fingerprint: {certificate}\n"));
    loop {
        to_stderr("Are you sure you want to continue connecting? (y/n): ");
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).map_err(Error::Terminal)? == 0 {
            return Ok(false);
        }
        match line.trim() {
            "y" | "Y" => return Ok(true),
            "n" | "N" => return Ok(false),
            _ => {}
        }
    }
}

fn password(auth_id: &AuthId) -> Result<Zeroizing<Vec<u8>>, Error> {
    if let Some(secret) = environment::secret("PBS_PASSWORD")? {
        return Ok(secret);
    }
    if auth_id.is_token() {
        return Err(Error::NoTokenSecret);
    }
    if !terminal::is_interactive() {
        return Err(Error::NoPasswordInput);
    }
    terminal::ask(&format!("Password for \"{}\": ", auth_id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_an_id_and_a_digest() {
        let digest = "00".repeat(32);
        assert!(Token::parse(&format!("backup@pbs!box1={digest}")).is_some());
        for text in [format!("backup@pbs={digest}"), "backup@pbs!box1=00".to_owned(), "backup@pbs!box1".to_owned()] {
            assert!(Token::parse(&text).is_none(), "{text}");
        }
    }
}
