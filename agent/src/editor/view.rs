//! The ten words being typed, as a screen of any size shows them. Nothing needs a colour.

use tenwords_escrow::{begun::Begun, code::CODE_WORDS, slip::MAX_SUSPECTS};

use super::{
    keys::Key,
    page::{Frame, Line, OneLine, Page, Size, wrapped},
    slots::{Judged, Note, Slot, Slots, Step},
};
use crate::language::{Charset, Sentences};

/// From this width on, the words stand in two columns.
const TWO_COLUMNS: usize = 38;
/// The most columns that half of them takes.
const HALF: usize = 30;

/// The entry of ten words.
pub(crate) struct Entry<'a> {
    pub(crate) slots: Slots,
    pub(crate) heading: &'a str,
    /// Reached over ssh.
    pub(crate) is_remote: bool,
    pub(crate) sentences: &'static Sentences,
    pub(crate) charset: Charset,
}

impl Page for Entry<'_> {
    fn frame(&self, size: Size) -> Frame {
        // The last column stays empty: writing there moves some terminals to the next line.
        let columns = size.columns.saturating_sub(1).max(1);
        let text = |text: &str| wrapped(&[&self.charset.fit(text)], columns);
        let empty = || vec![Line::new(1)];
        let heading = self.heading.lines().flat_map(text).collect();
        let mut help = Vec::new();
        if self.is_remote {
            help.extend(text(self.sentences.remote));
        }
        help.extend(text(self.sentences.typing));
        help.extend(text(self.sentences.moving));
        let (prompt, cursor) = self.prompt(columns);
        let blocks = vec![
            (3, heading),
            (4, help),
            (6, empty()),
            (1, self.grid(columns)),
            (5, empty()),
            (0, vec![prompt]),
            (5, empty()),
            (2, self.notes(columns, true)),
        ];
        Frame::of(blocks, (5, 0, cursor), size)
    }

    fn one_line(&self, columns: usize) -> OneLine {
        let columns = columns.saturating_sub(1).max(1);
        let mut said: Vec<String> = self.heading.lines().map(str::to_owned).collect();
        if self.is_remote {
            said.push(self.sentences.remote.to_owned());
        }
        said.extend([self.sentences.typing.to_owned(), self.sentences.moving.to_owned()]);
        for line in self.notes(columns * 16, false) {
            said.push(line.expose_text().to_owned());
        }
        let (mut line, cursor) = self.prompt(columns);
        // What is near a wrong word goes where it is wiped.
        if let Judged::Unlisted(unlisted) = self.slots.current().judged()
            && unlisted.expose_nearest().len() > 0
        {
            for (index, word) in unlisted.expose_nearest().enumerate() {
                line.push(if index == 0 { "  (" } else { " " });
                line.push(word);
                line.push("?");
            }
            line.push(")");
        }
        OneLine { said, line, cursor }
    }

    fn take(&mut self, key: Key, more: bool) -> Step {
        self.slots.take(key, more)
    }
}

impl Entry<'_> {
    /// The line with the cursor: what is typed, and in brackets what it would become.
    fn prompt(&self, columns: usize) -> (Line, usize) {
        let mut line = Line::new(columns);
        line.push(&self.charset.fit(self.sentences.prompt));
        if let Some(number) = self.slots.number() {
            line.push(&number.to_string());
            let cursor = line.width();
            line.push(&self.charset.fit(self.sentences.go_to));
            return (line, cursor);
        }
        let at = self.slots.at();
        if at < CODE_WORDS {
            line.push(&format!("{}. ", at + 1));
        }
        let start = line.width();
        self.push_letters(&mut line, self.slots.current());
        let cursor = if self.slots.is_fresh() { start } else { line.width() };
        self.push_rest(&mut line, self.slots.current());
        (line, cursor)
    }

    fn grid(&self, columns: usize) -> Vec<Line> {
        let (across, cell) = if columns < TWO_COLUMNS { (1, columns) } else { (2, (columns / 2).min(HALF)) };
        let down = CODE_WORDS / across;
        (0..down)
            .map(|row| {
                let mut line = Line::new(columns);
                for column in 0..across {
                    line.pad_to(column * cell);
                    // A word that is too long for its place does not run into the next.
                    let mut part = Line::new(cell.saturating_sub(1).max(1));
                    self.push_cell(&mut part, column * down + row);
                    line.push(part.expose_text());
                }
                line
            })
            .collect()
    }

    fn push_cell(&self, line: &mut Line, place: usize) {
        let slot = &self.slots.slots()[place];
        line.push(if place == self.slots.at() { "> " } else { "  " });
        line.push(&format!("{:>2}. ", place + 1));
        match slot.judged() {
            Judged::Unlisted(_) | Judged::Unfinished(_) => line.push("? "),
            _ => true,
        };
        self.push_letters(line, slot);
    }

    fn push_letters(&self, line: &mut Line, slot: &Slot) {
        for c in slot.expose_letters().chars() {
            line.push(self.charset.letter(c).encode_utf8(&mut [0; 4]));
        }
    }

    /// What the letters would be completed by.
    fn push_rest(&self, line: &mut Line, slot: &Slot) {
        if !matches!(slot.judged(), Judged::Open) || slot.is_empty() || self.slots.at() == CODE_WORDS {
            return;
        }
        let letters = slot.expose_letters();
        let Some(word) = Begun::of(letters).expose_word() else { return };
        match word.strip_prefix(letters) {
            Some("") => {}
            Some(rest) => {
                line.push("[");
                line.push(rest);
                line.push("]");
            }
            None => {
                line.push(" [");
                line.push(word);
                line.push("]");
            }
        }
    }

    /// What is to be said of the words; with words of the list only where all is wiped.
    fn notes(&self, columns: usize, with_words: bool) -> Vec<Line> {
        let Self { slots, sentences, charset, .. } = self;
        let mut notes = Vec::new();
        let say = |text: &str, words: &mut dyn Iterator<Item = &'static str>| {
            let fitted = charset.fit(text);
            let pieces: Vec<&str> =
                std::iter::once(fitted.as_str()).chain(words.map(|word| -> &str { word })).collect();
            wrapped(&pieces, columns)
        };
        let none = || std::iter::empty::<&'static str>();
        if let Some(note) = slots.note() {
            notes.extend(say(&self.said(note), &mut none()));
        }
        if slots.is_fresh() && matches!(slots.current().judged(), Judged::Unlisted(_)) {
            notes.extend(say(&(sentences.replaces)(slots.at() + 1), &mut none()));
        }
        if with_words && matches!(slots.current().judged(), Judged::Open) && !slots.current().is_empty() {
            notes.extend(self.possible(&say));
        }
        if slots.at() == CODE_WORDS && !slots.current().is_empty() && slots.note().is_none() {
            notes.extend(say(sentences.eleventh, &mut none()));
        }
        // The word at the cursor first, then the newest.
        let mut wrong: Vec<usize> = slots.wrong().collect();
        wrong.sort_by_key(|place| (*place != slots.at(), std::cmp::Reverse(*place)));
        let mut layout_told = None;
        for place in wrong {
            match slots.slots()[place].judged() {
                Judged::Unlisted(unlisted) => {
                    notes.extend(say(&(sentences.unlisted)(place + 1), &mut none()));
                    if let Some(layout) = unlisted.layout().filter(|layout| layout_told != Some(*layout)) {
                        layout_told = Some(layout);
                        notes.extend(say((sentences.layout)(layout), &mut none()));
                    }
                    if with_words && unlisted.expose_nearest().len() > 0 {
                        notes.extend(say(sentences.near_it, &mut unlisted.expose_nearest()));
                    }
                }
                Judged::Unfinished(count) => {
                    notes.extend(say(&(sentences.unfinished)(place + 1, *count), &mut none()));
                }
                Judged::Open | Judged::Listed => {}
            }
        }
        if slots.note().is_none() && slots.is_refused() {
            notes.extend(say(&(sentences.search_offer)(MAX_SUSPECTS), &mut none()));
        } else if slots.note().is_none() && slots.code().is_some() {
            notes.extend(say(sentences.complete, &mut none()));
        }
        notes
    }

    fn possible(&self, say: &dyn Fn(&str, &mut dyn Iterator<Item = &'static str>) -> Vec<Line>) -> Vec<Line> {
        let Self { slots, sentences, .. } = self;
        if slots.at() == CODE_WORDS {
            return Vec::new();
        }
        let begun = Begun::of(slots.current().expose_letters());
        let listed = begun.expose_possible().len();
        match begun.count() {
            0 => say(sentences.none_begins_so, &mut std::iter::empty()),
            1 => Vec::new(),
            count if count == listed => say(sentences.could_be, &mut begun.expose_possible()),
            count => say(&(sentences.begin_so)(count), &mut std::iter::empty()),
        }
    }

    fn said(&self, note: Note) -> String {
        let Self { slots, sentences, .. } = self;
        match note {
            Note::HowToGiveUp => sentences.how_to_give_up.to_owned(),
            Note::Missing => {
                let positions: Vec<String> = slots.wrong().map(|place| (place + 1).to_string()).collect();
                (sentences.missing)(&positions.join(", "))
            }
            Note::NoSuchNumber(number) => (sentences.no_such_number)(number),
            Note::SameAgain => sentences.same_again.to_owned(),
            Note::TooMany => sentences.eleventh.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use tenwords_escrow::code::RecoveryCode;

    use super::*;
    use crate::{
        editor::{
            keys::Keys,
            page::{Painter, Typewriter},
        },
        language::Language,
    };

    const CODE: &str = "woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt";
    const SIZES: [(u16, u16); 6] = [(24, 80), (24, 40), (43, 132), (12, 40), (25, 30), (10, 20)];

    struct Model(vt100::Parser);

    impl Model {
        fn new(rows: u16, columns: u16) -> Self {
            let number = |n| NonZeroU16::new(n).unwrap_or(NonZeroU16::MIN);
            Self(vt100::Parser::new(number(rows), number(columns), 1000))
        }

        fn shows(&self) -> String {
            assert_eq!(self.0.screen().scrollback_len(), 0, "something has scrolled");
            self.0.screen().contents()
        }
    }

    fn entry(language: Language, charset: Charset, slots: Slots) -> Entry<'static> {
        let heading = "Box mill is to be recovered.";
        Entry { slots, heading, is_remote: false, sentences: language.sentences(), charset }
    }

    fn typing(entry: &mut Entry<'_>, bytes: &[u8]) {
        let mut keys = Keys::default();
        for byte in bytes {
            press(keys.take(*byte), entry);
        }
    }

    fn press(keys: [Option<Key>; 2], entry: &mut Entry<'_>) {
        for key in keys.into_iter().flatten() {
            let _stays_here = entry.take(key, false);
        }
    }

    fn size((rows, columns): (u16, u16)) -> Size {
        Size { rows: rows.into(), columns: columns.into() }
    }

    fn painted(entry: &Entry<'_>, at: (u16, u16)) -> Model {
        let mut model = Model::new(at.0, at.1);
        model.0.process(&Painter::new().paint(entry.frame(size(at)), size(at)));
        model
    }

    fn each() -> impl Iterator<Item = (Language, Charset, (u16, u16))> {
        let charsets = [Charset::Ascii, Charset::Utf8];
        let all = move |language| charsets.into_iter().map(move |charset| (language, charset));
        Language::ALL
            .into_iter()
            .flat_map(all)
            .flat_map(|(language, charset)| SIZES.into_iter().map(move |size| (language, charset, size)))
    }

    #[test]
    fn the_prompt_and_what_is_typed_are_seen_at_any_size() {
        for (language, charset, at) in each() {
            let mut entry = entry(language, charset, Slots::new());
            typing(&mut entry, b"woof outshne cross gidd");
            let model = painted(&entry, at);
            let shown = model.shows();
            let prompt = charset.fit(language.sentences().prompt);
            let wanted = if at.1 >= 40 { format!("{prompt}4. gidd") } else { prompt.trim_end().to_owned() };
            assert!(shown.contains(&wanted), "{language:?} {at:?}:\n{shown}");
            if at.0 >= 20 || at.1 >= 40 {
                for (position, word) in ["woof", "? outshne", "cross", "gidd"].into_iter().enumerate() {
                    assert!(shown.contains(&format!("{:>2}. {word}", position + 1)), "{language:?} {at:?}:\n{shown}");
                }
                assert!(shown.contains("10."), "{shown}");
            }
            if charset == Charset::Ascii {
                assert!(shown.is_ascii(), "{shown}");
            }
            let (row, column) = model.0.screen().cursor_position();
            assert!(row < at.0 && column < at.1);
        }
    }

    #[test]
    fn what_is_said_of_a_wrong_word_is_seen_on_24_lines() {
        for language in Language::ALL {
            for at in [(24, 80), (24, 40)] {
                for is_remote in [false, true] {
                    let mut entry = Entry { is_remote, ..entry(language, Charset::Utf8, Slots::new()) };
                    typing(&mut entry, b"yestz abac outshne ");
                    let shown = painted(&entry, at).shows().split_whitespace().collect::<Vec<_>>().join(" ");
                    let sentences = language.sentences();
                    let mut wanted = vec![(sentences.unlisted)(3), "outshine".to_owned()];
                    if at.1 == 80 || !is_remote {
                        wanted.extend([(sentences.unlisted)(1), "QWERTZ".to_owned()]);
                    }
                    for text in wanted {
                        assert!(shown.contains(&text), "{language:?} {at:?}: `{text}` is not seen:\n{shown}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_would_be_completed_stands_in_brackets() {
        let cases: [(&[u8], &str); 7] = [
            (b"gidd", "1. gidd"),
            (b"giddin", "1. giddin[ess]"),
            (b"t ", "1. t-[shirt]"),
            (b"dropd", "1. dropd [drop-down]"),
            (b"woof", "1. woof"),
            (b"7", "7? Enter leads to this word."),
            (b"zzz", "1. zzz"),
        ];
        for (typed, shown) in cases {
            let mut entry = entry(Language::English, Charset::Utf8, Slots::new());
            typing(&mut entry, typed);
            let screen = painted(&entry, (24, 80)).shows();
            assert!(screen.lines().any(|line| line == format!("The ten words: {shown}")), "{shown}:\n{screen}");
        }
    }

    #[test]
    fn what_is_painted_piece_by_piece_is_what_is_painted_at_once() {
        let keys = b"wo\rof outsh\x7f\x7fine crust \x02\x15cross 12\r4. yo yo qwertz ab\tac\t \r\x01zesty\r\x7f\x7f";
        for (language, charset, at) in each() {
            let mut entry = entry(language, charset, Slots::new());
            let (mut painter, mut model) = (Painter::new(), Model::new(at.0, at.1));
            let mut decoder = Keys::default();
            for byte in keys {
                press(decoder.take(*byte), &mut entry);
                model.0.process(&painter.paint(entry.frame(size(at)), size(at)));
                assert_eq!(model.shows(), painted(&entry, at).shows(), "{language:?} {at:?}");
            }
        }
    }

    #[test]
    fn a_letter_costs_a_serial_line_few_bytes() {
        let mut entry = entry(Language::English, Charset::Ascii, Slots::new());
        let mut painter = Painter::new();
        painter.paint(entry.frame(Size::USUAL), Size::USUAL);
        typing(&mut entry, b"woof outshine s");
        painter.paint(entry.frame(Size::USUAL), Size::USUAL);
        typing(&mut entry, b"u");
        let bytes = painter.paint(entry.frame(Size::USUAL), Size::USUAL);
        assert!(bytes.len() < 100, "{}", bytes.len());
    }

    #[test]
    fn letters_of_elsewhere_cannot_steer_the_screen() {
        let mut entry = entry(Language::English, Charset::Utf8, Slots::new());
        typing(&mut entry, "a\u{9b}2J\u{202e}x\u{4e2d}y\u{301}".as_bytes());
        let shown = painted(&entry, (24, 80)).shows();
        assert!(shown.contains("Type the words") && !shown.contains('\u{4e2d}'), "{shown}");
    }

    #[test]
    fn a_terminal_with_one_line_keeps_no_word_above_it() {
        for (language, charset, at) in each().filter(|(.., (_, columns))| *columns >= 40) {
            let mut entry = entry(language, charset, Slots::new());
            let (mut typewriter, mut model) = (Typewriter::new(), Model::new(at.0, at.1));
            let mut decoder = Keys::default();
            for byte in format!("{CODE} \x02\x02outshne \r3\r").bytes() {
                press(decoder.take(byte), &mut entry);
                let line = entry.one_line(at.1.into());
                model.0.process(&typewriter.write(line, |text| charset.fit(text), usize::from(at.1) - 1));
            }
            let prompt = charset.fit(language.sentences().prompt);
            let shown = model.0.screen().contents();
            assert!(shown.contains(&format!("{prompt}3. cross")), "{language:?} {at:?}:\n{shown}");
            model.0.process(&typewriter.wipe());
            model.0.screen_mut().set_scrollback(1000);
            let all = model.0.screen().contents() + &shown.replace("3. cross", "");
            for word in CODE.split(' ').chain(["outshne"]) {
                assert!(!all.contains(word), "{word} is left:\n{all}");
            }
        }
    }

    #[test]
    fn refused_words_are_there_to_be_corrected_and_the_search_is_offered() {
        for (language, charset, at) in each().filter(|(.., at)| at.0 >= 24 && at.1 >= 40) {
            let Ok(code) = RecoveryCode::parse(CODE) else { panic!("ten words") };
            let entry = entry(language, charset, Slots::refused(code));
            let shown = painted(&entry, at).shows();
            for (position, word) in CODE.split(' ').enumerate() {
                assert!(shown.contains(&format!("{:>2}. {word}", position + 1)), "{shown}");
            }
            let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                flat.contains(&charset.fit(&(language.sentences().search_offer)(150))),
                "{language:?} {at:?}\n{shown}"
            );
        }
    }
}
