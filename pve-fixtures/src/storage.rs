//! `storage.cfg`, and volumes on storages of kind `dir`.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use crate::{
    Died,
    root::Root,
    worker::{Output, make_path},
};

/// One stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) properties: Vec<(String, String)>,
}

/// A volume as `pvesm list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) volid: String,
    pub(crate) format: &'static str,
    pub(crate) content: &'static str,
    pub(crate) size: u64,
    pub(crate) vmid: u32,
}

/// All storages, in their order.
pub(crate) fn read(root: &Root) -> Result<Vec<Storage>, Died> {
    let path = root.etc_pve().join("storage.cfg");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("unable to read storage.cfg - {error}")),
    };
    let mut storages: Vec<Storage> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if line.starts_with([' ', '\t']) {
            let (key, value) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
            if let Some(storage) = storages.last_mut() {
                storage.properties.push((key.to_owned(), value.trim().to_owned()));
            }
        } else if let Some((kind, id)) = line.split_once(':') {
            let (kind, id) = (kind.trim().to_owned(), id.trim().to_owned());
            storages.push(Storage { kind, id, properties: Vec::new() });
        }
    }
    Ok(storages)
}

/// Puts the file there anew, as PVE does: comments are gone.
pub(crate) fn write(root: &Root, storages: &[Storage]) -> Result<(), Died> {
    let mut text = String::new();
    for storage in storages {
        text.push_str(&format!("{}: {}\n", storage.kind, storage.id));
        for (key, value) in &storage.properties {
            let line = if value.is_empty() { format!("\t{key}\n") } else { format!("\t{key} {value}\n") };
            text.push_str(&line);
        }
        text.push('\n');
    }
    root.put(&root.etc_pve().join("storage.cfg"), text.as_bytes(), 0o640)
}

/// A storage by its name.
pub(crate) fn find<'a>(storages: &'a [Storage], id: &str) -> Result<&'a Storage, Died> {
    storages.iter().find(|storage| storage.id == id).ok_or_else(|| format!("storage '{id}' does not exist"))
}

/// A storage that may be used on this node.
pub(crate) fn find_enabled<'a>(root: &Root, storages: &'a [Storage], id: &str) -> Result<&'a Storage, Died> {
    let storage = find(storages, id)?;
    if storage.get("disable").is_some_and(|value| value != "0") {
        return Err(format!("storage '{id}' is disabled"));
    }
    if storage.get("nodes").is_some_and(|nodes| !nodes.split(',').any(|node| node == root.node)) {
        return Err(format!("storage '{id}' is not available on node '{}'", root.node));
    }
    Ok(storage)
}

/// Storage and volume name of a volume id.
pub(crate) fn parse_volume_id(volid: &str) -> Result<(&str, &str), Died> {
    let split = volid
        .split_once(':')
        .filter(|(id, name)| id.len() >= 2 && id.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.is_empty());
    split.ok_or_else(|| format!("unable to parse volume ID '{volid}'"))
}

/// Type, and `type/id/time`, of a backup on Proxmox Backup Server.
pub(crate) fn parse_backup(volname: &str) -> Result<(&str, &str), Died> {
    let refused = || format!("unable to parse PBS volume name '{volname}'");
    let name = volname.strip_prefix("backup/").ok_or_else(refused)?;
    let parts: Vec<&str> = name.split('/').collect();
    let [kind, id, time] = parts[..] else { return Err(refused()) };
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let plain = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '_');
    if !plain(kind) || !plain(id) || shape != "0000-00-00T00:00:00Z" {
        return Err(refused());
    }
    Ok((kind, name))
}

impl Storage {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.properties.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        match self.properties.iter_mut().find(|(found, _)| found == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.properties.push((key.to_owned(), value.to_owned())),
        }
    }

    pub(crate) fn unset(&mut self, key: &str) {
        self.properties.retain(|(found, _)| found != key);
    }

    /// Whether it may hold such content.
    pub(crate) fn holds(&self, content: &str) -> bool {
        let default = if self.kind == "pbs" { "backup" } else { "images,rootdir,iso,vztmpl,backup,snippets" };
        self.get("content").unwrap_or(default).split(',').any(|found| found.trim() == content)
    }

    /// What PVE does before it uses a storage.
    pub(crate) fn activate(&self, root: &Root) -> Result<(), Died> {
        let folder = self.folder(root)?;
        if folder.is_dir() {
            return Ok(());
        }
        let path = self.get("path").unwrap_or_default();
        Err(format!("unable to activate storage '{}' - directory '{path}' does not exist or is unreachable", self.id))
    }

    /// A new raw file of so many bytes, all zero.
    pub(crate) fn allocate_raw(&self, root: &Root, vmid: u32, size: u64, name: Option<&str>) -> Result<String, Died> {
        self.activate(root)?;
        let folder = self.images(root, vmid)?;
        make_path(&folder)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.next_name(root, vmid, "vm", "raw")?,
        };
        let path = folder.join(&name);
        if path.exists() {
            return Err(format!("disk image '{}' already exists", path.display()));
        }
        let made = File::options().write(true).create_new(true).open(&path).and_then(|file| file.set_len(size));
        made.map_err(|error| format!("unable to create image: {error}"))?;
        Output::tell(&format!("Formatting '{}', fmt=raw size={size} preallocation=off\n", path.display()));
        Ok(format!("{}:{vmid}/{name}", self.id))
    }

    /// A new empty folder.
    pub(crate) fn allocate_folder(&self, root: &Root, vmid: u32) -> Result<String, Died> {
        self.activate(root)?;
        let folder = self.images(root, vmid)?;
        make_path(&folder)?;
        let name = self.next_name(root, vmid, "subvol", "subvol")?;
        let path = folder.join(&name);
        fs::create_dir(&path).map_err(|error| format!("unable to create subvol '{}' - {error}", path.display()))?;
        Ok(format!("{}:{vmid}/{name}", self.id))
    }

    /// Where a volume of this storage lies.
    pub(crate) fn place(&self, root: &Root, volname: &str) -> Result<PathBuf, Died> {
        let fits = volname.split('/').count() == 2 && volname.split('/').all(|part| !part.is_empty() && part != "..");
        if !fits {
            return Err(format!("unable to parse directory volume name '{volname}'"));
        }
        Ok(self.folder(root)?.join("images").join(volname))
    }

    /// Every volume, or those of one guest.
    pub(crate) fn volumes(&self, root: &Root, vmid: Option<u32>) -> Result<Vec<Volume>, Died> {
        let mut volumes = Vec::new();
        let Ok(images) = fs::read_dir(self.folder(root)?.join("images")) else { return Ok(volumes) };
        for folder in images.flatten() {
            let Some(owner) = folder.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if vmid.is_some_and(|wanted| wanted != owner) {
                continue;
            }
            for entry in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let Ok(metadata) = entry.metadata() else { continue };
                let (format, content, size) =
                    if metadata.is_dir() { ("subvol", "rootdir", 0) } else { ("raw", "images", metadata.size()) };
                volumes.push(Volume {
                    volid: format!("{}:{owner}/{name}", self.id),
                    format,
                    content,
                    size,
                    vmid: owner,
                });
            }
        }
        volumes.sort_unstable_by(|one, other| one.volid.cmp(&other.volid));
        Ok(volumes)
    }

    /// The folder of a storage of kind `dir`.
    pub(crate) fn folder(&self, root: &Root) -> Result<PathBuf, Died> {
        match (self.kind.as_str(), self.get("path")) {
            ("dir", Some(path)) => Ok(root.path(path)),
            _ => Err(format!("fixture: storage '{}' is of kind {}, and only dir is played", self.id, self.kind)),
        }
    }

    fn images(&self, root: &Root, vmid: u32) -> Result<PathBuf, Died> {
        Ok(self.folder(root)?.join("images").join(vmid.to_string()))
    }

    fn next_name(&self, root: &Root, vmid: u32, prefix: &str, suffix: &str) -> Result<String, Died> {
        let folder = self.images(root, vmid)?;
        let mut names = (0..1024).map(|number| format!("{prefix}-{vmid}-disk-{number}.{suffix}"));
        names
            .find(|name| !folder.join(name).exists())
            .ok_or_else(|| format!("unable to allocate an image name for VM {vmid} in storage '{}'", self.id))
    }
}

/// Removes a volume, and its guest's folder with the last one.
pub(crate) fn free(root: &Root, storages: &[Storage], volid: &str) -> Result<(), Died> {
    let (id, volname) = parse_volume_id(volid)?;
    let place = find(storages, id)?.place(root, volname)?;
    let removed = if place.is_dir() { fs::remove_dir_all(&place) } else { fs::remove_file(&place) };
    match removed {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Output::tell_error(&format!("disk image '{}' does not exist\n", place.display()));
        }
        Err(error) => return Err(format!("unlink '{}' failed - {error}", place.display())),
    }
    if let Some(folder) = place.parent() {
        // It may hold other volumes.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}
