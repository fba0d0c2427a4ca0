//! The probe: whether server, certificate, token and datastore work together.
//!
//! `login` with a token contacts nobody, and `version` ends well when nobody answers (`client.md`);
//! this is the question that fails when something is wrong.

use serde::Deserialize;

use crate::{access::Access, client::Client, error::DriverError, snapshot::unreadable};

/// The datastore's room, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Free for us.
    pub avail: u64,
    /// In all.
    pub total: u64,
    /// In use.
    pub used: u64,
}

/// Asks.
///
/// # Errors
/// [`DriverError`], with the failure that names what is wrong.
pub fn probe(client: &Client, access: &Access) -> Result<Status, DriverError> {
    let args = ["status", "--output-format", "json"].map(Into::into);
    let (answer, _) = client.ask("status", &args, Some(access))?;
    serde_json::from_slice(&answer).map_err(|error| unreadable("status", error))
}
