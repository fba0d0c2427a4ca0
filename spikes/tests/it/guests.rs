//! A Proxmox VE node burns with its guests, and comes back on another node: storage, key and token in
//! PVE's own files, containers and virtual machines by PVE's own programs, which fixtures play.

mod in_the_way;
mod keys;
mod lies;
mod two_storages;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use pbs_format::key::KeyFile;
use tempfile::TempDir;
use tenwords_spikes::{
    tree::Tree,
    world::{BackupServer, Hub, Machine, Pve, World},
};
use zeroize::Zeroizing;

pub(crate) use self::in_the_way::everything;
use crate::support::{BOX, as_shown, container};

/// A node that has held its ceremony and is gone.
pub(crate) struct Burnt {
    pub(crate) words: Zeroizing<String>,
    /// The key file as PVE had it.
    pub(crate) key: Vec<u8>,
    /// What was in container 101.
    pub(crate) tree: Tree,
    /// What was on the disk of virtual machine 102.
    pub(crate) disk: Vec<u8>,
    pub(crate) server: BackupServer,
    pub(crate) hub: Hub,
    pub(crate) world: World,
    _base: TempDir,
}

/// A node with container 101 and virtual machine 102, both backed up to the storage `pbs`; more is
/// done by `change` before the ceremony.
pub(crate) fn burnt(change: impl FnOnce(&World, &BackupServer, &Pve, &Path) -> Result<()>) -> Result<Burnt> {
    let (burnt, machine) = living(change)?;
    machine.destroy()?;
    Ok(burnt)
}

/// The same before it is gone; with its machine.
pub(crate) fn living(
    change: impl FnOnce(&World, &BackupServer, &Pve, &Path) -> Result<()>,
) -> Result<(Burnt, Machine)> {
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let server = BackupServer::local(&world)?;
    let hub = Hub::start(&world)?;
    let (_, ticket) = hub.add_box(BOX)?;
    let machine = Machine::new(&world, "box1", &server.client)?;
    let pve = Pve::install(&world, &machine, &server, "pve1")?;
    let made = world.folder().join("job/made.enc");
    server.run(&["key", "create", "--kdf", "none", &made.display().to_string()])?.with_code(0)?;
    pve.add_storage("pbs", &server, &made)?;
    let (tree, disk) = (back_up_container(&world, &server, 101, &made)?, back_up_machine(&world, &server, 102, &made)?);
    change(&world, &server, &pve, &made)?;
    machine.enroll(&ticket)?;
    let words = machine.ceremony(as_shown)?;
    let key = fs::read(pve.etc("priv/storage/pbs.enc"))?;
    Ok((Burnt { words, key, tree, disk, server, hub, world, _base: base }, machine))
}

/// As vzdump leaves one on the server.
pub(crate) fn back_up_container(world: &World, server: &BackupServer, vmid: u32, key: &Path) -> Result<Tree> {
    let folder = container(world, &format!("ct-{vmid}"), format!("the books of {vmid}").as_bytes())?;
    let tree = Tree::read(&folder)?;
    let config = format!(
        "arch: amd64\nhostname: web{vmid}\nmemory: 512\nrootfs: local:{vmid}/subvol-{vmid}-disk-0.subvol,size=8G\n"
    );
    let config = world.write(&format!("ct-{vmid}.conf"), config.as_bytes())?;
    let specs = [format!("pct.conf:{}", config.display()), format!("root.pxar:{}", folder.display())];
    server.back_up(&specs, &format!("ct/{vmid}"), key)?;
    Ok(tree)
}

/// The same of a virtual machine with one disk.
pub(crate) fn back_up_machine(world: &World, server: &BackupServer, vmid: u32, key: &Path) -> Result<Vec<u8>> {
    let disk: Vec<u8> = (0_u32..5 << 18).flat_map(|n| (n / 7 * vmid).to_le_bytes()).collect();
    let image = world.write(&format!("vm-{vmid}.raw"), &disk)?;
    let config = format!(
        "#qmdump#map:scsi0:drive-scsi0:local:raw:\nmemory: 1024\nname: db{vmid}\n\
         scsi0: local:{vmid}/vm-{vmid}-disk-0.raw,size=5M\n"
    );
    let config = world.write(&format!("vm-{vmid}.conf"), config.as_bytes())?;
    let specs = [format!("qemu-server.conf:{}", config.display()), format!("drive-scsi0.img:{}", image.display())];
    server.back_up(&specs, &format!("vm/{vmid}"), key)?;
    Ok(disk)
}

impl Burnt {
    /// A new node.
    pub(crate) fn node(&self, name: &str) -> Result<(Machine, Pve)> {
        self.node_with(name, &self.server.client)
    }

    /// The same with another client, for the agent and for PVE.
    pub(crate) fn node_with(&self, name: &str, client: &Path) -> Result<(Machine, Pve)> {
        let machine = Machine::new(&self.world, name, client)?;
        let pve = Pve::install_with(&self.world, &machine, &self.server, "pve2", client)?;
        Ok((machine, pve))
    }

    /// The storage, the key and the token stand in PVE's files, as they were.
    fn storage_is_back(&self, pve: &Pve) -> Result<()> {
        let text = fs::read_to_string(pve.etc("storage.cfg"))?;
        let stanza = text.split("pbs: pbs\n").nth(1).with_context(|| format!("no storage in:\n{text}"))?;
        let fingerprint = KeyFile::parse(&self.key)?.open(None)?.fingerprint();
        let (user, address) = self.server.repository.rsplit_once('@').context("a user")?;
        let port = address.split(':').nth(1).context("a port")?;
        for line in [
            format!("datastore {}", "store"),
            "server 127.0.0.1".to_owned(),
            format!("port {port}"),
            format!("username {user}"),
            format!("fingerprint {}", self.server.certificate),
            format!("encryption-key {fingerprint}"),
        ] {
            ensure!(stanza.lines().any(|it| it.trim() == line), "`{line}` is not in:\n{text}");
        }
        let key = KeyFile::parse(&fs::read(pve.etc("priv/storage/pbs.enc"))?)?.open(None)?;
        ensure!(key.fingerprint() == fingerprint, "the key is another");
        let password = fs::read_to_string(pve.etc("priv/storage/pbs.pw"))?;
        ensure!(password.trim_end() == self.server.expose_secret(), "the token is another");
        for name in ["priv/storage/pbs.enc", "priv/storage/pbs.pw"] {
            let mode = fs::metadata(pve.etc(name))?.permissions().mode() & 0o777;
            ensure!(mode == 0o600, "{name} has mode {mode:o}");
        }
        Ok(())
    }

    pub(crate) fn container_is_back(&self, pve: &Pve, vmid: u32) -> Result<()> {
        ensure!(Tree::read(&pve.container_root(vmid))? == self.tree, "the files of container {vmid} are others");
        let config = pve.container_config(vmid)?;
        ensure!(config.contains("hostname: web101") && !config.contains("lock:"), "{config}");
        Ok(())
    }

    pub(crate) fn machine_is_back(&self, pve: &Pve, vmid: u32) -> Result<()> {
        ensure!(fs::read(pve.disk(vmid))? == self.disk, "the disk of virtual machine {vmid} is another");
        let config = pve.machine_config(vmid)?;
        ensure!(config.contains("name: db102") && !config.contains("lock:"), "{config}");
        Ok(())
    }

    /// Runs the recovery, which must end so.
    pub(crate) fn recovers(&self, machine: &Machine, ticket: &str, code: u32) -> Result<String> {
        let recovery = machine.recover(ticket, &[&self.words])?;
        ensure!(recovery.code == code, "recover ended with {} instead of {code}:\n{}", recovery.code, *recovery.shown);
        machine.left_nothing_in_memory()?;
        Ok(recovery.shown.to_string())
    }
}

pub(crate) fn nothing(_: &World, _: &BackupServer, _: &Pve, _: &Path) -> Result<()> {
    Ok(())
}

/// The whole of it.
#[test]
fn a_node_that_burnt_comes_back_with_its_storage_and_its_guests() -> Result<()> {
    let burnt = burnt(nothing)?;
    let (machine, pve) = burnt.node("box2")?;
    let shown = burnt.recovers(&machine, &burnt.hub.arm(BOX, &[])?, 0)?;
    burnt.storage_is_back(&pve)?;
    burnt.container_is_back(&pve, 101)?;
    burnt.machine_is_back(&pve, 102)?;
    for sentence in ["container 101 on storage local", "virtual machine 102", "2 guests", "ct 101, stopped"] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    let config = fs::read_to_string(machine.config())?;
    ensure!(!config.contains("[[source]]"), "a storage of PVE was put into the settings too:\n{config}");
    // The escrow was renewed from here, and says the same of this node as of the burnt one.
    ensure!(machine.is_protected()?, "the new node is not protected");

    without_a_node_everything_goes_into_folders(&burnt)
}

/// Without Proxmox VE the storage becomes a source of the agent's settings, and guests go into folders.
fn without_a_node_everything_goes_into_folders(burnt: &Burnt) -> Result<()> {
    let rehearsed = Machine::new(&burnt.world, "rehearsed", &burnt.server.client)?;
    let shown = burnt.recovers(&rehearsed, &burnt.hub.arm(BOX, &["--rehearsal"])?, 0)?;
    ensure!(
        Tree::read(&rehearsed.restored("ct/101", "root.pxar"))? == burnt.tree,
        "the container is another:\n{shown}"
    );
    ensure!(!rehearsed.installed_key().exists(), "a rehearsal has put a key in place:\n{shown}");

    let machine = Machine::new(&burnt.world, "plain", &burnt.server.client)?;
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
    let key = KeyFile::parse(&fs::read(machine.installed_key())?)?.open(None)?;
    let ours = KeyFile::parse(&burnt.key)?.open(None).context("the key")?;
    ensure!(key.fingerprint() == ours.fingerprint(), "the key is another");
    Ok(())
}
