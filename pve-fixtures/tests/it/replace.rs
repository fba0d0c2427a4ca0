//! A number that is taken: refused, or with `--force` replaced.

use std::fs;

use crate::support::{CONTAINER, MACHINE, Node, said};

#[test]
fn a_container_that_is_there_is_refused_or_replaced_with_its_volumes() {
    let node = Node::new();
    let words = ["restore", "900", CONTAINER, "--storage", "local"];
    assert!(node.call("usr/sbin/pct", &words).status.success());
    fs::write(node.path("var/lib/vz/images/900/subvol-900-disk-0.subvol/new"), "since the backup").unwrap();
    let calls = node.calls().len();
    for program in ["usr/sbin/pct", "usr/sbin/qmrestore"] {
        let words = if program.ends_with("pct") { words.to_vec() } else { vec![MACHINE, "900"] };
        let refused = node.call(program, &words);
        assert_eq!(refused.status.code(), Some(255));
        assert!(said(&refused).ends_with("CT 900 already exists on node 'pve'\n"), "{refused:?}");
        assert!(refused.stdout.is_empty(), "{refused:?}");
    }
    assert_eq!(node.calls().len(), calls, "the client was called for a refusal");
    assert_eq!(node.volumes(900), ["subvol-900-disk-0.subvol"]);

    let replaced = node.call("usr/sbin/pct", &[&words[..], &["--force", "1"]].concat());
    assert!(replaced.status.success(), "{replaced:?}");
    assert_eq!(node.volumes(900), ["subvol-900-disk-1.subvol"]);
    assert!(!node.path("var/lib/vz/images/900/subvol-900-disk-1.subvol/new").exists());
    let config = node.text("etc/pve/nodes/pve/lxc/900.conf").unwrap();
    assert!(
        config.contains("rootfs: local:900/subvol-900-disk-1.subvol,size=1G\n") && !config.contains("lock"),
        "{config}"
    );
}

#[test]
fn a_machine_that_is_there_keeps_what_the_backup_has_not() {
    let node = Node::new();
    let words = [MACHINE, "901", "--storage", "local"];
    assert!(node.call("usr/sbin/qmrestore", &words).status.success());
    fs::write(node.path("var/lib/vz/images/901/vm-901-disk-7.raw"), "a disk that the backup has not").unwrap();
    let refused = node.call("usr/sbin/qmrestore", &words);
    assert_eq!(said(&refused), "unable to restore VM 901 - VM 901 already exists on node 'pve'\n");
    let replaced = node.call("usr/sbin/qmrestore", &[&words[..], &["--force"]].concat());
    assert!(replaced.status.success(), "{replaced:?}");
    assert_eq!(node.volumes(901), ["vm-901-disk-0.raw", "vm-901-disk-7.raw"]);
    let config = node.text("etc/pve/nodes/pve/qemu-server/901.conf").unwrap();
    assert!(config.contains("unused0: local:901/vm-901-disk-7.raw\n"), "{config}");
}

#[test]
fn protected_and_locked_guests_are_left_alone() {
    let node = Node::new();
    let words = ["restore", "900", CONTAINER, "--storage", "local", "--force", "1"];
    let config = node.path("etc/pve/nodes/pve/lxc/900.conf");
    fs::write(&config, "hostname: web\nprotection: 1\n").unwrap();
    let refused = node.call("usr/sbin/pct", &words);
    assert_eq!(said(&refused), "unable to restore CT 900 - protection mode enabled\n");
    fs::write(&config, "lock: backup\nhostname: web\n").unwrap();
    let refused = node.call("usr/sbin/pct", &words);
    assert_eq!(said(&refused), "unable to restore CT 900 - CT is locked (backup)\n");
    assert_eq!(fs::read_to_string(&config).unwrap(), "lock: backup\nhostname: web\n");
}

#[test]
fn running_guests_are_left_alone() {
    let node = Node::new();
    fs::create_dir_all(node.path("run/fixture")).unwrap();
    for (folder, vmid, program, words, text) in [
        (
            "lxc",
            900,
            "usr/sbin/pct",
            vec!["restore", "900", CONTAINER, "--storage", "local", "--force", "1"],
            "can't overwrite running container\n",
        ),
        (
            "qemu-server",
            901,
            "usr/sbin/qmrestore",
            vec![MACHINE, "901", "--storage", "local", "--force", "1"],
            "unable to restore VM 901 - vm is running\n",
        ),
    ] {
        let config = node.path(&format!("etc/pve/nodes/pve/{folder}/{vmid}.conf"));
        fs::write(&config, "memory: 1024\n").unwrap();
        fs::write(node.path(&format!("run/fixture/running-{vmid}")), "").unwrap();
        let refused = node.call(program, &words);
        assert!(said(&refused).ends_with(text), "{refused:?}");
        assert_eq!(fs::read_to_string(&config).unwrap(), "memory: 1024\n");
        assert_eq!(node.volumes(vmid), Vec::<String>::new());
    }
}

#[test]
fn a_forced_restore_that_fails_before_anything_was_made_leaves_the_old_container() {
    let node = Node::new();
    let words = ["restore", "900", CONTAINER, "--storage", "local"];
    assert!(node.call("usr/sbin/pct", &words).status.success());
    let before = node.text("etc/pve/nodes/pve/lxc/900.conf");
    // Before anything was made: the old one is as it was.
    let gone = CONTAINER.replace("00Z", "01Z");
    let failed = node.call("usr/sbin/pct", &["restore", "900", &gone, "--storage", "local", "--force", "1"]);
    assert_eq!(failed.status.code(), Some(255), "{failed:?}");
    assert_eq!(node.text("etc/pve/nodes/pve/lxc/900.conf"), before);
    assert_eq!(node.volumes(900), ["subvol-900-disk-0.subvol"]);
}

#[test]
fn a_failure_leaves_what_pves_failure_leaves() {
    let node = Node::new();
    let gone = |volid: &str| volid.replace("00Z", "01Z");
    let failed = node.call("usr/sbin/pct", &["restore", "900", &gone(CONTAINER), "--storage", "local"]);
    assert_eq!(failed.status.code(), Some(255));
    assert!(said(&failed).starts_with("unable to restore CT 900 - command '/usr/bin/proxmox-backup-client restore "));
    assert_eq!(node.text("etc/pve/nodes/pve/lxc/900.conf"), None);

    let failed = node.call("usr/sbin/qmrestore", &[&gone(MACHINE), "901", "--storage", "local"]);
    assert_eq!(failed.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&failed.stdout).contains("VM 901 state is NOT cleaned up.\n"), "{failed:?}");
    assert_eq!(node.text("etc/pve/nodes/pve/qemu-server/901.conf").as_deref(), Some(""));
    let list = node.text("etc/pve/.vmlist").unwrap();
    assert!(list.contains("\"901\": { \"node\": \"pve\", \"type\": \"qemu\"") && !list.contains("900"), "{list}");

    // A disk that cannot be written: its volume is removed, the number stays.
    fs::remove_file(node.path("usr/bin/pbs-restore")).unwrap();
    let failed = node.call("usr/sbin/qmrestore", &[MACHINE, "902", "--storage", "local"]);
    assert!(
        String::from_utf8_lossy(&failed.stdout)
            .contains("temporary volume 'local:902/vm-902-disk-0.raw' successfully removed\n")
    );
    assert_eq!(node.volumes(902), Vec::<String>::new());
    assert_eq!(node.text("etc/pve/nodes/pve/qemu-server/902.conf").as_deref(), Some("memory: 128\n"));
}

#[test]
fn words_that_pve_does_not_take_are_refused() {
    let node = Node::new();
    for (words, text) in [
        (vec!["restore", "99", CONTAINER], "vmid: invalid format - value does not look like a valid VM ID"),
        (vec!["restore", "x", CONTAINER], "vmid: type check ('integer') failed - got 'x'"),
        (vec!["restore", "900"], "400 not enough arguments"),
        (vec!["restore", "900", CONTAINER, "--nonsense"], "Unknown option: nonsense\n400 unable to parse option"),
        (
            vec!["restore", "900", "pbs:backup/ct/a_b/2026-01-01T00:00:00Z"],
            "unable to parse PBS volume name 'backup/ct/a_b/2026-01-01T00:00:00Z'",
        ),
        (vec!["restore", "900", "nope:backup/ct/100/2026-01-01T00:00:00Z"], "storage 'nope' does not exist"),
        (vec!["restore", "900", CONTAINER, "--storage", "nope"], "storage 'nope' does not exist"),
        (
            vec!["restore", "900", CONTAINER, "--storage", "pbs"],
            "storage: storage 'pbs' does not support container directories",
        ),
        (vec!["restore", "900", MACHINE, "--storage", "local"], "got unexpected backup format 'pbs-vm'"),
    ] {
        let refused = node.call("usr/sbin/pct", &words);
        assert_eq!(refused.status.code(), Some(255), "{words:?}");
        assert!(said(&refused).contains(text), "{words:?}: {}", said(&refused));
    }
    let members = node.text("etc/pve/.members").unwrap();
    fs::write(node.path("etc/pve/.members"), members.replace("\"quorate\": 1", "\"quorate\": 0")).unwrap();
    let refused = node.call("usr/sbin/pct", &["restore", "900", CONTAINER, "--storage", "local"]);
    assert_eq!(said(&refused), "cluster not ready - no quorum?\n");
}
