//! How often each kind of work is done, and how it slows down when it fails.

use std::time::Duration;

use super::course::{Chance, Kind, uniform};

/// The rates of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// So often by time alone; a tenth more or less.
    pub(super) every: Option<Duration>,
    /// From one's end to the next one's beginning, whatever asks for it.
    pub(super) least: Duration,
    /// The first, after the daemon's start, comes within this time.
    pub(super) first: Duration,
    /// After a failure it waits for anything up to this, doubled with each more.
    base: Duration,
    /// But not for more than this.
    cap: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The one table of it; `docs/daemon.md` has it for people.
pub(super) const fn of(kind: Kind) -> Pace {
    match kind {
        // Also without any change: a hub that was set back is noticed.
        Kind::Keep => Pace {
            every: Some(seconds(HOUR)),
            least: seconds(10),
            first: seconds(20),
            base: seconds(MINUTE),
            cap: seconds(15 * MINUTE),
        },
        Kind::Renew => Pace {
            every: Some(seconds(24 * HOUR)),
            least: seconds(HOUR),
            first: seconds(10 * MINUTE),
            base: seconds(10 * MINUTE),
            cap: seconds(6 * HOUR),
        },
        Kind::Servers => Pace {
            every: Some(seconds(30 * MINUTE)),
            least: seconds(5 * MINUTE),
            first: seconds(5 * MINUTE),
            base: seconds(5 * MINUTE),
            cap: seconds(2 * HOUR),
        },
        Kind::Report => Pace {
            every: Some(seconds(15 * MINUTE)),
            least: seconds(MINUTE),
            first: seconds(15 * MINUTE),
            base: seconds(2 * MINUTE),
            cap: seconds(30 * MINUTE),
        },
        // Only when the client is another, and until that was tried.
        Kind::SelfTest => Pace {
            every: None,
            least: seconds(10 * MINUTE),
            first: seconds(20),
            base: seconds(30 * MINUTE),
            cap: seconds(24 * HOUR),
        },
        // One call after another.
        Kind::Listen => Pace {
            every: Some(seconds(1)),
            least: seconds(1),
            first: seconds(2 * MINUTE),
            base: seconds(2 * MINUTE),
            cap: seconds(15 * MINUTE),
        },
    }
}

impl Pace {
    /// How long is waited after so many failures in a row: at least the usual rest, and beyond it anything
    /// up to a bound that doubles. So boxes that failed together do not come back together.
    pub(super) fn backoff(&self, failures: u32, chance: Chance<'_>) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let most = self.base.saturating_mul(1 << doublings).min(self.cap);
        self.least + uniform(most, chance)
    }
}
