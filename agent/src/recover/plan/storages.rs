//! Where a guest's volumes go: which storage of this machine takes them, as far as its configuration or the
//! directive says.

use std::collections::BTreeMap;

use pbs_driver::{
    Access, Client,
    pve::guest_config::{Disk, GuestConfig, Kind},
    restore,
};
use tenwords_escrow::gate::GatedSnapshot;
use tenwords_protocol::directive::Name;

use super::{Keyring, Planner, chain};
use crate::recover::connect::Connected;

impl Planner<'_> {
    /// Where the volumes go: to the storage that was named, else to where they were. PVE takes one
    /// storage for all of a container's volumes, and `local` if it is told none; a virtual machine's go
    /// each to its own.
    pub(super) fn storage(
        &self,
        source: &Connected<'_>,
        snapshot: &GatedSnapshot,
        kind: Kind,
        named: Option<Name>,
    ) -> Result<(Option<Name>, BTreeMap<String, String>), String> {
        if let Some(named) = named {
            return self.no_storage(named.as_str(), kind).map_or(Ok((Some(named), BTreeMap::new())), Err);
        }
        let unreadable = |why: String| format!("its configuration cannot be read: {why}");
        let text = config(self.client, self.keyring, &source.access, snapshot, kind).map_err(unreadable)?;
        let config = match kind {
            Kind::Container => GuestConfig::of_container(&text),
            Kind::Machine => GuestConfig::of_machine(&text),
        };
        let of_disk = |disk: &Disk| disk.volume.split_once(':').map(|(storage, _)| storage.to_owned());
        let (root, others): (Vec<&Disk>, Vec<&Disk>) = config.disks.iter().partition(|disk| disk.key == "rootfs");
        match kind {
            Kind::Container => {
                let storage = root.first().and_then(|disk| of_disk(disk));
                let storage = storage.ok_or_else(|| unreadable("it does not say where its root was".to_owned()))?;
                if let Some(why) = self.no_storage(&storage, kind) {
                    return Err(why);
                }
                let named = storage.parse().map(|storage| (Some(storage), BTreeMap::new()));
                named.map_err(|_| format!("the storage {storage} cannot be named"))
            }
            Kind::Machine => {
                let here = others.into_iter().filter(|disk| disk.left_out.is_none());
                let disks: BTreeMap<String, String> =
                    here.filter_map(|disk| Some((disk.key.clone(), of_disk(disk)?))).collect();
                disks.values().find_map(|storage| self.no_storage(storage, kind)).map_or(Ok((None, disks)), Err)
            }
        }
    }

    /// Why a guest's volumes cannot go to this storage.
    fn no_storage(&self, storage: &str, kind: Kind) -> Option<String> {
        let known = self.ground.storages.as_ref().and_then(|storages| storages.sections().find(storage));
        let Some(section) = known else {
            return Some(format!("there is no storage {storage} on this machine"));
        };
        if section.kind().eq_ignore_ascii_case("pbs") {
            return Some(format!("the storage {storage} holds backups only"));
        }
        // A word alone is "yes"; of the written ones PVE takes the number.
        if section.get("disable").is_some_and(|value| value.is_none_or(|value| value == "1")) {
            return Some(format!("the storage {storage} is switched off"));
        }
        let wanted = match kind {
            Kind::Container => "rootdir",
            Kind::Machine => "images",
        };
        // One without the property has its kind's default, which only PVE knows.
        if section.get("content").flatten().is_some_and(|it| !it.split([',', ' ']).any(|word| word == wanted)) {
            return Some(format!("the storage {storage} does not take {wanted}"));
        }
        let nodes = section.get("nodes").flatten();
        let is_here = nodes.is_none_or(|nodes| nodes.split(',').any(|node| node.trim() == self.ground.name));
        (!is_here).then(|| format!("the storage {storage} is not for this node"))
    }
}

/// A guest's configuration, as it is in its backup.
pub(super) fn config(
    client: &Client,
    keyring: &Keyring<'_>,
    access: &Access,
    snapshot: &GatedSnapshot,
    kind: Kind,
) -> Result<Vec<u8>, String> {
    let file = match kind {
        Kind::Container => "pct.conf",
        Kind::Machine => "qemu-server.conf",
    };
    let entry = snapshot.archive(file).ok_or_else(|| format!("the backup has no {file}"))?;
    let key = snapshot.key().fingerprint();
    let key_file = keyring.key_file(key).ok_or("its key is gone")?;
    let protection = restore::Protection::Under { key_file, key };
    let request = restore::Request { access, snapshot: snapshot.snapshot(), signed: entry.entry(), protection };
    restore::bytes(client, &request, MAX_CONFIG).map_err(|error| format!("{file}: {}", chain(&error)))
}

/// As large as pmxcfs lets a file be.
const MAX_CONFIG: usize = 1 << 20;
