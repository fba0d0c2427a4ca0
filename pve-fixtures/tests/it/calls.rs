//! What the client and `pbs-restore` are given, as PVE's storage plugin gives it to them.

use std::process::Command;

use crate::support::{CONTAINER, MACHINE, Node, SECRET, program, said};

#[test]
fn the_client_gets_pves_arguments_and_environment() {
    let node = Node::new();
    let done = node.call("usr/sbin/pct", &["restore", "900", CONTAINER, "--storage", "local"]);
    assert!(done.status.success(), "{done:?}");
    let calls = node.calls();
    let firsts: Vec<String> = calls.iter().map(|call| without_descriptor(call.lines().next().unwrap())).collect();
    let snapshot = "ct/100/2026-01-01T00:00:00Z";
    let from = "--repository backup@pbs!box1@127.0.0.1:store";
    let key = "--crypt-mode=encrypt --keyfd=N";
    let rootfs = node.path("var/lib/vz/images/900/subvol-900-disk-0.subvol");
    let firewall = node.path("etc/pve/firewall/900.fw");
    assert_eq!(
        firsts,
        [
            format!("restore {key} {snapshot} pct.conf - {from}"),
            format!("restore {key} {snapshot} root.pxar {} --allow-existing-dirs {from}", rootfs.display()),
            format!("restore {key} {snapshot} pct.conf - {from}"),
            format!("files {snapshot} --output-format=json {from}"),
            format!("restore {key} {snapshot} fw.conf {} {from}", firewall.display()),
        ]
    );
    for call in &calls {
        let environment: Vec<&str> = call.lines().skip(1).collect();
        assert_eq!(
            environment,
            [
                "LC_ALL=C",
                "PBS_FINGERPRINT=",
                &format!("PBS_PASSWORD={SECRET}"),
                "PROXMOX_OUTPUT_NO_BORDER=1",
                "PROXMOX_OUTPUT_NO_HEADER=1"
            ]
        );
    }
    assert_eq!(node.text("etc/pve/firewall/900.fw").as_deref(), Some("[OPTIONS]\nenable: 1\n"));
    assert_eq!(
        String::from_utf8_lossy(&done.stdout)
            .lines()
            .filter(|line| !line.contains("ingerprint") && !line.starts_with("Using"))
            .collect::<Vec<_>>(),
        [
            &format!("recovering backed-up configuration from '{CONTAINER}'"),
            &format!("restoring '{CONTAINER}' now.."),
            "merging backed-up and given configuration..",
        ]
    );
}

#[test]
fn pbs_restore_gets_pves_arguments() {
    let node = Node::new();
    let wrapper = node.path("usr/bin/pbs-restore");
    let was = std::fs::read_to_string(&wrapper).unwrap();
    let seen = node.below("seen");
    let text = format!(
        "#!/bin/sh\necho \"$* $PBS_PASSWORD\" > '{}'\n{}",
        seen.display(),
        was.trim_start_matches("#!/bin/sh\n")
    );
    program(&wrapper, &text);
    let done = node.call("usr/sbin/qmrestore", &[MACHINE, "901", "--storage", "local"]);
    assert!(done.status.success(), "{done:?}");
    let arguments = format!(
        "--repository backup@pbs!box1@127.0.0.1:store vm/101/2026-01-01T00:00:00Z drive-scsi0.img.fidx {} --verbose \
         --format raw --keyfile {} --skip-zero",
        node.path("var/lib/vz/images/901/vm-901-disk-0.raw").display(),
        node.path("etc/pve/priv/storage/pbs.enc").display()
    );
    assert_eq!(std::fs::read_to_string(seen).unwrap(), format!("{arguments} {SECRET}\n"));
    let told = format!("restore proxmox backup image: /usr/bin/pbs-restore {arguments}\n");
    assert!(String::from_utf8_lossy(&done.stdout).contains(&told), "{done:?}");
    assert_eq!(std::fs::read(node.path("var/lib/vz/images/901/vm-901-disk-0.raw")).unwrap(), vec![7; 5 << 20]);
}

#[test]
fn pbs_restore_refuses_in_its_own_words() {
    let node = Node::new();
    let target = node.below("target");
    std::fs::write(&target, "").unwrap();
    let restore = |words: &[&str]| {
        Command::new(node.path("usr/bin/pbs-restore")).args(words).env("PBS_PASSWORD", "x").output().unwrap()
    };
    let target = target.to_str().unwrap();
    let repository = "backup@pbs!box1@127.0.0.1:store";
    let vm = "vm/101/2026-01-01T00:00:00Z";
    for (words, text) in [
        (vec![vm], "missing arguments\n"),
        (vec![vm, "drive-scsi0.img.fidx", target], "no repository specified\n"),
        (
            vec!["--repository", repository, vm, "drive-scsi0.img.fidx", target],
            "restore failed (connection error): missing key - manifest was created with key ",
        ),
        (
            vec!["--repository", repository, "vm/101/2026-01-01T00:00:01Z", "drive-scsi0.img.fidx", target],
            "restore failed (connection error): snapshot vm/101/2026-01-01T00:00:01Z does not exist.\n",
        ),
        (
            vec!["--repository", "backup@pbs!box1@127.0.0.1:nope", vm, "drive-scsi0.img.fidx", target],
            "restore failed (connection error): no such datastore 'nope'\n",
        ),
    ] {
        let refused = restore(&words);
        assert_eq!(refused.status.code(), Some(255), "{words:?}");
        assert!(said(&refused).contains(text), "{words:?}: {}", said(&refused));
    }
}

#[test]
fn every_help_says_that_it_is_a_fixture() {
    for program in [
        env!("CARGO_BIN_EXE_fixture-node"),
        env!("CARGO_BIN_EXE_fixture-pct"),
        env!("CARGO_BIN_EXE_fixture-qmrestore"),
        env!("CARGO_BIN_EXE_fixture-pvesm"),
        env!("CARGO_BIN_EXE_fixture-pbs-restore"),
    ] {
        let help = Command::new(program).arg("--help").output().unwrap();
        assert!(help.status.success() && help.stdout.starts_with(b"This is a FIXTURE"), "{help:?}");
    }
}

fn without_descriptor(line: &str) -> String {
    let words = line.split(' ').map(|word| if word.starts_with("--keyfd=") { "--keyfd=N" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
