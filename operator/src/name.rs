//! A box's name, as an operator types it and reads it over the phone.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tenwords_protocol::id::BoxId;

/// One to 63 letters, digits, dots, dashes and underscores, beginning with a letter, a digit or an
/// underscore, and not shaped like a box id: nothing in it is invisible, looks like another name, or
/// reads as an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(String);

/// Why a text is not a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NameError;

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        let known = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        if begins && known && text.len() <= 63 && text.parse::<BoxId>().is_err() {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError)
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name is one to 63 letters, digits, dots, dashes and underscores, and not a box id")
    }
}

impl std::error::Error for NameError {}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_misread_or_looks_like_an_id_is_not_a_name() {
        for good in ["lab-1", "PVE01.example.net", "_", "a", &"x".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-rf",
            ".hidden",
            "two words",
            "büro",
            "tab\tbed",
            "zero\u{200b}width",
            "a\u{202e}b",
            "a\x1b[31m",
            "a/b",
            "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d",
            &"x".repeat(64),
        ] {
            assert_eq!(bad.parse::<Name>(), Err(NameError), "{bad}");
        }
    }
}
