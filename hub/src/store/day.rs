//! The day (UTC) in which a limit counts.

use std::time::Duration;

use tenwords_protocol::time::Timestamp;

pub(super) const DAY_SECONDS: i64 = 86_400;

/// The day of a moment, as seconds since 1970, and how much of it is left.
pub(super) struct Day {
    pub(super) begins: i64,
    /// The next one begins.
    pub(super) ends: i64,
    pub(super) left: Duration,
}

impl Day {
    pub(super) fn of(now: Timestamp) -> Self {
        let now = now.unix();
        let begins = now - now.rem_euclid(DAY_SECONDS);
        let ends = begins + DAY_SECONDS;
        Self { begins, ends, left: Duration::from_secs(ends.abs_diff(now)) }
    }
}
