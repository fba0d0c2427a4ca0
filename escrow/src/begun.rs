//! One word while it is being typed: what each key means, and what the letters can still become.
//!
//! An editor of ten words asks here and decides nothing about the list itself. The words that are
//! told are nearly the secret: they are for the eyes of the person who types, and for a screen that
//! is wiped.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    typed::{self, Kind},
    wordlist,
};

/// The most words that are listed as possible; all are counted.
const LISTED: usize = 6;

/// What one typed or pasted character is to a word.
///
/// It is a part of a secret: it has no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(missing_debug_implementations, reason = "a letter of the secret")]
pub enum Stroke {
    /// A blank of any width or the end of a line: the word is over.
    Blank,
    /// A digit: of a word's number, or a slip onto the row above.
    Digit(u32),
    /// A hyphen, dash or minus sign.
    Hyphen,
    /// A character that nobody sees.
    Invisible,
    /// A letter, lowered, or anything else that no listed word has.
    Letter(char),
    /// A quote, a comma, a bracket: beside a word it means nothing, within one it may be a letter of
    /// another keyboard.
    Mark(char),
}

impl Stroke {
    /// What `c` is.
    #[must_use]
    pub fn of(c: char) -> Self {
        match typed::kind(c) {
            Kind::Blank => Self::Blank,
            Kind::Digit => Self::Digit(c.to_digit(10).unwrap_or(0)),
            Kind::Hyphen => Self::Hyphen,
            Kind::Invisible => Self::Invisible,
            Kind::Mark => Self::Mark(c),
            Kind::Word => Self::Letter(typed::lowered(c)),
        }
    }
}

/// What the letters of one word are so far.
///
/// ```
/// # use tenwords_escrow::begun::Begun;
/// assert_eq!(Begun::of("abac").expose_word(), Some("abacus"));
/// assert_eq!(Begun::of("aba").expose_word(), Some("abacus"));
/// assert_eq!(Begun::of("ab").expose_word(), None);
/// assert_eq!(Begun::of("tshirt").expose_word(), Some("t-shirt"));
/// assert!(Begun::of("abq").is_impossible());
/// ```
pub struct Begun {
    /// The word that the letters are, whatever longer ones begin with it.
    whole: Option<u16>,
    /// The first of those that begin with the letters.
    possible: Zeroizing<Vec<u16>>,
    count: usize,
}

impl Begun {
    /// Looks at lowered letters; marks and hyphens among them count as hyphens.
    #[must_use]
    pub fn of(letters: &str) -> Self {
        let mut plain = Zeroizing::new(String::with_capacity(letters.len() + 1));
        for c in letters.chars() {
            plain.push(if matches!(typed::kind(c), Kind::Hyphen | Kind::Mark) { '-' } else { c });
        }
        let mut begun = Self { whole: None, possible: Zeroizing::new(Vec::with_capacity(LISTED)), count: 0 };
        // `yo-` can only become `yo-yo`; `abacus-` is a word and its end.
        for letters in [plain.as_str(), plain.trim_end_matches('-')] {
            if letters.is_empty() {
                continue;
            }
            begun.whole = wordlist::find_typed(letters);
            for index in wordlist::beginning_with(letters) {
                begun.count += 1;
                if begun.possible.len() < LISTED {
                    begun.possible.push(index);
                }
            }
            if begun.count > 0 {
                break;
            }
        }
        begun
    }

    /// The word that these letters stand for: one that they are, else the only one that begins so.
    #[must_use]
    pub fn expose_word(&self) -> Option<&'static str> {
        let only = if self.count == 1 { self.possible.first().copied() } else { None };
        self.whole.or(only).map(wordlist::word)
    }

    /// Whether the letters are a word already.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// How many words begin with these letters.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Whether no word begins with these letters.
    #[must_use]
    pub const fn is_impossible(&self) -> bool {
        self.count == 0
    }

    /// The first few words that begin with these letters.
    pub fn expose_possible(&self) -> impl ExactSizeIterator<Item = &'static str> + '_ {
        self.possible.iter().map(|index| wordlist::word(*index))
    }

    /// Whether a hyphen goes on with these letters, as in `t-shirt`.
    #[must_use]
    pub fn takes_hyphen(letters: &str) -> bool {
        wordlist::is_first_half(letters)
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Begun([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_itself_whatever_else_begins_so() {
        for index in 0..u16::try_from(wordlist::WORDS).unwrap_or(0) {
            let word = wordlist::word(index);
            let begun = Begun::of(word);
            assert!(begun.is_whole() && begun.expose_word() == Some(word), "{word}");
            // The list has no word that is the beginning of another; `yoyo` begins `yo-yo` if its
            // hyphen is left out, and is taken as itself.
            assert_eq!(begun.count(), if word == "yoyo" { 2 } else { 1 }, "{word}");
        }
    }

    #[test]
    fn the_four_with_a_hyphen_are_completed_with_hyphen_mark_or_neither() {
        for (letters, word) in [
            ("drop-", "drop-down"),
            ("dropd", "drop-down"),
            ("felttip", "felt-tip"),
            ("felt-t", "felt-tip"),
            ("t-", "t-shirt"),
            ("t/shirt", "t-shirt"),
            ("tshirt", "t-shirt"),
            ("yo-", "yo-yo"),
        ] {
            assert_eq!(Begun::of(letters).expose_word(), Some(word), "{letters}");
        }
        assert!(Begun::takes_hyphen("yo") && !Begun::takes_hyphen("yoyo") && !Begun::takes_hyphen(""));
    }

    #[test]
    fn what_cannot_become_a_word_is_impossible_and_silent() {
        for letters in ["", "-", "qb", "abacusx", "größe", "abacu5", ";q;;ql"] {
            let begun = Begun::of(letters);
            assert!(begun.is_impossible() && begun.expose_word().is_none(), "{letters}");
        }
        assert_eq!(format!("{:?}", Begun::of("abac")), "Begun([redacted])");
        assert!(Begun::of("s").count() > 500 && Begun::of("s").expose_possible().len() == LISTED);
    }
}
