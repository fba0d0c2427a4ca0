//! What travels between box, hub and operator, and what is sealed or signed on the way.
//!
//! Every type here has one text form, and that form is parsed strictly: what is unknown and would
//! change the meaning is refused ([`json`]). This crate never opens anything, holds no key that
//! opens anything, and does no I/O; its one look at the machine is [`time::Timestamp::now`].

pub mod audit;
pub mod bounded;
pub mod boxes;
pub mod bytes;
pub mod calls;
pub mod code16;
pub mod crockford;
pub mod directive;
pub mod directives;
pub mod drill;
pub mod enroll;
pub mod fingerprint;
pub mod hash;
pub mod holdings;
pub mod id;
pub mod inventory;
pub mod json;
pub mod nodes;
pub mod operators;
pub mod order;
pub mod orders;
pub mod part;
pub mod problem;
pub mod readiness;
pub mod recovery;
pub mod renew;
pub mod report;
mod strict;
pub mod ticket;
pub mod time;
pub mod update;
pub mod v1;
pub mod version;
pub mod words;
