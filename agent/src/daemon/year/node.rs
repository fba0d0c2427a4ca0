//! The machine of the year: what Proxmox VE and its administrator do to `/etc/pve`, and what is true of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use pbs_format::key::{EncryptionKey, KeyFile};
use tenwords_protocol::fingerprint::Fingerprint;
use zeroize::Zeroizing;

use super::Lived;
use crate::daemon::chance::Chance;

const PIN: &str = "08:4e:d5:55:ff:02:42:d2:a5:96:c9:0c:bf:e7:9d:be:38:5b:4d:c4:22:9c:0d:ef:92:48:96:45:cb:9c:77:28";

/// A storage of PVE, or what one has left.
#[derive(Debug, Clone, Default)]
pub(super) struct Storage {
    /// Whether `storage.cfg` has it.
    pub(super) is_there: bool,
    /// The key that `storage.cfg` names.
    pub(super) mark: Option<Fingerprint>,
    /// In `.enc`.
    pub(super) key: Option<Fingerprint>,
    /// In `.enc.old`.
    pub(super) former: Option<Fingerprint>,
    /// The last key that lay in `.enc`.
    pub(super) last: Option<Fingerprint>,
    /// The one that lay there before it.
    pub(super) before: Option<Fingerprint>,
    secret: u32,
}

#[derive(Debug)]
pub(super) struct Node {
    folder: PathBuf,
    pub(super) storages: BTreeMap<String, Storage>,
    pub(super) is_clustered: bool,
    pub(super) is_mounted: bool,
    /// Every key that there ever was.
    keys: BTreeMap<Fingerprint, [u8; 32]>,
}

impl Storage {
    /// Whether backups go there under a key that is what it should be.
    pub(super) fn is_in_use(&self) -> bool {
        self.is_there && self.key.is_some() && self.mark.is_none_or(|mark| Some(mark) == self.key)
    }

    /// Whether somebody has to mend it.
    pub(super) fn is_broken(&self) -> bool {
        self.is_there && self.mark.is_some() && self.mark != self.key
    }

    /// Whether it had a key, and encrypts no more.
    pub(super) fn is_bare(&self) -> bool {
        self.is_there && self.key.is_none()
    }
}

impl Node {
    pub(super) fn new(folder: &Path) -> Lived<Self> {
        fs::create_dir_all(folder.join("pve/priv/storage"))?;
        for name in ["pct", "qm", "qmrestore", "pvesh", "pvesm"] {
            fs::write(folder.join(name), "")?;
        }
        let storages = BTreeMap::new();
        let folder = folder.to_owned();
        Ok(Self { folder, storages, is_clustered: false, is_mounted: true, keys: BTreeMap::new() })
    }

    /// The agent's configuration. No client and no mailer are there.
    pub(super) fn configuration(&self, runtime: &Path) -> String {
        let at = self.folder.display();
        format!(
            "state = \"{at}/state\"\nruntime = \"{}\"\nclient = \"{at}/client\"\nfiles = []\n[pve]\netc = \
             \"{at}/pve\"\npct = \"{at}/pct\"\nqm = \"{at}/qm\"\nqmrestore = \"{at}/qmrestore\"\npvesh = \
             \"{at}/pvesh\"\npvesm = \"{at}/pvesm\"\nlocks = \"{at}/locks\"\ntasks = \"{at}/tasks\"\n[notify]\n\
             off = true\n",
            runtime.display()
        )
    }

    /// A key that nobody has seen.
    pub(super) fn new_key(&mut self, chance: &mut Chance) -> Fingerprint {
        let bytes = chance.key();
        let fingerprint = EncryptionKey::from_bytes(Zeroizing::new(bytes)).fingerprint();
        self.keys.insert(fingerprint, bytes);
        fingerprint
    }

    /// A key by its fingerprint.
    pub(super) fn expose_key(&self, key: Fingerprint) -> Lived<EncryptionKey> {
        let bytes = self.keys.get(&key).ok_or("there never was such a key")?;
        Ok(EncryptionKey::from_bytes(Zeroizing::new(*bytes)))
    }

    /// Every key that lies in a key file now.
    pub(super) fn live(&self) -> BTreeSet<Fingerprint> {
        let there = self.storages.values().filter(|storage| storage.is_there);
        there.flat_map(|storage| storage.key.into_iter().chain(storage.former)).collect()
    }

    /// The storages that are there, by a condition.
    pub(super) fn those(&self, of: impl Fn(&Storage) -> bool) -> Vec<String> {
        let those = self.storages.iter().filter(|(_, storage)| storage.is_there && of(storage));
        those.map(|(id, _)| id.clone()).collect()
    }

    /// PVE's "autogenerate": a new key, and the one before beside it.
    pub(super) fn autogenerate(&mut self, id: &str, chance: &mut Chance) {
        let key = self.new_key(chance);
        let storage = self.storages.entry(id.to_owned()).or_default();
        if storage.key.is_some() {
            storage.former = storage.key;
        }
        (storage.is_there, storage.mark) = (true, Some(key));
        storage.put(Some(key));
    }

    /// Another key in the key file, and whether `storage.cfg` was told.
    pub(super) fn put(&mut self, id: &str, key: Option<Fingerprint>, is_told: bool) {
        let Some(storage) = self.storages.get_mut(id) else { return };
        storage.put(key);
        if is_told {
            storage.mark = key;
        }
    }

    /// The storage goes, and PVE deletes its key.
    pub(super) fn remove(&mut self, id: &str) {
        if let Some(storage) = self.storages.get_mut(id) {
            storage.is_there = false;
            storage.mark = None;
            storage.put(None);
        }
    }

    pub(super) fn add(&mut self, id: &str, key: Option<Fingerprint>) {
        let storage = self.storages.entry(id.to_owned()).or_default();
        (storage.is_there, storage.mark) = (true, key);
        storage.put(key);
    }

    pub(super) fn new_secret(&mut self, id: &str) {
        if let Some(storage) = self.storages.get_mut(id) {
            storage.secret += 1;
        }
    }

    /// The cluster's files take the place of this node's.
    pub(super) fn join(&mut self, chance: &mut Chance) {
        self.is_clustered = true;
        self.storages.clear();
        self.autogenerate("cluster", chance);
    }

    /// Brings all of it onto the disk. A file is replaced as pmxcfs does it, and one that is the same is left alone.
    pub(super) fn lay_out(&self) -> Lived {
        let pve = self.folder.join("pve");
        let mut wanted: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut cfg = "dir: local\n\tpath /var/lib/vz\n\tcontent iso\n\n".to_owned();
        for (id, storage) in self.storages.iter().filter(|(_, storage)| storage.is_there) {
            let mark = storage.mark.map(|mark| format!("\tencryption-key {mark}\n")).unwrap_or_default();
            cfg.push_str(&format!(
                "pbs: {id}\n\tdatastore {id}\n\tserver pbs.example\n\tcontent backup\n{mark}\tfingerprint {PIN}\n\
                 \tport 8007\n\tusername backup@pbs!box1\n\n"
            ));
            wanted.insert(format!("priv/storage/{id}.pw"), format!("secret-{}\n", storage.secret).into_bytes());
        }
        for (id, storage) in &self.storages {
            let files = [(storage.key.filter(|_| storage.is_there), "enc"), (storage.former, "enc.old")];
            for (key, ending) in files.into_iter().filter_map(|(key, ending)| Some((key?, ending))) {
                let text = KeyFile::plain(&self.expose_key(key)?, 1, 2).to_json();
                wanted.insert(format!("priv/storage/{id}.{ending}"), text.to_vec());
            }
        }
        wanted.insert("storage.cfg".to_owned(), cfg.into_bytes());
        wanted.insert(".members".to_owned(), b"{\"nodename\":\"box1\",\"version\":1}".to_vec());
        wanted.insert(".vmlist".to_owned(), b"{\"version\":1,\"ids\":{}}".to_vec());
        if self.is_mounted {
            wanted.insert(".version".to_owned(), b"{}".to_vec());
        }
        if self.is_clustered {
            wanted.insert("corosync.conf".to_owned(), b"totem {}\n".to_vec());
        }
        for (name, text) in &wanted {
            let path = pve.join(name);
            if fs::read(&path).ok().as_ref() != Some(text) {
                let beside = pve.join("priv/beside");
                fs::write(&beside, text)?;
                fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
                fs::rename(beside, path)?;
            }
        }
        for folder in ["", "priv/storage"] {
            for entry in fs::read_dir(pve.join(folder))? {
                let path = entry?.path();
                let name = path.strip_prefix(&pve)?.to_string_lossy().into_owned();
                if path.is_file() && !wanted.contains_key(&name) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }
}

impl Storage {
    fn put(&mut self, key: Option<Fingerprint>) {
        self.key = key;
        if key.is_some() && key != self.last {
            (self.before, self.last) = (self.last, key);
        }
    }
}
