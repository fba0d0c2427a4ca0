//! Putting a copy of a key file under a passphrase, and taking it off again, by the client itself.
//!
//! Only a copy inside the client's private folder is ever touched: a path anywhere else is refused
//! before the client is started. After each run the file is read natively and must be what was asked
//! for: the same key's name, the same birth, another protection. Whether the *key* in it is the right
//! one is not decided here; that takes an opening.

use std::{ffi::OsString, path::Path};

use pbs_format::key::{Kdf, KeyFile};
use zeroize::Zeroizing;

use crate::{
    client::Client,
    conversation::{CREATE, Conversation, REWRAP, Secrets, UNWRAP, WRAP},
    error::DriverError,
    failure::Failure,
    private::read_whole,
};

/// Puts the unprotected copy at `path` under the passphrase (scrypt).
///
/// If a byte was lost on the way (the client then says that the two answers differ), it is tried
/// again, three times in all.
///
/// # Errors
/// [`DriverError`]; the copy is then as it was, or gone with its folder.
pub fn wrap(client: &Client, path: &Path, passphrase: &str) -> Result<(), DriverError> {
    let secrets = Secrets { new: Some(passphrase), ..Secrets::default() };
    change(client, path, &secrets, &WRAP, Protection::None, Protection::Scrypt)
}

/// Takes the passphrase off the protected copy at `path`.
///
/// # Errors
/// [`DriverError`], with [`Failure::WrongPassphrase`] for the wrong words.
pub fn unwrap(client: &Client, path: &Path, passphrase: &str) -> Result<(), DriverError> {
    let secrets = Secrets { old: Some(passphrase), ..Secrets::default() };
    change(client, path, &secrets, &UNWRAP, Protection::Scrypt, Protection::None)
}

/// Puts the copy at `path`, protected by `old`, under `new` (scrypt).
///
/// # Errors
/// As [`wrap`] and [`unwrap`].
pub fn rewrap(client: &Client, path: &Path, old: &str, new: &str) -> Result<(), DriverError> {
    let secrets = Secrets { old: Some(old), new: Some(new) };
    change(client, path, &secrets, &REWRAP, Protection::Scrypt, Protection::Scrypt)
}

/// Has the client make a key of its own at `path`, a new file in the private folder, under the
/// passphrase (scrypt). For trying a client out: nothing is ever backed up with such a key.
///
/// # Errors
/// [`DriverError`], [`Failure::TargetExists`] if something is there.
pub fn create(client: &Client, path: &Path, passphrase: &str) -> Result<(), DriverError> {
    let secrets = Secrets { new: Some(passphrase), ..Secrets::default() };
    let args = ["key".into(), "create".into(), path.into(), "--kdf".into(), "scrypt".into()];
    hold(client, path, &secrets, &CREATE, &args)?;
    match protection(&read(path, "after")?) {
        Some(Protection::Scrypt) => Ok(()),
        _ => Err(DriverError::KeyFile { when: "after", what: NOT_PROTECTED_SO }),
    }
}

/// [`wrap`] on a copy that is made for this and gone afterwards: unprotected file in, protected out.
///
/// # Errors
/// As [`wrap`].
pub fn wrapped(client: &Client, key_file: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, DriverError> {
    on_a_copy(client, key_file, |path| wrap(client, path, passphrase))
}

/// [`unwrap`] on a copy that is made for this and gone afterwards: protected file in, unprotected out.
///
/// # Errors
/// As [`unwrap`].
pub fn unwrapped(client: &Client, key_file: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, DriverError> {
    on_a_copy(client, key_file, |path| unwrap(client, path, passphrase))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protection {
    None,
    Scrypt,
}

fn on_a_copy(
    client: &Client,
    key_file: &[u8],
    work: impl FnOnce(&Path) -> Result<(), DriverError>,
) -> Result<Zeroizing<Vec<u8>>, DriverError> {
    let folder = client.private().folder()?;
    let path = folder.write(COPY, key_file)?;
    work(&path)?;
    let made = folder.read(COPY, MAX_KEY_FILE)?;
    folder.close()?;
    Ok(made)
}

fn change(
    client: &Client,
    path: &Path,
    secrets: &Secrets<'_>,
    conversation: &Conversation,
    from: Protection,
    to: Protection,
) -> Result<(), DriverError> {
    guard(client, path, secrets)?;
    let before = read(path, "before")?;
    if protection(&before) != Some(from) {
        return Err(DriverError::KeyFile { when: "before", what: NOT_PROTECTED_SO });
    }
    let kdf = match to {
        Protection::None => "none",
        Protection::Scrypt => "scrypt",
    };
    let args = ["key".into(), "change-passphrase".into(), path.into(), "--kdf".into(), kdf.into()];
    hold(client, path, secrets, conversation, &args)?;
    let after = read(path, "after")?;
    if protection(&after) != Some(to) {
        return Err(DriverError::KeyFile { when: "after", what: NOT_PROTECTED_SO });
    }
    if after.created() != before.created() || before.fingerprint().is_some_and(|old| after.fingerprint() != Some(old)) {
        return Err(DriverError::KeyFile { when: "after", what: "is not the same key's" });
    }
    Ok(())
}

/// Holds the conversation, anew if a byte was lost on the way.
fn hold(
    client: &Client,
    path: &Path,
    secrets: &Secrets<'_>,
    conversation: &Conversation,
    args: &[OsString; 5],
) -> Result<(), DriverError> {
    guard(client, path, secrets)?;
    let mut attempt = 1;
    while let Err(error) = client.converse(conversation, args, secrets) {
        let again = error.failure() == Some(&Failure::PassphrasesDiffer) && attempt < ATTEMPTS;
        if !again {
            return Err(error);
        }
        attempt += 1;
    }
    Ok(())
}

/// What may be typed, and where the client may write.
fn guard(client: &Client, path: &Path, secrets: &Secrets<'_>) -> Result<(), DriverError> {
    // The client's line editor would act on these (client.md: TAB, 0x03, 0x04, 0x7f), or end the answer.
    let cannot_be_typed =
        |secret: &&str| secret.is_empty() || secret.len() > MAX_PASSPHRASE || secret.chars().any(char::is_control);
    if secrets.all().iter().any(cannot_be_typed) {
        return Err(DriverError::Passphrase);
    }
    if !path.is_absolute() || !client.private().contains(path) {
        return Err(DriverError::NotACopy { path: path.to_owned() });
    }
    Ok(())
}

fn read(path: &Path, when: &'static str) -> Result<KeyFile, DriverError> {
    let bytes = read_whole(path, MAX_KEY_FILE).map_err(|source| DriverError::Io {
        doing: "reading",
        path: path.to_owned(),
        source,
    })?;
    KeyFile::parse(&bytes).map_err(|_| DriverError::KeyFile { when, what: "is not a key file" })
}

/// `None` for PBKDF2, which nothing of ours makes or takes.
fn protection(file: &KeyFile) -> Option<Protection> {
    match file.kdf() {
        Kdf::None => Some(Protection::None),
        Kdf::Scrypt { .. } => Some(Protection::Scrypt),
        Kdf::Pbkdf2 { .. } => None,
    }
}

const NOT_PROTECTED_SO: &str = "is not protected in the way it should be";
const COPY: &str = "copy.json";
const ATTEMPTS: u32 = 3;
/// A line of the client's terminal takes 4095 bytes; 3000 were seen to work.
const MAX_PASSPHRASE: usize = 1024;
/// The largest seen has 402 bytes; the hint has no stated limit.
const MAX_KEY_FILE: usize = 64 * 1024;
