//! What is backed up here comes back, under every protection, and again from a second backup.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;

use crate::support::{Bench, noise};

/// A small tree of all that the writer knows.
fn tree(bench: &Bench) {
    let at = |name: &str| bench.path(&format!("tree/{name}"));
    fs::create_dir_all(at("sub/deep")).unwrap();
    fs::create_dir(at("nothing")).unwrap();
    fs::write(at("a.txt"), "text\n").unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::write(at("sub/noise"), noise(3_000_000)).unwrap();
    fs::write(at("sub/deep/ű"), "x").unwrap();
    fs::hard_link(at("a.txt"), at("sub/b.txt")).unwrap();
    std::os::unix::fs::symlink("../a.txt", at("sub/link")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o640)).unwrap();
    fs::set_permissions(at("sub/deep"), fs::Permissions::from_mode(0o2750)).unwrap();
    xattr::set(at("a.txt"), "user.note", b"value").unwrap();
}

/// Everything of a folder that can be compared, in one text.
fn picture(root: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let it = fs::symlink_metadata(&path).unwrap();
            if it.is_dir() {
                folders.push(path.clone());
            }
            let content = if it.is_file() { crate::support::sha256(&fs::read(&path).unwrap()) } else { String::new() };
            let target = fs::read_link(&path).unwrap_or_default();
            let size = if it.is_dir() { 0 } else { it.len() };
            let note = xattr::get(&path, "user.note").unwrap_or_default();
            let links = if it.is_file() { it.nlink() } else { 0 };
            lines.push(format!(
                "{:?} {:o} {}:{} {}.{} {size} {links} {target:?} {note:?} {content}",
                path.strip_prefix(root).unwrap(),
                it.mode(),
                it.uid(),
                it.gid(),
                it.mtime(),
                it.mtime_nsec(),
            ));
        }
    }
    lines.sort();
    lines.join("\n")
}

fn backup(bench: &Bench, time: &str, more: &[&str]) -> String {
    let mut words = vec!["backup"];
    let specs = ["root.pxar:tree", "disk.img:disk.raw", "guest.conf:guest.conf", "client.log:guest.conf"];
    words.extend(specs);
    words.extend(["--backup-type", "ct", "--backup-id", "100", "--backup-time", time]);
    words.extend(more);
    let ran = bench.run(&words);
    assert_eq!((ran.code, ran.stdout.as_slice()), (Some(0), &b""[..]), "{}", ran.stderr);
    ran.stderr
}

fn sources(bench: &Bench) {
    tree(bench);
    bench.write("disk.raw", [noise(5_000_000), vec![0; 9_000_001], noise(100)].concat());
    bench.write("guest.conf", "arch: amd64\n");
}

fn compare(bench: &Bench, snapshot: &str, out: &str, more: &[&str]) {
    let restore =
        |archive: &str, target: &str| bench.run(&[&["restore", snapshot, archive, target], more].concat()).done();
    restore("root.pxar", &format!("{out}/tree"));
    assert_eq!(picture(&bench.path("tree")), picture(&bench.path(out).join("tree")));
    assert_eq!(restore("disk.img", "-"), fs::read(bench.path("disk.raw")).unwrap());
    restore("disk.img", &format!("{out}/disk"));
    assert_eq!(fs::read(bench.path(out).join("disk")).unwrap(), fs::read(bench.path("disk.raw")).unwrap());
    assert_eq!(restore("guest.conf", "-"), b"arch: amd64\n");
    assert_eq!(restore("client.log", "-"), b"arch: amd64\n");
}

#[test]
fn everything_comes_back_under_every_protection() {
    let bench = Bench::new();
    sources(&bench);
    bench.run(&["key", "create", "--kdf", "none", "K"]).done();
    let key = ["--keyfile", "K"];
    backup(&bench, "1700000000", &[]);
    backup(&bench, "1700000001", &key);
    backup(&bench, "1700000002", &["--keyfile", "K", "--crypt-mode", "sign-only"]);
    compare(&bench, "ct/100/2023-11-14T22:13:20Z", "out0", &[]);
    compare(&bench, "ct/100/2023-11-14T22:13:21Z", "out1", &key);
    compare(&bench, "ct/100/2023-11-14T22:13:22Z", "out2", &key);
    let listed: Value =
        serde_json::from_slice(&bench.line("snapshot list ct/100 --output-format json").done()).unwrap();
    let modes: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["files"][0]["crypt-mode"].clone()).collect();
    assert_eq!(modes, ["sign-only", "encrypt", "none"]);
    assert!(listed[2]["fingerprint"].is_null());
    assert_eq!(listed[0]["fingerprint"], listed[1]["fingerprint"]);
    assert_eq!(listed[1]["files"][4]["crypt-mode"], "sign-only");
    // Nothing of the encrypted chunks is readable without the key.
    bench.line("restore ct/100/2023-11-14T22:13:21Z root.pxar out3 --crypt-mode none").stderr.contains("missing key");
}

#[test]
fn a_second_backup_stores_only_what_is_new() {
    let bench = Bench::new();
    sources(&bench);
    bench.run(&["key", "create", "--kdf", "none", "K"]).done();
    let key = ["--keyfile", "K"];
    let first = backup(&bench, "1700000000", &key);
    assert!(first.contains("\nNo previous manifest available.\n"));
    let chunks = || walk(&bench.store().join(".chunks"));
    let before = chunks();
    let second = backup(&bench, "1700000001", &key);
    assert!(second.contains("\nDownloading previous manifest ("));
    assert!(second.contains("\nroot.pxar: had to backup 0 B of "), "{second}");
    assert!(second.contains("\nroot.pxar: average backup speed: 0 B/s\n"));
    assert!(second.contains("(100.0%)\n"));
    assert_eq!(chunks(), before);

    let mut image = fs::read(bench.path("disk.raw")).unwrap();
    image[4_500_000] ^= 1;
    bench.write("disk.raw", &image);
    let third = backup(&bench, "1700000002", &key);
    assert!(third.contains("\ndisk.img: had to backup 4 MiB of 13.352 MiB "), "{third}");
    assert_eq!(chunks().len(), before.len() + 1);
    compare(&bench, "ct/100/2023-11-14T22:13:22Z", "out", &key);

    // Another key shares nothing, and the previous manifest cannot be used.
    bench.run(&["key", "create", "--kdf", "none", "K2"]).done();
    let fourth = backup(&bench, "1700000003", &["--keyfile", "K2"]);
    assert!(fourth.contains("\nCouldn't re-use previous manifest - wrong key - "), "{fourth}");
    compare(&bench, "ct/100/2023-11-14T22:13:23Z", "out2", &["--keyfile", "K2"]);
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

#[test]
fn time_goes_forward_and_names_are_checked() {
    let bench = Bench::new();
    bench.write("a.conf", "a");
    let run = |line: &str| bench.line(line);
    run("backup a.conf:a.conf --backup-id x --backup-time 1700000000").done();
    for time in ["1700000000", "1699999999"] {
        run(&format!("backup a.conf:a.conf --backup-id x --backup-time {time}"))
            .failed("backup timestamp is older than last backup.");
    }
    let pattern = "value does not match the regex pattern";
    run("backup a.conf:a.conf --backup-id ../x")
        .failed(&format!("parameter verification failed - 'backup-id': {pattern}"));
    run("backup a.conf:a.conf --ns ../x").failed(&format!("parameter verification failed - 'ns': {pattern}"));
    for spec in ["a.txt:a.conf", "a/b.conf:a.conf", ".conf:a.conf", "a.conf:", "a.conf"] {
        run(&format!("backup {spec} --backup-id x"))
            .failed(&format!("parameter verification failed - 'backupspec': {pattern}"));
    }
    run("backup a.conf:a.conf a.conf:a.conf --backup-id x").failed("archive 'a.conf' already exists");
    run("backup a.img:/dev --backup-id x").failed("got unexpected file type (expected file or block device)");
    run("backup a.conf:a.conf --backup-id x --ns nope").failed("ENOENT: No such file or directory");
    bench.line("namespace create a/b").done();
    run("backup a.conf:a.conf --backup-id x --ns a/b --backup-time 1700000000").done();
    assert_eq!(bench.line("restore host/x a.conf - --ns a/b").done(), b"a");
    assert!(bench.store().join("ns/a/ns/b/host/x/2023-11-14T22:13:20Z/index.json.blob").exists());
}

#[test]
fn the_key_comes_from_its_default_place() {
    let bench = Bench::new();
    bench.write("a.conf", "a");
    let path = bench.path("home/.config/proxmox-backup/encryption-key.json");
    let ran = bench.line("key create --kdf none");
    assert_eq!(ran.stderr, format!("creating default key at: {path:?}\n"));
    ran.done();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let ran = bench.line("backup a.conf:a.conf --backup-id x --backup-time 1700000000");
    assert!(ran.stderr.contains("\nUsing default encryption key..\nEncryption key fingerprint: "), "{}", ran.stderr);
    let ran = bench.line("backup a.conf:a.conf --backup-id x --backup-time 1700000001 --crypt-mode encrypt");
    assert!(ran.stderr.starts_with("Encrypting with default encryption key!\nStarting backup: "), "{}", ran.stderr);
    bench.line("backup a.conf:a.conf --backup-id y --crypt-mode none").done();
    let ran = bench.line("restore host/x a.conf -");
    assert!(ran.stderr.starts_with("Using default encryption key..\nFingerprint: "), "{}", ran.stderr);
    assert_eq!(ran.done(), b"a");
}
