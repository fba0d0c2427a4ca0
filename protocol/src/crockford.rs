//! Crockford's base32, upper case when written. When read, case does not matter, `I` and `L` count
//! as 1, `O` as 0; blanks and hyphens are skipped.

use thiserror::Error;

/// Why a text was not read.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrockfordError {
    /// A character outside the alphabet (U is not in it).
    #[error("character {position} cannot stand in such a code")]
    Character {
        /// Counted from 1, blanks and hyphens included.
        position: usize,
    },
    /// Too few or too many characters.
    #[error("{expected} characters were expected, {found} were found")]
    Length {
        /// Characters of the code, without blanks and hyphens.
        expected: usize,
        /// Characters found.
        found: usize,
    },
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The first `characters` × 5 bits of `bytes`; bits beyond the end count as zero.
#[must_use]
pub fn encode(bytes: &[u8], characters: usize) -> String {
    let bit = |index: usize| bytes.get(index / 8).map_or(0, |byte| byte >> (7 - index % 8) & 1);
    (0..characters)
        .map(|c| {
            let value = (0..5).fold(0, |value, offset| value << 1 | bit(c * 5 + offset));
            char::from(ALPHABET[usize::from(value)])
        })
        .collect()
}

/// Reads exactly `N` bytes (`N` × 8 must be a multiple of 5).
///
/// # Errors
/// [`CrockfordError`], naming the first character that cannot be.
pub fn decode<const N: usize>(text: &str) -> Result<[u8; N], CrockfordError> {
    let expected = N * 8 / 5;
    let mut bytes = [0; N];
    let mut found = 0;
    for (index, c) in text.chars().enumerate() {
        if c == '-' || c.is_whitespace() {
            continue;
        }
        let value = digit(c).ok_or(CrockfordError::Character { position: index + 1 })?;
        if found < expected {
            for offset in 0..5 {
                let bit = found * 5 + offset;
                bytes[bit / 8] |= (value >> (4 - offset) & 1) << (7 - bit % 8);
            }
        }
        found += 1;
    }
    if found == expected { Ok(bytes) } else { Err(CrockfordError::Length { expected, found }) }
}

/// Groups of four, joined by hyphens.
#[must_use]
pub fn grouped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for (index, c) in text.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            out.push('-');
        }
        out.push(c);
    }
    out
}

fn digit(c: char) -> Option<u8> {
    let c = match c.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    let byte = u8::try_from(c).ok()?;
    ALPHABET.iter().position(|known| *known == byte).and_then(|at| u8::try_from(at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back_in_any_case() {
        let bytes: [u8; 20] = std::array::from_fn(|i| u8::try_from(i * 13 % 256).unwrap_or(0));
        let text = encode(&bytes, 32);
        assert_eq!(decode::<20>(&text), Ok(bytes));
        assert_eq!(decode::<20>(&grouped(&text).to_lowercase()), Ok(bytes));
        assert_eq!(decode::<20>(&text.replace('1', "l").replace('0', "o")), Ok(bytes));
    }

    #[test]
    fn what_is_no_code_is_named() {
        assert_eq!(decode::<5>("ABCDEFGU"), Err(CrockfordError::Character { position: 8 }));
        assert_eq!(decode::<5>("ABCDEFG"), Err(CrockfordError::Length { expected: 8, found: 7 }));
        assert_eq!(decode::<5>("ABCDEFGHJ"), Err(CrockfordError::Length { expected: 8, found: 9 }));
    }
}
