//! `qmrestore VOLID VMID`, in qemu-server's order of work.
//!
//! Where it fails, PVE removes the new volumes but leaves the configuration that holds the number: the
//! fixture does too, and says so in the same words.

use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::{
    Died,
    arguments::{Given, Own, Takes, read, vmid},
    client::Pbs,
    config, guest, pools,
    root::{Kind, Root},
    storage::{self, Storage},
    worker::{Interrupt, Keep, Output, cut_off, make_path, task},
};

const OPTIONS: &[(&str, Takes)] = &[
    ("bwlimit", Takes::Word),
    ("force", Takes::Flag),
    ("pool", Takes::Word),
    ("storage", Takes::Word),
    ("unique", Takes::Flag),
];

pub(crate) fn run(own: &Own) -> Result<(), Died> {
    let given = read(&own.rest, OPTIONS)?;
    let [volid, number] = given.positionals()?;
    let number = vmid(number)?;
    let root = Root::open(own)?;
    let restore = Restore { storages: storage::read(&root)?, root: &root, given: &given, vmid: number, volid };
    if own.worker.is_none() {
        restore.prepare()?;
    }
    task(own, "interrupted by signal", |interrupt| restore.work(interrupt))
}

struct Restore<'a> {
    root: &'a Root,
    storages: Vec<Storage>,
    given: &'a Given,
    vmid: u32,
    volid: &'a str,
}

/// One disk that is to be made.
struct Disk {
    archive: String,
    storage: String,
    size: u64,
}

/// Devices and their new volumes.
type Volumes = BTreeMap<String, String>;

impl Restore<'_> {
    fn prepare(&self) -> Result<(), Died> {
        self.root.check_quorum()?;
        pools::check(self.root, self.given.get("pool"))?;
        let (pbs, name) = storage::parse_volume_id(self.volid)?;
        storage::find(&self.storages, pbs)?;
        storage::parse_backup(name)?;
        self.lock_config().map_err(|why| format!("unable to restore VM {} - {why}", self.vmid))
    }

    fn lock_config(&self) -> Result<(), Died> {
        let _lock = self.root.lock_guest(Kind::Vm, self.vmid)?;
        let old = self.root.read_config(Kind::Vm, self.vmid)?;
        if !(self.given.flag("force") && old.is_some()) {
            self.root.check_unused(self.vmid)?;
        }
        let old = old.unwrap_or_default();
        if let Some(lock) = config::value(&old, "lock") {
            return Err(format!("VM is locked ({lock})"));
        }
        self.root.write_config(Kind::Vm, self.vmid, &config::rewritten(&old, Some("create")))
    }

    fn work(&self, interrupt: &Interrupt) -> Result<(), Died> {
        let Err(why) = self.locked(interrupt) else { return Ok(()) };
        if let Some(text) = self.root.read_config(Kind::Vm, self.vmid)? {
            self.root.write_config(Kind::Vm, self.vmid, &config::rewritten(&text, None))?;
        }
        Output::tell_error(&format!(
            "error before or during data restore, some or all disks were not completely restored. VM {} state is NOT cleaned up.\n",
            self.vmid
        ));
        Err(why)
    }

    fn locked(&self, interrupt: &Interrupt) -> Result<(), Died> {
        let _lock = self.root.lock_guest(Kind::Vm, self.vmid)?;
        let old = self.root.load_config(Kind::Vm, self.vmid)?;
        if config::value(&old, "protection") == Some("1") {
            return Err(format!("unable to restore VM {} - protection mode enabled", self.vmid));
        }
        if guest::is_running(self.root, self.vmid) {
            return Err(format!("unable to restore VM {} - vm is running", self.vmid));
        }
        let (pbs, name) = storage::parse_volume_id(self.volid)?;
        let pbs = Pbs::new(self.root, storage::find(&self.storages, pbs)?);
        let (kind, snapshot) = storage::parse_backup(name)?;
        let mut early = Vec::new();
        let keep = Keep::StdoutUnder(&mut early, "proxmox-backup-client failed");
        if let Err(why) = pbs.client(interrupt, "restore", &[snapshot, "qemu-server.conf", "-"], keep) {
            Output::tell_error(&format!("Could not extract backed up config: {why}\n\nSkipping early checks!\n"));
        }
        if kind != "vm" {
            return Err(format!("got unexpected backup format 'pbs-{kind}'"));
        }
        let scratch = self.root.path(format!("/var/tmp/vzdumptmp{}", std::process::id()));
        make_path(&scratch)?;
        let mut volumes = Volumes::new();
        let restored = self.restore(&pbs, interrupt, snapshot, &scratch, &old, &mut volumes);
        // Left behind at worst is a copy of a configuration.
        let _ = fs::remove_dir_all(&scratch);
        let text = match restored {
            Ok(text) => text,
            Err(why) => {
                for volid in volumes.values() {
                    match storage::free(self.root, &self.storages, volid) {
                        Ok(()) => Output::tell_error(&format!("temporary volume '{volid}' successfully removed\n")),
                        Err(error) => Output::tell_error(&format!("unable to cleanup '{volid}' - {error}\n")),
                    }
                }
                return Err(why);
            }
        };
        self.root.write_config(Kind::Vm, self.vmid, &text)?;
        cut_off(self.root, self.vmid);
        self.rescan(&text)?;
        pools::add(self.root, self.given.get("pool"), self.vmid)
    }

    fn restore(
        &self,
        pbs: &Pbs<'_>,
        interrupt: &Interrupt,
        snapshot: &str,
        scratch: &std::path::Path,
        old: &str,
        volumes: &mut Volumes,
    ) -> Result<String, Died> {
        let fetch = |name: &str| -> Result<PathBuf, Died> {
            let path = scratch.join(name);
            pbs.client(interrupt, "restore", &[snapshot, name, &path.to_string_lossy()], Keep::Nothing)?;
            Ok(path)
        };
        let read =
            |path: &PathBuf| fs::read(path).map_err(|error| format!("unable to read {} - {error}", path.display()));
        let index: serde_json::Value =
            serde_json::from_slice(&read(&fetch("index.json")?)?).map_err(|error| error.to_string())?;
        let files: BTreeMap<&str, u64> = index["files"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|file| Some((file["filename"].as_str()?, file["size"].as_u64()?)))
            .collect();
        if !files.contains_key("qemu-server.conf.blob") {
            return Err("backup does not look like a qemu-server backup (missing 'qemu-server.conf' file)".into());
        }
        let text = String::from_utf8(read(&fetch("qemu-server.conf")?)?)
            .map_err(|_| "unable to read qemu-server.conf".to_owned())?;
        if files.contains_key("fw.conf.blob") {
            let from = fetch("fw.conf")?;
            self.root.put(&self.root.firewall_file(self.vmid), &read(&from)?, 0o640)?;
        }
        let disks = self.hints(&text, &files)?;
        self.root.write_config(Kind::Vm, self.vmid, "memory: 128\nlock: create")?;
        for (device, value) in config::entries(old).filter(|(key, _)| disks.contains_key(*key)) {
            let volid = config::volume(value);
            if volid.contains(&format!(":{}/", self.vmid))
                && let Err(error) = storage::free(self.root, &self.storages, volid)
            {
                Output::tell_error(&format!("{device}: {error}\n"));
            }
        }
        for (device, disk) in &disks {
            let target = storage::find(&self.storages, &disk.storage)?;
            let size = disk.size.div_ceil(1024) * 1024;
            let volid = target.allocate_raw(self.root, self.vmid, size, None)?;
            Output::tell_error(&format!("new volume ID is '{volid}'\n"));
            volumes.insert(device.clone(), volid);
        }
        for (device, disk) in &disks {
            let (_, volname) = storage::parse_volume_id(&volumes[device])?;
            let path = storage::find(&self.storages, &disk.storage)?.place(self.root, volname)?;
            pbs.restore_disk(interrupt, snapshot, &disk.archive, &path.to_string_lossy(), |command| {
                Output::tell(&format!("restore proxmox backup image: {command}\n"));
            })?;
        }
        Ok(config::main_part(&text).split_inclusive('\n').filter_map(|line| self.updated(line, volumes)).collect())
    }

    /// The disks that the backup has, by the hints that vzdump wrote into the configuration.
    fn hints(&self, text: &str, files: &BTreeMap<&str, u64>) -> Result<BTreeMap<String, Disk>, Died> {
        let mut disks = BTreeMap::new();
        for hint in text.lines().filter_map(|line| line.strip_prefix("#qmdump#map:")) {
            let parts: Vec<&str> = hint.split(':').collect();
            let [device, name, stored, _format, ""] = parts[..] else { continue };
            let archive = format!("{name}.img.fidx");
            let size = files.get(archive.as_str());
            let size = *size.ok_or_else(|| format!("archive does not contain data for drive '{device}'"))?;
            let id = self.given.get("storage").unwrap_or(if stored.is_empty() { "local" } else { stored });
            if !storage::find(&self.storages, id)?.holds("images") {
                return Err(format!("Content type 'images' is not available on storage '{id}'"));
            }
            disks.insert(device.to_owned(), Disk { archive, storage: id.to_owned(), size });
        }
        Ok(disks)
    }

    /// One line of the new configuration, if it stays.
    fn updated(&self, line: &str, volumes: &Volumes) -> Option<String> {
        if ["#qmdump#", "#vzdump#", "lock:", "unused", "parent:"].iter().any(|start| line.starts_with(start)) {
            return None;
        }
        let Some((key, value)) = line.trim_end().split_once(": ") else { return Some(line.to_owned()) };
        let unique = self.given.flag("unique");
        let value = match (key, volumes.get(key)) {
            (_, Some(volid)) => config::with_volume(value, volid),
            ("vmgenid", _) if value != "0" => config::random_uuid(),
            ("smbios1", _) if unique => config::with_option(value, "uuid", &config::random_uuid()),
            _ if is_drive(key) && config::option(value, "backup") == Some("0") => return Some(format!("#{line}")),
            _ if unique && key.starts_with("net") => {
                let card = value.split(['=', ',']).next().unwrap_or("virtio");
                config::with_option(value, card, &config::random_ether_addr())
            }
            _ => return Some(line.to_owned()),
        };
        Some(format!("{key}: {value}\n"))
    }

    /// Volumes of that number which nothing names become `unused`.
    fn rescan(&self, text: &str) -> Result<(), Died> {
        Output::tell("rescan volumes...\n");
        let mut text = text.to_owned();
        let mut next = 0;
        for storage in self.storages.iter().filter(|storage| storage.kind == "dir") {
            for volume in storage.volumes(self.root, Some(self.vmid))? {
                if !text.contains(&volume.volid) {
                    let (vmid, volid) = (self.vmid, &volume.volid);
                    Output::tell(&format!("VM {vmid} add unreferenced volume '{volid}' as 'unused{next}' to config\n"));
                    text.push_str(&format!("unused{next}: {volid}\n"));
                    next += 1;
                }
            }
        }
        self.root.write_config(Kind::Vm, self.vmid, &text)
    }
}

fn is_drive(key: &str) -> bool {
    let name = key.trim_end_matches(|c: char| c.is_ascii_digit());
    name != key && ["ide", "scsi", "virtio", "sata", "efidisk", "tpmstate"].contains(&name)
}
