//! Guests restored through PVE's programs, played by fixtures, and compared with what was backed up.

use std::{fs, os::unix::fs::MetadataExt as _, process::Command};

use pbs_driver::{
    Failure,
    failure::Thing,
    pve::{guest_config::Kind, guest_failure::GuestFailure, guests, progress::Step},
};
use tenwords_protocol::fingerprint::Fingerprint;

use crate::{
    guest_world::{CONFIG, CONTAINER, MACHINE, World, go_on, is_root, patient, portrait, run},
    place::{KEYS, TOKEN, all_words},
};

#[test]
fn a_container_comes_back_file_by_file() {
    let world = World::new();
    let tree = world.back_up_container(CONFIG);
    // The client stays, when it has extracted the tree, until the observer has seen that it wrote.
    let go = world.place.scratch().join("go-on");
    run(Command::new("mkfifo").arg(&go));
    world.client_begins_with(&format!(
        "case \"$*\" in *' root.pxar '*) [ -n \"$INNER\" ] || {{ INNER=1 \"$0\" \"$@\" || exit; read x < '{}'; exit 0; }} ;; esac",
        go.display()
    ));
    let (mut steps, mut written) = (Vec::new(), 0);
    let output = world
        .restore(CONTAINER, 900, &mut |progress| {
            if steps.last() != Some(&progress.step) {
                steps.push(progress.step);
            }
            if progress.step == Step::Tree && progress.written > 0 && written == 0 {
                written = progress.written;
                fs::write(&go, "go\n").unwrap();
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert!(written > 0 && steps.contains(&Step::Tree), "{steps:?}, {written} bytes");
    let order = [Step::Start, Step::Configuration, Step::Tree, Step::Merging];
    let places: Vec<_> = steps.iter().map(|step| order.iter().position(|known| known == step).unwrap()).collect();
    assert!(places.is_sorted(), "{steps:?}");
    assert_eq!(portrait(&tree), portrait(&world.rootfs(900)));
    let config = world.config("lxc", 900).unwrap();
    assert!(config.contains("rootfs: local:900/subvol-900-disk-0.subvol,size=8G\n"), "{config}");
    assert!(config.contains("hostname: web\n") && !config.contains("lock"), "{config}");
    assert_eq!(output.config, world.path("etc/pve/nodes/pve/lxc/900.conf"));
    assert_eq!((output.said, output.warnings), (Vec::new(), None));
    let there = guests::existing(&world.node).unwrap();
    assert_eq!(there.iter().map(|guest| (guest.vmid, guest.kind)).collect::<Vec<_>>(), [(900, Kind::Container)]);
    assert_eq!(there[0].name.as_deref(), Some("web"));
    world.place.assert_clean();
}

#[test]
fn what_lies_on_a_mount_point_goes_to_its_own_volume() {
    let world = World::new();
    let config = format!("{CONFIG}mp0: local-lvm:vm-100-disk-1,mp=/etc/deep,backup=1,size=1G\n");
    let tree = world.back_up_container(&config);
    world.restore(CONTAINER, 900, &mut go_on).unwrap();
    let volume = world.path("var/lib/vz/images/900/subvol-900-disk-1.subvol");
    assert_eq!(fs::read(volume.join("the-same")).unwrap(), fs::read(tree.join("etc/hostname")).unwrap());
    assert_eq!(fs::read_dir(world.rootfs(900).join("etc/deep")).unwrap().count(), 0);
    assert!(world.config("lxc", 900).unwrap().contains("mp0: local:900/subvol-900-disk-1.subvol,mp=/etc/deep"));
}

#[test]
fn a_machine_comes_back_byte_by_byte_and_sparse() {
    let world = World::new();
    let disk = world.back_up_machine();
    // Long enough at each disk that the observer, who is asked a few times a second, sees its lines.
    let slow = world.path("usr/bin/pbs-restore");
    let real = world.path("usr/bin/pbs-restore.fixture");
    fs::rename(&slow, &real).unwrap();
    let go = world.place.scratch().join("go-on");
    run(Command::new("mkfifo").arg(&go));
    world.instead_of(&slow, &format!("'{}' \"$@\" || exit; read x < '{}'", real.display(), go.display()));
    let mut seen = None;
    world
        .restore(MACHINE, 901, &mut |progress| {
            if let Some(disk) = progress.disk.as_ref().filter(|disk| disk.percent == 100 && seen.is_none()) {
                seen = Some((progress.step, disk.clone(), progress.written));
                fs::write(&go, "go\n").unwrap();
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let (step, progress, written) = seen.unwrap();
    assert_eq!((step, progress.archive.as_str()), (Step::Disk(1), "drive-scsi0.img.fidx"));
    assert_eq!((progress.bytes, progress.zeroes), (20 << 20, 16 << 20));
    assert!(written >= 3 << 20, "{written} bytes are less than the disk holds");
    let restored = world.path("var/lib/vz/images/901/vm-901-disk-0.raw");
    assert!(fs::read(&disk).unwrap() == fs::read(&restored).unwrap(), "the disks differ");
    assert!(fs::metadata(&restored).unwrap().blocks() * 512 <= 16 << 20, "zeros were written");
    let config = world.config("qemu-server", 901).unwrap();
    assert!(config.contains("scsi0: local:901/vm-901-disk-0.raw,size=20M\n"), "{config}");
    assert!(!config.contains("11111111-1111") && !config.contains("#qmdump#"), "{config}");
    world.place.assert_clean();
}

#[test]
fn a_number_that_is_taken_is_refused_before_anything_and_by_the_tool_itself() {
    let world = World::new();
    world.back_up_container(CONFIG);
    world.back_up_machine();
    world.restore(CONTAINER, 900, &mut go_on).unwrap();
    let before = portrait(&world.path("var/lib/vz"));
    let config = world.config("lxc", 900);
    for backup in [CONTAINER, MACHINE] {
        let error = world.restore(backup, 900, &mut go_on).unwrap_err();
        assert!(matches!(*error.failure, GuestFailure::Exists { vmid: 900, .. }), "{error:?}");
        assert!(error.failure.to_string().contains("the container \"web\" on node pve"), "{}", error.failure);
        assert!(error.left.is_nothing() && error.remedy().is_empty(), "{:?}", error.left);
    }
    assert_eq!(guests::next_free(&world.node, 900, &[901]).unwrap(), Some(902));

    // Hidden from us, so that the tool's own refusal is met.
    let hidden = world.path("etc/pve/nodes/pve/lxc/900.conf");
    for (backup, program, text) in [
        (CONTAINER, "usr/sbin/pct", "echo \"CT 900 already exists on node 'pve'\" >&2; exit 255"),
        (
            MACHINE,
            "usr/sbin/qmrestore",
            "echo \"unable to restore VM 900 - CT 900 already exists on node 'pve'\" >&2; exit 255",
        ),
    ] {
        let words = if backup == CONTAINER {
            vec!["restore", "900", "pbs:backup/ct/100/2026-01-01T00:00:00Z", "--storage", "local"]
        } else {
            vec!["pbs:backup/vm/101/2026-01-01T00:00:00Z", "900", "--storage", "local"]
        };
        let refused = Command::new(world.path(program)).args(words).output().unwrap();
        let own = Command::new("/bin/sh").args(["-c", text]).output().unwrap();
        assert_eq!((refused.status.code(), refused.stderr), (Some(255), own.stderr));
        // The same words, where only the tool knows it.
        world.instead_of(&world.path(program), text);
        let error = world.restore(backup, 950, &mut go_on).unwrap_err();
        assert!(matches!(*error.failure, GuestFailure::Exists { .. }), "{error:?}");
        assert!(error.left.is_nothing());
    }
    assert_eq!(portrait(&world.path("var/lib/vz")), before);
    assert_eq!(fs::read_to_string(hidden).ok(), config);
}

#[test]
fn what_somebody_else_made_meanwhile_is_not_called_ours() {
    let world = World::new();
    world.back_up_container(CONFIG);
    let config = world.path("etc/pve/nodes/pve/lxc/900.conf");
    for (text, expected) in [
        ("CT 900 already exists on node 'pve'", "Exists"),
        ("unable to restore CT 900 - CT is locked (create)", "Locked"),
        ("unable to restore CT 900 - can't lock file '/run/lock/lxc/pve-config-900.lock' - got timeout", "Locked"),
    ] {
        let script = format!("echo 'lock: create' > '{}'; echo \"{text}\" >&2; exit 255", config.display());
        world.instead_of(&world.node.paths().pct, &script);
        let error = world.restore(CONTAINER, 900, &mut go_on).unwrap_err();
        assert!(format!("{:?}", error.failure).starts_with(expected), "{error:?}");
        assert!(error.left.is_nothing() && error.remedy().is_empty(), "{:?}", error.left);
        fs::remove_file(&config).unwrap();
    }
}

#[test]
fn a_storage_that_is_not_there_or_not_meant_for_it_is_refused_before_anything() {
    let world = World::new();
    world.back_up_machine();
    fs::create_dir(world.path("var/iso")).unwrap();
    run(Command::new(&world.node.paths().pvesm).args(["add", "dir", "iso", "--path", "/var/iso", "--content", "iso"]));
    let try_it = |target: &str| world.restore_to(MACHINE, 901, Some(target), patient(), &mut go_on).unwrap_err();
    let error = try_it("nope");
    assert!(matches!(&*error.failure, GuestFailure::StorageMissing { storage } if storage == "nope"), "{error:?}");
    let error = try_it("iso");
    assert!(matches!(*error.failure, GuestFailure::StorageUnusable { .. }), "{error:?}");
    assert_eq!(world.config("qemu-server", 901), None);

    // Without a target the one in the backup counts, and only PVE reads that: it leaves the number taken.
    let error = world.restore_to(MACHINE, 901, None, patient(), &mut go_on).unwrap_err();
    assert!(matches!(&*error.failure, GuestFailure::StorageMissing { storage } if storage == "local-lvm"), "{error:?}");
    assert_eq!(error.left.config, Some(world.path("etc/pve/nodes/pve/qemu-server/901.conf")));
    assert_eq!(error.remedy(), ["qm destroy 901 --destroy-unreferenced-disks 0"]);
    world.place.assert_clean();
}

#[test]
fn a_backup_that_is_gone_is_named_as_the_client_names_it() {
    let world = World::new();
    world.back_up_container(CONFIG);
    let gone = CONTAINER.replace("00Z", "01Z");
    let error = world.restore(&gone, 900, &mut go_on).unwrap_err();
    let GuestFailure::Client(failure) = &*error.failure else { panic!("{error:?}") };
    assert!(matches!(failure, Failure::NotFound { what: Thing::Snapshot, .. }), "{failure:?}");
    assert!(error.left.is_nothing(), "{:?}", error.left);
    assert_eq!(world.config("lxc", 900), None);
}

#[test]
fn a_key_that_is_not_there_or_another_ones_is_named() {
    let world = World::new();
    world.back_up_container(CONFIG);
    let key = world.path("etc/pve/priv/storage/pbs.enc");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let error = world.restore(CONTAINER, 900, &mut go_on).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::KeyMissing { .. }), "{error:?}");
    fs::write(&key, kept).unwrap();

    let other = Fingerprint::from_bytes([7; 32]);
    let error = world.restore_under(CONTAINER, 900, Some("local"), patient(), Some(other), &mut go_on).unwrap_err();
    let GuestFailure::NotUnderOurKey { expected, seen } = &*error.failure else { panic!("{error:?}") };
    assert_eq!((*expected, seen.as_slice()), (other, &[KEYS.fingerprint.shortened()][..]));
    // It is there, and must not be started.
    assert!(error.left.config.is_some() && !error.left.volumes.is_empty(), "{:?}", error.left);
    assert_eq!(error.remedy(), ["pct destroy 900 --destroy-unreferenced-disks 0"]);
}

#[test]
fn a_storage_without_room_is_named_and_what_was_made_is_gone() {
    if !is_root() {
        println!("SKIPPED: only root can mount a small file system");
        return;
    }
    let world = World::new();
    world.back_up_container(CONFIG);
    world.back_up_machine();
    let images = world.path("var/lib/vz/images");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&images).output().unwrap();
    if !mounted.status.success() {
        println!("SKIPPED: this place does not let root mount");
        return;
    }
    let outcomes = [world.restore(CONTAINER, 900, &mut go_on), world.restore(MACHINE, 901, &mut go_on)];
    let rest = fs::read_dir(&images).unwrap().count();
    run(Command::new("umount").arg(&images));
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert!(matches!(*error.failure, GuestFailure::StorageFull), "{error:?} {:?}", error.failure);
        assert_eq!(error.left.volumes, Vec::<String>::new());
    }
    assert_eq!(rest, 0, "volumes are left");
}

#[test]
fn no_secret_is_in_arguments_environment_or_words() {
    let world = World::new();
    world.back_up_container(CONFIG);
    let seen = world.place.scratch().join("seen");
    world.instead_of(
        &world.node.paths().pct,
        &format!(
            "tr '\\0' '\\n' < /proc/self/environ > '{0}'; echo \"$*\" >> '{0}'; echo \"the token is {TOKEN}\"; exit 1",
            seen.display()
        ),
    );
    let error = world.restore(CONTAINER, 900, &mut go_on).unwrap_err();
    assert!(!all_words(&error).contains(TOKEN) && !format!("{:?}", error.said).contains(TOKEN), "{error:?}");
    let seen = fs::read_to_string(seen).unwrap();
    assert!(!seen.contains(TOKEN), "{seen}");
    let (environment, arguments) = seen.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(arguments, format!("restore 900 pbs:backup/{CONTAINER} --storage local"));
    let names: Vec<&str> = environment.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for name in ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOME"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // The storage is pinned: nobody below trusts what the system trusts.
    for empty in ["SSL_CERT_FILE=/dev/null", "SSL_CERT_DIR=/dev/null"] {
        assert!(environment.lines().any(|line| line == empty), "{environment}");
    }
    let ours = ["PATH", "LC_ALL", "SHELL", "HOME", "PWD", "_", "SHLVL", "OLDPWD"];
    let rest: Vec<_> =
        names.iter().filter(|n| !ours.contains(n) && !n.starts_with("XDG_") && !n.starts_with("SSL_")).collect();
    assert!(rest.is_empty(), "{rest:?}");
}
