//! A guest whose place a restore is to take: what lies there, whether it still does, and how it is told
//! afterwards from what came in its place.
//!
//! Whoever lets a guest be replaced names it by the hash of its configuration file; the same file is looked
//! at again right before. From PVE's source: a forced restore first writes `lock: create` into the old
//! configuration, then makes the new volumes, then removes the old ones (a machine's only where the backup
//! has a disk for the same device, before it makes any). The names of removed volumes are given out again, so that no
//! name tells an old volume from one that the restore made. By what the guest itself is told: [`super::former`].

use std::collections::BTreeSet;

use tenwords_protocol::hash::Sha256;

use super::{
    disks,
    error::PveError,
    former::{AsFound, is_in_creation, meaning},
    guest_config::Kind,
    guest_failure::GuestFailure,
    guests::{Existing, config_file, of_number},
    leftover::{Remains, is_of},
    node::Node,
    pool::PoolId,
    pvesm,
    storage::StorageId,
    torn::{self, Found, Volumes},
};
use crate::{private::PrivateDir, scrub::scrub};

/// Exactly which guest may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaces {
    /// Of its configuration file, as it lies there.
    pub config_sha256: Sha256,
}

/// What lies at a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct There {
    /// What it is.
    pub kind: Kind,
    /// The node on which it lives.
    pub node: String,
    /// Whether that is this node. Only then can the rest of its state be asked for.
    pub is_here: bool,
    /// Its name, made fit to be shown.
    pub name: Option<String>,
    /// Whether it runs; `None` on another node.
    pub is_running: Option<bool>,
    /// Whether PVE keeps it from being removed.
    pub is_protected: bool,
    /// Of its configuration file; `None` if it has none that can be read.
    pub config_sha256: Option<Sha256>,
    /// The volumes of its own that its configuration names.
    pub volumes: Vec<OwnVolume>,
}

/// A volume of a guest's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnVolume {
    /// `local-lvm:vm-101-disk-0`
    pub id: String,
    /// `None` where the storage does not say, or does not answer.
    pub bytes: Option<u64>,
}

/// What became of a guest that a restore was to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Former {
    /// It lies there, with all its volumes, if not byte for byte as it was named.
    Whole,
    /// It lies there with all its volumes and PVE's lock in its configuration: the restore was cut off before
    /// it took anything away. [`give_back`] opens it again.
    Locked,
    /// It is there no more, or not whole; what lies there instead.
    Gone(Found),
}

/// What lies at this number. Waits for no more than PVE's programs may take, each.
///
/// # Errors
/// As [`super::guests::existing`]; [`PveError::NoProgram`], [`PveError::Program`], [`PveError::Refused`] if PVE
/// does not say whether it runs.
pub fn there(node: &Node, private: &PrivateDir, vmid: u32) -> Result<Option<There>, PveError> {
    let Some(Existing { kind, node: lives, name, .. }) = of_number(node, vmid)? else { return Ok(None) };
    let is_here = lives == node.name()?;
    let text = node.read(&config_file(&lives, kind, vmid))?;
    let is_running = is_here.then(|| runs(node, private, kind, vmid)).transpose()?;
    let own = text.as_deref().map(|text| own_volumes(text, vmid)).unwrap_or_default();
    let mut listed = Vec::new();
    let storages: BTreeSet<&str> = own.iter().filter_map(|volume| volume.split(':').next()).collect();
    for storage in storages.into_iter().filter(|_| is_here).take(MAX_STORAGES) {
        // One that does not answer only keeps the sizes to itself.
        if let Ok(id) = storage.parse::<StorageId>() {
            listed.extend(disks::volumes(node, private, &id, vmid).unwrap_or_default());
        }
    }
    let bytes = |id: &str| listed.iter().find(|volume| volume.id == id).map(|volume| volume.bytes).filter(|b| *b > 0);
    let volumes = own.into_iter().map(|id| OwnVolume { bytes: bytes(&id), id }).collect();
    let is_protected = text.as_deref().is_some_and(is_protected);
    let config_sha256 = text.map(|text| Sha256::of(&text));
    Ok(Some(There { kind, node: lives, is_here, name, is_running, is_protected, config_sha256, volumes }))
}

/// That what lies there is what may be replaced, right now: of this kind, on this node, not protected, not
/// running, and with this configuration. The same is looked at by the restore itself right before; whoever has an
/// order to use up for it asks first. `listed` are the volumes that are there.
///
/// # Errors
/// [`GuestFailure::Gone`], [`GuestFailure::Another`], [`GuestFailure::Changed`], [`GuestFailure::Protected`],
/// [`GuestFailure::Locked`], [`GuestFailure::Running`]; [`GuestFailure::Pve`] where that cannot be told.
pub fn may_be_replaced(
    node: &Node,
    private: &PrivateDir,
    (kind, vmid): (Kind, u32),
    replaces: &Replaces,
    listed: &Volumes,
) -> Result<AsFound, GuestFailure> {
    let gone = || GuestFailure::Gone { vmid };
    let there = of_number(node, vmid)?.ok_or_else(gone)?;
    let name = node.name()?;
    if there.kind != kind || there.node != name {
        return Err(GuestFailure::Another { vmid, there: named(&there) });
    }
    let relative = config_file(&name, kind, vmid);
    let read = || {
        let text = node.read(&relative)?.ok_or_else(gone)?;
        let found = Sha256::of(&text);
        if found == replaces.config_sha256 { Ok(text) } else { Err(GuestFailure::Changed { vmid, found }) }
    };
    let text = read()?;
    if is_protected(&text) {
        return Err(GuestFailure::Protected);
    }
    if let Some(lock) = main(&text, "lock") {
        return Err(GuestFailure::Locked { said: scrub(lock.as_bytes(), &[]) });
    }
    if runs(node, private, kind, vmid)? {
        return Err(GuestFailure::Running { kind, vmid });
    }
    // Asking has taken its time.
    let text = read()?;
    let own = own_volumes(&text, vmid).into_iter();
    let volumes = own.filter(|volume| listed.volumes.contains(volume)).collect();
    Ok(AsFound { config_sha256: replaces.config_sha256, meaning_sha256: Some(meaning(&text)), volumes })
}

/// Looks at what became of it, after a restore that nobody saw the end of. Nothing is changed.
///
/// # Errors
/// As [`torn::look`] and [`torn::volumes`].
pub fn look(
    node: &Node,
    private: &PrivateDir,
    (kind, vmid): (Kind, u32),
    pool: &PoolId,
    former: &AsFound,
) -> Result<Former, PveError> {
    let found = torn::look(node, kind, vmid, pool)?;
    let (Found::Other { config_sha256 } | Found::Unfinished { config_sha256 }) = found else {
        return Ok(Former::Gone(found));
    };
    if config_sha256 == former.config_sha256 {
        return Ok(Former::Whole);
    }
    let now = torn::volumes(node, private, vmid)?;
    let text = node.read(&config_file(&node.name()?, kind, vmid))?.unwrap_or_default();
    if Sha256::of(&text) != config_sha256 {
        return Ok(Former::Gone(found));
    }
    Ok(match former.remains(&text, Some(&now)) {
        Remains::Whole => Former::Whole,
        Remains::Locked => Former::Locked,
        Remains::Nothing => Former::Gone(found),
    })
}

/// Opens a guest again that is [`Former::Locked`], and removes what the restore had made beside it: volumes that
/// were not there `before`, on storages that answered then, that its configuration does not name, and that were not
/// its own. Where its configuration says something else than it did, nothing is removed.
///
/// # Errors
/// As [`torn::clear`]; [`PveError::Refused`] for anything but such a guest.
pub fn give_back(
    node: &Node,
    private: &PrivateDir,
    (kind, vmid): (Kind, u32),
    former: &AsFound,
    before: &Volumes,
) -> Result<(), PveError> {
    node.writable()?;
    torn::unmount_of(kind, vmid)?;
    let now = torn::volumes(node, private, vmid)?;
    let text = node.read(&config_file(&node.name()?, kind, vmid))?.unwrap_or_default();
    let is_it = is_in_creation(&text) && former.remains(&text, Some(&now)) != Remains::Nothing;
    if !is_it {
        let said = "what lies there is not the guest that was to be replaced, as it was".to_owned();
        return Err(PveError::Refused { command: "unlock", said });
    }
    let own = own_volumes(&text, vmid);
    torn::unlock(node, private, kind, vmid)?;
    if former.is_same(&text) {
        let made = before.made_of(&now.volumes);
        for volume in made.iter().filter(|volume| !own.contains(volume) && !former.volumes.contains(*volume)) {
            torn::free(node, private, volume)?;
        }
    }
    Ok(())
}

/// The volumes that a configuration names and whose names have this number.
pub(crate) fn own_volumes(text: &[u8], vmid: u32) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let values = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    let words = values.flat_map(|(_, value)| value.split(','));
    let volumes = words
        .map(|word| word.trim())
        .map(|word| ["file=", "volume="].iter().find_map(|key| word.strip_prefix(key)).unwrap_or(word));
    let is_disk = |volume: &&str| {
        let name = volume.split_once(':').map(|(_, name)| name);
        // An image of a CD or a script may be called anything.
        name.is_some_and(|name| !NO_DISKS.iter().any(|folder| name.starts_with(folder))) && !volume.contains('=')
    };
    let own = volumes.filter(is_disk).filter(|volume| is_of(volume, vmid));
    let all: BTreeSet<String> = own.map(|volume| scrub(volume.as_bytes(), &[])).collect();
    all.into_iter().take(MAX_VOLUMES).collect()
}

/// Who says neither is taken to run.
fn runs(node: &Node, private: &PrivateDir, kind: Kind, vmid: u32) -> Result<bool, PveError> {
    let (program, command) = match kind {
        Kind::Container => (&node.paths().pct, "pct status"),
        Kind::Machine => (&node.paths().qm, "qm status"),
    };
    let args = vec!["status".into(), vmid.to_string().into()];
    let said = pvesm::run_short(program, private, args, command)?;
    Ok(!said.lines().any(|line| line.trim() == "status: stopped"))
}

fn is_protected(text: &[u8]) -> bool {
    main(text, "protection").is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.as_str()))
}

/// What the main part says of this.
fn main(text: &[u8], key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let mut main = text.lines().take_while(|line| !line.starts_with('['));
    main.find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim().to_owned()))
}

/// For a person.
pub(crate) fn named(there: &Existing) -> String {
    let what = match there.kind {
        Kind::Container => "container",
        Kind::Machine => "virtual machine",
    };
    let name = there.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    format!("the {what}{name} on node {}", there.node)
}

/// What lies beside guests' disks on a storage.
const NO_DISKS: [&str; 5] = ["backup/", "import/", "iso/", "snippets/", "vztmpl/"];
/// More than any guest has.
const MAX_VOLUMES: usize = 1024;
/// More than any guest's volumes lie on.
const MAX_STORAGES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_own_volumes_are_what_its_lines_name_with_its_number() {
        let text = b"#local:101/vm-101-disk-9.raw\nboot: order=scsi0\nide2: local:iso/vm-101-x.iso,media=cdrom\n\
            ide3: local:101/vm-101-cloudinit.qcow2,media=cdrom\nhookscript: local:snippets/a-101-b\n\
            scsi0: local:101/vm-101-disk-0.raw,size=8G\nscsi1: file=zfs:vm-101-disk-10,size=1G\n\
            scsi2: other:vm-102-disk-0\nunused0: lvm:vm-101-disk-2\n[snap]\nvmstate: lvm:vm-101-state-snap\n";
        let own = own_volumes(text, 101);
        assert_eq!(
            own,
            [
                "local:101/vm-101-cloudinit.qcow2",
                "local:101/vm-101-disk-0.raw",
                "lvm:vm-101-disk-2",
                "lvm:vm-101-state-snap",
                "zfs:vm-101-disk-10"
            ]
        );
    }

    #[test]
    fn protection_is_pves_boolean_in_the_main_part() {
        assert!(is_protected(b"memory: 1\nprotection: 1\n") && is_protected(b"protection:  on\n"));
        for text in ["", "protection: 0\n", "#protection: 1\n", "[snap]\nprotection: 1\n"] {
            assert!(!is_protected(text.as_bytes()), "{text}");
        }
    }
}
