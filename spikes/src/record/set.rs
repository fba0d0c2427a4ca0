//! Where it is played: a node with Proxmox VE, two guests, a key and a backup of both.

use std::{fs, path::Path};

use anyhow::Result;
use zeroize::Zeroizing;

use super::{cast, hand::Hand};
use crate::{
    customer::{Customer, Kind},
    world::{BackupServer, Hub, Machine, Pve, World, write_private},
};

/// A world in which a node has joined the hub.
pub(super) struct Set {
    pub(super) node: Machine,
    pub(super) server: BackupServer,
    pub(super) hub: Hub,
    pub(super) world: World,
}

impl Set {
    /// Lays it out below `base`.
    pub(super) fn new(base: &Path) -> Result<Self> {
        let world = World::new(base)?;
        let server = BackupServer::local(&world)?;
        let hub = Hub::start(&world)?;
        let (_, ticket) = hub.add_box(BOX)?;
        let node = Machine::new(&world, "pve1", &server.client)?;
        let pve = Pve::install(&world, &node, &server, "pve1")?;
        let key = world.make("job")?.join("made.enc");
        server.run(&["key", "create", "--kdf", "none", &key.display().to_string()])?.with_code(0)?;
        pve.add_storage("pbs", &server, &key)?;
        back_up_container(&world, &server, &key)?;
        back_up_machine(&world, &server, &key)?;
        node.enroll(&ticket)?;
        Ok(Self { node, server, hub, world })
    }

    /// A new node, and the ticket of a recovery in its folder.
    pub(super) fn another_node(&self) -> Result<Machine> {
        let ticket = self.hub.arm(BOX, &[])?;
        let node = Machine::new(&self.world, "pve2", &self.server.client)?;
        Pve::install(&self.world, &node, &self.server, "pve2")?;
        write_private(&node.folder().join(TICKET), ticket.as_bytes())?;
        Ok(node)
    }

    /// Somebody who has started the agent on this node.
    pub(super) fn sits_at(&self, node: &Machine, shell: &'static str, arguments: &[&str]) -> Result<Hand> {
        let agent = self.world.programs().agent.display().to_string();
        let config = node.config().display().to_string();
        let all = [&[agent.as_str(), "--config", config.as_str()], arguments].concat();
        let kind = Kind { rows: cast::ROWS, columns: cast::COLUMNS, ..Kind::USUAL };
        let customer = Customer::at(kind, &all, &self.world.environment(), node.folder())?;
        Ok(Hand::after(shell, &format!("tenwords-agent {}", arguments.join(" ")), customer))
    }

    /// What is written in the place of this world's folders.
    pub(super) fn rename(&self) -> [(String, &'static str); 2] {
        [
            (self.world.folder().display().to_string(), "/srv/demo"),
            (self.world.private().display().to_string(), "/srv/demo/run"),
        ]
    }
}

/// The words in a screen's numbered list, each alone.
pub(super) fn listed(words: &Zeroizing<String>) -> Vec<&str> {
    words.split(' ').collect()
}

fn back_up_container(world: &World, server: &BackupServer, key: &Path) -> Result<()> {
    let folder = world.make("ct-101")?;
    fs::create_dir(folder.join("etc"))?;
    fs::write(folder.join("etc/hostname"), "shop\n")?;
    let books: Vec<u8> = (0_u32..1 << 20).flat_map(|n| format!("{n} loaves\n").into_bytes()).collect();
    fs::write(folder.join("books"), books)?;
    let config = b"arch: amd64\nhostname: shop\nmemory: 512\nrootfs: local:101/subvol-101-disk-0.subvol,size=8G\n";
    let config = world.write("ct-101.conf", config)?;
    let specs = [format!("pct.conf:{}", config.display()), format!("root.pxar:{}", folder.display())];
    server.back_up(&specs, "ct/101", key).map(|_| ())
}

fn back_up_machine(world: &World, server: &BackupServer, key: &Path) -> Result<()> {
    let disk: Vec<u8> = (0_u32..3 << 20).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let image = world.write("vm-102.raw", &disk)?;
    let config = b"#qmdump#map:scsi0:drive-scsi0:local:raw:\nmemory: 1024\nname: ledger\n\
                   scsi0: local:102/vm-102-disk-0.raw,size=12M\n";
    let config = world.write("vm-102.conf", config)?;
    let specs = [format!("qemu-server.conf:{}", config.display()), format!("drive-scsi0.img:{}", image.display())];
    server.back_up(&specs, "vm/102", key).map(|_| ())
}

/// The box's name at the hub.
const BOX: &str = "bakery";
/// The ticket's file in a new node's folder.
pub(super) const TICKET: &str = "ticket";
