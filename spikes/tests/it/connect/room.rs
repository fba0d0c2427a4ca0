//! Too little room is told before anything is touched, with numbers.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result, ensure};
use pbs_format::manifest::{FileEntry, Manifest};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_spikes::world::{Machine, Pve};

use crate::{
    guests::burnt,
    support::{BOX, GROUP, by_pipe, protected},
};

/// Lets `pvesm` say of the storage `local` what this rule of `sed` makes of it.
fn says(machine: &Machine, rule: &str) -> Result<()> {
    let program = machine.folder().join("usr/sbin/pvesm");
    let real = program.with_extension("real");
    if !real.exists() {
        fs::rename(&program, &real)?;
    }
    fs::write(&program, format!("#!/bin/sh\n'{}' \"$@\" | sed -E '{rule}'\n", real.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn untouched(pve: &Pve, before: &str) -> Result<()> {
    ensure!(pve.has_no_guests()?, "a guest was begun");
    ensure!(fs::read_to_string(pve.etc("storage.cfg"))? == before, "storage.cfg was changed");
    ensure!(!pve.etc("priv/storage/pbs.enc").exists(), "a key was put in place");
    Ok(())
}

#[test]
fn s38_a_storage_with_too_little_room_is_told_with_numbers_before_anything_is_touched() -> Result<()> {
    let burnt = burnt(|_, _, _, _| Ok(()))?;
    let (machine, pve) = burnt.node("box2")?;
    let before = fs::read_to_string(pve.etc("storage.cfg"))?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let recover = |more: &[&str]| by_pipe(&burnt.world, &machine, &ticket, more, &burnt.words);
    let free = |kib: u64| says(&machine, &format!("s/^(local .* active +[0-9]+ +[0-9]+ +)[0-9]+/\\1{kib}/"));

    // Not even the files of the container have room; no switch helps.
    free(100)?;
    for more in [&[][..], &["--overcommit"]] {
        let ended = recover(more)?;
        let said = ended.said();
        ensure!(ended.code == Some(10), "recover ended with {:?}:\n{said}", ended.code);
        for sentence in [
            "before anything is put in place",
            "KiB are needed on storage local for 101, 102, 100.00 KiB are free",
            "too little",
            "a directive that names another storage",
        ] {
            ensure!(said.contains(sentence), "`{sentence}` is not told:\n{said}");
        }
        ensure!(!said.contains("say --overcommit"), "a switch is named that does not help:\n{said}");
        untouched(&pve, &before)?;
    }
    // It does not answer.
    says(&machine, "s/^(local .*)  active/\\1inactive/")?;
    let ended = recover(&[])?;
    ensure!(ended.code == Some(10) && ended.said().contains("does not answer"), "{:?}: {}", ended.code, ended.said());
    untouched(&pve, &before)?;

    // The files have room, the whole disk has not: that is somebody's decision.
    free(2048)?;
    let ended = recover(&[])?;
    let said = ended.said();
    ensure!(ended.code == Some(10), "recover ended with {:?}:\n{said}", ended.code);
    ensure!(said.contains("MiB are needed on storage local for 101, 102, 2.00 MiB are free"), "{said}");
    ensure!(said.contains("say --overcommit"), "the way out is not told:\n{said}");
    untouched(&pve, &before)?;
    let ended = recover(&["--overcommit"])?;
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{}", ended.code, ended.said());
    ensure!(fs::read(pve.disk(102))? == burnt.disk, "the disk is another");
    Ok(())
}

#[test]
fn s38_archives_for_which_a_folder_has_no_room_are_told_before_anything_is_touched() -> Result<()> {
    let scene = protected()?;
    // Its owner has signed that it is that large.
    let store = scene.server.folder.as_deref().context("a folder")?;
    let group = store.join(GROUP);
    let snapshot = fs::read_dir(&group)?.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.is_dir());
    let path = snapshot.context("a snapshot")?.join("index.json.blob");
    let manifest = Manifest::from_blob(&fs::read(&path)?)?;
    let size = 1 << 50;
    let files = manifest.files().iter().map(|file| FileEntry { size, ..file.clone() }).collect();
    let large = Manifest::sign(manifest.snapshot().clone(), files, &scene.key)?;
    fs::write(&path, large.to_blob(&mut UnwrapErr(SysRng))?)?;
    let machine = scene.fresh("box2")?;
    let recovery = scene.refuses(&machine, &scene.hub.arm(BOX, &[])?, &[&scene.words], &[10])?;
    let place = machine.state().join("recovered");
    for sentence in [format!("1.00 PiB are needed at {}, ", place.display()), "another folder with --into".to_owned()] {
        ensure!(recovery.shown.contains(&sentence), "`{sentence}` is not told:\n{}", *recovery.shown);
    }
    Ok(())
}

#[test]
fn s38_a_server_that_has_nothing_to_restore_is_told_before_anything_is_touched() -> Result<()> {
    let scene = protected()?;
    let store = scene.server.folder.as_deref().context("a folder")?;
    fs::rename(store.join("ct"), store.with_extension("away"))?;
    let machine = scene.fresh("box2")?;
    let recovery = scene.refuses(&machine, &scene.hub.arm(BOX, &[])?, &[&scene.words], &[10])?;
    let told = "source pbs answers, and no snapshot that backup@pbs!box1 may see lies in datastore store";
    ensure!(recovery.shown.contains(told), "`{told}` is not told:\n{}", *recovery.shown);
    Ok(())
}
