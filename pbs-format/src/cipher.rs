//! AES-256-GCM as PBS uses it: a **16-byte** IV, so that the first counter block comes out of
//! GHASH, no associated data, a tag of 16 bytes that is stored apart from the ciphertext.
//!
//! `formats.md` §1.2 and §2.2; proven by `keyfiles.valid` and `blobs.valid` of the vectors, two of
//! which make the 32-bit counter wrap.

use aes_gcm::{
    AesGcm, KeyInit,
    aead::{AeadInOut, consts::U16},
    aes::Aes256,
};

/// Bytes of an IV.
pub(crate) const IV: usize = 16;
/// Bytes of a tag.
pub(crate) const TAG: usize = 16;

/// The tag does not belong to this ciphertext, IV and key; or there is more than GCM can take.
#[derive(Debug)]
pub(crate) struct Refused;

/// Decrypts in place after the tag was found right; on an error `text` is still the ciphertext.
pub(crate) fn open(key: &[u8; 32], iv: &[u8; IV], tag: &[u8; TAG], text: &mut [u8]) -> Result<(), Refused> {
    cipher(key).decrypt_inout_detached(iv.into(), &[], text.into(), tag.into()).map_err(|_| Refused)
}

/// Encrypts in place and gives the tag. The caller draws a fresh `iv` for each text.
pub(crate) fn seal(key: &[u8; 32], iv: &[u8; IV], text: &mut [u8]) -> Result<[u8; TAG], Refused> {
    let tag = cipher(key).encrypt_inout_detached(iv.into(), &[], text.into()).map_err(|_| Refused)?;
    Ok(tag.into())
}

fn cipher(key: &[u8; 32]) -> AesGcm<Aes256, U16> {
    AesGcm::new(key.into())
}
