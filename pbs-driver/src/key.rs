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
    conversation::{Conversation, UNWRAP, WRAP},
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
    change(client, path, passphrase, &WRAP, "scrypt", Protection::None, Protection::Scrypt)
}

/// Takes the passphrase off the protected copy at `path`.
///
/// # Errors
/// [`DriverError`], with [`Failure::WrongPassphrase`] for the wrong words.
pub fn unwrap(client: &Client, path: &Path, passphrase: &str) -> Result<(), DriverError> {
    change(client, path, passphrase, &UNWRAP, "none", Protection::Scrypt, Protection::None)
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
    passphrase: &str,
    conversation: &Conversation,
    kdf: &str,
    from: Protection,
    to: Protection,
) -> Result<(), DriverError> {
    // The client's line editor would act on these (client.md: TAB, 0x03, 0x04, 0x7f), or end the answer.
    if passphrase.is_empty() || passphrase.len() > MAX_PASSPHRASE || passphrase.chars().any(char::is_control) {
        return Err(DriverError::Passphrase);
    }
    if !path.is_absolute() || !client.private().contains(path) {
        return Err(DriverError::NotACopy { path: path.to_owned() });
    }
    let before = read(path, "before")?;
    if protection(&before) != Some(from) {
        return Err(DriverError::KeyFile { when: "before", what: "is not protected in the way it should be" });
    }
    let args: [OsString; 5] = ["key".into(), "change-passphrase".into(), path.into(), "--kdf".into(), kdf.into()];
    let mut attempt = 1;
    while let Err(error) = client.converse(conversation, &args, passphrase) {
        let again = error.failure() == Some(&Failure::PassphrasesDiffer) && attempt < ATTEMPTS;
        if !again {
            return Err(error);
        }
        attempt += 1;
    }
    let after = read(path, "after")?;
    if protection(&after) != Some(to) {
        return Err(DriverError::KeyFile { when: "after", what: "is not protected in the way it should be" });
    }
    if after.created() != before.created() || before.fingerprint().is_some_and(|old| after.fingerprint() != Some(old)) {
        return Err(DriverError::KeyFile { when: "after", what: "is not the same key's" });
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

const COPY: &str = "copy.json";
const ATTEMPTS: u32 = 3;
/// A line of the client's terminal takes 4095 bytes; 3000 were seen to work.
const MAX_PASSPHRASE: usize = 1024;
/// The largest seen has 402 bytes; the hint has no stated limit.
const MAX_KEY_FILE: usize = 64 * 1024;
