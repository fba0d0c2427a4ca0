//! Where a box of the story lives: a node of Proxmox VE, played by the fixture programs; with a real backup
//! server a machine without Proxmox VE, since the fixtures read disks from a datastore's folder.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    story::holds,
    world::{BackupServer, Machine, Pve, World},
};

/// A machine, and the node that it is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) machine: Machine,
    pub(super) node: Option<Pve>,
}

impl Place {
    /// An empty one, which knows no backup server.
    pub(super) fn new(world: &World, server: &BackupServer, name: &str, client: &Path) -> Result<Self> {
        let machine = Machine::new(world, name, client)?;
        let node = match &server.folder {
            Some(_) => Some(Pve::install_with(world, &machine, server, &format!("pve-{name}"), client)?),
            None => None,
        };
        Ok(Self { machine, node })
    }

    /// With the storage (or source) `pbs`.
    pub(super) fn with_server(self, server: &BackupServer, key: &[u8]) -> Result<Self> {
        let Self { machine, node } = self;
        let machine = match &node {
            Some(node) => {
                node.write_storage(STORAGE, server, key)?;
                machine
            }
            None => machine.with_source(server, key)?,
        };
        Ok(Self { machine, node })
    }

    /// Where its key belongs: that of PVE's storage, or of the agent's source as it was `recovered` or not.
    pub(super) fn key(&self, recovered: bool) -> PathBuf {
        match &self.node {
            Some(node) => node.etc(&format!("priv/storage/{STORAGE}.enc")),
            None if recovered => self.machine.installed_key(),
            None => self.machine.key_file(),
        }
    }

    /// Where the agent keeps every key that a snapshot may still need.
    pub(super) fn kept_keys(&self) -> PathBuf {
        self.machine.state().join("lineage")
    }

    /// The same of its token.
    pub(super) fn token(&self, recovered: bool) -> PathBuf {
        match &self.node {
            Some(node) => node.etc(&format!("priv/storage/{STORAGE}.pw")),
            None if recovered => self.machine.installed_token(),
            None => self.machine.token_file(),
        }
    }

    /// Neither key nor token, data, source, storage or guest.
    pub(super) fn nothing_installed(&self) -> Result<()> {
        self.machine.nothing_installed()?;
        let Some(node) = &self.node else { return Ok(()) };
        holds(node.has_no_guests()?, "no guest is there")?;
        let storages = std::fs::read_to_string(node.etc("storage.cfg"))?;
        holds(!storages.contains("pbs: "), "PVE knows no backup server")?;
        holds(!self.key(true).exists() && !self.token(true).exists(), "PVE has no key and no token")
    }
}

/// The storage that guests are backed up to.
pub(super) const STORAGE: &str = "pbs";
