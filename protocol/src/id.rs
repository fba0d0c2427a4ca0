//! Ids: lower-case version 4 UUIDs. A box id is made by the operator's command line, a node id by
//! the hub, a code id and a recovery id by the agent.

use std::{fmt, str::FromStr};

use rand::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a lower-case version 4 UUID was expected")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh one.
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = [0; 16];
                rng.fill_bytes(&mut bytes);
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

id! {
    /// One Proxmox VE installation, a standalone node or a whole cluster.
    BoxId
}
id! {
    /// One machine of a box, with its own agent and certificate.
    NodeId
}
id! {
    /// One recovery code's public id, unrelated to its words.
    CodeId
}
id! {
    /// One recovery: what it makes carries it as its mark until it is whole.
    RecoveryId
}

fn parse(text: &str) -> Result<Uuid, IdError> {
    let uuid = Uuid::try_parse(text).map_err(|_| IdError)?;
    let strict = uuid.get_version_num() == 4
        && uuid.get_variant() == uuid::Variant::RFC4122
        && uuid.as_hyphenated().to_string() == text;
    if strict { Ok(uuid) } else { Err(IdError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_written_form_is_read() {
        let good = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d";
        assert_eq!(good.parse::<BoxId>().map(|id| id.to_string()), Ok(good.to_owned()));
        for bad in [
            "",
            "3F2B8A52-7C1D-4E7A-9B60-0D1F2A3B4C5D",
            "3f2b8a527c1d4e7a9b600d1f2a3b4c5d",
            "{3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d}",
            "3f2b8a52-7c1d-1e7a-9b60-0d1f2a3b4c5d",
            "3f2b8a52-7c1d-4e7a-cb60-0d1f2a3b4c5d",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(bad.parse::<BoxId>(), Err(IdError), "{bad}");
        }
    }
}
