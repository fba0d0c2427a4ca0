//! Snapshots that we write: read back, deduplicated, locked, and harmless when interrupted.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
};

use pbs_format::{
    backup::{BackupError, Protection, SnapshotWriter},
    datastore::{Datastore, DatastoreError, FileName, Namespace, SnapshotRef},
    key::EncryptionKey,
    manifest::{CryptMode, ManifestError},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use crate::golden::{self, checksum, key_from_hex, live_key};

type Rng = UnwrapErr<SysRng>;

fn rng() -> Rng {
    UnwrapErr(SysRng)
}

fn empty() -> (tempfile::TempDir, Datastore) {
    let folder = tempfile::tempdir().unwrap();
    let store = Datastore::create(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn name(name: &str) -> FileName {
    name.parse().unwrap()
}

fn reference(second: u8) -> SnapshotRef {
    format!("host/box1/2026-03-03T12:00:{second:02}Z").parse().unwrap()
}

fn begin<'k>(
    store: &Datastore,
    second: u8,
    protection: Protection<'k>,
) -> Result<SnapshotWriter<'k, Rng>, BackupError> {
    SnapshotWriter::begin(store, &Namespace::root(), reference(second), "backup@pbs!box1", protection, rng())
}

/// Bytes without a pattern, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(step).collect()
}

fn content(store: &Datastore, second: u8, file: &str, key: Option<&EncryptionKey>) -> Vec<u8> {
    let snapshot = store.snapshot(&Namespace::root(), &reference(second)).unwrap();
    let manifest = snapshot.manifest().unwrap();
    let entry = manifest.file(file).unwrap();
    let mut content = Vec::new();
    snapshot.archive(entry, key).unwrap().read_to_end(&mut content).unwrap();
    content
}

#[test]
fn what_is_written_is_read_back_under_every_protection() {
    let key = key_from_hex(&"42".repeat(32));
    let (_folder, store) = empty();
    let (tree, disk) = (noise(1, 9 << 20), [vec![0; 9 << 20], noise(2, 1000)].concat());
    for (second, protection) in
        [Protection::None, Protection::Sign(&key), Protection::Encrypt(&key)].into_iter().enumerate()
    {
        let second = u8::try_from(second).unwrap();
        let mode = protection.crypt_mode();
        let mut writer = begin(&store, second, protection).unwrap();
        writer.blob(&name("guest.conf.blob"), b"arch: amd64\n").unwrap();
        let mut archive = writer.archive(&name("root.pxar.didx"), 1_772_539_200).unwrap();
        for piece in tree.chunks(100_000) {
            archive.write_all(piece).unwrap();
        }
        let stats = archive.finish().unwrap();
        assert_eq!(stats.size, tree.len() as u64);
        let mut archive = writer.archive(&name("drive.img.fidx"), 1_772_539_200).unwrap();
        io::copy(&mut &disk[..], &mut archive).unwrap();
        let stats = archive.finish().unwrap();
        // Two chunks of zeros are one on the disk; the second image in the clear is known whole.
        assert_eq!((stats.chunks, stats.known), (3, if mode == CryptMode::SignOnly { 3 } else { 1 }), "{mode}");
        let manifest = writer.finish(Some("naïve")).unwrap();

        let snapshot = store.snapshot(&Namespace::root(), &reference(second)).unwrap();
        assert_eq!(snapshot.manifest().unwrap().to_text(), manifest.to_text());
        let reading = (mode == CryptMode::Encrypt).then_some(&key);
        let conf = snapshot.blob(manifest.file("guest.conf.blob").unwrap(), reading).unwrap();
        assert_eq!(conf, b"arch: amd64\n");
        assert!(content(&store, second, "root.pxar.didx", reading) == tree);
        assert!(content(&store, second, "drive.img.fidx", reading) == disk);
        assert!(manifest.files().iter().all(|file| file.crypt_mode == mode));
        match mode {
            CryptMode::None => assert!(matches!(manifest.verify(&key), Err(ManifestError::Unsigned))),
            CryptMode::SignOnly => assert!(!manifest.verify(&key).unwrap().all_encrypted()),
            CryptMode::Encrypt => assert!(manifest.verify(&key).unwrap().all_encrypted()),
        }
        for (file, _) in snapshot.files().unwrap() {
            let mode = fs::metadata(snapshot.path().join(file.as_str())).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o644, "{file}");
        }
        assert_eq!(fs::read_dir(snapshot.path()).unwrap().count(), 4, "nothing temporary is left");
    }
    let group = reference(0).group().clone();
    assert_eq!(store.owner(&Namespace::root(), &group).unwrap(), "backup@pbs!box1");
    let owner = store.group_path(&Namespace::root(), &group).join("owner");
    assert_eq!(fs::read(owner).unwrap(), b"backup@pbs!box1\n");
}

/// No plaintext may be found in what an encrypted backup leaves on the disk.
#[test]
fn an_encrypted_snapshot_has_no_plaintext_on_the_disk() {
    let (_folder, store) = empty();
    let key = key_from_hex(&"42".repeat(32));
    let secret = b"a sentence that must not be found";
    let mut writer = begin(&store, 0, Protection::Encrypt(&key)).unwrap();
    writer.blob(&name("guest.conf.blob"), secret).unwrap();
    let mut archive = writer.archive(&name("root.pxar.didx"), 0).unwrap();
    archive.write_all(secret).unwrap();
    archive.finish().unwrap();
    writer.finish(None).unwrap();
    let mut folders = vec![store.root().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files >= 5, "{files}");
}

#[test]
fn a_second_backup_stores_only_what_changed() {
    let (_folder, store) = empty();
    let key = key_from_hex(&"42".repeat(32));
    let tree = noise(3, 24 << 20);
    let moved = [b"a few bytes more at the beginning", &tree[..]].concat();
    let mut stored = Vec::new();
    for (second, data) in [&tree, &tree, &moved].into_iter().enumerate() {
        let mut writer = begin(&store, u8::try_from(second).unwrap(), Protection::Encrypt(&key)).unwrap();
        let mut archive = writer.archive(&name("root.pxar.didx"), 0).unwrap();
        archive.write_all(data).unwrap();
        stored.push(archive.finish().unwrap());
        writer.finish(None).unwrap();
    }
    assert_eq!((stored[0].known, stored[0].new_size), (0, tree.len() as u64));
    assert_eq!((stored[1].known, stored[1].new_size, stored[1].stored), (stored[1].chunks, 0, 0));
    assert!(stored[2].new_size < tree.len() as u64 / 2, "{stored:?}");
    assert!(content(&store, 2, "root.pxar.didx", Some(&key)) == moved);
}

#[test]
fn an_interrupted_backup_leaves_no_manifest_and_no_folder() {
    let (_folder, store) = empty();
    let mut writer = begin(&store, 0, Protection::None).unwrap();
    writer.blob(&name("guest.conf.blob"), b"x").unwrap();
    let mut archive = writer.archive(&name("root.pxar.didx"), 0).unwrap();
    archive.write_all(&noise(1, 5 << 20)).unwrap();
    let path = store.snapshot_path(&Namespace::root(), &reference(0));
    let there: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["guest.conf.blob"], "neither an index nor a manifest before its time");
    archive.finish().unwrap();
    assert!(!path.join("index.json.blob").exists());
    let unfinished = store.snapshot(&Namespace::root(), &reference(0)).unwrap();
    assert!(unfinished.manifest().unwrap_err().is_missing());
    drop(writer);
    assert!(!path.exists());
    begin(&store, 0, Protection::None).unwrap().finish(None).unwrap();
    assert!(path.exists());
}

#[test]
fn a_group_has_one_writer_and_one_owner() {
    let (_folder, store) = empty();
    let writer = begin(&store, 0, Protection::None).unwrap();
    assert!(matches!(begin(&store, 1, Protection::None), Err(BackupError::GroupBusy { .. })));
    writer.finish(None).unwrap();
    assert!(matches!(begin(&store, 0, Protection::None), Err(BackupError::Exists { .. })));
    let root = Namespace::root();
    let as_owner =
        |owner: &str| SnapshotWriter::begin(&store, &root, reference(9), owner, Protection::None, rng()).map(drop);
    for stranger in ["backup@pbs!box2", "root@pam", "backup@pb"] {
        let refused = as_owner(stranger);
        assert!(matches!(&refused, Err(BackupError::Owner { owner, .. }) if owner == "backup@pbs!box1"), "{refused:?}");
    }
    for bad in ["", "a\nb", "a b"] {
        assert!(matches!(as_owner(bad), Err(BackupError::OwnerName)), "{bad:?}");
    }
    as_owner("backup@pbs!box1").unwrap();
    as_owner("backup@pbs").unwrap();
    let nowhere = "nowhere".parse().unwrap();
    let refused = SnapshotWriter::begin(&store, &nowhere, reference(0), "a@pbs", Protection::None, rng());
    assert!(matches!(refused, Err(BackupError::Write { .. })));
}

#[test]
fn a_backup_waits_for_no_garbage_collection() {
    let (_folder, store) = empty();
    let file = fs::File::options().write(true).open(store.root().join(".lock")).unwrap();
    let exclusive = nix::libc::flock { l_type: nix::libc::F_WRLCK as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&exclusive)).unwrap();
    assert!(matches!(begin(&store, 0, Protection::None), Err(BackupError::StoreBusy)));
    drop(file);
    begin(&store, 0, Protection::None).unwrap();
}

#[test]
fn what_cannot_be_part_of_a_snapshot_is_refused() {
    let (_folder, store) = empty();
    let mut writer = begin(&store, 0, Protection::None).unwrap();
    writer.blob(&name("a.conf.blob"), b"").unwrap();
    for bad in ["a.conf.blob", "index.json.blob", "root.pxar.didx"] {
        assert!(matches!(writer.blob(&name(bad), b"x"), Err(BackupError::File { .. })), "{bad}");
    }
    assert!(matches!(writer.archive(&name("b.conf.blob"), 0), Err(BackupError::File { .. })));
    for empty in ["root.pxar.didx", "drive.img.fidx"] {
        let archive = writer.archive(&name(empty), 0).unwrap();
        assert!(matches!(archive.finish(), Err(BackupError::Empty { .. })), "{empty}");
    }
    assert!(matches!(writer.blob(&name("large.log.blob"), &noise(5, 17 << 20)), Err(BackupError::TooLarge { .. })));
    assert_eq!(writer.files().len(), 1);
    assert!(matches!(Datastore::create(store.root()), Err(DatastoreError::NotEmpty { .. })));
}

/// The chunks that we store carry the names that the real server gave to the same content.
#[test]
fn an_image_backed_up_again_into_the_real_servers_store_is_all_known() {
    let (_folder, store) = golden::store();
    let key = live_key("K.enc");
    let old: SnapshotRef = "host/box1/2024-02-29T12:34:56Z".parse().unwrap();
    let snapshot = store.snapshot(&Namespace::root(), &old).unwrap();
    let manifest = snapshot.manifest().unwrap();
    let entry = manifest.file("drive.img.fidx").unwrap();
    let owner = store.owner(&Namespace::root(), old.group()).unwrap();
    let protection = Protection::Encrypt(&key);
    let mut writer =
        SnapshotWriter::begin(&store, &Namespace::root(), reference(0), &owner, protection, rng()).unwrap();
    let mut archive = writer.archive(&name("drive.img.fidx"), 0).unwrap();
    io::copy(&mut snapshot.archive(entry, Some(&key)).unwrap(), &mut archive).unwrap();
    let stats = archive.finish().unwrap();
    assert_eq!((stats.known, stats.stored), (stats.chunks, 0));
    let again = writer.finish(None).unwrap();
    assert_eq!(again.file("drive.img.fidx"), Some(entry), "size and index checksum are the server's own");
    let image = content(&store, 0, "drive.img.fidx", Some(&key));
    assert_eq!(tenwords_protocol::hash::Sha256::of(&image).to_string(), checksum("disk.raw"));
}
