//! An operator's desk: a home folder with CA, token and map, and the program in an environment made
//! from nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::standin::{Authority, StandIn};

pub(crate) const TOKEN: &str = "twa_0123456789ABCDEFGHJKMNPQRSTVWXYZ0123456789ABCDEFGHJK";
pub(crate) const ID: &str = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d";
pub(crate) const OTHER_ID: &str = "4f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d";

pub(crate) struct Desk {
    home: tempfile::TempDir,
    pub(crate) authority: Authority,
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.write(&home.path().join("server-ca.pem"));
        let token = home.path().join("token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        Self { home, authority }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn map_file(&self) -> PathBuf {
        self.path(".local/share/tenwords/boxes.json")
    }

    /// A map with these boxes, each once acknowledged by a hub.
    pub(crate) fn with_boxes(self, boxes: &[(&str, &str)]) -> Self {
        let entry = |(name, id): &(&str, &str)| json!({"name": name, "box_id": id, "added_at": "2026-03-03T12:00:00Z", "acknowledged": true});
        let text = json!({"v": 1, "boxes": boxes.iter().map(entry).collect::<Vec<_>>()}).to_string();
        fs::create_dir_all(self.map_file().parent().unwrap()).unwrap();
        fs::write(self.map_file(), text).unwrap();
        self
    }

    pub(crate) fn map(&self) -> Value {
        serde_json::from_slice(&fs::read(self.map_file()).unwrap()).unwrap()
    }

    /// A stand-in hub with this desk's CA.
    pub(crate) fn hub(&self, answers: Vec<(u16, String)>) -> StandIn {
        StandIn::start(&self.authority, "localhost", answers)
    }

    /// The program, without settings, input or a terminal.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenwords"));
        command.args(arguments).env_clear().env("HOME", self.home.path()).stdin(Stdio::null());
        command.current_dir(self.home.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.program(arguments).output().unwrap())
    }

    /// The program against this hub.
    pub(crate) fn run_at(&self, hub: &StandIn, arguments: &[&str]) -> Ran {
        self.run_at_address(&format!("https://localhost:{}", hub.address.port()), arguments)
    }

    pub(crate) fn run_at_address(&self, hub: &str, arguments: &[&str]) -> Ran {
        let (ca, token) = (self.path("server-ca.pem"), self.path("token"));
        let mut command = self.program(&["--hub", hub]);
        command.args([Path::new("--ca"), &ca, Path::new("--token-file"), &token]).args(arguments);
        ran(command.output().unwrap())
    }
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The refusal that `--json` writes to stderr, after any warnings.
    pub(crate) fn refusal(&self) -> Value {
        let lines: Vec<Value> = self.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.last().unwrap().clone()
    }
}

/// A ticket's two forms, made by the same rules as a hub makes them.
pub(crate) fn ticket() -> (String, String) {
    use tenwords_protocol::ticket::{AuthorityPrefix, Ticket, TicketSecret};
    let secret = TicketSecret::random(&mut rand::rand_core::UnwrapErr(rand::rngs::SysRng));
    let ticket = Ticket::new("hub.example.net:8443".parse().unwrap(), AuthorityPrefix::of_spki(b"spki"), secret);
    (ticket.expose_pasted().to_string(), ticket.expose_typed().to_string())
}

/// The hub's answer with a ticket.
pub(crate) fn ticket_reply(box_id: &str, (paste, typed): &(String, String)) -> String {
    let ticket = json!({"paste": paste, "typed": typed});
    json!({"v": 1, "box_id": box_id, "ticket": ticket, "expires_at": "2026-03-03T14:00:00Z"}).to_string()
}

/// The hub's refusal with this code.
pub(crate) fn problem(status: u16, code: &str, detail: &str) -> (u16, String) {
    let kind = format!("urn:tenwords:problem:{code}");
    let title = "a title";
    (status, json!({"type": kind, "title": title, "status": status, "code": code, "detail": detail}).to_string())
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
