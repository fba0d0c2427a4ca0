//! The key file: one JSON object.
//!
//! `formats.md` §1.1 and §1.2. Written compact, without a newline, as `kdf`, `created`,
//! `modified`, `data`, `fingerprint`, `hint`. Read as tolerantly as the reference reads it:
//! unknown fields, any order, blanks, base64 without padding, a fingerprint in capitals or without
//! colons, `Z` for a zone. `data` is the key itself (32 bytes), or IV 16, tag 16, ciphertext 32.

use std::{fmt, str::FromStr as _};

use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use tenwords_protocol::fingerprint::Fingerprint;
use thiserror::Error;
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};
use zeroize::Zeroizing;

use super::{
    EncryptionKey,
    kdf::{DerivedKey, Kdf, KdfError, KdfText},
};
use crate::cipher;

/// Bytes that a key file may have. Real ones have 255 to 800.
pub const MAX_KEY_FILE: usize = 64 << 10;

/// What PBS seals with: n, r, p and bytes of salt.
const PBS_SCRYPT: (u64, u64, u64) = (65_536, 8, 1);
const SALT: usize = 32;
/// What PBS writes, one less than a power of two (`formats.md` §1.3).
const PBS_ROUNDS: u64 = 65_535;
/// IV, tag and ciphertext.
const SEALED: usize = cipher::IV + cipher::TAG + 32;

/// A key file that was read or is to be written.
pub struct KeyFile {
    kdf: Kdf,
    created: OffsetDateTime,
    modified: OffsetDateTime,
    data: Zeroizing<Vec<u8>>,
    fingerprint: Option<Fingerprint>,
    hint: Option<String>,
}

/// Why a key file was not taken, or not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Larger than any key file.
    #[error("the key file has more than {MAX_KEY_FILE} bytes")]
    TooLarge,
    /// Something else than one JSON object.
    #[error("the key file is not a JSON object")]
    NotAnObject,
    /// Not JSON, a required field is missing, or a field is not what it should be.
    #[error("the key file cannot be read")]
    Json(#[source] serde_json::Error),
    /// It needs a passphrase and none was given.
    #[error("the key file is protected by a passphrase and none was given")]
    PassphraseNeeded,
    /// The derivation was refused.
    #[error("no key can be derived for this key file")]
    Kdf(#[source] KdfError),
    /// `data` has another length than its `kdf` asks for.
    #[error("the key file holds {found} bytes of key data instead of {expected}")]
    DataLength {
        /// 32 for a plain key, 64 for a protected one.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The passphrase is wrong, or the protected data was changed. These cannot be told apart.
    #[error("the passphrase does not open the key file")]
    WrongPassphrase,
    /// The file states another key's fingerprint.
    #[error("the key file states fingerprint {}, its key has {}", stated.short(), computed.short())]
    WrongFingerprint {
        /// As in the file.
        stated: Fingerprint,
        /// Of the key inside.
        computed: Fingerprint,
    },
    /// A hint must have 1 to 64 characters, none of them a control character.
    #[error("a hint must have 1 to 64 characters without control characters")]
    Hint,
    /// A hint makes no sense without a passphrase.
    #[error("a hint needs a passphrase to hint at")]
    HintWithoutPassphrase,
}

impl KeyFile {
    /// Reads a key file's text. No derivation is run.
    ///
    /// # Errors
    /// [`KeyFileError::TooLarge`], [`KeyFileError::NotAnObject`] or [`KeyFileError::Json`].
    pub fn parse(text: &[u8]) -> Result<Self, KeyFileError> {
        if text.len() > MAX_KEY_FILE {
            return Err(KeyFileError::TooLarge);
        }
        // serde would also take an array for the object, and quote any other value in its error.
        if text.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|&first| first != b'{') {
            return Err(KeyFileError::NotAnObject);
        }
        let text: Text = serde_json::from_slice(text).map_err(KeyFileError::Json)?;
        Ok(Self {
            kdf: text.kdf.into(),
            created: text.created,
            modified: text.modified,
            data: text.data,
            fingerprint: text.fingerprint,
            hint: text.hint,
        })
    }

    /// A file that holds the key unprotected. Times are Unix seconds; beyond the years 0 to 9999
    /// the nearest one is written.
    #[must_use]
    pub fn plain(key: &EncryptionKey, created: i64, modified: i64) -> Self {
        Self {
            kdf: Kdf::None,
            created: moment(created),
            modified: moment(modified),
            data: Zeroizing::new(key.expose_bytes().to_vec()),
            fingerprint: Some(key.fingerprint()),
            hint: None,
        }
    }

    /// A file that holds the key under a passphrase, with PBS's own parameters.
    ///
    /// # Errors
    /// [`KeyFileError::Kdf`] for a passphrase that PBS would refuse.
    pub fn scrypt(
        key: &EncryptionKey,
        passphrase: &[u8],
        created: i64,
        modified: i64,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, KeyFileError> {
        Self::scrypt_with(key, passphrase, PBS_SCRYPT, created, modified, rng)
    }

    /// As [`Self::scrypt`] with other `(n, r, p)`.
    ///
    /// # Errors
    /// [`KeyFileError::Kdf`] for a short passphrase, or parameters that could not be opened again.
    pub fn scrypt_with(
        key: &EncryptionKey,
        passphrase: &[u8],
        (n, r, p): (u64, u64, u64),
        created: i64,
        modified: i64,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, KeyFileError> {
        let salt = salt(rng);
        Self::seal_under(key, passphrase, Kdf::Scrypt { n, r, p, salt }, (created, modified), rng)
    }

    /// A file that holds the key under a passphrase by PBKDF2, with PBS's own number of rounds. For
    /// whoever has to play the client; scrypt costs an attacker far more.
    ///
    /// # Errors
    /// [`KeyFileError::Kdf`] for a passphrase that PBS would refuse.
    pub fn pbkdf2(
        key: &EncryptionKey,
        passphrase: &[u8],
        created: i64,
        modified: i64,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, KeyFileError> {
        let salt = salt(rng);
        Self::seal_under(key, passphrase, Kdf::Pbkdf2 { iter: PBS_ROUNDS, salt }, (created, modified), rng)
    }

    fn seal_under(
        key: &EncryptionKey,
        passphrase: &[u8],
        kdf: Kdf,
        (created, modified): (i64, i64),
        rng: &mut impl CryptoRng,
    ) -> Result<Self, KeyFileError> {
        let derived = kdf.derive(passphrase).map_err(KeyFileError::Kdf)?;
        let mut iv = [0; cipher::IV];
        rng.fill_bytes(&mut iv);
        let mut text = Zeroizing::new(*key.expose_bytes());
        let tag = cipher::seal(derived.expose_bytes(), &iv, text.as_mut_slice())
            .map_err(|cipher::Refused| KeyFileError::WrongPassphrase)?;
        let mut data = Zeroizing::new(Vec::with_capacity(SEALED));
        data.extend_from_slice(&iv);
        data.extend_from_slice(&tag);
        data.extend_from_slice(text.as_slice());
        Ok(Self {
            kdf,
            created: moment(created),
            modified: moment(modified),
            data,
            fingerprint: Some(key.fingerprint()),
            hint: None,
        })
    }

    /// The same file with a hint for its passphrase.
    ///
    /// # Errors
    /// [`KeyFileError::Hint`] or [`KeyFileError::HintWithoutPassphrase`].
    pub fn with_hint(self, hint: &str) -> Result<Self, KeyFileError> {
        if self.kdf == Kdf::None {
            return Err(KeyFileError::HintWithoutPassphrase);
        }
        if !(1..=64).contains(&hint.chars().count()) || hint.chars().any(char::is_control) {
            return Err(KeyFileError::Hint);
        }
        Ok(Self { hint: Some(hint.to_owned()), ..self })
    }

    /// How the file is protected. Anybody could have written this.
    #[must_use]
    pub fn kdf(&self) -> &Kdf {
        &self.kdf
    }

    /// The fingerprint that the file states. Only opening the file proves it.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// The hint, as it stands in the file: unchecked text from whoever wrote it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// When the key was made, in Unix seconds.
    #[must_use]
    pub fn created(&self) -> i64 {
        self.created.unix_timestamp()
    }

    /// When the file was last written, in Unix seconds.
    #[must_use]
    pub fn modified(&self) -> i64 {
        self.modified.unix_timestamp()
    }

    /// The text as PBS writes it: compact, fields in order, no newline.
    ///
    /// A file that was read keeps its zone, so that an unchanged file comes back byte for byte;
    /// what is made here is written in UTC.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let text = Text {
            kdf: (&self.kdf).into(),
            created: self.created,
            modified: self.modified,
            data: self.data.clone(),
            fingerprint: self.fingerprint,
            hint: self.hint.clone(),
        };
        // Room for everything, so that no grown-out-of buffer with the key is left behind.
        let mut json = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE));
        serde_json::to_writer(&mut *json, &text).expect("strings and integers can be written to memory");
        json
    }

    /// Opens the file. A passphrase given for an unprotected file is not looked at.
    ///
    /// # Errors
    /// [`KeyFileError`]; limits and lengths are checked before the derivation.
    pub fn open(&self, passphrase: Option<&[u8]>) -> Result<EncryptionKey, KeyFileError> {
        if self.kdf == Kdf::None {
            let mut key = Zeroizing::new([0; 32]);
            if self.data.len() != key.len() {
                return Err(KeyFileError::DataLength { expected: key.len(), found: self.data.len() });
            }
            key.copy_from_slice(&self.data);
            return self.checked(EncryptionKey::from_bytes(key));
        }
        let passphrase = passphrase.ok_or(KeyFileError::PassphraseNeeded)?;
        self.open_derived(&self.derive(passphrase)?)
    }

    /// Runs the derivation alone.
    ///
    /// # Errors
    /// [`KeyFileError::Kdf`] for an unprotected file, a short passphrase or parameters beyond the
    /// limits; [`KeyFileError::DataLength`], since the work would be for nothing.
    pub fn derive(&self, passphrase: &[u8]) -> Result<DerivedKey, KeyFileError> {
        if self.kdf != Kdf::None && passphrase.len() >= super::MIN_PASSPHRASE {
            self.sealed()?;
        }
        self.kdf.derive(passphrase).map_err(KeyFileError::Kdf)
    }

    /// Opens the file with what its passphrase became.
    ///
    /// # Errors
    /// [`KeyFileError::DataLength`], [`KeyFileError::WrongPassphrase`] or
    /// [`KeyFileError::WrongFingerprint`]; [`KeyFileError::Kdf`] if the file is unprotected.
    pub fn open_derived(&self, derived: &DerivedKey) -> Result<EncryptionKey, KeyFileError> {
        if self.kdf == Kdf::None {
            return Err(KeyFileError::Kdf(KdfError::NotProtected));
        }
        let Sealed { iv, tag, text } = self.sealed()?;
        let mut key = Zeroizing::new(*text);
        cipher::open(derived.expose_bytes(), iv, tag, key.as_mut_slice())
            .map_err(|cipher::Refused| KeyFileError::WrongPassphrase)?;
        self.checked(EncryptionKey::from_bytes(key))
    }

    fn sealed(&self) -> Result<Sealed<'_>, KeyFileError> {
        let wrong = KeyFileError::DataLength { expected: SEALED, found: self.data.len() };
        let Some((iv, rest)) = self.data.split_first_chunk() else { return Err(wrong) };
        let Some((tag, text)) = rest.split_first_chunk() else { return Err(wrong) };
        Ok(Sealed { iv, tag, text: text.try_into().map_err(|_| wrong)? })
    }

    fn checked(&self, key: EncryptionKey) -> Result<EncryptionKey, KeyFileError> {
        match self.fingerprint {
            Some(stated) if stated != key.fingerprint() => {
                Err(KeyFileError::WrongFingerprint { stated, computed: key.fingerprint() })
            }
            _ => Ok(key),
        }
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("kdf", &self.kdf)
            .field("created", &self.created())
            .field("modified", &self.modified())
            .field("data", &format_args!("[redacted]"))
            .field("fingerprint", &self.fingerprint)
            .field("hint", &self.hint)
            .finish()
    }
}

/// `data` of a protected file, in its three parts.
struct Sealed<'a> {
    iv: &'a [u8; cipher::IV],
    tag: &'a [u8; cipher::TAG],
    text: &'a [u8; 32],
}

#[derive(Deserialize, Serialize)]
#[serde(expecting = "a key file")]
struct Text {
    #[serde(default)]
    kdf: Option<KdfText>,
    #[serde(with = "time_text")]
    created: OffsetDateTime,
    #[serde(with = "time_text")]
    modified: OffsetDateTime,
    #[serde(with = "base64_text")]
    data: Zeroizing<Vec<u8>>,
    #[serde(default, deserialize_with = "read_fingerprint", skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

fn moment(unix: i64) -> OffsetDateTime {
    const YEARS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;
    OffsetDateTime::from_unix_timestamp(unix.clamp(*YEARS.start(), *YEARS.end())).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// With or without colons, in either case; what else the reference may take is not known.
fn read_fingerprint<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Fingerprint>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let text = text.to_ascii_lowercase();
    let read = if text.contains(':') { Fingerprint::from_str(&text) } else { Fingerprint::from_hex(&text) };
    read.map(Some).map_err(serde::de::Error::custom)
}

/// Standard alphabet, padded when written, padding optional when read.
pub(super) mod base64_text {
    use std::{fmt, marker::PhantomData};

    use base64::{
        Engine as _, alphabet,
        engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    };
    use serde::{Deserializer, Serializer, de};
    use zeroize::Zeroizing;

    const TOLERANT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &impl AsRef<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(TOLERANT.encode(bytes)))
    }

    /// Decodes straight out of the text, so that no string with the key in it is made.
    pub(in super::super) fn deserialize<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<T: From<Vec<u8>>> de::Visitor<'_> for Visitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
                // The decoder's own errors quote the offending byte; where it stands is enough.
                TOLERANT.decode(text).map(T::from).map_err(|_| E::custom("invalid base64"))
            }
        }

        deserializer.deserialize_str(Visitor(PhantomData))
    }
}

/// `2024-06-05T17:06:40+02:00`, or with `Z`: 25 or 20 characters and nothing else.
mod time_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{Date, Month, OffsetDateTime, Time, UtcOffset};

    pub(super) fn serialize<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        let (hours, minutes, _) = time.offset().as_hms();
        let sign = if hours < 0 || minutes < 0 { '-' } else { '+' };
        serializer.collect_str(&format_args!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{sign}{:02}:{:02}",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            hours.unsigned_abs(),
            minutes.unsigned_abs(),
        ))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(text.as_bytes()).ok_or_else(|| D::Error::custom("a time such as 2024-06-05T17:06:40+02:00 was expected"))
    }

    fn read(text: &[u8]) -> Option<OffsetDateTime> {
        let pattern: &[u8] = match text.len() {
            20 => b"0000-00-00T00:00:00Z",
            25 => b"0000-00-00T00:00:00+00:00",
            _ => return None,
        };
        let fits = |(&found, &asked): (&u8, &u8)| match asked {
            b'0' => found.is_ascii_digit(),
            b'+' => found == b'+' || found == b'-',
            other => found == other,
        };
        if !text.iter().zip(pattern).all(fits) {
            return None;
        }
        let number =
            |range: std::ops::Range<usize>| text[range].iter().fold(0_u16, |n, c| n * 10 + u16::from(c - b'0'));
        let small = |start: usize| u8::try_from(number(start..start + 2)).ok();
        let date = Date::from_calendar_date(number(0..4).into(), Month::try_from(small(5)?).ok()?, small(8)?).ok()?;
        let time = Time::from_hms(small(11)?, small(14)?, small(17)?).ok()?;
        let offset = if text.len() == 20 {
            UtcOffset::UTC
        } else {
            let (hours, minutes) = (number(20..22), number(23..25));
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
            UtcOffset::from_whole_seconds(if text[19] == b'-' { -seconds } else { seconds }).ok()?
        };
        Some(OffsetDateTime::new_in_offset(date, time, offset))
    }
}
fn salt(rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut salt = vec![0; SALT];
    rng.fill_bytes(&mut salt);
    salt
}
