//! `pvesm status|list|add|set|remove`, with the effects on the files of a PBS storage that PVE's plugin
//! has: `add` removes a key, password or master key that it is not given, and all three if the
//! datastore cannot be reached.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::statvfs;

use crate::{
    Died,
    arguments::{Given, Own, Takes, read},
    client::{Pbs, secret_file},
    root::Root,
    storage::{self, Storage, Volume},
    worker::{Interrupt, Keep, Output, make_path, program},
};

const OPTIONS: &[(&str, Takes)] = &[
    ("content", Takes::Word),
    ("datastore", Takes::Word),
    ("delete", Takes::Word),
    ("disable", Takes::Flag),
    ("encryption-key", Takes::Word),
    ("fingerprint", Takes::Word),
    ("master-pubkey", Takes::Word),
    ("max-protected-backups", Takes::Word),
    ("namespace", Takes::Word),
    ("nodes", Takes::Word),
    ("password", Takes::Word),
    ("path", Takes::Word),
    ("port", Takes::Word),
    ("prune-backups", Takes::Word),
    ("server", Takes::Word),
    ("storage", Takes::Word),
    ("username", Takes::Word),
    ("vmid", Takes::Word),
];
/// What is kept in files of its own, and never in `storage.cfg` as it was given.
const SENSITIVE: [&str; 3] = ["password", "encryption-key", "master-pubkey"];

pub(crate) fn run(own: &Own) -> Result<(), Died> {
    let (command, words) = own.rest.split_first().ok_or("ERROR: no command specified")?;
    let given = read(words, OPTIONS)?;
    let root = Root::open(own)?;
    match command.as_str() {
        "status" => status(&root, given.get("storage")),
        "list" => list(&root, &given),
        "free" => free(&root, &given),
        "add" => changing(&root, "create storage failed", || add(&root, &given)),
        "set" => changing(&root, "update storage failed", || set(&root, &given)),
        "remove" => changing(&root, "delete storage failed", || remove(&root, &given)),
        other => Err(format!("ERROR: unknown command 'pvesm {other}'")),
    }
}

fn free(root: &Root, given: &Given) -> Result<(), Died> {
    let [volume] = given.positionals()?;
    let storages = storage::read(root)?;
    storage::free(root, &storages, volume)?;
    Output::tell(&format!("Removed volume '{volume}'\n"));
    Ok(())
}

/// Under the lock of `storage.cfg`.
fn changing(root: &Root, complaint: &str, change: impl FnOnce() -> Result<(), Died>) -> Result<(), Died> {
    root.check_quorum().map_err(|_| format!("{complaint}: no quorum!"))?;
    let _lock = root.lock_storage_config().map_err(|why| format!("{complaint}: {why}"))?;
    change().map_err(|why| format!("{complaint}: {why}"))
}

fn status(root: &Root, only: Option<&str>) -> Result<(), Died> {
    let mut storages = storage::read(root)?;
    if let Some(id) = only {
        storage::find(&storages, id)?;
        storages.retain(|storage| storage.id == id);
    }
    storages.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let width = storages.iter().map(|storage| storage.id.len()).max().unwrap_or(0) + 1;
    Output::tell(&format!(
        "{:<width$} {:>10} {:>10} {:>15} {:>15} {:>15} {:>8}\n",
        "Name", "Type", "Status", "Total (KiB)", "Used (KiB)", "Available (KiB)", "%"
    ));
    for storage in &storages {
        let enabled = storage::find_enabled(root, &storages, &storage.id).is_ok();
        let room = if enabled { room(root, storage) } else { None };
        let (total, used, free) = room.unwrap_or_default();
        let state = match (enabled, room) {
            (false, _) => "disabled",
            (true, Some(_)) => "active",
            (true, None) => "inactive",
        };
        let share =
            if enabled { format!("{:7.2}%", used as f64 * 100.0 / total.max(1) as f64) } else { "N/A".to_owned() };
        Output::tell(&format!(
            "{:<width$} {:>10} {state:>10} {total:>15} {used:>15} {free:>15} {share:>8}\n",
            storage.id, storage.kind
        ));
    }
    Ok(())
}

/// KiB in all, used and free.
fn room(root: &Root, storage: &Storage) -> Option<(u64, u64, u64)> {
    if storage.kind == "pbs" {
        let mut answer = Vec::new();
        ask_status(root, storage, &mut answer).ok()?;
        let answer: serde_json::Value = serde_json::from_slice(&answer).ok()?;
        let field = |name: &str| answer[name].as_u64().map(|bytes| bytes / 1024);
        return Some((field("total")?, field("used")?, field("avail")?));
    }
    let folder = storage.folder(root).ok().filter(|folder| folder.is_dir())?;
    let found = statvfs(&folder).ok()?;
    let kib = |blocks: u64| blocks * found.fragment_size() / 1024;
    let (total, free) = (kib(found.blocks()), kib(found.blocks_available()));
    Some((total, total.saturating_sub(kib(found.blocks_free())), free))
}

fn list(root: &Root, given: &Given) -> Result<(), Died> {
    let [id] = given.positionals()?;
    let storages = storage::read(root)?;
    let storage = storage::find_enabled(root, &storages, id)?;
    let vmid = given.get("vmid").map(crate::arguments::vmid).transpose()?;
    storage.activate(root)?;
    let volumes: Vec<Volume> = storage
        .volumes(root, vmid)?
        .into_iter()
        .filter(|volume| given.get("content").is_none_or(|content| content == volume.content))
        .collect();
    let name = volumes.iter().map(|volume| volume.volid.len()).max().unwrap_or(0);
    let digits = volumes.iter().map(|volume| volume.size).max().unwrap_or(0).to_string().len();
    Output::tell(&format!("{:<name$} {:<7} {:<9} {:>digits$} VMID\n", "Volid", "Format", "Type", "Size"));
    for volume in volumes {
        let Volume { volid, format, content, size, vmid } = volume;
        Output::tell(&format!("{volid:<name$} {format:<7} {content:<9} {size:>digits$} {vmid}\n"));
    }
    Ok(())
}

fn add(root: &Root, given: &Given) -> Result<(), Died> {
    let [kind, id] = given.positionals()?;
    let mut storages = storage::read(root)?;
    if storages.iter().any(|storage| storage.id == id) {
        return Err(format!("storage ID '{id}' already defined"));
    }
    let mut storage = Storage { kind: kind.to_owned(), id: id.to_owned(), properties: Vec::new() };
    let required: &[&str] = if kind == "pbs" { &["server", "datastore"] } else { &["path"] };
    for name in required {
        let value = given.get(name).ok_or_else(|| {
            format!("400 Parameter verification failed.\n{name}: property is missing and it is not optional")
        })?;
        storage.set(name, value);
    }
    for (name, value) in given.options.iter().filter(|(name, _)| !SENSITIVE.contains(&name.as_str())) {
        storage.set(name, value);
    }
    if kind == "pbs" {
        if given.get("content").is_none() {
            storage.set("content", "backup");
        }
        for name in SENSITIVE {
            put_secret(root, &mut storage, name, given.get(name))?;
        }
        if let Err(why) = ask_status(root, &storage, &mut Vec::new()) {
            for name in SENSITIVE {
                put_secret(root, &mut storage, name, None)?;
            }
            return Err(format!("{id}: error fetching datastores - {why}"));
        }
    } else {
        storage.activate(root)?;
    }
    storages.push(storage);
    storage::write(root, &storages)
}

fn set(root: &Root, given: &Given) -> Result<(), Died> {
    let [id] = given.positionals()?;
    let mut storages = storage::read(root)?;
    storage::find(&storages, id)?;
    let Some(storage) = storages.iter_mut().find(|storage| storage.id == id) else { return Ok(()) };
    for (name, value) in given.options.iter().filter(|(name, _)| *name != "delete") {
        if ["server", "datastore", "path"].contains(&name.as_str()) {
            return Err(format!("can't change value of fixed parameter '{name}'"));
        }
        if SENSITIVE.contains(&name.as_str()) {
            put_secret(root, storage, name, Some(value))?;
        } else {
            storage.set(name, value);
        }
    }
    for name in given.get("delete").into_iter().flat_map(|names| names.split([',', ';', ' '])) {
        if SENSITIVE.contains(&name) {
            put_secret(root, storage, name, None)?;
        }
        storage.unset(name);
    }
    storage::write(root, &storages)
}

fn remove(root: &Root, given: &Given) -> Result<(), Died> {
    let [id] = given.positionals()?;
    let mut storages = storage::read(root)?;
    storage::find(&storages, id)?;
    let Some(at) = storages.iter().position(|storage| storage.id == id) else { return Ok(()) };
    let mut storage = storages.remove(at);
    if storage.kind == "pbs" {
        for name in SENSITIVE {
            put_secret(root, &mut storage, name, None)?;
        }
    }
    storage::write(root, &storages)
}

/// Writes one of the three files, or removes it, and marks it in the stanza.
fn put_secret(root: &Root, storage: &mut Storage, name: &str, value: Option<&str>) -> Result<(), Died> {
    let ending = match name {
        "password" => "pw",
        "encryption-key" => "enc",
        _ => "master.pem",
    };
    let path = secret_file(root, &storage.id, ending);
    make_path(&root.etc_pve().join("priv/storage"))?;
    let Some(value) = value else {
        storage.unset(name);
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("failed to delete {name}! {error}")),
            _ => Ok(()),
        };
    };
    match name {
        "password" => root.put(&path, format!("{value}\n").as_bytes(), 0o600),
        "encryption-key" => {
            let text = match value {
                "autogen" => autogenerate(root, &path)?,
                file => fs::read_to_string(file).map_err(|error| format!("can't open '{file}' - {error}"))?,
            };
            let key: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if key.get("data").is_none() {
                return Err("Value does not seems like a valid, JSON formatted encryption key!".to_owned());
            }
            if value != "autogen" {
                root.put(&path, format!("{text}\n").as_bytes(), 0o600)?;
            }
            storage.set("encryption-key", key["fingerprint"].as_str().unwrap_or("1"));
            Ok(())
        }
        _ => {
            if storage.get("encryption-key").is_none() {
                return Err("'master-pubkey' can only be used together with 'encryption-key'".to_owned());
            }
            let text = fs::read_to_string(value).map_err(|error| format!("can't open '{value}' - {error}"))?;
            root.put(&path, format!("{text}\n").as_bytes(), 0o600)?;
            storage.set("master-pubkey", "1");
            Ok(())
        }
    }
}

fn autogenerate(root: &Root, path: &Path) -> Result<String, Died> {
    if path.is_file() {
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        fs::rename(path, PathBuf::from(old)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let client = root.client.as_deref().ok_or("fixture: --client is missing")?;
    let mut command = program(client);
    command.args(["key", "create", "--kdf", "none"]).arg(path);
    let mut words = Vec::new();
    let keep = Keep::StdoutUnder(&mut words, "failed to create encryption key");
    Interrupt::none()?.run(command, "proxmox-backup-client key create", keep)?;
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn ask_status(root: &Root, storage: &Storage, answer: &mut Vec<u8>) -> Result<(), Died> {
    let keep = Keep::StdoutUnder(answer, "proxmox-backup-client failed");
    Pbs::new(root, storage).client(&Interrupt::none()?, "status", &["--output-format=json"], keep)
}
