//! A machine's Proxmox VE, played by the fixture programs below the machine's own folder.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use pbs_format::key::KeyFile;

use super::{BackupServer, Machine, World, write_private};
use crate::{
    process::{Ended, Run},
    programs::program,
};

/// A node of one. Its `/` is the machine's folder.
#[derive(Debug, Clone)]
pub struct Pve {
    root: PathBuf,
    node: String,
    environment: Vec<(String, String)>,
}

impl Pve {
    /// Lays Proxmox VE out on a machine, as node `node`, with one storage `local` for volumes. Its
    /// programs call the server's client, and read disks from the server's folder.
    ///
    /// # Errors
    /// The fixtures are not built, or said no.
    pub fn install(world: &World, machine: &Machine, server: &BackupServer, node: &str) -> Result<Self> {
        Self::install_with(world, machine, server, node, &server.client)
    }

    /// The same with another client for PVE's programs.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub fn install_with(
        world: &World,
        machine: &Machine,
        server: &BackupServer,
        node: &str,
        client: &Path,
    ) -> Result<Self> {
        let folder = world.programs().agent.parent().context("the programs lie in a folder")?;
        let stores = server.folder.as_deref().and_then(Path::parent).context("the stand-in's datastores")?;
        Run::new(&program(folder, "fixture-node")?, world.folder())
            .args(["--fixture-root"])
            .args([machine.folder()])
            .args(["--client"])
            .args([client])
            .args(["--datastores"])
            .args([stores])
            .args(["--node", node])
            .envs(&world.environment())
            .to_end(LONG)?
            .with_code(0)?;
        Ok(Self { root: machine.folder().to_owned(), node: node.to_owned(), environment: world.environment() })
    }

    /// Makes these nodes one cluster: each sees the first one's files below `/etc/pve`, with a name of its own.
    ///
    /// # Errors
    /// What the system said.
    pub fn cluster(nodes: &[&Self], quorate: bool) -> Result<()> {
        let first = nodes.first().context("a cluster has a node")?;
        let quorate = u8::from(quorate);
        let list: serde_json::Map<String, serde_json::Value> =
            nodes.iter().map(|node| (node.node.clone(), serde_json::json!({"id": 1, "online": 1}))).collect();
        fs::write(first.etc("corosync.conf"), "totem {\n}\n")?;
        for node in nodes {
            let members = serde_json::json!({
                "nodename": node.node,
                "version": 2,
                "cluster": {"name": "fixture", "version": 1, "nodes": nodes.len(), "quorate": quorate},
                "nodelist": list,
            });
            fs::write(node.etc(".members"), members.to_string())?;
        }
        for node in &nodes[1..] {
            for name in ["priv", "storage.cfg", "corosync.conf"] {
                let path = node.etc(name);
                match fs::symlink_metadata(&path) {
                    Ok(found) if found.is_dir() => fs::remove_dir_all(&path)?,
                    Ok(_) => fs::remove_file(&path)?,
                    Err(_) => {}
                }
                std::os::unix::fs::symlink(first.etc(name), &path)?;
            }
        }
        Ok(())
    }

    /// A path below `/etc/pve`.
    #[must_use]
    pub fn etc(&self, name: &str) -> PathBuf {
        self.root.join("etc/pve").join(name)
    }

    /// Adds a storage that backs up to this server, as an administrator does: by `pvesm`.
    ///
    /// # Errors
    /// It said no.
    pub fn add_storage(&self, id: &str, server: &BackupServer, key: &Path) -> Result<()> {
        let (user, address) = server.repository.rsplit_once('@').context("a repository with a user")?;
        let [host, port, datastore] = address.split(':').collect::<Vec<_>>()[..] else {
            anyhow::bail!("{address} is not host:port:datastore")
        };
        let all = ["--server", host, "--port", port, "--datastore", datastore, "--username", user];
        Run::new(&self.root.join("usr/sbin/pvesm"), &self.root)
            .args(["add", "pbs", id])
            .args(all)
            .args(["--fingerprint", &server.certificate, "--encryption-key"])
            .args([key])
            .args(["--password", server.expose_secret()])
            .envs(&self.environment)
            .to_end(LONG)?
            .with_code(0)?;
        Ok(())
    }

    /// A storage as PVE's web interface leaves one, where the token stands on nobody's command line.
    ///
    /// # Errors
    /// What the system said.
    pub fn write_storage(&self, id: &str, server: &BackupServer, key: &[u8]) -> Result<()> {
        let (user, address) = server.repository.rsplit_once('@').context("a repository with a user")?;
        let [host, port, datastore] = address.split(':').collect::<Vec<_>>()[..] else {
            anyhow::bail!("{address} is not host:port:datastore")
        };
        let fingerprint = KeyFile::parse(key)?.open(None)?.fingerprint();
        let mut text = fs::read_to_string(self.etc("storage.cfg"))?;
        text.push_str(&format!(
            "pbs: {id}\n\tdatastore {datastore}\n\tserver {host}\n\tcontent backup\n\tencryption-key {fingerprint}\n\t\
             fingerprint {}\n\tport {port}\n\tusername {user}\n\n",
            server.certificate
        ));
        write_private(&self.etc(&format!("priv/storage/{id}.enc")), key)?;
        write_private(&self.etc(&format!("priv/storage/{id}.pw")), format!("{}\n", server.expose_secret()).as_bytes())?;
        fs::write(self.etc("storage.cfg"), text)?;
        Ok(())
    }

    /// The configuration of a container that somebody has made.
    ///
    /// # Errors
    /// What the system said.
    pub fn write_container(&self, vmid: u32, config: &str) -> Result<()> {
        Ok(fs::write(self.etc(&format!("nodes/{}/lxc/{vmid}.conf", self.node)), config)?)
    }

    /// The same of a virtual machine.
    ///
    /// # Errors
    /// What the system said.
    pub fn write_machine(&self, vmid: u32, config: &str) -> Result<()> {
        Ok(fs::write(self.etc(&format!("nodes/{}/qemu-server/{vmid}.conf", self.node)), config)?)
    }

    /// One of PVE's programs, by hand.
    ///
    /// # Errors
    /// It could not be run.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Ended> {
        let path = self.root.join("usr/sbin").join(program);
        Run::new(&path, &self.root).args(arguments).envs(&self.environment).to_end(LONG)
    }

    /// A container's configuration.
    ///
    /// # Errors
    /// There is none.
    pub fn container_config(&self, vmid: u32) -> Result<String> {
        read(&self.etc(&format!("nodes/{}/lxc/{vmid}.conf", self.node)))
    }

    /// A virtual machine's configuration.
    ///
    /// # Errors
    /// There is none.
    pub fn machine_config(&self, vmid: u32) -> Result<String> {
        read(&self.etc(&format!("nodes/{}/qemu-server/{vmid}.conf", self.node)))
    }

    /// The root of a container on the storage `local`.
    #[must_use]
    pub fn container_root(&self, vmid: u32) -> PathBuf {
        self.root.join(format!("var/lib/vz/images/{vmid}/subvol-{vmid}-disk-0.subvol"))
    }

    /// The first disk of a virtual machine on the storage `local`.
    #[must_use]
    pub fn disk(&self, vmid: u32) -> PathBuf {
        self.root.join(format!("var/lib/vz/images/{vmid}/vm-{vmid}-disk-0.raw"))
    }

    /// Whether no guest is there, neither a configuration nor a volume.
    ///
    /// # Errors
    /// What the system said.
    pub fn has_no_guests(&self) -> Result<bool> {
        let folders = ["lxc", "qemu-server"].map(|kind| self.etc(&format!("nodes/{}/{kind}", self.node)));
        let mut left = 0;
        for folder in folders.into_iter().chain([self.root.join("var/lib/vz/images")]) {
            left += fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?.count();
        }
        Ok(left == 0)
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

const LONG: Duration = Duration::from_secs(300);
