//! Which letter another keyboard layout would have given for the same key.
//!
//! A German or French keyboard on a machine that was set up for a US one (or the reverse) swaps a
//! few letters silently. An unlisted word that becomes a listed one when the keys are read under
//! another layout tells the person so, before ten words are typed in vain.

use std::fmt;

use zeroize::Zeroizing;

use crate::wordlist;

/// A keyboard layout that is confused with the US one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// French: A and Q, Z and W are swapped, M lies elsewhere.
    Azerty,
    /// German and its neighbours: Y and Z are swapped.
    Qwertz,
}

impl Layout {
    const ALL: [Self; 2] = [Self::Qwertz, Self::Azerty];

    /// What to tell the person.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Azerty => {
                "your keyboard seems to be set to QWERTY while its keys are AZERTY, or the reverse: A and Q, W and Z \
                 are swapped, and M lies elsewhere"
            }
            Self::Qwertz => {
                "your keyboard seems to be set to QWERTY while its keys are QWERTZ, or the reverse: Y and Z are swapped"
            }
        }
    }

    /// The layout under which the keys of `typed` spell a listed word.
    pub(crate) fn that_explains(typed: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| {
            let mut meant = Zeroizing::new(String::with_capacity(typed.len() + 4));
            let mut changed = false;
            for c in typed.chars() {
                let key = layout.key(c);
                changed |= key != c;
                meant.push(key);
            }
            changed && wordlist::find_typed(&meant).is_some()
        })
    }

    /// What the key that gave `c` is under the other of the two layouts. Letters swap alike in both
    /// directions; the hyphen and the French M do not, so both directions stand here.
    const fn key(self, c: char) -> char {
        match (self, c) {
            (Self::Qwertz, 'y') => 'z',
            (Self::Qwertz, 'z') => 'y',
            (Self::Qwertz, '/' | 'ß') | (Self::Azerty, '6' | ')') => '-',
            (Self::Azerty, 'a') => 'q',
            (Self::Azerty, 'q') => 'a',
            (Self::Azerty, 'w') => 'z',
            (Self::Azerty, 'z') => 'w',
            (Self::Azerty, ';' | ',') => 'm',
            (_, other) => other,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Azerty => "AZERTY",
            Self::Qwertz => "QWERTZ",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_typed_under_another_layout_are_explained() {
        for (typed, layout) in [
            ("yebra", Some(Layout::Qwertz)), // zebra
            ("yestz", Some(Layout::Qwertz)), // zesty
            ("t/shirt", Some(Layout::Qwertz)),
            ("tßshirt", Some(Layout::Qwertz)),
            ("qbqcus", Some(Layout::Azerty)), // abacus
            ("woo;", Some(Layout::Azerty)),   // zoom
            ("woo,", Some(Layout::Azerty)),
            ("t6shirt", Some(Layout::Azerty)),
            ("abacus", None), // as it is
            ("nothing-like-a-word", None),
        ] {
            assert_eq!(Layout::that_explains(typed), layout, "{typed}");
        }
    }
}
