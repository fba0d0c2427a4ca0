//! The real server's datastore and the vectors' one, read whole; then damaged, and refused.

use std::{fs, io::Read as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use pbs_format::{
    archive::{ArchiveError, ChunkReader},
    blob::BlobError,
    datastore::{Datastore, DatastoreError, FileKind, Namespace, Snapshot, SnapshotRef},
    index::IndexError,
    key::EncryptionKey,
    manifest::{CryptMode, Manifest, ManifestError},
};
use tenwords_protocol::hash::Sha256;

use crate::golden::{self, checksum, key_of, live_key, text};

const ENCRYPTED: &str = "host/box1/2024-02-29T12:34:56Z";
const PLAIN: &str = "host/plain/2024-02-29T12:34:57Z";
const SIGNED: &str = "host/signed/2024-02-29T12:34:58Z";
const OTHER_KEY: &str = "host/box1/2024-02-29T12:34:59Z";
const TENANTS: &str = "ct/9001/2024-02-29T12:35:00Z";

fn open<'a>(store: &'a Datastore, snapshot: &str) -> Snapshot<'a> {
    let namespace = if snapshot == TENANTS { "tenants" } else { "" };
    store.snapshot(&namespace.parse().unwrap(), &snapshot.parse().unwrap()).unwrap()
}

fn read_all(mut reader: ChunkReader<'_>) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    match reader.read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(error) => Err(format!("{:?}", ArchiveError::of(&error).unwrap())),
    }
}

fn archive(snapshot: &Snapshot<'_>, name: &str, key: Option<&EncryptionKey>) -> Vec<u8> {
    let manifest = snapshot.manifest().unwrap();
    read_all(snapshot.archive(manifest.file(name).unwrap(), key).unwrap()).unwrap()
}

#[test]
fn the_real_servers_datastore_lists_what_it_holds() {
    let (_folder, store) = golden::store();
    let names: Vec<_> = store.namespaces().unwrap().iter().map(Namespace::to_string).collect();
    assert_eq!(names, ["", "tenants"]);
    let mut found = Vec::new();
    for namespace in store.namespaces().unwrap() {
        for group in store.groups(&namespace).unwrap() {
            assert!(store.owner(&namespace, &group).unwrap().contains('@'), "{group}");
            found.extend(store.snapshots(&namespace, &group).unwrap().iter().map(SnapshotRef::to_string));
        }
    }
    assert_eq!(found, [ENCRYPTED, OTHER_KEY, PLAIN, SIGNED, TENANTS]);
    let files: Vec<_> = open(&store, ENCRYPTED).files().unwrap().into_iter().map(|file| file.0.to_string()).collect();
    for expected in ["drive.img.fidx", "guest.conf.blob", "index.json.blob", "root.pxar.didx"] {
        assert!(files.iter().any(|file| file == expected), "{files:?}");
    }
}

#[test]
fn what_the_real_server_wrote_comes_back_byte_for_byte() {
    let (_folder, store) = golden::store();
    let (k, other) = (live_key("K.enc"), live_key("other.enc"));
    let mut chunks = 0;
    for (name, key, mode) in [
        (ENCRYPTED, Some(&k), CryptMode::Encrypt),
        (PLAIN, None, CryptMode::None),
        (SIGNED, Some(&k), CryptMode::SignOnly),
        (OTHER_KEY, Some(&other), CryptMode::Encrypt),
        (TENANTS, Some(&k), CryptMode::Encrypt),
    ] {
        let snapshot = open(&store, name);
        let manifest = snapshot.manifest().unwrap();
        assert_eq!(manifest.key_fingerprint(), key.map(EncryptionKey::fingerprint), "{name}");
        match key {
            Some(key) => {
                let verified = manifest.verify(key).unwrap();
                assert_eq!(verified.all_encrypted(), mode == CryptMode::Encrypt, "{name}");
                assert_eq!(verified.snapshot().to_string(), name);
            }
            None => assert!(matches!(manifest.verify(&k), Err(ManifestError::Unsigned)), "{name}"),
        }
        let raw = snapshot.raw(&"index.json.blob".parse().unwrap()).unwrap();
        let stored = pbs_format::blob::decode(&raw, None, 1 << 20).unwrap();
        assert_eq!(manifest.to_text().as_bytes(), stored, "{name}");
        assert!(!manifest.files().is_empty(), "{name}");
        for entry in manifest.files() {
            assert_eq!(entry.crypt_mode, mode, "{name}/{}", entry.filename);
            let content = match entry.filename.kind() {
                FileKind::Blob => snapshot.blob(entry, key).unwrap(),
                FileKind::Dynamic | FileKind::Fixed => {
                    let reader = snapshot.archive(entry, key).unwrap();
                    chunks += reader.index().count();
                    assert_eq!(reader.size(), entry.size);
                    read_all(reader).unwrap()
                }
            };
            let expected = match entry.filename.archive() {
                "guest.conf" => Sha256::of(&golden::file("guest.conf")).to_string(),
                "drive.img" => checksum("disk.raw"),
                "root.pxar" => checksum("root.pxar"),
                "catalog.pcat1" => continue,
                other => panic!("{other}"),
            };
            assert_eq!(Sha256::of(&content).to_string(), expected, "{name}/{}", entry.filename);
        }
    }
    assert!(chunks > 5, "{chunks}");
}

#[test]
fn the_vectors_datastore_reads_from_written_out_files() {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in golden::VECTORS["datastore"]["files_b64"].as_object().unwrap() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, BASE64_STANDARD.decode(content.as_str().unwrap()).unwrap()).unwrap();
    }
    let store = Datastore::open(folder.path()).unwrap();
    for case in golden::VECTORS["datastore"]["snapshots"].as_array().unwrap() {
        let snapshot = store.snapshot(&Namespace::root(), &text(case, "path").parse().unwrap()).unwrap();
        let (manifest, key) = (snapshot.manifest().unwrap(), key_of(case));
        assert_eq!(manifest.to_text(), text(case, "manifest_text"));
        let conf = snapshot.blob(manifest.file("pct.conf.blob").unwrap(), key.as_ref()).unwrap();
        assert_eq!(conf, text(case, "pct.conf").as_bytes());
        let pxar = archive(&snapshot, "root.pxar.didx", key.as_ref());
        assert_eq!(Sha256::of(&pxar).to_string(), text(case, "root.pxar_sha256"));
    }
}

#[test]
fn an_archive_can_be_read_from_any_place() {
    let (_folder, store) = golden::store();
    let key = live_key("K.enc");
    let snapshot = open(&store, ENCRYPTED);
    let whole = archive(&snapshot, "drive.img.fidx", Some(&key));
    let manifest = snapshot.manifest().unwrap();
    let mut reader = snapshot.archive(manifest.file("drive.img.fidx").unwrap(), Some(&key)).unwrap();
    let size = whole.len();
    for (start, length) in [(size - 5, 5), (0, 10), ((4 << 20) - 3, 6), (8 << 20, 100), (size, 0), (size - 1, 1)] {
        let mut piece = vec![0; length];
        std::io::Seek::seek(&mut reader, std::io::SeekFrom::Start(start as u64)).unwrap();
        reader.read_exact(&mut piece).unwrap();
        assert_eq!(piece, whole[start..start + length], "{start}");
    }
    assert_eq!(reader.read_at(size as u64, &mut [0; 8]).unwrap(), 0);
    assert_eq!(reader.read_at(u64::MAX, &mut [0; 8]).unwrap(), 0);
    assert_eq!(reader.read_at((4 << 20) - 1, &mut [0; 8]).unwrap(), 1, "up to the end of a chunk");
}

#[test]
fn without_the_right_key_there_is_an_error_and_no_content() {
    let (_folder, store) = golden::store();
    let (k, other) = (live_key("K.enc"), live_key("other.enc"));
    let snapshot = open(&store, ENCRYPTED);
    let manifest = snapshot.manifest().unwrap();
    assert!(matches!(
        manifest.verify(&other),
        Err(ManifestError::WrongKey { stated, given, signed: true })
            if stated == k.fingerprint() && given == other.fingerprint()
    ));
    assert!(matches!(manifest.check(None), Err(ManifestError::MissingKey { stated }) if stated == k.fingerprint()));
    let conf = manifest.file("guest.conf.blob").unwrap();
    for (key, expected) in [(None, BlobError::KeyNeeded), (Some(&other), BlobError::NotAuthentic)] {
        let blob = snapshot.blob(conf, key);
        assert!(matches!(&blob, Err(DatastoreError::Blob { source, .. }) if *source == expected), "{blob:?}");
        for name in ["root.pxar.didx", "drive.img.fidx"] {
            let mut content = Vec::new();
            let mut reader = snapshot.archive(manifest.file(name).unwrap(), key).unwrap();
            let error = reader.read_to_end(&mut content).unwrap_err();
            let error = ArchiveError::of(&error).unwrap();
            assert!(matches!(error, ArchiveError::Blob { source, .. } if *source == expected), "{error:?}");
            assert!(content.is_empty());
        }
    }
}

/// Reads an archive after a change to the chunk at `position`, and gives the error.
fn after(name: &str, position: usize, change: impl Fn(&Datastore, &std::path::Path)) -> ArchiveError {
    let (_folder, store) = golden::store();
    let key = live_key("K.enc");
    let snapshot = open(&store, ENCRYPTED);
    let manifest = snapshot.manifest().unwrap();
    let index = snapshot.index(manifest.file(name).unwrap()).unwrap();
    let digest = index.chunk(position).unwrap().digest;
    change(&store, &store.chunks().path(&digest));
    let reader = snapshot.archive(manifest.file(name).unwrap(), Some(&key)).unwrap();
    let spans: Vec<_> = index.chunks().collect();
    // What comes before the bad chunk is sound; of the bad one not a byte comes out.
    let bad = spans.iter().position(|span| span.digest == digest).unwrap();
    for span in &spans[..bad] {
        reader.chunk(span).unwrap();
    }
    let mut content = Vec::new();
    let mut reader = reader;
    let error = reader.read_to_end(&mut content).unwrap_err();
    assert_eq!(content.len() as u64, spans[bad].start);
    *error.into_inner().unwrap().downcast().unwrap()
}

#[test]
fn a_missing_chunk_is_named() {
    for (name, position) in [("root.pxar.didx", 0), ("drive.img.fidx", 2)] {
        let error = after(name, position, |_, path| fs::remove_file(path).unwrap());
        assert!(matches!(&error, ArchiveError::Chunk(chunk) if chunk.is_missing()), "{error:?}");
    }
}

#[test]
fn every_way_in_which_a_chunk_can_be_wrong_is_refused() {
    let flip = |index: usize, mend: bool| {
        move |_: &Datastore, path: &std::path::Path| {
            let mut raw = fs::read(path).unwrap();
            raw[index] ^= 1;
            if mend {
                let sum = crc32fast::hash(&raw[44..]);
                raw[8..12].copy_from_slice(&sum.to_le_bytes());
            }
            fs::write(path, raw).unwrap();
        }
    };
    let source = |error: ArchiveError| match error {
        ArchiveError::Blob { source, .. } => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(source(after("root.pxar.didx", 0, flip(0, false))), BlobError::UnknownMagic);
    assert_eq!(source(after("root.pxar.didx", 0, flip(8, false))), BlobError::WrongChecksum);
    assert_eq!(source(after("root.pxar.didx", 0, flip(12, false))), BlobError::NotAuthentic, "IV");
    assert_eq!(source(after("root.pxar.didx", 0, flip(28, false))), BlobError::NotAuthentic, "tag");
    assert_eq!(source(after("root.pxar.didx", 0, flip(100, false))), BlobError::WrongChecksum);
    assert_eq!(source(after("root.pxar.didx", 0, flip(100, true))), BlobError::NotAuthentic);
    let cut = |_: &Datastore, path: &std::path::Path| {
        let raw = fs::read(path).unwrap();
        fs::write(path, &raw[..20]).unwrap();
    };
    assert_eq!(source(after("root.pxar.didx", 0, cut)), BlobError::TooSmall { found: 20 });
}

/// The chunk of `snapshot`'s archive at `position`, as it lies there.
fn foreign(store: &Datastore, snapshot: &str, name: &str, position: usize) -> Vec<u8> {
    let snapshot = open(store, snapshot);
    let index = snapshot.index(snapshot.manifest().unwrap().file(name).unwrap()).unwrap();
    store.chunks().read_raw(&index.chunk(position).unwrap().digest).unwrap()
}

#[test]
fn a_sound_chunk_in_another_ones_place_is_refused() {
    let unencrypted = after("drive.img.fidx", 0, |store, path| {
        fs::write(path, foreign(store, PLAIN, "drive.img.fidx", 0)).unwrap();
    });
    assert!(matches!(unencrypted, ArchiveError::CryptMode { encrypted: false, .. }), "{unencrypted:?}");
    let swapped = after("drive.img.fidx", 0, |store, path| {
        fs::write(path, foreign(store, ENCRYPTED, "drive.img.fidx", 1)).unwrap();
    });
    assert!(matches!(swapped, ArchiveError::WrongDigest { .. }), "{swapped:?}");
    for (place, position) in [(0, 2), (2, 0)] {
        let length = after("drive.img.fidx", place, |store, path| {
            fs::write(path, foreign(store, ENCRYPTED, "drive.img.fidx", position)).unwrap();
        });
        assert!(matches!(length, ArchiveError::WrongLength { .. }), "{length:?}");
    }
}

#[test]
fn an_unencrypted_archive_takes_no_encrypted_chunk() {
    let (_folder, store) = golden::store();
    let key = live_key("K.enc");
    let snapshot = open(&store, PLAIN);
    let manifest = snapshot.manifest().unwrap();
    let entry = manifest.file("drive.img.fidx").unwrap();
    let digest = snapshot.index(entry).unwrap().chunk(0).unwrap().digest;
    fs::write(store.chunks().path(&digest), foreign(&store, ENCRYPTED, "drive.img.fidx", 0)).unwrap();
    let error = read_all(snapshot.archive(entry, Some(&key)).unwrap()).unwrap_err();
    assert!(error.starts_with("CryptMode"), "{error}");
}

#[test]
fn an_index_that_is_not_the_signed_one_is_refused() {
    let (_folder, store) = golden::store();
    let snapshot = open(&store, ENCRYPTED);
    let manifest = snapshot.manifest().unwrap();
    let entry = manifest.file("drive.img.fidx").unwrap();
    let path = snapshot.path().join("drive.img.fidx");
    let good = fs::read(&path).unwrap();

    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut raw = good.clone();
        change(&mut raw);
        fs::write(&path, raw).unwrap();
        snapshot.index(entry).unwrap_err()
    };
    let mend = |raw: &mut Vec<u8>| {
        let sum = Sha256::of(&raw[4096..]);
        raw[32..64].copy_from_slice(sum.as_bytes());
    };
    for (what, change, expected) in [
        ("flipped", (&|raw: &mut Vec<u8>| raw[4096] ^= 1) as &dyn Fn(&mut Vec<u8>), IndexError::WrongChecksum),
        ("cut", &|raw| raw.truncate(good.len() - 1), IndexError::Length { found: good.len() - 1 }),
        ("empty", &|raw| raw.clear(), IndexError::TooSmall { found: 0 }),
        ("magic", &|raw| raw[0] ^= 1, IndexError::UnknownMagic),
    ] {
        let error = damaged(change);
        assert!(matches!(&error, DatastoreError::Index { source, .. } if *source == expected), "{what}: {error:?}");
    }
    let consistent = damaged(&|raw| {
        raw.swap(4096, 4097);
        mend(raw);
    });
    assert!(matches!(consistent, DatastoreError::WrongChecksum { .. }), "{consistent:?}");
    let shorter = damaged(&|raw| raw[64..72].copy_from_slice(&(entry.size - 1).to_le_bytes()));
    assert!(matches!(shorter, DatastoreError::WrongSize { .. }), "{shorter:?}");
    let other_kind = damaged(&|raw| *raw = fs::read(snapshot.path().join("root.pxar.didx")).unwrap());
    assert!(matches!(other_kind, DatastoreError::Index { source: IndexError::UnknownMagic, .. }), "{other_kind:?}");
    fs::remove_file(&path).unwrap();
    assert!(snapshot.index(entry).unwrap_err().is_missing());

    let blob = manifest.file("guest.conf.blob").unwrap();
    assert!(matches!(snapshot.index(blob), Err(DatastoreError::Kind { .. })));
    assert!(matches!(snapshot.blob(entry, None), Err(DatastoreError::Kind { .. })));
}

#[test]
fn a_blob_that_is_not_the_signed_one_is_refused() {
    let (_folder, store) = golden::store();
    let key = live_key("K.enc");
    let snapshot = open(&store, ENCRYPTED);
    let manifest = snapshot.manifest().unwrap();
    let mut entry = manifest.file("guest.conf.blob").unwrap().clone();
    let path = snapshot.path().join("guest.conf.blob");
    let good = fs::read(&path).unwrap();
    for index in 0..good.len() {
        let mut raw = good.clone();
        raw[index] ^= 1;
        fs::write(&path, raw).unwrap();
        assert!(matches!(snapshot.blob(&entry, Some(&key)), Err(DatastoreError::WrongChecksum { .. })), "{index}");
    }
    fs::write(&path, [&good[..], b"x"].concat()).unwrap();
    assert!(matches!(snapshot.blob(&entry, Some(&key)), Err(DatastoreError::WrongSize { .. })));

    // A plain blob under an entry that says `encrypt`, and the reverse, with sizes and sums right.
    let plain = fs::read(open(&store, PLAIN).path().join("guest.conf.blob")).unwrap();
    fs::write(&path, &plain).unwrap();
    (entry.size, entry.csum) = (plain.len() as u64, Sha256::of(&plain));
    assert!(matches!(
        snapshot.blob(&entry, Some(&key)),
        Err(DatastoreError::CryptMode { stated: CryptMode::Encrypt, .. })
    ));
    fs::write(&path, &good).unwrap();
    (entry.size, entry.csum, entry.crypt_mode) = (good.len() as u64, Sha256::of(&good), CryptMode::None);
    assert!(matches!(snapshot.blob(&entry, Some(&key)), Err(DatastoreError::CryptMode { .. })));
}

/// What a hostile server can do: our fingerprint on a plaintext snapshot that nobody signed.
#[test]
fn the_unsigned_twin_of_a_snapshot_never_verifies() {
    let (_folder, store) = golden::store();
    let key = live_key("K.enc");
    let twin = open(&store, ENCRYPTED);
    let plain = open(&store, PLAIN).manifest().unwrap();
    let forged = plain.to_text().replace("\"plain\"", "\"box1\"").replace(
        "\"unprotected\": {",
        &format!("\"unprotected\": {{\n    \"key-fingerprint\": \"{}\",", key.fingerprint()),
    );
    let forged =
        forged.replace(&plain.snapshot().time().unix().to_string(), &twin.reference().time().unix().to_string());
    let raw =
        pbs_format::blob::encode(forged.as_bytes(), None, true, &mut rand::rand_core::UnwrapErr(rand::rngs::SysRng));
    fs::write(twin.path().join("index.json.blob"), raw.unwrap()).unwrap();
    let manifest = twin.manifest().unwrap();
    assert_eq!(manifest.key_fingerprint(), Some(key.fingerprint()));
    assert!(manifest.check(Some(&key)).is_ok(), "the stock client restores it without a word");
    assert!(matches!(manifest.verify(&key), Err(ManifestError::Unsigned)));
}

#[test]
fn a_manifest_from_another_snapshot_is_refused() {
    let (_folder, store) = golden::store();
    let (here, there) = (open(&store, ENCRYPTED), open(&store, SIGNED));
    fs::copy(there.path().join("index.json.blob"), here.path().join("index.json.blob")).unwrap();
    assert!(matches!(
        here.manifest(),
        Err(DatastoreError::MisplacedManifest { stated, .. }) if stated.to_string() == SIGNED
    ));
    fs::write(here.path().join("index.json.blob"), "{}").unwrap();
    assert!(matches!(here.manifest(), Err(DatastoreError::Manifest { .. })));
    fs::remove_file(here.path().join("index.json.blob")).unwrap();
    assert!(here.manifest().unwrap_err().is_missing());
}

#[test]
fn what_is_not_there_is_missing_and_strange_names_are_passed_over() {
    let (_folder, store) = golden::store();
    let root = Namespace::root();
    assert!(store.groups(&"nowhere".parse().unwrap()).unwrap_err().is_missing());
    assert!(store.snapshots(&root, &"ct/1".parse().unwrap()).unwrap_err().is_missing());
    assert!(store.snapshot(&root, &"ct/1/2024-02-29T12:34:56Z".parse().unwrap()).unwrap_err().is_missing());
    assert!(matches!(Datastore::open(&store.root().join("host")), Err(DatastoreError::NotADatastore { .. })));
    let before = store.groups(&root).unwrap();
    fs::create_dir(store.root().join("host/-rf")).unwrap();
    fs::create_dir(store.root().join("lxc")).unwrap();
    fs::write(store.root().join("host/file"), "").unwrap();
    std::os::unix::fs::symlink("box1", store.root().join("host/link")).unwrap();
    fs::create_dir(store.root().join("host/box1/today")).unwrap();
    fs::create_dir(store.root().join("ns/..x")).unwrap();
    assert_eq!(store.groups(&root).unwrap(), before);
    assert_eq!(store.snapshots(&root, &"host/box1".parse().unwrap()).unwrap().len(), 2);
    assert_eq!(store.namespaces().unwrap().len(), 2);
    let text = Manifest::from_blob(&fs::read(open(&store, PLAIN).path().join("index.json.blob")).unwrap()).unwrap();
    assert!(!text.is_signed());
}
