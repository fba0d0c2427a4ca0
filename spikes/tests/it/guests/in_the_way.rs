//! What stands in the way of a storage or a guest: told, left alone, and the rest goes on.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tenwords_spikes::{
    process::Ended,
    tree::Tree,
    world::{Machine, Pve},
};

use super::{Burnt, burnt, nothing};
use crate::{
    hostile::liar::{Answer, Asked, Liar},
    support::{BOX, by_pipe},
};

/// Everything below `/etc/pve`, with what is in it.
fn everything(pve: &Pve) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
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

    // Mended, the same command goes on.
    fs::write(&members, quorate)?;
    burnt.recovers(&machine, &ticket, 0)?;
    burnt.storage_is_back(&pve)?;
    burnt.container_is_back(&pve, 101)
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

#[test]
fn a_number_that_is_taken_waits_and_a_directive_gives_another_one() -> Result<()> {
    let burnt = burnt(nothing)?;
    let (machine, pve) = burnt.node("box2")?;
    let other = "arch: amd64\nhostname: somebody\nrootfs: local:101/subvol-101-disk-9.subvol,size=1G\n";
    fs::write(pve.etc("nodes/pve2/lxc/101.conf"), other)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    // Everything that is there to be told goes to the one hub, whose ticket it is.
    let everything = |vmid: Value, storage: &str| json!([{"source": "pbs", "group": "ct/101", "snapshot": "newest", "as": {"vmid": vmid, "storage": storage}}]);
    let shown = burnt.recovers(&machine, &ticket, 13)?;
    for sentence in
        ["101 is taken by the container \"somebody\" on node pve2", "what to do: ask the operator for a directive"]
    {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    ensure!(fs::read_to_string(pve.etc("nodes/pve2/lxc/101.conf"))? == other, "what was there was changed");
    ensure!(!pve.container_root(101).exists(), "a volume was made");
    burnt.storage_is_back(&pve)?;
    burnt.machine_is_back(&pve, 102)?;

    // Another number, and first a storage that is not there.
    for (storage, sentence) in
        [("elsewhere", "there is no storage elsewhere on this machine"), ("pbs", "holds backups only")]
    {
        let (_hub, ticket) = directed(&burnt, &machine, &ticket, everything(901.into(), storage))?;
        let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
        let told = told(&ended);
        ensure!(ended.code == Some(14), "recover ended with {:?}:\n{told}", ended.code);
        ensure!(told.contains(sentence), "`{sentence}` is not told:\n{told}");
    }
    let (_hub, ticket) = directed(&burnt, &machine, &ticket, everything(901.into(), "local"))?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}", ended.code);
    ensure!(told.contains("storage pbs is in place already, with the right key"), "{told}");
    burnt.container_is_back(&pve, 901)
}

/// Another storage of that name, and another key in its place: named, left as they are, and no guest
/// is restored from what somebody else has put there.
#[test]
fn a_storage_of_another_server_is_left_alone() -> Result<()> {
    let burnt = burnt(nothing)?;
    let (machine, pve) = burnt.node("box2")?;
    let theirs = burnt.world.folder().join("job/theirs.enc");
    burnt.server.run(&["key", "create", "--kdf", "none", &theirs.display().to_string()])?.with_code(0)?;
    pve.add_storage("pbs", &burnt.server, &theirs)?;
    let before = (fs::read(pve.etc("storage.cfg"))?, fs::read(pve.etc("priv/storage/pbs.enc"))?);
    let shown = burnt.recovers(&machine, &burnt.hub.arm(BOX, &[])?, 14)?;
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

/// Without Proxmox VE the storage becomes a source of the agent's settings, and guests go into folders.
/// In a rehearsal they do so on a node too, and nothing is put in place.
#[test]
fn without_proxmox_ve_everything_goes_into_folders() -> Result<()> {
    let burnt = burnt(nothing)?;
    let (rehearsed, pve) = burnt.node("rehearsed")?;
    let before = everything(&pve)?;
    let shown = burnt.recovers(&rehearsed, &burnt.hub.arm(BOX, &["--rehearsal"])?, 0)?;
    ensure!(everything(&pve)? == before, "a rehearsal has written to /etc/pve:\n{shown}");
    ensure!(shown.contains("a rehearsal puts no storage in place: guests of source pbs go into folders"), "{shown}");
    ensure!(Tree::read(&rehearsed.restored("ct/101", "root.pxar"))? == burnt.tree, "the container is another");

    let machine = Machine::new(&burnt.world, "box2", &burnt.server.client)?;
    let shown = burnt.recovers(&machine, &burnt.hub.arm(BOX, &[])?, 0)?;
    for sentence in [
        "there is no Proxmox VE on this machine: guests of source pbs go into folders",
        "source pbs was a storage of Proxmox VE",
    ] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    ensure!(Tree::read(&machine.restored("ct/101", "root.pxar"))? == burnt.tree, "the container is another");
    ensure!(fs::read(machine.restored("vm/102", "drive-scsi0.img"))? == burnt.disk, "the disk is another");
    let config = fs::read_to_string(machine.config())?;
    ensure!(config.matches("[[source]]").count() == 1 && config.contains("id = \"pbs\""), "{config}");
    let key = pbs_format::key::KeyFile::parse(&fs::read(machine.installed_key())?)?.open(None)?;
    let ours = pbs_format::key::KeyFile::parse(&burnt.key)?.open(None).context("the key")?;
    ensure!(key.fingerprint() == ours.fingerprint(), "the key is another");
    Ok(())
}
