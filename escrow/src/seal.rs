//! Puts a root under the recovery code and takes it out again: age, passphrase, work factor 16. The
//! same for the body of an update, under the root's identity.
//!
//! age keeps one chunk (64 KiB) of the text it seals or opens in memory that it does not wipe when
//! it seals; everything on our side of it is wiped.

use std::{
    io::{Read as _, Write as _},
    iter,
};

use age::{DecryptError, Decryptor, Encryptor, Identity, scrypt, secrecy::SecretString};
use tenwords_protocol::version::MAX_AGE_BYTES;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    code::RecoveryCode,
    door::{AgePart, UpdatePart, WORK_FACTOR},
    keys::AgeIdentity,
    root::{Root, RootError},
    text,
};

/// Why a root was not sealed or not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// It opened, and was changed after it was sealed; or it is not what passed the door.
    #[error("the root was changed after it was sealed: {0}")]
    Damaged(&'static str),
    /// It opened, and is no root.
    #[error("what opened is not a root")]
    Root(#[from] RootError),
    /// It could not be sealed.
    #[error("the root cannot be sealed")]
    Sealing,
    /// The words are not the ones, or the part of the header that they open was changed. The two
    /// cannot be told apart.
    #[error("these words do not open this root")]
    WrongWords,
}

impl Root {
    /// Seals it. age takes the operating system's generator itself.
    ///
    /// # Errors
    /// [`SealError::Root`] if the text is too large, [`SealError::Sealing`] if age refuses.
    pub fn seal(&self, code: &RecoveryCode) -> Result<Vec<u8>, SealError> {
        let text = text::write(self)?;
        let mut recipient = scrypt::Recipient::new(SecretString::from(code.expose_passphrase()));
        recipient.set_work_factor(WORK_FACTOR);
        let sealed = seal_to(&recipient, &text).ok_or(SealError::Sealing)?;
        if sealed.len() > MAX_AGE_BYTES {
            return Err(RootError::TooLarge { limit: MAX_AGE_BYTES }.into());
        }
        Ok(sealed)
    }

    /// Opens what passed the door: one scrypt derivation, 64 MiB.
    ///
    /// # Errors
    /// [`SealError::WrongWords`] if the code is not the one; otherwise what is wrong with the root.
    pub fn open(part: &AgePart, code: &RecoveryCode) -> Result<Self, SealError> {
        let mut identity = scrypt::Identity::new(SecretString::from(code.expose_passphrase()));
        identity.set_max_work_factor(WORK_FACTOR);
        Ok(text::read(&open_with(part, &identity)?)?)
    }
}

/// Why an age file did not open.
pub(crate) enum Unopened {
    /// It was changed, or is not what passed the door.
    Damaged(&'static str),
    /// Nothing of it opens with this identity; or the part of the header that opens was changed.
    WrongIdentity,
}

impl From<Unopened> for SealError {
    fn from(why: Unopened) -> Self {
        match why {
            Unopened::Damaged(what) => Self::Damaged(what),
            Unopened::WrongIdentity => Self::WrongWords,
        }
    }
}

pub(crate) fn seal_to(recipient: &dyn age::Recipient, text: &[u8]) -> Option<Vec<u8>> {
    let encryptor = Encryptor::with_recipients(iter::once(recipient)).ok()?;
    let mut writer = encryptor.wrap_output(Vec::with_capacity(text.len() + 1024)).ok()?;
    writer.write_all(text).ok()?;
    writer.finish().ok()
}

fn open_with(part: &AgePart, identity: &dyn Identity) -> Result<Zeroizing<Vec<u8>>, SealError> {
    Ok(open_bytes(part.bytes(), true, identity)?)
}

/// Opens the body of an update.
pub(crate) fn open_update(part: &UpdatePart, identity: &AgeIdentity) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    open_bytes(part.bytes(), false, identity.expose_identity())
}

fn open_bytes(bytes: &[u8], by_words: bool, identity: &dyn Identity) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let decryptor = Decryptor::new_buffered(bytes).map_err(refused)?;
    if decryptor.is_scrypt() != by_words {
        return Err(Unopened::Damaged("its header is for another kind of opening"));
    }
    let mut reader = decryptor.decrypt(iter::once(identity)).map_err(refused)?;
    // The text is shorter than the file, so the buffer never moves.
    let mut text = Zeroizing::new(vec![0; bytes.len()]);
    let mut length = 0;
    loop {
        match reader.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(_) => return Err(Unopened::Damaged("its content")),
        }
    }
    text.truncate(length);
    Ok(text)
}

/// age's own texts need a localiser; ours say what it means here.
fn refused(error: DecryptError) -> Unopened {
    match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            Unopened::WrongIdentity
        }
        DecryptError::ExcessiveWork { .. } => Unopened::Damaged("its work factor"),
        DecryptError::InvalidMac => Unopened::Damaged("its header"),
        DecryptError::Io(_) => Unopened::Damaged("its end"),
        _ => Unopened::Damaged("its form"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::cell::RefCell;

    use age::secrecy::ExposeSecret as _;
    use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};

    use super::*;
    use crate::door;

    const CODE: &str = include_str!("../tests/golden/code.txt");
    const SEALED: &[u8] = include_bytes!("../tests/golden/root.age");
    const TEXT: &str = include_str!("../tests/golden/root.txt");

    /// Opens with the words, and remembers the file key that came out.
    struct Learning {
        words: scrypt::Identity,
        learnt: RefCell<Option<[u8; FILE_KEY_BYTES]>>,
    }

    impl Identity for Learning {
        fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
            let opened = self.words.unwrap_stanza(stanza)?;
            Some(opened.inspect(|key| *self.learnt.borrow_mut() = Some(*key.expose_secret())))
        }
    }

    /// Has the right file key whatever the stanza says: more than any attacker with a changed file
    /// can hope for.
    struct Known([u8; FILE_KEY_BYTES]);

    impl Identity for Known {
        fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
            Some(Ok(FileKey::new(Box::new(self.0))))
        }
    }

    fn known() -> Known {
        let words = scrypt::Identity::new(SecretString::from(CODE.trim_end()));
        let learning = Learning { words, learnt: RefCell::new(None) };
        let part = door::check_root(SEALED).unwrap();
        assert_eq!(*open_with(&part, &learning).unwrap(), TEXT.as_bytes());
        Known(learning.learnt.into_inner().unwrap())
    }

    /// The whole path but the derivation: door, header, content, text.
    fn opens(bytes: &[u8], key: &Known) -> bool {
        let Ok(part) = door::check_root(bytes) else { return false };
        open_with(&part, key).is_ok_and(|text| text::read(&text).is_ok())
    }

    #[test]
    fn every_flipped_byte_of_a_sealed_root_is_refused_even_with_its_file_key() {
        let key = known();
        assert!(opens(SEALED, &key));
        for at in 0..SEALED.len() {
            for mask in [0x01, 0x20, 0x80, 0xff] {
                let mut flipped = SEALED.to_vec();
                flipped[at] ^= mask;
                assert!(!opens(&flipped, &key), "byte {at} ^ {mask:#x}");
            }
        }
    }

    #[test]
    fn a_cut_or_lengthened_root_is_refused() {
        let key = known();
        for length in 0..SEALED.len() {
            assert!(!opens(&SEALED[..length], &key), "{length}");
        }
        let longer = [SEALED, b"\0"].concat();
        assert!(!opens(&longer, &key));
        let twice = [SEALED, SEALED].concat();
        assert!(!opens(&twice, &key));
    }

    #[test]
    fn what_age_says_becomes_our_own_words() {
        for (error, said) in [
            (DecryptError::DecryptionFailed, "these words do not open this root"),
            (
                DecryptError::ExcessiveWork { required: 18, target: 16 },
                "the root was changed after it was sealed: its work factor",
            ),
            (DecryptError::InvalidMac, "the root was changed after it was sealed: its header"),
            (DecryptError::UnknownFormat, "the root was changed after it was sealed: its form"),
        ] {
            assert_eq!(SealError::from(refused(error)).to_string(), said);
        }
    }
}
