//! Sizes, times and speeds as the client writes them for people.

use std::time::Duration;

use time::{OffsetDateTime, UtcOffset};

/// A size with a binary unit and at most three decimals: `13.353 MiB`, `4.77 MiB`, `1 GiB`, `0 B`.
pub(crate) fn bytes(size: f64) -> String {
    let mut size = size;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    let mut number = format!("{size:.3}");
    while number.ends_with('0') {
        number.pop();
    }
    if number.ends_with('.') {
        number.pop();
    }
    format!("{number} {unit}")
}

/// A speed: `197.683 MiB/s`.
pub(crate) fn speed(size: u64, duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let per_second = if seconds > 0.0 { size as f64 / seconds } else { 0.0 };
    format!("{}/s", bytes(per_second))
}

/// Local time as C's `%c` writes it: `Sat Nov 21 00:22:52 2026`.
pub(crate) fn local_time(unix: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let offset = UtcOffset::local_offset_at(moment).unwrap_or(UtcOffset::UTC);
    let moment = moment.to_offset(offset);
    let (weekday, month) = (moment.weekday().to_string(), moment.month().to_string());
    let (hour, minute, second) = moment.to_hms();
    let (day, year) = (moment.day(), moment.year());
    format!("{} {} {day:>2} {hour:02}:{minute:02}:{second:02} {year}", &weekday[..3], &month[..3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_look_as_recorded() {
        for (size, text) in [
            (0.0, "0 B"),
            (177.0, "177 B"),
            (36050.0, "35.205 KiB"),
            (14_001_540.0, "13.353 MiB"),
            (20_000_000.0, "19.073 MiB"),
            (34_002_392.0, "32.427 MiB"),
            (1_074_102_984.0, "1 GiB"),
            (264_241_152.0, "252 MiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(speed(14_001_540, Duration::from_millis(67)), "199.297 MiB/s");
        assert_eq!(speed(0, Duration::ZERO), "0 B/s");
    }
}
