//! The names of an escrow version's parts.

use std::{fmt, num::NonZeroU64, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use crate::fingerprint::Fingerprint;

/// What a part is. Its text is `key/<64 hex>`, `root.age`, `update/<sequence>` or
/// `pins/<generation>`; nothing else exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartName {
    /// A PBS key file under the recovery code, by the fingerprint of its key.
    Key(Fingerprint),
    /// A statement about a changed list of operator keys.
    Pins(NonZeroU64),
    /// What a recovery believes, under the recovery code.
    Root,
    /// What the daemon added without the recovery code.
    Update(NonZeroU64),
}

/// The text names no part.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a part is named key/<64 hex digits>, root.age, update/<number> or pins/<number>")]
pub struct PartNameError;

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(fingerprint) => write!(f, "key/{}", fingerprint.to_hex()),
            Self::Pins(generation) => write!(f, "pins/{generation}"),
            Self::Root => f.write_str("root.age"),
            Self::Update(sequence) => write!(f, "update/{sequence}"),
        }
    }
}

impl FromStr for PartName {
    type Err = PartNameError;

    fn from_str(text: &str) -> Result<Self, PartNameError> {
        match text.split_once('/') {
            None if text == "root.age" => Ok(Self::Root),
            Some(("key", hex)) => Fingerprint::from_hex(hex).map(Self::Key).map_err(|_| PartNameError),
            Some(("update", number)) => number_of(number).map(Self::Update),
            Some(("pins", number)) => number_of(number).map(Self::Pins),
            _ => Err(PartNameError),
        }
    }
}

/// One number, one text: no sign, no leading zero.
fn number_of(text: &str) -> Result<NonZeroU64, PartNameError> {
    let number: NonZeroU64 = text.parse().map_err(|_| PartNameError)?;
    if number.to_string() == text { Ok(number) } else { Err(PartNameError) }
}

/// The order of the texts.
impl Ord for PartName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rank = |name: &Self| match name {
            Self::Key(_) => 0,
            Self::Pins(_) => 1,
            Self::Root => 2,
            Self::Update(_) => 3,
        };
        match (self, other) {
            (Self::Key(a), Self::Key(b)) => a.cmp(b),
            // As text, where 10 stands before 9.
            (Self::Pins(a), Self::Pins(b)) | (Self::Update(a), Self::Update(b)) => a.to_string().cmp(&b.to_string()),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for PartName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for PartName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PartName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_text() {
        let key = format!("key/{}", "0a".repeat(32));
        for good in [key.as_str(), "root.age", "update/1", "pins/18446744073709551615"] {
            assert_eq!(good.parse::<PartName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "root",
            "Root.age",
            "key/",
            "update/0",
            "update/01",
            "update/+1",
            "update/-1",
            "pins/",
            "pins/1/2",
            "../root.age",
            "key/../root.age",
            "update/18446744073709551616",
            "root.age/",
        ] {
            assert_eq!(bad.parse::<PartName>(), Err(PartNameError), "{bad}");
        }
        assert!(format!("key/{}", "0A".repeat(32)).parse::<PartName>().is_err());
    }
}
