//! The number that every text of ours begins with.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// `"v":1`. Any other number is refused, in words that say what to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct V1;

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(1)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format_args!(
                "this is version {other} of the text, and this program reads version 1: install a newer tenwords"
            ))),
        }
    }
}
