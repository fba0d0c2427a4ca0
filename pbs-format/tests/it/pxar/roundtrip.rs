//! A made tree, stored and restored, compared with the standard library's eyes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use pbs_format::pxar::{CreateOptions, EntryKind, Event, ExtractOptions, NotStored, OmitReason, create, extract};
use rustix::fs::{
    AtFlags, CWD, FileType, IFlags, Mode, Timespec, Timestamps, ioctl_getflags, ioctl_setflags, makedev, mknodat,
    utimensat,
};

use super::support::{ENTRY_OLD, PAYLOAD, Raw, Scratch, events, is_root, path_of, skipped, tree};

fn touch(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn node(path: &Path, file_type: FileType, device: u64) {
    mknodat(CWD, path, file_type, Mode::from_raw_mode(0o640), device).unwrap();
}

/// An ACL in the kernel's form.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}

const NO_ID: u32 = u32::MAX;

/// A tree with everything; what needs root only as root.
fn make(root: &Path) {
    let path = |name: &str| root.join(name);
    for (name, size) in [("empty", 0), ("one", 1), ("block", 4096), ("odd", 4097), ("big", 700_000)] {
        let content: Vec<u8> = (0..size).map(|at: u32| (at * 31 % 251) as u8).collect();
        fs::write(path(name), content).unwrap();
    }
    let sparse = File::create(path("sparse")).unwrap();
    sparse.set_len(3_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"in the middle", 1_000_001).unwrap();
    fs::create_dir_all(path("folder/inside/deep")).unwrap();
    fs::write(path("folder/inside/deep/file"), "deep").unwrap();
    fs::create_dir(path("folder-of-none")).unwrap();
    fs::write(path("folder.dot"), "sorts between").unwrap();
    fs::write(root.join(path_of(b"not-utf8-\xff\xfe")), "bytes").unwrap();
    fs::hard_link(path("big"), path("folder/again")).unwrap();
    fs::hard_link(path("big"), path("zlast")).unwrap();
    symlink("../nowhere/at/all", path("link")).unwrap();
    symlink("/", path("folder/root")).unwrap();
    node(&path("fifo"), FileType::Fifo, 0);
    node(&path("socket"), FileType::Socket, 0);
    xattr::set(path("one"), "user.note", b"text").unwrap();
    xattr::set(path("one"), "user.empty", b"").unwrap();
    xattr::set(path("folder"), "user.bytes", &[0, 255, 10]).unwrap();
    let access =
        acl(&[(1, 7, NO_ID), (2, 5, 12), (2, 4, 13), (4, 1, NO_ID), (8, 6, 14), (16, 7, NO_ID), (32, 0, NO_ID)]);
    xattr::set(path("block"), "system.posix_acl_access", &access).unwrap();
    xattr::set(path("folder-of-none"), "system.posix_acl_access", &access).unwrap();
    xattr::set(path("folder-of-none"), "system.posix_acl_default", &access).unwrap();
    let plain = acl(&[(1, 7, NO_ID), (4, 5, NO_ID), (32, 1, NO_ID)]);
    xattr::set(path("folder/inside"), "system.posix_acl_default", &plain).unwrap();
    if is_root("storing owners, devices, capabilities and trusted attributes") {
        node(&path("block-device"), FileType::BlockDevice, makedev(259, 70_000));
        node(&path("char-device"), FileType::CharacterDevice, makedev(1, 3));
        chown(path("odd"), Some(12_345), Some(4_000_000_000)).unwrap();
        std::os::unix::fs::lchown(path("link"), Some(1), Some(2)).unwrap();
        chown(path("fifo"), Some(3), Some(4)).unwrap();
        xattr::set(path("link"), "trusted.on-a-link", b"yes").unwrap();
        xattr::set(path("fifo"), "trusted.on-a-fifo", b"yes").unwrap();
        let capability = hex::decode("0100000200040000000000000000000000000000").unwrap();
        xattr::set(path("odd"), "security.capability", &capability).unwrap();
    }
    for (name, mode) in [("odd", 0o6751), ("one", 0o000), ("folder", 0o3770), ("folder/inside/deep", 0o500)] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(path("one"), fs::Permissions::from_mode(0o400)).unwrap();
    }
    for (at, name) in ["empty", "one", "link", "fifo", "socket", "folder/inside/deep/file"].iter().enumerate() {
        touch(&path(name), -1_000_000_007 * (at as i64 + 1), 999_999_999 - at as i64);
    }
    touch(&path("big"), 4_294_967_297, 1);
    touch(&path("folder/inside/deep"), -1, 500_000_000);
    touch(&path("folder/inside"), 0, 0);
    touch(&path("folder"), 1, 2);
    touch(root, 1_709_210_096, 123_456_789);
}

#[test]
fn a_tree_of_everything_comes_back() {
    let scratch = Scratch::new();
    let (source, target) = (scratch.join("source"), scratch.join("target"));
    fs::create_dir(&source).unwrap();
    make(&source);
    let mut archive = Vec::new();
    let stored = create(&source, &mut archive, &CreateOptions::default()).unwrap();
    assert!(stored.not_stored.is_empty(), "{stored:?}");
    assert_eq!(stored.archive_bytes, archive.len() as u64);
    assert_eq!((stored.hardlinks, stored.symlinks), (2, 2));

    let restored = extract(&archive[..], &target, &ExtractOptions::default()).unwrap();
    assert!(restored.is_complete(), "{restored:?}");
    let counts = |report: [u64; 6]| report;
    assert_eq!(
        counts([
            restored.directories,
            restored.files,
            restored.symlinks,
            restored.hardlinks,
            restored.specials,
            restored.bytes
        ]),
        counts([stored.directories, stored.files, stored.symlinks, stored.hardlinks, stored.specials, stored.bytes])
    );
    let (before, after) = (tree(&source), tree(&target));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, state) in &before {
        assert_eq!(&after[path], state, "{path:?}");
    }
    let on_disk = target.join("sparse").metadata().unwrap().blocks() * 512;
    assert!(on_disk < 100_000, "{on_disk}");

    let mut again = Vec::new();
    create(&target, &mut again, &CreateOptions::default()).unwrap();
    assert!(again == archive);
}

#[test]
fn children_stand_in_bytewise_order() {
    let scratch = Scratch::new();
    make(scratch.path());
    let mut archive = Vec::new();
    create(scratch.path(), &mut archive, &CreateOptions::default()).unwrap();
    let mut open: Vec<Option<Vec<u8>>> = Vec::new();
    for (_, event, _) in events(&archive) {
        let (name, folder) = match event {
            Event::Leave => {
                open.pop();
                continue;
            }
            Event::Hardlink(link) => (link.name, false),
            Event::Entry(entry) => (entry.name, entry.kind == EntryKind::Directory),
        };
        if let Some(last) = open.last_mut() {
            assert!(last.as_deref() < Some(name.as_bytes()), "{name:?}");
            *last = Some(name.as_bytes().to_vec());
        }
        if folder {
            open.push(None);
        }
    }
}

#[test]
fn inode_flags_come_back_and_do_not_hinder_further_names() {
    if !is_root("setting inode flags") {
        return;
    }
    let scratch = Scratch::new();
    let (source, target) = (scratch.join("source"), scratch.join("target"));
    fs::create_dir_all(source.join("sealed")).unwrap();
    fs::write(source.join("a"), "kept").unwrap();
    fs::write(source.join("sealed/inside"), "kept").unwrap();
    fs::hard_link(source.join("a"), source.join("z")).unwrap();
    let flags = |path: &Path| ioctl_getflags(File::open(path).unwrap());
    let set = [
        ("a", IFlags::IMMUTABLE | IFlags::NODUMP),
        ("sealed/inside", IFlags::APPEND | IFlags::NOATIME | IFlags::SYNC),
        ("sealed", IFlags::IMMUTABLE | IFlags::DIRSYNC),
    ];
    for (name, wanted) in set {
        let file = File::open(source.join(name)).unwrap();
        let present = match ioctl_getflags(&file) {
            Ok(present) => present,
            Err(error) => {
                skipped("inode flags", error);
                return;
            }
        };
        ioctl_setflags(&file, present | wanted).unwrap();
    }
    let mut archive = Vec::new();
    create(&source, &mut archive, &CreateOptions::default()).unwrap();
    let report = extract(&archive[..], &target, &ExtractOptions::default()).unwrap();
    assert!(report.is_complete(), "{report:?}");
    for (name, wanted) in set {
        assert!(flags(&target.join(name)).unwrap().contains(wanted), "{name}");
    }
    assert_eq!(target.join("z").metadata().unwrap().nlink(), 2);
}

#[test]
fn a_target_with_a_default_acl_lends_it_to_nobody() {
    let scratch = Scratch::new();
    let (source, target) = (scratch.join("source"), scratch.join("target"));
    fs::create_dir_all(source.join("folder/inside")).unwrap();
    fs::write(source.join("folder/inside/file"), "x").unwrap();
    fs::write(source.join("file"), "x").unwrap();
    symlink("file", source.join("link")).unwrap();
    node(&source.join("fifo"), FileType::Fifo, 0);
    let mut archive = Vec::new();
    create(&source, &mut archive, &CreateOptions::default()).unwrap();
    fs::create_dir(&target).unwrap();
    let list = acl(&[(1, 7, NO_ID), (2, 7, 12), (4, 5, NO_ID), (16, 7, NO_ID), (32, 5, NO_ID)]);
    xattr::set(&target, "system.posix_acl_default", &list).unwrap();
    extract(&archive[..], &target, &ExtractOptions::default()).unwrap();
    assert_eq!(tree(&target), tree(&source));
}

#[test]
fn an_old_entry_is_read() {
    let mut entry = Vec::new();
    for word in [0o100_640, 0] {
        entry.extend_from_slice(&u64::to_le_bytes(word));
    }
    entry.extend_from_slice(&rustix::process::geteuid().as_raw().to_le_bytes());
    entry.extend_from_slice(&rustix::process::getegid().as_raw().to_le_bytes());
    entry.extend_from_slice(&1_500_000_000_123_456_789_u64.to_le_bytes());
    let archive = Raw::rooted().name(b"f").item(ENTRY_OLD, &entry).item(PAYLOAD, b"old").goodbye();
    let scratch = Scratch::new();
    extract(&archive.0[..], scratch.path(), &ExtractOptions::default()).unwrap();
    let found = scratch.join("f").metadata().unwrap();
    assert_eq!((found.mtime(), found.mtime_nsec()), (1_500_000_000, 123_456_789));
    assert_eq!(found.mode() & 0o7777, 0o640);
}

/// Changes a file's size when the archive has grown to some length, that is while it is read.
struct Meddler<'a> {
    archive: Vec<u8>,
    when: usize,
    path: &'a Path,
    size: u64,
}

impl Write for Meddler<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.archive.extend_from_slice(buffer);
        if self.archive.len() > self.when {
            File::options().write(true).open(self.path)?.set_len(self.size)?;
            self.when = usize::MAX;
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_keeps_its_first_size() {
    for (size, found) in [(1_000_000, 400_000), (1_000_000, 2_000_000)] {
        let scratch = Scratch::new();
        let path = scratch.join("changing");
        fs::write(&path, vec![7; size]).unwrap();
        let mut meddler = Meddler { archive: Vec::new(), when: 10_000, path: &path, size: found };
        let report = create(scratch.path(), &mut meddler, &CreateOptions::default()).unwrap();
        let [NotStored { path: row, property: None, reason }] = &report.not_stored[..] else { panic!("{report:?}") };
        assert_eq!(row, &PathBuf::from("changing"));
        match *reason {
            OmitReason::Shrank { expected: 1_000_000, found: 400_000 } => assert_eq!(found, 400_000),
            OmitReason::Grew { stored: 1_000_000 } => assert_eq!(found, 2_000_000),
            _ => panic!("{reason:?}"),
        }
        let events = events(&meddler.archive);
        let content = &events[1].2;
        assert_eq!(content.len(), size);
        let kept = size.min(found.try_into().unwrap());
        assert!(content[..kept].iter().all(|&byte| byte == 7));
        assert!(content[kept..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn a_mount_point_is_stored_as_an_empty_folder() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    if !is_root("mounting") {
        return;
    }
    // A thread's own view of what is mounted, gone with the thread.
    let thread = std::thread::spawn(|| {
        let scratch = Scratch::new();
        let mounted = scratch.join("mounted");
        fs::create_dir(&mounted).unwrap();
        let nothing = None::<&str>;
        let done = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing))
            .and_then(|()| mount(Some("tmpfs"), &mounted, Some("tmpfs"), MsFlags::empty(), nothing));
        if let Err(error) = done {
            skipped("mount points", error);
            return;
        }
        fs::write(mounted.join("inside"), "x").unwrap();
        let stored = |options| {
            let mut archive = Vec::new();
            let report = create(scratch.path(), &mut archive, &options).unwrap();
            let files = events(&archive).iter().filter(|row| row.0.ends_with("inside")).count();
            (files, report.not_stored.iter().map(|row| row.path.clone()).collect::<Vec<_>>())
        };
        let default = CreateOptions::default();
        assert_eq!(stored(default.clone()), (0, vec![PathBuf::from("mounted")]));
        assert_eq!(stored(CreateOptions { all_file_systems: true, ..default.clone() }), (1, vec![]));
        let named = CreateOptions { include_file_systems_of: vec![mounted.clone()], ..default };
        assert_eq!(stored(named), (1, vec![]));
        nix::mount::umount(&mounted).unwrap();
    });
    thread.join().unwrap();
}

#[test]
fn attributes_of_other_namespaces_are_counted() {
    if !is_root("setting security attributes") {
        return;
    }
    let scratch = Scratch::new();
    for name in ["a", "b"] {
        fs::write(scratch.join(name), "x").unwrap();
        xattr::set(scratch.join(name), "security.test", b"x").unwrap();
    }
    let report = create(scratch.path(), io::sink(), &CreateOptions::default()).unwrap();
    assert_eq!(report.foreign_xattrs.into_iter().collect::<Vec<_>>(), [("security.test".into(), 2)]);
}

#[test]
fn a_deep_tree_is_stored_with_few_descriptors() {
    let scratch = Scratch::new();
    let mut archive = Raw::rooted();
    for _ in 0..800 {
        archive = archive.folder(b"d-so-that-no-path-is-that-long").file(b"a", b"down");
    }
    for _ in 0..801 {
        archive = archive.file(b"z", b"up").goodbye();
    }
    extract(&archive.0[..], &scratch.join("target"), &ExtractOptions::default()).unwrap();
    let mut stored = Vec::new();
    let report = create(&scratch.join("target"), &mut stored, &CreateOptions::default()).unwrap();
    assert_eq!((report.directories, report.files), (801, 1_601));
    assert!(report.not_stored.is_empty());
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let error = create(Path::new("/nonexistent"), io::sink(), &CreateOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "failed to read \"/nonexistent\"");
}
