//! The local search: ten listed words that open nothing are, most often, the right ones with one
//! slip. Two of them are in each other's place, or one was read, heard or completed as a neighbour.
//!
//! At most [`MAX_SUSPECTS`] other codes are tried, the likeliest first, in an order that depends on
//! nothing but the words. That is harmless against 129 bits, and costs a minute at most. Nothing here
//! asks anybody or does I/O: what is opened is handed in as a [`Lock`].

use std::ops::ControlFlow;

use zeroize::Zeroize;

use crate::{
    code::{CODE_WORDS, RecoveryCode},
    door::AgePart,
    root::Root,
    wordlist,
};

/// The most codes that are tried.
pub const MAX_SUSPECTS: usize = 150;

/// Something that only the right words open.
pub trait Lock {
    /// Whether these words open it. One derivation.
    fn is_opened_by(&self, code: &RecoveryCode) -> bool;
}

/// A sealed root: the scrypt derivation of age, 64 MiB.
impl Lock for AgePart {
    fn is_opened_by(&self, code: &RecoveryCode) -> bool {
        Root::open(self, code).is_ok()
    }
}

/// What may have gone wrong. It says much about the words, so it is as secret as they are.
#[derive(Zeroize)]
#[zeroize(drop)]
#[expect(missing_debug_implementations, reason = "it says a word of the code")]
pub struct Slip {
    place: usize,
    /// The place of the second word of a swap, else the place itself.
    other: usize,
    /// The word that belongs at `place`.
    word: u16,
}

/// The codes that may have been meant, the likeliest first.
#[expect(missing_debug_implementations, reason = "it says words of the code")]
pub struct Suspects<'a> {
    typed: &'a RecoveryCode,
    slips: Vec<Slip>,
}

/// Which part of the suspects somebody searches: each `of`-th, from `part` on.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Which of them, from 0.
    pub part: usize,
    /// How many search; not 0.
    pub of: usize,
}

impl Slip {
    /// Which word it is, from 1; of two swapped ones the first.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.place + 1
    }

    /// The other word's position, if two are in each other's place.
    #[must_use]
    pub const fn swapped_with(&self) -> Option<usize> {
        if self.other == self.place { None } else { Some(self.other + 1) }
    }

    /// The word that belongs at [`Self::position`].
    #[must_use]
    pub fn expose_word(&self) -> &'static str {
        wordlist::word(self.word)
    }
}

impl<'a> Suspects<'a> {
    /// All that are tried instead of `typed`: words beside each other swapped, one word off by one
    /// slip of the fingers, any two words swapped, then words that sound alike, are off by two
    /// letters, or share a stem.
    #[must_use]
    pub fn of(typed: &'a RecoveryCode) -> Self {
        let mut suspects = Self { typed, slips: Vec::with_capacity(MAX_SUSPECTS) };
        let words = typed.indices();
        let near: Vec<_> = words.iter().map(|word| wordlist::near(*word)).collect();
        let near = |far: u8| {
            let near = &near;
            // The nearest of each word before the second nearest of any.
            let most = near.iter().map(|words| words.len()).max().unwrap_or(0);
            (0..most).flat_map(move |rank| {
                (0..CODE_WORDS).filter_map(move |place| {
                    let (_, word) = near[place].iter().filter(|(how, _)| *how == far).nth(rank)?;
                    Some(Slip { place, other: place, word: *word })
                })
            })
        };
        let swaps = |distances: std::ops::Range<usize>| {
            distances.flat_map(|distance| {
                (0..CODE_WORDS - distance).map(move |place| Slip {
                    place,
                    other: place + distance,
                    word: words[place + distance],
                })
            })
        };
        suspects.add(swaps(1..2), MAX_SUSPECTS);
        // Room is left for the other swaps, whatever words these are.
        suspects.add(near(0), MAX_SUSPECTS - (CODE_WORDS - 2) * (CODE_WORDS - 1) / 2);
        suspects.add(swaps(2..CODE_WORDS), MAX_SUSPECTS);
        for far in 1..=3 {
            suspects.add(near(far), MAX_SUSPECTS);
        }
        suspects
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slips.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slips.is_empty()
    }

    /// The code without this slip.
    #[must_use]
    pub fn code(&self, slip: &Slip) -> RecoveryCode {
        match slip.swapped_with() {
            Some(_) => self.typed.with_swapped(slip.place, slip.other),
            None => self.typed.with_word(slip.place, slip.word),
        }
    }

    /// Tries this share of them on every lock. `watch` is called before each derivation and ends the
    /// search with `Break`.
    pub fn search<L: Lock>(
        mut self,
        locks: &[L],
        share: Share,
        mut watch: impl FnMut() -> ControlFlow<()>,
    ) -> Option<(Slip, RecoveryCode)> {
        for place in (share.part..self.slips.len()).step_by(share.of.max(1)) {
            let code = self.code(&self.slips[place]);
            for lock in locks {
                if watch().is_break() {
                    return None;
                }
                if lock.is_opened_by(&code) {
                    return Some((self.slips.swap_remove(place), code));
                }
            }
        }
        None
    }

    /// Adds what is not yet there and is another code, up to `limit` in all.
    fn add(&mut self, slips: impl Iterator<Item = Slip>, limit: usize) {
        let words = self.typed.indices();
        for slip in slips {
            // Two equal words in each other's place are the same code.
            if self.slips.len() < limit && words[slip.place] != slip.word {
                self.slips.push(slip);
            }
        }
    }
}
