//! Cuts what a person typed or pasted into the pieces that could be words and numbers.
//!
//! Letters are lowered; hyphens of every kind, blanks of every kind, commas, quotes, brackets and
//! bullets separate; invisible characters are dropped. A character that is none of these belongs to
//! a word, which is then not a listed one and is named by its position. Nothing here knows which
//! words there are.

use std::ops::Range;

use zeroize::Zeroizing;

/// The most bytes that are looked at. Ten numbered words on lines of their own take some 150.
pub(crate) const MAX_INPUT: usize = 4096;

/// The most characters of one piece that are kept; the longest listed word has nine.
const MAX_PIECE: usize = 24;

/// One piece of the text.
pub(crate) enum Piece {
    /// A number, as before the words of a numbered list.
    Number(u32),
    /// Lowered letters, cut at [`MAX_PIECE`] characters.
    Word {
        letters: Zeroizing<String>,
        /// The bytes of the text that it was read from.
        span: Range<usize>,
    },
}

/// Cuts `text` into pieces. The caller has compared its length with [`MAX_INPUT`].
pub(crate) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.peek().copied() {
        match kind(c) {
            Kind::Digit => {
                let mut number: u32 = 0;
                while let Some((_, c)) = chars.next_if(|(_, c)| kind(*c) == Kind::Digit) {
                    number = number.saturating_mul(10).saturating_add(c.to_digit(10).unwrap_or(0));
                }
                pieces.push(Piece::Number(number));
            }
            Kind::Word => {
                let mut letters = Zeroizing::new(String::with_capacity(MAX_PIECE * 4));
                let mut end = start;
                let mut kept = 0;
                // Digits within a word belong to it, or a slip onto the row above would go unseen.
                while let Some((at, c)) = chars.next_if(|(_, c)| !kind(*c).is_gap()) {
                    end = at + c.len_utf8();
                    if kind(c) == Kind::Invisible || kept == MAX_PIECE {
                        continue;
                    }
                    letters.push(lowered(c));
                    kept += 1;
                }
                pieces.push(Piece::Word { letters, span: start..end });
            }
            Kind::Blank | Kind::Hyphen | Kind::Invisible | Kind::Mark => {
                chars.next();
            }
        }
    }
    pieces
}

/// The part of `text` around `span` up to the next blanks, lowered: what the fingers did without
/// a pause, including keys that separate words here but are letters on another keyboard.
pub(crate) fn keys_around(text: &str, span: &Range<usize>) -> Zeroizing<String> {
    let start = text[..span.start]
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    let end = text[span.end..].find(char::is_whitespace).map_or(text.len(), |at| span.end + at);
    let mut keys = Zeroizing::new(String::with_capacity(MAX_PIECE * 4));
    for c in text[start..end].chars().take(MAX_PIECE) {
        keys.push(lowered(c));
    }
    keys
}

/// Whether the text ends within a word, so that more letters may come.
pub(crate) fn ends_in_a_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| !kind(c).is_gap())
}

/// What a character is to somebody who types words.
#[derive(PartialEq, Eq)]
pub(crate) enum Kind {
    /// A blank of any width, or the end of a line.
    Blank,
    Digit,
    /// A hyphen, dash or minus sign of any kind.
    Hyphen,
    Invisible,
    /// A quote, a comma, a bracket, a bullet.
    Mark,
    Word,
}

impl Kind {
    /// Whether it separates words.
    const fn is_gap(&self) -> bool {
        matches!(self, Self::Blank | Self::Hyphen | Self::Mark)
    }
}

pub(crate) fn kind(c: char) -> Kind {
    match c {
        '0'..='9' => Kind::Digit,
        // Soft hyphen, joiners, direction marks, byte order mark.
        '\u{ad}' | '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            Kind::Invisible
        }
        // Hyphens, dashes and the minus sign.
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => Kind::Hyphen,
        // Quotes.
        '"' | '\'' | '`' | '´' | '«' | '»' | '\u{2018}'..='\u{201f}' | '\u{2039}' | '\u{203a}' => Kind::Mark,
        // What stands around list numbers and between listed words.
        ',' | ';' | ':' | '.' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '/' | '\\' | '|' | '_' | '#' | '*'
        | '+' | '=' | '·' | '•' | '…' | '、' | '，' => Kind::Mark,
        c if c.is_whitespace() || c.is_control() || c == '\u{200b}' => Kind::Blank,
        _ => Kind::Word,
    }
}

/// The lower-case letter of `c`; full-width Latin letters count as plain ones. Whatever has no
/// single lower-case letter stays as it is, and is then in no listed word.
pub(crate) fn lowered(c: char) -> char {
    let narrow = match c {
        'Ａ'..='Ｚ' | 'ａ'..='ｚ' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        other => other,
    };
    let mut lower = narrow.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(single), None) => single,
        _ => narrow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        pieces(text)
            .iter()
            .map(|piece| match piece {
                Piece::Number(number) => format!("<{number}>"),
                Piece::Word { letters, span } => format!("[{}={}]", letters.as_str(), &text[span.clone()]),
            })
            .collect()
    }

    #[test]
    fn texts_are_cut_into_words_and_numbers() {
        for (text, cut) in [
            ("", ""),
            (" \t\r\n\u{a0}\u{3000}\u{200b}", ""),
            ("1. Abacus, 2) CAT", "<1>[abacus=Abacus]<2>[cat=CAT]"),
            ("1abacus", "<1>[abacus=abacus]"),
            ("abacu5", "[abacu5=abacu5]"),
            ("t6shirt", "[t6shirt=t6shirt]"),
            ("a\u{2011}b\u{2010}c\u{2212}d", "[a=a][b=b][c=c][d=d]"),
            ("“abacus” ‘cat’", "[abacus=abacus][cat=cat]"),
            ("aba\u{ad}cus", "[abacus=aba\u{ad}cus]"),
            ("ＡＢＡＣＵＳ", "[abacus=ＡＢＡＣＵＳ]"),
            ("größe ab@c", "[größe=größe][ab@c=ab@c]"),
            ("99999999999999999999", "<4294967295>"),
        ] {
            assert_eq!(shown(text), cut, "{text:?}");
        }
    }

    #[test]
    fn one_piece_is_kept_short() {
        let text = "x".repeat(MAX_INPUT);
        match &pieces(&text)[..] {
            [Piece::Word { letters, span }] => {
                assert_eq!(letters.len(), MAX_PIECE);
                assert_eq!(*span, 0..MAX_INPUT);
            }
            _ => panic!("one word was expected"),
        }
    }

    #[test]
    fn the_keys_around_a_piece_reach_to_the_blanks() {
        let text = "one\u{a0};q;bq two";
        let at = text.find('q').map_or(0..0, |at| at..at + 1);
        assert_eq!(keys_around(text, &at).as_str(), ";q;bq");
        assert_eq!(keys_around("q", &(0..1)).as_str(), "q");
    }
}
