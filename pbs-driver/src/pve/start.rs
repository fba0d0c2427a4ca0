//! Starting a restored guest for a moment, cut off from every network, to see whether it comes up; then
//! stopping it and putting its network back.
//!
//! The original may still run, or come back: nothing of the copy may reach a network before somebody
//! decides which of the two lives on. So each network card is set to "cable unplugged" (`link_down=1`)
//! and *seen* to be so in the configuration before the start; and if the copy cannot be stopped again, its
//! cards stay unplugged. A configuration that could reach past its cards, or has PVE run something of the
//! node, is not started at all.
//!
//! What it is called with: the guest's number, and for `set` what stands in the configuration as the
//! card's own value, if that is of plain characters only. The environment is made from nothing.

use std::{
    ffi::OsString,
    ops::ControlFlow,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    guest_config::{Kind, nets, on, reaches_out},
    guests::config_file,
    node::Node,
    worker,
};
use crate::{
    environment::Environment,
    group::Exit,
    private::PrivateDir,
    process::{Job, RunError},
    scrub::scrub,
};

/// Which guest, and how long is waited for what.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// On this node.
    pub node: &'a Node,
    /// Where the programs' homes are made.
    pub private: &'a PrivateDir,
    /// What it is.
    pub kind: Kind,
    /// Its number.
    pub vmid: u32,
    /// For it to answer, once it runs.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Whether it came up.
    pub answer: Answer,
    /// What could not be put back as it was, as commands for a person; empty if all is.
    pub left: Vec<String>,
}

/// Whether it came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its guest agent answered.
    Agent,
    /// It runs, and its agent did not answer in time.
    NoAgent,
    /// It was not started, or did not stay up; with the cause.
    NotStarted(String),
    /// It runs; nobody in it can be asked (a container; a machine without an agent).
    Running,
}

/// Told a few times a second how long it takes; `Break` ends the waiting, and all is put back.
pub type Observer<'a> = &'a mut dyn FnMut(Duration) -> ControlFlow<()>;

/// Starts it detached, waits for an answer, stops it, and puts its network back.
#[must_use]
pub fn start_for_a_moment(request: &Request<'_>, observer: Observer<'_>) -> Tried {
    let nothing_left = |why| Tried { answer: Answer::NotStarted(why), left: Vec::new() };
    let hand = match Hand::new(request) {
        Ok(hand) => hand,
        Err(why) => return nothing_left(why),
    };
    let cards = match hand.cards() {
        Ok(cards) => cards,
        Err(why) => return nothing_left(why),
    };
    let mut left = Vec::new();
    let answer = match hand.detach(&cards).and_then(|()| hand.start()) {
        Ok(()) => hand.await_answer(request.patience, observer),
        Err(why) => Answer::NotStarted(why),
    };
    // Whatever was said: what does not run is what is seen not to run.
    match hand.stop() {
        Ok(()) => left.extend(hand.attach(&cards)),
        Err(()) => {
            left.push(format!("{} stop {}", hand.name(), request.vmid));
            left.extend(cards.iter().map(|card| hand.by_hand(card)));
        }
    }
    Tried { answer, left }
}

/// PVE's program for this guest.
struct Hand<'a> {
    request: &'a Request<'a>,
    program: &'a Path,
    config: String,
}

/// A network card as it was.
type Card = (String, String);

impl<'a> Hand<'a> {
    fn new(request: &'a Request<'a>) -> Result<Self, String> {
        let Request { node, kind, vmid, .. } = *request;
        let program = match kind {
            Kind::Container => &node.paths().pct,
            Kind::Machine => &node.paths().qm,
        };
        if !program.is_file() {
            return Err(format!("there is no program {}", program.display()));
        }
        let config = node.name().map(|name| config_file(&name, kind, vmid)).map_err(|error| error.to_string())?;
        Ok(Self { request, program, config })
    }

    fn name(&self) -> &'static str {
        match self.request.kind {
            Kind::Container => "pct",
            Kind::Machine => "qm",
        }
    }

    fn text(&self) -> Result<Vec<u8>, String> {
        let text = self.request.node.read(&self.config).map_err(|error| error.to_string())?;
        text.ok_or_else(|| "its configuration is not there".to_owned())
    }

    /// Its cards, if it can be cut off by them.
    fn cards(&self) -> Result<Vec<Card>, String> {
        let text = self.text()?;
        if let Some(why) = reaches_out(self.request.kind, &text) {
            return Err(format!("it could not be cut off from the network: {why}"));
        }
        let cards = nets(self.request.kind, &text);
        match cards.iter().find(|(_, value)| !is_plain(value)) {
            Some((key, _)) => Err(format!("its {key} has a character that no network card's line has")),
            None => Ok(cards),
        }
    }

    /// Pulls every cable, and looks that it is out.
    fn detach(&self, cards: &[Card]) -> Result<(), String> {
        for (key, value) in cards.iter().filter(|(_, value)| !is_detached(value)) {
            self.set(key, &detached(value))?;
        }
        let now = nets(self.request.kind, &self.text()?);
        match now.iter().find(|(_, value)| !is_detached(value)) {
            Some((key, _)) => Err(format!("its {key} is still connected, whatever {} said", self.name())),
            None if now.len() != cards.len() => Err("its network cards are others now".to_owned()),
            None => Ok(()),
        }
    }

    /// Puts the cables back; what could not be is told as commands.
    fn attach(&self, cards: &[Card]) -> Vec<String> {
        let is_back = |(key, value): &Card| {
            self.text().is_ok_and(|text| nets(self.request.kind, &text).iter().any(|(k, v)| k == key && v == value))
        };
        let back = |card: &&Card| {
            if !is_back(card) {
                // What counts is what stands there then.
                let _ = self.set(&card.0, &card.1);
            }
            !is_back(card)
        };
        cards.iter().filter(back).map(|card| self.by_hand(card)).collect()
    }

    fn by_hand(&self, (key, value): &Card) -> String {
        format!("{} set {} --{key} '{value}'", self.name(), self.request.vmid)
    }

    fn set(&self, key: &str, value: &str) -> Result<(), String> {
        let vmid = self.request.vmid.to_string();
        self.call(&["set", &vmid, &format!("--{key}"), value], CHANGE).map(drop)
    }

    fn start(&self) -> Result<(), String> {
        self.call(&["start", &self.request.vmid.to_string()], START).map(drop)
    }

    fn await_answer(&self, patience: Duration, observer: Observer<'_>) -> Answer {
        let vmid = self.request.vmid.to_string();
        let has_agent =
            self.request.kind == Kind::Machine && self.text().is_ok_and(|text| on(&text, "agent", "enabled"));
        let (began, mut looks) = (Instant::now(), 0);
        loop {
            if observer(began.elapsed()).is_break() {
                return Answer::NotStarted("interrupted before it answered".to_owned());
            }
            if has_agent && self.call(&["agent", &vmid, "ping"], CHANGE).is_ok() {
                return Answer::Agent;
            }
            if !self.runs() {
                return Answer::NotStarted("it was started and does not run any more".to_owned());
            }
            looks += 1;
            if !has_agent && looks >= LOOKS {
                return Answer::Running;
            }
            if began.elapsed() >= patience {
                return if has_agent { Answer::NoAgent } else { Answer::Running };
            }
            thread::sleep(BETWEEN.min(patience));
        }
    }

    fn runs(&self) -> bool {
        let said = self.call(&["status", &self.request.vmid.to_string()], CHANGE);
        // Who cannot be asked is not known to be stopped.
        said.map_or(true, |said| !said.lines().any(|line| line.trim() == "status: stopped"))
    }

    /// In order, then at once.
    fn stop(&self) -> Result<(), ()> {
        let vmid = self.request.vmid.to_string();
        let ways: [&[&str]; 2] = [&["shutdown", &vmid, "--forceStop", "1", "--timeout", "60"], &["stop", &vmid]];
        for way in ways {
            if !self.runs() {
                return Ok(());
            }
            // What counts is whether it runs then.
            let _ = self.call(way, STOP);
        }
        if self.runs() { Err(()) } else { Ok(()) }
    }

    /// Runs the program, and tells what it printed, or the end of what it complained of.
    fn call(&self, args: &[&str], whole: Duration) -> Result<String, String> {
        let command = format!("{} {}", self.name(), args.first().unwrap_or(&""));
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let folder = self.request.private.folder().map_err(|error| error.to_string())?;
        let environment = Environment::of_pve(&folder, false).map_err(|error| error.to_string())?;
        let job = Job {
            program: self.program,
            args: &args,
            environment: &environment,
            input: None,
            spawn: SPAWN,
            whole,
            stall: None,
        };
        let ran = worker::run(&job, CLEANUP, &mut |_| {}, &mut |_| ControlFlow::Continue(()));
        let ran = match ran {
            Ok(ran) => ran,
            Err(RunError::Spawn(error) | RunError::Pipe(error) | RunError::Receiver(error)) => {
                return Err(format!("{command} could not be run: {error}"));
            }
            Err(_) => return Err(format!("{command} did not start in time")),
        };
        match ran.end {
            Ok(Exit::Code(0)) => Ok(scrub(&ran.stdout.text(), &[])),
            Ok(_) => {
                let said = scrub(&ran.stderr.text(), &[]);
                let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
                Err(format!("{command} did not succeed, and said: {}", last.trim()))
            }
            Err(_) => Err(format!("{command} did not come to its end in {} s", whole.as_secs())),
        }
    }
}

/// What stands in a card's line, of which no program makes anything else.
fn is_plain(value: &str) -> bool {
    !value.starts_with('-')
        && value.len() <= MAX_VALUE
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=,:.;_-/".contains(&byte))
}

fn is_detached(value: &str) -> bool {
    value.split(',').any(|part| part == "link_down=1")
}

fn detached(value: &str) -> String {
    let others = value.split(',').filter(|part| !part.starts_with("link_down="));
    others.chain(["link_down=1"]).collect::<Vec<_>>().join(",")
}

const SPAWN: Duration = Duration::from_secs(10);
const CHANGE: Duration = Duration::from_secs(60);
const START: Duration = Duration::from_secs(300);
const STOP: Duration = Duration::from_secs(150);
const CLEANUP: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_secs(2);
/// So often a guest without an agent is seen running before that counts: one whose init ends at once is
/// not up.
const LOOKS: u32 = 3;
const MAX_VALUE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_cut_off_whatever_it_said_before() {
        for value in ["virtio=BC:24:11:00:00:01,bridge=vmbr0", "name=eth0,link_down=0,ip=dhcp", "link_down=1,a=b"] {
            let detached = detached(value);
            assert!(is_detached(&detached) && detached.matches("link_down").count() == 1, "{detached}");
        }
        assert!(!is_detached("name=link_down=1x,bridge=vmbr0"));
    }

    #[test]
    fn only_plain_values_are_arguments() {
        assert!(is_plain("name=eth0,bridge=vmbr0,ip6=fd00::2/64,trunks=1;2,rate=10.5"));
        for value in ["--delete", "a b", "a'b", "a\"b", "$(x)", "a\nb", "ä"] {
            assert!(!is_plain(value), "{value}");
        }
    }
}
