//! Tickets: 80 bits of secret, and 80 bits by which the hub can be recognised.
//!
//! The agent checks the server CA in the TLS chain against the ticket *before* it sends the secret.

use std::{fmt, str::FromStr};

use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::{
    crockford::{self, CrockfordError},
    hash::Sha256,
};

/// The first 80 bits of SHA-256 over the server CA's SPKI (DER).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorityPrefix([u8; 10]);

/// The part of a ticket that the hub must hear once, and nobody else ever.
#[derive(ZeroizeOnDrop)]
pub struct TicketSecret([u8; 10]);

/// A ticket: where the hub is, how it is recognised, and the secret.
pub struct Ticket {
    hub: HubAddress,
    authority: AuthorityPrefix,
    secret: TicketSecret,
}

/// `host` or `host:port` (IPv6 in square brackets) of the hub's listener for agents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubAddress(String);

/// Why a text is not a ticket. None of these carries any of the text.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TicketError {
    /// The four check characters disagree.
    #[error("the ticket was mistyped: its last four characters do not fit the rest")]
    Check,
    /// Not 36 characters of the alphabet.
    #[error("the ticket's code was mistyped")]
    Code(#[source] CrockfordError),
    /// No hub name in front of the code.
    #[error("a ticket is `tenwords1:<hub>:<36 characters>`, or the hub's name and nine groups of four characters")]
    Form,
    /// The hub's name cannot be one.
    #[error("the ticket's hub name is not a host name with an optional port")]
    Hub,
}

const PASTED: &str = "tenwords1:";

// === impl AuthorityPrefix ===

impl AuthorityPrefix {
    /// The prefix of a server CA with this SPKI (DER).
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Self {
        let mut prefix = [0; 10];
        prefix.copy_from_slice(&Sha256::of(spki).as_bytes()[..10]);
        Self(prefix)
    }
}

// === impl TicketSecret ===

impl TicketSecret {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Self([0; 10]);
        rng.fill_bytes(&mut secret.0);
        secret
    }

    /// Its bytes, for the hub's keyed hash.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8; 10] {
        &self.0
    }

    /// Whether two secrets are the same, in constant time.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret([redacted])")
    }
}

/// How a secret stands in an enrolment or claim: sixteen Crockford characters. Only the two
/// requests that send one name this module.
pub mod sent {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use zeroize::Zeroizing;

    use super::{TicketSecret, crockford};

    pub(crate) fn serialize<S: Serializer>(secret: &TicketSecret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(crockford::encode(&secret.0, 16)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TicketSecret, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        crockford::decode(&text).map(TicketSecret).map_err(|_| D::Error::custom("a ticket's secret was expected"))
    }
}

// === impl Ticket ===

impl Ticket {
    /// A ticket for this hub.
    #[must_use]
    pub fn new(hub: HubAddress, authority: AuthorityPrefix, secret: TicketSecret) -> Self {
        Self { hub, authority, secret }
    }

    /// Where the hub is.
    #[must_use]
    pub fn hub(&self) -> &HubAddress {
        &self.hub
    }

    /// How it is recognised.
    #[must_use]
    pub fn authority(&self) -> AuthorityPrefix {
        self.authority
    }

    /// The secret, for whoever keeps a hash of it.
    #[must_use]
    pub fn expose_secret(&self) -> &TicketSecret {
        &self.secret
    }

    /// The secret, to be sent once the hub was recognised.
    #[must_use]
    pub fn into_secret(self) -> TicketSecret {
        self.secret
    }

    /// The form to paste: `tenwords1:<hub>:<36 characters>`.
    #[must_use]
    pub fn expose_pasted(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PASTED}{}:{}", self.hub, *self.code()))
    }

    /// The form to type: the hub's name and nine groups of four.
    #[must_use]
    pub fn expose_typed(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{} {}", self.hub, *Zeroizing::new(crockford::grouped(&self.code()))))
    }

    fn code(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; 20]);
        bytes[..10].copy_from_slice(&self.secret.0);
        bytes[10..].copy_from_slice(&self.authority.0);
        let check = crockford::encode(Sha256::of(&*bytes).as_bytes(), 4);
        Zeroizing::new(format!("{}{check}", *Zeroizing::new(crockford::encode(&*bytes, 32))))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        let (hub, code) = match text.strip_prefix(PASTED) {
            Some(rest) => rest.rsplit_once(':').ok_or(TicketError::Form)?,
            None => text.split_once(char::is_whitespace).ok_or(TicketError::Form)?,
        };
        let hub = hub.parse()?;
        let plain: Zeroizing<String> =
            Zeroizing::new(code.chars().filter(|c| *c != '-' && !c.is_whitespace()).collect());
        if plain.chars().count() != 36 || !plain.is_ascii() {
            return Err(TicketError::Code(CrockfordError::Length { expected: 36, found: plain.chars().count() }));
        }
        // Four more characters make whole bytes: 20 of the code, then the check's 20 bits.
        let padded = Zeroizing::new(format!("{}0000", *plain));
        let read = crockford::decode::<25>(&padded).map(Zeroizing::new).map_err(TicketError::Code)?;
        let (bytes, check) = read.split_at(20);
        if crockford::encode(check, 4) != crockford::encode(Sha256::of(bytes).as_bytes(), 4) {
            return Err(TicketError::Check);
        }
        let (mut secret, mut authority) = (TicketSecret([0; 10]), AuthorityPrefix([0; 10]));
        secret.0.copy_from_slice(&bytes[..10]);
        authority.0.copy_from_slice(&bytes[10..]);
        Ok(Self { hub, authority, secret })
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("hub", &self.hub).field("secret", &self.secret).finish_non_exhaustive()
    }
}

// === impl HubAddress ===

impl HubAddress {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host without brackets, and port (8443 if none is named).
    #[must_use]
    pub fn host_and_port(&self) -> (&str, u16) {
        let (host, port) = split_port(&self.0);
        (host.trim_start_matches('[').trim_end_matches(']'), port.and_then(|p| p.parse().ok()).unwrap_or(8443))
    }
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HubAddress {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let (host, port) = split_port(text);
        let named = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(v6)) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            Some(None) => false,
            None => {
                !host.is_empty()
                    && host.len() <= 253
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            }
        };
        let ported = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == p));
        if named && ported { Ok(Self(text.to_owned())) } else { Err(TicketError::Hub) }
    }
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

impl Serialize for HubAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HubAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
