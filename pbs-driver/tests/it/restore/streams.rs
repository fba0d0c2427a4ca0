//! Streams that are the signed archive, and streams that are nearly so.

use std::{
    fs,
    io::Write as _,
    ops::ControlFlow,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use pbs_driver::{
    DriverError, Failure,
    failure::Damage,
    restore::{self, Request},
};
use pbs_format::{
    backup::{Protection, SnapshotWriter},
    datastore::{Datastore, Namespace},
    key::{EncryptionKey, KeyFile},
    manifest::{CryptMode, FileEntry},
    pxar::{self, CreateOptions, Encoder, Metadata},
    witness::WitnessError,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::hash::Sha256;
use zeroize::Zeroizing;

use super::{Asked, on, vouches};
use crate::place::KEYS;

fn key() -> EncryptionKey {
    KeyFile::parse(&KEYS.plain).unwrap().open(None).unwrap()
}

/// The entry that a backup of `content` under our key signs.
fn entry(name: &str, content: &[u8]) -> FileEntry {
    let key = key();
    entry_of(name, content, Protection::Encrypt(&key))
}

/// The entry that a backup of `content` lists.
fn entry_of(name: &str, content: &[u8], protection: Protection<'_>) -> FileEntry {
    let folder = tempfile::tempdir().unwrap();
    let store = Datastore::create(&folder.path().join("store")).unwrap();
    let rng = UnwrapErr(SysRng);
    let snapshot = "host/box1/2026-11-21T00:22:54Z".parse().unwrap();
    let mut writer = SnapshotWriter::begin(&store, &Namespace::root(), snapshot, "b@pbs!t", protection, rng).unwrap();
    let mut archive = writer.archive(&name.parse().unwrap(), 0).unwrap();
    archive.write_all(content).unwrap();
    archive.finish().unwrap();
    writer.finish(None).unwrap().file(name).unwrap().clone()
}

/// A tree of two files in two folders, and its archive.
fn archive(words: &str) -> (tempfile::TempDir, Vec<u8>) {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("etc")).unwrap();
    fs::write(source.path().join("etc/hostname"), words).unwrap();
    fs::write(source.path().join("data"), words.repeat(500)).unwrap();
    fs::set_permissions(source.path(), fs::Permissions::from_mode(0o751)).unwrap();
    let mut stream = Vec::new();
    pxar::create(source.path(), &mut stream, &CreateOptions::default()).unwrap();
    (source, stream)
}

struct Scene {
    asked: Asked,
    target: PathBuf,
}

impl Scene {
    fn new(name: &str, content: &[u8]) -> Self {
        Self::signed(entry(name, content))
    }

    fn signed(signed: FileEntry) -> Self {
        let asked = Asked::signed(signed);
        let target = asked.place.scratch().join("target");
        Self { asked, target }
    }

    /// Restores from a client that sends this.
    fn restore(&self, sent: &[u8]) -> Result<restore::RestoreOutput, DriverError> {
        self.sending(sent, "cat \"$scratch/sent\"")
    }

    fn sending(&self, sent: &[u8], how: &str) -> Result<restore::RestoreOutput, DriverError> {
        fs::write(self.asked.place.scratch().join("sent"), sent).unwrap();
        let client = self.asked.place.client(&format!("{}{how}", vouches()));
        let request = self.asked.request();
        let result = match self.asked.signed.filename.archive().ends_with(".img") {
            true => restore::file(&client, &request, &self.target, &mut on),
            false => restore::tree(&client, &request, &self.target, &mut on),
        };
        self.asked.place.assert_clean();
        result
    }
}

fn not_signed(result: Result<restore::RestoreOutput, DriverError>) -> WitnessError {
    match result {
        Err(DriverError::NotSigned { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

fn same(source: &Path, target: &Path) {
    for name in ["etc/hostname", "data"] {
        assert_eq!(fs::read(source.join(name)).unwrap(), fs::read(target.join(name)).unwrap(), "{name}");
    }
    let look = |path: &Path| fs::metadata(path).map(|found| (found.mode(), found.mtime(), found.uid())).unwrap();
    assert_eq!(look(source), look(target));
    assert_eq!(look(&source.join("etc")), look(&target.join("etc")));
}

#[test]
fn the_signed_archive_comes_back_and_its_progress_is_counted() {
    let (source, stream) = archive("genuine\n");
    let scene = Scene::new("root.pxar.didx", &stream);
    let half = stream.len() as u64 / 2;
    // Half of it comes, then nothing until that was seen.
    let how = format!(
        "head -c {half} \"$scratch/sent\"; while [ ! -e \"$scratch/go\" ]; do sleep 0.02; done; tail -c +{} \"$scratch/sent\"",
        half + 1
    );
    fs::write(scene.asked.place.scratch().join("sent"), &stream).unwrap();
    let client = scene.asked.place.client(&format!("{}printf '%s\\n' \"$@\" > \"$scratch/args\"; {how}", vouches()));
    let (mut most, go) = (0, scene.asked.place.scratch().join("go"));
    let output = restore::tree(&client, &scene.asked.request(), &scene.target, &mut |progress| {
        assert_eq!(progress.total, stream.len() as u64);
        most = most.max(progress.received);
        if progress.received == half {
            fs::write(&go, b"").unwrap();
        }
        ControlFlow::Continue(())
    });
    assert!(output.unwrap().said.is_empty());
    assert!((half..=stream.len() as u64).contains(&most), "{most}");
    same(source.path(), &scene.target);
    assert!(scene.asked.place.left("args").unwrap().contains("\nroot.pxar\n-\n"));
    scene.asked.place.assert_clean();
}

/// Everything genuine but not this: what the client was handed another signed list for.
#[test]
fn another_archive_under_the_same_key_is_refused_and_nothing_of_it_stays() {
    let ((source, stream), (_, other)) = (archive("genuine\n"), archive("another\n"));
    assert_eq!(stream.len(), other.len());
    let scene = Scene::new("root.pxar.didx", &stream);
    assert_eq!(not_signed(scene.restore(&other)), WitnessError::Content);
    assert!(!scene.target.exists());
    // Into somebody's empty folder: it is as it was.
    fs::create_dir(&scene.target).unwrap();
    fs::set_permissions(&scene.target, fs::Permissions::from_mode(0o1777)).unwrap();
    let before = fs::metadata(&scene.target).unwrap();
    assert_eq!(not_signed(scene.restore(&other)), WitnessError::Content);
    let after = fs::metadata(&scene.target).unwrap();
    assert_eq!((after.mode(), after.ino(), after.uid()), (before.mode(), before.ino(), before.uid()));
    assert_eq!(fs::read_dir(&scene.target).unwrap().count(), 0);
    scene.restore(&stream).unwrap();
    same(source.path(), &scene.target);
}

#[test]
fn a_stream_that_is_damaged_short_or_long_is_refused() {
    let (_source, stream) = archive("genuine\n");
    let scene = Scene::new("root.pxar.didx", &stream);
    let flipped = |at: usize| {
        let mut flipped = stream.clone();
        flipped[at] ^= 1;
        flipped
    };
    let damaged = |result| match result {
        Err(DriverError::NotSigned { .. }) => {}
        Err(DriverError::Client { failure: Failure::Damaged { .. } | Failure::TargetUnusable { .. }, .. }) => {}
        other => panic!("{other:?}"),
    };
    // The root's type and mode, the first name, content, the last table.
    for at in [0, 17, 24, 90, stream.len() / 2, stream.len() - 1] {
        damaged(scene.restore(&flipped(at)));
        assert!(!scene.target.exists(), "{at}");
    }
    for length in [0, 1, 56, 1000, stream.len() - 1] {
        damaged(scene.restore(&stream[..length]));
        assert!(!scene.target.exists(), "{length}");
    }
    damaged(scene.restore(&[&stream[..], b"x"].concat()));
    assert!(!scene.target.exists());
    // Without end, of which little is read.
    damaged(scene.sending(&stream, "cat \"$scratch/sent\"; while :; do printf '%01000d' 0; done"));
    assert!(!scene.target.exists());
    // The client's own word on why it stopped counts most.
    let how = "head -c 500 \"$scratch/sent\"; echo 'Error: No space left on device (os error 28)' >&2; exit 255";
    assert_eq!(scene.sending(&stream, how).unwrap_err().failure(), Some(&Failure::DiskFull));
    assert!(!scene.target.exists());
}

/// No signature stands behind a plaintext archive; what comes is the listed one all the same, or nothing.
#[test]
fn a_plaintext_archive_is_held_against_its_listed_entry() {
    let ((source, stream), (_, other)) = (archive("genuine\n"), archive("another\n"));
    let scene = Scene::signed(entry_of("root.pxar.didx", &stream, Protection::None));
    assert_eq!(scene.asked.signed.crypt_mode, CryptMode::None);
    let plain = Request { protection: restore::Protection::Plain, ..scene.asked.request() };
    let restored = |sent: &[u8]| {
        fs::write(scene.asked.place.scratch().join("sent"), sent).unwrap();
        let client = scene.asked.place.client("printf '%s\\n' \"$@\" > \"$scratch/args\"; cat \"$scratch/sent\"");
        let result = restore::tree(&client, &plain, &scene.target, &mut on);
        scene.asked.place.assert_clean();
        result
    };
    assert_eq!(not_signed(restored(&other)), WitnessError::Content);
    assert!(!scene.target.exists());
    let short = WitnessError::TooShort { signed: stream.len() as u64, found: 0 };
    assert_eq!(not_signed(restored(b"")), short);
    restored(&stream).unwrap();
    same(source.path(), &scene.target);
    let args = scene.asked.place.left("args").unwrap();
    assert!(args.contains("\n--crypt-mode\nnone\n") && !args.contains("--keyfile"), "{args}");
    // As one that a list names our key for: the client is given it, and need not name it, nor may name another.
    fs::remove_dir_all(&scene.target).unwrap();
    let key_file = scene.asked.key_file.clone();
    let protection = restore::Protection::Unproven { key_file: &key_file, key: KEYS.fingerprint };
    let unproven = Request { protection, ..plain };
    let client = scene.asked.place.client("echo 'Fingerprint: 05:9b:33:ba:ee:35:a3:f0' >&2; cat \"$scratch/sent\"");
    let result = restore::tree(&client, &unproven, &scene.target, &mut on);
    assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{result:?}");
    assert!(!scene.target.exists());
    let client = scene.asked.place.client("printf '%s\\n' \"$@\" > \"$scratch/args\"; cat \"$scratch/sent\"");
    restore::tree(&client, &unproven, &scene.target, &mut on).unwrap();
    same(source.path(), &scene.target);
    assert!(scene.asked.place.left("args").unwrap().contains("--keyfile"));
    scene.asked.place.assert_clean();
}

/// What is listed in one way is not restored in another, and the client not even started.
#[test]
fn each_protection_refuses_the_archives_of_the_others() {
    let (_source, stream) = archive("genuine\n");
    for (kind, is_plain) in
        [(Protection::None, true), (Protection::Sign(&key()), false), (Protection::Encrypt(&key()), false)]
    {
        let scene = Scene::signed(entry_of("root.pxar.didx", &stream, kind));
        let client = scene.asked.place.client("exit 0");
        let listed = scene.asked.signed.crypt_mode;
        let plain = Request { protection: restore::Protection::Plain, ..scene.asked.request() };
        for (request, is_right) in [(plain, is_plain), (scene.asked.request(), listed == CryptMode::Encrypt)] {
            if is_right {
                continue;
            }
            for error in [
                restore::tree(&client, &request, &scene.target, &mut on).unwrap_err(),
                restore::stream(&client, &request, &mut Vec::new(), &mut on).unwrap_err(),
                restore::bytes(&client, &request, 100).map(drop).unwrap_err(),
            ] {
                assert!(matches!(error, DriverError::OtherProtection { listed: l, .. } if l == listed), "{error:?}");
            }
        }
        assert_eq!(scene.asked.place.left("pids"), None);
    }
}

#[test]
fn an_image_is_held_against_its_signature_and_gets_holes() {
    let content = [vec![7; 70_000], vec![0; 6 << 20], vec![9; 10]].concat();
    let scene = Scene::new("disk.img.fidx", &content);
    scene.restore(&content).unwrap();
    assert!(fs::read(&scene.target).unwrap() == content);
    let found = fs::metadata(&scene.target).unwrap();
    assert_eq!(found.mode() & 0o7777, 0o600);
    assert!(found.blocks() * 512 < 2 << 20, "{} blocks", found.blocks());
    fs::remove_file(&scene.target).unwrap();
    let mut other = content.clone();
    other[5 << 20] = 1;
    assert_eq!(not_signed(scene.restore(&other)), WitnessError::Content);
    let short = WitnessError::TooShort { signed: content.len() as u64, found: content.len() as u64 - 1 };
    assert_eq!(not_signed(scene.restore(&content[1..])), short);
    assert!(matches!(not_signed(scene.restore(&[&content[..], b"x"].concat())), WitnessError::TooLong { .. }));
    assert!(!scene.target.exists());
}

/// The entry of a stream that somebody had cut every 64 KiB or so, larger than what is tried at once.
fn unusual(stream: &[u8]) -> FileEntry {
    // Zeros are cut at the most only: 256 KiB for an average of 64 KiB.
    let (mut index, mut end, key) = (Vec::new(), 0_u64, key());
    for chunk in stream.chunks(256 << 10) {
        end += chunk.len() as u64;
        index.extend_from_slice(&end.to_le_bytes());
        index.extend_from_slice(&pbs_format::digest::chunk_digest(chunk, Some(&key)));
    }
    FileEntry {
        filename: "root.pxar.didx".parse().unwrap(),
        crypt_mode: CryptMode::Encrypt,
        size: stream.len() as u64,
        csum: Sha256::of(&index),
    }
}

#[test]
fn an_unusual_chunk_size_costs_a_second_reading_of_the_same_stream() {
    let source = tempfile::tempdir().unwrap();
    // One more chunk of 256 KiB would hold a byte that is none of the zeros.
    fs::File::create(source.path().join("zeros")).unwrap().set_len(17 << 20).unwrap();
    let mut stream = Vec::new();
    pxar::create(source.path(), &mut stream, &CreateOptions::default()).unwrap();
    let scene = Scene::signed(unusual(&stream));
    let count = "echo . >> \"$scratch/readings\"; ";
    scene.sending(&stream, &format!("{count} cat \"$scratch/sent\"")).unwrap();
    assert_eq!(fs::metadata(scene.target.join("zeros")).unwrap().len(), 17 << 20);
    assert_eq!(scene.asked.place.left("readings").unwrap(), ".\n.\n");
    fs::remove_dir_all(&scene.target).unwrap();
    // The first time a lie, the second time the truth: what lies on the disk is the lie.
    let lie = format!(
        "{count} if [ -e \"$scratch/lied\" ]; then cat \"$scratch/sent\"; else touch \"$scratch/lied\"; \
         head -c 1000000 \"$scratch/sent\"; printf x; tail -c +1000002 \"$scratch/sent\"; fi"
    );
    assert_eq!(not_signed(scene.sending(&stream, &lie)), WitnessError::Changed);
    assert!(!scene.target.exists());
    assert_eq!(scene.asked.place.left("readings").unwrap(), ".\n.\n.\n.\n");
}

/// Such an archive can only be extracted by the client.
#[test]
fn a_split_archive_is_left_to_the_client_and_that_is_said() {
    let signed = FileEntry { filename: "root.mpxar.didx".parse().unwrap(), ..unusual(b"x") };
    let scene = Scene::signed(signed.clone());
    let output = scene.sending(b"", "mkdir \"$4\"; echo restored > \"$4/file\"").unwrap();
    assert!(output.said.iter().any(|line| line.contains("split archive")), "{:?}", output.said);
    assert_eq!(fs::read(scene.target.join("file")).unwrap(), b"restored\n");
    fs::remove_dir_all(&scene.target).unwrap();
    // A failure leaves nothing here either, and the payload is no archive by itself.
    let result = scene.sending(b"", "mkdir \"$4\"; echo half > \"$4/file\"; exit 255");
    assert!(matches!(result, Err(DriverError::Client { .. })), "{result:?}");
    assert!(!scene.target.exists());
    // The client's word on the key is asked for as for any other.
    let client = scene.asked.place.client("mkdir \"$4\"; echo evil > \"$4/file\"");
    let result = restore::tree(&client, &scene.asked.request(), &scene.target, &mut on);
    assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{result:?}");
    assert!(!scene.target.exists());
    let payload = Scene::signed(FileEntry { filename: "root.ppxar.didx".parse().unwrap(), ..signed });
    assert!(matches!(payload.restore(b""), Err(DriverError::WrongKind { .. })));
}

#[test]
fn a_blob_that_cannot_have_the_signed_length_is_refused() {
    // 44 bytes of header and eleven of content; compressed it may only be shorter.
    for (signed, content, good) in [(55, "arch: amd64", true), (50, "arch: amd64", true), (56, "arch: amd64", false)] {
        let mut asked = Asked::new("pct.conf.blob");
        asked.signed.size = signed;
        let client = asked.place.client(&format!("{}printf '{content}'", vouches()));
        let target = asked.place.scratch().join("out");
        let result = restore::file(&client, &asked.request(), &target, &mut on);
        assert_eq!(result.is_ok(), good, "{signed}: {result:?}");
        assert_eq!(target.exists(), good, "{signed}");
        assert_eq!(restore::bytes(&client, &asked.request(), 100).is_ok(), good, "{signed}");
    }
    // Less than a header; and the one blob that is not encrypted, whose header is shorter.
    for (name, signed, content, good) in [
        ("pct.conf.blob", 43, "", false),
        ("pct.conf.blob", 44, "", true),
        ("rsa-encrypted.key.blob", 11, "", false),
        ("rsa-encrypted.key.blob", 23, "arch: amd64", true),
        ("rsa-encrypted.key.blob", 24, "arch: amd64", false),
    ] {
        let mut asked = Asked::new(name);
        asked.signed.size = signed;
        let client = asked.place.client(&format!("{}printf '{content}'", vouches()));
        assert_eq!(restore::bytes(&client, &asked.request(), 100).is_ok(), good, "{name} {signed}");
    }
}

/// The key that digests are keyed with is looked at before anybody is asked for anything.
#[test]
fn a_key_file_that_cannot_serve_is_named_before_the_client_starts() {
    let (_source, stream) = archive("genuine\n");
    let scene = Scene::new("root.pxar.didx", &stream);
    let client = scene.asked.place.client("exit 0");
    let request = scene.asked.request();
    let under = |key_file, key| Request { protection: restore::Protection::Under { key_file, key }, ..request };
    let other = under(&scene.asked.key_file, EncryptionKey::from_bytes(Zeroizing::new([9; 32])).fingerprint());
    let error = restore::tree(&client, &other, &scene.target, &mut on).unwrap_err();
    assert!(matches!(error.failure(), Some(Failure::WrongKey { .. })), "{error:?}");
    let key_file = scene.asked.place.scratch().join("wrapped.json");
    fs::write(&key_file, &KEYS.wrapped).unwrap();
    let error = restore::tree(&client, &under(&key_file, KEYS.fingerprint), &scene.target, &mut on);
    assert_eq!(error.unwrap_err().failure(), Some(&Failure::KeyProtected));
    fs::write(&key_file, b"{}").unwrap();
    let error = restore::tree(&client, &under(&key_file, KEYS.fingerprint), &scene.target, &mut on);
    assert!(matches!(error.unwrap_err().failure(), Some(Failure::KeyFile { .. })));
    assert_eq!(scene.asked.place.left("pids"), None);
    assert!(!scene.target.exists());
}

/// Signed, and still no archive that a writer makes; and what could not be set is told.
#[test]
fn a_signed_archive_that_makes_no_sense_is_damage_and_what_is_not_set_is_told() {
    let plain = |mode| Metadata { mode, ..Metadata::default() };
    let mut twice = Encoder::new(Vec::new(), &plain(0o040_755)).unwrap();
    let noise = vec![7; 10 << 20];
    for _ in 0..2 {
        twice.file(b"name", &plain(0o100_644), noise.len() as u64, &mut &noise[..]).unwrap();
    }
    let stream = twice.finish().unwrap();
    let scene = Scene::new("root.pxar.didx", &stream);
    let error = scene.restore(&stream).unwrap_err();
    assert!(matches!(error.failure(), Some(Failure::Damaged { how: Damage::Archive, .. })), "{error:?}");
    assert!(!scene.target.exists());

    // A project quota id is never set.
    let mut odd = Encoder::new(Vec::new(), &plain(0o040_755)).unwrap();
    let quota = Metadata { quota_project_id: Some(7), ..plain(0o100_644) };
    for name in 0..202 {
        odd.file(format!("{name:03}").as_bytes(), &quota, 0, &mut &b""[..]).unwrap();
    }
    let stream = odd.finish().unwrap();
    let scene = Scene::new("root.pxar.didx", &stream);
    let said = scene.restore(&stream).unwrap().said;
    assert!(said[0].starts_with("not restored: project quota id") && said[0].contains("\"000\""), "{}", said[0]);
    assert_eq!(said.last().unwrap(), "not restored: 2 more");
    assert_eq!(said.len(), 201);
}

#[test]
fn nothing_of_a_blob_is_written_before_the_key_is_named() {
    let mut asked = Asked::new("pct.conf.blob");
    asked.signed.size = 55;
    let target = asked.place.scratch().join("out");
    // Without end and without a word about a key: it is ended at the first byte, not at the last.
    let client = asked.place.client("while :; do printf 'arch: amd64'; done");
    let result = restore::file(&client, &asked.request(), &target, &mut on);
    assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{result:?}");
    assert!(!target.exists());
    asked.place.assert_clean();
}
