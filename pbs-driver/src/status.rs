//! The probe: whether server, certificate, token and datastore work together.
//!
//! `login` with a token contacts nobody, and `version` ends well when nobody answers (`client.md`);
//! this is the question that fails when something is wrong.
//!
//! For a pinned source it looks at the server's certificate first: a server that shows another one is
//! refused, with both fingerprints, before any child is given the token. (The child would refuse it
//! too; it could not say what it saw, and only one wall would stand there.)

use serde::Deserialize;

use crate::{
    access::Access,
    certificate::{PATIENCE, look_for_the_pin},
    client::Client,
    error::DriverError,
    failure::{Failure, Thing},
    snapshot::unreadable,
};

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
/// [`DriverError`], with the failure that names what is wrong; [`Failure::Certificate`](crate::Failure)
/// before the client is started.
pub fn probe(client: &Client, access: &Access) -> Result<Status, DriverError> {
    look_for_the_pin(access, PATIENCE).map_err(|failure| DriverError::Client { command: COMMAND, failure })?;
    let args = ["status", "--output-format", "json"].map(Into::into);
    let (answer, _) = client.ask(COMMAND, &args, Some(access)).map_err(about_the_datastore)?;
    serde_json::from_slice(&answer).map_err(|error| unreadable(COMMAND, error))
}

/// `status` asks for nothing that could be missing but the datastore's own folder. (Seen of a real server
/// whose disk was gone: the same words as for a snapshot that is not there.)
fn about_the_datastore(error: DriverError) -> DriverError {
    match error {
        DriverError::Client { command, failure: Failure::NotFound { what: Thing::SnapshotOrNamespace } } => {
            let what = "its folder is not there (is its disk mounted?)".to_owned();
            DriverError::Client { command, failure: Failure::DatastoreGone { what } }
        }
        other => other,
    }
}

const COMMAND: &str = "status";
