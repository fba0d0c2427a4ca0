//! A node of Proxmox VE made of folders: what pmxcfs shows, and programs that do nothing.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use pbs_driver::pve::{Node, Paths, PbsStorage, StorageId, install::Wanted};
use pbs_format::key::{EncryptionKey, KeyFile};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tempfile::TempDir;
use tenwords_protocol::fingerprint::Fingerprint;

use crate::place::{KEYS, TOKEN, write_program};

/// As a fresh standalone node has it.
pub(crate) const FRESH: &str = "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl,backup\n\n\
                                lvmthin: local-lvm\n\tthinpool data\n\tvgname pve\n\tcontent rootdir,images\n\n";
pub(crate) const PIN: [u8; 32] = [0xab; 32];

pub(crate) struct Pve {
    base: TempDir,
    pub(crate) node: Node,
}

impl Pve {
    /// Mounted and writable, with a fresh `storage.cfg`.
    pub(crate) fn new() -> Self {
        let pve = Self::unmounted();
        pve.mount();
        pve.write("storage.cfg", FRESH.as_bytes());
        pve
    }

    /// The empty folder on the root disk, and PVE's programs.
    pub(crate) fn unmounted() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("pve")).unwrap();
        for program in ["pct", "qmrestore", "pvesm"] {
            write_program(&base.path().join(program), "#!/bin/sh\nexit 1\n");
        }
        let node = node(base.path(), &base.path().join("pve"));
        Self { base, node }
    }

    /// What a mounted pmxcfs shows of itself on a standalone node.
    pub(crate) fn mount(&self) {
        show_own_files(&self.etc());
    }

    pub(crate) fn etc(&self) -> PathBuf {
        self.node.paths().etc_pve.clone()
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    pub(crate) fn write(&self, relative: &str, bytes: &[u8]) {
        let path = self.node.file(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn text(&self, relative: &str) -> String {
        fs::read_to_string(self.node.file(relative)).unwrap()
    }

    pub(crate) fn has(&self, relative: &str) -> bool {
        self.node.file(relative).exists()
    }

    /// Everything below it: path, kind and mode, inode, change time and bytes. Equal means untouched.
    pub(crate) fn everything(&self) -> BTreeMap<PathBuf, (u32, u64, i64, i64, String)> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.etc()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let about = fs::symlink_metadata(&path).unwrap();
                let text =
                    if about.is_file() { fs::read(&path).unwrap().escape_ascii().to_string() } else { String::new() };
                // A lock taken and given back changes the times of the folder it lay in, and nothing else.
                let times = if about.is_dir() { (0, 0) } else { (about.mtime(), about.mtime_nsec()) };
                all.insert(path.clone(), (about.mode(), about.ino(), times.0, times.1, text));
                if about.is_dir() {
                    folders.push(path);
                }
            }
        }
        all
    }

    pub(crate) fn assert_mode(&self, relative: &str, mode: u32) {
        assert_eq!(fs::metadata(self.node.file(relative)).unwrap().permissions().mode() & 0o7777, mode, "{relative}");
    }

    /// No lock and no half-written file is left.
    pub(crate) fn assert_tidy(&self) {
        for path in self.everything().keys() {
            let name = path.file_name().unwrap().to_string_lossy();
            assert!(!name.contains("tenwords") && !name.starts_with("file-"), "{} was left", path.display());
        }
    }
}

pub(crate) fn node(programs: &Path, etc_pve: &Path) -> Node {
    let paths = Paths {
        etc_pve: etc_pve.to_owned(),
        pct: programs.join("pct"),
        qm: programs.join("qm"),
        qmrestore: programs.join("qmrestore"),
        pvesh: programs.join("pvesh"),
        pvesm: programs.join("pvesm"),
        locks: programs.join("locks"),
    };
    Node::new(paths).unwrap().with_patience(Duration::ZERO)
}

pub(crate) fn show_own_files(etc_pve: &Path) {
    // (The folder of locks is made by the first who takes one.)
    fs::create_dir_all(etc_pve.join("priv/lock")).unwrap();
    fs::write(etc_pve.join(".version"), "{\n\"starttime\": 1795268427,\n\"kvstore\": {\n}\n}\n").unwrap();
    fs::write(etc_pve.join(".members"), "{\n\"nodename\": \"pve1\",\n\"version\": 0\n}\n").unwrap();
    fs::write(etc_pve.join(".vmlist"), "{\n\"version\": 0\n\n}\n").unwrap();
}

/// As pmxcfs says it of a cluster of two.
pub(crate) fn members(quorate: u8) -> String {
    format!(
        "{{\n\"nodename\": \"pve1\",\n\"version\": 3,\n\"cluster\": {{ \"name\": \"scratch\", \"version\": 1, \"nodes\": 2, \
         \"quorate\": {quorate} }},\n\"nodelist\": {{\n  \"pve1\": {{ \"id\": 1, \"online\": 1, \"ip\": \"192.0.2.1\"}},\n  \
         \"pve2\": {{ \"id\": 2, \"online\": 0}}\n  }}\n}}\n"
    )
}

pub(crate) fn id(name: &str) -> StorageId {
    name.parse().unwrap()
}

pub(crate) fn storage(name: &str) -> PbsStorage {
    let mut storage =
        PbsStorage::new(id(name), "backup@pbs!box1@pbs.example:8008:store".parse().unwrap(), "a/b".parse().unwrap());
    storage.fingerprint = Some(Fingerprint::from_bytes(PIN));
    storage
}

pub(crate) fn wanted(storage: &PbsStorage) -> Wanted<'_> {
    Wanted { storage, key: Some(&KEYS.plain), key_replaces: None, secret: TOKEN }
}

/// A key file of another key.
pub(crate) fn other_key() -> (Vec<u8>, Fingerprint) {
    let key = EncryptionKey::generate(&mut UnwrapErr(SysRng));
    (KeyFile::plain(&key, 1_795_220_666, 1_795_220_666).to_json().to_vec(), key.fingerprint())
}
