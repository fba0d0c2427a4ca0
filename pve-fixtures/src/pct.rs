//! `pct restore VMID VOLID`, in pve-container's order of work; what is done with a container that is there
//! is `guest.rs`'s.

use std::{fs, path::Path};

use crate::{
    Died,
    arguments::{Given, Own, Takes, read, vmid},
    client::Pbs,
    config, guest, pools, removal,
    root::{Kind, Root},
    storage::{self, Storage},
    worker::{Interrupt, Keep, Output, cut_off, make_path, task},
};

const OPTIONS: &[(&str, Takes)] = &[
    ("bwlimit", Takes::Word),
    ("force", Takes::Flag),
    ("hostname", Takes::Word),
    ("pool", Takes::Word),
    ("ignore-unpack-errors", Takes::Flag),
    ("storage", Takes::Word),
    ("unique", Takes::Flag),
    ("unprivileged", Takes::Flag),
];

pub(crate) fn run(own: &Own) -> Result<(), Died> {
    let (command, words) = own.rest.split_first().ok_or("ERROR: no command specified")?;
    if removal::knows(command) {
        return removal::run(&Root::open(own)?, Kind::Ct, command, words);
    }
    if guest::knows(Kind::Ct, command) {
        return guest::run(&Root::open(own)?, Kind::Ct, command, words);
    }
    if command != "restore" {
        return Err(format!("ERROR: unknown command 'pct {command}'"));
    }
    let given = read(words, OPTIONS)?;
    let [number, volid] = given.positionals()?;
    let number = vmid(number)?;
    let root = Root::open(own)?;
    let restore = Restore {
        storages: storage::read(&root)?,
        root: &root,
        given: &given,
        vmid: number,
        volid,
        existed: root.config_file(Kind::Ct, number).is_file(),
    };
    if own.worker.is_none() {
        restore.prepare()?;
    }
    task(own, "received interrupt", |interrupt| restore.work(interrupt))
}

struct Restore<'a> {
    root: &'a Root,
    storages: Vec<Storage>,
    given: &'a Given,
    vmid: u32,
    volid: &'a str,
    existed: bool,
}

/// What the work has made so far.
#[derive(Default)]
struct Made {
    volumes: Vec<String>,
    /// Whether anything but the lock was changed.
    changed: bool,
}

impl Restore<'_> {
    /// What is checked, and locked, before the worker starts.
    fn prepare(&self) -> Result<(), Died> {
        self.root.check_quorum()?;
        let vmid = self.vmid;
        let force = self.given.flag("force");
        if self.existed && force {
            let config = self.root.read_config(Kind::Ct, vmid)?.unwrap_or_default();
            if config::value(&config, "protection") == Some("1") {
                return Err(format!("unable to restore CT {vmid} - protection mode enabled"));
            }
            if guest::is_running(self.root, vmid) {
                return Err("can't overwrite running container".to_owned());
            }
        } else {
            self.root.check_unused(vmid)?;
        }
        pools::check(self.root, self.given.get("pool"))?;
        let (pbs, name) = storage::parse_volume_id(self.volid)?;
        storage::find(&self.storages, pbs)?;
        storage::parse_backup(name)?;
        let target = storage::find_enabled(self.root, &self.storages, self.target())?;
        if !target.holds("rootdir") {
            let why = format!("storage '{}' does not support container directories", target.id);
            return Err(format!("400 Parameter verification failed.\nstorage: {why}"));
        }
        target.activate(self.root)?;
        self.lock_config(force).map_err(|why| format!("{} {why}", self.complaint()))
    }

    fn lock_config(&self, force: bool) -> Result<(), Died> {
        let _lock = self.root.lock_guest(Kind::Ct, self.vmid)?;
        if !force {
            self.root.check_unused(self.vmid)?;
        }
        let old = self.root.read_config(Kind::Ct, self.vmid)?.unwrap_or_default();
        if let Some(lock) = config::value(&old, "lock") {
            return Err(format!("CT is locked ({lock})"));
        }
        self.root.write_config(Kind::Ct, self.vmid, &config::rewritten(&old, Some("create")))
    }

    fn work(&self, interrupt: &Interrupt) -> Result<(), Died> {
        let _lock = self.root.lock_guest(Kind::Ct, self.vmid)?;
        let old = self.root.load_config(Kind::Ct, self.vmid)?;
        // A container that was there before has more in its configuration than the lock.
        let existed = config::entries(&old).count() > 1;
        let mut made = Made { changed: !existed, ..Made::default() };
        let Err(why) = self.restore(interrupt, &old, existed, &mut made) else {
            cut_off(self.root, self.vmid);
            return pools::add(self.root, self.given.get("pool"), self.vmid);
        };
        for volid in &made.volumes {
            if let Err(error) = storage::free(self.root, &self.storages, volid) {
                Output::tell_error(&format!("{error}\n"));
            }
        }
        if made.changed {
            if let Err(error) = self.root.remove_config(Kind::Ct, self.vmid) {
                Output::tell_error(&format!("{error}\n"));
            }
            // Usually there is none.
            let _ = fs::remove_file(self.root.firewall_file(self.vmid));
        } else {
            self.root.write_config(Kind::Ct, self.vmid, &config::rewritten(&old, None))?;
        }
        Err(format!("{} {why}", self.complaint()))
    }

    fn restore(&self, interrupt: &Interrupt, old: &str, existed: bool, made: &mut Made) -> Result<(), Died> {
        let (pbs, name) = storage::parse_volume_id(self.volid)?;
        let pbs = Pbs::new(self.root, storage::find_enabled(self.root, &self.storages, pbs)?);
        let (kind, snapshot) = storage::parse_backup(name)?;
        Output::tell(&format!("recovering backed-up configuration from '{}'\n", self.volid));
        if kind != "ct" {
            return Err(format!("got unexpected backup format 'pbs-{kind}'"));
        }
        let backed_up = recover(&pbs, interrupt, snapshot)?;

        let target = storage::find(&self.storages, self.target())?;
        let mut mounts = Vec::new();
        let mut kept_mounts = Vec::new();
        for (key, value) in config::entries(&backed_up).filter(|(key, _)| *key == "rootfs" || is_mount(key)) {
            if !config::volume(value).starts_with('/') {
                let size = config::option(value, "size").and_then(config::size);
                size.ok_or_else(|| format!("unable to detect disk size - please specify {key} (size)"))?;
                mounts.push((key, value));
            } else if key == "rootfs" {
                return Err("restoring rootfs to bind mount is only possible by specifying -rootfs manually!".into());
            } else {
                kept_mounts.push((key.to_owned(), value.to_owned()));
            }
        }
        if !mounts.iter().any(|(key, _)| *key == "rootfs") {
            return Err("rootfs configuration could not be recovered, please check and specify manually!".into());
        }
        made.changed = true;
        let mut lines = Vec::new();
        let mut folders = Vec::new();
        for (key, value) in mounts {
            interrupt.check()?;
            let volid = target.allocate_folder(self.root, self.vmid)?;
            made.volumes.push(volid.clone());
            let place = target.place(self.root, storage::parse_volume_id(&volid)?.1)?;
            folders.push((key, config::option(value, "mp").unwrap_or("/").to_owned(), place));
            lines.push((key.to_owned(), config::with_volume(value, &volid)));
        }
        if existed {
            self.destroy(old)?;
        }

        let rootfs = folders.iter().find(|(key, ..)| *key == "rootfs").map(|(.., place)| place.as_path());
        let rootfs = rootfs.ok_or("rootfs has no volume")?;
        Output::tell(&format!("restoring '{}' now..\n", self.volid));
        let shown = rootfs.to_string_lossy();
        let mut parameters = vec![snapshot, "root.pxar", &shown, "--allow-existing-dirs"];
        if self.given.flag("ignore-unpack-errors") {
            parameters.push("--ignore-extract-device-errors");
        }
        pbs.client(interrupt, "restore", &parameters, Keep::Nothing)?;
        for (_, mount, place) in folders.iter().filter(|(key, ..)| *key != "rootfs") {
            distribute(rootfs, mount, place)?;
        }

        Output::tell("merging backed-up and given configuration..\n");
        let backed_up = recover(&pbs, interrupt, snapshot)?;
        self.restore_firewall(&pbs, interrupt, snapshot)?;
        let merged = self.merge(&backed_up, lines, kept_mounts);
        self.root.write_config(Kind::Ct, self.vmid, &merged)
    }

    fn restore_firewall(&self, pbs: &Pbs<'_>, interrupt: &Interrupt, snapshot: &str) -> Result<(), Died> {
        let mut list = Vec::new();
        let keep = Keep::StdoutUnder(&mut list, "proxmox-backup-client failed");
        pbs.client(interrupt, "files", &[snapshot, "--output-format=json"], keep)?;
        let list: serde_json::Value = serde_json::from_slice(&list).map_err(|error| error.to_string())?;
        let has = list.as_array().into_iter().flatten().any(|file| file["filename"] == "fw.conf.blob");
        if !has {
            return Ok(());
        }
        let target = self.root.firewall_file(self.vmid);
        if let Some(folder) = target.parent() {
            make_path(folder)?;
        }
        // Usually there is none.
        let _ = fs::remove_file(&target);
        pbs.client(interrupt, "restore", &[snapshot, "fw.conf", &target.to_string_lossy()], Keep::Nothing)
    }

    /// The new configuration: what was backed up, with the new volumes.
    fn merge(&self, backed_up: &str, mut lines: Vec<(String, String)>, kept: Vec<(String, String)>) -> String {
        lines.extend(kept);
        for (key, value) in config::entries(backed_up) {
            let left_out = ["digest", "rootfs", "snapshots", "parent", "lock", "template", "unprivileged"];
            if left_out.contains(&key) || is_mount(key) || key.starts_with("unused") {
                continue;
            }
            let value = match (key, self.given.get("hostname")) {
                ("hostname", Some(hostname)) => hostname.to_owned(),
                _ if is_net(key) && self.given.flag("unique") => {
                    config::with_option(value, "hwaddr", &config::random_ether_addr())
                }
                _ => value.to_owned(),
            };
            lines.push((key.to_owned(), value));
        }
        let unprivileged = match self.given.get("unprivileged") {
            Some(_) => self.given.flag("unprivileged"),
            None => config::value(backed_up, "unprivileged") == Some("1"),
        };
        if unprivileged {
            lines.push(("unprivileged".into(), "1".into()));
        }
        for (key, value) in [("hostname", format!("CT{}", self.vmid)), ("memory", "512".into()), ("swap", "512".into())]
        {
            if !lines.iter().any(|(found, _)| found == key) {
                lines.push((key.into(), value));
            }
        }
        lines.sort();
        let comments = config::main_part(backed_up).lines().filter(|line| line.starts_with('#'));
        let mut text: String = comments.map(|line| format!("{line}\n")).collect();
        text.extend(lines.into_iter().map(|(key, value)| format!("{key}: {value}\n")));
        text
    }

    /// The volumes of the container that is replaced.
    fn destroy(&self, old: &str) -> Result<(), Died> {
        for (key, value) in config::entries(old) {
            let volid = config::volume(value);
            let own = volid.contains(&format!(":{}/", self.vmid));
            if (key == "rootfs" || is_mount(key) || key.starts_with("unused")) && own {
                storage::free(self.root, &self.storages, volid)?;
            }
        }
        self.root.write_config(Kind::Ct, self.vmid, "lock: create\n")
    }

    fn target(&self) -> &str {
        self.given.get("storage").unwrap_or("local")
    }

    fn complaint(&self) -> String {
        format!("unable to restore CT {} -", self.vmid)
    }
}

fn recover(pbs: &Pbs<'_>, interrupt: &Interrupt, snapshot: &str) -> Result<String, Died> {
    let mut text = Vec::new();
    pbs.client(interrupt, "restore", &[snapshot, "pct.conf", "-"], Keep::Stdout(&mut text))?;
    String::from_utf8(text).map_err(|_| "unable to parse pct.conf".to_owned())
}

/// What the archive has at a mount point goes to the volume that would have been mounted there.
fn distribute(rootfs: &Path, mount: &str, place: &Path) -> Result<(), Died> {
    let from = rootfs.join(mount.trim_start_matches('/'));
    let told = |error: std::io::Error| format!("mount point '{mount}': {error}");
    if !fs::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    for entry in fs::read_dir(&from).map_err(told)? {
        let entry = entry.map_err(told)?;
        fs::rename(entry.path(), place.join(entry.file_name())).map_err(told)?;
    }
    Ok(())
}

fn is_mount(key: &str) -> bool {
    key.strip_prefix("mp").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_net(key: &str) -> bool {
    key.strip_prefix("net").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}
