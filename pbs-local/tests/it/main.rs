//! The real binary, against what the real client was seen to do.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests start programs of their own")]

mod conformance;
mod golden;
mod limits;
mod prune;
mod pty;
mod recorded;
mod replay;
mod roundtrip;
mod server;
mod support;
