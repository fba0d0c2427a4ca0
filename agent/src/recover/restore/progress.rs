//! How far a restore is, from what workers say and when: no clock and no terminal of its own.
//!
//! Speed is what came within the last half minute, so that a pause shows and a hiccup does not. What
//! failed counts as neither done nor to be done. Bytes are as signed: of a container's files, of which
//! Proxmox VE says nothing, the kernel's count stands in while it runs.

use std::{collections::VecDeque, time::Duration};

use crate::{
    seat::{Event, Moment, Overview, Turn},
    show::harmless,
};

/// Everything that is restored.
pub(super) struct Model {
    things: Vec<Thing>,
    speed: Speed,
    turns: Vec<Turn>,
}

struct Thing {
    number: usize,
    name: String,
    of: u64,
    state: State,
}

enum State {
    Waiting,
    Running(Running),
    Back,
    Missing,
}

struct Running {
    bytes: u64,
    step: Option<String>,
    speed: Speed,
}

impl Model {
    /// Of things with their numbers, names and bytes.
    pub(super) fn new(things: impl Iterator<Item = (usize, String, u64)>) -> Self {
        let things =
            things.map(|(number, name, of)| Thing { number, name: harmless(&name, NAME), of, state: State::Waiting });
        Self { things: things.collect(), speed: Speed::new(Duration::ZERO), turns: Vec::new() }
    }

    pub(super) fn begins(&mut self, number: usize, now: Duration) {
        let Some(thing) = self.things.iter_mut().find(|thing| thing.number == number) else { return };
        thing.state = State::Running(Running { bytes: 0, step: None, speed: Speed::new(now) });
        self.turns.push(thing.turn(Event::Begun { of: thing.of }));
    }

    /// So many bytes of it are there now. It may be fewer than before: a stream is read again.
    pub(super) fn at(&mut self, number: usize, bytes: u64, step: Option<&str>, now: Duration) {
        let Some(thing) = self.things.iter_mut().find(|thing| thing.number == number) else { return };
        let State::Running(running) = &mut thing.state else { return };
        let bytes = bytes.min(thing.of);
        let more = bytes.saturating_sub(running.bytes);
        running.bytes = bytes;
        running.speed.more(more, now);
        self.speed.more(more, now);
        if running.step.as_deref() != step {
            running.step = step.map(|step| harmless(step, NAME));
        }
    }

    /// It is back, or why not. One that has ended, ends once.
    pub(super) fn ends(&mut self, number: usize, how: Result<(), &str>, now: Duration) {
        let Some(thing) = self.things.iter_mut().find(|thing| thing.number == number) else { return };
        let State::Running(running) = &thing.state else { return };
        let event = match how {
            Ok(()) => {
                // What was not told meanwhile has come all the same.
                self.speed.more(thing.of.saturating_sub(running.bytes), now);
                thing.state = State::Back;
                Event::Back { of: thing.of }
            }
            Err(why) => {
                thing.state = State::Missing;
                Event::Missing { why: harmless(why, WHY) }
            }
        };
        self.turns.push(thing.turn(event));
    }

    /// What has happened since this was asked last.
    pub(super) fn turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }

    /// How far everything is.
    pub(super) fn overview(&self, now: Duration) -> Overview {
        let (mut back, mut missing, mut bytes, mut of) = (0, 0, 0_u64, 0_u64);
        let mut running = Vec::new();
        for thing in &self.things {
            let done = match &thing.state {
                State::Waiting => 0,
                State::Running(it) => {
                    running.push(thing.moment(it, now));
                    it.bytes
                }
                State::Back => {
                    back += 1;
                    thing.of
                }
                State::Missing => {
                    missing += 1;
                    continue;
                }
            };
            bytes = bytes.saturating_add(done);
            of = of.saturating_add(thing.of);
        }
        let speed = self.speed.at(now);
        let left = left(bytes, of, speed);
        Overview { since: now, back, missing, count: self.things.len(), bytes, of, speed, left, running }
    }
}

impl Thing {
    fn turn(&self, event: Event) -> Turn {
        Turn { number: self.number, name: self.name.clone(), event }
    }

    fn moment(&self, running: &Running, now: Duration) -> Moment {
        let speed = running.speed.at(now);
        Moment {
            number: self.number,
            name: self.name.clone(),
            step: running.step.clone(),
            bytes: running.bytes,
            of: self.of,
            speed,
            left: left(running.bytes, self.of, speed),
        }
    }
}

/// How long it will go on at this speed.
fn left(bytes: u64, of: u64, speed: Option<u64>) -> Option<Duration> {
    let speed = speed.filter(|speed| *speed > 0)?;
    // Rounded up: the last second is one too.
    Some(Duration::from_secs(of.saturating_sub(bytes).div_ceil(speed)))
}

/// Bytes a second within the last half minute.
struct Speed {
    /// When, and how many bytes had come by then; the first one is as old as the window, or older.
    marks: VecDeque<(Duration, u64)>,
    moved: u64,
}

impl Speed {
    fn new(now: Duration) -> Self {
        Self { marks: VecDeque::from([(now, 0)]), moved: 0 }
    }

    fn more(&mut self, bytes: u64, now: Duration) {
        self.moved = self.moved.saturating_add(bytes);
        match self.marks.back() {
            Some((last, _)) if now.saturating_sub(*last) < STEP => {}
            _ => self.marks.push_back((now, self.moved)),
        }
        while self.marks.get(1).is_some_and(|(second, _)| now.saturating_sub(*second) >= WINDOW) {
            self.marks.pop_front();
        }
    }

    /// Nothing until there is something to judge by.
    fn at(&self, now: Duration) -> Option<u64> {
        // Nobody may have said anything for long: what is older than the window does not count.
        let from = now.saturating_sub(WINDOW);
        let old = self.marks.iter().take_while(|(when, _)| *when <= from).last();
        let (when, moved) = old.or(self.marks.front()).copied()?;
        let span = now.saturating_sub(when.max(from));
        if span < LEAST {
            return None;
        }
        let moved = u128::from(self.moved.saturating_sub(moved));
        u64::try_from(moved * 1000 / span.as_millis()).ok()
    }
}

const WINDOW: Duration = Duration::from_secs(30);
/// Marks are so far apart: thirty and a few are kept.
const STEP: Duration = Duration::from_secs(1);
/// A shorter time says nothing about speed.
const LEAST: Duration = Duration::from_secs(2);
/// Characters of a name that are shown.
const NAME: usize = 80;
/// Characters of a cause.
const WHY: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn model() -> Model {
        Model::new(
            [(1, "ct/101".to_owned(), 100 * MIB), (2, "vm/102".to_owned(), 300 * MIB), (3, "host/x a".to_owned(), 0)]
                .into_iter(),
        )
    }

    #[test]
    fn speed_and_the_time_left_are_told_of_each_thing_and_of_all() {
        let mut model = model();
        model.begins(1, seconds(0));
        model.begins(2, seconds(0));
        // Before anything can be said of its speed, nothing is.
        model.at(1, MIB, None, seconds(1));
        let early = model.overview(seconds(1));
        assert_eq!((early.speed, early.left, early.bytes, early.of), (None, None, MIB, 400 * MIB));
        for second in 1..=20 {
            model.at(1, second * MIB, Some("files"), seconds(second));
            model.at(2, second * 3 * MIB, Some("disk 0"), seconds(second));
        }
        let now = model.overview(seconds(20));
        assert_eq!((now.bytes, now.speed, now.left), (80 * MIB, Some(4 * MIB), Some(seconds(80))));
        let [one, two] = &now.running[..] else { panic!("{:?}", now.running) };
        assert_eq!((one.speed, one.left, one.step.as_deref()), (Some(MIB), Some(seconds(80)), Some("files")));
        assert_eq!((two.speed, two.left, two.step.as_deref()), (Some(3 * MIB), Some(seconds(80)), Some("disk 0")));
    }

    #[test]
    fn a_pause_shows_and_what_is_older_than_half_a_minute_does_not_count() {
        let mut model = model();
        model.begins(2, seconds(0));
        for second in 1..=10 {
            model.at(2, second * 10 * MIB, None, seconds(second));
        }
        assert_eq!(model.overview(seconds(10)).speed, Some(10 * MIB));
        // Somebody looks and nothing comes.
        assert_eq!(model.overview(seconds(20)).speed, Some(5 * MIB));
        assert_eq!(model.overview(seconds(40)).speed, Some(0));
        assert_eq!(model.overview(seconds(40)).left, None);
        // It goes on, slower.
        for second in 41..=80 {
            model.at(2, 100 * MIB + (second - 40) * MIB, None, seconds(second));
        }
        assert_eq!(model.overview(seconds(80)).speed, Some(MIB));
        assert!(model.speed.marks.len() < 40, "{}", model.speed.marks.len());
    }

    #[test]
    fn what_failed_is_neither_done_nor_to_be_done() {
        let mut model = model();
        model.begins(1, seconds(0));
        model.begins(2, seconds(0));
        model.at(1, 50 * MIB, None, seconds(5));
        model.at(2, 30 * MIB, None, seconds(5));
        model.ends(1, Err("the disk is full"), seconds(6));
        let now = model.overview(seconds(6));
        assert_eq!((now.back, now.missing, now.bytes, now.of), (0, 1, 30 * MIB, 300 * MIB));
        model.ends(2, Ok(()), seconds(10));
        model.begins(3, seconds(10));
        model.ends(3, Ok(()), seconds(10));
        let now = model.overview(seconds(10));
        assert_eq!((now.back, now.missing, now.count), (2, 1, 3));
        assert_eq!((now.bytes, now.of), (300 * MIB, 300 * MIB));
        // What came without being told has come: 50 + 300 in ten seconds.
        assert_eq!(now.speed, Some(35 * MIB));
        assert!(now.running.is_empty());
    }

    #[test]
    fn a_stream_that_is_read_again_and_one_with_more_than_was_signed_stay_within_bounds() {
        let mut model = model();
        model.begins(1, seconds(0));
        for (second, bytes) in [(5, 80), (10, 0), (15, 80), (20, 900)] {
            model.at(1, bytes * MIB, None, seconds(second));
            let now = model.overview(seconds(second));
            assert!(now.bytes <= now.of, "{} of {}", now.bytes, now.of);
        }
        assert_eq!(model.overview(seconds(20)).running[0].bytes, 100 * MIB);
        assert_eq!(model.overview(seconds(20)).left, Some(seconds(34)));
        // One of which nothing is known, one that has not begun, and one that has ended, say nothing.
        model.ends(1, Ok(()), seconds(20));
        for number in [1, 2, 9] {
            model.at(number, MIB, Some("x"), seconds(21));
            model.ends(number, Err("too late"), seconds(21));
        }
        let now = model.overview(seconds(21));
        assert_eq!((now.back, now.missing), (1, 0));
        assert_eq!(model.turns().len(), 2);
        assert!(model.turns().is_empty());
    }

    #[test]
    fn s71_names_and_causes_from_elsewhere_are_harmless_and_bounded() {
        let noise = "\u{1b}[2J\u{202e}x".repeat(1000);
        let mut model = Model::new([(1, noise.clone(), 1)].into_iter());
        model.begins(1, seconds(0));
        model.at(1, 1, Some(&noise), seconds(1));
        let now = model.overview(seconds(1));
        model.ends(1, Err(&noise), seconds(2));
        let mut texts = vec![now.running[0].name.clone(), now.running[0].step.clone().unwrap_or_default()];
        for turn in model.turns() {
            texts.push(turn.name.clone());
            if let Event::Missing { why } = turn.event {
                texts.push(why);
            }
        }
        assert_eq!(texts.len(), 5);
        assert!(texts.iter().all(|text| text.chars().count() <= WHY + 1 && !text.contains(['\u{1b}', '\u{202e}'])));
    }
}
