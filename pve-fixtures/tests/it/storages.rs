//! `pvesm`, and above all what it does to the files beside `storage.cfg`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::{CONTAINER, Node, SECRET, said};

fn secrets(node: &Node, id: &str) -> Vec<String> {
    let entries = fs::read_dir(node.path("etc/pve/priv/storage")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(&format!("{id}."))).collect();
    names.sort();
    names
}

#[test]
fn adding_without_a_key_removes_the_key_file() {
    let node = Node::new();
    let enc = node.path("etc/pve/priv/storage/new.enc");
    fs::copy(node.below("k.enc"), &enc).unwrap();
    fs::write(node.path("etc/pve/priv/storage/new.master.pem"), "x").unwrap();
    node.add_storage("new", &[]);
    assert_eq!(secrets(&node, "new"), ["new.pw"]);
    assert_eq!(node.text("etc/pve/priv/storage/new.pw"), Some(format!("{SECRET}\n")));
    let mode = fs::metadata(node.path("etc/pve/priv/storage/new.pw")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = node.text("etc/pve/storage.cfg").unwrap();
    assert!(!config.contains(SECRET) && config.contains("pbs: new\n\tserver 127.0.0.1\n"), "{config}");
}

#[test]
fn adding_what_cannot_be_reached_removes_all_three() {
    let node = Node::new();
    fs::copy(node.below("k.enc"), node.path("etc/pve/priv/storage/new.enc")).unwrap();
    let refused = node.storage_command("new", "nope", &["--encryption-key".into(), node.below("k.enc")]);
    assert_eq!(refused.status.code(), Some(255));
    assert!(said(&refused).starts_with("create storage failed: new: error fetching datastores - "), "{refused:?}");
    assert_eq!(secrets(&node, "new"), Vec::<String>::new());
    assert!(!node.text("etc/pve/storage.cfg").unwrap().contains("pbs: new"));
}

#[test]
fn removing_removes_all_three_and_a_second_adding_is_refused() {
    let node = Node::new();
    assert_eq!(secrets(&node, "pbs"), ["pbs.enc", "pbs.pw"]);
    let refused = node.storage_command("pbs", "store", &[]);
    assert_eq!(said(&refused), "create storage failed: storage ID 'pbs' already defined\n");
    assert_eq!(secrets(&node, "pbs"), ["pbs.enc", "pbs.pw"], "a refusal touched the files");
    fs::write(node.path("etc/pve/priv/storage/pbs.master.pem"), "x").unwrap();
    assert!(node.call("usr/sbin/pvesm", &["remove", "pbs"]).status.success());
    assert_eq!(secrets(&node, "pbs"), Vec::<String>::new());
    let again = node.call("usr/sbin/pvesm", &["remove", "pbs"]);
    assert_eq!(said(&again), "delete storage failed: storage 'pbs' does not exist\n");
}

#[test]
fn setting_replaces_a_key_and_autogen_keeps_one_old() {
    let node = Node::new();
    let kept = node.text("etc/pve/priv/storage/pbs.enc");
    assert!(node.call("usr/sbin/pvesm", &["set", "pbs", "--encryption-key", "autogen"]).status.success());
    assert_eq!(secrets(&node, "pbs"), ["pbs.enc", "pbs.enc.old", "pbs.pw"]);
    assert_eq!(node.text("etc/pve/priv/storage/pbs.enc.old"), kept);
    let refused =
        node.call("usr/sbin/pvesm", &["set", "pbs", "--encryption-key", node.below("disk").to_str().unwrap()]);
    assert!(said(&refused).starts_with("update storage failed: "), "{refused:?}");
    assert!(node.call("usr/sbin/pvesm", &["set", "pbs", "--delete", "encryption-key"]).status.success());
    assert!(!node.text("etc/pve/storage.cfg").unwrap().contains("encryption-key"));
    assert_eq!(secrets(&node, "pbs"), ["pbs.enc.old", "pbs.pw"]);
    let refused = node.call("usr/sbin/pvesm", &["set", "pbs", "--server", "elsewhere"]);
    assert_eq!(said(&refused), "update storage failed: can't change value of fixed parameter 'server'\n");
}

#[test]
fn the_lock_of_the_cluster_is_taken_and_given_back() {
    let node = Node::new();
    assert!(!node.path("etc/pve/priv/lock/file-storage_cfg").exists());
    let members = node.text("etc/pve/.members").unwrap();
    fs::write(node.path("etc/pve/.members"), members.replace("\"quorate\": 1", "\"quorate\": 0")).unwrap();
    let refused = node.call("usr/sbin/pvesm", &["remove", "pbs"]);
    assert_eq!(said(&refused), "delete storage failed: no quorum!\n");
    assert_eq!(secrets(&node, "pbs"), ["pbs.enc", "pbs.pw"]);
}

#[test]
fn lists_and_states_are_shown_as_pve_shows_them() {
    let node = Node::new();
    assert!(node.call("usr/sbin/pct", &["restore", "900", CONTAINER, "--storage", "local"]).status.success());
    let list = node.call("usr/sbin/pvesm", &["list", "local", "--vmid", "900"]);
    assert_eq!(
        String::from_utf8(list.stdout).unwrap(),
        "Volid                              Format  Type      Size VMID\n\
         local:900/subvol-900-disk-0.subvol subvol  rootdir   0 900\n"
    );
    let list = node.call("usr/sbin/pvesm", &["list", "local", "--vmid", "901"]);
    assert_eq!(String::from_utf8(list.stdout).unwrap(), "Volid Format  Type      Size VMID\n");
    assert!(node.call("usr/sbin/pvesm", &["set", "pbs", "--disable", "1"]).status.success());
    let status = String::from_utf8(node.call("usr/sbin/pvesm", &["status"]).stdout).unwrap();
    let rows: Vec<Vec<&str>> = status.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..3], ["local", "dir", "active"]);
    assert_eq!((&rows[2][..3], rows[2][6]), (&["pbs", "pbs", "disabled"][..], "N/A"));
}
