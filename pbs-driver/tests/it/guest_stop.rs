//! Restores of guests that are stopped, killed, or never end.

use std::{fs, ops::ControlFlow, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pbs_driver::pve::{
    guest_failure::GuestFailure,
    progress::{GuestProgress, Step},
    restore::{GuestError, GuestLimits},
};

use crate::{
    guest_world::{CONFIG, CONTAINER, MACHINE, World, go_on, patient},
    place::until,
};

/// The client stops at the first file archive, for ever, and leaves its number.
fn a_client_that_hangs(world: &World) {
    let pids = world.place.scratch().join("grandchildren");
    world.client_begins_with(&format!(
        "case \"$*\" in *root.pxar*) echo $$ > '{0}.new'; mv '{0}.new' '{0}'; exec sleep 1000;; esac",
        pids.display()
    ));
}

fn stop_at_the_tree(world: &World) -> GuestError {
    let pids = world.place.scratch().join("grandchildren");
    let mut stop = |progress: &GuestProgress| {
        if progress.step == Step::Tree && pids.exists() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    world.restore_to(CONTAINER, 900, Some("local"), patient(), &mut stop).unwrap_err()
}

#[test]
fn one_that_is_stopped_is_asked_first_and_cleans_up() {
    let world = World::new();
    world.back_up_container(CONFIG);
    a_client_that_hangs(&world);
    let error = stop_at_the_tree(&world);
    assert!(matches!(*error.failure, GuestFailure::Interrupted), "{error:?}");
    assert!(error.left.is_nothing() && !error.left.killed, "{:?}", error.left);
    assert_eq!(world.config("lxc", 900), None);
    assert!(!world.rootfs(900).exists());
    world.place.assert_clean();
}

#[test]
fn one_that_does_not_stop_is_killed_with_everybody_and_what_is_left_is_told() {
    let world = World::new();
    world.back_up_container(CONFIG);
    // A volume of that number that was there before is nobody's to remove.
    fs::create_dir(world.path("var/lib/vz/images/900")).unwrap();
    fs::write(world.path("var/lib/vz/images/900/vm-900-disk-9.raw"), "somebody's").unwrap();
    // Program and worker are deaf, and the worker has a session of its own, as PVE's has.
    let (volume, pids) = (world.rootfs(900), world.place.scratch().join("grandchildren"));
    world.instead_of(
        &world.node.paths().pct,
        &format!(
            "trap '' TERM\nmkdir -p '{}'\nprintf 'lock: create\\n' > '{}'\n\
             exec setsid -w sh -c 'trap \"\" TERM; echo $$ > \"{2}.new\"; mv \"{2}.new\" \"{2}\"; while :; do sleep 1; done'",
            volume.display(),
            world.path("etc/pve/nodes/pve/lxc/900.conf").display(),
            pids.display(),
        ),
    );
    let mut stop = |_: &GuestProgress| if pids.exists() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let limits = GuestLimits { cleanup: Duration::ZERO, ..patient() };
    let error = world.restore_to(CONTAINER, 900, Some("local"), limits, &mut stop).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::Interrupted), "{error:?}");
    assert_eq!(error.left.config, Some(world.path("etc/pve/nodes/pve/lxc/900.conf")));
    assert_eq!((error.left.lock.as_deref(), error.left.killed), (Some("create"), true));
    assert_eq!(error.left.volumes, ["local:900/subvol-900-disk-0.subvol"]);
    assert_eq!(error.left.others, ["local:900/vm-900-disk-9.raw"]);
    // `pct destroy` could take it along; what is named takes what was made.
    let config = world.path("etc/pve/nodes/pve/lxc/900.conf");
    assert_eq!(
        error.remedy(),
        [
            "umount --recursive /var/lib/lxc/900/rootfs".to_owned(),
            "pvesm free local:900/subvol-900-disk-0.subvol".to_owned(),
            format!("rm {}", config.display()),
        ]
    );
    world.place.assert_clean();
}

#[test]
fn one_whose_program_somebody_else_kills_takes_its_worker_with_it() {
    let world = World::new();
    world.back_up_container(CONFIG);
    let program = world.place.scratch().join("program");
    a_client_that_hangs(&world);
    // The wrapper's number is the program's: it is replaced by it.
    let wrapper = world.node.paths().pct.clone();
    let text = fs::read_to_string(&wrapper).unwrap();
    world.instead_of(
        &wrapper,
        &format!("echo $$ > '{}'\n{}", program.display(), text.trim_start_matches("#!/bin/sh\n")),
    );
    let mut hit = |progress: &GuestProgress| {
        if progress.step == Step::Tree && world.place.left("grandchildren").is_some() {
            let pid: i32 = fs::read_to_string(&program).unwrap().trim().parse().unwrap();
            // The second time it is gone already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        ControlFlow::Continue(())
    };
    let error = world.restore_to(CONTAINER, 900, Some("local"), patient(), &mut hit).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::Interrupted), "{error:?}");
    assert!(error.left.killed && error.left.lock.is_some(), "{:?}", error.left);
    assert_eq!(error.left.volumes, ["local:900/subvol-900-disk-0.subvol"]);
    assert!(error.left.others.is_empty(), "{:?}", error.left);
    let remedy = error.remedy();
    // Its configuration names it only at the end, and a removal would pass it over.
    assert!(remedy.contains(&"pvesm free local:900/subvol-900-disk-0.subvol".to_owned()), "{remedy:?}");
    assert_eq!(remedy.last().unwrap(), "pct destroy 900 --destroy-unreferenced-disks 0");
    world.place.assert_clean();
}

#[test]
fn what_lay_there_before_is_never_removed_with_a_machine_that_took_it_in() {
    let world = World::new();
    world.back_up_machine();
    // A disk of the lost machine that survived: PVE adds it to the new one's configuration as unused.
    fs::create_dir(world.path("var/lib/vz/images/901")).unwrap();
    fs::write(world.path("var/lib/vz/images/901/vm-901-disk-7.raw"), "survived").unwrap();
    let other = tenwords_protocol::fingerprint::Fingerprint::from_bytes([7; 32]);
    let error = world.restore_under(MACHINE, 901, Some("local"), patient(), Some(other), &mut go_on).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::NotUnderOurKey { .. }), "{error:?}");
    assert!(world.config("qemu-server", 901).unwrap().contains("vm-901-disk-7.raw"));
    assert_eq!(error.left.others, ["local:901/vm-901-disk-7.raw"]);
    let remedy = error.remedy();
    assert!(!remedy.iter().any(|line| line.contains("disk-7") || line.contains("destroy")), "{remedy:?}");
    assert!(remedy.last().unwrap().starts_with("rm ") && remedy.len() > 1, "{remedy:?}");
}

#[test]
fn where_nobody_can_tell_what_was_there_nothing_is_called_ours_but_what_was_said() {
    let world = World::new();
    world.back_up_container(CONFIG);
    fs::create_dir(world.path("var/lib/vz/images/900")).unwrap();
    fs::write(world.path("var/lib/vz/images/900/vm-900-disk-9.raw"), "somebody's").unwrap();
    // PVE's list fails before, and works after.
    let pvesm = world.node.paths().pvesm.clone();
    let text = fs::read_to_string(&pvesm).unwrap();
    let once = world.place.scratch().join("asked");
    world.instead_of(
        &pvesm,
        &format!(
            "[ -e '{0}' ] || {{ touch '{0}'; exit 1; }}\n{1}",
            once.display(),
            text.trim_start_matches("#!/bin/sh\n")
        ),
    );
    world.instead_of(
        &world.node.paths().pct,
        "echo \"new volume ID is 'local:900/vm-900-disk-1.raw'\"; echo 'something that nobody has seen' >&2; exit 255",
    );
    let error = world.restore(CONTAINER, 900, &mut go_on).unwrap_err();
    assert_eq!(error.left.volumes, ["local:900/vm-900-disk-1.raw"]);
    assert_eq!(error.left.others, ["local:900/vm-900-disk-9.raw"]);
    assert_eq!(error.remedy(), ["pvesm free local:900/vm-900-disk-1.raw"]);
}

#[test]
fn a_machine_that_is_stopped_leaves_its_number_taken_and_says_so() {
    let world = World::new();
    world.back_up_machine();
    let pids = world.place.scratch().join("grandchildren");
    world.instead_of(
        &world.path("usr/bin/pbs-restore"),
        &format!("echo $$ > '{0}.new'; mv '{0}.new' '{0}'; exec sleep 1000", pids.display()),
    );
    let mut stop = |_: &GuestProgress| {
        if pids.exists() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = world.restore_to(MACHINE, 901, Some("local"), patient(), &mut stop).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::Interrupted), "{error:?}");
    assert!(
        error.left.config.is_some() && error.left.lock.is_none() && error.left.volumes.is_empty(),
        "{:?}",
        error.left
    );
    assert_eq!(error.remedy(), ["qm destroy 901 --destroy-unreferenced-disks 0"]);
    world.place.assert_clean();
}

#[test]
fn s71_endless_output_costs_no_memory_and_its_escapes_stay_inside() {
    let world = World::new();
    world.back_up_container(CONFIG);
    world.instead_of(
        &world.node.paths().pct,
        "trap '' TERM; while :; do printf 'x\\033[2J\\342\\200\\256y%0999d\\n' 1; printf 'z%09999d' 2 >&2; done",
    );
    let limits = GuestLimits { whole: Duration::from_secs(2), cleanup: Duration::from_millis(200), ..patient() };
    let before = resident();
    let error = world.restore_to(CONTAINER, 900, Some("local"), limits, &mut go_on).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::TimedOut { waiting_for: "its end" }), "{error:?}");
    assert!(error.left.killed && error.left.is_nothing(), "{:?}", error.left);
    assert!(
        error.said.len() <= 200 && error.said.iter().all(|line| line.chars().count() <= 401),
        "{}",
        error.said.len()
    );
    assert!(!error.said.concat().contains(['\u{1b}', '\u{202e}']));
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "it grew by {grown} bytes");
    world.place.assert_clean();
}

#[test]
fn one_that_stands_still_is_given_up_and_one_that_works_in_silence_is_not() {
    let world = World::new();
    world.back_up_container(CONFIG);
    let limits = GuestLimits { stall: Duration::from_secs(2), cleanup: Duration::ZERO, ..patient() };
    let pct = world.node.paths().pct.clone();
    world.instead_of(&pct, "exec sleep 1000");
    let error = world.restore_to(CONTAINER, 900, Some("local"), limits, &mut go_on).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::TimedOut { waiting_for: "a sign of work" }), "{error:?}");

    // Its child reads and writes, and nobody says a word, for longer than the patience with silence.
    world.instead_of(
        &pct,
        "setsid sh -c 'end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do :; done'; echo 'please run as root' >&2; exit 1",
    );
    let error = world.restore_to(CONTAINER, 900, Some("local"), limits, &mut go_on).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::NotRoot), "{error:?}");
}

#[test]
fn a_program_that_says_it_is_done_and_made_nothing_is_not_believed() {
    let world = World::new();
    world.back_up_container(CONFIG);
    let pct = world.node.paths().pct.clone();
    world.instead_of(&pct, "exit 0");
    let error = world.restore(CONTAINER, 900, &mut go_on).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::NotUnderOurKey { .. }), "{error:?}");
    let error = world.restore_under(CONTAINER, 900, Some("local"), patient(), None, &mut go_on).unwrap_err();
    assert!(matches!(*error.failure, GuestFailure::Unknown { .. }), "{error:?}");
    fs::remove_file(&pct).unwrap();
    let error = world.restore(CONTAINER, 900, &mut go_on).unwrap_err();
    assert!(matches!(&*error.failure, GuestFailure::NoProgram { program } if *program == pct), "{error:?}");
}

/// Of this whole process, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_thousand_lines_of_warnings_are_counted_and_not_all_kept() {
    let world = World::new();
    world.back_up_container(CONFIG);
    let conf = world.path("etc/pve/nodes/pve/lxc/900.conf");
    world.instead_of(
        &world.node.paths().pct,
        &format!(
            "i=0; while [ $i -lt 1000 ]; do echo \"WARN: $i\"; i=$((i+1)); done; echo 'memory: 1' > '{}'; \
             echo 'Task finished with 1000 warning(s)!' >&2",
            conf.display()
        ),
    );
    let output = world.restore_under(CONTAINER, 900, Some("local"), patient(), None, &mut go_on).unwrap();
    assert_eq!((output.warnings, output.said.len()), (Some(1000), 200));
    until("the configuration", || conf.exists());
}
