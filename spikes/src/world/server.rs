//! Where backups go: a datastore in a folder behind `pbs-local`, or a real server behind a real
//! client. Nothing else of a story knows which.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::{Doorman, Shown, World, token_secret};
use crate::process::{Ended, Run};

/// A backup server, as a box knows it.
#[derive(Debug, Clone)]
pub struct BackupServer {
    /// The program that a box calls proxmox-backup-client.
    pub client: PathBuf,
    /// `user!token@host:port:datastore` in the client's own form.
    pub repository: String,
    /// The namespace, if not the root.
    pub namespace: Option<String>,
    /// The server certificate's fingerprint.
    pub certificate: String,
    /// The datastore's folder, if it is one.
    pub folder: Option<PathBuf>,
    secret: String,
    environment: Vec<(String, String)>,
    home: PathBuf,
    door: Option<Arc<Doorman>>,
}

/// A real server and client, as they are named on the command line.
#[derive(Debug, Clone)]
pub struct Real {
    /// `proxmox-backup-client`.
    pub client: PathBuf,
    /// The repository, with a token.
    pub repository: String,
    /// The namespace, if not the root.
    pub namespace: Option<String>,
    /// The server certificate's fingerprint.
    pub certificate: String,
    /// The token's secret.
    pub secret: String,
}

impl BackupServer {
    /// A new datastore in `world`, behind a two-line script that calls `pbs-local`. Somebody at its
    /// address shows the certificate that the script is said to have.
    ///
    /// # Errors
    /// What the programs said.
    pub fn local(world: &World) -> Result<Self> {
        let root = world.make("server")?;
        let secret = token_secret();
        let hash = hex::encode(Sha256::digest(&secret));
        let shown = Shown::new()?;
        let certificate = shown.fingerprint();
        let door = Doorman::start(shown)?;
        let client = world.make("bin")?.join("proxmox-backup-client");
        write_script(
            &client,
            &format!(
                "exec {} --root {} --token-sha256 'backup@pbs!box1={hash}' --certificate-sha256 {certificate}",
                quoted(&world.programs().pbs_local),
                quoted(&root),
            ),
        )?;
        let server = Self {
            client,
            repository: format!("backup@pbs!box1@{}:store", door.address()),
            namespace: None,
            certificate,
            folder: Some(root.join("store")),
            secret,
            environment: world.environment(),
            home: world.make("job")?,
            door: Some(Arc::new(door)),
        };
        server.run(&["datastore", "create", "store"])?.with_code(0)?;
        Ok(server)
    }

    /// The same after its administrator has given the token a new secret: the former one is refused.
    ///
    /// # Errors
    /// It is a real one, or what the system said.
    pub fn with_new_secret(&self) -> Result<Self> {
        self.folder.as_ref().context("a stand-in")?;
        let hash = |secret: &str| hex::encode(Sha256::digest(secret));
        let secret = token_secret();
        let text = fs::read_to_string(&self.client)?;
        let changed = text.replace(&hash(&self.secret), &hash(&secret));
        anyhow::ensure!(changed != text, "the stand-in does not know the token");
        fs::write(&self.client, changed)?;
        Ok(Self { secret, ..self.clone() })
    }

    /// Its administrator gives the token this role in the place of the one that it had. (A new one's token has
    /// `DatastoreBackup`.)
    ///
    /// # Errors
    /// It is a real one, or what the system said.
    pub fn give_role(&self, role: &str) -> Result<()> {
        // What a test has put before it calls this one.
        let played = self.folder.as_ref().and_then(|store| store.parent()?.parent()).context("a stand-in")?;
        let played = played.join("bin/proxmox-backup-client");
        let text = fs::read_to_string(&played)?;
        let (before, _) =
            text.split_once(" --role ").or_else(|| text.split_once(" \"$@\"")).context("our own script")?;
        fs::write(&played, format!("{before} --role 'backup@pbs!box1={role}' \"$@\"\n"))?;
        Ok(())
    }

    /// A real one.
    ///
    /// # Errors
    /// What the system said.
    pub fn real(world: &World, real: &Real) -> Result<Self> {
        let Real { client, repository, namespace, certificate, secret } = real.clone();
        let environment = world.environment();
        let home = world.make("job")?;
        Ok(Self { client, repository, namespace, certificate, folder: None, secret, environment, home, door: None })
    }

    /// Who shows its certificate, if it is a stand-in.
    #[must_use]
    pub fn door(&self) -> Option<&Doorman> {
        self.door.as_deref()
    }

    /// The token's secret.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.secret
    }

    /// Runs the client as an administrator would, the token by a file.
    ///
    /// # Errors
    /// It could not be run.
    pub fn run(&self, arguments: &[&str]) -> Result<Ended> {
        let token = tempfile::Builder::new().permissions(Permissions::from_mode(0o600)).tempfile_in(&self.home)?;
        fs::write(token.path(), &self.secret)?;
        let variables = [
            ("PBS_PASSWORD_FILE", token.path().display().to_string()),
            ("PBS_FINGERPRINT", self.certificate.clone()),
            ("PBS_REPOSITORY", self.repository.clone()),
            // No default key of this machine takes part.
            ("XDG_CONFIG_HOME", self.home.display().to_string()),
            ("XDG_CONFIG_DIRS", self.home.display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let namespace = match (&self.namespace, connects(arguments)) {
            (Some(namespace), true) => vec!["--ns", namespace],
            _ => Vec::new(),
        };
        Run::new(&self.client, &self.home)
            .args(arguments)
            .args(namespace)
            .envs(&self.environment)
            .envs(&variables)
            .to_end(Duration::from_secs(1800))
    }

    /// Backs up as a job of the box would: what is told is the snapshot's name, `ct/101/<time>`.
    ///
    /// # Errors
    /// The client refused.
    pub fn back_up(&self, specs: &[String], group: &str, key_file: &Path) -> Result<String> {
        let (kind, id) = group.split_once('/').context("a group has a kind and an id")?;
        let key = key_file.display().to_string();
        let mut arguments: Vec<&str> = vec!["backup"];
        arguments.extend(specs.iter().map(String::as_str));
        arguments.extend(["--backup-type", kind, "--backup-id", id, "--keyfile", &key]);
        let mut ended = self.run(&arguments)?;
        // A group takes one snapshot a second.
        if ended.said().contains("backup timestamp is older than last backup") {
            std::thread::sleep(Duration::from_secs(1));
            ended = self.run(&arguments)?;
        }
        ended.with_code(0)?;
        let newest = self.snapshots(group)?.into_iter().next_back();
        newest.context("the snapshot that was just made is not listed")
    }

    /// The snapshots of a group, oldest first.
    ///
    /// # Errors
    /// The client refused.
    pub fn snapshots(&self, group: &str) -> Result<Vec<String>> {
        let list = self.run(&["snapshot", "list", group, "--output-format", "json"])?.with_code(0)?.json()?;
        let mut times: Vec<i64> =
            list.as_array().into_iter().flatten().filter_map(|entry| entry["backup-time"].as_i64()).collect();
        times.sort_unstable();
        times
            .into_iter()
            .map(|time| Ok(format!("{group}/{}", tenwords_protocol::time::Timestamp::from_unix(time)?)))
            .collect()
    }
}

/// A two-line program.
fn write_script(path: &Path, command: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{command} \"$@\"\n")).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Whether a command takes a namespace.
fn connects(arguments: &[&str]) -> bool {
    !matches!(arguments.first(), Some(&("key" | "datastore" | "version" | "status")))
}
