//! The ten words while they are typed: keys in, state out. No I/O, no sentence, no screen.
//!
//! A blank, a comma, Enter or Tab ends a word; the letters that only one word begins with are that
//! word. Typing goes on after a wrong word, which stays marked: a pasted or blindly typed line must
//! not run into it. Nothing is derived from words that are not ten listed ones.

use tenwords_escrow::{
    begun::{Begun, Stroke},
    code::{CODE_WORDS, RecoveryCode, Unlisted},
};
use zeroize::{Zeroize as _, Zeroizing};

use super::keys::Key;

/// The most letters of one word that are kept; the longest listed word has nine.
const LETTERS: usize = 24;

/// The ten words, and what is too much.
pub(crate) struct Slots {
    slots: [Slot; CODE_WORDS + 1],
    at: usize,
    /// The cursor has come to a word that is done: a letter begins it anew.
    fresh: bool,
    /// The hyphen at the end was typed as a blank, and may have been one.
    soft_hyphen: bool,
    number: Option<u32>,
    /// What was typed since the last blank, marks included: under another keyboard's layout those
    /// are letters.
    keys: Letters,
    note: Option<Note>,
    refused: Option<RecoveryCode>,
    /// Which words were typed since.
    typed: [bool; CODE_WORDS],
}

/// One word.
pub(crate) struct Slot {
    letters: Letters,
    judged: Judged,
}

/// What is known of a word.
pub(crate) enum Judged {
    /// It is being typed, or empty.
    Open,
    /// It is a listed word.
    Listed,
    /// So many words begin with it.
    Unfinished(usize),
    /// It is none.
    Unlisted(Unlisted),
}

/// What is to be said besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Note {
    HowToGiveUp,
    Missing,
    NoSuchNumber(u32),
    SameAgain,
    TooMany,
}

/// What a key leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Done,
    GiveUp,
    Redraw,
    Search,
    Stay,
}

/// Letters in a buffer that never moves.
pub(crate) struct Letters(Zeroizing<String>);

impl Slots {
    /// Ten empty places.
    pub(crate) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| Slot { letters: Letters::new(), judged: Judged::Open }),
            at: 0,
            fresh: false,
            soft_hyphen: false,
            number: None,
            keys: Letters::new(),
            note: None,
            refused: None,
            typed: [false; CODE_WORDS],
        }
    }

    /// With these words in their places, those without one left empty.
    pub(crate) fn with<'a>(words: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut slots = Self::new();
        for (slot, word) in slots.slots.iter_mut().zip(words).take(CODE_WORDS) {
            if let Some(word) = word {
                slot.fill(word);
            }
        }
        let at = slots.wrong().next().unwrap_or(0);
        slots.go(at);
        slots
    }

    /// With the words that have just been refused.
    pub(crate) fn refused(code: RecoveryCode) -> Self {
        let mut slots = Self::with(code.expose_words().map(Some));
        slots.refused = Some(code);
        slots
    }

    /// Takes a key; `more` if others wait behind it, as when a text is pasted.
    pub(crate) fn take(&mut self, key: Key, more: bool) -> Step {
        self.note = None;
        match key {
            Key::Char('?') if self.refused.is_some() => return self.search(),
            Key::Char(c) => self.stroke(Stroke::of(c)),
            Key::Enter => return self.enter(more),
            Key::Tab if more => self.blank(),
            Key::Tab => self.complete(),
            Key::Backspace => self.backspace(),
            Key::Empty | Key::Delete => self.empty(),
            Key::Previous => self.step_to(self.at.saturating_sub(1)),
            Key::Next => self.step_to((self.at + 1).min(CODE_WORDS - 1)),
            Key::First => self.step_to(0),
            Key::Last => {
                let place = self.wrong().next().unwrap_or(CODE_WORDS - 1);
                self.step_to(place);
            }
            Key::Search => return self.search(),
            Key::Redraw => return Step::Redraw,
            Key::GiveUp => return Step::GiveUp,
            Key::EndOfInput if self.slots.iter().all(Slot::is_empty) => return Step::GiveUp,
            Key::EndOfInput => self.note = Some(Note::HowToGiveUp),
        }
        Step::Stay
    }

    /// The words in their places.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots[..CODE_WORDS]
    }

    /// Where the next letter goes; [`CODE_WORDS`] is behind the last.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The word at the cursor, or what stands behind the last.
    pub(crate) fn current(&self) -> &Slot {
        &self.slots[self.at]
    }

    /// Whether a letter begins the word at the cursor anew.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The number that is being typed.
    pub(crate) fn number(&self) -> Option<u32> {
        self.number
    }

    /// What is to be said.
    pub(crate) fn note(&self) -> Option<Note> {
        self.note
    }

    /// Whether the search can be asked for.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// The words that are no listed ones, missing ones included.
    pub(crate) fn wrong(&self) -> impl Iterator<Item = usize> + '_ {
        let wrong = |place: &usize| !matches!(self.slots[*place].judged, Judged::Listed);
        (0..CODE_WORDS).filter(wrong)
    }

    /// The code, if these are ten listed words.
    pub(crate) fn code(&self) -> Option<RecoveryCode> {
        if self.wrong().next().is_some() || !self.slots[CODE_WORDS].is_empty() {
            return None;
        }
        let mut text = Zeroizing::new(String::with_capacity(CODE_WORDS * (LETTERS * 4 + 1)));
        for slot in self.slots() {
            text.push_str(slot.expose_letters());
            text.push(' ');
        }
        RecoveryCode::parse(&text).ok()
    }

    fn stroke(&mut self, stroke: Stroke) {
        match stroke {
            Stroke::Letter(c) => self.letter(c),
            Stroke::Digit(digit) if self.fresh || self.current().is_empty() => self.digit(digit),
            Stroke::Digit(digit) => self.letter(char::from_digit(digit, 10).unwrap_or('0')),
            Stroke::Blank => self.blank(),
            Stroke::Hyphen => self.mark('-'),
            Stroke::Mark(c) => self.mark(c),
            Stroke::Invisible => {}
        }
    }

    fn letter(&mut self, c: char) {
        self.jump();
        if self.fresh {
            self.clear();
        }
        if self.soft_hyphen {
            self.soft_hyphen = false;
            let slot = &mut self.slots[self.at];
            slot.letters.push(c);
            let goes_on = !Begun::of(slot.expose_letters()).is_impossible();
            slot.letters.pop();
            if !goes_on {
                // The blank was one: what stood before it is a word of its own.
                slot.letters.pop();
                self.close();
                self.go(self.at + 1);
            }
        }
        self.keys.push(c);
        if let Some(typed) = self.typed.get_mut(self.at) {
            *typed = true;
        }
        let slot = &mut self.slots[self.at];
        slot.judged = Judged::Open;
        slot.letters.push(c);
    }

    fn digit(&mut self, digit: u32) {
        self.number = Some(self.number.unwrap_or(0).saturating_mul(10).saturating_add(digit).min(9999));
    }

    fn blank(&mut self) {
        let hyphen = !self.fresh && Begun::takes_hyphen(self.current().expose_letters());
        if hyphen {
            self.slots[self.at].letters.push('-');
            self.soft_hyphen = true;
            return;
        }
        // At a word that is done, a blank is the second of two.
        let is_typed = !self.fresh && !self.current().is_empty();
        if !self.jump() && is_typed && self.at < CODE_WORDS {
            self.close();
            self.go(self.at + 1);
        }
        self.keys.clear();
    }

    /// A comma, a hyphen, a bracket: ends a word that is one, and is a part of what is none yet.
    fn mark(&mut self, c: char) {
        if self.jump() {
            return;
        }
        if !self.fresh && !self.current().is_empty() {
            let letters = self.current().expose_letters();
            let is_word = Begun::of(letters).expose_word().is_some();
            let joins = c == '-' && Begun::takes_hyphen(letters);
            if is_word && !joins && self.at < CODE_WORDS {
                self.close();
                self.go(self.at + 1);
            } else {
                self.slots[self.at].letters.push(c);
            }
        }
        self.keys.push(c);
    }

    /// Ends the word if it can only be one.
    fn complete(&mut self) {
        if self.jump() || self.at == CODE_WORDS {
            return;
        }
        if self.fresh || Begun::of(self.current().expose_letters()).expose_word().is_some() {
            self.close();
            self.go(self.at + 1);
        }
    }

    fn enter(&mut self, more: bool) -> Step {
        if self.jump() {
            return Step::Stay;
        }
        let typed = !self.fresh && !self.current().is_empty();
        self.close();
        self.keys.clear();
        if more {
            // A line of a text that is pasted.
            if typed && self.at < CODE_WORDS {
                self.go(self.at + 1);
            }
            return Step::Stay;
        }
        if let Some(code) = self.code() {
            let is_same = self.refused.as_ref().is_some_and(|refused| refused.is_same_as(&code));
            // All ten typed again, and the same: that is what the sheet says, and is tried.
            if is_same && self.typed.contains(&false) {
                if typed {
                    self.go(self.at + 1);
                } else {
                    self.note = Some(Note::SameAgain);
                }
                return Step::Stay;
            }
            return Step::Done;
        }
        if !self.slots[CODE_WORDS].is_empty() {
            self.note = Some(Note::TooMany);
            self.go(CODE_WORDS);
            return Step::Stay;
        }
        let after = self.wrong().find(|place| *place > self.at);
        let next = after.or_else(|| self.wrong().next()).unwrap_or(0);
        // In the middle, the next one is no surprise; from the end, say why it goes back.
        if !typed || next <= self.at {
            self.note = Some(Note::Missing);
        }
        self.go(if typed { next } else { self.wrong().next().unwrap_or(0) });
        Step::Stay
    }

    fn search(&mut self) -> Step {
        self.close();
        match self.code() {
            Some(_) if self.refused.is_some() => Step::Search,
            Some(_) => Step::Stay,
            None => {
                self.note = Some(Note::Missing);
                Step::Stay
            }
        }
    }

    fn backspace(&mut self) {
        self.keys.clear();
        self.soft_hyphen = false;
        if let Some(number) = self.number {
            self.number = if number < 10 { None } else { Some(number / 10) };
        } else if self.current().is_empty() {
            if self.at > 0 {
                self.go(self.at - 1);
            }
        } else {
            self.fresh = false;
            let slot = &mut self.slots[self.at];
            slot.judged = Judged::Open;
            slot.letters.pop();
        }
    }

    fn empty(&mut self) {
        self.number = None;
        self.keys.clear();
        self.clear();
    }

    fn clear(&mut self) {
        self.fresh = false;
        self.soft_hyphen = false;
        let slot = &mut self.slots[self.at];
        slot.letters.clear();
        slot.judged = Judged::Open;
    }

    /// Leaves the word for another one by a key of its own.
    fn step_to(&mut self, place: usize) {
        self.number = None;
        self.close();
        self.go(place);
    }

    /// Goes where the number leads, if one was typed.
    fn jump(&mut self) -> bool {
        let Some(number) = self.number.take() else { return false };
        match usize::try_from(number) {
            Ok(position) if (1..=CODE_WORDS).contains(&position) => self.go(position - 1),
            _ => self.note = Some(Note::NoSuchNumber(number)),
        }
        true
    }

    /// Moves the cursor.
    fn go(&mut self, place: usize) {
        self.at = place.min(CODE_WORDS);
        self.soft_hyphen = false;
        self.fresh = self.at < CODE_WORDS && matches!(self.slots[self.at].judged, Judged::Listed | Judged::Unlisted(_));
    }

    /// Judges the word at the cursor, if it was being typed.
    fn close(&mut self) {
        let position = self.at + 1;
        let slot = &mut self.slots[self.at];
        if self.fresh || slot.is_empty() || position > CODE_WORDS {
            return;
        }
        self.soft_hyphen = false;
        let begun = Begun::of(slot.expose_letters());
        match begun.expose_word() {
            Some(word) => slot.fill(word),
            None if begun.is_impossible() => {
                let letters = slot.letters.0.trim_end_matches(|c| !matches!(Stroke::of(c), Stroke::Letter(_)));
                slot.judged = Judged::Unlisted(Unlisted::of(position, letters, &self.keys.0));
            }
            None => slot.judged = Judged::Unfinished(begun.count()),
        }
    }
}

impl Slot {
    pub(crate) fn is_empty(&self) -> bool {
        self.letters.0.is_empty()
    }

    pub(crate) fn judged(&self) -> &Judged {
        &self.judged
    }

    /// What stands there.
    pub(crate) fn expose_letters(&self) -> &str {
        &self.letters.0
    }

    fn fill(&mut self, word: &str) {
        self.letters.clear();
        word.chars().for_each(|c| self.letters.push(c));
        self.judged = Judged::Listed;
    }
}

impl Letters {
    fn new() -> Self {
        Self(Zeroizing::new(String::with_capacity(LETTERS * 4)))
    }

    /// A full buffer takes no more: it must not move, or a copy would be left behind.
    fn push(&mut self, c: char) {
        if self.0.chars().count() < LETTERS {
            self.0.push(c);
        }
    }

    fn pop(&mut self) {
        self.0.pop();
    }

    fn clear(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests;
