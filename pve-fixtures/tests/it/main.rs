//! The fixtures by themselves: that they call the client as PVE does, and do to files what PVE does.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests start programs of their own")]

mod calls;
mod guests;
mod replace;
mod storages;
mod support;
