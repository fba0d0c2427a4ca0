//! Which client, and which server.

use std::fmt;

use serde::Deserialize;

use crate::{
    access::Access, certificate, client::Client, error::DriverError, failure::Failure, scrub::scrub,
    snapshot::unreadable, texts,
};

/// A version as Proxmox counts: `3.2`, release `4`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    version: String,
    release: String,
}

/// Both ends of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The program here.
    pub client: Version,
    /// The server, or why it did not say. (The client ends well in both cases.)
    pub server: Result<Version, Failure>,
}

/// The client's own version; connects to nothing.
///
/// # Errors
/// [`DriverError`].
pub fn client(client: &Client) -> Result<Version, DriverError> {
    Ok(ask(client, None)?.0.client)
}

/// The client's and the server's.
///
/// # Errors
/// [`DriverError`] if the client did not even say its own.
pub fn both(client: &Client, access: &Access) -> Result<Versions, DriverError> {
    let (answer, said) = ask(client, Some(access))?;
    let server = answer.server.ok_or_else(|| {
        let failure = texts::classify_version(&said, &[access.expose_token()])
            .unwrap_or_else(|| texts::classify(&said, &[access.expose_token()]));
        certificate::completed(failure, access)
    });
    Ok(Versions { client: answer.client, server })
}

impl Version {
    /// Major and minor, if it is written as Proxmox writes versions. What differs between them, and
    /// what to say about one that is not known: [`crate::compat`].
    #[must_use]
    pub fn numbers(&self) -> Option<(u32, u32)> {
        let (major, minor) = self.version.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }
}

/// As the program says it, but for what would not be harmless on a screen.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{}", self.version, self.release);
        f.write_str(&scrub(text.as_bytes(), &[]))
    }
}

#[derive(Deserialize)]
struct Answer {
    client: Version,
    server: Option<Version>,
}

fn ask(client: &Client, access: Option<&Access>) -> Result<(Answer, Vec<u8>), DriverError> {
    let args = ["version", "--output-format", "json"].map(Into::into);
    let (answer, said) = client.ask("version", &args, access)?;
    let answer = serde_json::from_slice(&answer).map_err(|error| unreadable("version", error))?;
    Ok((answer, said.text()))
}
