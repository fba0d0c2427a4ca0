//! `priv/storage/<id>.{enc,enc.old,pw,master.pem}`: the keys and passwords of PVE's storages.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use pbs_format::key::{Kdf, KeyFile};
use tenwords_protocol::fingerprint::Fingerprint;
use zeroize::Zeroizing;

use super::{
    error::PveError,
    lock::{FileLock, folder},
    node::Node,
    storage::{KeyMark, StorageId},
    write::{beside, explained, read, replace},
};

/// An unprotected key file as it stands in its place; the text is wiped on drop.
pub struct StoredKey {
    text: Zeroizing<Vec<u8>>,
    fingerprint: Fingerprint,
    stated: Option<Fingerprint>,
}

/// Which key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySlot {
    /// `<id>.enc`
    Current,
    /// `<id>.enc.old`, which PVE keeps when it makes a new key itself.
    Former,
}

/// What a `put_…` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was there already.
    Same,
    /// It is there now.
    Written,
}

impl StoredKey {
    /// The file's text, as it stands there.
    #[must_use]
    pub fn expose_text(&self) -> &[u8] {
        &self.text
    }

    /// Computed from the key itself, not what the file states.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What PVE writes after `encryption-key` for it.
    #[must_use]
    pub fn mark(&self) -> KeyMark {
        self.stated.map_or(KeyMark::Unnamed, KeyMark::Fingerprint)
    }
}

impl KeySlot {
    fn ending(self) -> &'static str {
        match self {
            Self::Current => "enc",
            Self::Former => "enc.old",
        }
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredKey({})", self.fingerprint.short())
    }
}

/// The key of a storage; `None` if it has none.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::KeyFile`] for anything but an unprotected key file.
pub fn key(node: &Node, id: &StorageId, slot: KeySlot) -> Result<Option<StoredKey>, PveError> {
    node.readable()?;
    let path = place(node, id, slot.ending());
    read(&path)?.map(|text| stored(&path, text)).transpose()
}

/// The password or token secret of a storage (PVE reads the first line); `None` if it has none.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::Secret`] for one that is empty, too long or not text.
pub fn password(node: &Node, id: &StorageId) -> Result<Option<Zeroizing<String>>, PveError> {
    node.readable()?;
    let Some(text) = read(&place(node, id, PASSWORD))? else { return Ok(None) };
    let line = std::str::from_utf8(first_line(&text)).map_err(|_| PveError::Secret)?;
    check(line)?;
    Ok(Some(Zeroizing::new(line.to_owned())))
}

/// The master public key of a storage, PEM; `None` if it has none.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::Io`].
pub fn master_key(node: &Node, id: &StorageId) -> Result<Option<Vec<u8>>, PveError> {
    node.readable()?;
    Ok(read(&place(node, id, MASTER))?.map(|text| text.to_vec()))
}

/// Puts an unprotected key file in a storage's place, under PVE's lock. Never over another key.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::DifferentKey`]; [`PveError::KeyFile`] for what is not an
/// unprotected key file, there or given; [`PveError::Locked`]; [`PveError::Io`].
pub fn put_key(node: &Node, id: &StorageId, text: &[u8]) -> Result<Put, PveError> {
    let lock = FileLock::take(node)?;
    put_key_under(&lock, node, id, text)
}

/// Puts a password or token secret in a storage's place, under PVE's lock. Never over another one.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::DifferentSecret`], [`PveError::Secret`], [`PveError::Locked`],
/// [`PveError::Io`].
pub fn put_password(node: &Node, id: &StorageId, secret: &str) -> Result<Put, PveError> {
    let lock = FileLock::take(node)?;
    put_password_under(&lock, node, id, secret)
}

/// Puts a master public key (PEM) in a storage's place, under PVE's lock. Never over another one.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::DifferentSecret`], [`PveError::Locked`], [`PveError::Io`].
pub fn put_master_key(node: &Node, id: &StorageId, pem: &[u8]) -> Result<Put, PveError> {
    let lock = FileLock::take(node)?;
    let path = place(node, id, MASTER);
    match read(&path)? {
        Some(there) if there.trim_ascii_end() == pem.trim_ascii_end() => Ok(Put::Same),
        Some(_) => Err(PveError::DifferentSecret { path }),
        None => write(&lock, node, &path, pem),
    }
}

/// That a key can be put there; what is there is not touched.
pub(crate) fn look_key(node: &Node, id: &StorageId, text: &[u8]) -> Result<(Put, StoredKey), PveError> {
    let path = place(node, id, KeySlot::Current.ending());
    let given = stored(&path, Zeroizing::new(text.to_vec()))?;
    match key(node, id, KeySlot::Current)? {
        Some(there) if there.fingerprint == given.fingerprint => Ok((Put::Same, given)),
        Some(there) => Err(PveError::DifferentKey { path, there: there.fingerprint, given: given.fingerprint }),
        None => Ok((Put::Written, given)),
    }
}

/// That a secret can be put there; what is there is not touched.
pub(crate) fn look_password(node: &Node, id: &StorageId, secret: &str) -> Result<Put, PveError> {
    check(secret)?;
    let path = place(node, id, PASSWORD);
    match read(&path)? {
        Some(there) if first_line(&there) == secret.as_bytes() => Ok(Put::Same),
        Some(_) => Err(PveError::DifferentSecret { path }),
        None => Ok(Put::Written),
    }
}

pub(crate) fn put_key_under(lock: &FileLock, node: &Node, id: &StorageId, text: &[u8]) -> Result<Put, PveError> {
    match look_key(node, id, text)? {
        (Put::Same, _) => Ok(Put::Same),
        (Put::Written, _) => write(lock, node, &place(node, id, KeySlot::Current.ending()), text),
    }
}

pub(crate) fn put_password_under(lock: &FileLock, node: &Node, id: &StorageId, secret: &str) -> Result<Put, PveError> {
    match look_password(node, id, secret)? {
        Put::Same => Ok(Put::Same),
        Put::Written => {
            let line = Zeroizing::new([secret.as_bytes(), b"\n"].concat());
            write(lock, node, &place(node, id, PASSWORD), &line)
        }
    }
}

/// Takes key and password of a storage away, and what a killed run has left beside them.
pub(crate) fn remove_under(lock: &FileLock, node: &Node, id: &StorageId) -> Result<(), PveError> {
    for ending in [KeySlot::Current.ending(), PASSWORD] {
        let path = place(node, id, ending);
        for path in [beside(&path), path] {
            lock.still_ours()?;
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    explained(node, Err::<(), _>(PveError::Io { doing: "removing", path, source }))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The storages of which a key or password lies there, by their names' beginning. (Names with a dot are
/// not told apart from their files' endings.)
pub(crate) fn named(node: &Node, beginning: &str) -> Result<Vec<String>, PveError> {
    let folder = node.file(FOLDER);
    let failed = |source| PveError::Io { doing: "listing", path: folder.clone(), source };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let Ok(name) = entry.map_err(failed)?.file_name().into_string() else { continue };
        if let Some((id, _)) = name.split_once('.').filter(|(id, _)| id.starts_with(beginning)) {
            found.push(id.to_owned());
        }
    }
    Ok(found)
}

fn write(lock: &FileLock, node: &Node, path: &Path, bytes: &[u8]) -> Result<Put, PveError> {
    let written = folder(&node.file(FOLDER)).and_then(|()| replace(lock, path, MODE, bytes));
    explained(node, written)?;
    Ok(Put::Written)
}

fn place(node: &Node, id: &StorageId, ending: &str) -> PathBuf {
    node.file(FOLDER).join(format!("{id}.{ending}"))
}

/// The key in a file that PVE can use.
fn stored(path: &Path, text: Zeroizing<Vec<u8>>) -> Result<StoredKey, PveError> {
    let refused = |why| PveError::KeyFile { path: path.to_owned(), why };
    if text.is_empty() {
        return Err(refused("is empty"));
    }
    let file = KeyFile::parse(&text).map_err(|_| refused("is not a key file"))?;
    if *file.kdf() != Kdf::None {
        return Err(refused("is under a passphrase, which PVE cannot type"));
    }
    // The parser's own words are about one value of the file; which one is no help here.
    let key = file.open(None).map_err(|_| refused("holds another key than it says, or a damaged one"))?;
    Ok(StoredKey { fingerprint: key.fingerprint(), stated: file.fingerprint(), text })
}

/// As PVE takes a `.pw` file.
fn first_line(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == b'\n').next().unwrap_or_default()
}

fn check(secret: &str) -> Result<(), PveError> {
    let fine = !secret.is_empty() && secret.len() <= MAX_SECRET && !secret.chars().any(char::is_control);
    if fine { Ok(()) } else { Err(PveError::Secret) }
}

/// Below `/etc/pve`.
pub(crate) const FOLDER: &str = "priv/storage";
const PASSWORD: &str = "pw";
const MASTER: &str = "master.pem";
/// What pmxcfs shows for everything below `priv`.
const MODE: u32 = 0o600;
/// As for a source's token.
const MAX_SECRET: usize = 1024;
