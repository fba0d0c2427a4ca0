//! Guests whose backups need another key than their storage has.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    tree::Tree,
    world::{BackupServer, Machine, Pve, World},
};

use super::{Burnt, back_up_container, back_up_machine, burnt};
use crate::{
    journal::follow,
    support::{BOX, by_pipe},
};

/// A burnt node whose storage had its key made anew, by PVE itself, and what was backed up since: container 103 and
/// virtual machine 104.
fn with_two_keys() -> Result<(Burnt, Tree, Vec<u8>)> {
    let mut newer = None;
    let burnt = burnt(|world: &World, server: &BackupServer, pve: &Pve, former: &Path| {
        let made = world.folder().join("job/newer.enc");
        server.run(&["key", "create", "--kdf", "none", &made.display().to_string()])?.with_code(0)?;
        pve.run("pvesm", &["set", "pbs", "--encryption-key", &made.display().to_string()])?.with_code(0)?;
        fs::copy(former, pve.etc("priv/storage/pbs.enc.old"))?;
        newer = Some((back_up_container(world, server, 103, &made)?, back_up_machine(world, server, 104, &made)?));
        Ok(())
    })?;
    let (tree, disk) = newer.context("what is newer")?;
    Ok((burnt, tree, disk))
}

/// What stands for the time of a restore.
fn standing(pve: &Pve) -> Result<Vec<String>> {
    let text = fs::read_to_string(pve.etc("storage.cfg"))?;
    let stanzas = text.lines().filter(|line| line.contains("tenwords-")).map(str::to_owned);
    let files =
        fs::read_dir(pve.etc("priv/storage"))?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let files: Vec<String> = files.collect::<Result<_>>()?;
    Ok(stanzas.chain(files.into_iter().filter(|name| name.starts_with("tenwords-"))).collect())
}

impl Burnt {
    fn all_four_are_back(&self, machine: &Machine, pve: &Pve, (tree, disk): (&Tree, &[u8])) -> Result<()> {
        self.container_is_back(pve, 101)?;
        self.machine_is_back(pve, 102)?;
        ensure!(Tree::read(&pve.container_root(103))? == *tree, "container 103 is another");
        ensure!(fs::read(pve.disk(104))? == disk, "the disk of 104 is another");
        ensure!(standing(pve)?.is_empty(), "{:?} stands", standing(pve)?);
        let listed = machine.agent(&["--json", "key", "list"], "")?.with_code(0)?.json()?;
        ensure!(!listed.to_string().contains("tenwords-"), "a storage of the recovery's is in the lineage: {listed}");
        ensure!(machine.is_protected()?, "it is not protected");
        self.storage_is_back(pve)
    }
}

/// S34, the half that lists and restores: each guest comes back with the key that it needs, though Proxmox VE knows one
/// key a storage.
#[test]
fn s34_each_snapshot_is_restored_with_the_key_it_was_made_with() -> Result<()> {
    let (burnt, tree, disk) = with_two_keys()?;
    let (machine, pve) = burnt.node("box2")?;
    let shown = burnt.recovers(&machine, &burnt.hub.arm(BOX, &[])?, 0)?;
    burnt.all_four_are_back(&machine, &pve, (&tree, &disk))?;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(shown.contains("through a storage that stands for the time of the restore"), "{shown}");
    ensure!(shown.contains("4 guests"), "{shown}");
    Ok(())
}

/// Killed while it stands, it is taken away by the same command, and by giving up.
#[test]
fn s34_what_stands_for_the_time_of_a_restore_goes_with_it_also_after_a_kill() -> Result<()> {
    let (burnt, tree, disk) = with_two_keys()?;
    let is_installed = |_: usize, step: &(String, bool)| *step == ("journal-installed".to_owned(), true);
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let (steps, code) = follow(&burnt, &machine, &ticket, is_installed)?;
    ensure!(code.is_none(), "it ended with {code:?} after {steps:?}");
    ensure!(standing(&pve)?.len() == 3, "a storage with key and token: {:?}", standing(&pve)?);
    // Whoever looks at the box meanwhile does not take it for one of its own.
    let inventory = machine.agent(&["--json", "inventory"], "")?;
    let sources = inventory.wrote();
    ensure!(!sources.contains("\"id\":\"tenwords-"), "{sources}");
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    ensure!(ended.code == Some(0), "{:?}:\n{}{}", ended.code, ended.said(), ended.wrote());
    burnt.all_four_are_back(&machine, &pve, (&tree, &disk))?;

    let (machine, pve) = burnt.node("box3")?;
    let (_, code) = follow(&burnt, &machine, &burnt.hub.arm(BOX, &[])?, is_installed)?;
    ensure!(code.is_none() && standing(&pve)?.len() == 3, "{code:?}: {:?}", standing(&pve)?);
    // A key and a token lie there: without quorum it is not given up.
    Pve::cluster(&[&pve], false)?;
    let refused = machine.agent(&["recover", "--abort"], "")?.with_code(10)?;
    ensure!(refused.said().contains("stand for the time of the restore"), "{}", refused.said());
    ensure!(standing(&pve)?.len() == 3, "{:?} stands", standing(&pve)?);
    Pve::cluster(&[&pve], true)?;
    machine.agent(&["recover", "--abort"], "")?.with_code(0)?;
    ensure!(standing(&pve)?.is_empty(), "{:?} stands", standing(&pve)?);
    // What is the box's own stays.
    burnt.storage_is_back(&pve)
}

/// In a rehearsal each guest has its key too, and nothing stays.
#[test]
fn s34_a_rehearsal_restores_guests_of_two_keys() -> Result<()> {
    let (burnt, tree, disk) = with_two_keys()?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &["--rehearsal"])?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    ensure!(ended.code == Some(0), "{:?}:\n{}{}", ended.code, ended.said(), ended.wrote());
    ensure!(Tree::read(&pve.container_root(900_000))? == burnt.tree, "container 101 is another");
    ensure!(Tree::read(&pve.container_root(900_001))? == tree, "container 103 is another");
    ensure!(fs::read(pve.disk(900_002))? == burnt.disk, "the disk of 102 is another");
    ensure!(fs::read(pve.disk(900_003))? == disk, "the disk of 104 is another");
    ensure!(standing(&pve)?.is_empty(), "{:?} stands", standing(&pve)?);
    Ok(())
}
