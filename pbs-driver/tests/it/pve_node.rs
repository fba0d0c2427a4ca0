//! What a node's Proxmox VE is found to be, and S40: told before anything is written.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use pbs_driver::pve::{
    Node, Paths, PveError, State,
    install::place,
    node::{Absence, Refusal},
    secrets::{put_key, put_password},
    storage::StorageCfg,
};

use crate::{
    place::{KEYS, TOKEN, all_words},
    pve_place::{Pve, id, members, node, show_own_files, storage, wanted},
};

/// Every door that writes; what each of them said.
fn every_write(node: &Node) -> Vec<PveError> {
    let wished = storage("pbs1");
    vec![
        place(node, &wanted(&wished)).unwrap_err(),
        put_key(node, &id("pbs1"), &KEYS.plain).unwrap_err(),
        put_password(node, &id("pbs1"), TOKEN).unwrap_err(),
        StorageCfg::edit(node, |storages| storages.add_pbs(&wished)).unwrap_err(),
    ]
}

#[test]
fn s40_where_pmxcfs_is_not_mounted_nothing_is_written_into_the_folder_below() {
    let pve = Pve::unmounted();
    assert_eq!(pve.node.state(), State::NotMounted { why: Absence::NoFiles });
    for error in every_write(&pve.node) {
        assert!(matches!(error, PveError::NotMounted { why: Absence::NoFiles, .. }), "{error:?}");
        assert!(error.next_step().contains("pve-cluster"), "{error}");
    }
    assert!(matches!(StorageCfg::read(&pve.node), Err(PveError::NotMounted { .. })));
    assert!(pve.everything().is_empty(), "{:?}", pve.everything().keys());

    // One of the three is not enough: a copy of somebody's /etc/pve has none of them, a half copy may.
    pve.write(".members", members(1).as_bytes());
    assert_eq!(pve.node.state(), State::NotMounted { why: Absence::NoFiles });

    fs::remove_dir_all(pve.etc()).unwrap();
    assert_eq!(pve.node.state(), State::NotMounted { why: Absence::NoFolder });
    every_write(&pve.node);
    assert!(!pve.etc().exists());
}

#[test]
fn s40_without_quorum_nothing_is_written() {
    let pve = Pve::new();
    pve.write(".members", members(1).as_bytes());
    assert_eq!(pve.node.state(), State::Writable);
    pve.write(".members", members(0).as_bytes());
    assert_eq!(pve.node.state(), State::ReadOnly { why: Refusal::NoQuorum });
    let before = pve.everything();
    for error in every_write(&pve.node) {
        assert!(matches!(error, PveError::ReadOnly { why: Refusal::NoQuorum, .. }), "{error:?}");
        assert!(error.to_string().contains("no quorum") && error.next_step().contains("pvecm"), "{error}");
    }
    assert_eq!(pve.everything(), before);
    // Reading goes on.
    assert_eq!(StorageCfg::read(&pve.node).unwrap().sections().iter().count(), 2);
    assert_eq!(pve.node.name().unwrap(), "pve1");
}

#[test]
fn s40_folders_closed_to_writing_are_told_although_root_could() {
    for closed in ["", "priv", "priv/storage"] {
        let pve = Pve::new();
        pve.write("priv/storage/x.pw", b"x\n");
        let folder = pve.node.file(closed);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        let before = pve.everything();
        assert_eq!(pve.node.state(), State::ReadOnly { why: Refusal::Closed }, "{closed}");
        for error in every_write(&pve.node) {
            assert!(matches!(error, PveError::ReadOnly { why: Refusal::Closed, .. }), "{closed}: {error:?}");
        }
        assert_eq!(pve.everything(), before, "{closed}");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_machine_without_proxmox_ve_is_told_from_one_where_it_is_down() {
    let scratch = tempfile::tempdir().unwrap();
    for etc in ["none", "empty"] {
        fs::create_dir_all(scratch.path().join("empty")).unwrap();
        let node = node(scratch.path(), &scratch.path().join(etc));
        assert_eq!(node.state(), State::NotPve, "{etc}");
        for error in every_write(&node) {
            assert!(matches!(error, PveError::NotPve { .. }), "{etc}: {error:?}");
        }
    }
    let relative = Paths { pct: "pct".into(), ..Paths::default() };
    assert!(matches!(Node::new(relative), Err(PveError::Relative { .. })));
    assert_eq!(Paths::default().etc_pve, Path::new("/etc/pve"));
}

#[test]
fn a_file_is_read_up_to_the_size_that_pmxcfs_takes() {
    let pve = Pve::new();
    assert!(pve.node.read("jobs.cfg").unwrap().is_none());
    pve.write("jobs.cfg", &vec![b'#'; 1024 * 1024]);
    assert_eq!(pve.node.read("jobs.cfg").unwrap().unwrap().len(), 1024 * 1024);
    pve.write("jobs.cfg", &vec![b'#'; 1024 * 1024 + 1]);
    assert!(matches!(pve.node.read("jobs.cfg"), Err(PveError::TooLarge { max: 1_048_576, .. })));
    pve.write(".members", b"{");
    assert!(matches!(pve.node.name(), Err(PveError::Io { .. })));
    assert_eq!(pve.node.state(), State::Writable, "what pmxcfs says of its members is not the only sign");
}

/// Runs one inner test of this binary in a mount namespace of its own, after this script; `None`
/// where no file system may be mounted. `$0` is a folder to mount on, `$1` one that lives longer.
fn mounted(script: &str, inner: &str) -> Option<Output> {
    let place = tempfile::tempdir().unwrap();
    let run = format!("{script}\nexec \"$2\" --exact pve_node::{inner} --nocapture --test-threads=1");
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", &run])
        .arg(place.path())
        .arg(place.path())
        .arg(std::env::current_exe().unwrap())
        .env("TENWORDS_PVE_INNER", place.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || text.starts_with("unshare: ") {
        println!("SKIPPED {inner}: nothing may be mounted here ({})", text.trim());
        return None;
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    Some(output)
}

#[test]
fn s40_a_read_only_mount_is_told_and_nothing_is_written() {
    mounted("mount -t tmpfs none \"$0\" || exit 77", "inner_read_only");
}

#[test]
fn inner_read_only() {
    let Some(etc) = std::env::var_os("TENWORDS_PVE_INNER") else { return };
    let etc = Path::new(&etc);
    show_own_files(etc);
    let node = node(etc, etc);
    assert_eq!(node.state(), State::Writable);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(etc).status().unwrap();
    assert!(remounted.success());
    assert_eq!(node.state(), State::ReadOnly { why: Refusal::Mounted });
    for error in every_write(&node) {
        assert!(matches!(error, PveError::ReadOnly { why: Refusal::Mounted, .. }), "{error:?}");
    }
}

#[test]
fn s40_a_full_disk_leaves_the_old_file_and_nothing_half_written() {
    mounted("mount -t tmpfs -o size=64k none \"$0\" || exit 77", "inner_full");
}

#[test]
fn inner_full() {
    let Some(etc) = std::env::var_os("TENWORDS_PVE_INNER") else { return };
    let etc = Path::new(&etc);
    show_own_files(etc);
    let node = node(etc, etc);
    let old = format!("# {}\n\ndir: local\n\tpath /var/lib/vz\n\n", "x".repeat(20_000));
    fs::write(etc.join("storage.cfg"), &old).unwrap();
    // Room for a key and a token, none for a second storage.cfg.
    let ballast = etc.join("ballast");
    let mut size = 64 * 1024;
    while fs::write(&ballast, vec![b'x'; size]).is_err() {
        size -= 1024;
    }
    let wished = storage("pbs1");
    let leftovers = || -> Vec<String> {
        let folders = [etc.to_owned(), etc.join("priv/storage"), etc.join("priv/lock")];
        let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("tenwords") || name.starts_with("file-"))
            .collect()
    };
    // With every page of room more, another one of the writes is the first that fails.
    let mut failed_at = Vec::new();
    while let Err(error) = place(&node, &wanted(&wished)) {
        let words = all_words(&error);
        assert!(matches!(error, PveError::Io { .. }) && words.contains("No space left"), "{words}");
        assert_eq!(fs::read_to_string(etc.join("storage.cfg")).unwrap(), old);
        assert_eq!(leftovers(), Vec::<String>::new());
        for (name, whole) in [("enc", &KEYS.plain[..]), ("pw", format!("{TOKEN}\n").as_bytes())] {
            let there = fs::read(etc.join(format!("priv/storage/pbs1.{name}")));
            assert!(there.is_err() || there.unwrap() == whole, "{name} is half written");
        }
        failed_at.push(error.to_string());
        size -= 4096;
        fs::OpenOptions::new().write(true).open(&ballast).unwrap().set_len(size as u64).unwrap();
    }
    failed_at.dedup();
    assert!(failed_at.len() >= 2, "{failed_at:?}");
    assert!(failed_at.iter().any(|failed| failed.contains("storage.cfg")), "{failed_at:?}");
    assert!(fs::read_to_string(etc.join("storage.cfg")).unwrap().starts_with(&old));
    assert_eq!(StorageCfg::read(&node).unwrap().get(&id("pbs1")).unwrap().unwrap().repository, wished.repository);
    assert_eq!(leftovers(), Vec::<String>::new());
}
