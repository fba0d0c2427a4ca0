//! `key create`, `key change-passphrase`, `key show`.
//!
//! A key file is made exclusively and replaced in one step, mode 0600. New passphrases come from the
//! terminal and from nowhere else.

use std::{io, path::PathBuf};

use pbs_format::key::{EncryptionKey, Kdf, KeyFile, KeyFileError, KeyPlaceError, create_file, replace_file};
use rand::rngs::SysRng;
use serde_json::json;
use tenwords_protocol::time::Timestamp;

use super::{Context, print};
use crate::{
    crypt, environment,
    error::Error,
    human,
    table::{Format, table},
    terminal,
};

/// `key create [PATH]`.
pub(crate) fn create(context: &Context<'_>) -> Result<(), Error> {
    let given = context.parsed.positional(0).map(PathBuf::from);
    let path = match given {
        Some(path) => path,
        None => {
            let path = environment::place_default_key()?;
            context.log.info(format_args!("creating default key at: {path:?}"));
            path
        }
    };
    let protection = Protection::asked(context)?;
    let hint = hint(context, protection)?;
    let rng = &mut rand::rand_core::UnwrapErr(SysRng);
    let key = EncryptionKey::generate(rng);
    let now = Timestamp::now().unix();
    let file = if protection != Protection::None {
        // One should not ask when nobody can answer; and not when the file is there already, but
        // the client does.
        if !terminal::is_interactive() {
            return Err(Error::NoTtyToRead);
        }
        let passphrase = terminal::ask_new("Encryption Key Password: ")?;
        protection.seal(&key, &passphrase, (now, now))?
    } else {
        KeyFile::plain(&key, now, now)
    };
    let file = with_hint(file, hint)?;
    create_file(&path, &file).map_err(|error| match error {
        KeyPlaceError::Write { path, source } => Error::KeyStore { path, cause: source },
        other => Error::KeyStore { path, cause: io::Error::other(other) },
    })
}

/// `key change-passphrase [PATH]`.
pub(crate) fn change_passphrase(context: &Context<'_>) -> Result<(), Error> {
    let given = context.parsed.positional(0).map(PathBuf::from);
    let path = match given {
        Some(path) => path,
        None => {
            let path = environment::default_key().ok_or(Error::NoDefaultKey)?;
            context.log.info(format_args!("updating default key at: {path:?}"));
            path
        }
    };
    let protection = Protection::asked(context)?;
    if !terminal::is_interactive() {
        return Err(Error::NoTtyToChange);
    }
    let hint = hint(context, protection)?;
    let old = crypt::parse(&crypt::read(&path)?)?;
    let key = crypt::open(&old)?;
    let now = Timestamp::now().unix();
    let file = if protection != Protection::None {
        let passphrase = terminal::ask_new("New Password: ")?;
        protection.seal(&key, &passphrase, (old.created(), now))?
    } else {
        KeyFile::plain(&key, old.created(), now)
    };
    let file = with_hint(file, hint)?;
    replace_file(&path, &file).map_err(|error| match error {
        KeyPlaceError::Write { path, source } => Error::KeyStore { path, cause: source },
        other => Error::KeyStore { path, cause: io::Error::other(other) },
    })
}

/// `key show [PATH]`.
pub(crate) fn show(context: &Context<'_>) -> Result<(), Error> {
    let given = context.parsed.positional(0).map(PathBuf::from);
    let path = given.or_else(environment::default_key).ok_or(Error::NoDefaultKey)?;
    let file = crypt::parse(&crypt::read(&path)?)?;
    let kdf = match file.kdf() {
        Kdf::None => "none",
        Kdf::Scrypt { .. } => "scrypt",
        Kdf::Pbkdf2 { .. } => "pbkdf2",
    };
    let fingerprint = file.fingerprint().map(|fingerprint| fingerprint.to_string());
    let format = Format::of(context.parsed.text("output-format")?);
    if format != Format::Text {
        let mut shown = json!({
            "created": file.created(),
            "kdf": kdf,
            "modified": file.modified(),
            "path": format!("{path:?}"),
        });
        if let Some(fingerprint) = fingerprint {
            shown["fingerprint"] = fingerprint.into();
        }
        if let Some(hint) = file.hint() {
            shown["hint"] = hint.into();
        }
        return print(&format.json(&shown)?);
    }
    let mut rows = vec![
        ("path", format!("{path:?}")),
        ("kdf", kdf.to_owned()),
        ("created", human::local_time(file.created())),
        ("modified", human::local_time(file.modified())),
    ];
    rows.extend(fingerprint.map(|fingerprint| ("fingerprint", fingerprint)));
    rows.extend(file.hint().map(|hint| ("hint", hint.to_owned())));
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    print(&table(&[("Name", false), ("Value", false)], &rows))
}

/// How the key is to lie in its file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protection {
    None,
    Scrypt,
    Pbkdf2,
}

impl Protection {
    fn asked(context: &Context<'_>) -> Result<Self, Error> {
        Ok(match context.parsed.text("kdf")? {
            Some("none") => Self::None,
            Some("pbkdf2") => Self::Pbkdf2,
            _ => Self::Scrypt,
        })
    }

    /// `(created, modified)` in Unix seconds.
    fn seal(self, key: &EncryptionKey, passphrase: &[u8], times: (i64, i64)) -> Result<KeyFile, Error> {
        let rng = &mut rand::rand_core::UnwrapErr(SysRng);
        let (created, modified) = times;
        match self {
            Self::None => Ok(KeyFile::plain(key, created, modified)),
            Self::Scrypt => KeyFile::scrypt(key, passphrase, created, modified, rng).map_err(refused),
            Self::Pbkdf2 => KeyFile::pbkdf2(key, passphrase, created, modified, rng).map_err(refused),
        }
    }
}

fn hint<'a>(context: &'a Context<'_>, protection: Protection) -> Result<Option<&'a str>, Error> {
    match context.parsed.text("hint")? {
        Some(_) if protection == Protection::None => Err(Error::HintWithoutPassphrase),
        hint => Ok(hint),
    }
}

fn with_hint(file: KeyFile, hint: Option<&str>) -> Result<KeyFile, Error> {
    match hint {
        Some(hint) => file.with_hint(hint).map_err(|_| Error::Hint),
        None => Ok(file),
    }
}

fn refused(error: KeyFileError) -> Error {
    Error::KeyRefused(error.to_string())
}
