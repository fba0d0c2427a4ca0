//! The recovery code R: ten words of the EFF large list, 129.2 bits.
//!
//! Its canonical form, lower case and joined by one space, is the passphrase everywhere, byte for
//! byte, so that a customer can type it into stock tools. A value of [`RecoveryCode`] exists only
//! for ten listed words: nothing can be derived from an impossible input. There is no checksum, so
//! a *listed* wrong word cannot be told from a right one here.
//!
//! The attacker in mind reads logs, crash reports, swap-less memory of ended processes and whatever
//! an error text carries. Every buffer of ours that held a word is wiped when it is dropped; what
//! the compiler leaves in registers and on the stack, and what root on the living machine can
//! read, cannot be promised.

use std::fmt;

use rand::CryptoRng;
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    keyboard::Layout,
    typed::{self, MAX_INPUT, Piece},
    wordlist::{self, LONGEST, WORDS},
};

/// How many words a recovery code has.
pub const CODE_WORDS: usize = 10;

/// The longest canonical form.
const MAX_PASSPHRASE: usize = CODE_WORDS * (LONGEST + 1) - 1;

/// The most other readings of one code that are offered.
const MAX_READINGS: usize = 15;

/// The ten words.
///
/// It is neither `Clone` nor comparable nor printable; whoever needs it borrows it.
///
/// ```compile_fail,E0308
/// # fn show(code: &tenwords_escrow::code::RecoveryCode) {
/// let second: tenwords_escrow::code::RecoveryCode = code.clone();
/// # }
/// ```
///
/// ```compile_fail,E0277
/// # fn show(code: &tenwords_escrow::code::RecoveryCode) {
/// println!("{code}");
/// # }
/// ```
///
/// ```compile_fail,E0277
/// fn send(value: &impl serde::Serialize) {}
/// # fn show(code: &tenwords_escrow::code::RecoveryCode) {
/// send(code);
/// # }
/// ```
pub struct RecoveryCode {
    /// Places in the list, each below [`WORDS`].
    words: Box<[u16; CODE_WORDS]>,
    passphrase: Zeroizing<String>,
}

/// Why a text is no recovery code. It says nothing about the words but their number and places.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodeError {
    /// All words are listed, but they are not ten.
    #[error("a recovery code has ten words, and here are {found}")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// A number between the words that is not the number of the next word.
    #[error("the number {number} stands before word {position}")]
    Numbering {
        /// The place of the next word, counted from 1.
        position: usize,
        /// The number in the text.
        number: u32,
    },
    /// More text than ten words can be.
    #[error("the text is longer than ten words can be")]
    TooLong,
    /// A word that the list does not have.
    #[error("{0}")]
    Unlisted(Unlisted),
}

/// A word that the list does not have, by its place.
///
/// The words near it are nearly the secret, so they are neither displayed nor debugged, and are
/// read by [`Self::expose_nearest`] where the person who typed it looks at the screen.
#[derive(Error)]
#[error("word {position} is not in the list{}", hint(*.layout))]
pub struct Unlisted {
    position: usize,
    layout: Option<Layout>,
    nearest: Zeroizing<Vec<u16>>,
}

impl RecoveryCode {
    /// Draws a code; every sequence of ten listed words is equally likely.
    ///
    /// 13 bits of the generator select a word, and values beyond the list are thrown away.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut words = Box::new([0; CODE_WORDS]);
        for place in words.iter_mut() {
            *place = loop {
                let candidate = Zeroizing::new(rng.next_u32() >> 19);
                match u16::try_from(*candidate) {
                    Ok(index) if usize::from(index) < WORDS => break index,
                    _ => {}
                }
            };
        }
        Self::from_indices(words)
    }

    /// Reads a code in any spelling: any case, blanks, line ends, commas, numbering, quotes and
    /// hyphens of any kind, and the four hyphenated words with a hyphen, a space or neither.
    ///
    /// # Errors
    /// [`CodeError`] names the first word that is not listed; then a wrong number of words.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let read = Words::read(text, false)?;
        if read.count != CODE_WORDS {
            return Err(CodeError::Count { found: read.count });
        }
        let mut words = Box::new([0; CODE_WORDS]);
        words.copy_from_slice(&read.indices[..]);
        Ok(Self::from_indices(words))
    }

    /// The ten words in their order.
    pub fn expose_words(&self) -> impl ExactSizeIterator<Item = &'static str> + '_ {
        self.words.iter().map(|index| wordlist::word(*index))
    }

    /// The canonical form: the passphrase for key files and for age.
    #[must_use]
    pub fn expose_passphrase(&self) -> &str {
        &self.passphrase
    }

    /// Whether both are the same ten words, compared without a branch on their content.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.words[..].ct_eq(&other.words[..]).into()
    }

    /// The other codes that the same typing may have meant.
    ///
    /// The list has both `yoyo` and `yo-yo`, and both are typed as `yoyo`. Where that word occurs
    /// (two codes in a thousand) and the code as read opens nothing, these are worth a try before
    /// the person is told that the words are wrong.
    #[must_use]
    pub fn other_readings(&self) -> Vec<Self> {
        let (Some(plain), Some(hyphenated)) = (wordlist::find("yoyo"), wordlist::find("yo-yo")) else {
            return Vec::new();
        };
        let places: Vec<usize> = (0..CODE_WORDS).filter(|place| self.words[*place] == plain).collect();
        (1..1_usize << places.len())
            .take(MAX_READINGS)
            .map(|choice| {
                let mut words = self.words.clone();
                for (bit, place) in places.iter().enumerate() {
                    if choice >> bit & 1 == 1 {
                        words[*place] = hyphenated;
                    }
                }
                Self::from_indices(words)
            })
            .collect()
    }

    /// The same with another word at one place.
    pub(crate) fn with_word(&self, place: usize, word: u16) -> Self {
        let mut words = self.words.clone();
        words[place] = word;
        Self::from_indices(words)
    }

    /// The same with two words in each other's place.
    pub(crate) fn with_swapped(&self, first: usize, second: usize) -> Self {
        let mut words = self.words.clone();
        words.swap(first, second);
        Self::from_indices(words)
    }

    /// The places in the list.
    pub(crate) fn indices(&self) -> &[u16; CODE_WORDS] {
        &self.words
    }

    fn from_indices(words: Box<[u16; CODE_WORDS]>) -> Self {
        let mut passphrase = Zeroizing::new(String::with_capacity(MAX_PASSPHRASE));
        for index in words.iter() {
            if !passphrase.is_empty() {
                passphrase.push(' ');
            }
            passphrase.push_str(wordlist::word(*index));
        }
        Self { words, passphrase }
    }
}

impl Drop for RecoveryCode {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode([redacted])")
    }
}

impl Unlisted {
    /// What to say of word `position` (from 1), which is not listed: `letters` is what stands there
    /// without what separates words, `keys` all that was typed for it.
    #[must_use]
    pub fn of(position: usize, letters: &str, keys: &str) -> Self {
        let layout = Layout::that_explains(letters).or_else(|| Layout::that_explains(keys));
        Self { position, layout, nearest: wordlist::nearest(letters) }
    }

    /// Which word it is, counted from 1.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The keyboard layout under which the same keys give a listed word.
    #[must_use]
    pub const fn layout(&self) -> Option<Layout> {
        self.layout
    }

    /// The nearest listed words, at most three; for the eyes of the person who is typing.
    pub fn expose_nearest(&self) -> impl ExactSizeIterator<Item = &'static str> + '_ {
        self.nearest.iter().map(|index| wordlist::word(*index))
    }
}

impl fmt::Debug for Unlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unlisted")
            .field("position", &self.position)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

/// Looks at a code that is still being typed: how many words are complete. A word is complete when
/// something that separates words follows it.
///
/// # Errors
/// [`CodeError`] as soon as a complete word is not listed, so that a wrong keyboard layout is seen
/// before the second word.
pub fn check_typing(text: &str) -> Result<usize, CodeError> {
    Words::read(text, true).map(|words| words.count)
}

/// The listed words of a text, counted beyond ten but kept up to ten.
struct Words {
    indices: Zeroizing<Vec<u16>>,
    count: usize,
}

impl Words {
    fn read(text: &str, unfinished: bool) -> Result<Self, CodeError> {
        if text.len() > MAX_INPUT {
            return Err(CodeError::TooLong);
        }
        let mut words = Self { indices: Zeroizing::new(Vec::with_capacity(CODE_WORDS)), count: 0 };
        let pieces = typed::pieces(text);
        let mut rest = pieces.iter().peekable();
        while let Some(piece) = rest.next() {
            match piece {
                // The number of a word that is still to be typed.
                Piece::Number(_) if unfinished && rest.peek().is_none() => {}
                Piece::Number(number) => words.check_number(*number)?,
                Piece::Word { letters, span } => {
                    let halves = match rest.peek() {
                        Some(Piece::Word { letters: second, .. }) => wordlist::find_halves(letters, second),
                        _ => None,
                    };
                    if halves.is_some() {
                        rest.next();
                    }
                    let may_go_on = unfinished
                        && match rest.peek() {
                            None => {
                                typed::ends_in_a_word(text) || (halves.is_none() && wordlist::is_first_half(letters))
                            }
                            Some(Piece::Word { letters: begun, .. }) => {
                                rest.len() == 1
                                    && typed::ends_in_a_word(text)
                                    && wordlist::may_become_second_half(letters, begun)
                            }
                            Some(Piece::Number(_)) => false,
                        };
                    match halves.or_else(|| wordlist::find_typed(letters)) {
                        _ if may_go_on => break,
                        Some(index) => words.add(index),
                        None => return Err(CodeError::Unlisted(words.unlisted(text, letters, span))),
                    }
                }
            }
        }
        Ok(words)
    }

    fn add(&mut self, index: u16) {
        self.count += 1;
        if self.indices.len() < CODE_WORDS {
            self.indices.push(index);
        }
    }

    fn check_number(&self, number: u32) -> Result<(), CodeError> {
        let position = self.count + 1;
        if usize::try_from(number) == Ok(position) && position <= CODE_WORDS {
            Ok(())
        } else {
            Err(CodeError::Numbering { position, number })
        }
    }

    fn unlisted(&self, text: &str, letters: &str, span: &std::ops::Range<usize>) -> Unlisted {
        Unlisted::of(self.count + 1, letters, &typed::keys_around(text, span))
    }
}

fn hint(layout: Option<Layout>) -> String {
    layout.map_or_else(String::new, |layout| format!("; {}", layout.explanation()))
}
