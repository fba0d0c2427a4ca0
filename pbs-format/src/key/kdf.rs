//! From a passphrase to the key that a key file is sealed under.
//!
//! `formats.md` §1.3. A key file may come from a stranger, so every parameter is weighed before a
//! byte of memory or a round of work is spent on it. Memory is limited as the reference limits it
//! (OpenSSL with 1025 MiB: N = 2^20 with r = 8 opens, more does not); work is limited by us, which
//! the reference does not do.
//!
//! What comes out is wiped on drop. What cannot be promised: the crates that derive keep their
//! large tables in ordinary memory and free them unwiped.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use super::file::base64_text;

/// Bytes that a passphrase has at least, when sealing and when opening.
pub const MIN_PASSPHRASE: usize = 5;

/// What scrypt may take in memory.
const MAX_MEMORY: u64 = 1025 << 20;
/// What scrypt may take in time, as N·r·p: four times the dearest file that fits into the memory
/// with p = 1.
const MAX_WORK: u64 = 1 << 25;
/// Rounds of PBKDF2: 150 times as many as PBS writes, a few seconds.
const MAX_ROUNDS: u64 = 10_000_000;

/// How a key file is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kdf {
    /// Not at all: the file holds the key itself.
    None,
    /// scrypt.
    Scrypt {
        /// The cost, the number itself and not its logarithm.
        n: u64,
        /// The block size.
        r: u64,
        /// The parallelism.
        p: u64,
        /// The salt, 32 bytes as PBS writes it; any length is read.
        salt: Vec<u8>,
    },
    /// PBKDF2 with HMAC-SHA256.
    Pbkdf2 {
        /// The rounds; PBS writes 65535.
        iter: u64,
        /// The salt.
        salt: Vec<u8>,
    },
}

/// Why a key was not derived.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KdfError {
    /// The passphrase is shorter than PBS allows.
    #[error("the passphrase has fewer than {MIN_PASSPHRASE} bytes")]
    PassphraseTooShort,
    /// scrypt is not defined for these parameters.
    #[error("scrypt is not defined for n = {n}, r = {r}, p = {p}")]
    Undefined {
        /// As in the file.
        n: u64,
        /// As in the file.
        r: u64,
        /// As in the file.
        p: u64,
    },
    /// The file asks for more memory or time than anything that PBS opens or writes.
    #[error("the key file asks for more memory or time than a key file may")]
    TooExpensive,
    /// PBKDF2 without a single round.
    #[error("the key file states no rounds for PBKDF2")]
    NoRounds,
    /// The file is not protected, so nothing can be derived for it.
    #[error("the key file is not protected by a passphrase")]
    NotProtected,
}

/// What a passphrase became. Opens the key file that it was derived for in microseconds.
pub struct DerivedKey(Box<Zeroizing<[u8; 32]>>);

impl DerivedKey {
    pub(super) fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKey([redacted])")
    }
}

impl Kdf {
    /// PBS's own word for it: `none`, `scrypt` or `pbkdf2`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Scrypt { .. } => "scrypt",
            Self::Pbkdf2 { .. } => "pbkdf2",
        }
    }

    /// Weighs the parameters; no work is done.
    ///
    /// # Errors
    /// [`KdfError::Undefined`], [`KdfError::NoRounds`] or [`KdfError::TooExpensive`].
    pub fn check(&self) -> Result<(), KdfError> {
        match *self {
            Self::None => Ok(()),
            Self::Scrypt { n, r, p, .. } => scrypt_params(n, r, p).map(drop),
            Self::Pbkdf2 { iter, .. } => rounds(iter).map(drop),
        }
    }

    /// Derives, after [`Self::check`].
    ///
    /// # Errors
    /// [`KdfError`], before any work is done.
    pub fn derive(&self, passphrase: &[u8]) -> Result<DerivedKey, KdfError> {
        if passphrase.len() < MIN_PASSPHRASE {
            return Err(KdfError::PassphraseTooShort);
        }
        let mut key = Box::new(Zeroizing::new([0; 32]));
        match *self {
            Self::None => return Err(KdfError::NotProtected),
            Self::Scrypt { n, r, p, ref salt } => {
                let params = scrypt_params(n, r, p)?;
                scrypt::scrypt(passphrase, salt, &params, key.as_mut_slice()).map_err(|_| KdfError::Undefined {
                    n,
                    r,
                    p,
                })?;
            }
            Self::Pbkdf2 { iter, ref salt } => {
                let iter = rounds(iter)?;
                pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, salt, iter, key.as_mut_slice());
            }
        }
        Ok(DerivedKey(key))
    }
}

fn scrypt_params(n: u64, r: u64, p: u64) -> Result<scrypt::Params, KdfError> {
    let undefined = KdfError::Undefined { n, r, p };
    // RFC 7914: N is a power of two above 1 and below 2^(128·r/8).
    if n < 2 || !n.is_power_of_two() || r == 0 || p == 0 || (r < 4 && n.ilog2() >= 16 * r as u32) {
        return Err(undefined);
    }
    // The large table with two spare blocks, and the p blocks beside it, as OpenSSL counts them.
    let memory = n
        .checked_add(2)
        .and_then(|rows| rows.checked_add(p))
        .and_then(|rows| rows.checked_mul(r))
        .and_then(|blocks| blocks.checked_mul(128));
    let work = n.checked_mul(r).and_then(|work| work.checked_mul(p));
    if memory.is_none_or(|bytes| bytes > MAX_MEMORY) || work.is_none_or(|work| work > MAX_WORK) {
        return Err(KdfError::TooExpensive);
    }
    let (Ok(log), Ok(r), Ok(p)) = (u8::try_from(n.ilog2()), u32::try_from(r), u32::try_from(p)) else {
        return Err(undefined);
    };
    scrypt::Params::new(log, r, p).map_err(|_| undefined)
}

fn rounds(iter: u64) -> Result<u32, KdfError> {
    match u32::try_from(iter) {
        Ok(0) => Err(KdfError::NoRounds),
        Ok(few) if iter <= MAX_ROUNDS => Ok(few),
        _ => Err(KdfError::TooExpensive),
    }
}

/// The JSON form: an object with one key.
#[derive(Deserialize, Serialize)]
pub(super) enum KdfText {
    Scrypt {
        n: u64,
        r: u64,
        p: u64,
        #[serde(with = "base64_text")]
        salt: Vec<u8>,
    },
    #[serde(rename = "PBKDF2")]
    Pbkdf2 {
        iter: u64,
        #[serde(with = "base64_text")]
        salt: Vec<u8>,
    },
}

impl From<Option<KdfText>> for Kdf {
    fn from(text: Option<KdfText>) -> Self {
        match text {
            None => Self::None,
            Some(KdfText::Scrypt { n, r, p, salt }) => Self::Scrypt { n, r, p, salt },
            Some(KdfText::Pbkdf2 { iter, salt }) => Self::Pbkdf2 { iter, salt },
        }
    }
}

impl From<&Kdf> for Option<KdfText> {
    fn from(kdf: &Kdf) -> Self {
        match kdf.clone() {
            Kdf::None => None,
            Kdf::Scrypt { n, r, p, salt } => Some(KdfText::Scrypt { n, r, p, salt }),
            Kdf::Pbkdf2 { iter, salt } => Some(KdfText::Pbkdf2 { iter, salt }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrypt(n: u64, r: u64, p: u64) -> Result<(), KdfError> {
        Kdf::Scrypt { n, r, p, salt: Vec::new() }.check()
    }

    #[test]
    fn what_the_reference_opens_is_within_the_limits() {
        for (n, r, p) in [(65_536, 8, 1), (1 << 20, 8, 1), (1024, 8, 1), (2048, 4, 2), (2, 1, 1)] {
            assert_eq!(scrypt(n, r, p), Ok(()), "{n} {r} {p}");
        }
    }

    #[test]
    fn what_would_cost_too_much_is_refused_before_it_costs() {
        for (n, r, p) in [
            (1 << 21, 8, 1),
            (1 << 20, 9, 1),
            (1 << 63, 8, 1),
            (1 << 63, u64::MAX, 1),
            (65_536, 8, u64::MAX),
            (65_536, 8, 65_536),
            (1 << 24, 2, 1),
            (2, 1, 1 << 24),
        ] {
            assert_eq!(scrypt(n, r, p), Err(KdfError::TooExpensive), "{n} {r} {p}");
        }
        for iter in [MAX_ROUNDS + 1, 1 << 32, u64::MAX] {
            assert_eq!(Kdf::Pbkdf2 { iter, salt: Vec::new() }.check(), Err(KdfError::TooExpensive));
        }
    }

    #[test]
    fn what_scrypt_does_not_define_is_refused() {
        for (n, r, p) in [(0, 8, 1), (1, 8, 1), (65_535, 8, 1), (65_536, 0, 1), (65_536, 8, 0), (65_536, 1, 1)] {
            assert_eq!(scrypt(n, r, p), Err(KdfError::Undefined { n, r, p }), "{n} {r} {p}");
        }
        assert_eq!(Kdf::Pbkdf2 { iter: 0, salt: Vec::new() }.check(), Err(KdfError::NoRounds));
    }
}
