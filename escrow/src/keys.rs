//! The three keys that are not K: words key, box key, age identity.
//!
//! | key | private half | what it shows |
//! | --- | --- | --- |
//! | words key, Ed25519 | only in the root | that somebody had the ten words |
//! | box key, Ed25519 in OpenSSH form | on the box; the root has the public half | that an update came from the box |
//! | age identity, X25519 | only in the root; the box has the public half | opens updates |
//!
//! A ceremony makes all three anew.

use std::{fmt, str::FromStr};

use age::secrecy::ExposeSecret as _;
use ed25519_dalek::{Signer as _, SigningKey};
use rand::CryptoRng;
use ssh_key::{
    LineEnding, PrivateKey, PublicKey,
    private::{Ed25519Keypair, KeypairData},
    public::{Ed25519PublicKey, KeyData},
};
use tenwords_protocol::{
    bytes::Base64Array,
    v1::V1,
    words::{Claim, WordsProof, WordsPublicKey, signing_text},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// The private half of the words key. Whoever holds one has opened the root.
pub struct WordsKey(Box<SigningKey>);

/// The private half of the box key.
pub struct BoxKey {
    key: PrivateKey,
    public: BoxPublicKey,
}

/// The public half of the box key, written `ssh-ed25519 AAAA…` without a comment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BoxPublicKey([u8; 32]);

/// The private age identity for updates, written `AGE-SECRET-KEY-1…`.
pub struct AgeIdentity(Box<age::x25519::Identity>);

/// The public half of an age identity, written `age1…`.
#[derive(Clone, PartialEq, Eq)]
pub struct AgeRecipient(age::x25519::Recipient);

/// The text is no such key. It may have been a private one, so nothing of it is repeated.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0} was expected")]
pub struct KeyTextError(&'static str);

// === impl WordsKey ===

impl WordsKey {
    /// A fresh one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(&random(rng))
    }

    /// The key of this seed.
    #[must_use]
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self(Box::new(SigningKey::from_bytes(seed)))
    }

    /// Its public half, as headers carry it.
    #[must_use]
    pub fn public(&self) -> WordsPublicKey {
        Base64Array(self.0.verifying_key().to_bytes())
    }

    /// Signs that somebody had the words.
    #[must_use]
    pub fn sign_proof(&self, claim: &Claim) -> WordsProof {
        let signature = self.0.sign(signing_text(claim).as_bytes());
        WordsProof {
            v: V1,
            purpose: claim.purpose,
            version: claim.version,
            time: claim.time,
            nonce: claim.nonce,
            signature: Base64Array(signature.to_bytes()),
        }
    }

    pub(crate) fn expose_seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for WordsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WordsKey([redacted])")
    }
}

// === impl BoxKey ===

impl BoxKey {
    /// A fresh one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let pair = Ed25519Keypair::from_seed(&random(rng));
        let public = BoxPublicKey(pair.public.0);
        Self { key: PrivateKey::from(pair), public }
    }

    /// Reads OpenSSH's own file of an unencrypted Ed25519 key.
    ///
    /// # Errors
    /// [`KeyTextError`] for anything else.
    pub fn from_openssh(text: &str) -> Result<Self, KeyTextError> {
        let wrong = KeyTextError("an unencrypted OpenSSH private key of type ssh-ed25519");
        let Ok(key) = PrivateKey::from_openssh(text) else { return Err(wrong) };
        let KeypairData::Ed25519(pair) = key.key_data() else { return Err(wrong) };
        let public = BoxPublicKey(pair.public.0);
        Ok(Self { key, public })
    }

    /// OpenSSH's own file, for the one who writes it to the box (0600).
    ///
    /// # Errors
    /// [`KeyTextError`] if it cannot be written, which no Ed25519 key is known for.
    pub fn expose_openssh(&self) -> Result<Zeroizing<String>, KeyTextError> {
        self.key.to_openssh(LineEnding::LF).map_err(|_| KeyTextError("a key that OpenSSH's form can hold"))
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> BoxPublicKey {
        self.public
    }

    pub(crate) const fn expose_private(&self) -> &PrivateKey {
        &self.key
    }
}

impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxKey([redacted])")
    }
}

// === impl BoxPublicKey ===

impl BoxPublicKey {
    /// The raw Ed25519 key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<BoxPublicKey> for KeyData {
    fn from(key: BoxPublicKey) -> Self {
        Self::Ed25519(Ed25519PublicKey(key.0))
    }
}

impl fmt::Display for BoxPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = PublicKey::new(KeyData::from(*self), "");
        f.write_str(key.to_openssh().map_err(|_| fmt::Error)?.trim_end())
    }
}

impl fmt::Debug for BoxPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxPublicKey({self})")
    }
}

impl FromStr for BoxPublicKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let key = match PublicKey::from_openssh(text).as_ref().map(PublicKey::key_data) {
            Ok(KeyData::Ed25519(key)) => Self(key.0),
            _ => return Err(KeyTextError("a public key `ssh-ed25519 …`")),
        };
        if key.to_string() == text { Ok(key) } else { Err(KeyTextError("a public key without a comment")) }
    }
}

// === impl AgeIdentity ===

impl AgeIdentity {
    /// A fresh one. age takes the operating system's generator itself and accepts no other.
    #[must_use]
    pub fn generate() -> Self {
        Self(Box::new(age::x25519::Identity::generate()))
    }

    /// Reads `AGE-SECRET-KEY-1…`, and no other spelling of it.
    ///
    /// # Errors
    /// [`KeyTextError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, KeyTextError> {
        let wrong = KeyTextError("an identity `AGE-SECRET-KEY-1…`");
        let identity = Self(Box::new(text.parse().map_err(|_| wrong)?));
        if identity.expose_line().as_str() == text { Ok(identity) } else { Err(wrong_spelling()) }
    }

    /// The line that is an identity file for stock age.
    #[must_use]
    pub fn expose_line(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    pub(crate) const fn expose_identity(&self) -> &age::x25519::Identity {
        &self.0
    }

    /// Its public half, to which the box seals updates.
    #[must_use]
    pub fn public(&self) -> AgeRecipient {
        AgeRecipient(self.0.to_public())
    }
}

const fn wrong_spelling() -> KeyTextError {
    KeyTextError("an identity in capitals, on one line")
}

impl fmt::Debug for AgeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgeIdentity([redacted])")
    }
}

// === impl AgeRecipient ===

impl AgeRecipient {
    pub(crate) const fn recipient(&self) -> &age::x25519::Recipient {
        &self.0
    }
}

impl fmt::Display for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgeRecipient({})", self.0)
    }
}

impl FromStr for AgeRecipient {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        text.parse().map(Self).map_err(|_| KeyTextError("a recipient `age1…`"))
    }
}

fn random(rng: &mut impl CryptoRng) -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `ssh-keygen -t ed25519`; its private file is `tests/golden/box-key`.
    const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID+ccFluAkaUo5E59gSsd4zrWu0inv9IQFbDwby8lHDg";

    #[test]
    fn a_box_key_has_one_public_line() {
        assert_eq!(PUBLIC.parse::<BoxPublicKey>().map(|key| key.to_string()), Ok(PUBLIC.to_owned()));
        for bad in [
            format!("{PUBLIC} root@box"),
            format!("{PUBLIC}\n"),
            format!(" {PUBLIC}"),
            format!("restrict {PUBLIC}"),
            PUBLIC.replace(' ', "  "),
            String::new(),
        ] {
            assert!(bad.parse::<BoxPublicKey>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_identity_has_one_spelling() {
        let line = AgeIdentity::generate().expose_line();
        assert!(AgeIdentity::parse(&line).is_ok());
        assert!(line.starts_with("AGE-SECRET-KEY-1"));
        for bad in [line.to_lowercase(), format!("{}\n", *line), format!("# x\n{}", *line), String::new()] {
            assert!(AgeIdentity::parse(&bad).is_err());
        }
    }
}
