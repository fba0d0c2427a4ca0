//! How long a backup job's schedule leaves between two runs, at the longest.
//!
//! PVE's schedules are calendar events (proxmox-time `calendar_event.rs`, PVE's and PBS's documentation):
//! `[WEEKDAYS] [[YEARS-]MONTHS-DAYS] [[HOURS:]MINUTES[:SECONDS]]`, or one of a few names, with `UTC` behind it or
//! not. Before PVE 7.1 a job stood in `vzdump.cron`, by the five fields of a crontab. What is not understood has no
//! gap: a guess would call a guest fresh whose backup is late.
//!
//! A gap is counted in days of 24 hours. Where clocks are set forward or back it is an hour shorter or longer.

use std::time::Duration;

/// The longest time between two runs; `None` where the schedule is not understood, or ends.
#[must_use]
pub fn longest_gap(schedule: &str) -> Option<Duration> {
    if schedule.len() > MAX_TEXT {
        return None;
    }
    let words: Vec<&str> = schedule.split_ascii_whitespace().collect();
    let runs = match words[..] {
        [minute, hour, day, month, weekday] => of_crontab(minute, hour, day, month, weekday)?,
        _ => of_calendar_event(&words)?,
    };
    runs.longest_gap()
}

/// The numbers that a field allows, below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

/// When it runs: every second whose parts are all allowed.
#[derive(Debug, Clone, Copy)]
struct Runs {
    /// From Sunday.
    weekdays: Set,
    months: Set,
    days: Set,
    hours: Set,
    minutes: Set,
    seconds: Set,
}

impl Set {
    fn of(low: u32, end: u32) -> Self {
        Self((low..end).fold(0, |set, number| set | 1 << number))
    }

    fn has(self, number: u32) -> bool {
        self.0 & 1 << number != 0
    }

    fn joined(sets: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        sets.into_iter().try_fold(Self(0), |all, set| Some(Self(all.0 | set?.0)))
    }

    fn numbers(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |number| self.has(*number))
    }
}

impl Runs {
    const EVER: Self = Self {
        weekdays: Set(0x7f),
        months: Set(0x1ffe),
        days: Set(0xffff_fffe),
        hours: Set(0xff_ffff),
        minutes: Set(0xfff_ffff_ffff_ffff),
        seconds: Set(1),
    };

    fn longest_gap(self) -> Option<Duration> {
        let seconds_of_day = self.hours.numbers().flat_map(|hour| {
            self.minutes.numbers().flat_map(move |minute| {
                self.seconds.numbers().map(move |second| u64::from((hour * 60 + minute) * 60 + second))
            })
        });
        let times: Vec<u64> = seconds_of_day.collect();
        let (first, last) = (*times.first()?, *times.last()?);
        let within = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        // In 28 years every date has met every weekday; then it begins again.
        let days: Vec<u64> = self.matching_days().collect();
        let begins_again = days.first().map(|day| day + CYCLE_DAYS);
        let between =
            days.iter().zip(days.iter().skip(1).chain(begins_again.iter())).map(|(day, next)| next - day).max()?;
        Some(Duration::from_secs(within.max(between * 86_400 + first - last)))
    }

    /// By their number, over a whole cycle.
    fn matching_days(self) -> impl Iterator<Item = u64> {
        let dates = (0..CYCLE_YEARS).flat_map(|year| {
            (1..=12_u32).flat_map(move |month| (1..=length_of(month, year)).map(move |day| (month, day)))
        });
        // The cycle begins with a Monday, in the year after a leap year.
        (0_u64..)
            .zip(dates)
            .filter(move |(number, (month, day))| {
                let weekday = u32::try_from((number + 1) % 7).unwrap_or_default();
                self.months.has(*month) && self.days.has(*day) && self.weekdays.has(weekday)
            })
            .map(|(number, _)| number)
    }
}

const fn length_of(month: u32, year: u64) -> u32 {
    match month {
        2 if year % 4 == 3 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `mon..fri 22:30`, `*/15`, `*-1..7 02:00`, `daily`.
fn of_calendar_event(words: &[&str]) -> Option<Runs> {
    let words = match words {
        [rest @ .., "UTC"] => rest,
        words => words,
    };
    if let [name] = words
        && let Some(runs) = named(name)
    {
        return Some(runs);
    }
    let (weekdays, words) = match words.split_first() {
        Some((word, rest)) if word.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            (Some(Set::joined(word.split(',').map(weekdays))?), rest)
        }
        _ => (None, words),
    };
    let (date, words) = match words.split_first() {
        Some((word, rest)) if word.contains('-') => (Some(*word), rest),
        _ => (None, words),
    };
    let (months, days) = match date {
        Some(date) => of_date(date)?,
        None => (Runs::EVER.months, Runs::EVER.days),
    };
    let (hours, minutes, seconds) = match words {
        // Only a weekday or a date: at midnight.
        [] if date.is_some() || weekdays.is_some() => (Set(1), Set(1), Set(1)),
        [time] => of_time(time)?,
        _ => return None,
    };
    let weekdays = weekdays.unwrap_or(Runs::EVER.weekdays);
    Some(Runs { weekdays, months, days, hours, minutes, seconds })
}

fn named(name: &str) -> Option<Runs> {
    let midnight = Runs { hours: Set(1), minutes: Set(1), ..Runs::EVER };
    let months = |months: &[u32]| Set(months.iter().fold(0, |set, month| set | 1 << month));
    let first = Runs { days: Set(1 << 1), ..midnight };
    Some(match name {
        "minutely" => Runs::EVER,
        "hourly" => Runs { minutes: Set(1), ..Runs::EVER },
        "daily" => midnight,
        "weekly" => Runs { weekdays: Set(1 << 1), ..midnight },
        "monthly" => first,
        "quarterly" => Runs { months: months(&[1, 4, 7, 10]), ..first },
        "semiannually" | "semi-annually" => Runs { months: months(&[1, 7]), ..first },
        "yearly" | "annually" => Runs { months: months(&[1]), ..first },
        _ => return None,
    })
}

/// One weekday, or a range that ends after it begins (a week ends with Sunday).
fn weekdays(word: &str) -> Option<Set> {
    match word.split_once("..") {
        None => weekday(word).map(|day| Set::of(day, day + 1)),
        Some((from, to)) => {
            // Counted from Monday, as PVE orders them.
            let from_monday = |name| weekday(name).map(|day| (day + 6) % 7);
            let (from, to) = (from_monday(from)?, from_monday(to)?);
            (from <= to).then(|| Set::joined((from..=to).map(|day| Some(Set(1 << ((day + 1) % 7))))))?
        }
    }
}

/// From Sunday; whole names and the first three letters, in any case.
fn weekday(name: &str) -> Option<u32> {
    const NAMES: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let name = name.to_ascii_lowercase();
    (0..).zip(NAMES).find(|(_, whole)| *whole == name || whole[..3] == name).map(|(number, _)| number)
}

/// `YEARS-MONTHS-DAYS` or `MONTHS-DAYS`. Years that are named come to an end.
fn of_date(word: &str) -> Option<(Set, Set)> {
    let parts: Vec<&str> = word.split('-').collect();
    let (months, days) = match parts[..] {
        ["*", months, days] | [months, days] => (months, days),
        _ => return None,
    };
    Some((field(months, 1, 13, "..")?, field(days, 1, 32, "..")?))
}

/// `HOURS:MINUTES:SECONDS`, `HOURS:MINUTES`, or `MINUTES` of every hour.
fn of_time(word: &str) -> Option<(Set, Set, Set)> {
    let parts: Vec<&str> = word.split(':').collect();
    let minute_or_second = |text| field(text, 0, 60, "..");
    match parts[..] {
        [minutes] => Some((Runs::EVER.hours, minute_or_second(minutes)?, Set(1))),
        [hours, minutes] => Some((field(hours, 0, 24, "..")?, minute_or_second(minutes)?, Set(1))),
        [hours, minutes, seconds] => {
            Some((field(hours, 0, 24, "..")?, minute_or_second(minutes)?, minute_or_second(seconds)?))
        }
        _ => None,
    }
}

/// `*`, or numbers of `low..end`, ranges and repetitions between commas.
fn field(text: &str, low: u32, end: u32, range: &str) -> Option<Set> {
    Set::joined(text.split(',').map(|part| {
        let (part, step) = match part.split_once('/') {
            Some((part, step)) => (part, Some(number(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match (part.split_once(range), step) {
            _ if part == "*" => (low, end - 1),
            (Some((from, to)), _) => (number(from)?, number(to)?),
            // From there on, every so many.
            (None, Some(_)) => (number(part)?, end - 1),
            (None, None) => (number(part)?, number(part)?),
        };
        let is_fine = low <= from && from <= to && to < end;
        let numbers = (from..=to).step_by(step.unwrap_or(1) as usize);
        is_fine.then(|| Set(numbers.fold(0, |set, number| set | 1 << number)))
    }))
}

fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// crontab(5), as PVE wrote it. A day of the month *or* a weekday is no rule that PVE ever wrote.
fn of_crontab(minute: &str, hour: &str, day: &str, month: &str, weekday_field: &str) -> Option<Runs> {
    let weekdays = match weekday_field {
        "*" => Runs::EVER.weekdays,
        _ if day != "*" => return None,
        names if names.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Set::joined(names.split(',').map(|name| weekday(name).map(|day| Set(1 << day))))?
        }
        numbers => {
            let Set(set) = field(numbers, 0, 8, "-")?;
            // Sunday is 0 and 7.
            Set((set | set >> 7) & 0x7f)
        }
    };
    Some(Runs {
        weekdays,
        months: field(month, 1, 13, "-")?,
        days: field(day, 1, 32, "-")?,
        hours: field(hour, 0, 24, "-")?,
        minutes: field(minute, 0, 60, "-")?,
        seconds: Set(1),
    })
}

const CYCLE_YEARS: u64 = 28;
const CYCLE_DAYS: u64 = 28 * 365 + 7;
/// No schedule that somebody means is longer.
const MAX_TEXT: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    fn gap(schedule: &str) -> Option<u64> {
        longest_gap(schedule).map(|gap| gap.as_secs())
    }

    #[test]
    fn the_examples_of_the_documentation_have_their_gaps() {
        for (schedule, expected) in [
            // Proxmox VE Administration Guide, "Schedule Format".
            ("mon,tue,wed,thu,fri", 3 * DAY),
            ("mon..fri", 3 * DAY),
            ("mon,tue,sun", 5 * DAY),
            ("mon,tue,wed,thu,fri,sat,sun", DAY),
            ("mon..sun", DAY),
            ("mon..wed,fri 22:00", 3 * DAY),
            ("12:05", DAY),
            ("0:00", DAY),
            ("*/15", 15 * MINUTE),
            ("*:00/15", 15 * MINUTE),
            ("mon..fri 8..17,22:0/15", 2 * DAY + 9 * HOUR + 15 * MINUTE),
            ("fri 12..13:5/20", 7 * DAY - HOUR - 40 * MINUTE),
            ("12,14,16,18,20,22:5", 14 * HOUR),
            ("*", MINUTE),
            ("sat *-1..7 15:00", 35 * DAY),
            // PBS, "Calendar Events".
            ("minutely", MINUTE),
            ("hourly", HOUR),
            ("daily", DAY),
            ("weekly", 7 * DAY),
            ("monthly", 31 * DAY),
            ("quarterly", 92 * DAY),
            ("semiannually", 184 * DAY),
            ("yearly", 366 * DAY),
            ("*-*-* 22:00:00", DAY),
            ("*-*-* *:*:00", MINUTE),
            ("01..03:00", 22 * HOUR),
            ("*:05/10", 10 * MINUTE),
            // What the issue names.
            ("21:00", DAY),
            ("mon..fri 22:30", 3 * DAY),
            ("sat 03:00", 7 * DAY),
            ("*-1..7 02:00", 25 * DAY),
            ("Mon..Fri 22:30 UTC", 3 * DAY),
            ("02-29", 1461 * DAY),
            // vzdump.cron, as PVE 6 wrote it.
            ("0 21 * * *", DAY),
            ("30 22 * * mon,tue,wed,thu,fri", 3 * DAY),
            ("0 3 * * 6", 7 * DAY),
            ("0 3 * * 7", 7 * DAY),
            ("0 3 1 * *", 31 * DAY),
            ("*/30 * * * *", 30 * MINUTE),
        ] {
            assert_eq!(gap(schedule), Some(expected), "{schedule}");
        }
    }

    #[test]
    fn what_is_not_understood_has_no_gap() {
        for schedule in [
            "",
            " ",
            "UTC",
            "sometimes",
            "24:00",
            "12:60",
            "12:00:60",
            "12:00:00:00",
            "mon..fri 22:30 extra",
            "fri..mon 22:00",
            "mon 22:00 tue",
            "*/0",
            "*/",
            "/5",
            "5..3",
            "-1:00",
            "1-1-1-1",
            "2026-01-01 12:00",
            "02-30",
            "13-01",
            "*-0 02:00",
            "99999999999999999999:00",
            "0 21 1 * mon",
            "0 21 * * mon-fri-sat",
            "@daily",
            "0 25 * * *",
            "\u{662}:00",
        ] {
            assert_eq!(gap(schedule), None, "{schedule}");
        }
        assert_eq!(gap(&"1,".repeat(1000)), None);
    }

    proptest! {
        #[test]
        fn nothing_that_somebody_writes_breaks_it(text in "\\PC{0,40}") {
            let _whatever = longest_gap(&text);
        }

        /// Every minute of a week, one after another, by the rule itself.
        #[test]
        fn the_longest_gap_is_the_one_that_counting_finds(
            weekdays in 1_u64..0x80, hours in 1_u64..0x100_0000, minutes in 1_u64..(1 << 60),
        ) {
            let runs = Runs { weekdays: Set(weekdays), hours: Set(hours), minutes: Set(minutes), ..Runs::EVER };
            let at = |minute: u32| {
                runs.weekdays.has(minute / 1440 % 7) && runs.hours.has(minute / 60 % 24) && runs.minutes.has(minute % 60)
            };
            let times: Vec<u32> = (0..2 * 7 * 1440).filter(|minute| at(*minute)).collect();
            let counted = times.windows(2).map(|pair| pair[1] - pair[0]).max();
            prop_assert_eq!(runs.longest_gap().map(|gap| gap.as_secs() / 60), counted.map(u64::from));
        }
    }
}
