//! Guests in whose place a restore comes: only exactly the one that was named, and what is left when it is
//! cut off.

use std::{fs, ops::ControlFlow, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pbs_driver::pve::{
    former::AsFound,
    guest_config::Kind,
    guest_failure::GuestFailure,
    leftover::Remains,
    pool::PoolId,
    progress::GuestProgress,
    replaced::{self, Former, OwnVolume, Replaces, There},
    restore::GuestError,
    torn::{self, Found},
};
use tenwords_protocol::hash::Sha256;

use crate::guest_world::{CONFIG, CONTAINER, MACHINE, World, go_on, portrait, run};

const CT: (Kind, u32) = (Kind::Container, 900);
const VM: (Kind, u32) = (Kind::Machine, 901);
const CT_CONF: &str = "etc/pve/nodes/pve/lxc/900.conf";
const VM_CONF: &str = "etc/pve/nodes/pve/qemu-server/901.conf";

/// Container 900 and virtual machine 901, restored and changed since.
fn world() -> World {
    let world = World::new();
    world.back_up_container(CONFIG);
    world.back_up_machine();
    world.restore(CONTAINER, 900, &mut go_on).unwrap();
    world.restore(MACHINE, 901, &mut go_on).unwrap();
    fs::write(world.rootfs(900).join("since"), "the backup").unwrap();
    world
}

fn there(world: &World, vmid: u32) -> There {
    replaced::there(&world.node, world.private(), vmid).unwrap().unwrap()
}

fn as_it_lies(world: &World, conf: &str) -> Replaces {
    Replaces { config_sha256: Sha256::of(&fs::read(world.path(conf)).unwrap()) }
}

fn pool() -> PoolId {
    PoolId::new("tenwords-none").unwrap()
}

/// How it is found right before it is replaced.
fn found(world: &World, (kind, vmid): (Kind, u32), conf: &str) -> AsFound {
    let listed = torn::volumes(&world.node, world.private(), vmid).unwrap();
    replaced::may_be_replaced(&world.node, world.private(), (kind, vmid), &as_it_lies(world, conf), &listed).unwrap()
}

fn look(world: &World, (kind, vmid): (Kind, u32), former: &AsFound) -> Former {
    replaced::look(&world.node, world.private(), (kind, vmid), &pool(), former).unwrap()
}

/// Notes what PVE's programs are called with.
fn listen(world: &World, programs: &[&Path]) -> std::path::PathBuf {
    let log = world.place.scratch().join("called");
    for program in programs {
        let text = fs::read_to_string(program).unwrap();
        let text = text.trim_start_matches("#!/bin/sh\n");
        world.instead_of(program, &format!("echo \"$*\" >> '{}'\n{text}", log.display()));
    }
    log
}

/// What was called and can change something.
fn restores(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.contains("backup/")).map(str::to_owned).collect()
}

#[test]
fn what_lies_at_a_number_is_told() {
    let world = world();
    assert_eq!(replaced::there(&world.node, world.private(), 950).unwrap(), None);
    let mut expected = There {
        kind: Kind::Container,
        node: "pve".to_owned(),
        is_here: true,
        name: Some("web".to_owned()),
        is_running: Some(false),
        is_protected: false,
        config_sha256: Some(as_it_lies(&world, CT_CONF).config_sha256),
        volumes: vec![OwnVolume { id: "local:900/subvol-900-disk-0.subvol".to_owned(), bytes: None }],
    };
    let mut found = there(&world, 900);
    // A folder's size is whatever its storage says.
    found.volumes[0].bytes = None;
    assert_eq!(found, expected);
    let machine = there(&world, 901);
    assert_eq!((machine.kind, machine.name.as_deref()), (Kind::Machine, Some("db")));
    let disk = OwnVolume { id: "local:901/vm-901-disk-0.raw".to_owned(), bytes: Some(20 << 20) };
    assert_eq!(machine.volumes, [disk]);

    run(std::process::Command::new(&world.node.paths().pct).args(["start", "900"]));
    let conf = world.path(CT_CONF);
    fs::write(&conf, format!("{}protection: 1\n", fs::read_to_string(&conf).unwrap())).unwrap();
    let mut found = there(&world, 900);
    assert_eq!((found.is_running, found.is_protected), (Some(true), true));
    // On another node nobody can be asked.
    let far = world.path("etc/pve/nodes/far/lxc/900.conf");
    fs::create_dir_all(far.parent().unwrap()).unwrap();
    fs::rename(&conf, &far).unwrap();
    let list = world.path("etc/pve/.vmlist");
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replace("\"900\": { \"node\": \"pve\"", "\"900\": { \"node\": \"far\"")).unwrap();
    found = there(&world, 900);
    expected.config_sha256 = Some(Sha256::of(&fs::read(&far).unwrap()));
    (expected.node, expected.is_here, expected.is_running, expected.is_protected) =
        ("far".to_owned(), false, None, true);
    assert_eq!(found, expected);
}

#[test]
fn exactly_the_guest_that_was_named_is_replaced_and_nothing_of_it_stays() {
    let world = world();
    let tree = world.place.scratch().join("tree");
    let output = world.replace(CONTAINER, 900, as_it_lies(&world, CT_CONF), &mut go_on).unwrap();
    assert_eq!(portrait(&tree), portrait(&world.path("var/lib/vz/images/900/subvol-900-disk-1.subvol")));
    assert!(!world.rootfs(900).exists(), "the old volume is there");
    let config = world.config("lxc", 900).unwrap();
    assert!(config.contains("subvol-900-disk-1.subvol") && !config.contains("lock"), "{config}");
    assert_eq!(output.removal, ["pct destroy 900 --destroy-unreferenced-disks 0"]);

    let disk = world.path("var/lib/vz/images/901/vm-901-disk-0.raw");
    fs::write(&disk, "changed").unwrap();
    let output = world.replace(MACHINE, 901, as_it_lies(&world, VM_CONF), &mut go_on).unwrap();
    assert!(fs::read(&disk).unwrap() == fs::read(world.place.scratch().join("disk.raw")).unwrap());
    assert_eq!(output.removal, ["qm destroy 901 --destroy-unreferenced-disks 0"]);
    assert_eq!(fs::read_dir(world.path("var/lib/vz/images/901")).unwrap().count(), 1);
    world.place.assert_clean();
}

/// The wall: without the value that says which guest, the option is never there.
#[test]
fn force_is_said_for_a_named_guest_only() {
    let world = world();
    let log = listen(&world, &[&world.node.paths().pct, &world.node.paths().qmrestore]);
    for (backup, free, taken) in [(CONTAINER, 910, 900), (MACHINE, 911, 901)] {
        world.restore(backup, free, &mut go_on).unwrap();
        let error = world.restore(backup, taken, &mut go_on).unwrap_err();
        assert!(matches!(*error.failure, GuestFailure::Exists { .. }), "{error:?}");
    }
    let called = restores(&log);
    assert!(called.len() == 2 && !called.iter().any(|line| line.contains("force")), "{called:?}");
    world.replace(CONTAINER, 900, as_it_lies(&world, CT_CONF), &mut go_on).unwrap();
    world.replace(MACHINE, 901, as_it_lies(&world, VM_CONF), &mut go_on).unwrap();
    assert_eq!(
        restores(&log)[2..],
        [
            format!("restore 900 pbs:backup/{CONTAINER} --storage local --force 1"),
            format!("pbs:backup/{MACHINE} 901 --storage local --force 1"),
        ]
    );
}

#[test]
fn whatever_is_not_as_it_was_named_is_refused_before_pve_is_asked() {
    let world = world();
    let log = listen(&world, &[&world.node.paths().pct, &world.node.paths().qmrestore]);
    let images = portrait(&world.path("var/lib/vz"));
    let (ct, vm) = (as_it_lies(&world, CT_CONF), as_it_lies(&world, VM_CONF));
    let refused = |backup: &str, vmid: u32, replaces: Replaces| -> GuestError {
        let before = (world.config("lxc", 900), world.config("qemu-server", 901));
        let error = world.replace(backup, vmid, replaces, &mut go_on).unwrap_err();
        assert!(error.left.is_nothing() && error.remedy().is_empty(), "{:?}", error.left);
        assert_eq!((world.config("lxc", 900), world.config("qemu-server", 901)), before);
        assert_eq!(portrait(&world.path("var/lib/vz")), images);
        assert_eq!(restores(&log), Vec::<String>::new());
        error
    };
    // Another guest's hash, of another kind, on a number without a guest.
    let error = refused(CONTAINER, 900, vm);
    assert!(
        matches!(*error.failure, GuestFailure::Changed { vmid: 900, found } if found == ct.config_sha256),
        "{error:?}"
    );
    let error = refused(MACHINE, 900, ct);
    assert!(matches!(&*error.failure, GuestFailure::Another { there, .. } if there.contains("\"web\"")), "{error:?}");
    let error = refused(CONTAINER, 950, ct);
    assert!(matches!(*error.failure, GuestFailure::Gone { vmid: 950 }), "{error:?}");

    // It runs.
    for (program, backup, vmid, replaces) in
        [(&world.node.paths().pct, CONTAINER, 900, ct), (&world.node.paths().qm, MACHINE, 901, vm)]
    {
        run(std::process::Command::new(program).args(["start", &vmid.to_string()]));
        let error = refused(backup, vmid, replaces);
        assert!(matches!(*error.failure, GuestFailure::Running { .. }), "{error:?}");
        let command = format!("{} shutdown {vmid}", program.file_name().unwrap().display());
        assert!(error.failure.to_string().contains(&command), "{}", error.failure);
        assert!(error.next_step().contains(" shutdown`"), "{}", error.next_step());
        run(std::process::Command::new(program).args(["stop", &vmid.to_string()]));
    }

    // It changed; and as it is now it is protected.
    let conf = world.path(CT_CONF);
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("protection: 1\n{text}")).unwrap();
    assert!(matches!(*refused(CONTAINER, 900, ct).failure, GuestFailure::Changed { .. }));
    let error = refused(CONTAINER, 900, as_it_lies(&world, CT_CONF));
    assert!(matches!(*error.failure, GuestFailure::Protected), "{error:?}");
    assert!(error.next_step().contains("--protection 0"), "{}", error.next_step());
    // Somebody works on it.
    fs::write(&conf, format!("lock: backup\n{text}")).unwrap();
    let error = refused(CONTAINER, 900, as_it_lies(&world, CT_CONF));
    assert!(matches!(&*error.failure, GuestFailure::Locked { said } if said == "backup"), "{error:?}");
    fs::write(&conf, &text).unwrap();

    // It moved to another node.
    let far = world.path("etc/pve/nodes/far/lxc/900.conf");
    fs::create_dir_all(far.parent().unwrap()).unwrap();
    fs::rename(&conf, &far).unwrap();
    let error = refused(CONTAINER, 900, ct);
    assert!(matches!(&*error.failure, GuestFailure::Another { there, .. } if there.contains("node far")), "{error:?}");
}

/// Between the look and PVE's own there is a moment: its refusals are named too, and nothing is called left.
#[test]
fn pves_own_refusals_of_a_forced_restore_are_named() {
    let world = world();
    let replaces = as_it_lies(&world, CT_CONF);
    let pct = world.node.paths().pct.clone();
    let text = fs::read_to_string(&pct).unwrap();
    for (words, expected) in [
        ("can't overwrite running container", "Running"),
        ("unable to restore CT 900 - protection mode enabled", "Protected"),
        ("unable to restore CT 900 - CT is locked (backup)", "Locked"),
    ] {
        let rest = text.trim_start_matches("#!/bin/sh\n");
        world.instead_of(&pct, &format!("[ \"$1\" != restore ] || {{ echo \"{words}\" >&2; exit 255; }}\n{rest}"));
        let error = world.replace(CONTAINER, 900, replaces, &mut go_on).unwrap_err();
        assert!(format!("{:?}", error.failure).starts_with(expected), "{error:?}");
        assert!(error.left.is_nothing() && error.remedy().is_empty(), "{:?}", error.left);
    }
}

#[test]
fn a_failure_before_anything_was_taken_away_leaves_the_old_guest_and_never_calls_it_left_behind() {
    let world = world();
    let before = portrait(&world.path("var/lib/vz"));
    for (backup, vmid, conf) in [(CONTAINER, 900, CT_CONF), (MACHINE, 901, VM_CONF)] {
        let replaces = as_it_lies(&world, conf);
        let error = world.replace(&backup.replace("00Z", "01Z"), vmid, replaces, &mut go_on).unwrap_err();
        assert!(matches!(*error.failure, GuestFailure::Client(_)), "{error:?}");
        assert_eq!(error.left.replaced, Some(Remains::Whole), "{:?}", error.left);
        assert!(error.left.is_nothing() && error.remedy().is_empty(), "{:?}", error.left);
        assert_eq!(as_it_lies(&world, conf), replaces);
    }
    assert_eq!(portrait(&world.path("var/lib/vz")), before);
}

#[test]
fn a_failure_in_the_middle_leaves_neither_guest_and_says_so() {
    let world = world();
    world.client_begins_with("case \"$*\" in *root.pxar*) echo 'Error: it breaks' >&2; exit 255;; esac");
    let error = world.replace(CONTAINER, 900, as_it_lies(&world, CT_CONF), &mut go_on).unwrap_err();
    assert_eq!(error.left.replaced, Some(Remains::Nothing));
    assert!(error.left.is_nothing() && error.remedy().is_empty(), "{:?}", error.left);
    assert_eq!((world.config("lxc", 900), world.rootfs(900).exists()), (None, false));

    world.instead_of(&world.path("usr/bin/pbs-restore"), "echo 'restore failed: it breaks' >&2; exit 255");
    let error = world.replace(MACHINE, 901, as_it_lies(&world, VM_CONF), &mut go_on).unwrap_err();
    assert_eq!(error.left.replaced, Some(Remains::Nothing));
    assert_eq!(error.remedy(), ["qm destroy 901 --destroy-unreferenced-disks 0"]);
}

/// Replaces, and kills PVE's program with SIGKILL once whoever hangs is there.
fn killed(world: &World, backup: &str, vmid: u32, replaces: Replaces, program: &Path) -> GuestError {
    let pid = world.place.scratch().join("program");
    let text = fs::read_to_string(program).unwrap();
    let rest = text.trim_start_matches("#!/bin/sh\n");
    world.instead_of(program, &format!("echo $$ > '{}'\n{rest}", pid.display()));
    let mut hit = |_: &GuestProgress| {
        if world.place.left("grandchildren").is_some() {
            let pid: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
            // The second time it is gone already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        ControlFlow::Continue(())
    };
    let error = world.replace(backup, vmid, replaces, &mut hit).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::Interrupted), "{error:?}");
    world.instead_of(program, rest);
    world.client_begins_with("");
    world.place.assert_clean();
    error
}

fn hang(world: &World) -> String {
    let pids = world.place.scratch().join("grandchildren");
    format!("echo $$ > '{0}.new'; mv '{0}.new' '{0}'; exec sleep 1000", pids.display())
}

#[test]
fn killed_in_the_middle_of_a_container_what_the_restore_made_is_cleared_and_somebodys_volume_stays() {
    let world = world();
    let theirs = world.path("var/lib/vz/images/900/vm-900-disk-9.raw");
    fs::write(&theirs, "somebody's").unwrap();
    let (replaces, old) = (as_it_lies(&world, CT_CONF), found(&world, CT, CT_CONF));
    assert_eq!(look(&world, CT, &old), Former::Whole);
    let before = torn::volumes(&world.node, world.private(), 900).unwrap();
    assert_eq!(before.volumes.len(), 2);
    let before = before.without_those_of(&old);
    assert_eq!(before.volumes, ["local:900/vm-900-disk-9.raw".to_owned()].into());

    world.client_begins_with(&format!("case \"$*\" in *root.pxar*) {};; esac", hang(&world)));
    let pct = world.node.paths().pct.clone();
    let error = killed(&world, CONTAINER, 900, replaces, &pct);
    assert_eq!((error.left.replaced, error.left.killed), (Some(Remains::Nothing), true));
    assert_eq!(error.left.volumes, ["local:900/subvol-900-disk-1.subvol"]);
    assert_eq!(error.left.others, ["local:900/vm-900-disk-9.raw"]);

    let Former::Gone(Found::Unfinished { config_sha256 }) = look(&world, CT, &old) else {
        panic!("{:?}", look(&world, CT, &old))
    };
    // Not a former guest that could be given back.
    replaced::give_back(&world.node, world.private(), CT, &old, &before).unwrap_err();
    torn::clear(&world.node, world.private(), CT, config_sha256, &before).unwrap();
    assert_eq!(look(&world, CT, &old), Former::Gone(Found::Nothing));
    let left = torn::volumes(&world.node, world.private(), 900).unwrap().volumes;
    assert_eq!(left, before.volumes);
    assert_eq!(fs::read_to_string(theirs).unwrap(), "somebody's");
    world.restore(CONTAINER, 900, &mut go_on).unwrap();
}

#[test]
fn killed_in_the_middle_of_a_machine_the_disk_of_the_same_name_is_cleared_too() {
    let world = world();
    let (replaces, old) = (as_it_lies(&world, VM_CONF), found(&world, VM, VM_CONF));
    let all = torn::volumes(&world.node, world.private(), 901).unwrap();
    let before = all.clone().without_those_of(&old);
    let pbs_restore = world.path("usr/bin/pbs-restore");
    let kept = fs::read_to_string(&pbs_restore).unwrap();
    world.instead_of(&pbs_restore, &hang(&world));
    let qmrestore = world.node.paths().qmrestore.clone();
    let error = killed(&world, MACHINE, 901, replaces, &qmrestore);
    assert_eq!(error.left.replaced, Some(Remains::Nothing));
    // The old disk's name, given out again.
    assert_eq!(error.left.volumes, ["local:901/vm-901-disk-0.raw"]);
    assert!(error.left.others.is_empty(), "{:?}", error.left);
    let Former::Gone(Found::Unfinished { config_sha256 }) = look(&world, VM, &old) else {
        panic!("{:?}", look(&world, VM, &old))
    };
    torn::clear(&world.node, world.private(), VM, config_sha256, &before).unwrap();
    let now = torn::volumes(&world.node, world.private(), 901).unwrap();
    assert!(now.volumes.is_empty() && !all.volumes.is_empty(), "{now:?}");
    assert_eq!(world.config("qemu-server", 901), None);
    world.instead_of(&pbs_restore, kept.trim_start_matches("#!/bin/sh\n"));
    world.restore(MACHINE, 901, &mut go_on).unwrap();
}

#[test]
fn killed_before_anything_was_taken_away_the_old_guest_is_given_back() {
    let world = world();
    let old = world.config("lxc", 900);
    let (replaces, was) = (as_it_lies(&world, CT_CONF), there(&world, 900));
    let former = found(&world, CT, CT_CONF);
    let before = torn::volumes(&world.node, world.private(), 900).unwrap().without_those_of(&former);
    world.client_begins_with(&format!("case \"$*\" in *pct.conf*) {};; esac", hang(&world)));
    let pct = world.node.paths().pct.clone();
    let error = killed(&world, CONTAINER, 900, replaces, &pct);
    assert_eq!(error.left.replaced, Some(Remains::Locked), "{:?}", error.left);
    assert!(!error.left.is_nothing());
    assert_eq!(error.remedy(), ["pct unlock 900"]);
    assert_ne!(world.config("lxc", 900), old);

    // PVE was a little further: a volume is made that nothing names.
    fs::create_dir(world.path("var/lib/vz/images/900/subvol-900-disk-1.subvol")).unwrap();
    assert_eq!(look(&world, CT, &former), Former::Locked);
    // Of another guest than the one that was named nothing is opened.
    let other = found(&world, VM, VM_CONF);
    replaced::give_back(&world.node, world.private(), CT, &other, &before).unwrap_err();
    replaced::give_back(&world.node, world.private(), CT, &former, &before).unwrap();
    assert_eq!((look(&world, CT, &former), world.config("lxc", 900)), (Former::Whole, old));
    assert_eq!(there(&world, 900), was);
    assert_eq!(fs::read_dir(world.path("var/lib/vz/images/900")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(world.rootfs(900).join("since")).unwrap(), "the backup");

    // Still locked, and one of its volumes is gone: PVE was removing it.
    let conf = world.path(CT_CONF);
    fs::write(&conf, format!("lock: create\n{}", fs::read_to_string(&conf).unwrap())).unwrap();
    fs::remove_dir_all(world.rootfs(900)).unwrap();
    assert!(matches!(look(&world, CT, &former), Former::Gone(Found::Unfinished { .. })));
}

/// As somebody's editor leaves a configuration: what PVE writes of it is not what lies there.
fn edited_by_hand(world: &World, conf: &str) -> AsFound {
    let path = world.path(conf);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().rev().collect();
    lines.insert(1, "");
    lines.insert(1, "# how: it was made");
    lines.insert(1, "onboot: yes");
    fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    if conf == CT_CONF { found(world, CT, conf) } else { found(world, VM, conf) }
}

#[test]
fn a_guest_that_was_edited_by_hand_is_not_destroyed_when_its_replacement_fails() {
    let world = world();
    let volumes = portrait(&world.path("var/lib/vz"));
    for (backup, guest, conf) in [(CONTAINER, CT, CT_CONF), (MACHINE, VM, VM_CONF)] {
        let former = edited_by_hand(&world, conf);
        let replaces = as_it_lies(&world, conf);
        let error = world.replace(&backup.replace("00Z", "01Z"), guest.1, replaces, &mut go_on).unwrap_err();
        assert!(matches!(*error.failure, GuestFailure::Client(_)), "{error:?}");
        assert_ne!(as_it_lies(&world, conf), replaces, "PVE has not written it anew");
        assert_eq!(error.left.replaced, Some(Remains::Whole), "{:?}", error.left);
        assert!(error.left.is_nothing() && error.remedy().is_empty(), "{:?}: {:?}", error.left, error.remedy());
        assert_eq!(look(&world, guest, &former), Former::Whole);
    }
    assert_eq!(portrait(&world.path("var/lib/vz")), volumes);
}

/// The configuration names a volume that was gone long before: that one is not missed.
#[test]
fn killed_with_a_volume_missing_from_before_the_old_guest_is_given_back() {
    for (backup, guest, conf, file) in
        [(CONTAINER, CT, CT_CONF, "pct.conf"), (MACHINE, VM, VM_CONF, "qemu-server.conf")]
    {
        let world = world();
        let path = world.path(conf);
        let dangling = format!("unused0: local:{0}/vm-{0}-disk-7.raw\n", guest.1);
        fs::write(&path, format!("{dangling}{}", fs::read_to_string(&path).unwrap())).unwrap();
        let volumes = portrait(&world.path("var/lib/vz"));
        let former = edited_by_hand(&world, conf);
        assert_eq!(former.volumes.len(), 1, "{former:?}");
        let before = torn::volumes(&world.node, world.private(), guest.1).unwrap().without_those_of(&former);
        world.client_begins_with(&format!("case \"$*\" in *{file}*) {};; esac", hang(&world)));
        let program = match guest.0 {
            Kind::Container => world.node.paths().pct.clone(),
            Kind::Machine => world.node.paths().qmrestore.clone(),
        };
        let error = killed(&world, backup, guest.1, as_it_lies(&world, conf), &program);
        assert_eq!(error.left.replaced, Some(Remains::Locked), "{:?}", error.left);
        assert_eq!(error.remedy(), [format!("{} unlock {}", guest.0.program(), guest.1)]);
        assert_eq!(look(&world, guest, &former), Former::Locked);
        replaced::give_back(&world.node, world.private(), guest, &former, &before).unwrap();
        assert_eq!(look(&world, guest, &former), Former::Whole);
        assert!(fs::read_to_string(&path).unwrap().contains(&dangling));
        assert_eq!(portrait(&world.path("var/lib/vz")), volumes);
    }
}

/// The backup has other disks than the guest: PVE leaves those alone, and so does what a person is told.
#[test]
fn a_disk_that_was_not_taken_away_is_not_named_to_be_freed() {
    let world = world();
    let conf = world.path(VM_CONF);
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replace("scsi0:", "virtio3:")).unwrap();
    world.instead_of(&world.path("usr/bin/pbs-restore"), "echo 'restore failed: it breaks' >&2; exit 255");
    let error = world.replace(MACHINE, 901, as_it_lies(&world, VM_CONF), &mut go_on).unwrap_err();
    assert_eq!(error.left.replaced, Some(Remains::Nothing));
    assert_eq!(error.left.others, ["local:901/vm-901-disk-0.raw"]);
    assert_eq!(error.remedy(), [format!("rm {}", conf.display())]);
    assert!(world.path("var/lib/vz/images/901/vm-901-disk-0.raw").exists());
}
