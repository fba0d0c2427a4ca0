//! `recover --abort`: gives the recovery on this machine up, and leaves the machine tidy.
//!
//! What is whole stays where it is; what was begun and not brought to its end is taken away, as far as it
//! carries the recovery's mark. No words are needed, and nothing is asked of hub or backup server.

use std::path::PathBuf;

use serde::Serialize;
use tenwords_protocol::{id::RecoveryId, time::Timestamp, v1::V1};

use super::{
    claim::Claimed,
    course::{Event, ItemId, What},
    journal::Journal,
    log::{self, Log},
    settle::{self, Settled},
    target::TargetFolder,
};
use crate::{
    exit::{Code, Outcome, Stop},
    identity::Identity,
    settings::Configuration,
    show::harmless,
    sources,
};

/// What was done.
#[derive(Debug, Serialize)]
pub(crate) struct Aborted {
    v: V1,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<RecoveryId>,
    /// What was unfinished, and what came of it.
    settled: Vec<String>,
    /// What was restored, and stays.
    stays: Vec<String>,
    notes: Vec<String>,
    /// Where journal and plan lie now.
    journal: PathBuf,
}

/// Gives it up.
pub(crate) fn run(configuration: &Configuration) -> Outcome<Aborted> {
    let course = match Log::look(configuration) {
        Ok(course) => course,
        // Of a journal that cannot be read nothing can be told, and nothing is taken away by it.
        Err(stop) => return damaged(configuration, &stop),
    };
    let Some(begun) = course.going_on().cloned() else {
        return Err(Stop::new(Code::Preflight, "no recovery is going on on this machine")
            .remedy("nothing is to be given up; `tenwords-agent recover --status` shows the last one"));
    };
    let node = sources::node(&configuration.settings)?;
    let client = sources::client(&configuration.settings)?;
    let log = Log::open(configuration, || begun.clone())?;
    let unfinished: Vec<ItemId> = log.tell(|course| course.unfinished().map(|(item, _)| item).collect());
    let mut settled = Vec::new();
    for item in unfinished {
        settled.push(match settle::settle(&log, node.as_ref(), &client, item) {
            Err(stop) => format!("item {item}: it stays as it is: {}", harmless(&stop.in_one_line(), 400)),
            Ok(Settled::Unseen(guest, vmid)) => format!("item {item}: {guest} {vmid} is restored, and stays"),
            Ok(Settled::Finished) => format!("item {item} was whole: it has its place"),
            Ok(Settled::Cleared) => format!("item {item}: what was unfinished is taken away"),
            Ok(Settled::NotOurs(why)) => format!("item {item}: nothing is taken away: {}", harmless(&why, 300)),
        });
    }
    let stays = log.tell(|course| course.restored().map(|(_, what)| of(what)).collect());
    let mut notes: Vec<String> = log::dissolve(begun.recovery, node.as_ref(), client.private()).into_iter().collect();
    let ended = TargetFolder::look(&begun.into, Some(begun.recovery));
    if begun.into.exists()
        && let Err(stop) = ended.and_then(|folder| folder.end(begun.recovery))
    {
        notes.push(stop.in_one_line());
    }
    if course.is_installed() {
        notes.push(
            "keys, tokens and sources that were put in place stay: see storage.cfg and the agent's configuration"
                .to_owned(),
        );
    }
    if course.is_proven() {
        notes.push("this machine is the box at the hub now, and the former one's certificate is dead".to_owned());
    }
    log.note(Event::Ended { at: Timestamp::now() })?;
    // A machine that is the box already goes on being it: its claim says with which ticket.
    if Identity::load(configuration)?.is_none() {
        Claimed::forget(configuration);
    }
    let journal = Journal::put_aside(configuration, &format!("aborted-{}", begun.recovery))?;
    Ok(Aborted { v: V1, recovery: Some(begun.recovery), settled, stays, notes, journal })
}

fn damaged(configuration: &Configuration, stop: &Stop) -> Outcome<Aborted> {
    let notes = vec![
        stop.in_one_line(),
        "nothing was taken away: what this recovery had begun has names that begin with .tenwords-, or guests in a pool \
         of that name; see the plan beside the journal"
            .to_owned(),
    ];
    let journal = Journal::put_aside(configuration, &format!("damaged-{}", Timestamp::now().unix()))?;
    Claimed::forget(configuration);
    Ok(Aborted { v: V1, recovery: None, settled: Vec::new(), stays: Vec::new(), notes, journal })
}

fn of(what: &What) -> String {
    let text = match what {
        What::Archive(archive) => format!("{} {}", archive.snapshot, archive.target.display()),
        What::Guest(guest) => format!("{} as {} {}", guest.snapshot, guest.kind, guest.vmid),
    };
    harmless(&text, 400)
}

impl Aborted {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec!["The recovery is given up. Another can be begun.".to_owned()];
        lines.extend(self.settled.iter().map(|line| format!("  {line}")));
        lines.extend(self.stays.iter().map(|line| format!("  stays: {line}")));
        lines.extend(self.notes.iter().map(|line| format!("  note: {}", harmless(line, 600))));
        lines.push(format!("Its journal and plan: {}", self.journal.display()));
        lines
    }
}
