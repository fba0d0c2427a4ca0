//! `recover --abort`: gives the recovery on this machine up, and leaves the machine tidy.
//!
//! What is whole stays where it is; what was begun and not brought to its end is taken away, as far as it
//! carries the recovery's mark. Of a rehearsal everything is ([`tidy`]), also once it has ended. No words are
//! needed, and nothing is asked of hub or backup server.

mod tidy;

use std::path::PathBuf;

use pbs_driver::{Client, pve::Node};
use serde::Serialize;
use tenwords_protocol::{id::RecoveryId, time::Timestamp, v1::V1};

use self::tidy::Tidied;
pub(super) use self::tidy::how_to_tidy;
use super::{
    claim::Claimed,
    course::{Begun, Course, Event, ItemId, What},
    install,
    journal::Journal,
    log::{self, Log},
    orders,
    settle::{self, Settled, Way},
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
    rehearsal: bool,
    /// What was unfinished, and what came of it.
    settled: Vec<String>,
    /// What a rehearsal had made, and is gone.
    removed: Vec<String>,
    /// What was restored, and stays.
    stays: Vec<String>,
    notes: Vec<String>,
    /// Where journal and plan lie now.
    journal: PathBuf,
    /// Rehearsals before it that were taken away too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Aborted>,
}

/// Gives it up.
pub(crate) fn run(configuration: &Configuration) -> Outcome<Aborted> {
    let course = match Log::look(configuration) {
        Ok(course) => course,
        // Of a journal that cannot be read nothing can be told, and nothing is taken away by it.
        Err(stop) => return damaged(configuration, &stop),
    };
    let going_on = course.going_on().cloned();
    let rehearsals = if going_on.is_none() { ended_rehearsals(configuration, course.clone())? } else { Vec::new() };
    if going_on.is_none() && rehearsals.is_empty() {
        return Err(Stop::new(Code::Preflight, "no recovery is going on on this machine")
            .remedy("nothing is to be given up; `tenwords-agent recover --status` shows the last one"));
    }
    let node = sources::node(&configuration.settings)?;
    let client = sources::client(&configuration.settings)?;
    if let Some(begun) = going_on {
        return give_up(configuration, &course, begun, node.as_ref(), &client);
    }
    let mut all: Vec<Aborted> = Vec::new();
    for Ended { folder, begun, course } in rehearsals {
        let Tidied { removed, stays, notes } = tidy::tidy(&course, &begun, node.as_ref(), &client)?;
        let journal = Journal::move_aside(configuration, &folder, &format!("rehearsed-{}", begun.recovery))?;
        let recovery = Some(begun.recovery);
        let (settled, earlier) = (Vec::new(), std::mem::take(&mut all));
        all.push(Aborted { v: V1, recovery, rehearsal: true, settled, removed, stays, notes, journal, earlier });
    }
    all.pop().ok_or_else(|| Stop::new(Code::Internal, "no rehearsal was taken away"))
}

/// A rehearsal that has come to its end, and has not been taken away.
struct Ended {
    folder: PathBuf,
    begun: Begun,
    course: Course,
}

/// The last one, and those that were put aside by a recovery after them.
fn ended_rehearsals(configuration: &Configuration, last: Course) -> Outcome<Vec<Ended>> {
    let mut found = Vec::new();
    for (folder, events) in Journal::ended(configuration)? {
        found.push((folder, log::course(events)?));
    }
    found.push((Journal::folder(configuration), last));
    let ended = found.into_iter().filter_map(|(folder, course)| {
        let begun = course.begun().filter(|begun| begun.rehearsal && course.is_ended())?.clone();
        Some(Ended { folder, begun, course })
    });
    Ok(ended.collect())
}

fn give_up(
    configuration: &Configuration,
    course: &Course,
    begun: Begun,
    node: Option<&Node>,
    client: &Client,
) -> Outcome<Aborted> {
    let log = Log::open(configuration, || begun.clone())?;
    let unfinished: Vec<ItemId> = log.tell(|course| course.unfinished().map(|(item, _)| item).collect());
    let mut settled = Vec::new();
    for item in unfinished {
        settled.push(match settle::settle(&log, node, client, item, Way::Up) {
            Err(stop) => format!("item {item}: it stays as it is: {}", harmless(&stop.in_one_line(), 400)),
            Ok(Settled::Unseen(guest, vmid)) => format!("item {item}: {guest} {vmid} is restored, and stays"),
            Ok(Settled::Finished) => format!("item {item} was whole: it has its place"),
            Ok(Settled::Beside(why)) => format!("item {item} was whole: it has its place; {}", harmless(&why, 300)),
            Ok(Settled::Cleared) => format!("item {item}: what was unfinished is taken away"),
            Ok(Settled::NotOurs(why) | Settled::Unmarked(_, _, why)) => {
                format!("item {item}: nothing is taken away: {}", harmless(&why, 300))
            }
        });
    }
    // A key and a token lie there: it is not given up before they are gone.
    if let Some(Err(missing)) =
        node.filter(|_| !begun.rehearsal).map(|node| install::scratch::remove(node, begun.recovery))
    {
        let what = format!("{}: {}", missing.what, harmless(&missing.why, 300));
        return Err(Stop::new(Code::Preflight, what).remedy(missing.remedy));
    }
    let Tidied { removed, stays, mut notes } = if begun.rehearsal {
        log.tell(|course| tidy::tidy(course, &begun, node, client))?
    } else {
        let stays = log.tell(|course| course.restored().map(|(_, what)| of(what)).collect());
        let mut notes: Vec<String> = log::dissolve(begun.recovery, node, client.private()).into_iter().collect();
        let ended = TargetFolder::look(&begun.into, Some(begun.recovery));
        if begun.into.exists()
            && let Err(stop) = ended.and_then(|folder| folder.end(begun.recovery))
        {
            notes.push(stop.in_one_line());
        }
        Tidied { removed: Vec::new(), stays, notes }
    };
    if course.is_installed() && !begun.rehearsal {
        notes.push(
            "keys, tokens and sources that were put in place stay: see storage.cfg and the agent's configuration"
                .to_owned(),
        );
    }
    if course.is_proven() && !begun.rehearsal {
        notes.push("this machine is the box at the hub now, and the former one's certificate is dead".to_owned());
    }
    match orders::given_up::withdraw(configuration, &log) {
        Ok(untold) => notes.extend(untold),
        Err(stop) => notes.push(stop.in_one_line()),
    }
    log.note(Event::Ended { at: Timestamp::now() })?;
    // A machine that is the box already goes on being it: its claim says with which ticket.
    if Identity::load(configuration)?.is_none() {
        Claimed::forget(configuration);
    }
    let journal = Journal::put_aside(configuration, &format!("aborted-{}", begun.recovery))?;
    Ok(Aborted {
        v: V1,
        recovery: Some(begun.recovery),
        rehearsal: begun.rehearsal,
        settled,
        removed,
        stays,
        notes,
        journal,
        earlier: Vec::new(),
    })
}

fn damaged(configuration: &Configuration, stop: &Stop) -> Outcome<Aborted> {
    let notes = vec![
        stop.in_one_line(),
        "nothing was taken away: what this recovery had begun has names that begin with .tenwords-, or guests in a pool \
         of that name; see the plan beside the journal. A storage `tenwords-…` in storage.cfg has a key and a token of the \
         box: `pvesm remove` with its name takes it away"
            .to_owned(),
    ];
    let journal = Journal::put_aside(configuration, &format!("damaged-{}", Timestamp::now().unix()))?;
    Claimed::forget(configuration);
    let (settled, removed, stays) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Aborted {
        v: V1,
        recovery: None,
        rehearsal: false,
        settled,
        removed,
        stays,
        notes,
        journal,
        earlier: Vec::new(),
    })
}

/// For a person.
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
        let what = match self.rehearsal {
            true => "The rehearsal is taken away.",
            false => "The recovery is given up. Another can be begun.",
        };
        let mut lines: Vec<String> = self.earlier.iter().flat_map(Self::lines).collect();
        lines.push(what.to_owned());
        lines.extend(self.settled.iter().map(|line| format!("  {line}")));
        lines.extend(self.removed.iter().map(|line| format!("  taken away: {line}")));
        lines.extend(self.stays.iter().map(|line| format!("  stays: {line}")));
        lines.extend(self.notes.iter().map(|line| format!("  note: {}", harmless(line, 600))));
        lines.push(format!("Its journal and plan: {}", self.journal.display()));
        lines
    }
}
