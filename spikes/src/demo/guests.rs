//! The box's guests: container 101 with a tree of everything, virtual machine 102 with a disk.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::place::Place;
use crate::{
    story::{Story, holds},
    tree::{self, Tree},
    world::{BackupServer, World},
};

/// What they were.
pub(super) struct Guests {
    tree: Tree,
    disk: Vec<u8>,
    container: String,
    machine: String,
    /// The container's snapshot.
    pub(super) snapshot: String,
}

impl Guests {
    /// Makes them on a box, and backs them up as vzdump leaves them on the server.
    pub(super) fn make(
        story: &mut Story,
        world: &World,
        server: &BackupServer,
        place: &Place,
        bytes: u64,
    ) -> Result<Self> {
        let (root, image) = match &place.node {
            Some(node) => (node.container_root(CONTAINER), node.disk(MACHINE)),
            None => (place.machine.folder().join("container"), place.machine.folder().join("disk.raw")),
        };
        let made = tree::make(&root, bytes)?;
        let disk = disk().context("making a disk")?;
        fs::create_dir_all(image.parent().context("the image lies in no folder")?)?;
        fs::write(&image, &disk)?;
        let tree = Tree::read(&root)?;
        story.say(&format!(
            "Container 101: {} files of this machine, {} MiB; {}.",
            made.copied,
            made.bytes >> 20,
            tree.census()
        ))?;
        for left_out in made.left_out {
            story.say(&format!("Not made here: {left_out}"))?;
        }
        story.say(&format!("Virtual machine 102: a disk of {} MiB.", disk.len() >> 20))?;
        let container = format!(
            "arch: amd64\nhostname: shop\nmemory: 512\nrootfs: local:101/subvol-101-disk-0.subvol,size={}G\nswap: 512\n",
            8 + (bytes >> 30)
        );
        let machine =
            format!("memory: 1024\nname: till\nscsi0: local:102/vm-102-disk-0.raw,size={}M\n", disk.len() >> 20);
        if let Some(node) = &place.node {
            node.write_container(CONTAINER, &container)?;
            node.write_machine(MACHINE, &machine)?;
        }
        // vzdump writes down which drive is which image.
        let dumped = format!("{machine}{DRIVE}\n");
        let spec = |archive: &str, path: &Path| format!("{archive}:{}", path.display());
        let config = |name: &str, text: &str| world.write(&format!("job/{name}"), text.as_bytes());
        let specs = [spec("pct.conf", &config("pct.conf", &container)?), spec("root.pxar", &root)];
        let snapshot = server.back_up(&specs, CONTAINERS_GROUP, &place.key(false))?;
        let specs = [spec("qemu-server.conf", &config("qemu-server.conf", &dumped)?), spec("drive-scsi0.img", &image)];
        server.back_up(&specs, MACHINES_GROUP, &place.key(false))?;
        holds(Tree::read(&root)? == tree, "backing up changes nothing")?;
        Ok(Self { tree, disk, container, machine, snapshot })
    }

    /// Every entry, every byte.
    pub(super) fn compare(&self, story: &mut Story, place: &Place) -> Result<()> {
        let folder = |group: &str, archive: &str| place.machine.restored(group, archive);
        let (root, image): (PathBuf, PathBuf) = match &place.node {
            Some(node) => (node.container_root(CONTAINER), node.disk(MACHINE)),
            None => (folder(CONTAINERS_GROUP, "root.pxar"), folder(MACHINES_GROUP, "drive-scsi0.img")),
        };
        let found = Tree::read(&root)?;
        let differences = tree::differences(&self.tree, &found);
        let shown: Vec<String> = differences.iter().take(10).map(|difference| format!("\n  {difference}")).collect();
        holds(differences.is_empty(), format!("nothing differs, and not {}:{}", differences.len(), shown.concat()))?;
        story.say(&format!(
            "{} entries are the same: content, type, mode, owner, time, link, hard link, attribute, device.",
            found.len()
        ))?;
        holds(fs::read(&image)? == self.disk, "the disk of machine 102 is the same")?;
        story.say(&format!("{} bytes of the disk are the same.", self.disk.len()))?;
        let (container, machine) = match &place.node {
            Some(node) => (node.container_config(CONTAINER)?, node.machine_config(MACHINE)?),
            None => (
                fs::read_to_string(folder(CONTAINERS_GROUP, "pct.conf"))?,
                fs::read_to_string(folder(MACHINES_GROUP, "qemu-server.conf"))?,
            ),
        };
        for (name, was, is) in [("container", &self.container, &container), ("machine", &self.machine, &machine)] {
            holds(lines(was) == lines(is), format!("the {name}'s configuration is the same:\n{was}\nand not\n{is}"))?;
        }
        Ok(())
    }
}

/// What says the same in any order; PVE draws a machine's generation anew for each restore.
fn lines(config: &str) -> BTreeSet<&str> {
    config.lines().filter(|line| !line.is_empty() && !line.starts_with("vmgenid:") && *line != DRIVE).collect()
}

/// Noise, a hole, text, and noise again: no chunk of it can be made up from another.
fn disk() -> Result<Vec<u8>> {
    let mut disk = vec![0; DISK];
    let mut noise = File::open("/dev/urandom")?;
    let (quarter, line) = (DISK / 4, b"sector after sector of a till's receipts\n");
    noise.read_exact(&mut disk[..quarter])?;
    for (byte, text) in disk[2 * quarter..3 * quarter].iter_mut().zip(line.iter().cycle()) {
        *byte = *text;
    }
    noise.read_exact(&mut disk[3 * quarter..])?;
    Ok(disk)
}

const CONTAINER: u32 = 101;
const MACHINE: u32 = 102;
const CONTAINERS_GROUP: &str = "ct/101";
const MACHINES_GROUP: &str = "vm/102";
const DRIVE: &str = "#qmdump#map:scsi0:drive-scsi0:local:raw:";
const DISK: usize = 8 << 20;
