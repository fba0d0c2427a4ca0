//! Bad days: killed, no room, little memory, nobody reading.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{Bench, Ran, finish, golden, noise};

const DEADLINE: Duration = Duration::from_secs(60);

/// An image so long that nobody waits for its end, and without content.
fn endless(bench: &Bench) {
    File::create(bench.path("endless.raw")).unwrap().set_len(1 << 40).unwrap();
}

fn key(bench: &Bench) {
    bench.run(&["key", "create", "--kdf", "none", "K"]).done();
}

#[test]
fn a_killed_backup_leaves_no_manifest_and_the_next_one_is_fine() {
    let bench = Bench::new();
    endless(&bench);
    key(&bench);
    bench.write("a.conf", "a\n");
    let words =
        ["backup", "a.conf:a.conf", "disk.img:endless.raw", "--backup-id", "x", "--keyfile", "K", "--backup-time"];
    let first = [&words[..], &["1700000000"]].concat();
    let mut child = bench.command(&first).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let folder = bench.store().join("host/x/2023-11-14T22:13:20Z");
    let start = Instant::now();
    while !folder.join("a.conf.blob").exists() {
        assert!(start.elapsed() < DEADLINE, "the backup never began");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(!folder.join("index.json.blob").exists());

    let listed: Value = serde_json::from_slice(&bench.line("snapshot list --output-format json").done()).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["files"], serde_json::json!([{"filename": "a.conf.blob"}]));
    assert!(listed[0]["size"].is_null());
    bench
        .line("restore host/x a.conf - --keyfile K")
        .failed(&format!("open file {:?} failed - not found", folder.join("index.json.blob")));

    bench.line("backup a.conf:a.conf --backup-id x --keyfile K --backup-time 1700000001").done();
    assert_eq!(bench.line("restore host/x a.conf - --keyfile K").done(), b"a\n");
}

#[test]
fn two_backups_into_one_group_do_not_meet() {
    let bench = Bench::new();
    endless(&bench);
    bench.write("a.conf", "a\n");
    let words = ["backup", "a.conf:a.conf", "disk.img:endless.raw", "--backup-id", "x", "--backup-time", "1700000000"];
    let mut child = bench.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let folder = bench.store().join("host/x/2023-11-14T22:13:20Z");
    let start = Instant::now();
    while !folder.join("a.conf.blob").exists() {
        assert!(start.elapsed() < DEADLINE, "the backup never began");
        std::thread::yield_now();
    }
    let path = bench.store().join("host/x");
    bench
        .line("backup a.conf:a.conf --backup-id x --backup-time 1700000001")
        .failed(&format!("unable to acquire lock on backup group directory {path:?} - locked by another operation"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_failed_backup_removes_its_folder() {
    let bench = Bench::new();
    bench.write("a.conf", "a\n");
    File::create(bench.path("empty.raw")).unwrap();
    let ran = bench.line("backup a.conf:a.conf disk.img:empty.raw --backup-id x --backup-time 1700000000");
    assert_eq!(ran.code, Some(255), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("Error: disk.img.fidx is empty\n"), "{}", ran.stderr);
    assert!(!bench.store().join("host/x/2023-11-14T22:13:20Z").exists());
}

#[test]
fn a_signal_ends_a_restore_at_once() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let bench = golden();
        let mut child = bench
            .command(&["restore", "host/box1/2024-02-29T12:34:56Z", "drive.img", "-", "--keyfile", "K.enc"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It has begun, and cannot end before the pipe is read.
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 1]).unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(signal as i32));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, "Using encryption key from 'K.enc'..\nFingerprint: 05:9b:33:ba:ee:35:a3:f0\n");
    }
}

#[test]
fn nobody_reading_is_an_error_and_no_panic() {
    let bench = golden();
    for (archive, error) in
        [("root.pxar", "unable to pipe data - Broken pipe (os error 32)"), ("drive.img", "Broken pipe (os error 32)")]
    {
        let mut child = bench
            .command(&["restore", "host/plain", archive, "-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(255));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("Error: {error}\n"));
    }
}

/// Runs with an address space of this many KiB.
fn in_little_memory(bench: &Bench, kib: u32, words: &[&str]) -> Ran {
    let mut shell = Command::new("sh");
    bench.prepare(&mut shell);
    // Else the C library sets addresses aside for each thread, by chance half of what is allowed or all of it.
    shell.env("MALLOC_ARENA_MAX", "1");
    shell.args(["-c", &format!("ulimit -v {kib}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_pbs-local")]);
    shell.args(&bench.own).args(words);
    finish(&mut shell)
}

#[test]
fn memory_does_not_grow_with_the_data() {
    let bench = Bench::new();
    key(&bench);
    let mut image = File::create(bench.path("disk.raw")).unwrap();
    std::io::Write::write_all(&mut image, &noise(24_000_000)).unwrap();
    image.set_len(400 << 20).unwrap();
    fs::create_dir(bench.path("tree")).unwrap();
    File::create(bench.path("tree/long")).unwrap().set_len(400 << 20).unwrap();
    let limit = 120 << 10;
    in_little_memory(
        &bench,
        limit,
        &["backup", "disk.img:disk.raw", "root.pxar:tree", "--keyfile", "K", "--backup-id", "x"],
    )
    .done();
    in_little_memory(&bench, limit, &["restore", "host/x", "disk.img", "out.raw", "--keyfile", "K"]).done();
    in_little_memory(&bench, limit, &["restore", "host/x", "root.pxar", "out", "--keyfile", "K"]).done();
    let restored = fs::metadata(bench.path("out/long")).unwrap();
    assert_eq!(restored.len(), 400 << 20);
    let mut beginning = vec![0; 24_000_000];
    File::open(bench.path("out.raw")).unwrap().read_exact(&mut beginning).unwrap();
    assert!(beginning == noise(24_000_000));
    // The limit bites: in a tenth of it not even the first chunk can be read.
    let ran = in_little_memory(&bench, limit / 10, &["restore", "host/x", "disk.img", "never", "--keyfile", "K"]);
    assert_ne!(ran.code, Some(0));
}

/// Runs with a file system of one or two MiB at `full`, in a mount namespace of its own.
fn in_little_room(bench: &Bench, words: &[&str]) -> Option<Ran> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let mut shell = Command::new("unshare");
    bench.prepare(&mut shell);
    shell.args(["--mount", "sh", "-c", "mount -t tmpfs -o size=2m none full || exit 99; exec \"$@\"", "sh"]);
    shell.arg(env!("CARGO_BIN_EXE_pbs-local")).args(&bench.own).args(words);
    Some(finish(&mut shell)).filter(|ran| ran.code != Some(99) && !ran.stderr.starts_with("unshare: "))
}

#[test]
fn a_full_disk_is_told() {
    let bench = Bench::new();
    fs::create_dir(bench.path("full")).unwrap();
    fs::create_dir(bench.path("tree")).unwrap();
    bench.write("tree/r0.bin", noise(3_000_000));
    bench.line("backup disk.img:tree/r0.bin root.pxar:tree --backup-id big").done();
    let Some(ran) = in_little_room(&bench, &["restore", "host/big", "root.pxar", "full/r"]) else {
        eprintln!("skipped: a_full_disk_is_told needs root to mount a small file system");
        return;
    };
    ran.failed(
        "error extracting archive - encountered unexpected error during extraction: error at entry \"r0.bin\": failed to extract file: failed to copy file contents: No space left on device (os error 28)",
    );
    in_little_room(&bench, &["restore", "host/big", "disk.img", "full/r.raw"])
        .unwrap()
        .failed("No space left on device (os error 28)");

    // A datastore that is full: no snapshot remains.
    let mut shell = Command::new("unshare");
    bench.prepare(&mut shell);
    let program = env!("CARGO_BIN_EXE_pbs-local");
    let script = format!(
        "mount -t tmpfs -o size=2m none full; {program} datastore create full/store; \
         {program} backup disk.img:tree/r0.bin --repository ./full/store --backup-id x --backup-time 1700000000; \
         echo code=$?; ls full/store/host/x"
    );
    let ran = finish(shell.args(["--mount", "sh", "-c", &script]));
    assert_eq!(ran.stdout_text(), "code=255\nowner\n");
    assert!(ran.stderr.contains("\nError: a chunk cannot be stored: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("No space left on device (os error 28)"), "{}", ran.stderr);
}
