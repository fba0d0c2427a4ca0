//! A node made of fixtures, with a datastore that `pbs-local` keeps, for the tests of guests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    ops::ControlFlow,
    os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use pbs_driver::{
    PrivateDir,
    pve::{
        Node, Paths, StorageId,
        progress::GuestProgress,
        replaced::Replaces,
        restore::{GuestError, GuestLimits, GuestOutput, GuestRestore, restore},
    },
};
use pbs_format::datastore::SnapshotRef;
use tenwords_protocol::fingerprint::Fingerprint;

use crate::place::{KEYS, Place, TOKEN, program, write_program};

pub(crate) const CONTAINER: &str = "ct/100/2026-01-01T00:00:00Z";
pub(crate) const MACHINE: &str = "vm/101/2026-01-01T00:00:00Z";

/// The node, and what was backed up.
pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) source: StorageId,
    pub(crate) node: Node,
    root: PathBuf,
}

impl World {
    /// A node with the storages `pbs` (with our key) and `local`.
    pub(crate) fn new() -> Self {
        let place = Place::new();
        let root = place.scratch().join("node");
        let stores = place.scratch().join("stores");
        fs::create_dir(&stores).unwrap();
        run(Command::new(program("pbs-local", "pbs-local")).args(["datastore", "create"]).arg(stores.join("store")));
        let client = place.scratch().join("client");
        write_program(&client, &client_text(&stores, ""));
        fs::write(place.scratch().join("k.enc"), &*KEYS.plain).unwrap();
        run(Command::new(program("fixture-node", "tenwords-pve-fixtures"))
            .arg("--fixture-root")
            .arg(&root)
            .arg("--client")
            .arg(&client)
            .arg("--datastores")
            .arg(&stores));
        let node = node_at(&root);
        let world = Self { place, source: "pbs".parse().unwrap(), node, root };
        run(Command::new(&world.node.paths().pvesm)
            .args(["add", "pbs", "pbs", "--server", "127.0.0.1", "--datastore", "store"])
            .args(["--username", "backup@pbs!box1", "--password", TOKEN, "--fingerprint", &"aa:".repeat(32)[..95]])
            .arg("--encryption-key")
            .arg(world.place.scratch().join("k.enc")));
        world
    }

    /// Backs a tree up as container 100.
    pub(crate) fn back_up_container(&self, config: &str) -> PathBuf {
        let tree = self.place.scratch().join("tree");
        make_tree(&tree);
        let file = self.place.scratch().join("pct.conf");
        fs::write(&file, config).unwrap();
        self.back_up("ct", "100", &[format!("pct.conf:{}", file.display()), format!("root.pxar:{}", tree.display())]);
        tree
    }

    /// Backs a sparse disk of 20 MiB up as virtual machine 101.
    pub(crate) fn back_up_machine(&self) -> PathBuf {
        let disk = self.place.scratch().join("disk.raw");
        let file = fs::File::create(&disk).unwrap();
        file.set_len(20 << 20).unwrap();
        file.write_all_at(&noise(3 << 20), 9 << 20).unwrap();
        let config = self.place.scratch().join("qemu-server.conf");
        fs::write(
            &config,
            "#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:\nmemory: 1024\nname: db\n\
             net0: virtio=AA:BB:CC:DD:EE:01,bridge=vmbr0\nscsi0: local-lvm:vm-101-disk-0,size=20M\n\
             vmgenid: 11111111-1111-4111-8111-111111111111\n",
        )
        .unwrap();
        self.back_up(
            "vm",
            "101",
            &[format!("qemu-server.conf:{}", config.display()), format!("drive-scsi0.img:{}", disk.display())],
        );
        disk
    }

    fn back_up(&self, kind: &str, id: &str, archives: &[String]) {
        run(Command::new(self.client())
            .arg("backup")
            .args(archives)
            .args(["--backup-type", kind, "--backup-id", id, "--backup-time", "1767225600"])
            .args(["--repository", "backup@pbs!box1@127.0.0.1:store", "--keyfile"])
            .arg(self.place.scratch().join("k.enc")));
    }

    /// The client's place; what PVE calls.
    pub(crate) fn client(&self) -> PathBuf {
        self.place.scratch().join("client")
    }

    /// Lets the client do this first; `$*` are its arguments.
    pub(crate) fn client_begins_with(&self, shell: &str) {
        write_program(&self.client(), &client_text(&self.place.scratch().join("stores"), shell));
    }

    /// A program in the place of `pct` or `qmrestore`.
    pub(crate) fn instead_of(&self, path: &Path, shell: &str) {
        write_program(path, &format!("#!/bin/sh\n{shell}\n"));
    }

    pub(crate) fn private(&self) -> &PrivateDir {
        &self.place.private
    }

    /// A path of PVE's.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A container's files.
    pub(crate) fn rootfs(&self, vmid: u32) -> PathBuf {
        self.path(&format!("var/lib/vz/images/{vmid}/subvol-{vmid}-disk-0.subvol"))
    }

    pub(crate) fn config(&self, kind: &str, vmid: u32) -> Option<String> {
        fs::read_to_string(self.path(&format!("etc/pve/nodes/pve/{kind}/{vmid}.conf"))).ok()
    }

    pub(crate) fn restore(&self, backup: &str, vmid: u32, watch: Watch<'_>) -> Result<GuestOutput, GuestError> {
        self.restore_to(backup, vmid, Some("local"), patient(), watch)
    }

    pub(crate) fn restore_to(
        &self,
        backup: &str,
        vmid: u32,
        target: Option<&str>,
        limits: GuestLimits,
        watch: Watch<'_>,
    ) -> Result<GuestOutput, GuestError> {
        self.restore_under(backup, vmid, target, limits, Some(KEYS.fingerprint), watch)
    }

    pub(crate) fn restore_under(
        &self,
        backup: &str,
        vmid: u32,
        target: Option<&str>,
        limits: GuestLimits,
        key: Option<Fingerprint>,
        watch: Watch<'_>,
    ) -> Result<GuestOutput, GuestError> {
        self.ask(backup, vmid, target, limits, (key, None), watch)
    }

    /// In the place of a guest that is there.
    pub(crate) fn replace(
        &self,
        backup: &str,
        vmid: u32,
        replaces: Replaces,
        watch: Watch<'_>,
    ) -> Result<GuestOutput, GuestError> {
        let how = (Some(KEYS.fingerprint), Some(replaces));
        self.ask(backup, vmid, Some("local"), patient(), how, watch)
    }

    fn ask(
        &self,
        backup: &str,
        vmid: u32,
        target: Option<&str>,
        limits: GuestLimits,
        (key, replaces): (Option<Fingerprint>, Option<Replaces>),
        watch: Watch<'_>,
    ) -> Result<GuestOutput, GuestError> {
        let snapshot: SnapshotRef = backup.parse().unwrap();
        let request = GuestRestore {
            node: &self.node,
            private: self.private(),
            vmid,
            replaces,
            source: &self.source,
            snapshot: &snapshot,
            target,
            pool: None,
            unique: false,
            key,
            limits,
        };
        restore(&request, watch)
    }
}

pub(crate) type Watch<'a> = &'a mut dyn FnMut(&GuestProgress) -> ControlFlow<()>;

pub(crate) fn go_on(_: &GuestProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(crate) fn patient() -> GuestLimits {
    let long = Duration::from_secs(120);
    GuestLimits { spawn: long, stall: long, whole: long, cleanup: long }
}

pub(crate) const CONFIG: &str = "arch: amd64\nhostname: web\nmemory: 512\n\
    net0: name=eth0,bridge=vmbr0,hwaddr=AA:BB:CC:DD:EE:FF,ip=dhcp,type=veth\n\
    rootfs: local-lvm:vm-100-disk-0,size=8G\n";

fn node_at(root: &Path) -> Node {
    Node::new(Paths {
        etc_pve: root.join("etc/pve"),
        pct: root.join("usr/sbin/pct"),
        qm: root.join("usr/sbin/qm"),
        qmrestore: root.join("usr/sbin/qmrestore"),
        pvesh: root.join("usr/bin/pvesh"),
        pvesm: root.join("usr/sbin/pvesm"),
        locks: root.join("run/lock"),
    })
    .unwrap()
}

fn client_text(stores: &Path, first: &str) -> String {
    let pbs_local = program("pbs-local", "pbs-local");
    format!("#!/bin/sh\n{first}\nexec '{}' --root '{}' \"$@\"\n", pbs_local.display(), stores.display())
}

/// A tree with what a container's files have: links of both kinds, modes, times, attributes, and as
/// root devices and owners.
fn make_tree(tree: &Path) {
    fs::create_dir_all(tree.join("etc/deep/er")).unwrap();
    fs::create_dir(tree.join("mnt")).unwrap();
    fs::write(tree.join("etc/hostname"), "web\n").unwrap();
    fs::hard_link(tree.join("etc/hostname"), tree.join("etc/deep/the-same")).unwrap();
    symlink("../hostname", tree.join("etc/deep/link")).unwrap();
    fs::write(tree.join("etc/deep/er/empty"), "").unwrap();
    fs::write(tree.join("a name with  blanks, ümläute and \u{1b}[31m"), noise(100_000)).unwrap();
    fs::set_permissions(tree.join("etc/hostname"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(tree.join("etc/deep"), fs::Permissions::from_mode(0o2750)).unwrap();
    fs::File::options().append(true).open(tree.join("etc/deep/er/empty")).unwrap().flush().unwrap();
    if is_root() {
        run(Command::new("mknod").arg(tree.join("mnt/null")).args(["c", "1", "3"]));
        run(Command::new("mkfifo").arg(tree.join("mnt/fifo")));
        std::os::unix::fs::lchown(tree.join("etc/deep/link"), Some(1000), Some(1001)).unwrap();
        std::os::unix::fs::chown(tree.join("etc/deep/er/empty"), Some(33), Some(33)).unwrap();
    }
    use rustix::fs::{XattrFlags, setxattr};
    // Some file systems have none; then both sides have none.
    let _ = setxattr(tree.join("etc/hostname"), "user.note", b"kept", XattrFlags::empty());
}

/// Everything about every entry, by path from `tree`: type, mode, owner, time, device, content or
/// target, attributes, and with which other names it is one file.
pub(crate) fn portrait(tree: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut links: BTreeMap<u64, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let path = tree.join(&relative);
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let content = if kind.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else if kind.is_file() {
            links.entry(metadata.ino()).or_default().insert(relative.clone());
            format!("{:?}", tenwords_protocol::hash::Sha256::of(&fs::read(&path).unwrap()))
        } else {
            String::new()
        };
        if kind.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| relative.join(entry.unwrap().file_name())));
        }
        let mut names = [0_u8; 1024];
        let length = rustix::fs::llistxattr(&path, &mut names).unwrap_or(0);
        let attributes: BTreeMap<String, Vec<u8>> = String::from_utf8_lossy(&names[..length])
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(|name| {
                let mut value = [0_u8; 4096];
                let length = rustix::fs::lgetxattr(&path, name, &mut value).unwrap();
                (name.to_owned(), value[..length].to_vec())
            })
            .collect();
        let text = format!(
            "{:o} {}:{} {}.{} dev {} {content} {attributes:?}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            if kind.is_file() || kind.is_dir() { 0 } else { metadata.rdev() },
        );
        found.insert(relative, text);
    }
    for names in links.into_values().filter(|names| names.len() > 1) {
        for name in &names {
            found.get_mut(name).unwrap().push_str(&format!(" one with {names:?}"));
        }
    }
    found
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
