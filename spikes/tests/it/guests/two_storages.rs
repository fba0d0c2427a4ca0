//! Two storages that have the same guest: which of them it comes from is not for either server to say.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    tree::Tree,
    world::{BackupServer, Pve, World},
};

use super::{Burnt, back_up_container, burnt};
use crate::support::{BOX, container};

fn back(burnt: &Burnt, name: &str) -> Result<(Pve, String)> {
    let (machine, pve) = burnt.node(name)?;
    let shown = burnt.recovers(&machine, &burnt.hub.arm(BOX, &[])?, 0)?;
    Ok((pve, shown))
}

/// Container 101 once more, with these files.
fn back_up(server: &BackupServer, world: &World, folder: &Path, key: &Path, more: &[&str]) -> Result<()> {
    let config = format!("pct.conf:{}", world.folder().join("ct-101.conf").display());
    let (root, key) = (format!("root.pxar:{}", folder.display()), key.display().to_string());
    let all = ["backup", &config, &root, "--backup-type", "ct", "--backup-id", "101", "--keyfile", &key];
    server.run(&[&all, more].concat())?.with_code(0)?;
    Ok(())
}

/// Two storages on one datastore, each with a key of its own: a guest comes back through the one whose key
/// it needs, whatever the other is called.
#[test]
fn of_two_storages_on_one_datastore_a_guest_comes_through_the_one_that_has_its_key() -> Result<()> {
    let mut second = None;
    let burnt = burnt(|world, server, pve, _| {
        let made = world.folder().join("job/second.enc");
        server.run(&["key", "create", "--kdf", "none", &made.display().to_string()])?.with_code(0)?;
        // The other one comes first in every order there is.
        pve.add_storage("zz", server, &made)?;
        second = Some(back_up_container(world, server, 103, &made)?);
        Ok(())
    })?;
    let (pve, shown) = back(&burnt, "box2")?;
    burnt.container_is_back(&pve, 101)?;
    burnt.machine_is_back(&pve, 102)?;
    let tree = Tree::read(&pve.container_root(103)).with_context(|| format!("container 103 is not back:\n{shown}"))?;
    ensure!(Some(tree) == second, "container 103 is another");
    Ok(())
}

/// A server that has an old copy, and lists it as if it were from tomorrow, does not keep the newer one
/// back that another server has.
#[test]
fn a_server_that_lists_an_old_copy_as_the_newest_keeps_nothing_back() -> Result<()> {
    let mut newer = None;
    let burnt = burnt(|world, server, pve, key| {
        // `aa` begins as a copy, and keeps what it has.
        let store = server.folder.as_deref().context("a folder")?;
        let mut mirror = server.clone();
        mirror.repository = server.repository.replace(":store", ":mirror");
        mirror.folder = store.parent().map(|folder| folder.join("mirror"));
        mirror.run(&["datastore", "create", "mirror"])?.with_code(0)?;
        pve.add_storage("aa", &mirror, key)?;
        let copy = world.folder().join("ct-101");
        back_up(&mirror, world, &copy, key, &[])?;
        let group = mirror.folder.as_deref().context("a folder")?.join("ct/101");
        let there = fs::read_dir(&group)?.filter_map(Result::ok).find(|entry| entry.path().is_dir());
        let there = there.context("a snapshot")?.path();
        let lie = group.join("2099-01-01T00:00:00Z");
        fs::create_dir(&lie)?;
        for entry in fs::read_dir(&there)? {
            let entry = entry?;
            fs::copy(entry.path(), lie.join(entry.file_name()))?;
        }
        // What was done since.
        let folder = container(world, "ct-101-later", b"the books of a day later")?;
        back_up(server, world, &folder, key, &["--backup-time", "4000000000"])?;
        newer = Some((Tree::read(&copy)?, Tree::read(&folder)?));
        Ok(())
    })?;
    let (pve, shown) = back(&burnt, "box2")?;
    let (copy, newer) = newer.context("what is newer")?;
    let tree = Tree::read(&pve.container_root(101))?;
    ensure!(tree != copy, "the old copy came back:\n{shown}");
    ensure!(tree == newer, "container 101 is another:\n{shown}");
    ensure!(shown.contains("it comes from pbs"), "where it comes from is not told:\n{shown}");
    Ok(())
}
