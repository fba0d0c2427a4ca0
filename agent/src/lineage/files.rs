//! The folder of kept keys: one unprotected key file for each, named by its fingerprint, 0600 in 0700.
//!
//! What lies there is never written over. A text that does not fit the name of its key (another spelling of it,
//! or no key at all) is kept beside, named by its own hash. What a key is, is read from the key and not from its
//! name; so the files stand for themselves, whatever has become of the index.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
use zeroize::Zeroizing;

use crate::{durable, keys::LiveKey, settings::Configuration};

/// Below the state folder.
pub(crate) const FOLDER: &str = "lineage";
/// As much as may have stood in the place of a key.
const LIMIT: u64 = 1 << 20;
/// Far more than a box has keys in all its years.
const MOST: usize = 4096;
const ENDING: &str = "enc";
/// What [`durable`] calls a file that is not whole yet.
const UNFINISHED: &str = ".tenwords-";

/// What lies there.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) keys: BTreeMap<Fingerprint, LiveKey>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

pub(crate) fn folder(configuration: &Configuration) -> PathBuf {
    configuration.state(FOLDER)
}

/// Keeps a text, which is that of `key` or of none; tells where.
pub(crate) fn keep(folder: &Path, key: Option<Fingerprint>, text: &[u8]) -> io::Result<PathBuf> {
    durable::folder(folder, 0o700)?;
    let by_hash = format!("{}.{ENDING}", Sha256::of(text));
    let names = key.map(name).into_iter().chain([by_hash]);
    for path in names.map(|name| folder.join(name)) {
        match durable::create("lineage", &path, 0o600, text) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let there = durable::read_limited(&path, LIMIT).map(Zeroizing::new)?;
                if there.as_slice() == text {
                    return Ok(path);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else lies in its place"))
}

/// Keeps a key, unless a file there holds it already.
pub(crate) fn keep_key(folder: &Path, key: Fingerprint, text: &[u8]) -> io::Result<()> {
    let there = LiveKey::read(FOLDER, &folder.join(name(key)));
    if there.is_ok_and(|there| there.fingerprint() == key) {
        return Ok(());
    }
    keep(folder, Some(key), text).map(drop)
}

/// Everything that is a key. What cannot be read is told and passed over.
pub(crate) fn read(folder: &Path) -> Kept {
    let mut kept = Kept::default();
    let cannot = |error: io::Error| format!("kept keys in {} cannot be read: {error}", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return kept,
        Err(error) => return Kept { notes: vec![cannot(error)], ..kept },
    };
    for entry in entries.take(MOST) {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                kept.notes.push(cannot(error));
                break;
            }
        };
        if path.extension().is_none_or(|ending| ending != ENDING) {
            continue;
        }
        match LiveKey::read(FOLDER, &path) {
            Ok(key) => {
                kept.keys.entry(key.fingerprint()).or_insert(key);
            }
            // An order may have taken away what was no key.
            Err(stop) => tracing::debug!("{}", stop.in_one_line()),
        }
    }
    kept
}

/// Takes away a key that nothing needs.
pub(crate) fn release(folder: &Path, key: Fingerprint) -> io::Result<()> {
    let there = read(folder);
    if let Some(kept) = there.keys.get(&key) {
        fs::remove_file(kept.path())?;
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// What a run that was killed has left half written: it may be half a key. The caller holds the lock.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(%error, "{} cannot be taken away", entry.path().display());
        }
    }
}

fn name(key: Fingerprint) -> String {
    format!("{}.{ENDING}", key.to_hex())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use pbs_format::key::{EncryptionKey, KeyFile};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn key(byte: u8) -> (Fingerprint, Zeroizing<Vec<u8>>) {
        let key = EncryptionKey::from_bytes(Zeroizing::new([byte; 32]));
        (key.fingerprint(), KeyFile::plain(&key, 1, 2).to_json())
    }

    #[test]
    fn what_is_replaced_is_kept_whatever_is_kept_already() -> Tested {
        let base = tempfile::tempdir()?;
        let folder = base.path().join(FOLDER);
        let there = Some(Fingerprint::from_bytes([7; 32]));
        let first = keep(&folder, there, b"one")?;
        assert_eq!(keep(&folder, there, b"one")?, first);
        let second = keep(&folder, there, b"two")?;
        assert_ne!(first, second);
        assert_eq!((fs::read(&first)?, fs::read(&second)?), (b"one".to_vec(), b"two".to_vec()));
        assert_eq!(fs::metadata(&folder)?.permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&first)?.permissions().mode() & 0o777, 0o600);
        // Where nothing can be kept, nothing is said to be.
        fs::remove_file(&second)?;
        fs::create_dir(&second)?;
        assert!(keep(&folder, there, b"two").is_err());
        Ok(())
    }

    #[test]
    fn a_key_is_known_by_itself_and_not_by_the_name_of_its_file() -> Tested {
        let folder = tempfile::tempdir()?;
        let ((one, text), (other, its)) = (key(1), key(2));
        // Somebody has put another key, and half a one, where ours would lie.
        fs::write(folder.path().join(name(one)), &*its)?;
        keep_key(folder.path(), one, &text)?;
        keep_key(folder.path(), one, &text)?;
        fs::write(folder.path().join("half.enc"), &text[..40])?;
        fs::write(folder.path().join("index.json"), "{")?;
        fs::write(folder.path().join(".tenwords-1.enc"), &text[..40])?;
        sweep(folder.path());
        let kept = read(folder.path());
        assert_eq!(kept.keys.keys().copied().collect::<Vec<_>>(), {
            let mut both = vec![one, other];
            both.sort_unstable();
            both
        });
        assert_eq!(fs::read_dir(folder.path())?.count(), 4, "the unfinished one goes, nothing else");
        assert_eq!(fs::read(folder.path().join(name(one)))?, *its, "nothing was written over");
        release(folder.path(), one)?;
        let left = read(folder.path());
        assert!(!left.keys.contains_key(&one) && left.keys.contains_key(&other));
        Ok(())
    }
}
