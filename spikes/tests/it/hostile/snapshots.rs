//! S66: a backup server that changes its mind between two looks, and what it can do to blobs, images
//! and indexes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use pbs_format::blob;
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::time::Timestamp;
use tenwords_spikes::{tree::Tree, world::Machine};

use super::{recover, told};
use crate::support::{BOX, GROUP, Scene, container, edit_manifest, protected};

fn place(scene: &Scene, snapshot: &str) -> Result<PathBuf> {
    Ok(scene.server.folder.as_ref().context("the stand-in's datastore")?.join(snapshot))
}

/// A configuration, a folder and an image, as a guest's backup has them, under `key`.
fn backed_up(scene: &Scene, group: &str, key: &Path) -> Result<PathBuf> {
    let name = format!("guest-{}", group.replace('/', "-"));
    let folder = container(&scene.world, &name, name.as_bytes())?;
    let conf = scene.world.write(&format!("{name}.conf"), format!("hostname: {name}\n").as_bytes())?;
    let image = scene.world.write(&format!("{name}.raw"), &vec![name.len() as u8; 5 << 20])?;
    let specs = [
        format!("guest.conf:{}", conf.display()),
        format!("root.pxar:{}", folder.display()),
        format!("disk.img:{}", image.display()),
    ];
    place(scene, &scene.server.back_up(&specs, group, key)?)
}

/// The same content unencrypted and unsigned, in a folder beside the datastore, but claiming to be
/// that very snapshot, encrypted under our key.
fn disguised(scene: &Scene, group: &str, genuine: &Path) -> Result<PathBuf> {
    let (kind, id) = group.split_once('/').context("a group")?;
    let time = genuine.file_name().and_then(|name| name.to_str()).context("a time")?.parse::<Timestamp>()?;
    let planted = container(&scene.world, &format!("planted-{id}"), b"planted by the server")?;
    let conf = scene.world.write(&format!("planted-{id}.conf"), b"hostname: planted\n")?;
    let image = scene.world.write(&format!("planted-{id}.raw"), &vec![0x66; 5 << 20])?;
    let specs = [
        format!("guest.conf:{}", conf.display()),
        format!("root.pxar:{}", planted.display()),
        format!("disk.img:{}", image.display()),
    ];
    let id = format!("{id}000");
    let mut arguments = vec!["backup"];
    arguments.extend(specs.iter().map(String::as_str));
    let time = time.unix().to_string();
    arguments.extend(["--backup-type", kind, "--backup-id", &id, "--backup-time", &time, "--crypt-mode", "none"]);
    scene.server.run(&arguments)?.with_code(0)?;
    let twin = scene.server.snapshots(&format!("{kind}/{id}"))?.pop().context("the twin")?;
    let (from, aside) = (place(scene, &twin)?, scene.world.folder().join(format!("aside-{id}")));
    fs::rename(&from, &aside)?;
    fs::remove_dir_all(from.parent().context("its group")?)?;
    let fingerprint = scene.key.fingerprint().to_string();
    edit_manifest(&aside, |manifest| {
        manifest["backup-id"] = group.split_once('/').expect("a group").1.into();
        manifest["unprotected"]["key-fingerprint"] = fingerprint.into();
        for file in manifest["files"].as_array_mut().expect("files") {
            file["crypt-mode"] = "encrypt".into();
        }
    })?;
    Ok(aside)
}

/// The list of files is genuine whenever it is looked at, and another snapshot lies there while an
/// archive is restored.
#[test]
fn s66_a_server_that_changes_a_snapshot_between_two_looks_gets_nothing_in() -> Result<()> {
    let scene = protected()?;
    let genuine = backed_up(&scene, "vm/110", &scene.box_1.key_file())?;
    let aside = disguised(&scene, "vm/110", &genuine)?;
    let (client, used) = (scene.world.folder().join("bin/turning-client"), scene.world.folder().join("turned"));
    // The real client, restoring the disguised snapshot, would not say a word.
    let script = format!(
        "#!/bin/sh\ncase \"$1 $2 $3\" in 'restore vm/110/'*' index.json') ;; 'restore vm/110/'*)\n\
         mv '{there}' '{kept}'; cp -a '{aside}' '{there}'; echo \"$3\" >> '{used}'\n\
         '{real}' \"$@\"; end=$?\nrm -r '{there}'; mv '{kept}' '{there}'; exit $end ;; esac\nexec '{real}' \"$@\"\n",
        there = genuine.display(),
        kept = scene.world.folder().join("kept").display(),
        aside = aside.display(),
        used = used.display(),
        real = scene.server.client.display(),
    );
    fs::write(&client, script)?;
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755))?;
    let machine = Machine::new(&scene.world, "box2", &client)?;
    let ended = recover(&scene, &machine, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(14), "recover ended with {:?} instead of 14:\n{told}", ended.code);
    let turned = fs::read_to_string(&used)?;
    for archive in ["guest.conf", "root.pxar", "disk.img"] {
        ensure!(turned.contains(archive), "{archive} was not asked for:\n{turned}");
        ensure!(!machine.restored("vm/110", archive).exists(), "something lies in the place of {archive}:\n{told}");
        ensure!(told.contains(archive), "{archive} is not named:\n{told}");
    }
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the other group is another");
    machine.left_nothing_in_memory()
}

fn flip(path: &Path, at: impl FnOnce(usize) -> usize) -> Result<()> {
    let mut bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let at = at(bytes.len());
    bytes[at] ^= 1;
    fs::write(path, bytes)?;
    Ok(())
}

#[test]
fn s66_what_is_damaged_leaves_no_plausible_file_and_the_rest_comes_back() -> Result<()> {
    let scene = protected()?;
    let ours = scene.box_1.key_file();
    let conf = |group: &str| format!("hostname: guest-{}\n", group.replace('/', "-")).into_bytes();
    // 120 to 122: one archive of three is damaged.
    flip(&backed_up(&scene, "vm/120", &ours)?.join("guest.conf.blob"), |length| length - 5)?;
    flip(&backed_up(&scene, "vm/121", &ours)?.join("root.pxar.didx"), |_| 4096 + 20)?;
    flip(&backed_up(&scene, "vm/122", &ours)?.join("disk.img.fidx"), |_| 4096 + 20)?;
    // 123: one of three is gone.
    fs::remove_file(backed_up(&scene, "vm/123", &ours)?.join("guest.conf.blob"))?;
    // 124: the blob of another guest, encrypted under the same key.
    let other = backed_up(&scene, "vm/125", &ours)?.join("guest.conf.blob");
    fs::copy(other, backed_up(&scene, "vm/124", &ours)?.join("guest.conf.blob"))?;
    // 126: its configuration in plain, under the signed list.
    let plain = blob::encode(b"hostname: planted\n", None, false, &mut UnwrapErr(SysRng))?;
    fs::write(backed_up(&scene, "vm/126", &ours)?.join("guest.conf.blob"), plain)?;
    // 127: a key that nobody has escrowed. 128: the same, and the server says that it is ours.
    let theirs = scene.world.folder().join("job/theirs.enc");
    scene.server.run(&["key", "create", "--kdf", "none", &theirs.display().to_string()])?.with_code(0)?;
    backed_up(&scene, "vm/127", &theirs)?;
    let fingerprint = scene.key.fingerprint().to_string();
    edit_manifest(&backed_up(&scene, "vm/128", &theirs)?, |manifest| {
        manifest["unprotected"]["key-fingerprint"] = fingerprint.clone().into();
    })?;
    // 129: a byte of the list, and 130 the same with the blob's checksum mended.
    flip(&backed_up(&scene, "vm/129", &ours)?.join("index.json.blob"), |length| length - 9)?;
    edit_manifest(&backed_up(&scene, "vm/130", &ours)?, |manifest| {
        manifest["files"][0]["csum"] = "0".repeat(64).into()
    })?;
    // 131: nothing was changed.
    backed_up(&scene, "vm/131", &ours)?;

    let machine = scene.fresh("box2")?;
    let ended = recover(&scene, &machine, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(14), "recover ended with {:?} instead of 14:\n{told}", ended.code);
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "{GROUP} is another");
    let archives = ["guest.conf", "root.pxar", "disk.img"];
    for (group, damaged) in [
        ("vm/120", &archives[..1]),
        ("vm/121", &archives[1..2]),
        ("vm/122", &archives[2..]),
        ("vm/123", &archives[..1]),
        ("vm/124", &archives[..1]),
        ("vm/126", &archives[..1]),
        ("vm/127", &archives[..]),
        ("vm/128", &archives[..]),
        ("vm/129", &archives[..]),
        ("vm/130", &archives[..]),
        ("vm/131", &[]),
    ] {
        for archive in archives {
            let there = machine.restored(group, archive);
            let expected = !damaged.contains(&archive);
            ensure!(there.exists() == expected, "{group} {archive}: it is there: {}\n{told}", there.exists());
        }
        if !damaged.contains(&"guest.conf") {
            ensure!(fs::read(machine.restored(group, "guest.conf"))? == conf(group), "{group}: another configuration");
        }
        if !damaged.contains(&"disk.img") {
            let name = format!("guest-{}", group.replace('/', "-"));
            let image = fs::read(machine.restored(group, "disk.img"))?;
            ensure!(image == vec![name.len() as u8; 5 << 20], "{group}: another image");
        }
        ensure!(damaged.is_empty() || told.contains(group), "{group} is not named:\n{told}");
    }
    ensure!(told.contains("which this escrow does not hold"), "the foreign key is not named:\n{told}");
    ensure!(!told.contains("planted"), "{told}");
    machine.left_nothing_in_memory()
}
