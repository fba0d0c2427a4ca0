//! S66: a backup server that shows us one signed list of files and the client another, signed under
//! the same key: an older snapshot, or another guest's. Every signature on the way is good.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Result, ensure};
use tenwords_spikes::{tree::Tree, world::Machine};

use super::{recover, told};
use crate::support::{BOX, GROUP, Scene, container, protected};

/// A folder and an image of one length, whatever the words.
fn backed_up(scene: &Scene, group: &str, words: [u8; 8], more: &[&str]) -> Result<()> {
    let name = String::from_utf8(words.to_vec())?;
    let folder = container(&scene.world, &name, &words)?;
    let image = scene.world.write(&format!("{name}.raw"), &words.repeat(5 << 17))?;
    let (folder, image) = (format!("root.pxar:{}", folder.display()), format!("disk.img:{}", image.display()));
    let key = scene.box_1.key_file().display().to_string();
    let (kind, id) = group.split_once('/').unwrap_or_default();
    let mut arguments = vec!["backup", &folder, &image, "--backup-type", kind, "--backup-id", id, "--keyfile", &key];
    arguments.extend(more);
    scene.server.run(&arguments)?.with_code(0)?;
    Ok(())
}

/// The client, on a server that hands it `other` for whatever it restores of vm/110 but the list.
fn swapping(scene: &Scene, other: &str, used: &Path) -> Result<std::path::PathBuf> {
    let client = scene.world.folder().join("bin/swapping-client");
    let script = format!(
        "#!/bin/sh\ncase \"$1 $2 $3\" in 'restore vm/110/'*' index.json') ;; 'restore vm/110/'*)\n\
         echo \"$3\" >> '{used}'; shift 2; set -- restore '{other}' \"$@\" ;; esac\nexec '{real}' \"$@\"\n",
        used = used.display(),
        real = scene.server.client.display(),
    );
    fs::write(&client, script)?;
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755))?;
    Ok(client)
}

#[test]
fn s66_a_server_that_hands_the_client_another_signed_list_gets_nothing_in() -> Result<()> {
    let scene = protected()?;
    // An hour ago, another guest, and the one that is restored: all under the box's own key.
    backed_up(&scene, "vm/110", *b"an-older", &["--backup-time", "1795200000"])?;
    backed_up(&scene, "vm/111", *b"another1", &[])?;
    backed_up(&scene, "vm/110", *b"the-last", &[])?;
    let older = scene.server.snapshots("vm/110")?.remove(0);
    let another = scene.server.snapshots("vm/111")?.remove(0);
    for (round, other) in [older, another].iter().enumerate() {
        let used = scene.world.folder().join(format!("swapped-{round}"));
        let client = swapping(&scene, other, &used)?;
        let machine = Machine::new(&scene.world, &format!("box-{}", round + 2), &client)?;
        let ended = recover(&scene, &machine, &scene.hub.arm(BOX, &[])?, &scene.words)?;
        let told = told(&ended);
        ensure!(ended.code == Some(14), "{other}: recover ended with {:?} instead of 14:\n{told}", ended.code);
        let used = fs::read_to_string(&used)?;
        for archive in ["root.pxar", "disk.img"] {
            ensure!(used.contains(archive), "{other}: {archive} was not asked for:\n{used}");
            let there = machine.restored("vm/110", archive);
            ensure!(!there.exists(), "{other}: something lies in the place of {archive}:\n{told}");
        }
        ensure!(told.contains("is not what the snapshot's list names"), "{other}: the lie is not named:\n{told}");
        ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the other group is another");
        machine.left_nothing_in_memory()?;
    }
    Ok(())
}
