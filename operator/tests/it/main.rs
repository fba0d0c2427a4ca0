//! The operator's command line as an operator meets it: a real process, a real TLS listener, and
//! every text that a person can see.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests start programs of their own")]

mod boxes;
mod desk;
mod directive;
mod fleet;
mod keys;
mod orders;
mod pins;
mod recognition;
mod recovery;
mod rollout;
mod standin;
mod transcripts;
