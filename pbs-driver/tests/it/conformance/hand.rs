//! What is done on the server's side: tokens that may not, maintenance, namespaces, the datastore's
//! own files.
//!
//! On `pbs-local` by the options with which it plays a server; on a real one by its
//! `proxmox-backup-manager`, with a user and a datastore made for this and taken away afterwards.

use std::{
    cell::RefCell,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use pbs_driver::{Certificate, Client};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};

use super::mount::{Mount, Server};
use crate::place::{TOKEN, write_program};

/// Whom the server does not let in, or not far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was never made.
    Unknown,
    /// It was switched off.
    Disabled,
    /// Its day is over.
    Expired,
    /// The user has the right, the token has not.
    RoleMissingOnToken,
    /// The token has the right, its user has not.
    RoleMissingOnUser,
    /// It may remove what is its own.
    PowerUser,
    /// It may remove everything.
    Administrator,
}

/// For whom the datastore is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maintenance {
    Offline,
    ReadOnly,
}

pub(super) enum Hand {
    Played(Played),
    Manager(Manager),
}

impl Hand {
    /// The folder of the datastore.
    pub(super) fn store(&self) -> PathBuf {
        match self {
            Self::Played(played) => played.root.join("store"),
            Self::Manager(manager) => manager.folder.clone(),
        }
    }

    /// A token of this standing: its id and its secret.
    pub(super) fn token(&self, standing: Standing) -> (String, String) {
        match self {
            Self::Played(played) => played.token(standing),
            Self::Manager(manager) => manager.token_of(standing),
        }
    }

    /// Closes the datastore, or opens it again.
    pub(super) fn maintain(&self, mode: Option<Maintenance>, message: &str) {
        match self {
            Self::Played(played) => {
                played.options.borrow_mut().maintenance = mode.map(|mode| format!("{}:{message}", mode.word()));
                played.write();
            }
            Self::Manager(manager) => manager.maintain(mode, message),
        }
    }

    pub(super) fn make_namespace(&self, mount: &Mount, name: &str) {
        match self {
            Self::Played(_) => mount.by_hand(&["namespace", "create", name]),
            Self::Manager(manager) => {
                mount.by_hand_as(
                    &manager.repository(&manager.admin),
                    &manager.admin.secret,
                    &["namespace", "create", name],
                );
            }
        }
    }
}

impl Maintenance {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::ReadOnly => "read-only",
        }
    }
}

/// `pbs-local` behind a wrapper whose options are the server.
pub(super) struct Played {
    program: PathBuf,
    wrapper: PathBuf,
    root: PathBuf,
    certificate: Fingerprint,
    options: RefCell<Options>,
}

#[derive(Default)]
struct Options {
    tokens: Vec<String>,
    without_rights: Vec<String>,
    roles: Vec<String>,
    maintenance: Option<String>,
}

impl Played {
    pub(super) const AUTH_ID: &str = "backup@pbs!box1";

    pub(super) fn new(program: PathBuf, wrapper: PathBuf, root: PathBuf, certificate: Fingerprint) -> Self {
        let options = Options { tokens: vec![Self::AUTH_ID.to_owned()], ..Options::default() };
        let played = Self { program, wrapper, root, certificate, options: RefCell::new(options) };
        played.write();
        played
    }

    fn write(&self) {
        let options = self.options.borrow();
        let mut more = String::new();
        for token in &options.tokens {
            more += &format!(" --token-sha256 '{token}={}'", Sha256::of(TOKEN.as_bytes()));
        }
        for token in &options.without_rights {
            more += &format!(" --without-rights '{token}'");
        }
        for role in &options.roles {
            more += &format!(" --role '{role}'");
        }
        if let Some(maintenance) = &options.maintenance {
            more += &format!(" --maintenance '{maintenance}'");
        }
        write_program(
            &self.wrapper,
            &format!(
                "#!/bin/sh\nexec '{}' --root '{}' --certificate-sha256 {}{more} \"$@\"\n",
                self.program.display(),
                self.root.display(),
                self.certificate
            ),
        );
    }

    fn token(&self, standing: Standing) -> (String, String) {
        let name = format!("backup@pbs!{}", standing.name());
        if matches!(standing, Standing::RoleMissingOnToken | Standing::RoleMissingOnUser) {
            let mut options = self.options.borrow_mut();
            options.tokens.push(name.clone());
            options.without_rights.push(name.clone());
            drop(options);
            self.write();
        }
        if let Some(role) = standing.role() {
            let mut options = self.options.borrow_mut();
            options.tokens.push(name.clone());
            options.roles.push(format!("{name}={role}"));
            drop(options);
            self.write();
        }
        (name, TOKEN.to_owned())
    }
}

impl Standing {
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::RoleMissingOnToken => "norole",
            Self::RoleMissingOnUser => "userless",
            Self::PowerUser => "power",
            Self::Administrator => "keeper",
        }
    }

    /// A role that may remove.
    fn role(self) -> Option<&'static str> {
        match self {
            Self::PowerUser => Some("DatastorePowerUser"),
            Self::Administrator => Some("DatastoreAdmin"),
            _ => None,
        }
    }
}

/// A real server's manager, and what was made with it.
pub(super) struct Manager {
    program: PathBuf,
    /// Its datastore's and its users' name.
    name: String,
    folder: PathBuf,
    address: String,
    token: Token,
    admin: Token,
}

struct Token {
    id: String,
    secret: String,
}

impl Manager {
    /// The manager that the environment names, with a datastore and tokens of its own.
    pub(super) fn named(client: &Client, server: &Server) -> Option<Self> {
        let program = PathBuf::from(env::var_os("TENWORDS_PBS_MANAGER")?);
        let stores = PathBuf::from(env::var_os("TENWORDS_PBS_STORES")?);
        let repository: pbs_driver::Repository = server.repository.parse().unwrap();
        // The private folder's name is new for each mount; of it, what a datastore may be called.
        let name: String = client.private().path().file_name().unwrap().to_str().unwrap().to_ascii_lowercase();
        let name = format!("tw{}-{}", std::process::id(), name.rsplit('-').next().unwrap());
        let none = || Token { id: String::new(), secret: String::new() };
        let mut made = Self {
            folder: stores.join(&name),
            address: format!("{}:{}", repository.host(), repository.port()),
            program,
            name,
            token: none(),
            admin: none(),
        };
        made.run(&["datastore", "create", &made.name, &made.folder.display().to_string()]);
        let (user, other) = (made.user(), made.other_user());
        made.run(&["user", "create", &user]);
        made.run(&["user", "create", &other]);
        made.allow(&user, "DatastoreAdmin");
        made.token = made.generate(&user, "box1", &[]);
        made.allow(&made.token.id, "DatastoreBackup");
        made.admin = made.generate(&user, "admin", &[]);
        made.allow(&made.admin.id, "DatastoreAdmin");
        Some(made)
    }

    pub(super) fn server(&self, certificate: Certificate) -> Server {
        Server { repository: self.repository(&self.token), token: self.token.secret.clone(), certificate }
    }

    fn repository(&self, token: &Token) -> String {
        format!("{}@{}:{}", token.id, self.address, self.name)
    }

    fn user(&self) -> String {
        format!("{}@pbs", self.name)
    }

    /// One without any role.
    fn other_user(&self) -> String {
        format!("{}-other@pbs", self.name)
    }

    fn token_of(&self, standing: Standing) -> (String, String) {
        let made = match standing {
            Standing::Unknown => {
                Token { id: format!("{}!{}", self.user(), standing.name()), secret: self.token.secret.clone() }
            }
            Standing::Disabled => self.generate(&self.user(), standing.name(), &["--enable", "0"]),
            Standing::Expired => self.generate(&self.user(), standing.name(), &["--expire", "1"]),
            Standing::RoleMissingOnToken | Standing::PowerUser | Standing::Administrator => {
                self.generate(&self.user(), standing.name(), &[])
            }
            Standing::RoleMissingOnUser => self.generate(&self.other_user(), standing.name(), &[]),
        };
        if matches!(standing, Standing::Disabled | Standing::Expired | Standing::RoleMissingOnUser) {
            self.allow(&made.id, "DatastoreBackup");
        }
        if let Some(role) = standing.role() {
            self.allow(&made.id, role);
        }
        (made.id, made.secret)
    }

    fn maintain(&self, mode: Option<Maintenance>, message: &str) {
        match mode {
            Some(mode) => {
                let value = format!("type={},message={message}", mode.word());
                self.run(&["datastore", "update", &self.name, "--maintenance-mode", &value]);
            }
            None => drop(self.run(&["datastore", "update", &self.name, "--delete", "maintenance-mode"])),
        }
    }

    fn allow(&self, auth_id: &str, role: &str) {
        self.run(&["acl", "update", &format!("/datastore/{}", self.name), role, "--auth-id", auth_id]);
    }

    fn generate(&self, user: &str, name: &str, more: &[&str]) -> Token {
        let said = self.run(&[&["user", "generate-token", user, name], more].concat());
        let at = said.find('{').unwrap();
        let result: serde_json::Value = serde_json::from_str(&said[at..]).unwrap();
        Token {
            id: result["tokenid"].as_str().unwrap().to_owned(),
            secret: result["value"].as_str().unwrap().to_owned(),
        }
    }

    fn run(&self, args: &[&str]) -> String {
        let output = Command::new(&self.program).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Manager {
    /// Takes away what was made; what cannot be is told, not thrown: a test may be failing already.
    fn drop(&mut self) {
        let (user, other) = (self.user(), self.other_user());
        for args in [
            &["datastore", "update", &self.name, "--delete", "maintenance-mode"][..],
            &["datastore", "remove", &self.name],
            &["user", "remove", &user],
            &["user", "remove", &other],
        ] {
            match Command::new(&self.program).args(args).output() {
                Ok(output) if output.status.success() => {}
                other => println!("{args:?}: {other:?}"),
            }
        }
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        println!("{}: {error}", folder.display());
    }
}
