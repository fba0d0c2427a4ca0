//! The clock as an argument. Certificates, windows, limits and the audit all read this one.

use std::fmt;

use tenwords_protocol::time::Timestamp;

/// What says what time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time, in whole seconds.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
