//! What is done with a guest that is there: network cards, start, status, stop; and the ways to fail.

use std::fs;

use crate::support::{CONTAINER, MACHINE, Node};

fn with_guests() -> Node {
    let node = Node::new();
    for (program, words) in
        [("usr/sbin/pct", ["restore", "900", CONTAINER]), ("usr/sbin/qmrestore", [MACHINE, "901", "--unique=0"])]
    {
        let done = node.call(program, &[&words[..], &["--storage", "local"]].concat());
        assert!(done.status.success(), "{done:?}");
    }
    node
}

/// Exit code, and what was said on both ways.
fn call(node: &Node, program: &str, words: &[&str]) -> (bool, String) {
    let done = node.call(&format!("usr/sbin/{program}"), words);
    (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).trim().to_owned())
}

#[test]
fn a_guest_is_stopped_until_it_is_started_and_again_afterwards() {
    let node = with_guests();
    for (program, vmid) in [("pct", "900"), ("qm", "901")] {
        let status = || call(&node, program, &["status", vmid]);
        assert_eq!(status(), (true, "status: stopped".to_owned()));
        assert!(call(&node, program, &["set", vmid, "--net0", "name=eth0,link_down=1"]).0);
        assert!(call(&node, program, &["config", vmid]).1.contains("net0: name=eth0,link_down=1"));
        assert!(call(&node, program, &["start", vmid]).0);
        assert_eq!(status(), (true, "status: running".to_owned()));
        assert!(!call(&node, program, &["start", vmid]).0, "started twice");
        assert!(node.text(&format!("run/fixture/started-{vmid}")).is_some_and(|text| text.contains("link_down=1")));
        assert!(call(&node, program, &["shutdown", vmid, "--forceStop", "1", "--timeout", "60"]).0);
        assert_eq!(status(), (true, "status: stopped".to_owned()));
    }
}

#[test]
fn it_fails_in_the_ways_that_are_asked_for() {
    let node = with_guests();
    fs::create_dir_all(node.path("var/fixture")).unwrap();
    let way = |way: &str| fs::write(node.path(&format!("var/fixture/{way}")), "").unwrap();
    assert!(call(&node, "qm", &["agent", "901", "ping"]).1.contains("No QEMU guest agent configured"));
    way("start-fails-901");
    assert!(call(&node, "qm", &["start", "901"]).1.contains("QEMU exited with code 1"));
    way("dies-900");
    assert!(call(&node, "pct", &["start", "900"]).0);
    assert_eq!(call(&node, "pct", &["status", "900"]).1, "status: stopped");
    way("set-lies-900");
    assert!(call(&node, "pct", &["set", "900", "--net0", "name=eth0"]).0);
    assert!(!call(&node, "pct", &["config", "900"]).1.contains("net0"));
}

#[test]
fn what_is_not_played_is_refused() {
    let node = with_guests();
    for (program, words) in [
        ("qm", &["migrate", "901"][..]),
        ("pct", &["agent", "900", "ping"]),
        ("qm", &["agent", "901", "get-users"]),
        ("qm", &["set", "901", "--args", "-netdev x"]),
        ("qm", &["start", "902"]),
        ("pct", &["start", "901"]),
    ] {
        assert!(!call(&node, program, words).0, "{program} {words:?}");
    }
}

#[test]
fn a_pool_has_what_was_restored_into_it_until_that_is_destroyed() {
    let node = with_guests();
    let pvesh = |words: &[&str]| node.call("usr/bin/pvesh", words).status.success();
    let line = || node.text("etc/pve/user.cfg").unwrap_or_default();
    let restore = ["restore", "903", CONTAINER, "--storage", "local", "--pool", "mine"];
    assert!(call(&node, "pct", &restore).1.contains("pool 'mine' does not exist"));
    assert!(pvesh(&["create", "/pools", "--poolid", "mine", "--comment", "a: b"]));
    assert!(!pvesh(&["create", "/pools", "--poolid", "mine"]), "made twice");
    assert!(call(&node, "pct", &restore).0);
    assert_eq!(line(), "pool:mine:a%3A b:903::\n");
    assert!(!pvesh(&["delete", "/pools/mine"]), "it is not empty");
    // A guest that is locked or running is not destroyed.
    assert!(call(&node, "pct", &["start", "903"]).0);
    assert!(!call(&node, "pct", &["destroy", "903"]).0);
    assert!(call(&node, "pct", &["stop", "903"]).0);
    let config = node.path("etc/pve/lxc/903.conf");
    fs::write(&config, format!("lock: create\n{}", fs::read_to_string(&config).unwrap())).unwrap();
    assert!(call(&node, "pct", &["destroy", "903"]).1.contains("CT is locked (create)"));
    assert!(call(&node, "pct", &["unlock", "903"]).0);
    assert!(call(&node, "pct", &["destroy", "903", "--destroy-unreferenced-disks", "0"]).0);
    assert!(!config.exists() && !node.path("var/lib/vz/images/903/subvol-903-disk-0.subvol").exists());
    assert_eq!(line(), "pool:mine:a%3A b:::\n");
    assert!(node.path("etc/pve/lxc/900.conf").exists());
    assert!(pvesh(&["delete", "/pools/mine"]));
    assert_eq!(line(), "");
}
