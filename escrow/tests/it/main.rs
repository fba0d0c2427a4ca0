//! The stories of the escrow room, each by its number, and what holds beside them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod code;
mod door;
mod escrow;
mod hostile;
mod orders;
mod pins;
mod redaction;
mod select;
mod signers;
mod slip;
mod snapshot;
mod support;
mod unproven;
mod update;
