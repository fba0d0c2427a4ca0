//! The chunk store: where chunks lie, and what becomes of one that is there already.

use std::{
    fs::{self, FileTimes},
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime},
};

use pbs_format::{
    blob,
    chunk::{ChunkError, ChunkStore, Inserted, MAX_CHUNK_FILE},
    key::EncryptionKey,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use crate::golden::{cases, hex_of, key_from_hex, key_of, text};

const DIGEST: [u8; 32] = [0xab; 32];
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn empty() -> (tempfile::TempDir, ChunkStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = ChunkStore::create(folder.path()).unwrap();
    (folder, store)
}

fn raw(content: &[u8], key: Option<&EncryptionKey>, compress: bool) -> Vec<u8> {
    blob::encode(content, key, compress, &mut UnwrapErr(SysRng)).unwrap()
}

#[test]
fn chunks_lie_where_the_vectors_say() {
    let (folder, store) = empty();
    for (name, case) in cases("/digests") {
        let path = store.path(&hex_of(case, "plain_hex").try_into().unwrap());
        assert_eq!(path, folder.path().join(text(case, "plain_path")), "{name}");
        for keyed in case["keyed"].as_array().unwrap() {
            assert!(key_of(keyed).is_some());
            let path = store.path(&hex_of(keyed, "digest_hex").try_into().unwrap());
            if let Some(expected) = keyed["path"].as_str() {
                assert_eq!(path, folder.path().join(expected), "{name}");
            }
        }
    }
}

#[test]
fn a_new_chunk_is_stored_under_its_name_alone() {
    let (folder, store) = empty();
    let chunk = raw(b"ten words", None, true);
    assert_eq!(store.insert(&DIGEST, &chunk).unwrap(), Inserted::New);
    assert_eq!(store.insert(&DIGEST, &chunk).unwrap(), Inserted::Known);
    assert_eq!(store.read_raw(&DIGEST).unwrap(), chunk);
    let path = store.path(&DIGEST);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing temporary is left");
    store.sync().unwrap();
    let again = ChunkStore::open(folder.path()).unwrap();
    assert_eq!(again.read_raw(&DIGEST).unwrap(), chunk);
    assert!(ChunkStore::create(folder.path()).is_err());
}

/// `formats.md` §3.2, row by row. Between encrypted and unencrypted we are stricter.
#[test]
fn what_is_there_is_kept_replaced_or_refused_as_the_table_says() {
    let key = key_from_hex(&"11".repeat(32));
    let words = b"ten words ".repeat(50);
    let (plain, zstd) = (raw(&words, None, false), raw(&words, None, true));
    let (sealed, sealed_zstd) = (raw(&words, Some(&key), false), raw(&words, Some(&key), true));
    let sealed_other = raw(b"another length", Some(&key), false);
    let same_size = raw(&b"x".repeat(words.len()), None, false);
    enum Then {
        Kept,
        Replaced,
        Refused,
    }
    use Then::{Kept, Refused, Replaced};
    for (row, there, new, then) in [
        ("same size", &plain, &same_size, Kept),
        ("size 0", &Vec::new(), &plain, Replaced),
        ("size 0, encrypted", &Vec::new(), &sealed, Replaced),
        ("unencrypted, then encrypted", &plain, &sealed, Refused),
        ("encrypted, then unencrypted and longer", &sealed_zstd, &plain, Refused),
        ("encrypted, then unencrypted and shorter", &sealed, &zstd, Refused),
        ("encrypted twice, another size", &sealed, &sealed_other, Refused),
        ("encrypted, then compressed too", &sealed, &sealed_zstd, Kept),
        ("encrypted and compressed, then not", &sealed_zstd, &sealed, Kept),
        ("unencrypted and smaller", &zstd, &plain, Kept),
        ("unencrypted and larger", &plain, &zstd, Replaced),
    ] {
        let (_folder, store) = empty();
        let path = store.path(&DIGEST);
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, there).unwrap();
        // Reading alone leaves an access time that is later than the last change (relatime).
        let (accessed, modified) = (SystemTime::UNIX_EPOCH + CENTURY, SystemTime::UNIX_EPOCH);
        let times = FileTimes::new().set_accessed(accessed).set_modified(modified);
        fs::File::options().write(true).open(&path).unwrap().set_times(times).unwrap();

        let inserted = store.insert(&DIGEST, new);
        let metadata = fs::metadata(&path).unwrap();
        match then {
            Kept => {
                assert_eq!(inserted.unwrap(), Inserted::Known, "{row}");
                assert!(metadata.accessed().unwrap() < accessed, "{row}: a garbage collection would take it");
                assert_eq!(metadata.modified().unwrap(), modified, "{row}");
                assert_eq!(&fs::read(&path).unwrap(), there, "{row}");
            }
            Replaced => {
                assert_eq!(inserted.unwrap(), Inserted::New, "{row}");
                assert_eq!(&fs::read(&path).unwrap(), new, "{row}");
            }
            Refused => {
                assert!(matches!(inserted, Err(ChunkError::Conflict { .. })), "{row}: {inserted:?}");
                assert_eq!(&fs::read(&path).unwrap(), there, "{row}");
            }
        }
    }
}

#[test]
fn what_is_no_chunk_is_neither_stored_nor_taken_for_one() {
    let (folder, store) = empty();
    assert!(matches!(store.insert(&DIGEST, b"no blob at all"), Err(ChunkError::NotABlob { .. })));
    assert!(store.read_raw(&DIGEST).unwrap_err().is_missing());
    assert!(!store.touch(&DIGEST, false).unwrap());

    let chunk = raw(b"ten words", None, false);
    store.insert(&DIGEST, &chunk).unwrap();
    assert!(store.touch(&DIGEST, false).unwrap());
    assert!(!store.touch(&DIGEST, true).unwrap(), "an unencrypted chunk is not the encrypted one");
    let path = store.path(&DIGEST);
    fs::write(&path, b"garbage").unwrap();
    assert!(!store.touch(&DIGEST, false).unwrap());
    assert!(matches!(store.insert(&DIGEST, &chunk), Err(ChunkError::NotABlob { .. })));

    fs::File::options().write(true).open(&path).unwrap().set_len(MAX_CHUNK_FILE as u64 + 1).unwrap();
    assert!(matches!(store.read_raw(&DIGEST), Err(error @ ChunkError::Read { .. }) if !error.is_missing()));
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(store.read_raw(&DIGEST).is_err(), "and does not wait for a writer");
    assert!(matches!(ChunkStore::open(&folder.path().join("elsewhere")), Err(ChunkError::NoStore { .. })));
}
