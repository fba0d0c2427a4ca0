//! Restores with clients that lie, dawdle or fail; and what is never passed to one.

mod streams;

use std::{
    fs,
    io::{self, Write},
    ops::ControlFlow,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use pbs_driver::{
    Access, DriverError, Failure,
    restore::{self, Progress, Protection, Request},
};
use pbs_format::{
    datastore::SnapshotRef,
    manifest::{CryptMode, FileEntry},
};
use tenwords_protocol::hash::Sha256;

use crate::place::{KEYS, Place};

struct Asked {
    place: Place,
    access: Access,
    snapshot: SnapshotRef,
    signed: FileEntry,
    key_file: PathBuf,
}

impl Asked {
    /// Signed with the length that `arch: amd64` has as an encrypted blob, and with no content's checksum.
    fn new(archive: &str) -> Self {
        Self::signed(FileEntry {
            filename: archive.parse().unwrap(),
            crypt_mode: CryptMode::Encrypt,
            size: 55,
            csum: Sha256::of(b""),
        })
    }

    fn signed(signed: FileEntry) -> Self {
        let place = Place::new();
        let key_file = place.scratch().join("plain.json");
        Self {
            access: place.access(),
            place,
            snapshot: "host/box1/2026-11-21T00:22:54Z".parse().unwrap(),
            signed,
            key_file,
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            access: &self.access,
            snapshot: &self.snapshot,
            signed: &self.signed,
            protection: Protection::Under { key_file: &self.key_file, key: KEYS.fingerprint },
        }
    }
}

/// What the real client says when it uses the key (`transcripts/ab.txt`).
fn vouches() -> String {
    format!("echo \"Using encryption key from '$plain'..\" >&2; echo 'Fingerprint: {}' >&2\n", KEYS.fingerprint.short())
}

fn on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_restore_under_our_key_is_one() {
    let asked = Asked::new("pct.conf.blob");
    let client = asked.place.client(&format!(
        "{}printf '%s\\n' \"$@\" > \"$scratch/args\"; echo 'warning: x' >&2; printf 'arch: amd64'",
        vouches()
    ));
    let target = asked.place.scratch().join("out.conf");
    let output = restore::file(&client, &asked.request(), &target, &mut on).unwrap();
    assert_eq!(output.said, ["warning: x"]);
    assert_eq!(fs::read(&target).unwrap(), b"arch: amd64");
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
    let key_file = asked.key_file.display();
    assert_eq!(
        asked.place.left("args").unwrap(),
        format!("restore\nhost/box1/2026-11-21T00:22:54Z\npct.conf\n-\n--keyfile\n{key_file}\n")
    );
    assert_eq!(restore::bytes(&client, &asked.request(), 100).unwrap(), b"arch: amd64");
    assert!(restore::bytes(&client, &asked.request(), 5).is_err());
    asked.place.assert_clean();
}

/// `transcripts/hostile-pbs.txt` 2: plaintext from a hostile server, restored without a word.
#[test]
fn plaintext_from_the_server_is_not_a_restore() {
    let other = "Fingerprint: 05:9b:33:ba:ee:35:a3:f0";
    let ours = format!("Fingerprint: {}", KEYS.fingerprint.short());
    for said in [
        String::new(),
        "echo \"Using encryption key from '$plain'..\" >&2".to_owned(),
        format!("echo '{ours}' >&2"),
        format!("echo \"Using encryption key from '$plain'..\" >&2; echo '{other}' >&2"),
        format!("echo \"Using encryption key from '/other.enc'..\" >&2; echo '{ours}' >&2"),
        format!("echo 'Using default encryption key..' >&2; echo '{ours}' >&2"),
        format!("echo '{ours}' >&2; echo \"Using encryption key from '$plain'..\" >&2"),
        format!("{}echo '{other}' >&2", vouches()),
    ] {
        let asked = Asked::new("pct.conf.blob");
        let client = asked.place.client(&format!("{said}\nprintf 'evil: yes'"));
        let target = asked.place.scratch().join("out.conf");
        let result = restore::file(&client, &asked.request(), &target, &mut on);
        assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{said}: {result:?}");
        assert!(!target.exists(), "{said}");
        let mut received = Vec::new();
        let result = restore::stream(&client, &asked.request(), &mut received, &mut on);
        assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{said}: {result:?}");
        let tree = Asked::new("root.pxar.didx");
        let client = tree.place.client(&format!("{said}\nprintf 'evil: yes'"));
        let target = tree.place.scratch().join("tree");
        let result = restore::tree(&client, &tree.request(), &target, &mut on);
        assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{said}: {result:?}");
        assert!(!target.exists(), "{said}");
        asked.place.assert_clean();
    }
}

#[test]
fn nothing_at_all_is_no_restore_either_and_the_key_counts_to_the_end() {
    let asked = Asked::new("root.pxar.didx");
    let other = "; echo 'Fingerprint: 05:9b:33:ba:ee:35:a3:f0' >&2";
    for said in ["exit 0".to_owned(), format!("{}printf genuine{other}", vouches())] {
        let client = asked.place.client(&said);
        let result = restore::stream(&client, &asked.request(), &mut Vec::new(), &mut on);
        assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{said}: {result:?}");
    }
}

#[test]
fn not_one_byte_is_passed_on_before_the_key_is_named() {
    let asked = Asked::new("root.pxar.didx");
    // The lines come, but too late.
    let client = asked.place.client(&format!("printf evil; sleep 0.3\n{}", vouches()));
    let mut received = Vec::new();
    let result = restore::stream(&client, &asked.request(), &mut received, &mut on);
    assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{result:?}");
    assert_eq!(received, b"");
    let client = asked.place.client(&format!("{}head -c 1000000 /dev/zero", vouches()));
    restore::stream(&client, &asked.request(), &mut received, &mut on).unwrap();
    assert_eq!(received.len(), 1_000_000);
    asked.place.assert_clean();
}

#[test]
fn what_is_there_is_never_overwritten_and_the_client_not_even_started() {
    let asked = Asked::new("pct.conf.blob");
    let target = asked.place.scratch().join("there");
    fs::write(&target, b"mine").unwrap();
    let client = asked.place.client("exit 0");
    let error = restore::file(&client, &asked.request(), &target, &mut on).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::TargetExists));
    let tree = Asked::new("root.pxar.didx");
    let full = tree.place.scratch().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("x"), b"mine").unwrap();
    let dangling = tree.place.scratch().join("dangling");
    std::os::unix::fs::symlink("/nonexistent/x", &dangling).unwrap();
    let client = tree.place.client("exit 0");
    for target in [&full, &target, &dangling] {
        let error = restore::tree(&client, &tree.request(), target, &mut on).unwrap_err();
        assert!(
            matches!(error.failure(), Some(Failure::TargetExists)) || matches!(error, DriverError::Io { .. }),
            "{error:?}"
        );
    }
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    assert_eq!((asked.place.left("pids"), tree.place.left("pids")), (None, None));
}

#[test]
fn relative_paths_and_wrong_kinds_are_refused() {
    let asked = Asked::new("pct.conf.blob");
    let client = asked.place.client("exit 0");
    for path in ["-", "out", "--force", "./out"] {
        let result = restore::file(&client, &asked.request(), path.as_ref(), &mut on);
        assert!(matches!(result, Err(DriverError::Relative { .. })), "{path}");
    }
    let protection = Protection::Under { key_file: "k.enc".as_ref(), key: KEYS.fingerprint };
    let request = Request { protection, ..asked.request() };
    let result = restore::stream(&client, &request, &mut Vec::new(), &mut on);
    assert!(matches!(result, Err(DriverError::Relative { .. })));
    let result = restore::tree(&client, &asked.request(), "/nonexistent/x".as_ref(), &mut on);
    assert!(matches!(result, Err(DriverError::WrongKind { .. })));
    let tree = Asked::new("root.pxar.didx");
    let result = restore::file(&client, &tree.request(), "/nonexistent/x".as_ref(), &mut on);
    assert!(matches!(result, Err(DriverError::WrongKind { .. })));
    assert_eq!(asked.place.left("pids"), None);
}

#[test]
fn a_failed_restore_leaves_no_file_and_tells_why() {
    for (said, failure) in [
        ("No space left on device (os error 28)", Failure::DiskFull),
        (
            "wrong key - unable to verify signature since manifest's key 1a:8d:27:c9:81:68:f6:3b does not match provided key 3c:e0:55:01:a4:a7:4b:7b",
            Failure::WrongKey {
                asked: "1a:8d:27:c9:81:68:f6:3b".parse().unwrap(),
                given: "3c:e0:55:01:a4:a7:4b:7b".parse().unwrap(),
            },
        ),
    ] {
        let asked = Asked::new("disk.img.fidx");
        let client = asked.place.client(&format!("{}printf half; echo \"Error: {said}\" >&2; exit 255", vouches()));
        let target = asked.place.scratch().join("out.img");
        let error = restore::file(&client, &asked.request(), &target, &mut on).unwrap_err();
        assert_eq!(error.failure(), Some(&failure));
        assert!(!target.exists());
        asked.place.assert_clean();
    }
}

#[test]
fn a_restore_that_stands_still_or_is_unwanted_is_ended() {
    let asked = Asked::new("root.pxar.didx");
    let target = asked.place.scratch().join("tree");
    let client =
        asked.place.impatient(&format!("{}sleep 600 & echo $! >> \"$scratch/grandchildren\"; wait", vouches()));
    let error = restore::tree(&client, &asked.request(), &target, &mut on).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::TimedOut { waiting_for: "a sign of work" }));
    asked.place.assert_clean();
    // It works on and on, and somebody stops it once it has written something.
    let client =
        asked.place.client(&format!("{}while :; do head -c 65536 /dev/zero; done > \"$scratch/data\"", vouches()));
    let mut seen = 0;
    let error = restore::tree(&client, &asked.request(), &target, &mut |progress| {
        seen = progress.received;
        if asked.place.left("data").is_some_and(|data| data.len() > 100_000) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::Interrupted));
    asked.place.assert_clean();
}

/// Takes so many bytes at once, and each only when it was asked so many times; or never.
struct Narrow {
    taken: Vec<u8>,
    refusals: u32,
    left: u32,
}

impl Write for Narrow {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.left > 0 {
            self.left -= 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.left = self.refusals;
        let some = piece.len().min(10_000);
        self.taken.extend_from_slice(&piece[..some]);
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A receiver without room is a disk that is slow, or one that hangs: the client has long ended, and not a
/// byte is lost, or somebody wants to end, and is not kept waiting.
#[test]
fn a_receiver_without_room_is_offered_the_same_again_and_keeps_nobody_from_ending() {
    let asked = Asked::new("root.pxar.didx");
    // Less than a pipe holds in the end: the client is gone while most is still to be taken.
    let client = asked.place.client(&format!("{}seq 60000; touch \"$scratch/ended\"", vouches()));
    let mut slow = Narrow { taken: Vec::new(), refusals: 30, left: 3 };
    restore::stream(&client, &asked.request(), &mut slow, &mut on).unwrap();
    let expected: String = (1..=60_000).map(|number| format!("{number}\n")).collect();
    assert!(asked.place.left("ended").is_some());
    assert_eq!(slow.taken.len(), expected.len());
    assert!(slow.taken == expected.as_bytes());

    let mut hanging = Narrow { taken: Vec::new(), refusals: u32::MAX, left: u32::MAX };
    let endless = asked.place.client(&format!("{}while :; do echo y; done", vouches()));
    for client in [&client, &endless] {
        let mut looks = 0;
        let error = restore::stream(client, &asked.request(), &mut hanging, &mut |_| {
            looks += 1;
            if looks > 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap_err();
        assert_eq!(error.failure(), Some(&Failure::Interrupted));
    }
    // And what nobody interrupts is ended where nothing moves for long.
    let client = asked.place.impatient(&format!("{}seq 60000", vouches()));
    let error = restore::stream(&client, &asked.request(), &mut hanging, &mut on).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::TimedOut { waiting_for: "a sign of work" }));
    assert_eq!(hanging.taken, b"");
    asked.place.assert_clean();
}

#[test]
fn an_archive_without_key_is_asked_for_by_its_fingerprint() {
    let asked = Asked::new("root.pxar.didx");
    let client = asked.place.client(
        "printf '%s\\n' \"$@\" > \"$scratch/args\"; echo 'Error: missing key - manifest was created with key 1a:8d:27:c9:81:68:f6:3b' >&2; exit 255",
    );
    let wanted = restore::without_key(&client, &asked.access, &asked.snapshot, &asked.signed.filename).unwrap();
    assert_eq!(wanted.to_string(), "1a:8d:27:c9:81:68:f6:3b");
    assert!(asked.place.left("args").unwrap().ends_with("--crypt-mode\nnone\n"));
    for body in ["printf plaintext", "exit 0"] {
        let result =
            restore::without_key(&asked.place.client(body), &asked.access, &asked.snapshot, &asked.signed.filename);
        assert!(matches!(result, Err(DriverError::NotRefused)), "{result:?}");
    }
    asked.place.assert_clean();
}

#[test]
fn archives_are_named_as_every_version_takes_them() {
    for (file, given) in [
        ("root.pxar.didx", "root.pxar"),
        ("drive-scsi0.img.fidx", "drive-scsi0.img"),
        ("pct.conf.blob", "pct.conf"),
        ("client.log.blob", "client.log"),
        ("index.json.blob", "index.json"),
        ("catalog.pcat1.didx", "catalog.pcat1.didx"),
        ("odd.pxar.blob", "odd.pxar.blob"),
        ("odd.img.didx", "odd.img.didx"),
        ("odd.tar.blob", "odd.tar.blob"),
        ("root.mpxar.didx", "root.pxar"),
    ] {
        let asked = Asked::new(file);
        let client = asked.place.client("printf '%s' \"$3\" > \"$scratch/given\"; exit 1");
        let _ = restore::stream(&client, &asked.request(), &mut Vec::new(), &mut on);
        assert_eq!(asked.place.left("given").unwrap(), given, "{file}");
    }
}

#[test]
fn the_manifest_comes_as_it_is() {
    let asked = Asked::new("index.json.blob");
    let client = asked.place.client("printf '%s\\n' \"$@\" > \"$scratch/args\"; printf '{\"a\": 1}'");
    let manifest = restore::manifest(&client, &asked.access, &asked.snapshot, &asked.key_file).unwrap();
    assert_eq!(manifest, b"{\"a\": 1}");
    assert!(asked.place.left("args").unwrap().contains("\nindex.json\n-\n--keyfile\n"));
}
