//! The hub's own secret, and what it hashes: tickets and tokens are stored as keyed hashes only, so
//! a copy of the database names none of them.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tenwords_protocol::{crockford, ticket::TicketSecret};
use zeroize::{Zeroize as _, Zeroizing};

use crate::chance;

/// Bytes of the hub's secret.
pub(crate) const SECRET_BYTES: usize = 32;

const TOKEN: &str = "twa_";
const TOKEN_CHARACTERS: usize = 52;

/// The secret under which tickets and tokens are hashed.
pub struct HubSecret(Zeroizing<[u8; SECRET_BYTES]>);

/// An operator's token, `twa_` and 52 Crockford characters. Shown once, sent as a bearer token.
pub struct Token(Zeroizing<String>);

// === impl HubSecret ===

impl HubSecret {
    /// A fresh one.
    #[must_use]
    pub(crate) fn random() -> Self {
        Self(Zeroizing::new(chance::bytes()))
    }

    /// One that was stored.
    #[must_use]
    pub(crate) fn from_bytes(bytes: Zeroizing<[u8; SECRET_BYTES]>) -> Self {
        Self(bytes)
    }

    /// Its bytes, to be stored.
    #[must_use]
    pub(crate) fn expose_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// A ticket's hash, in hex.
    #[must_use]
    pub fn of_ticket(&self, ticket: &TicketSecret) -> String {
        self.hash("tenwords-ticket-v1", ticket.expose_bytes())
    }

    /// A token's hash, in hex.
    #[must_use]
    pub fn of_token(&self, token: &Token) -> String {
        self.hash("tenwords-token-v1", token.0.as_bytes())
    }

    fn hash(&self, label: &str, bytes: &[u8]) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.0) else { unreachable!("HMAC refused a key's length") };
        mac.update(label.as_bytes());
        mac.update(b"\n");
        mac.update(bytes);
        hex::encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for HubSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubSecret([redacted])")
    }
}

/// Whether two hashes are the same, in constant time.
#[must_use]
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

// === impl Token ===

impl Token {
    /// A fresh one.
    #[must_use]
    pub(crate) fn random() -> Self {
        let mut bytes: [u8; 33] = chance::bytes();
        let code = Zeroizing::new(crockford::encode(&bytes, TOKEN_CHARACTERS));
        bytes.zeroize();
        Self(Zeroizing::new(format!("{TOKEN}{}", *code)))
    }

    /// A token as it was sent; `None` if it cannot be one.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let code = text.strip_prefix(TOKEN)?;
        let fits = code.len() == TOKEN_CHARACTERS && code.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Its text, to be shown once.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_52_characters_and_is_never_shown_by_debug() {
        let token = Token::random();
        assert_eq!(token.expose_text().len(), 56);
        assert!(Token::parse(token.expose_text()).is_some());
        assert_eq!(format!("{token:?} {:?}", HubSecret::random()), "Token([redacted]) HubSecret([redacted])");
    }

    #[test]
    fn what_cannot_be_a_token_is_none() {
        let short = format!("twa_{}", "A".repeat(51));
        let other = format!("twb_{}", "A".repeat(52));
        for bad in ["", "twa_", &short, &other, &format!("twa_{}", "-".repeat(52))] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_ticket_and_a_token_of_the_same_bytes_have_different_hashes() {
        let secret = HubSecret::from_bytes(Zeroizing::new([1; 32]));
        assert_ne!(secret.hash("tenwords-ticket-v1", b"x"), secret.hash("tenwords-token-v1", b"x"));
        assert_ne!(secret.hash("a", b"x"), HubSecret::from_bytes(Zeroizing::new([2; 32])).hash("a", b"x"));
    }
}
