//! What stands in the way of a storage or a guest: told, left alone, and the rest goes on.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tenwords_spikes::{
    process::Ended,
    world::{Machine, Pve},
};

use super::{Burnt, burnt, nothing};
use crate::{
    hostile::liar::{Answer, Asked, Liar},
    support::{BOX, by_pipe},
};

/// Everything below `/etc/pve`, with what is in it.
pub(crate) fn everything(pve: &Pve) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![pve.etc("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let kind = fs::symlink_metadata(&path)?.file_type();
            if kind.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path.clone(), if kind.is_file() { Some(fs::read(&path)?) } else { None });
        }
    }
    Ok(found)
}

#[test]
fn s40_a_read_only_or_unmounted_etc_pve_is_told_before_anything_is_written() -> Result<()> {
    let burnt = burnt(nothing)?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let refused = |sentence: &str, remedy: &str| -> Result<()> {
        let before = everything(&pve)?;
        let shown = burnt.recovers(&machine, &ticket, 10)?;
        for sentence in ["the storages of the lost box cannot be put in place", sentence, remedy] {
            ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
        }
        ensure!(!shown.contains("6 The plan"), "there was a plan:\n{shown}");
        ensure!(everything(&pve)? == before, "something was written to /etc/pve:\n{shown}");
        ensure!(pve.has_no_guests()?, "a guest was begun");
        machine.nothing_installed()
    };
    let members = pve.etc(".members");
    let quorate = fs::read_to_string(&members)?;
    fs::write(&members, quorate.replace("\"quorate\": 1", "\"quorate\": 0"))?;
    refused("the cluster has no quorum", "what to do: bring the cluster's other nodes back")?;

    let aside = burnt.world.folder().join("members");
    fs::rename(&members, &aside)?;
    refused("it is not mounted", "what to do: start the cluster file system")?;

    Ok(())
}

/// The hub with this directive, without an end, and the ticket to it.
fn directed(burnt: &Burnt, machine: &Machine, ticket: &str, items: Value) -> Result<(Liar, String)> {
    let hub = Liar::with_the_hubs_key(&burnt.hub)?;
    hub.speaks_for(machine);
    let directive = json!({"v": 1, "number": 1, "items": items}).to_string();
    hub.tells(Box::new(move |asked: &Asked, truth: Answer| {
        let body = directive.clone().into_bytes();
        Some(if asked.path.ends_with("/directive") { Answer { body, status: 200, ..truth } } else { truth })
    }));
    let ticket = hub.ticket(ticket)?;
    Ok((hub, ticket))
}

fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), String::from_utf8_lossy(&ended.stdout))
}

/// Without a terminal, where nobody waits for an order.
fn waits(burnt: &Burnt, machine: &Machine, ticket: &str) -> Result<String> {
    let ended = by_pipe(&burnt.world, machine, ticket, &[], &burnt.words)?;
    ensure!(ended.code == Some(13), "recover ended with {:?}:\n{}", ended.code, told(&ended));
    Ok(told(&ended))
}

#[test]
fn s69_a_number_that_is_taken_waits_and_another_ones_storage_is_left_alone() -> Result<()> {
    let burnt = burnt(nothing)?;
    let (machine, pve) = burnt.node("box2")?;
    let other = "arch: amd64\nhostname: somebody\nrootfs: local:101/subvol-101-disk-9.subvol,size=1G\n";
    fs::write(pve.etc("nodes/pve2/lxc/101.conf"), other)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    // Everything that is there to be told goes to the one hub, whose ticket it is.
    let everything = |vmid: Value, storage: &str| json!([{"source": "pbs", "group": "ct/101", "snapshot": "newest", "as": {"vmid": vmid, "storage": storage}}]);
    let shown = waits(&burnt, &machine, &ticket)?;
    for sentence in ["101 is taken by the container \"somebody\" on node pve2", "what to do: compare the code"] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    ensure!(fs::read_to_string(pve.etc("nodes/pve2/lxc/101.conf"))? == other, "what was there was changed");
    ensure!(!pve.container_root(101).exists(), "a volume was made");
    burnt.storage_is_back(&pve)?;
    burnt.machine_is_back(&pve, 102)?;

    // Another number, and first a storage that is not there.
    {
        let (_hub, ticket) = directed(&burnt, &machine, &ticket, everything(901.into(), "elsewhere"))?;
        let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
        let told = told(&ended);
        ensure!(ended.code == Some(14), "recover ended with {:?}:\n{told}", ended.code);
        ensure!(told.contains("there is no storage elsewhere on this machine"), "{told}");
    }
    let (_hub, ticket) = directed(&burnt, &machine, &ticket, everything(901.into(), "local"))?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}", ended.code);
    ensure!(told.contains("storage pbs is in place already, with the right key"), "{told}");
    burnt.container_is_back(&pve, 901)?;

    another_storage_is_left_alone(&burnt)
}

/// Another storage of that name, and another key in its place: named, left as they are, and no guest
/// is restored from what somebody else has put there.
fn another_storage_is_left_alone(burnt: &Burnt) -> Result<()> {
    let (machine, pve) = burnt.node("box3")?;
    let theirs = burnt.world.folder().join("job/theirs.enc");
    burnt.server.run(&["key", "create", "--kdf", "none", &theirs.display().to_string()])?.with_code(0)?;
    pve.add_storage("pbs", &burnt.server, &theirs)?;
    let before = (fs::read(pve.etc("storage.cfg"))?, fs::read(pve.etc("priv/storage/pbs.enc"))?);
    let shown = waits(burnt, &machine, &burnt.hub.arm(BOX, &[])?)?;
    let after = (fs::read(pve.etc("storage.cfg"))?, fs::read(pve.etc("priv/storage/pbs.enc"))?);
    ensure!(before == after, "what was there was changed:\n{shown}");
    let fingerprint = |file: &[u8]| -> Result<String> {
        let key = pbs_format::key::KeyFile::parse(file)?.open(None)?;
        Ok(key.fingerprint().short().to_string())
    };
    for sentence in [fingerprint(&burnt.key)?, fingerprint(&before.1)?, "could not be put in place".to_owned()] {
        ensure!(shown.contains(&sentence), "`{sentence}` is not told:\n{shown}");
    }
    ensure!(pve.has_no_guests()?, "a guest was restored");
    Ok(())
}
