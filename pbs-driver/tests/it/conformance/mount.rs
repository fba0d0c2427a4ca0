//! On what the suite is mounted: a client, a server, and the administrator's hand on it.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Mutex,
};

use pbs_driver::{Access, Certificate, Client, version};
use tenwords_protocol::fingerprint::Fingerprint;
use zeroize::Zeroizing;

use super::hand::{Hand, Manager, Played};
use crate::place::{Place, TOKEN, pbs_local};

/// Where a half with data finds its server.
pub(super) struct Server {
    /// `[[user[!token]@]host[:port]:]datastore`
    pub(super) repository: String,
    pub(super) token: String,
    pub(super) certificate: Certificate,
}

/// What the suite runs on. Nothing in the suite asks which one it is; it asks only what the mount
/// can do, and prints what it therefore leaves out.
pub(super) struct Mount {
    pub(super) place: Place,
    pub(super) client: Client,
    pub(super) server: Option<Server>,
    pub(super) hand: Option<Hand>,
    /// Whether its client opens a connection at all. `pbs-local` never does.
    pub(super) connects: bool,
}

impl Mount {
    pub(super) fn on_pbs_local() -> Self {
        let place = Place::new();
        let root = place.scratch().join("root");
        fs::create_dir(&root).unwrap();
        let program = pbs_local();
        let made = Command::new(&program).args(["datastore", "create"]).arg(root.join("store")).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let certificate = Fingerprint::from_bytes([0xaa; 32]);
        let wrapper = place.scratch().join("proxmox-backup-client");
        let played = Played::new(program.clone(), wrapper.clone(), root, certificate);
        let server = Server {
            // Port 1: whoever looks at the certificate there finds nobody, on any machine.
            repository: format!("{}@127.0.0.1:1:store", Played::AUTH_ID),
            token: TOKEN.to_owned(),
            certificate: Certificate::Pinned(certificate),
        };
        let client = Client::new(wrapper, place.private.clone()).unwrap();
        say("client pbs-local, as", &program, &version::client(&client).unwrap());
        Self { place, client, server: Some(server), hand: Some(Hand::Played(played)), connects: false }
    }

    /// The real client, if one is named, and no server. `half` stands in what is printed if it is left out.
    pub(super) fn client_only(half: &str) -> Option<Self> {
        let Some(program) = env::var_os("TENWORDS_PBS_CLIENT") else {
            println!("SKIPPED ({half}): TENWORDS_PBS_CLIENT names no real proxmox-backup-client");
            return None;
        };
        let place = Place::new();
        let client = Client::new(program, place.private.clone()).unwrap();
        say("client", client.program(), &version::client(&client).unwrap());
        Some(Self { place, client, server: None, hand: None, connects: true })
    }

    /// The real client and its server, or a line that says why a half is left out.
    pub(super) fn on_the_real_server(half: &str) -> Option<Self> {
        let mut mount = Self::client_only(half)?;
        let Ok(repository) = env::var("PBS_REPOSITORY") else {
            println!("SKIPPED ({half}): PBS_REPOSITORY names no server");
            return None;
        };
        let mut server = Server {
            repository: repository.clone(),
            token: env::var("PBS_PASSWORD").expect("PBS_REPOSITORY is set, so PBS_PASSWORD must be"),
            certificate: match env::var("PBS_FINGERPRINT") {
                Ok(pin) => Certificate::Pinned(pin.parse().unwrap()),
                Err(_) => Certificate::WebPki,
            },
        };
        if let Some(manager) = Manager::named(&mount.client, &server) {
            server = manager.server(server.certificate);
            mount.hand = Some(Hand::Manager(manager));
        }
        mount.server = Some(server);
        let versions = version::both(&mount.client, &mount.good_access()).unwrap();
        let at = repository.parse::<pbs_driver::Repository>().unwrap();
        say("server", Path::new(&format!("{}:{}", at.host(), at.port())), &versions.server.unwrap());
        Some(mount)
    }

    pub(super) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// The hand on the server, or a line that says why a half is left out.
    pub(super) fn hand(&self, half: &str) -> Option<&Hand> {
        if self.hand.is_none() {
            println!(
                "SKIPPED ({half}): TENWORDS_PBS_MANAGER and TENWORDS_PBS_STORES name no proxmox-backup-manager and no folder for datastores"
            );
        }
        self.hand.as_ref()
    }

    pub(super) fn access(&self, token: &str, certificate: Certificate, namespace: &str) -> Access {
        access(&self.server().repository, token, certificate, namespace)
    }

    pub(super) fn good_access(&self) -> Access {
        let server = self.server();
        self.access(&server.token, server.certificate, "")
    }

    /// The repository with its last part or its server replaced: `host:port` and `datastore`.
    pub(super) fn repository(&self, auth_id: Option<&str>, address: Option<&str>, datastore: Option<&str>) -> String {
        let ours: pbs_driver::Repository = self.server().repository.parse().unwrap();
        let auth_id = auth_id.map_or_else(|| ours.auth_id().to_string(), str::to_owned);
        let address = address.map_or_else(|| format!("{}:{}", ours.host(), ours.port()), str::to_owned);
        format!("{auth_id}@{address}:{}", datastore.unwrap_or(ours.datastore()))
    }

    /// Runs the client as an administrator would, for what the driver has no command for.
    pub(super) fn by_hand(&self, args: &[&str]) {
        let (repository, token) = (&self.server().repository, &self.server().token);
        self.by_hand_as(repository, token, args);
    }

    pub(super) fn by_hand_as(&self, repository: &str, token: &str, args: &[&str]) {
        let output = self.as_administrator(repository, token, args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The same for what must fail: what the client said.
    pub(super) fn refused_by_hand(&self, args: &[&str]) -> Vec<u8> {
        let output = self.as_administrator(&self.server().repository, &self.server().token, args);
        assert!(!output.status.success(), "{args:?} should have failed");
        output.stderr
    }

    fn as_administrator(&self, repository: &str, token: &str, args: &[&str]) -> Output {
        let mut command = Command::new(self.client.program());
        command.args(args).env("PBS_REPOSITORY", repository).env("PBS_PASSWORD", token).stdin(Stdio::null());
        if let Certificate::Pinned(pin) = self.server().certificate {
            command.env("PBS_FINGERPRINT", pin.to_string());
        }
        command.output().unwrap()
    }
}

impl Drop for Mount {
    /// The hand first: its datastore must be gone before the place that a test looks at.
    fn drop(&mut self) {
        drop(self.hand.take());
    }
}

pub(super) fn access(repository: &str, token: &str, certificate: Certificate, namespace: &str) -> Access {
    let token = Zeroizing::new(token.to_owned());
    Access::new(repository.parse().unwrap(), namespace.parse().unwrap(), token, certificate).unwrap()
}

pub(super) fn write(scratch: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// On what the suite runs: once for each, and past the test harness, which keeps to itself what a test
/// that succeeds has printed.
fn say(what: &str, program: &Path, version: &version::Version) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let line = format!("conformance on {what} {version} ({})\n", program.display());
    if SAID.lock().unwrap().insert(line.clone()) {
        io::stderr().write_all(line.as_bytes()).unwrap();
    }
}
