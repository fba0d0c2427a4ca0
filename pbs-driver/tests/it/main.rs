//! The driver against clients that misbehave, against recorded words, and against a client that works.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests start programs of their own")]

mod certificate;
mod conformance;
mod conversations;
mod environment;
mod hostile;
mod key;
mod lists;
mod place;
mod private;
mod restore;
mod secrets;
mod texts;
