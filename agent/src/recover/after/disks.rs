//! Whether a guest has what its backup says that it has: its configuration, each disk in it, and each of
//! its size.
//!
//! A machine's disks are held against the signed list of files. A container's archive has no size of a
//! disk; there it is the configuration in the backup, which is on the signed list itself.

use std::{collections::BTreeMap, path::Path};

use pbs_driver::pve::{
    StorageId,
    disks::{Volume, volumes},
    guest_config::{Disk, GuestConfig, Kind, LeftOut},
};

use super::Look;
use crate::{
    recover::plan::{GuestWork, chain},
    show::{harmless, size},
};

/// What a storage says of a guest's volumes, or why it does not.
type Listed = Result<Vec<Volume>, String>;

impl Look<'_> {
    /// Each thing that is not as it was backed up; none, if all is.
    pub(super) fn differences(&self, work: &GuestWork<'_>, config: &Path) -> Vec<String> {
        let text = config.strip_prefix(&self.node.paths().etc_pve).ok().and_then(Path::to_str);
        let text = match text.map(|relative| self.node.read(relative)) {
            Some(Ok(Some(text))) => text,
            Some(Err(error)) => return vec![format!("its configuration cannot be read: {}", chain(&error))],
            Some(Ok(None)) | None => return vec![format!("its configuration {} is not there", config.display())],
        };
        let now = read(work.kind, &text);
        let mut listed = BTreeMap::new();
        for disk in &now.disks {
            let Some((storage, _)) = disk.volume.split_once(':') else { continue };
            listed.entry(storage.to_owned()).or_insert_with(|| self.listed(storage, work.vmid));
        }
        let found = match work.kind {
            Kind::Machine => machine(work, &now, &listed),
            Kind::Container => match work.config(self.client, self.keyring) {
                Ok(backed_up) => container(&read(work.kind, &backed_up), &now, &listed),
                Err(why) => vec![format!("what it should be cannot be read from its backup: {why}")],
            },
        };
        found.into_iter().map(|difference| harmless(&difference, 300)).collect()
    }

    fn listed(&self, storage: &str, vmid: u32) -> Listed {
        let id: StorageId = storage.parse().map_err(|error| chain(&error))?;
        volumes(self.node, self.client.private(), &id, vmid).map_err(|error| chain(&error))
    }
}

fn read(kind: Kind, text: &[u8]) -> GuestConfig {
    match kind {
        Kind::Container => GuestConfig::of_container(text),
        Kind::Machine => GuestConfig::of_machine(text),
    }
}

/// Each signed image is a disk of its name, with room for all of it.
fn machine(work: &GuestWork<'_>, now: &GuestConfig, listed: &BTreeMap<String, Listed>) -> Vec<String> {
    let images = work.snapshot.archives().filter_map(|archive| Some((drive(archive.name())?, archive.entry().size)));
    images
        .filter_map(|(key, signed)| match now.disks.iter().find(|disk| disk.key == key) {
            None => Some(format!("its disk {key} is not in its configuration")),
            Some(disk) => unlike(disk, signed, listed),
        })
        .collect()
}

/// Each volume that was backed up is there, and of the size that it had.
fn container(then: &GuestConfig, now: &GuestConfig, listed: &BTreeMap<String, Listed>) -> Vec<String> {
    let is_volume = |disk: &&Disk| {
        !disk.volume.starts_with('/') && !matches!(disk.left_out, Some(LeftOut::Unreadable | LeftOut::Unused))
    };
    then.disks
        .iter()
        .filter(is_volume)
        .filter_map(|was| match now.disks.iter().find(|disk| disk.key == was.key) {
            None => Some(format!("its {} is not in its configuration", was.key)),
            Some(disk) if disk.size != was.size => {
                Some(format!("its {} is stated with {}, and was backed up with {}", was.key, stated(disk), stated(was)))
            }
            Some(disk) => unlike(disk, was.size.unwrap_or(0), listed),
        })
        .collect()
}

/// In what way the volume of a disk is not one of so many bytes.
fn unlike(disk: &Disk, signed: u64, listed: &BTreeMap<String, Listed>) -> Option<String> {
    let Disk { key, volume, size: of_config, .. } = disk;
    let storage = volume.split_once(':').map(|(storage, _)| storage);
    let bytes = match storage.and_then(|storage| listed.get(storage)) {
        None => return Some(format!("its {key} is on no storage")),
        Some(Err(why)) => return Some(format!("its {key} could not be looked at: {why}")),
        Some(Ok(volumes)) => match volumes.iter().find(|it| it.id == *volume) {
            None => return Some(format!("its {key} is {volume}, which is not on the storage")),
            // A folder of files has no size; then what PVE wrote down is all there is.
            Some(Volume { bytes: 0, .. }) => of_config.unwrap_or(signed),
            Some(Volume { bytes, .. }) => *bytes,
        },
    };
    let is_like = bytes >= signed && bytes - signed <= ROUNDED_UP;
    (!is_like).then(|| format!("its {key} has {}, and {} were backed up", size(bytes), size(signed)))
}

/// The drive whose image an archive is: `drive-scsi0.img`, `drive-tpmstate0-backup.img`.
fn drive(archive: &str) -> Option<&str> {
    let name = archive.strip_prefix("drive-")?.strip_suffix(".img")?;
    Some(name.strip_suffix("-backup").unwrap_or(name))
}

fn stated(disk: &Disk) -> String {
    disk.size.map_or_else(|| "no size".to_owned(), size)
}

/// A storage makes volumes of whole extents, LVM's usually of 4 MiB, some of 32.
const ROUNDED_UP: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn on_local(volumes: &[(&str, u64)]) -> BTreeMap<String, Listed> {
        let volumes = volumes.iter().map(|(id, bytes)| Volume { id: (*id).to_owned(), bytes: *bytes }).collect();
        BTreeMap::from([("local".to_owned(), Ok(volumes))])
    }

    #[test]
    fn a_volume_that_cannot_hold_what_was_backed_up_is_told() {
        let config = GuestConfig::of_machine(b"scsi0: local:101/a,size=5M\n");
        let disk = &config.disks[0];
        for (bytes, signed, is_told) in [
            (5 << 20, 5 << 20, false),
            (8 << 20, 5 << 20, false),
            ((5 << 20) - 1, 5 << 20, true),
            (64 << 20, 5 << 20, true),
            // Unknown to the storage; by what PVE wrote down.
            (0, 5 << 20, false),
            (0, 6 << 20, true),
        ] {
            let seen = unlike(disk, signed, &on_local(&[("local:101/a", bytes)]));
            assert_eq!(seen.is_some(), is_told, "{bytes} {signed}: {seen:?}");
        }
        assert!(
            unlike(disk, 1, &on_local(&[("local:101/b", 1)])).is_some_and(|why| why.contains("not on the storage"))
        );
        let mute = BTreeMap::from([("local".to_owned(), Err("it does not answer".to_owned()))]);
        assert!(unlike(disk, 1, &mute).is_some_and(|why| why.contains("does not answer")));
        assert!(unlike(disk, 1, &BTreeMap::new()).is_some());
    }

    #[test]
    fn a_container_has_each_volume_that_was_backed_up() {
        let then = GuestConfig::of_container(
            b"rootfs: x:a,size=8G\nmp0: x:b,mp=/srv,size=1G\nmp1: /srv,mp=/host\nunused0: x:c\n",
        );
        let now = |text: &str| {
            let listed = on_local(&[("local:101/a", 0), ("local:101/b", 0)]);
            container(&then, &GuestConfig::of_container(text.as_bytes()), &listed)
        };
        assert!(now("rootfs: local:101/a,size=8G\nmp0: local:101/b,mp=/srv,size=1G\n").is_empty());
        let seen = now("rootfs: local:101/a,size=4G\n");
        assert!(matches!(&seen[..], [mp0, rootfs] if rootfs.contains("8.00 GiB") && mp0.contains("mp0")), "{seen:?}");
        assert_eq!(now("rootfs: local:101/z,size=8G\nmp0: local:101/b,mp=/srv,size=1G\n").len(), 1);
    }

    #[test]
    fn an_image_is_named_after_its_drive() {
        assert_eq!(drive("drive-scsi0.img"), Some("scsi0"));
        assert_eq!(drive("drive-tpmstate0-backup.img"), Some("tpmstate0"));
        assert_eq!((drive("qemu-server.conf"), drive("root.pxar")), (None, None));
    }
}
