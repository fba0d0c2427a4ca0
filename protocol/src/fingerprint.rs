//! A PBS key fingerprint, in the forms in which PBS prints it.
//!
//! Source of the forms: `formats.md` §1.4, recorded from the real client (full in key files and
//! snapshot lists, short in log lines and errors). PBS also reads capitals and a form without
//! colons; what travels between our own programs is the written form alone.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

/// The full fingerprint: 32 bytes, printed as 64 hex digits with colons (95 characters).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// The first eight bytes, as log lines and error texts show them (23 characters).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortFingerprint([u8; 8]);

/// Why a text is not a fingerprint.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FingerprintError {
    /// Neither 95 (full) nor 23 (short) nor 64 (hex) characters, whichever was asked for.
    #[error("a fingerprint of {expected} characters was expected, {found} were found")]
    Length {
        /// Characters that the form has.
        expected: usize,
        /// Bytes that the text has.
        found: usize,
    },
    /// A character that is neither a lower-case hex digit nor a colon in its place.
    #[error("character {position} of the fingerprint is not a lower-case hex digit or a colon in its place")]
    Character {
        /// Counted from 1.
        position: usize,
    },
}

impl Fingerprint {
    /// The fingerprint with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The form of log lines and error texts.
    #[must_use]
    pub fn shortened(&self) -> ShortFingerprint {
        let mut short = [0; 8];
        short.copy_from_slice(&self.0[..8]);
        ShortFingerprint(short)
    }

    /// The short form as text.
    #[must_use]
    pub fn short(&self) -> String {
        self.shortened().to_string()
    }

    /// 64 lower-case hex digits without colons, as in part names.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads [`Self::to_hex`]'s form, and no other.
    ///
    /// # Errors
    /// [`FingerprintError`] for another length or character.
    pub fn from_hex(text: &str) -> Result<Self, FingerprintError> {
        if text.len() != 64 {
            return Err(FingerprintError::Length { expected: 64, found: text.len() });
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = hex_pair(text.as_bytes(), index * 2)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_colons(f, &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_colons(text).map(Self)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl ShortFingerprint {
    /// Its eight bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for ShortFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_colons(f, &self.0)
    }
}

impl fmt::Debug for ShortFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortFingerprint({self})")
    }
}

impl FromStr for ShortFingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_colons(text).map(Self)
    }
}

fn write_colons(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            f.write_str(":")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

fn read_colons<const N: usize>(text: &str) -> Result<[u8; N], FingerprintError> {
    let expected = N * 3 - 1;
    if text.len() != expected {
        return Err(FingerprintError::Length { expected, found: text.len() });
    }
    let text = text.as_bytes();
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let start = index * 3;
        *byte = hex_pair(text, start)?;
        if index + 1 < N && text[start + 2] != b':' {
            return Err(FingerprintError::Character { position: start + 3 });
        }
    }
    Ok(bytes)
}

fn hex_pair(text: &[u8], start: usize) -> Result<u8, FingerprintError> {
    let digit = |position: usize| match text[position] {
        c @ b'0'..=b'9' => Ok(c - b'0'),
        c @ b'a'..=b'f' => Ok(c - b'a' + 10),
        _ => Err(FingerprintError::Character { position: position + 1 }),
    };
    Ok(digit(start)? << 4 | digit(start + 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constant of the upstream unit test (`formats.md` §0).
    const FULL: &str =
        "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b";

    #[test]
    fn both_forms_come_back_as_they_were() -> Result<(), FingerprintError> {
        let full: Fingerprint = FULL.parse()?;
        assert_eq!(full.to_string(), FULL);
        assert_eq!(full.short(), &FULL[..23]);
        assert_eq!(full.short().parse::<ShortFingerprint>()?, full.shortened());
        assert_eq!(Fingerprint::from_hex(&full.to_hex())?, full);
        Ok(())
    }

    #[test]
    fn anything_but_the_written_form_is_refused() {
        for bad in [
            String::new(),
            FULL.to_uppercase(),
            FULL.replace(':', "-"),
            FULL.replace(':', ""),
            format!("{FULL}:00"),
            format!(" {}", &FULL[1..]),
            FULL[..23].to_owned(),
            format!("{}é", &FULL[..93]),
        ] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
        assert_eq!(FULL.replacen('e', "E", 1).parse::<Fingerprint>(), Err(FingerprintError::Character { position: 2 }));
    }
}
