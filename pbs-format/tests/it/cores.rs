//! One thread or several: the same snapshot, the same content, the same error.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    num::NonZeroUsize,
};

use pbs_format::{
    archive::ArchiveError,
    backup::{ArchiveStats, BackupError, Protection, SnapshotWriter},
    datastore::{Datastore, Namespace},
    digest::Digest,
    key::EncryptionKey,
    manifest::{FileEntry, Manifest},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use crate::golden::key_from_hex;

const CHUNK: usize = 4 << 20;
const NAME: &str = "drive.img.fidx";

/// Chunks A B 0 0 0 A C and a bit.
fn image() -> Vec<u8> {
    let mut state = 5_u64;
    let mut noise = || -> Vec<u8> {
        let eight = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()
        };
        (0..CHUNK / 8).flat_map(eight).collect()
    };
    let (a, b, c) = (noise(), noise(), noise());
    [&a[..], &b, &vec![0; 3 * CHUNK], &a, &c, b"and a bit"].concat()
}

fn empty() -> (tempfile::TempDir, Datastore) {
    let folder = tempfile::tempdir().unwrap();
    let store = Datastore::create(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn back_up(
    store: &Datastore,
    key: &EncryptionKey,
    image: &[u8],
    count: usize,
) -> Result<(Manifest, ArchiveStats), BackupError> {
    let (root, rng) = (Namespace::root(), UnwrapErr(SysRng));
    let snapshot = "host/box1/2026-03-03T12:00:00Z".parse().unwrap();
    let mut writer = SnapshotWriter::begin(store, &root, snapshot, "a@pbs", Protection::Encrypt(key), rng)?;
    let ((), stats) = writer.archive_with(&NAME.parse().unwrap(), 0, threads(count), |archive| {
        image.chunks(1 << 20).try_for_each(|piece| archive.write_all(piece)).map_err(|error| {
            // Whoever goes on after an error gets no archive.
            assert!(matches!(archive.write_all(&vec![1; CHUNK]), Err(error) if BackupError::of(&error).is_some()));
            match error.into_inner().unwrap().downcast::<BackupError>() {
                Ok(error) => *error,
                Err(other) => panic!("{other}"),
            }
        })
    })?;
    Ok((writer.finish(None)?, stats))
}

fn entry(manifest: &Manifest) -> &FileEntry {
    manifest.file(NAME).unwrap()
}

fn chunks(store: &Datastore) -> BTreeSet<String> {
    let folders = fs::read_dir(store.root().join(".chunks")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_snapshot_is_the_same_whatever_the_number_of_threads() {
    let (image, key) = (image(), key_from_hex(&"42".repeat(32)));
    let mut first = None;
    for count in [1, 2, 5] {
        let (_folder, store) = empty();
        let (manifest, stats) = back_up(&store, &key, &image, count).unwrap();
        // Equal chunks under way at a time are stored once, and counted as in turn.
        assert_eq!((stats.chunks, stats.known, stats.size), (8, 3, image.len() as u64), "{count}");
        let made = (entry(&manifest).clone(), stats.new_size, stats.stored, chunks(&store));
        assert_eq!(made.3.len(), 5);
        assert_eq!(*first.get_or_insert(made.clone()), made, "{count}");
        let snapshot = store.snapshot(&Namespace::root(), manifest.snapshot()).unwrap();
        let reader = snapshot.archive(entry(&manifest), Some(&key)).unwrap();
        for reading in [1, 2, 5] {
            let mut content = Vec::new();
            reader.ahead(threads(reading), |ahead| ahead.read_to_end(&mut content)).unwrap();
            assert!(content == image, "{count} {reading}");
        }
    }
}

#[test]
fn of_several_damaged_chunks_the_first_is_told() {
    let (image, key) = (image(), key_from_hex(&"42".repeat(32)));
    let (_folder, store) = empty();
    let (manifest, _) = back_up(&store, &key, &image, 2).unwrap();
    let snapshot = store.snapshot(&Namespace::root(), manifest.snapshot()).unwrap();
    let reader = snapshot.archive(entry(&manifest), Some(&key)).unwrap();
    let digest = |index: usize| -> Digest { reader.index().chunk(index).unwrap().digest };
    for index in [1, 6] {
        let path = store.chunks().path(&digest(index));
        let mut raw = fs::read(&path).unwrap();
        raw[100] ^= 1;
        fs::write(&path, raw).unwrap();
    }
    for count in [1, 2, 5] {
        reader.ahead(threads(count), |ahead| {
            let mut content = Vec::new();
            let error = ahead.read_to_end(&mut content).unwrap_err();
            assert!(content == image[..CHUNK], "{count}: {} bytes before it", content.len());
            match ArchiveError::of(&error) {
                Some(ArchiveError::Blob { digest: found, .. }) => assert_eq!(*found, digest(1), "{count}"),
                other => panic!("{count}: {other:?}"),
            }
            // And nothing after it, ever.
            assert!(ahead.read(&mut [0]).is_err(), "{count}: the next chunk is a good one");
        });
    }
    // Somebody stops in the middle: no thread stays behind.
    let read = reader.ahead(threads(5), |ahead| ahead.read(&mut [0; 10])).unwrap();
    assert_eq!(read, 10);
}

#[test]
fn of_several_chunks_that_cannot_be_stored_the_first_is_told() {
    let (image, key) = (image(), key_from_hex(&"42".repeat(32)));
    let (_folder, good) = empty();
    let (manifest, _) = back_up(&good, &key, &image, 1).unwrap();
    let snapshot = good.snapshot(&Namespace::root(), manifest.snapshot()).unwrap();
    let index = snapshot.index(entry(&manifest)).unwrap();
    for count in [1, 2, 5] {
        let (_folder, store) = empty();
        // A file stands where the folder of two chunks must be.
        let blocked = [1, 6].map(|at| store.chunks().path(&index.chunk(at).unwrap().digest));
        for path in &blocked {
            let _ = fs::remove_dir(path.parent().unwrap());
            fs::write(path.parent().unwrap(), b"").unwrap();
        }
        match back_up(&store, &key, &image, count) {
            Err(BackupError::Chunk(error)) => {
                let told = format!("{error}");
                assert!(told.contains(&blocked[0].display().to_string()), "{count}: {told}");
            }
            other => panic!("{count}: {other:?}"),
        }
        let left = store.snapshots(&Namespace::root(), manifest.snapshot().group()).unwrap();
        assert_eq!(left, [], "{count}: an unfinished snapshot is left");
    }
}

#[test]
fn an_archive_that_lacks_a_chunk_is_never_finished() {
    let (image, key) = (image(), key_from_hex(&"42".repeat(32)));
    for count in [1, 2] {
        let (_folder, store) = empty();
        let (chunks, aside) = (store.root().join(".chunks"), store.root().join("aside"));
        let (root, rng) = (Namespace::root(), UnwrapErr(SysRng));
        let snapshot = "host/box1/2026-03-03T12:00:00Z".parse().unwrap();
        let mut writer =
            SnapshotWriter::begin(&store, &root, snapshot, "a@pbs", Protection::Encrypt(&key), rng).unwrap();
        let result = writer.archive_with(&NAME.parse().unwrap(), 0, threads(count), |archive| {
            fs::rename(&chunks, &aside).unwrap();
            // The error is met here or some chunks later, and somebody makes nothing of it.
            let told = image.chunks(CHUNK).any(|piece| archive.write_all(piece).is_err());
            fs::rename(&aside, &chunks).unwrap();
            assert!(told, "{count}");
            Ok::<_, BackupError>(())
        });
        assert!(matches!(result, Err(BackupError::Incomplete { .. })), "{count}: {result:?}");
    }
}

/// What waits is bounded by the number of threads, however long the stream.
#[test]
fn chunks_are_noted_while_others_come() {
    let key = key_from_hex(&"42".repeat(32));
    let (_folder, store) = empty();
    let (root, rng) = (Namespace::root(), UnwrapErr(SysRng));
    let snapshot = "host/box1/2026-03-03T12:00:00Z".parse().unwrap();
    let mut writer = SnapshotWriter::begin(&store, &root, snapshot, "a@pbs", Protection::Encrypt(&key), rng).unwrap();
    let written = writer.archive_with(&NAME.parse().unwrap(), 0, threads(2), |archive| {
        let zeros = vec![0; CHUNK];
        (0..12).for_each(|_| archive.write_all(&zeros).unwrap());
        let told = format!("{archive:?}");
        assert!(told.contains("chunks: 8,"), "{told}");
        Ok::<_, BackupError>(())
    });
    assert_eq!(written.unwrap().1.chunks, 12);
}
