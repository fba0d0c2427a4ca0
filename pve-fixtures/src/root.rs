//! The node below the fixture's root: `/etc/pve`, its list of guests, and the locks.
//!
//! pmxcfs computes `.vmlist` whenever somebody reads it; here it is a file, written anew from the
//! folders after every change, under one lock.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};

use crate::{Died, arguments::Own};

/// A container or a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ct,
    Vm,
}

impl Kind {
    /// As it stands in messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ct => "CT",
            Self::Vm => "VM",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Ct => "lxc",
            Self::Vm => "qemu-server",
        }
    }

    fn vmlist_type(self) -> &'static str {
        match self {
            Self::Ct => "lxc",
            Self::Vm => "qemu",
        }
    }
}

/// The node.
#[derive(Debug)]
pub(crate) struct Root {
    folder: PathBuf,
    pub(crate) node: String,
    quorate: bool,
    pub(crate) client: Option<PathBuf>,
    pub(crate) pbs_restore: PathBuf,
}

/// The cluster's lock of `storage.cfg`, held until it is dropped.
#[derive(Debug)]
pub(crate) struct StorageLock(PathBuf);

impl Drop for StorageLock {
    fn drop(&mut self) {
        // Somebody who thinks us dead may have removed it.
        let _ = fs::remove_dir(&self.0);
    }
}

/// A lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Locked {
    _file: Flock<File>,
}

impl Root {
    pub(crate) fn open(own: &Own) -> Result<Self, Died> {
        let folder = own.root()?.clone();
        let members = folder.join("etc/pve/.members");
        let text = fs::read_to_string(&members).map_err(|error| format!("fixture: {}: {error}", members.display()))?;
        let members: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("fixture: {error}"))?;
        let node = members["nodename"].as_str().unwrap_or("pve").to_owned();
        let pbs_restore = own.pbs_restore.clone().unwrap_or_else(|| folder.join("usr/bin/pbs-restore"));
        let quorate = members["cluster"]["quorate"].as_u64() != Some(0);
        Ok(Self { folder, node, quorate, client: own.client.clone(), pbs_restore })
    }

    /// What everything that changes the cluster's files asks first.
    pub(crate) fn check_quorum(&self) -> Result<(), Died> {
        if self.quorate { Ok(()) } else { Err("cluster not ready - no quorum?".to_owned()) }
    }

    /// A path of PVE's, below the root.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        if path.starts_with(&self.folder) {
            return path.to_owned();
        }
        self.folder.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(crate) fn etc_pve(&self) -> PathBuf {
        self.folder.join("etc/pve")
    }

    pub(crate) fn config_file(&self, kind: Kind, vmid: u32) -> PathBuf {
        self.etc_pve().join("nodes").join(&self.node).join(kind.folder()).join(format!("{vmid}.conf"))
    }

    pub(crate) fn firewall_file(&self, vmid: u32) -> PathBuf {
        self.etc_pve().join(format!("firewall/{vmid}.fw"))
    }

    /// PVE's words for a number that is taken, if it is.
    pub(crate) fn check_unused(&self, vmid: u32) -> Result<(), Died> {
        match self.guests()?.get(&vmid) {
            Some((kind, node)) => Err(format!("{} {vmid} already exists on node '{node}'", kind.word())),
            None => Ok(()),
        }
    }

    /// Every guest of the cluster.
    pub(crate) fn guests(&self) -> Result<BTreeMap<u32, (Kind, String)>, Died> {
        let mut guests = BTreeMap::new();
        let nodes = self.etc_pve().join("nodes");
        for node in names(&nodes)? {
            for kind in [Kind::Ct, Kind::Vm] {
                for name in names(&nodes.join(&node).join(kind.folder()))? {
                    if let Some(vmid) = name.strip_suffix(".conf").and_then(|number| number.parse().ok()) {
                        guests.insert(vmid, (kind, node.clone()));
                    }
                }
            }
        }
        Ok(guests)
    }

    pub(crate) fn read_config(&self, kind: Kind, vmid: u32) -> Result<Option<String>, Died> {
        match fs::read_to_string(self.config_file(kind, vmid)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("unable to read config of {vmid} - {error}")),
        }
    }

    /// A configuration that has to be there, in PVE's words where it is not.
    pub(crate) fn load_config(&self, kind: Kind, vmid: u32) -> Result<String, Died> {
        self.read_config(kind, vmid)?.ok_or_else(|| {
            let file = self.config_file(kind, vmid);
            format!("Configuration file '{}' does not exist", file.display())
        })
    }

    /// Writes a guest's configuration and brings the list of guests in step.
    pub(crate) fn write_config(&self, kind: Kind, vmid: u32, text: &str) -> Result<(), Died> {
        let _lock = self.lock("pmxcfs")?;
        self.put(&self.config_file(kind, vmid), text.as_bytes(), 0o640)?;
        self.write_vmlist()
    }

    pub(crate) fn remove_config(&self, kind: Kind, vmid: u32) -> Result<(), Died> {
        let _lock = self.lock("pmxcfs")?;
        fs::remove_file(self.config_file(kind, vmid))
            .map_err(|error| format!("failed to remove config file: {error}"))?;
        self.write_vmlist()
    }

    /// Puts a file there in one step.
    pub(crate) fn put(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Died> {
        use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
        let beside = path.with_extension(format!("tmp.{}", std::process::id()));
        let written = (|| {
            let mut file = File::options().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
            file.write_all(content)?;
            fs::rename(&beside, path)
        })();
        written.map_err(|error| {
            // The error at hand matters more than one about the rest of it.
            let _ = fs::remove_file(&beside);
            format!("unable to open file '{}' - {error}", beside.display())
        })
    }

    /// One lock of the node.
    pub(crate) fn lock(&self, name: &str) -> Result<Locked, Died> {
        let path = self.folder.join("run/lock").join(name);
        let failed = |error: io::Error| format!("can't lock file '{}' - {error}", path.display());
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(file) => Ok(Locked { _file: file }),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    /// PVE's lock of `storage.cfg`: a folder, which one can make. Waited for as long as PVE does.
    pub(crate) fn lock_storage_config(&self) -> Result<StorageLock, Died> {
        let folder = self.etc_pve().join("priv/lock");
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let path = folder.join("file-storage_cfg");
        for _ in 0..100 {
            match fs::create_dir(&path) {
                Ok(()) => return Ok(StorageLock(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => thread::sleep(Duration::from_millis(100)),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("cfs-lock 'file-storage_cfg' error: got lock request timeout".to_owned())
    }

    /// A guest's lock; a holder is not waited for.
    pub(crate) fn lock_guest(&self, kind: Kind, vmid: u32) -> Result<Locked, Died> {
        let name = match kind {
            Kind::Ct => format!("lxc/pve-config-{vmid}.lock"),
            Kind::Vm => format!("qemu-server/lock-{vmid}.conf"),
        };
        let path = self.folder.join("run/lock").join(name);
        let shown = format!("/{}", path.strip_prefix(&self.folder).unwrap_or(&path).display());
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| format!("can't lock file '{shown}' - can't open file - {error}"))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Locked { _file: file }),
            Err(_) => Err(format!("can't lock file '{shown}' - got timeout")),
        }
    }

    /// The list of guests in pmxcfs's own form, and its number in `.version`.
    pub(crate) fn write_vmlist(&self) -> Result<(), Died> {
        let path = self.etc_pve().join(".vmlist");
        let old: serde_json::Value =
            fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let version = old["version"].as_u64().unwrap_or(0) + 1;
        let guests = self.guests()?;
        let rows: Vec<String> = guests
            .iter()
            .zip(1..)
            .map(|((vmid, (kind, node)), number)| {
                let kind = kind.vmlist_type();
                format!("\"{vmid}\": {{ \"node\": \"{node}\", \"type\": \"{kind}\", \"version\": {number} }}")
            })
            .collect();
        let text = if rows.is_empty() {
            format!("{{\n\"version\": {version}\n\n}}\n")
        } else {
            format!("{{\n\"version\": {version},\n\"ids\": {{\n{}}}\n\n}}\n", rows.join(",\n"))
        };
        self.put(&path, text.as_bytes(), 0o440)?;
        let version_file = self.etc_pve().join(".version");
        let text = format!(
            "{{\n\"starttime\": 1795220666,\n\"clinfo\": 2,\n\"vmlist\": {version},\n\"kvstore\": {{\n}}\n}}\n"
        );
        self.put(&version_file, text.as_bytes(), 0o440)
    }
}

/// The names in a folder; none if there is no such folder.
fn names(folder: &Path) -> Result<Vec<String>, Died> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("unable to open '{}' - {error}", folder.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("unable to read '{}' - {error}", folder.display()))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
