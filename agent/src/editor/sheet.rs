//! A drawn code, shown to be written down.

use tenwords_escrow::code::{CODE_WORDS, RecoveryCode};

use super::{
    keys::Key,
    page::{Frame, Line, OneLine, Page, Size, wrapped},
    slots::Step,
};
use crate::language::{Charset, Sentences};

/// The ten words, numbered, until Enter.
pub(crate) struct Sheet<'a> {
    pub(crate) code: &'a RecoveryCode,
    /// What is said above them.
    pub(crate) above: Vec<String>,
    pub(crate) sentences: &'static Sentences,
    pub(crate) charset: Charset,
    /// On a terminal with one line: which word is shown.
    pub(crate) at: usize,
    /// Whether all are on the screen at once.
    pub(crate) at_once: bool,
}

impl Page for Sheet<'_> {
    fn frame(&self, size: Size) -> Frame {
        let columns = size.columns.saturating_sub(1).max(1);
        let above: Vec<Line> =
            self.above.iter().flat_map(|text| wrapped(&[&self.charset.fit(text)], columns)).collect();
        let prompt = wrapped(&[&self.charset.fit(self.sentences.written_down)], columns);
        // One column is easiest to copy; two if there are not enough lines.
        let across = if above.len() + CODE_WORDS + prompt.len() + 2 <= size.rows || columns < 30 { 1 } else { 2 };
        let down = CODE_WORDS / across;
        let words: Vec<&str> = self.code.expose_words().collect();
        let lines = (0..down)
            .map(|row| {
                let mut line = Line::new(columns);
                for column in 0..across {
                    let place = column * down + row;
                    line.pad_to(column * (columns / 2).min(30));
                    line.push(&format!("  {:>2}. ", place + 1));
                    line.push(words[place]);
                }
                line
            })
            .collect();
        let empty = || vec![Line::new(1)];
        let rows = prompt.len();
        let last = prompt.last().map_or(0, Line::width);
        let blocks = vec![(3, above), (5, empty()), (0, lines), (4, empty()), (0, prompt)];
        Frame::of(blocks, (4, rows - 1, (last + 1).min(columns)), size)
    }

    fn one_line(&self, columns: usize) -> OneLine {
        let mut line = Line::new(columns.saturating_sub(1).max(1));
        line.push(&format!("{}. ", self.at + 1));
        if let Some(word) = self.code.expose_words().nth(self.at) {
            line.push(word);
        }
        line.push("   ");
        line.push(&self.charset.fit(self.sentences.next_word));
        OneLine { said: self.above.clone(), cursor: line.width(), line }
    }

    fn take(&mut self, key: Key, _more: bool) -> Step {
        match key {
            Key::Enter if self.at_once || self.at + 1 == CODE_WORDS => return Step::Done,
            Key::Enter | Key::Next => self.at = (self.at + 1).min(CODE_WORDS - 1),
            Key::Previous | Key::Backspace => self.at = self.at.saturating_sub(1),
            Key::GiveUp | Key::EndOfInput => return Step::GiveUp,
            Key::Redraw => return Step::Redraw,
            _ => {}
        }
        Step::Stay
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::{editor::page::Painter, language::Language};

    const CODE: &str = "woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt";

    #[test]
    fn the_words_are_seen_with_their_numbers_at_any_size() {
        for language in Language::ALL {
            for (rows, columns) in [(24, 80), (24, 40), (43, 132), (12, 40), (25, 30)] {
                let Ok(code) = RecoveryCode::parse(CODE) else { panic!("ten words") };
                let sentences = language.sentences();
                let above = vec![
                    (sentences.box_and_code)("mill", 2),
                    sentences.write_down.into(),
                    sentences.never_asked.into(),
                    sentences.remote.into(),
                ];
                let sheet = Sheet { code: &code, above, sentences, charset: Charset::Utf8, at: 0, at_once: true };
                let size = Size { rows: rows.into(), columns: columns.into() };
                let number = |n| NonZeroU16::new(n).unwrap_or(NonZeroU16::MIN);
                let mut model = vt100::Parser::new(number(rows), number(columns), 100);
                model.process(&Painter::new().paint(sheet.frame(size), size));
                let shown = model.screen().contents();
                assert_eq!(model.screen().scrollback_len(), 0);
                for (place, word) in CODE.split(' ').enumerate() {
                    assert!(shown.contains(&format!("{:>2}. {word}", place + 1)), "{language:?}:\n{shown}");
                }
                let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(flat.contains(sentences.written_down.trim_end()), "{language:?} {rows}x{columns}:\n{shown}");
                if rows >= 24 {
                    for said in [sentences.never_asked, sentences.remote] {
                        assert!(flat.contains(said), "{language:?} {rows}x{columns}:\n{shown}");
                    }
                }
            }
        }
    }
}
