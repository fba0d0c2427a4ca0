//! How long each phase takes, without the time for which somebody was asked.

use std::time::{Duration, Instant};

use tenwords_escrow::{code::RecoveryCode, door::AgePart};
use zeroize::Zeroizing;

use crate::{
    exit::Outcome,
    language::Language,
    recover::report::Phase,
    seat::{Overview, Seat, Turn},
};

/// What is told of the time that somebody took to answer.
const ASKED: &str = "somebody answers";

/// A seat with a clock: what passes while it asks counts by itself, since it says nothing of how fast a
/// box comes back.
pub(crate) struct Timed<'a> {
    seat: &'a mut dyn Seat,
    phases: Vec<Phase>,
    since: Instant,
    asked: Duration,
}

impl<'a> Timed<'a> {
    pub(crate) fn new(seat: &'a mut dyn Seat) -> Self {
        Self { seat, phases: Vec::new(), since: Instant::now(), asked: Duration::ZERO }
    }

    /// What has run since the last call was this phase.
    pub(crate) fn lap(&mut self, name: &'static str) {
        let (elapsed, asked) = (self.since.elapsed(), std::mem::take(&mut self.asked));
        if !asked.is_zero() {
            self.phases.push(Phase { name: ASKED, milliseconds: asked.as_millis() });
        }
        self.phases.push(Phase { name, milliseconds: elapsed.saturating_sub(asked).as_millis() });
        self.since = Instant::now();
    }

    pub(crate) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    fn asking<T>(&mut self, ask: impl FnOnce(&mut dyn Seat) -> T) -> T {
        let since = Instant::now();
        let answer = ask(self.seat);
        self.asked += since.elapsed();
        answer
    }
}

impl Seat for Timed<'_> {
    fn is_taken(&mut self) -> Outcome<()> {
        self.seat.is_taken()
    }

    fn language(&self) -> Language {
        self.seat.language()
    }

    fn say(&mut self, text: &str) {
        self.seat.say(text);
    }

    fn ask(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.asking(|seat| seat.ask(prompt))
    }

    fn ask_signature(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.asking(|seat| seat.ask_signature(prompt))
    }

    fn ask_hidden(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.asking(|seat| seat.ask_hidden(prompt))
    }

    fn confirm(&mut self, question: &str) -> Outcome<bool> {
        self.asking(|seat| seat.confirm(question))
    }

    fn words(&mut self, heading: &str) -> Outcome<RecoveryCode> {
        self.asking(|seat| seat.words(heading))
    }

    fn words_again(&mut self, heading: &str, refused: RecoveryCode, roots: &[AgePart]) -> Outcome<RecoveryCode> {
        self.asking(|seat| seat.words_again(heading, refused, roots))
    }

    fn hand_over(&mut self, box_name: &str, number: u64, code: &RecoveryCode) -> Outcome<()> {
        self.asking(|seat| seat.hand_over(box_name, number, code))
    }

    fn turn(&mut self, turn: &Turn) {
        self.seat.turn(turn);
    }

    fn progress(&mut self, overview: &Overview) {
        self.seat.progress(overview);
    }

    fn progress_ends(&mut self) {
        self.seat.progress_ends();
    }
}
