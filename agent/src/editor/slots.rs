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
mod tests {
    use super::*;
    use crate::editor::keys::Keys;

    const CODE: &str = "woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt";

    /// Types these bytes as one read; tells the last step that was not `Stay`.
    fn typing(slots: &mut Slots, bytes: &[u8]) -> Step {
        let mut keys = Keys::default();
        for (index, byte) in bytes.iter().enumerate() {
            for key in keys.take(*byte).into_iter().flatten() {
                match slots.take(key, index + 1 < bytes.len()) {
                    Step::Stay => {}
                    step => return step,
                }
            }
        }
        Step::Stay
    }

    /// The same, each byte as a read of its own, as a person types.
    fn slowly(slots: &mut Slots, bytes: &[u8]) -> Step {
        let mut keys = Keys::default();
        for byte in bytes {
            for key in keys.take(*byte).into_iter().flatten() {
                match slots.take(key, false) {
                    Step::Stay => {}
                    step => return step,
                }
            }
        }
        Step::Stay
    }

    fn shown(slots: &Slots) -> String {
        let words: Vec<&str> = slots.slots().iter().map(Slot::expose_letters).collect();
        words.join(" ").trim_end().to_owned()
    }

    fn wrong(slots: &Slots) -> Vec<usize> {
        slots.wrong().filter(|place| !slots.slots()[*place].is_empty()).map(|place| place + 1).collect()
    }

    fn code(slots: &Slots) -> Option<String> {
        slots.code().map(|code| code.expose_passphrase().to_owned())
    }

    #[test]
    fn s01_every_spelling_is_taken_at_the_prompt() {
        for text in [
            CODE.to_owned(),
            CODE.to_uppercase(),
            format!("  {}  ", CODE.replace(' ', "   ")),
            CODE.replace(' ', "\t"),
            CODE.replace(' ', "\n"),
            CODE.replace(' ', "\r\n\r\n"),
            CODE.replace(' ', "\u{a0}"),
            CODE.replace(' ', ", "),
            CODE.replace(' ', ","),
            CODE.replace(' ', "-"),
            CODE.replace(['-', ' '], "\u{2011}"),
            CODE.replace('-', " "),
            CODE.replace("t-shirt", "tshirt").replace("yo-yo", "yo yo"),
            format!("\u{201c}{CODE}\u{201d}."),
            format!("• {}", CODE.replace(' ', " • ")),
            CODE.replace("giddiness", "giddi\u{ad}ness"),
            CODE.split(' ').enumerate().map(|(index, word)| format!("{}. {word}\n", index + 1)).collect(),
            CODE.split(' ').enumerate().map(|(index, word)| format!(" {}) “{word}”;", index + 1)).collect(),
            // In another order, but numbered.
            (1..=10).rev().zip(CODE.rsplit(' ')).map(|(number, word)| format!("{number}. {word}\n")).collect(),
        ] {
            for paste in [false, true] {
                let mut slots = Slots::new();
                let marked = if paste { format!("\x1b[200~{text}\x1b[201~\r") } else { format!("{text}\r") };
                let step = typing(&mut slots, marked.as_bytes());
                assert_eq!(shown(&slots), CODE, "{text:?}");
                assert_eq!(step, Step::Done, "{text:?}");
                assert_eq!(code(&slots).as_deref(), Some(CODE), "{text:?}");
            }
            let mut slots = Slots::new();
            slowly(&mut slots, text.as_bytes());
            slowly(&mut slots, b" ");
            assert_eq!(code(&slots).as_deref(), Some(CODE), "slowly {text:?}");
        }
    }

    #[test]
    fn the_shortest_letters_that_only_one_word_begins_with_are_enough() {
        let mut slots = Slots::new();
        let short: String = CODE
            .split(' ')
            .map(|word| {
                let ends = (1..=word.len()).find(|end| Begun::of(&word[..*end]).expose_word() == Some(word));
                format!("{} ", &word[..ends.unwrap_or(word.len())])
            })
            .collect();
        assert!(short.len() < CODE.len() - 10, "{short}");
        assert_eq!(slowly(&mut slots, short.as_bytes()), Step::Stay);
        assert_eq!(code(&slots).as_deref(), Some(CODE));
        assert_eq!(slowly(&mut slots, b"\r"), Step::Done);
        // Tab stays where more than one word begins so, and goes on where it is one.
        let mut slots = Slots::new();
        slowly(&mut slots, b"ab\tac\t");
        assert_eq!((shown(&slots).as_str(), slots.at()), ("abacus", 1));
    }

    #[test]
    fn s02_a_word_that_is_not_listed_is_marked_at_once_and_typing_goes_on() {
        let mut slots = Slots::new();
        slowly(&mut slots, b"woof outshne cross ");
        assert_eq!((wrong(&slots), slots.at()), (vec![2], 3));
        let Judged::Unlisted(unlisted) = slots.slots()[1].judged() else { panic!("not marked") };
        assert_eq!((unlisted.position(), unlisted.expose_nearest().collect::<Vec<_>>()), (2, vec!["outshine"]));
        // Its number, the word, Enter: the others stay as they are.
        slowly(&mut slots, b"yo-yo giddiness stunt pushing t-shirt froth bolt\r");
        assert_eq!((slots.at(), slots.note()), (1, Some(Note::Missing)));
        assert_eq!(slowly(&mut slots, b"outshine\r"), Step::Done);
        assert_eq!(code(&slots).as_deref(), Some(CODE));
    }

    #[test]
    fn s02_nine_words_are_asked_for_the_tenth_and_eleven_for_one_less() {
        let mut slots = Slots::new();
        let nine = CODE.rsplit_once(' ').map_or("", |(nine, _)| nine);
        assert_eq!(typing(&mut slots, format!("{nine}\r").as_bytes()), Step::Stay);
        assert_eq!(slots.at(), 9);
        assert_eq!(slowly(&mut slots, b"\r"), Step::Stay);
        assert_eq!(slots.note(), Some(Note::Missing));
        assert_eq!(slowly(&mut slots, b"bolt\r"), Step::Done);

        let mut slots = Slots::new();
        assert_eq!(typing(&mut slots, format!("{CODE} abacus\r").as_bytes()), Step::Stay);
        assert_eq!((slots.note(), slots.at(), slots.code().is_none()), (Some(Note::TooMany), 10, true));
        assert_eq!(slowly(&mut slots, b"\x7f\x7f\x7f\x7f\x7f\x7f\r"), Step::Done);
    }

    #[test]
    fn one_word_is_corrected_without_typing_the_others_again() {
        let typed = CODE.replace("cross", "crust");
        for keys in [
            "3\rcross\r",                                              // its number
            "\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[Across\r", // arrows from behind the last
            "\x02\x02\x02\x02\x02\x02\x02\x02cross\r",
            "\x01\x06\x06cross\r",
            "\x01\x06\x06\x7f\x7f\x7foss\r", // its end only
            "\x1bOH\x1b[B\x1b[B\x15cross\r",
        ] {
            let mut slots = Slots::new();
            slowly(&mut slots, typed.as_bytes());
            slowly(&mut slots, b" ");
            let step = slowly(&mut slots, keys.as_bytes());
            assert_eq!((step, shown(&slots)), (Step::Done, CODE.to_owned()), "{}", keys.escape_debug());
        }
    }

    #[test]
    fn backspace_goes_back_over_the_words() {
        let mut slots = Slots::new();
        slowly(&mut slots, b"woof cro");
        slowly(&mut slots, b"\x7f\x7f\x7f");
        assert_eq!((shown(&slots).as_str(), slots.at()), ("woof", 1));
        slowly(&mut slots, b"\x7f");
        assert_eq!((slots.at(), slots.is_fresh()), (0, true));
        slowly(&mut slots, b"\x7fl");
        assert_eq!(shown(&slots), "wool");
        // What was only begun is gone on with.
        let mut slots = Slots::new();
        slowly(&mut slots, b"aba ");
        let mut begun = Slots::new();
        slowly(&mut begun, b"ab \x7fac ");
        assert_eq!(shown(&begun), "abacus");
    }

    #[test]
    fn s61_another_keyboard_is_told_before_the_second_word() {
        use tenwords_escrow::keyboard::Layout;
        for (typed, layout) in [
            ("yestz ", Layout::Qwertz),
            ("yebra\r", Layout::Qwertz),
            ("t\u{df}shirt ", Layout::Qwertz),
            ("qbqcus ", Layout::Azerty),
            (";q;;ql ", Layout::Azerty),
            (",q,,ql ", Layout::Azerty),
            ("qlbu; ", Layout::Azerty),
            ("1. qbdo;en 2. ", Layout::Azerty),
            ("t6shirt ", Layout::Azerty),
        ] {
            let mut slots = Slots::new();
            slowly(&mut slots, typed.as_bytes());
            let Judged::Unlisted(unlisted) = slots.slots()[0].judged() else { panic!("{typed} was taken") };
            assert_eq!(unlisted.layout(), Some(layout), "{typed}");
            assert_eq!(slots.at(), 1, "the second word is not begun");
        }
        // The hyphen of a German keyboard is understood as one.
        let mut slots = Slots::new();
        slowly(&mut slots, b"t/shirt ");
        assert_eq!(shown(&slots), "t-shirt");
    }

    #[test]
    fn what_is_no_word_does_not_shift_the_others() {
        let mut slots = Slots::new();
        slowly(&mut slots, b"drop cross ");
        assert_eq!((shown(&slots).as_str(), slots.at()), ("drop cross", 2));
        assert_eq!(wrong(&slots), [1]);
        let mut slots = Slots::new();
        slowly(&mut slots, b"12\r0\r99999 ");
        assert_eq!((slots.note(), slots.at()), (Some(Note::NoSuchNumber(9999)), 0));
    }

    #[test]
    fn refused_words_are_tried_again_only_when_something_was_typed() {
        let refused = || RecoveryCode::parse(CODE).map(Slots::refused).ok();
        let Some(mut slots) = refused() else { panic!("ten words") };
        assert_eq!(slowly(&mut slots, b"\r"), Step::Stay);
        assert_eq!(slots.note(), Some(Note::SameAgain));
        assert_eq!(slowly(&mut slots, b"?"), Step::Search);
        assert_eq!(slowly(&mut slots, b"\x14"), Step::Search);
        // All ten typed over, and the same.
        assert_eq!(slowly(&mut slots, format!("1\r{CODE}\r").as_bytes()), Step::Done);
        // The same word again, and Enter: the next one. Another one, and Enter: that is tried.
        let Some(mut slots) = refused() else { panic!("ten words") };
        assert_eq!((slowly(&mut slots, b"woof\r"), slots.at(), slots.note()), (Step::Stay, 1, None));
        assert_eq!(slowly(&mut slots, b"outshoot\r"), Step::Done);
        let Some(mut slots) = refused() else { panic!("ten words") };
        assert_eq!(typing(&mut slots, format!("{}\r", CODE.replace("bolt", "colt")).as_bytes()), Step::Done);
        let mut slots = Slots::new();
        slowly(&mut slots, b"?");
        assert_eq!(shown(&slots), "?", "nothing to search for yet");
    }

    #[test]
    fn all_ten_can_be_typed_over_in_any_spelling() {
        let numbered = || (1..=10).zip(CODE.split(' '));
        for text in [
            CODE.to_owned(),
            CODE.replace(' ', ", "),
            CODE.replace(' ', "  "),
            CODE.replace(' ', "\t\t"),
            CODE.replace(' ', "\r\n\r\n"),
            numbered().map(|(number, word)| format!("{number}) “{word}” ,\u{a0}")).collect(),
            numbered().map(|(number, word)| format!("{number} {word}\n")).collect(),
        ] {
            for by_hand in [false, true] {
                let mut slots = Slots::with(CODE.split(' ').rev().map(Some));
                typing(&mut slots, b"1\r");
                if by_hand && !text.contains(['\t', '\n']) {
                    slowly(&mut slots, text.trim_end().as_bytes());
                    slowly(&mut slots, b" ");
                } else {
                    typing(&mut slots, format!("{text}\r").as_bytes());
                }
                assert_eq!(shown(&slots), CODE, "{text:?} by hand: {by_hand}");
            }
        }
    }

    #[test]
    fn no_keys_break_it() {
        let mut state: u32 = 1;
        for _ in 0..20 {
            let mut slots = Slots::new();
            let bytes: Vec<u8> = (0..200)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let pick = (state >> 24) as u8;
                    if pick < 160 { b"abcdeity-o .,1\r\x7f\x02\x06\x15"[usize::from(pick) % 19] } else { pick }
                })
                .filter(|byte| *byte != 3)
                .collect();
            typing(&mut slots, &bytes);
            assert!(slots.at() <= CODE_WORDS && slots.slots().len() == CODE_WORDS);
            assert!(slots.slots().iter().all(|slot| slot.expose_letters().chars().count() <= LETTERS));
            assert_eq!(slots.code().is_some(), slots.wrong().next().is_none() && slots.slots[CODE_WORDS].is_empty());
        }
    }
}
