//! `priv/storage/<id>.{enc,enc.old,pw,master.pem}`: the keys and passwords of PVE's storages.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use pbs_format::key::{Kdf, KeyFile};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
use zeroize::Zeroizing;

use super::{
    error::{KeyThere, PveError},
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

/// What stands in the place of a storage's key, whether it is one or not; the text is wiped on drop.
pub struct PresentKey {
    path: PathBuf,
    text: Zeroizing<Vec<u8>>,
    there: KeyThere,
}

/// Exactly which file may be replaced by another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyReplaces {
    /// Over the bytes that lie there.
    pub sha256: Sha256,
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

impl PresentKey {
    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    #[must_use]
    pub fn there(&self) -> KeyThere {
        self.there
    }

    /// Over its bytes.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(&self.text)
    }

    /// Its bytes, for the one who keeps them.
    #[must_use]
    pub fn expose_text(&self) -> &[u8] {
        &self.text
    }
}

/// By place and hash.
impl PartialEq for PresentKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.sha256()) == (&other.path, other.sha256())
    }
}

impl Eq for PresentKey {}

impl KeySlot {
    fn ending(self) -> &'static str {
        match self {
            Self::Current => "enc",
            Self::Former => "enc.old",
        }
    }
}

impl fmt::Debug for PresentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresentKey({} {})", self.path.display(), self.there)
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

/// What stands in the place of a storage's key; `None` if nothing does.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::Io`], [`PveError::TooLarge`].
pub fn present_key(node: &Node, id: &StorageId) -> Result<Option<PresentKey>, PveError> {
    node.readable()?;
    let path = place(node, id, KeySlot::Current.ending());
    let Some(text) = read(&path)? else { return Ok(None) };
    let there = opened(&text).map_or_else(KeyThere::NoKey, |(fingerprint, _)| KeyThere::Key(fingerprint));
    Ok(Some(PresentKey { path, text, there }))
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
/// As [`Node::writable`]; [`PveError::DifferentKey`] for anything but this key there; [`PveError::KeyFile`]
/// if what is given is not an unprotected key file; [`PveError::Locked`]; [`PveError::Io`].
pub fn put_key(node: &Node, id: &StorageId, text: &[u8]) -> Result<Put, PveError> {
    let lock = FileLock::take(node)?;
    Ok(put_key_under(&lock, node, id, text, None)?.0)
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

/// A key on its way into its place.
pub(crate) struct Coming {
    pub(crate) put: Put,
    pub(crate) key: StoredKey,
    /// What it replaces.
    pub(crate) former: Option<PresentKey>,
}

/// That a key can be put there: where nothing is, or exactly what may be replaced. What is there is not touched.
pub(crate) fn look_key(
    node: &Node,
    id: &StorageId,
    text: &[u8],
    replaces: Option<&KeyReplaces>,
) -> Result<Coming, PveError> {
    let path = place(node, id, KeySlot::Current.ending());
    let key = stored(&path, Zeroizing::new(text.to_vec()))?;
    let (put, former) = match present_key(node, id)? {
        None => (Put::Written, None),
        Some(present) if present.there == KeyThere::Key(key.fingerprint) => (Put::Same, None),
        Some(present) if replaces.is_some_and(|replaces| replaces.sha256 == present.sha256()) => {
            (Put::Written, Some(present))
        }
        Some(present) => {
            let (there, sha256) = (present.there, present.sha256());
            return Err(PveError::DifferentKey { path, there, sha256, given: Box::new(key.fingerprint) });
        }
    };
    Ok(Coming { put, key, former })
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

/// What was done, and what was replaced.
pub(crate) fn put_key_under(
    lock: &FileLock,
    node: &Node,
    id: &StorageId,
    text: &[u8],
    replaces: Option<&KeyReplaces>,
) -> Result<(Put, Option<PresentKey>), PveError> {
    let Coming { put, former, .. } = look_key(node, id, text, replaces)?;
    if put == Put::Written {
        write(lock, node, &place(node, id, KeySlot::Current.ending()), text)?;
    }
    Ok((put, former))
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
    let (fingerprint, stated) = opened(&text).map_err(|why| PveError::KeyFile { path: path.to_owned(), why })?;
    Ok(StoredKey { fingerprint, stated, text })
}

/// The key's fingerprint and the stated one, or why PVE cannot use it.
fn opened(text: &[u8]) -> Result<(Fingerprint, Option<Fingerprint>), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    let file = KeyFile::parse(text).map_err(|_| "is not a key file")?;
    if *file.kdf() != Kdf::None {
        return Err("is under a passphrase, which PVE cannot type");
    }
    // The parser's own words are about one value of the file; which one is no help here.
    let key = file.open(None).map_err(|_| "holds another key than it says, or a damaged one")?;
    Ok((key.fingerprint(), file.fingerprint()))
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
pub const FOLDER: &str = "priv/storage";
const PASSWORD: &str = "pw";
const MASTER: &str = "master.pem";
/// What pmxcfs shows for everything below `priv`.
const MODE: u32 = 0o600;
/// As for a source's token.
const MAX_SECRET: usize = 1024;
