//! Which numbers are taken, whatever lies in the cluster's file system.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use pbs_driver::pve::{PveError, guest_config::Kind, guests};

use crate::guest_world::World;

#[test]
fn a_number_is_taken_if_the_list_or_a_file_says_so() {
    let world = World::new();
    assert_eq!(guests::existing(&world.node).unwrap(), []);
    fs::create_dir_all(world.path("etc/pve/nodes/other/qemu-server")).unwrap();
    fs::write(world.path("etc/pve/nodes/other/qemu-server/101.conf"), "name: db\nmemory: 1\n").unwrap();
    fs::write(world.path("etc/pve/nodes/pve/lxc/100.conf"), "hostname: web\n\n[snap]\nhostname: old\n").unwrap();
    fs::write(
        world.path("etc/pve/.vmlist"),
        "{\n\"version\": 3,\n\"ids\": {\n\"100\": { \"node\": \"pve\", \"type\": \"lxc\", \"version\": 1 },\n\
         \"102\": { \"node\": \"far\", \"type\": \"qemu\", \"version\": 2 }}\n\n}\n",
    )
    .unwrap();
    let there = guests::existing(&world.node).unwrap();
    let rows: Vec<_> =
        there.iter().map(|guest| (guest.vmid, guest.kind, guest.node.as_str(), guest.name.as_deref())).collect();
    assert_eq!(
        rows,
        [
            (100, Kind::Container, "pve", Some("web")),
            (101, Kind::Machine, "other", Some("db")),
            (102, Kind::Machine, "far", None),
        ]
    );
    assert_eq!(guests::next_free(&world.node, 1, &[]).unwrap(), Some(103));
    assert_eq!(guests::next_free(&world.node, 100, &[103, 104]).unwrap(), Some(105));
    assert_eq!(guests::next_free(&world.node, guests::LAST, &[guests::LAST]).unwrap(), None);
    assert_eq!(guests::of_number(&world.node, 103).unwrap(), None);
}

#[test]
fn s71_hostile_names_and_texts_are_harmless() {
    let world = World::new();
    let folder = world.path("etc/pve/nodes/pve/lxc");
    for name in ["0100.conf", "100.conf.tmp.1", "1e2.conf", "99.conf", "-100.conf", "100.conf\n", "\u{202e}100.conf"] {
        fs::write(folder.join(name), "").unwrap();
    }
    fs::write(folder.join(OsStr::from_bytes(b"1\xff0.conf")), "").unwrap();
    assert_eq!(guests::existing(&world.node).unwrap(), []);

    fs::write(folder.join("100.conf"), "hostname: a\u{1b}[2J\u{202e}\u{200b}b\n").unwrap();
    fs::write(folder.join("101.conf"), vec![0xff; 2 << 20]).unwrap();
    symlink("/nowhere", folder.join("102.conf")).unwrap();
    fs::create_dir(folder.join("103.conf")).unwrap();
    let there = guests::existing(&world.node).unwrap();
    let names: Vec<_> = there.iter().map(|guest| (guest.vmid, guest.name.clone())).collect();
    assert_eq!(names[1..], [(101, None), (102, None), (103, None)]);
    let name = names[0].1.clone().unwrap_or_default();
    assert!(!name.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{name:?}");
}

#[test]
fn a_list_that_is_not_understood_is_an_error_and_never_an_empty_cluster() {
    let world = World::new();
    let list = world.path("etc/pve/.vmlist");
    for text in [
        "",
        "{",
        "[]",
        "{}",
        "[1]{",
        "{\"version\": 1, \"ids\": {\"x\": {}}}",
        "{\"version\": 1, \"ids\": {\"100\": {\"node\": 1}}}",
    ] {
        fs::write(&list, text).unwrap();
        let error = guests::next_free(&world.node, 100, &[]).unwrap_err();
        assert!(matches!(error, PveError::Io { .. }), "{text}: {error:?}");
    }
    fs::write(&list, vec![b' '; 2 << 20]).unwrap();
    assert!(matches!(guests::existing(&world.node).unwrap_err(), PveError::TooLarge { .. }));
    fs::remove_file(&list).unwrap();
    assert!(matches!(guests::existing(&world.node).unwrap_err(), PveError::NotMounted { .. }));
}
