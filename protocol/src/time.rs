//! Whole seconds in UTC, written `2026-03-03T12:00:00Z`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;
use time::{OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// A moment, in whole seconds, between the years 1970 and 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text or number is not a moment.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a time such as 2026-03-03T12:00:00Z was expected")]
pub struct TimestampError;

const WRITTEN: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
/// 9999-12-31T23:59:59Z.
const LAST: i64 = 253_402_300_799;

impl Timestamp {
    /// The machine's clock, to the second. The parts that must be right take the time as an
    /// argument; this is for the shells around them.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one look at the clock")]
    pub fn now() -> Self {
        Self(OffsetDateTime::now_utc().unix_timestamp().clamp(0, LAST))
    }

    /// Seconds since 1970.
    ///
    /// # Errors
    /// [`TimestampError`] before 1970 or after 9999.
    pub fn from_unix(seconds: i64) -> Result<Self, TimestampError> {
        if (0..=LAST).contains(&seconds) { Ok(Self(seconds)) } else { Err(TimestampError) }
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// The day (UTC) that it is of, counted from 1970.
    #[must_use]
    pub const fn day(self) -> i64 {
        self.0.div_euclid(86_400)
    }

    /// This moment and so much; the last representable one if that is later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(LAST);
        Self(self.0.saturating_add(seconds).min(LAST))
    }

    /// The time from `earlier` until this, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = OffsetDateTime::from_unix_timestamp(self.0).map_err(|_| fmt::Error)?;
        f.write_str(&moment.format(WRITTEN).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        if text.len() != 20 {
            return Err(TimestampError);
        }
        let moment = PrimitiveDateTime::parse(text, WRITTEN).map_err(|_| TimestampError)?;
        Self::from_unix(moment.assume_utc().unix_timestamp())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_written_form_is_read() {
        let good = "2026-03-03T12:00:00Z";
        assert_eq!(good.parse::<Timestamp>().map(|t| (t.unix(), t.to_string())), Ok((1_772_539_200, good.to_owned())));
        for bad in [
            "",
            "2026-03-03T12:00:00+00:00",
            "2026-03-03 12:00:00Z",
            "2026-02-30T12:00:00Z",
            "2026-03-03T24:00:00Z",
            "2026-03-03T12:00:60Z",
            "+026-03-03T12:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-03-03T12:00:0Z0",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(TimestampError), "{bad}");
        }
    }
}
