//! K, the key of a backup client, and the file that it lies in.
//!
//! `formats.md` §1. [`EncryptionKey`] is K itself. [`KeyFile`] is the JSON file, with K in plain or
//! under a passphrase; parsing one costs nothing and decides nothing, opening it does the
//! derivation, within limits that are checked before, and compares the fingerprint that the file
//! states with the key that came out.
//!
//! Nothing here reads a terminal, an environment variable or the clock.

mod file;
mod kdf;
mod place;

use std::fmt;

use hmac::{Hmac, KeyInit as _};
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use tenwords_protocol::fingerprint::Fingerprint;
use zeroize::Zeroizing;

pub use self::{
    file::{KeyFile, KeyFileError, MAX_KEY_FILE},
    kdf::{DerivedKey, Kdf, KdfError, MIN_PASSPHRASE},
    place::{KeyPlaceError, create_file, read_file, replace_file},
};

/// SHA-256 of `Proxmox Backup Encryption Key Fingerprint` (`formats.md` §1.4).
const FINGERPRINT_INPUT: [u8; 32] = [
    0x6e, 0xd0, 0xef, 0x77, 0x47, 0x1f, 0xff, 0x4d, 0x55, 0xc7, 0xa8, 0xfe, 0x4a, 0x9d, 0xb6, 0x21, 0x61, 0x40, 0x7f,
    0x13, 0x4c, 0x72, 0x5d, 0xdf, 0x30, 0x99, 0x2d, 0x25, 0xec, 0x45, 0xed, 0x26,
];

/// A client's encryption key with what is derived from it.
///
/// Its bytes are wiped on drop. There is no way to copy one; whoever must have a second asks
/// [`Self::expose_bytes`] for the bytes, which a search finds.
pub struct EncryptionKey {
    bytes: Box<Zeroizing<[u8; 32]>>,
    id_key: Box<Zeroizing<[u8; 32]>>,
    fingerprint: Fingerprint,
}

impl EncryptionKey {
    /// The key with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        let mut boxed = Box::new(Zeroizing::new([0; 32]));
        boxed.copy_from_slice(bytes.as_slice());
        let mut id_key = Box::new(Zeroizing::new([0; 32]));
        pbkdf2::pbkdf2_hmac::<Sha256>(boxed.as_slice(), b"_id_key", 10, id_key.as_mut_slice());
        let fingerprint = Sha256::new().chain_update(FINGERPRINT_INPUT).chain_update(id_key.as_slice()).finalize();
        Self { bytes: boxed, id_key, fingerprint: Fingerprint::from_bytes(fingerprint.into()) }
    }

    /// A fresh key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self::from_bytes(bytes)
    }

    /// PBS's public fingerprint of the key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The key's bytes, for the one who seals or compares them.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// What keys chunk digests and manifest signatures; never leaves this crate.
    pub(crate) fn expose_id_key(&self) -> &[u8; 32] {
        &self.id_key
    }

    /// A MAC under the id key, as manifests are signed with.
    pub(crate) fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.expose_id_key()).expect("HMAC takes a key of any length")
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey([redacted])")
    }
}
