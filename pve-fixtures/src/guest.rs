//! `qm` and `pct` on a guest that is there: `config`, `set` of network cards and `onboot`, `start`, `status`, `shutdown`,
//! `stop`, and for a machine `agent N ping`.
//!
//! Nothing runs: "running" is a file below `run/fixture`, and what the configuration was at a start is
//! kept beside it. A guest is made to fail by a file below `var/fixture` that is named after the way and the
//! number:
//!
//! * `no-agent-102`: its agent never answers.
//! * `start-fails-102`: it is not started.
//! * `start-hangs-102`: the start does not come to an end.
//! * `dies-102`: it is started, and does not run.
//! * `stop-fails-102`: it does not stop.
//! * `set-lies-102`: `set` says that it is done, and does nothing.

use std::{fs, path::PathBuf, thread, time::Duration};

use crate::{
    Died,
    arguments::{Takes, read, vmid},
    config,
    root::{Kind, Root},
    worker::{Output, make_path},
};

/// Whether this is a command of this room's.
pub(crate) fn knows(kind: Kind, command: &str) -> bool {
    matches!(command, "config" | "set" | "start" | "status" | "shutdown" | "stop")
        || (kind == Kind::Vm && command == "agent")
}

pub(crate) fn run(root: &Root, kind: Kind, command: &str, words: &[String]) -> Result<(), Died> {
    let cards: Vec<String> = (0..32).map(|number| format!("net{number}")).collect();
    let mut known: Vec<(&str, Takes)> =
        vec![("forceStop", Takes::Flag), ("timeout", Takes::Word), ("onboot", Takes::Word)];
    known.extend(cards.iter().map(|card| (card.as_str(), Takes::Word)));
    let given = read(words, &known)?;
    let positionals = match command {
        "agent" => {
            let [number, what] = given.positionals()?;
            if what != "ping" {
                return Err(format!("400 Parameter verification failed.\ncommand: '{what}' is not played"));
            }
            [number]
        }
        _ => given.positionals()?,
    };
    let guest = Guest { root, kind, vmid: vmid(positionals[0])? };
    let text = root.load_config(kind, guest.vmid)?;
    match command {
        "config" => Output::tell(config::main_part(&text)),
        "set" => {
            return guest
                .set(&text, given.options.iter().filter(|(key, _)| key.starts_with("net") || *key == "onboot"));
        }
        "start" => return guest.start(&text),
        "status" => Output::tell(&format!("status: {}\n", if guest.runs() { "running" } else { "stopped" })),
        "agent" => return guest.agent(&text),
        _ => return guest.stop(),
    }
    Ok(())
}

/// Whether a guest of this number runs, as far as anything does.
pub(crate) fn is_running(root: &Root, vmid: u32) -> bool {
    root.path(format!("/run/fixture/running-{vmid}")).exists()
}

struct Guest<'a> {
    root: &'a Root,
    kind: Kind,
    vmid: u32,
}

impl Guest<'_> {
    fn is(&self, way: &str) -> bool {
        self.root.path(format!("/var/fixture/{way}-{}", self.vmid)).exists()
    }

    fn running(&self) -> PathBuf {
        self.root.path(format!("/run/fixture/running-{}", self.vmid))
    }

    fn runs(&self) -> bool {
        self.running().exists()
    }

    fn named(&self) -> String {
        format!("{} {}", self.kind.word(), self.vmid)
    }

    fn set<'o>(&self, text: &str, options: impl Iterator<Item = (&'o String, &'o String)>) -> Result<(), Died> {
        self.root.check_quorum()?;
        let _lock = self.root.lock_guest(self.kind, self.vmid)?;
        let mut text = text.to_owned();
        for (key, value) in options {
            if value.is_empty() {
                return Err(format!("400 Parameter verification failed.\n{key}: invalid format - value is empty"));
            }
            let mut lines: Vec<String> = Vec::new();
            let mut is_main = true;
            for line in text.lines() {
                is_main &= !line.starts_with('[');
                let is_it = is_main && line.split_once(':').is_some_and(|(found, _)| found == key);
                lines.push(if is_it { format!("{key}: {value}") } else { line.to_owned() });
            }
            if config::value(&text, key).is_none() {
                lines.insert(0, format!("{key}: {value}"));
            }
            text = lines.iter().map(|line| format!("{line}\n")).collect();
        }
        if self.is("set-lies") { Ok(()) } else { self.root.write_config(self.kind, self.vmid, &text) }
    }

    fn start(&self, text: &str) -> Result<(), Died> {
        if let Some(lock) = config::value(text, "lock") {
            return Err(format!("{} is locked ({lock})", self.named()));
        }
        if self.runs() {
            return Err(format!("{} already running", self.named()));
        }
        let told = |error: std::io::Error| format!("fixture: {error}");
        make_path(&self.root.path("/run/fixture"))?;
        fs::write(self.root.path(format!("/run/fixture/started-{}", self.vmid)), text).map_err(told)?;
        while self.is("start-hangs") {
            thread::sleep(Duration::from_millis(100));
        }
        if self.is("start-fails") {
            return Err(match self.kind {
                Kind::Ct => format!("startup for container '{}' failed", self.vmid),
                Kind::Vm => "start failed: QEMU exited with code 1".to_owned(),
            });
        }
        if self.is("dies") { Ok(()) } else { fs::write(self.running(), "").map_err(told) }
    }

    fn agent(&self, text: &str) -> Result<(), Died> {
        let is_on = config::value(text, "agent")
            .is_some_and(|agent| agent.split(',').next() == Some("1") || config::option(agent, "enabled") == Some("1"));
        if !is_on {
            return Err("No QEMU guest agent configured".to_owned());
        }
        if !self.runs() {
            return Err(format!("VM {} is not running", self.vmid));
        }
        if self.is("no-agent") { Err("QEMU guest agent is not running".to_owned()) } else { Ok(()) }
    }

    fn stop(&self) -> Result<(), Died> {
        if self.is("stop-fails") {
            return Err(format!("{} quit/powerdown failed - got timeout", self.named()));
        }
        match fs::remove_file(self.running()) {
            Ok(()) => Ok(()),
            Err(_) => Err(format!("{} not running", self.named())),
        }
    }
}
