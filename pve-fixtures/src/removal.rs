//! `qm` and `pct`: `unlock N` and `destroy N`, the latter with the volumes that the configuration names.

use crate::{
    Died,
    arguments::{Takes, read, vmid},
    config, pools,
    root::{Kind, Root},
    storage,
};

/// Whether this is a command of this room's.
pub(crate) fn knows(command: &str) -> bool {
    matches!(command, "unlock" | "destroy")
}

pub(crate) fn run(root: &Root, kind: Kind, command: &str, words: &[String]) -> Result<(), Died> {
    let given = read(words, &[("destroy-unreferenced-disks", Takes::Flag), ("purge", Takes::Flag)])?;
    let [number] = given.positionals()?;
    let vmid = vmid(number)?;
    root.check_quorum()?;
    let _lock = root.lock_guest(kind, vmid)?;
    let text = root.load_config(kind, vmid)?;
    if command == "unlock" {
        return root.write_config(kind, vmid, &config::rewritten(&text, None));
    }
    if let Some(lock) = config::value(&text, "lock") {
        return Err(format!("{} is locked ({lock})", kind.word()));
    }
    if root.path(format!("/run/fixture/running-{vmid}")).exists() {
        return Err(format!("{} {vmid} is running - destroy failed", kind.word()));
    }
    let storages = storage::read(root)?;
    let own = format!(":{vmid}/");
    let named = config::entries(&text).map(|(_, value)| config::volume(value)).filter(|volume| volume.contains(&own));
    let mut volumes: Vec<&str> = named.collect();
    if given.flag("destroy-unreferenced-disks") {
        return Err("fixture: --destroy-unreferenced-disks 1 is not played".to_owned());
    }
    volumes.dedup();
    for volume in volumes {
        storage::free(root, &storages, volume)?;
    }
    pools::forget(root, vmid)?;
    root.remove_config(kind, vmid)
}
