//! The half with data: what there is, what comes back, and what does not without the key.

use std::{
    fs,
    ops::ControlFlow,
    os::unix::{
        fs::{PermissionsExt as _, chown, lchown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;
use pbs_driver::{
    Access, DriverError, Failure,
    failure::Thing,
    restore::{self, Progress, Protection, Request},
    snapshot::{self, ClaimedMode, SnapshotInfo},
    status, version,
};
use pbs_format::{
    datastore::{Group, SnapshotRef},
    key::{EncryptionKey, KeyFile},
    manifest::{FileEntry, Manifest},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};

use super::mount::{Mount, write};
use crate::{
    guest_world::portrait,
    place::{KEYS, all_words},
};

/// One encrypted snapshot with a file of each kind, and what it was made of.
pub(super) struct Made {
    pub(super) access: Access,
    pub(super) info: SnapshotInfo,
    pub(super) key: EncryptionKey,
    pub(super) key_file: PathBuf,
    pub(super) tree: PathBuf,
    pub(super) image: PathBuf,
    pub(super) pxar: FileEntry,
    pub(super) conf: FileEntry,
    pub(super) disk: FileEntry,
    pub(super) id: String,
}

pub(super) const CONF: &[u8] = b"arch: amd64\n";
pub(super) const DISK: usize = 5_000_000;

impl Made {
    /// Backs up by the client itself; `id` tells the halves apart on one server.
    pub(super) fn new(mount: &Mount, id: &str) -> Self {
        let scratch = mount.place.scratch();
        let id = format!("tenwords-{id}-{}", std::process::id());
        let key = EncryptionKey::generate(&mut UnwrapErr(SysRng));
        let key_file = write(scratch, "K.enc", &KeyFile::plain(&key, 1_795_220_666, 1_795_220_666).to_json());
        let tree = make_tree(scratch);
        let conf = write(scratch, "box.conf", CONF);
        let image = write(scratch, "disk.raw", &noise(DISK));
        let words = [
            format!("root.pxar:{}", tree.display()),
            format!("box.conf:{}", conf.display()),
            format!("disk.img:{}", image.display()),
            key_file.display().to_string(),
        ];
        mount.by_hand(&["backup", &words[0], &words[1], &words[2], "--keyfile", &words[3], "--backup-id", &id]);
        let access = mount.good_access();
        let group: Group = format!("host/{id}").parse().unwrap();
        let mut list = snapshot::list(&mount.client, &access, Some(&group)).unwrap();
        assert_eq!(list.len(), 1);
        let info = list.remove(0);
        let manifest = restore::manifest(&mount.client, &access, &info.snapshot, &key_file).unwrap();
        let manifest = Manifest::parse(&manifest).unwrap().verify(&key).unwrap();
        let signed = |name: &str| manifest.file(name).unwrap().clone();
        Self {
            access,
            info,
            key,
            key_file,
            tree,
            image,
            pxar: signed("root.pxar.didx"),
            conf: signed("box.conf.blob"),
            disk: signed("disk.img.fidx"),
            id,
        }
    }

    pub(super) fn request<'a>(&'a self, signed: &'a FileEntry) -> Request<'a> {
        Request {
            access: &self.access,
            snapshot: &self.info.snapshot,
            signed,
            protection: Protection::Under { key_file: &self.key_file, key: self.key.fingerprint() },
        }
    }
}

pub(super) fn data(mount: &Mount) {
    let client = &mount.client;
    let scratch = mount.place.scratch();
    let made = Made::new(mount, "data");
    let (access, info, key) = (&made.access, &made.info, &made.key);

    // The probe, and who is there.
    assert!(status::probe(client, access).unwrap().total > 0);
    println!("{:?}", version::both(client, access).unwrap());

    // What there is.
    let group: Group = format!("host/{}", made.id).parse().unwrap();
    assert_eq!((info.snapshot.group(), info.fingerprint), (&group, Some(key.fingerprint())));
    assert!(snapshot::list(client, access, None).unwrap().contains(info));
    assert_eq!(snapshot::list(client, access, Some(&format!("{group}-none").parse().unwrap())).unwrap(), []);
    assert!(snapshot::groups(client, access).unwrap().iter().any(|found| found.group == group && found.count == 1));
    let snapshot = &info.snapshot;
    let files = snapshot::files(client, access, snapshot).unwrap();
    let size = |name: &str| files.iter().find(|file| file.name.as_str() == name).unwrap().size.unwrap();
    assert!(files.iter().any(|file| file.crypt_mode == Some(ClaimedMode::Encrypt)));
    assert_eq!(size("disk.img.fidx"), DISK as u64);

    // What comes back: a folder, a file, an image, a stream, the list of files.
    let back = scratch.join("back");
    restore::tree(client, &made.request(&made.pxar), &back, &mut on).unwrap_or_else(|e| panic!("{}", all_words(&e)));
    assert_eq!(portrait(&back), portrait(&made.tree));
    // The client's own extraction gives the same.
    let by_client = scratch.join("by-the-client");
    let [name, target, key_file] =
        [info.snapshot.to_string(), by_client.display().to_string(), made.key_file.display().to_string()];
    mount.by_hand(&["restore", &name, "root.pxar", &target, "--keyfile", &key_file]);
    assert_eq!(portrait(&by_client), portrait(&made.tree));
    let out = scratch.join("out.conf");
    restore::file(client, &made.request(&made.conf), &out, &mut on).unwrap();
    assert_eq!(fs::read(&out).unwrap(), CONF);
    let disk_out = scratch.join("out.raw");
    restore::file(client, &made.request(&made.disk), &disk_out, &mut on).unwrap();
    assert!(fs::read(&disk_out).unwrap() == fs::read(&made.image).unwrap());
    for (archive, length) in
        [(&made.pxar, size("root.pxar.didx")), (&made.disk, DISK as u64), (&made.conf, CONF.len() as u64)]
    {
        let mut stream = Vec::new();
        restore::stream(client, &made.request(archive), &mut stream, &mut on).unwrap();
        assert_eq!(stream.len() as u64, length, "{}", archive.filename);
    }
    let manifest = restore::manifest(client, access, snapshot, &made.key_file).unwrap();
    let manifest = Manifest::parse(&manifest).unwrap();
    let verified = manifest.verify(key).unwrap();
    assert_eq!(verified.snapshot(), snapshot);
    assert!(verified.all_encrypted());

    // What is in the way stays.
    assert_eq!(failure(restore::tree(client, &made.request(&made.pxar), &back, &mut on)), Failure::TargetExists);
    assert_eq!(failure(restore::file(client, &made.request(&made.conf), &out, &mut on)), Failure::TargetExists);
    assert_eq!(fs::read(&out).unwrap(), CONF);

    keys_that_do_not_fit(mount, &made);
    what_is_not_there(mount, &made);
    plaintext(mount, &made);
    mount.place.assert_clean();
}

/// No key, another key, a key under a passphrase, no file, a broken file.
fn keys_that_do_not_fit(mount: &Mount, made: &Made) {
    let (client, scratch) = (&mount.client, mount.place.scratch());
    let ours = made.key.fingerprint().shortened();
    for archive in [&made.pxar.filename, &made.conf.filename, &made.disk.filename, &"index.json.blob".parse().unwrap()]
    {
        assert_eq!(restore::without_key(client, &made.access, &made.info.snapshot, archive).unwrap(), ours);
    }
    let other = write(scratch, "other.enc", &KEYS.plain);
    let wrong = Failure::WrongKey { asked: ours, given: KEYS.fingerprint.shortened() };
    let nowhere = scratch.join("nowhere");
    let with = |file: &Path| {
        let protection = Protection::Under { key_file: file, key: made.key.fingerprint() };
        let request = Request { protection, ..made.request(&made.pxar) };
        let tree = failure(restore::tree(client, &request, &nowhere, &mut on));
        assert!(!nowhere.exists());
        let file = failure(restore::file(client, &Request { signed: &made.conf, ..request }, &nowhere, &mut on));
        assert!(!nowhere.exists());
        // A tree's key file is read by us too, and then the words are ours.
        for other in [file, failure(restore::stream(client, &request, &mut Vec::new(), &mut on))] {
            match (&other, &tree) {
                (Failure::KeyFile { .. }, Failure::KeyFile { .. }) => {}
                (other, tree) => assert_eq!(other, tree),
            }
        }
        tree
    };
    assert_eq!(with(&other), wrong);
    match restore::manifest(client, &made.access, &made.info.snapshot, &other) {
        Err(error) => assert_eq!(error.failure(), Some(&wrong)),
        Ok(_) => panic!("the manifest came under another key"),
    }
    assert_eq!(with(&write(scratch, "wrapped.enc", &KEYS.wrapped)), Failure::KeyProtected);
    assert!(matches!(with(&scratch.join("missing.enc")), Failure::KeyFile { .. }));
    assert!(matches!(with(&write(scratch, "broken.enc", b"{\"kdf\":nu")), Failure::KeyFile { .. }));
}

fn what_is_not_there(mount: &Mount, made: &Made) {
    let (client, nowhere) = (&mount.client, mount.place.scratch().join("nowhere"));
    let missing: SnapshotRef = format!("host/{}/2020-01-01T00:00:00Z", made.id).parse().unwrap();
    let stranger: SnapshotRef = format!("host/{}-none/2020-01-01T00:00:00Z", made.id).parse().unwrap();
    let absent = FileEntry { filename: "nope.pxar.didx".parse().unwrap(), ..made.pxar.clone() };
    let gone = |what| Failure::NotFound { what };
    assert_eq!(failure(restore::tree(client, &made.request(&absent), &nowhere, &mut on)), gone(Thing::Archive));
    for missing in [&missing, &stranger] {
        let request = Request { snapshot: missing, ..made.request(&made.pxar) };
        assert_eq!(failure(restore::tree(client, &request, &nowhere, &mut on)), gone(Thing::Snapshot));
        let result = snapshot::files(client, &made.access, missing);
        assert_eq!(result.unwrap_err().failure(), Some(&gone(Thing::Snapshot)));
    }
    let server = mount.server();
    let elsewhere = mount.access(&server.token, server.certificate, "no/such");
    assert_eq!(snapshot::list(client, &elsewhere, None).unwrap_err().failure(), Some(&gone(Thing::Namespace)));
    assert_eq!(snapshot::groups(client, &elsewhere).unwrap_err().failure(), Some(&gone(Thing::Namespace)));
    let request = Request { access: &elsewhere, ..made.request(&made.pxar) };
    // The reader protocol does not tell a missing namespace from a missing snapshot.
    assert_eq!(failure(restore::tree(client, &request, &nowhere, &mut on)), gone(Thing::Snapshot));
    assert!(!nowhere.exists());
}

/// Plaintext: the client restores it, key or not; we do not.
fn plaintext(mount: &Mount, made: &Made) {
    let (client, scratch) = (&mount.client, mount.place.scratch());
    let nowhere = scratch.join("nowhere");
    let id = format!("{}-plain", made.id);
    let conf = format!("box.conf:{}", scratch.join("box.conf").display());
    let words = [format!("root.pxar:{}", made.tree.display()), format!("disk.img:{}", made.image.display())];
    mount.by_hand(&["backup", &conf, &words[0], &words[1], "--backup-id", &id, "--crypt-mode", "none"]);
    let plain: Group = format!("host/{id}").parse().unwrap();
    let plain = snapshot::list(client, &made.access, Some(&plain)).unwrap().remove(0);
    assert_eq!(plain.fingerprint, None);
    let request = Request { snapshot: &plain.snapshot, ..made.request(&made.conf) };
    let result = restore::file(client, &request, &nowhere, &mut on);
    assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{result:?}");
    assert!(!nowhere.exists());
    let result = restore::without_key(client, &made.access, &plain.snapshot, &made.conf.filename);
    assert!(matches!(result, Err(DriverError::NotRefused)), "{result:?}");

    // Who says that it is in plain text gets it, by the entries of its own list.
    let asked = restore::plain_manifest(client, &made.access, &made.info.snapshot);
    assert_eq!(failure(asked), Failure::MissingKey { asked: made.key.fingerprint().shortened() });
    let list = restore::plain_manifest(client, &made.access, &plain.snapshot).unwrap();
    let list = Manifest::parse(&list).unwrap();
    assert!(!list.is_signed() && list.snapshot() == &plain.snapshot);
    let request = |signed| Request { snapshot: &plain.snapshot, protection: Protection::Plain, ..made.request(signed) };
    let listed = |name: &str| list.file(name).unwrap();
    let (pxar, conf, disk) = (listed("root.pxar.didx"), listed("box.conf.blob"), listed("disk.img.fidx"));
    let back = scratch.join("plain-back");
    restore::tree(client, &request(pxar), &back, &mut on).unwrap_or_else(|e| panic!("{}", all_words(&e)));
    assert_eq!(portrait(&back), portrait(&made.tree));
    assert_eq!(restore::bytes(client, &request(conf), 100).unwrap(), CONF);
    let out = scratch.join("plain.raw");
    restore::file(client, &request(disk), &out, &mut on).unwrap();
    assert!(fs::read(&out).unwrap() == fs::read(&made.image).unwrap());

    // Its own entry under our key, and an encrypted one without: neither is what was asked for.
    let other = |result: Result<_, DriverError>| match result {
        Err(DriverError::OtherProtection { .. }) => assert!(!nowhere.exists()),
        other => panic!("{other:?}"),
    };
    let under = made.request(&made.pxar).protection;
    for signed in [pxar, conf, disk] {
        let request = Request { protection: under, ..request(signed) };
        match signed.filename.as_str() {
            "root.pxar.didx" => other(restore::tree(client, &request, &nowhere, &mut on)),
            _ => other(restore::file(client, &request, &nowhere, &mut on)),
        }
        other(restore::stream(client, &request, &mut Vec::new(), &mut on));
    }
    other(restore::tree(client, &request(&made.pxar), &nowhere, &mut on));
    other(restore::file(client, &request(&made.disk), &nowhere, &mut on));
    // Another archive's entry, in plain text: what comes is not that.
    for lie in [FileEntry { csum: disk.csum, ..pxar.clone() }, FileEntry { size: pxar.size - 1, ..pxar.clone() }] {
        let request = Request { signed: &lie, ..request(pxar) };
        let result = restore::tree(client, &request, &nowhere, &mut on);
        assert!(matches!(result, Err(DriverError::NotSigned { .. })), "{result:?}");
        assert!(!nowhere.exists());
    }
}

/// A snapshot in a namespace is there, and nowhere else.
pub(super) fn namespaces(mount: &Mount) {
    let Some(hand) = mount.hand("namespaces") else { return };
    let (client, scratch) = (&mount.client, mount.place.scratch());
    let made = Made::new(mount, "namespaces");
    hand.make_namespace(mount, "boxes");
    hand.make_namespace(mount, "boxes/one");
    let conf = format!("box.conf:{}", scratch.join("box.conf").display());
    let key_file = made.key_file.display().to_string();
    mount.by_hand(&["backup", &conf, "--keyfile", &key_file, "--backup-id", "inner", "--ns", "boxes/one"]);
    let server = mount.server();
    let inner = mount.access(&server.token, server.certificate, "boxes/one");
    let list = snapshot::list(client, &inner, None).unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].snapshot.group().to_string(), "host/inner");
    assert!(snapshot::list(client, &made.access, None).unwrap().iter().all(|info| info.snapshot != list[0].snapshot));
    let outer = mount.access(&server.token, server.certificate, "boxes");
    assert_eq!(snapshot::list(client, &outer, None).unwrap(), []);
    assert_eq!(snapshot::groups(client, &inner).unwrap().len(), 1);
    let request = Request { access: &inner, snapshot: &list[0].snapshot, ..made.request(&made.conf) };
    let out = scratch.join("inner.conf");
    restore::file(client, &request, &out, &mut on).unwrap();
    assert_eq!(fs::read(&out).unwrap(), CONF);
    let manifest = restore::manifest(client, &inner, &list[0].snapshot, &made.key_file).unwrap();
    assert!(Manifest::parse(&manifest).unwrap().verify(&made.key).unwrap().all_encrypted());
    let request = Request { access: &outer, ..request };
    let nowhere = scratch.join("nowhere");
    assert_eq!(
        failure(restore::file(client, &request, &nowhere, &mut on)),
        Failure::NotFound { what: Thing::Snapshot }
    );
    mount.place.assert_clean();
}

pub(super) fn on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The client's failure in a result that must be one.
pub(super) fn failure<T>(result: Result<T, DriverError>) -> Failure {
    match result {
        Err(DriverError::Client { failure, .. }) => failure,
        Err(error) => panic!("{}", all_words(&error)),
        Ok(_) => panic!("that should have failed"),
    }
}

/// Bytes that do not compress, from nothing.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn make_tree(scratch: &Path) -> PathBuf {
    let tree = scratch.join("tree");
    fs::create_dir_all(tree.join("sub/deep")).unwrap();
    fs::write(tree.join("hello.txt"), b"hello world\n").unwrap();
    fs::write(tree.join("sub/deep/árvíztűrő név.txt"), b"x").unwrap();
    fs::write(tree.join("sub/noise"), noise(3_000_000)).unwrap();
    // Another chunk than the noise, and the last one: damage in the middle is not damage at the start.
    fs::write(tree.join("zz-last"), noise(9_000_000).split_off(3_000_000)).unwrap();
    fs::write(tree.join("zero"), b"").unwrap();
    fs::hard_link(tree.join("hello.txt"), tree.join("hard")).unwrap();
    symlink("hello.txt", tree.join("link")).unwrap();
    fs::set_permissions(tree.join("hello.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(tree.join("sub"), fs::Permissions::from_mode(0o711)).unwrap();
    with_rare_entries(&tree);
    tree
}

/// Sockets, fifos and, as root, devices, capabilities, other owners and access lists.
fn with_rare_entries(tree: &Path) {
    drop(UnixListener::bind(tree.join("socket")).unwrap());
    mknodat(CWD, tree.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o620), 0).unwrap();
    fs::set_permissions(tree.join("zero"), fs::Permissions::from_mode(0o4755)).unwrap();
    // Some file systems have none; then no side has one.
    let _ = lsetxattr(tree.join("hello.txt"), "user.note", b"kept", XattrFlags::empty());
    if geteuid().is_root() {
        let numbers = makedev(1, 3);
        mknodat(CWD, tree.join("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), numbers).unwrap();
        mknodat(CWD, tree.join("disk"), FileType::BlockDevice, Mode::from_raw_mode(0o660), makedev(7, 9)).unwrap();
        lchown(tree.join("link"), Some(1000), Some(1001)).unwrap();
        chown(tree.join("sub/deep"), Some(33), Some(34)).unwrap();
        // cap_net_bind_service=ep, as `setcap` writes it.
        let capability: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let _ = lsetxattr(tree.join("hello.txt"), "security.capability", capability, XattrFlags::empty());
        // Version 2; owner rwx, user 1000 rx, group rx, mask rx, others nothing: access and inherited.
        let entries: [(u16, u16, u32); 5] =
            [(0x01, 7, u32::MAX), (0x02, 5, 1000), (0x04, 5, u32::MAX), (0x10, 5, u32::MAX), (0x20, 0, u32::MAX)];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            list.extend(id.to_le_bytes());
        }
        for name in ["system.posix_acl_access", "system.posix_acl_default"] {
            let _ = lsetxattr(tree.join("sub/deep"), name, &list, XattrFlags::empty());
        }
    }
}
