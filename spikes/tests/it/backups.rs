//! S66 and the flips: a backup server that offers something else than was backed up.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::tree::Tree;

use crate::support::{BOX, Scene, container, edit_manifest, protected};

/// Where the server keeps a snapshot.
fn snapshot_folder(scene: &Scene, snapshot: &str) -> Result<PathBuf> {
    Ok(scene.server.folder.as_ref().context("the stand-in's datastore")?.join(snapshot))
}

/// The chunk files that a backup has added.
fn chunks(scene: &Scene) -> Result<Vec<PathBuf>> {
    let store = scene.server.folder.as_ref().context("the stand-in's datastore")?.join(".chunks");
    let mut files = Vec::new();
    for prefix in fs::read_dir(store)? {
        for chunk in fs::read_dir(prefix?.path())? {
            files.push(chunk?.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Backs a folder up that nothing else has, and tells the snapshot and its own chunks.
fn backed_up(scene: &Scene, group: &str) -> Result<(String, Tree, Vec<PathBuf>)> {
    let before = chunks(scene)?;
    let name = format!("container-{}", group.replace('/', "-"));
    let folder = container(&scene.world, &name, name.as_bytes())?;
    let snapshot =
        scene.server.back_up(&[format!("root.pxar:{}", folder.display())], group, &scene.box_1.key_file())?;
    let own = chunks(scene)?.into_iter().filter(|chunk| !before.contains(chunk)).collect();
    Ok((snapshot, Tree::read(&folder)?, own))
}

/// A twin of the group's snapshot, an hour newer: plain files, no signature.
fn plain_twin(scene: &Scene, group: &str) -> Result<PathBuf> {
    let folder = container(&scene.world, &format!("twin-{}", group.replace('/', "-")), b"planted by the server")?;
    let (kind, id) = group.split_once('/').context("a group")?;
    let time = (tenwords_protocol::time::Timestamp::now().unix() + 3600).to_string();
    let spec = format!("root.pxar:{}", folder.display());
    let arguments =
        ["backup", &spec, "--backup-type", kind, "--backup-id", id, "--backup-time", &time, "--crypt-mode", "none"];
    scene.server.run(&arguments)?.with_code(0)?;
    let newest = scene.server.snapshots(group)?.pop().context("the twin")?;
    snapshot_folder(scene, &newest)
}

#[test]
fn s66_only_what_the_keys_holder_signed_comes_back_and_nothing_by_halves() -> Result<()> {
    let scene = protected()?;
    let fingerprint = scene.key.fingerprint().to_string();

    // ct/101 is as it was. Of ct/102 the server has a newer, plain twin with our fingerprint.
    let (_, good, _) = backed_up(&scene, "ct/102")?;
    edit_manifest(&plain_twin(&scene, "ct/102")?, |manifest| {
        manifest["unprotected"]["key-fingerprint"] = fingerprint.clone().into()
    })?;
    // Of ct/103 it has nothing else; and it says that the files are encrypted.
    edit_manifest(&plain_twin(&scene, "ct/103")?, |manifest| {
        manifest["unprotected"]["key-fingerprint"] = fingerprint.clone().into();
        manifest["files"][0]["crypt-mode"] = "encrypt".into();
    })?;
    // ct/104: a byte of an encrypted chunk.
    let (_, _, own) = backed_up(&scene, "ct/104")?;
    let chunk = own.first().context("a chunk of its own")?;
    let mut bytes = fs::read(chunk)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(chunk, &bytes)?;
    // ct/105: the same with the checksum mended, so that only the key can notice.
    let (_, _, own) = backed_up(&scene, "ct/105")?;
    let chunk = own.first().context("a chunk of its own")?;
    let mut bytes = fs::read(chunk)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let sum = crc32(&bytes[44..]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    fs::write(chunk, &bytes)?;
    // ct/106: a chunk is gone.
    let (_, _, own) = backed_up(&scene, "ct/106")?;
    fs::remove_file(own.first().context("a chunk of its own")?)?;
    // ct/107: the signed list names another size.
    let (snapshot, _, _) = backed_up(&scene, "ct/107")?;
    edit_manifest(&snapshot_folder(&scene, &snapshot)?, |manifest| manifest["files"][0]["size"] = 1.into())?;
    // ct/108: the genuine list of ct/102, under another name.
    let (snapshot, _, _) = backed_up(&scene, "ct/108")?;
    let other = scene.server.snapshots("ct/102")?.remove(0);
    fs::copy(
        snapshot_folder(&scene, &other)?.join("index.json.blob"),
        snapshot_folder(&scene, &snapshot)?.join("index.json.blob"),
    )?;
    // ct/109: the index points to another's chunks.
    let (snapshot, _, _) = backed_up(&scene, "ct/109")?;
    fs::copy(
        snapshot_folder(&scene, &other)?.join("root.pxar.didx"),
        snapshot_folder(&scene, &snapshot)?.join("root.pxar.didx"),
    )?;

    let machine = scene.fresh("box2")?;
    let recovery = machine.recover(&scene.hub.arm(BOX, &[])?, &[&scene.words])?;
    ensure!(recovery.code == 14, "partly restored is 14, and not {}:\n{}", recovery.code, *recovery.shown);
    ensure!(Tree::read(&machine.restored("ct/101", "root.pxar"))? == scene.data, "ct/101 is another");
    ensure!(Tree::read(&machine.restored("ct/102", "root.pxar"))? == good, "ct/102 is not the signed one");
    for group in ["ct/103", "ct/104", "ct/105", "ct/106", "ct/107", "ct/108", "ct/109"] {
        ensure!(!machine.restored(group, "root.pxar").exists(), "something of {group} lies there");
        ensure!(recovery.shown.contains(group), "{group} is not named:\n{}", *recovery.shown);
    }
    Ok(())
}

/// CRC-32 as the blob format has it, bit by bit: this must not be our own reader's.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}
