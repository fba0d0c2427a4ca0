//! The real server's datastore: what it holds comes back byte for byte, and what is damaged gives the
//! client's error and no plausible file.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use pbs_format::{blob, index::Index, manifest::Manifest};
use serde_json::Value;

use crate::support::{Bench, Ran, golden, golden_file, golden_sum, sha256};

const BOX: &str = "host/box1/2024-02-29T12:34:56Z";
const OTHER: &str = "host/box1/2024-02-29T12:34:59Z";
const PLAIN: &str = "host/plain/2024-02-29T12:34:57Z";
const SIGNED: &str = "host/signed/2024-02-29T12:34:58Z";
const KEY: &str = "05:9b:33:ba:ee:35:a3:f0";

fn restore(bench: &Bench, snapshot: &str, archive: &str, target: &str, more: &[&str]) -> Ran {
    bench.run(&[&["restore", snapshot, archive, target], more].concat())
}

/// Everything in the datastore with its times, to see that nothing was touched.
fn inventory(root: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, i64, u32)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let it = fs::symlink_metadata(&path).unwrap();
            if it.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (it.len(), it.mtime(), it.mtime_nsec(), it.ctime_nsec(), it.mode()));
        }
    }
    found
}

#[test]
fn golden_archives_come_back_byte_for_byte_and_reading_writes_nothing() {
    let bench = golden();
    let before = inventory(&bench.store());
    let lines = format!("Using encryption key from 'K.enc'..\nFingerprint: {KEY}\n");
    for (snapshot, archives, told) in [
        (BOX, &["root.pxar", "drive.img", "guest.conf"][..], lines.as_str()),
        (PLAIN, &["root.pxar", "drive.img", "guest.conf"], ""),
        (SIGNED, &["root.pxar", "guest.conf"], &lines),
    ] {
        for archive in archives {
            let ran = restore(&bench, snapshot, archive, "-", &["--keyfile", "K.enc"]);
            let digest = sha256(&ran.stdout);
            let name = if *archive == "drive.img" { "disk.raw" } else { archive };
            assert_eq!(digest, golden_sum(name), "{snapshot} {archive}");
            let told_image =
                ran.stderr.lines().filter(|line| line.starts_with("restore image complete (bytes=9438720, "));
            assert_eq!(told_image.count(), usize::from(*archive == "drive.img"));
            let rest: Vec<_> =
                ran.stderr.split_inclusive('\n').filter(|line| !line.starts_with("restore image")).collect();
            assert_eq!(rest.concat(), told);
            ran.done();
        }
    }
    let ran = restore(&bench, OTHER, "guest.conf.blob", "-", &["--keyfile", "other.enc"]);
    assert_eq!(ran.done(), fs::read(golden_file("guest.conf")).unwrap());
    let ran =
        restore(&bench, "ct/9001/2024-02-29T12:35:00Z", "guest.conf", "-", &["--ns", "tenants", "--keyfile", "K.enc"]);
    assert_eq!(ran.done(), fs::read(golden_file("guest.conf")).unwrap());
    bench.run(&["snapshot", "list"]).done();
    bench.run(&["list", "--ns", "tenants"]).done();
    assert_eq!(bench.run(&["namespace", "list"]).done(), b"tenants\n");
    assert_eq!(inventory(&bench.store()), before);
}

#[test]
fn the_golden_tree_comes_back_as_it_was() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: the_golden_tree_comes_back_as_it_was needs root for owners and device nodes");
        return;
    }
    let bench = golden();
    restore(&bench, BOX, "root.pxar", "new/tree", &["--keyfile", "K.enc"]).done();
    let rows: Vec<Value> = serde_json::from_slice(&fs::read(golden_file("tree.json")).unwrap()).unwrap();
    assert_eq!(rows.len(), 109);
    for row in &rows {
        // The one name that is not UTF-8 is compared in pbs-format's tests.
        let Some(path) = row["path"].as_str() else { continue };
        let full = bench.path("new/tree").join(path);
        let found = fs::symlink_metadata(&full).unwrap();
        let file_type = found.file_type();
        let kind = match row["type"].as_str().unwrap() {
            "file" => file_type.is_file(),
            "dir" => file_type.is_dir(),
            "symlink" => file_type.is_symlink(),
            "fifo" => file_type.is_fifo(),
            "socket" => file_type.is_socket(),
            "blockdev" => file_type.is_block_device(),
            "chardev" => file_type.is_char_device(),
            other => panic!("{other}"),
        };
        assert!(kind, "{row}");
        assert_eq!(format!("{:04o}", found.mode() & 0o7777), row["mode"].as_str().unwrap(), "{row}");
        assert_eq!(
            (u64::from(found.uid()), u64::from(found.gid())),
            (row["uid"].as_u64().unwrap(), row["gid"].as_u64().unwrap()),
            "{row}"
        );
        assert_eq!([found.mtime(), found.mtime_nsec()], [0, 1].map(|at| row["mtime"][at].as_i64().unwrap()), "{row}");
        if let Some(target) = row["target"].as_str() {
            assert_eq!(fs::read_link(&full).unwrap(), Path::new(target));
        }
        if let Some(digest) = row["sha256"].as_str() {
            let content = fs::read(&full).unwrap();
            assert_eq!(
                (sha256(&content).as_str(), content.len() as u64),
                (digest, row["size"].as_u64().unwrap()),
                "{row}"
            );
        }
        if let Some(links) = row["links"].as_u64() {
            assert_eq!(found.nlink(), links, "{row}");
        }
    }
    let caps = xattr::get(bench.path("new/tree/bin/caps"), "security.capability").unwrap().unwrap();
    assert_eq!(caps, b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
}

#[test]
fn without_the_right_key_nothing_is_made() {
    let bench = golden();
    for archive in ["root.pxar", "drive.img", "guest.conf", "index.json"] {
        let missing = format!("missing key - manifest was created with key {KEY}");
        restore(&bench, BOX, archive, "new", &[]).failed(&missing);
        restore(&bench, BOX, archive, "-", &[]).failed(&missing);
        let wrong = format!(
            "wrong key - unable to verify signature since manifest's key {KEY} does not match provided key aa:f7:f0:e7:fd:2c:31:75"
        );
        restore(&bench, BOX, archive, "new", &["--keyfile", "other.enc"]).failed(&wrong);
        assert!(!bench.path("new").exists());
    }
    // A key that no manifest asks for is read all the same, and then not looked at.
    let ran = restore(&bench, PLAIN, "guest.conf", "-", &["--keyfile", "other.enc"]);
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)));
}

#[test]
fn key_options_exclude_each_other() {
    let bench = golden();
    for (options, error) in [
        (&["--keyfile", "K.enc", "--keyfd", "0"][..], "--keyfile and --keyfd are mutually exclusive"),
        (
            &["--keyfile", "K.enc", "--crypt-mode", "none"],
            "--keyfile/--keyfd and --crypt-mode=none are mutually exclusive",
        ),
        (&["--crypt-mode", "encrypt"], "--crypt-mode without --keyfile and no default key file available"),
        (&["--keyfile", "nope"], "unable to read \"nope\" - No such file or directory (os error 2)"),
    ] {
        restore(&bench, BOX, "guest.conf", "-", options).failed(error);
    }
}

/// The file of one chunk of an archive of the encrypted snapshot.
fn chunk(bench: &Bench, archive: &str, position: usize) -> (String, PathBuf) {
    let raw = fs::read(bench.store().join(BOX).join(archive)).unwrap();
    let digest = hex::encode(Index::parse(&raw).unwrap().chunk(position).unwrap().digest);
    let path = bench.store().join(".chunks").join(&digest[..4]).join(&digest);
    (digest, path)
}

const FIRST: &str = "error extracting archive - failed to initialize extractor: error reading pxar archive: ";

#[test]
fn a_missing_chunk_is_told_and_nothing_is_made_of_it() {
    let bench = golden();
    let (_, path) = chunk(&bench, "root.pxar.didx", 0);
    fs::remove_file(&path).unwrap();
    let cause = format!("reading file {path:?} failed: No such file or directory (os error 2)");
    let key = ["--keyfile", "K.enc"];
    restore(&bench, BOX, "root.pxar", "tree", &key).failed(&format!("{FIRST}{cause}"));
    assert!(!bench.path("tree").exists());
    restore(&bench, BOX, "root.pxar", "-", &key).failed(&format!("unable to pipe data - {cause}"));

    let (_, path) = chunk(&bench, "drive.img.fidx", 2);
    fs::remove_file(&path).unwrap();
    let cause = format!("reading file {path:?} failed: No such file or directory (os error 2)");
    let ran = restore(&bench, BOX, "drive.img", "disk", &key);
    assert!(!ran.stderr.contains("complete"));
    ran.failed(&cause);
    // Like the client: what came before stays, shorter than the image.
    assert!(fs::metadata(bench.path("disk")).unwrap().len() < 9_438_720);
}

#[test]
fn a_damaged_chunk_is_told() {
    let bench = golden();
    let key = ["--keyfile", "K.enc"];
    let (digest, path) = chunk(&bench, "root.pxar.didx", 0);
    let sound = fs::read(&path).unwrap();
    let damaged = |at: usize, mend: bool| {
        let mut raw = sound.clone();
        raw[at] ^= 1;
        if mend {
            let sum = crc32(&raw[44..]);
            raw[8..12].copy_from_slice(&sum.to_le_bytes());
        }
        fs::write(&path, raw).unwrap();
        restore(&bench, BOX, "root.pxar", "tree", &key)
    };
    let parse = format!("{FIRST}Failed to parse chunk {digest} - ");
    damaged(0, false).failed(&format!("{parse}unable to parse raw blob - wrong magic"));
    damaged(8, false).failed(&format!("{parse}Data blob has wrong CRC checksum."));
    damaged(60, false).failed(&format!("{parse}Data blob has wrong CRC checksum."));
    damaged(60, true).failed(&format!("{FIRST}OpenSSL error"));
    damaged(12, false).failed(&format!("{FIRST}OpenSSL error"));
    damaged(28, false).failed(&format!("{FIRST}OpenSSL error"));
    fs::write(&path, &sound[..20]).unwrap();
    restore(&bench, BOX, "root.pxar", "tree", &key).failed(&format!("{parse}blob too small (20 bytes)."));

    // Another chunk's file under this name, and a plain one.
    let (_, other) = chunk(&bench, "drive.img.fidx", 0);
    fs::copy(other, &path).unwrap();
    let ran = restore(&bench, BOX, "root.pxar", "tree", &key);
    assert!(ran.stderr.contains("detected chunk with wrong length"), "{}", ran.stderr);
    assert_eq!(ran.code, Some(255));
    let rng = &mut rand::rand_core::UnwrapErr(rand::rngs::SysRng);
    fs::write(&path, blob::encode(&vec![0; 505_391], None, true, rng).unwrap()).unwrap();
    restore(&bench, BOX, "root.pxar", "tree", &key).failed(&format!("{FIRST}Index and chunk CryptMode don't match."));
    let secret = pbs_format::key::read_file(&bench.path("K.enc")).unwrap().open(None).unwrap();
    let size = Index::parse(&fs::read(bench.store().join(BOX).join("root.pxar.didx")).unwrap()).unwrap().size();
    fs::write(&path, blob::encode(&vec![0; usize::try_from(size).unwrap()], Some(&secret), true, rng).unwrap())
        .unwrap();
    restore(&bench, BOX, "root.pxar", "tree", &key).failed(&format!("{FIRST}detected chunk with wrong digest."));
    assert!(!bench.path("tree").exists());
}

/// CRC-32 of zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

#[test]
fn a_damaged_index_or_blob_is_told() {
    let bench = golden();
    let key = ["--keyfile", "K.enc"];
    let folder = bench.store().join(BOX);
    let with = |file: &str, archive: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let sound = fs::read(folder.join(file)).unwrap();
        let mut raw = sound.clone();
        change(&mut raw);
        fs::write(folder.join(file), raw).unwrap();
        let ran = restore(&bench, BOX, archive, "new", &key);
        fs::write(folder.join(file), sound).unwrap();
        assert!(!bench.path("new").exists());
        ran
    };
    for (file, archive, kind) in [("root.pxar.didx", "root.pxar", "dynamic"), ("drive.img.fidx", "drive.img", "fixed")]
    {
        let wrong = format!("wrong checksum for file '{file}'");
        with(file, archive, &|raw| raw[4096 + 20] ^= 1).failed(&wrong);
        with(file, archive, &|raw| raw[40] ^= 1).failed(&wrong);
        with(file, archive, &|raw| raw[0] ^= 1)
            .failed(&format!("unable to read {kind} index '{file}' - got unknown magic number"));
        let ran = with(file, archive, &|raw| raw.truncate(4096 + 7));
        assert!(ran.stderr.contains(&format!("Error: unable to read {kind} index '{file}' - ")), "{}", ran.stderr);
    }
    with("root.pxar.didx", "root.pxar", &|raw| {
        let at = raw.len() - 40;
        raw[at] ^= 1;
    })
    .failed("wrong size for file 'root.pxar.didx' (505391 != 505390)");
    with("guest.conf.blob", "guest.conf", &|raw| raw[50] ^= 1).failed("wrong checksum for file 'guest.conf.blob'");
    with("guest.conf.blob", "guest.conf", &|raw| raw.push(0))
        .failed("wrong size for file 'guest.conf.blob' (142 != 143)");
    with("index.json.blob", "guest.conf", &|raw| raw[20] ^= 1).failed("Data blob has wrong CRC checksum.");
    fs::remove_file(folder.join("guest.conf.blob")).unwrap();
    restore(&bench, BOX, "guest.conf", "new", &key)
        .failed(&format!("open file {:?} failed - not found", folder.join("guest.conf.blob")));
}

/// Writes the manifest of a snapshot anew.
fn rewrite(bench: &Bench, snapshot: &str, change: impl FnOnce(&mut Value)) {
    let path = bench.store().join(snapshot).join("index.json.blob");
    let text = blob::decode(&fs::read(&path).unwrap(), None, 1 << 20).unwrap();
    let mut value: Value = serde_json::from_slice(&text).unwrap();
    change(&mut value);
    let rng = &mut rand::rand_core::UnwrapErr(rand::rngs::SysRng);
    fs::write(&path, blob::encode(value.to_string().as_bytes(), None, true, rng).unwrap()).unwrap();
}

/// `formats.md` §7.3, row by row.
#[test]
fn the_manifest_is_checked_as_the_client_checks_it() {
    let key = ["--keyfile", "K.enc"];
    let conf = fs::read(golden_file("guest.conf")).unwrap();

    let bench = golden();
    rewrite(&bench, BOX, |manifest| manifest["files"][1]["size"] = 141.into());
    restore(&bench, BOX, "guest.conf", "new", &key).failed("wrong signature in manifest");
    rewrite(&bench, BOX, |manifest| manifest["unprotected"] = serde_json::json!({}));
    restore(&bench, BOX, "guest.conf", "new", &key).failed("wrong signature in manifest");

    // Without the fingerprint field and without a key nobody asks for one, until the first chunk.
    let bench = golden();
    rewrite(&bench, BOX, |manifest| manifest["unprotected"] = serde_json::json!({"anything": 1}));
    restore(&bench, BOX, "guest.conf", "new", &[]).failed("unable to decrypt blob - missing CryptConfig");
    restore(&bench, BOX, "root.pxar", "new", &[])
        .failed(&format!("{FIRST}unable to decrypt blob - missing CryptConfig"));
    assert_eq!(restore(&bench, BOX, "guest.conf", "-", &key).done(), conf);
    rewrite(&bench, SIGNED, |manifest| manifest["unprotected"] = serde_json::json!({}));
    assert_eq!(restore(&bench, SIGNED, "guest.conf", "-", &[]).done(), conf);

    // Notes are not signed.
    let bench = golden();
    rewrite(&bench, BOX, |manifest| manifest["unprotected"]["notes"] = "a note".into());
    assert_eq!(restore(&bench, BOX, "guest.conf", "-", &key).done(), conf);
    let listed: Value =
        serde_json::from_slice(&bench.line("snapshot list host/box1 --output-format json").done()).unwrap();
    assert_eq!(listed[1]["comment"], "a note");
}

/// `hostile-pbs.txt`: faithful where it hurts. The product's own gate is what must refuse these.
#[test]
fn an_unsigned_plaintext_twin_is_restored_without_a_word() {
    let key = ["--keyfile", "K.enc"];
    let bench = golden();
    let fingerprint = pbs_format::key::read_file(&bench.path("K.enc")).unwrap().fingerprint().unwrap().to_string();
    rewrite(&bench, PLAIN, |manifest| manifest["unprotected"]["key-fingerprint"] = fingerprint.clone().into());
    let listed: Value =
        serde_json::from_slice(&bench.line("snapshot list host/plain --output-format json").done()).unwrap();
    assert_eq!(
        (&listed[0]["fingerprint"], &listed[0]["files"][0]["crypt-mode"]),
        (&fingerprint.clone().into(), &"none".into())
    );
    for archive in ["guest.conf", "root.pxar"] {
        let ran = restore(&bench, PLAIN, archive, archive, &key);
        assert_eq!((ran.code, ran.stdout.as_slice(), ran.stderr.as_str()), (Some(0), &b""[..], ""));
    }
    restore(&bench, PLAIN, "guest.conf", "new", &["--crypt-mode", "none"])
        .failed(&format!("missing key - manifest was created with key {KEY}"));
    restore(&bench, PLAIN, "guest.conf", "new", &["--keyfile", "other.enc"])
        .failed(&format!("wrong key - manifest's key {KEY} does not match provided key aa:f7:f0:e7:fd:2c:31:75"));

    rewrite(&bench, PLAIN, |manifest| {
        for file in manifest["files"].as_array_mut().unwrap() {
            file["crypt-mode"] = "encrypt".into();
        }
    });
    let ran = restore(&bench, PLAIN, "guest.conf", "again", &key);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    restore(&bench, PLAIN, "root.pxar", "tree", &key).failed(&format!("{FIRST}Index and chunk CryptMode don't match."));
}

#[test]
fn index_json_comes_out_as_it_was_stored_and_replaces_its_target() {
    let bench = golden();
    let stored = fs::read(bench.store().join(BOX).join("index.json.blob")).unwrap();
    let text = blob::decode(&stored, None, 1 << 20).unwrap();
    bench.write("out/index.json", "something else");
    for target in ["-", "out/index.json"] {
        let ran = restore(&bench, BOX, "index.json", target, &["--keyfile", "K.enc"]);
        let got = if target == "-" {
            ran.done()
        } else {
            drop(ran.done());
            fs::read(bench.path(target)).unwrap()
        };
        assert_eq!(got, text);
    }
    assert_eq!(fs::read_dir(bench.path("out")).unwrap().count(), 1);
    let manifest = Manifest::from_text(&text).unwrap();
    let key = pbs_format::key::read_file(&bench.path("K.enc")).unwrap().open(None).unwrap();
    manifest.verify(&key).unwrap();
}

#[test]
fn targets_are_new_files_with_the_masks_mode() {
    let bench = golden();
    let key = ["--keyfile", "K.enc"];
    for (mask, mode) in [("022", 0o644), ("077", 0o600), ("000", 0o644)] {
        for archive in ["guest.conf", "drive.img"] {
            let target = format!("{archive}-{mask}");
            let mut shell = std::process::Command::new("sh");
            bench.prepare(&mut shell);
            shell.args(["-c", &format!("umask {mask}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_pbs-local")]);
            shell.args(&bench.own).args(["restore", BOX, archive, &target]).args(key);
            crate::support::finish(&mut shell).done();
            assert_eq!(fs::metadata(bench.path(&target)).unwrap().permissions().mode() & 0o7777, mode);
        }
    }
    for archive in ["guest.conf", "drive.img"] {
        restore(&bench, BOX, archive, &format!("{archive}-022"), &key)
            .failed(&format!("unable to create target file \"{archive}-022\" - File exists (os error 17)"));
        restore(&bench, BOX, archive, "no/where", &key)
            .failed("unable to create target file \"no/where\" - No such file or directory (os error 2)");
    }
    // transcripts/y.txt: (3.2.4 proper) unwritable target
    restore(&bench, BOX, "root.pxar", "/proc/nope", &key).failed(
        "error extracting archive - failed to initialize extractor: error creating directory \"/proc/nope\": ENOENT: No such file or directory",
    );
}

#[test]
fn existing_files_stay_unless_told_otherwise() {
    let bench = golden();
    let key = ["--keyfile", "K.enc"];
    bench.write("tree/empty", "precious");
    let error = "error extracting archive - encountered unexpected error during extraction: error at entry \"empty\": failed to extract file: failed to create file \"empty\": EEXIST: File exists";
    restore(&bench, BOX, "root.pxar", "tree", &[&key[..], &["--allow-existing-dirs", "--ignore-ownership"]].concat())
        .failed(error);
    assert_eq!(fs::read(bench.path("tree/empty")).unwrap(), b"precious");
}

#[test]
fn a_group_means_its_newest_snapshot_finished_or_not() {
    let bench = golden();
    let conf = fs::read(golden_file("guest.conf")).unwrap();
    assert_eq!(restore(&bench, "host/box1", "guest.conf", "-", &["--keyfile", "other.enc"]).done(), conf);
    let unfinished = bench.store().join("host/box1/2024-03-01T00:00:00Z");
    fs::create_dir(&unfinished).unwrap();
    fs::set_permissions(&unfinished, Permissions::from_mode(0o755)).unwrap();
    restore(&bench, "host/box1", "guest.conf", "-", &["--keyfile", "other.enc"])
        .failed(&format!("open file {:?} failed - not found", unfinished.join("index.json.blob")));
    let listed: Value =
        serde_json::from_slice(&bench.line("snapshot list host/box1 --output-format json").done()).unwrap();
    assert_eq!(listed[0]["backup-time"], 1_709_251_200);
    assert_eq!(listed[0]["files"], serde_json::json!([]));
    assert!(listed[0]["size"].is_null() && listed[0]["fingerprint"].is_null());
}

#[test]
fn names_that_are_not_there_are_told() {
    let bench = golden();
    let key = ["--keyfile", "K.enc"];
    restore(&bench, "host/box1/2020-01-01T00:00:00Z", "guest.conf", "-", &key)
        .failed("snapshot host/box1/2020-01-01T00:00:00Z does not exist.");
    restore(&bench, "ct/9001/2024-02-29T12:35:00Z", "guest.conf", "-", &[&key[..], &["--ns", "nope"]].concat())
        .failed("snapshot ct/9001/2024-02-29T12:35:00Z does not exist.");
    restore(&bench, "host/none", "guest.conf", "-", &key)
        .failed("backup group host/none does not contain any snapshots.");
    restore(&bench, BOX, "catalog.pcat1", "-", &key).failed("manifest does not contain file 'catalog.pcat1.blob'");
    for hostile in ["../../../etc/x", "host/box1/../x", "host//2024-02-29T12:34:56Z", "lxc/1/2024-02-29T12:34:56Z"] {
        restore(&bench, hostile, "guest.conf", "-", &key)
            .failed(&format!("unable to parse backup snapshot path '{hostile}'"));
    }
    restore(&bench, BOX, "../guest.conf", "-", &key).failed("manifest does not contain file '../guest.conf.blob'");
    bench.line("snapshot files host/box1").failed("unable to parse backup snapshot path 'host/box1'");
}

#[test]
fn a_datastore_is_read_by_its_path_without_root_or_token() {
    let mut bench = golden();
    bench.own.clear();
    bench.unset("PBS_PASSWORD");
    bench.unset("PBS_REPOSITORY");
    let store = bench.text_path("stores/store");
    for repository in [store.as_str(), "./stores/store"] {
        let line = format!("restore host/plain guest.conf - --repository {repository}");
        assert_eq!(bench.line(&line).done(), fs::read(golden_file("guest.conf")).unwrap());
    }
    bench.line("status --repository pbs:store").failed(
        "no --root given, so datastore 'store' cannot be found (a path beginning with / names a datastore itself)",
    );
    let ran = bench.line("snapshot list --repository ./home");
    assert!(
        ran.stderr.starts_with("Error: no datastore at \"./home\" - it has no readable folder .chunks"),
        "{}",
        ran.stderr
    );
    let ran = bench.line("snapshot list --repository ./nope");
    assert!(ran.stderr.starts_with("Error: no datastore at \"./nope\""), "{}", ran.stderr);
}

/// transcripts/x.txt, as nobody.
#[test]
fn not_being_root_ends_at_the_first_owner() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: not_being_root_ends_at_the_first_owner needs root to become somebody else");
        return;
    }
    let bench = golden();
    let home = bench.path("nobody");
    fs::create_dir(&home).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_pbs-local"), bench.path("pbs-local")).unwrap();
    fs::set_permissions(bench.path("."), Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    let mut open_up = std::process::Command::new("chmod");
    crate::support::finish(open_up.args(["-R", "a+rX"]).arg(bench.path("stores"))).done();
    let run = |target: &str, more: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        bench.prepare(&mut command);
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(bench.path("pbs-local"));
        command.args(&bench.own).args(["restore", PLAIN, "root.pxar", target]).args(more);
        crate::support::finish(&mut command)
    };
    let ran = run("nobody/r0", &[]);
    assert_eq!(ran.code, Some(255));
    assert!(
        ran.stderr.starts_with(
            "Error: error extracting archive - encountered unexpected error during extraction: error at entry "
        ),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.ends_with("failed to set ownership: Operation not permitted (os error 1)\n"), "{}", ran.stderr);

    // What could not be set is named, never dropped.
    let ran = run("nobody/r2", &["--ignore-ownership", "--ignore-extract-device-errors"]);
    let refused = "Operation not permitted (os error 1)";
    let named = ["file capability of \"bin/caps\"", "device node of \"data/loop\"", "device node of \"data/null\""];
    let lines: Vec<_> = named.iter().map(|what| format!("not restored: {what} - {refused}\n")).collect();
    assert_eq!((ran.code, ran.stderr), (Some(0), lines.concat()));

    let more = ["--ignore-ownership", "--ignore-acls", "--ignore-xattrs", "--ignore-extract-device-errors"];
    let ran = run("nobody/r1", &more);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(fs::metadata(bench.path("nobody/r1/bin/suid")).unwrap().uid(), 65534);
}

#[test]
fn pbs_log_decides_what_is_told() {
    let mut bench = golden();
    bench.set("PBS_LOG", "error");
    let ran = restore(&bench, BOX, "drive.img", "disk", &["--keyfile", "K.enc"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    bench.set("PBS_LOG", "debug");
    let ran = restore(&bench, BOX, "drive.img", "disk2", &["--keyfile", "K.enc"]);
    assert!(ran.stderr.contains("\nprogress 100% (read 9438720 bytes, duration "), "{}", ran.stderr);
}
