//! Which key is used: `--keyfile`, `--keyfd`, `--crypt-mode` and the default key.
//!
//! `formats.md` §11.3 has the table. A key file is read here and opened by [`Source::open`]; its
//! passphrase comes from the environment or the terminal.

use std::{fmt, fs::File, path::PathBuf};

use pbs_format::key::{EncryptionKey, Kdf, KdfError, KeyFile, KeyFileError};
use zeroize::Zeroizing;

use crate::{arguments::Parsed, environment, error::Error, log::Log, terminal};

/// What a backup does with its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    None,
    Encrypt,
    SignOnly,
}

/// A key file's bytes, and where they are from.
pub(crate) struct Source {
    place: Place,
    text: Zeroizing<Vec<u8>>,
}

enum Place {
    File(PathBuf),
    Descriptor,
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "Using encryption key from '{}'..", path.display()),
            Place::Descriptor => f.write_str("Using encryption key from file descriptor.."),
            Place::Default => f.write_str("Using default encryption key.."),
        }
    }
}

/// The mode and the key that the options and the default key come to.
pub(crate) fn parameters(parsed: &Parsed, log: Log) -> Result<(Mode, Option<Source>), Error> {
    let mode = parsed.text("crypt-mode")?.map(|mode| match mode {
        "none" => Mode::None,
        "sign-only" => Mode::SignOnly,
        _ => Mode::Encrypt,
    });
    let given = match (parsed.option("keyfile"), parsed.number("keyfd")) {
        (Some(_), Some(_)) => return Err(Error::TwoKeys),
        (Some(path), None) => {
            let path = PathBuf::from(path);
            let text = read(&path)?;
            Some(Source { place: Place::File(path), text })
        }
        (None, Some(number)) => {
            let text = u32::try_from(number)
                .map_err(|_| std::io::ErrorKind::InvalidInput.into())
                .and_then(environment::descriptor)
                .map_err(|cause| Error::KeyDescriptor { number, cause })?;
            Some(Source { place: Place::Descriptor, text })
        }
        (None, None) => None,
    };
    match (mode, given) {
        (Some(Mode::None), None) => Ok((Mode::None, None)),
        (Some(Mode::None), Some(_)) => Err(Error::KeyWithoutUse),
        (mode, Some(source)) => Ok((mode.unwrap_or(Mode::Encrypt), Some(source))),
        (mode, None) => match (mode, environment::default_key()) {
            (None, None) => Ok((Mode::None, None)),
            (Some(_), None) => Err(Error::ModeWithoutKey),
            (mode, Some(path)) => {
                let text = read(&path)?;
                if mode.is_some() {
                    log.info("Encrypting with default encryption key!");
                }
                Ok((mode.unwrap_or(Mode::Encrypt), Some(Source { place: Place::Default, text })))
            }
        },
    }
}

impl Source {
    /// The key, its passphrase asked for if there is one.
    pub(crate) fn open(&self) -> Result<EncryptionKey, Error> {
        open(&parse(&self.text)?)
    }
}

/// Reads a key file's bytes.
pub(crate) fn read(path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, Error> {
    File::open(path).and_then(environment::read_secret).map_err(|cause| Error::Unreadable { path: path.clone(), cause })
}

/// Reads a key file's text; the complaint is the JSON reader's.
pub(crate) fn parse(text: &[u8]) -> Result<KeyFile, Error> {
    KeyFile::parse(text).map_err(|error| match error {
        KeyFileError::Json(cause) => Error::KeyText(cause.to_string()),
        KeyFileError::NotAnObject => match serde_json::from_slice::<serde::de::IgnoredAny>(text) {
            Err(cause) => Error::KeyText(cause.to_string()),
            Ok(_) => Error::KeyText("invalid type: expected struct KeyConfig at line 1 column 1".to_owned()),
        },
        other => Error::KeyText(other.to_string()),
    })
}

/// Opens a key file, with the passphrase from `PBS_ENCRYPTION_PASSWORD` or the terminal.
pub(crate) fn open(file: &KeyFile) -> Result<EncryptionKey, Error> {
    let passphrase = if *file.kdf() == Kdf::None {
        None
    } else {
        Some(match environment::secret("PBS_ENCRYPTION_PASSWORD")? {
            Some(passphrase) => passphrase,
            None if terminal::is_interactive() => terminal::ask("Encryption Key Password: ")?,
            None => return Err(Error::NoPasswordInput),
        })
    };
    file.open(passphrase.as_ref().map(|bytes| bytes.as_slice())).map_err(|error| match error {
        KeyFileError::Kdf(KdfError::PassphraseTooShort) => Error::PassphraseTooShort,
        KeyFileError::Kdf(cause) => Error::KeyRefused(cause.to_string()),
        KeyFileError::DataLength { found, .. } if *file.kdf() != Kdf::None && found < 32 => Error::ShortKey,
        KeyFileError::DataLength { .. } if *file.kdf() == Kdf::None => Error::KeyRefused(error.to_string()),
        KeyFileError::WrongFingerprint { stated, computed } => {
            Error::WrongFingerprint { stated: stated.short(), computed: computed.short() }
        }
        KeyFileError::WrongPassphrase | KeyFileError::DataLength { .. } => match file.hint() {
            Some(hint) => Error::WrongPassphraseHint { hint: hint.chars().filter(|c| !c.is_control()).collect() },
            None => Error::WrongPassphrase,
        },
        other => Error::KeyRefused(other.to_string()),
    })
}
