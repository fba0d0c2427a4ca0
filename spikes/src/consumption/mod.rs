//! Can a PBS key be escrowed with the client alone? Five phases, evidence for each.
//!
//! | phase | what is shown |
//! | --- | --- |
//! | C0 (S0) | what this machine, client and server are |
//! | C1 (S1) | an escrow of K is made; K itself is not touched |
//! | C2 (S2) | without K the backup is noise, and the client says which key it misses |
//! | C3 (S3) | K comes back out of the escrow with the words alone, and carries a restore of real data |
//! | C4 (S4) | a wrong code yields nothing |
//!
//! No hub and no agent take part: the driver, the door and the client do. Each run is told twice,
//! once as it was started and once without a controlling terminal, as a daemon lives. What was made
//! is shredded, the datastore is left as it was found, and the report is searched for secrets before
//! it is written.

mod pass;
mod report;

pub use pass::{Evidence, Pass, Phase, pass};
pub use report::{Findings, findings};

use std::path::PathBuf;

use crate::world::Real;

/// What is examined.
#[derive(Debug, Clone)]
pub struct Examined {
    /// How much data is backed up.
    pub bytes: u64,
    /// Where the world is made.
    pub base: PathBuf,
    /// A real client and server, instead of the stand-in.
    pub real: Option<Real>,
}
