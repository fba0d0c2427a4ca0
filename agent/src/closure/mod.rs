//! What is left to be done after a recovery: each line is proven by a look, or attested by somebody with
//! name and reason. Until all of them are, `status` is red.
//!
//! A recovery begins the list ([`begin`]), `closure` looks again and shows it, `closure attest` writes down
//! what somebody says. A rehearsal has none. What proves which line, and what that does not prove:
//! `docs/closure.md`.

mod backups;
mod check;
mod kept;
mod line;
mod tokens;

use serde::Serialize;
use tenwords_escrow::root::Root;
use tenwords_protocol::{
    id::{BoxId, NodeId},
    time::Timestamp,
    v1::V1,
};

pub(crate) use self::line::Line;
use self::{
    check::Look,
    kept::Kept,
    line::{Id, State},
};
use crate::{
    exit::{Code, Outcome, Stop},
    record::Record,
    recover::report::RestoredGuest,
    settings::Configuration,
    show::harmless,
    standing::Standing,
};

/// A list that is not kept yet.
pub(crate) struct Begun(Kept);

/// The list, as it stands.
#[derive(Debug, Serialize)]
pub(crate) struct Closure {
    v: V1,
    box_id: BoxId,
    pub(crate) recovered_at: Timestamp,
    pub(crate) closed: bool,
    pub(crate) lines: Vec<Line>,
}

impl Begun {
    /// Of a recovery with this root, on this machine at the hub, after these guests came back.
    pub(crate) fn of(root: &Root, node_id: Option<NodeId>, guests: &[RestoredGuest]) -> Self {
        Self(Kept::new(root.facts(), node_id, guests, Timestamp::now()))
    }
}

/// Keeps the list of a recovery that has come to its end, and tells its lines: after a look at the hub and
/// at this machine's own record. A run that went on where an earlier one ended adds to that one's list.
pub(crate) fn begin(configuration: &Configuration, begun: Option<Begun>, notes: &mut Vec<String>) -> Vec<Line> {
    let Some(Begun(new)) = begun else { return Vec::new() };
    let earlier = Kept::load(configuration, new.box_id).unwrap_or_else(|stop| {
        notes.push(format!("{stop}; a new one takes its place"));
        None
    });
    let mut kept = match earlier.filter(|earlier| !told(earlier).closed) {
        Some(earlier) => new.after(earlier),
        None => new,
    };
    let record = record(configuration, kept.box_id);
    Look { configuration, record: record.as_ref(), now: Timestamp::now() }.at_home(&mut kept);
    if let Err(stop) = kept.keep(configuration) {
        notes.push(format!("{}: what is left to be done stands in this report alone", stop.in_one_line()));
    }
    told(&kept).lines
}

/// `closure`: looks again at everything, and keeps what was seen.
pub(crate) fn look(configuration: &Configuration) -> Outcome<Closure> {
    let mut kept = required(configuration)?;
    let record = record(configuration, kept.box_id);
    let look = Look { configuration, record: record.as_ref(), now: Timestamp::now() };
    look.at_home(&mut kept);
    look.at_sources(&mut kept);
    kept.keep(configuration)?;
    Ok(told(&kept))
}

/// `closure attest`: writes down what somebody says of a line.
pub(crate) fn attest(configuration: &Configuration, line: &str, by: &str, reason: &str) -> Outcome<Closure> {
    let mut kept = required(configuration)?;
    let shown = || told(&kept).lines.iter().map(|line| line.id.to_string()).collect::<Vec<_>>().join(", ");
    let id: Id =
        line.parse().ok().filter(|id| told(&kept).lines.iter().any(|line| line.id == *id)).ok_or_else(|| {
            Stop::new(Code::Usage, format!("the checklist has no line {}", harmless(line, 64)))
                .remedy(format!("its lines are: {}", shown()))
        })?;
    let [by, reason] = [("--by", by), ("--reason", reason)].map(|(option, text)| said(option, text));
    let (by, reason) = (by?, reason?);
    if let Some(State::Proven { at, .. }) = kept.lines.get(&id) {
        return Err(Stop::new(Code::Usage, format!("the line {id} was proven at {at}: nothing is to be attested")));
    }
    let seen = match kept.lines.remove(&id) {
        Some(State::Open { seen, .. }) => Some(seen),
        Some(State::Attested { seen, .. }) => seen,
        Some(State::Proven { .. }) | None => None,
    };
    kept.lines.insert(id, State::Attested { by, reason, at: Timestamp::now(), seen });
    kept.keep(configuration)?;
    Ok(told(&kept))
}

/// The list as it was left by the last look; `None` if there is none. Asks nobody.
pub(crate) fn standing(configuration: &Configuration, box_id: BoxId) -> Outcome<Option<Closure>> {
    Ok(Kept::load(configuration, box_id)?.map(|kept| told(&kept)))
}

fn required(configuration: &Configuration) -> Outcome<Kept> {
    let box_id = Standing::required(configuration)?.facts().id;
    Kept::load(configuration, box_id)?.ok_or_else(|| {
        Stop::new(Code::Preflight, "no recovery has left anything to be closed on this box")
            .remedy("nothing is to be done; `tenwords-agent status` shows how it stands")
    })
}

/// What cannot be read is not known.
fn record(configuration: &Configuration, box_id: BoxId) -> Option<Record> {
    Record::load(configuration).ok().flatten().filter(|record| record.box_id == box_id)
}

/// A name or a reason: something, in one line.
fn said(option: &str, text: &str) -> Outcome<String> {
    let text = harmless(text.trim(), MOST);
    if text.is_empty() {
        return Err(Stop::new(Code::Usage, format!("{option} is empty")).remedy("say who attests it, and why"));
    }
    Ok(text)
}

/// Every line in its order, those of which nothing was seen yet included.
fn told(kept: &Kept) -> Closure {
    let mut ids = vec![Id::Certificate];
    ids.extend(kept.tokens.iter().map(|token| Id::Token(token.source.to_string())));
    ids.push(Id::OtherSecrets);
    ids.push(Id::Escrow);
    if kept.node_id.is_none() {
        ids.push(Id::Kit);
    }
    ids.extend(kept.guests.iter().map(|guest| Id::Backup(guest.group.clone())));
    ids.push(Id::Code);
    let lines: Vec<Line> = ids.into_iter().map(|id| line_of(kept, id)).collect();
    Closure {
        v: V1,
        box_id: kept.box_id,
        recovered_at: kept.recovered_at,
        closed: !lines.iter().any(Line::is_open),
        lines,
    }
}

fn line_of(kept: &Kept, id: Id) -> Line {
    let (what, proof, unseen) = match &id {
        Id::Certificate => (
            "the lost box's certificate is dead at the hub".to_owned(),
            match kept.node_id {
                Some(_) => "the hub's list of this box's certificates",
                None => "an operator who has revoked it, if a hub knows the box: attest it",
            },
            "to be taken as ALIVE until somebody knows better",
        ),
        Id::Token(source) => (
            format!("the token that the lost box has for source {source} is dead"),
            "its server, once the token has a new secret there and this box has it too",
            "to be taken as ALIVE: its server was not asked yet",
        ),
        Id::OtherSecrets => (
            format!("whatever else the lost box could open is closed to it{}", files(kept)),
            "whoever has done it: attest it",
            "to be taken as ALIVE: passwords, SSH and VPN keys, API tokens, whatever lay on it",
        ),
        Id::Escrow => (
            "the escrow is renewed on this machine, with the secrets that it uses now".to_owned(),
            "a ceremony: `tenwords-agent escrow create`",
            "not looked at yet",
        ),
        Id::Kit => (
            "the new kit is kept away from this machine, and not beside the ten words".to_owned(),
            "this box's backup server that holds it, or a kit on another disk; else attest it",
            "not looked at yet",
        ),
        Id::Backup(group) => (
            format!("{group} has been backed up since, under a key that is escrowed"),
            "the first backup after the lost box's token is dead",
            "not looked at yet",
        ),
        Id::Code => (
            "nobody but the customer knows the ten words".to_owned(),
            "a new code (`tenwords-agent escrow create --new-code`); or attest that nobody else saw them",
            "not looked at yet",
        ),
    };
    let unseen = || State::Open { seen: unseen.to_owned(), at: kept.recovered_at };
    let state = kept.lines.get(&id).cloned().unwrap_or_else(unseen);
    Line { id, what, proof, state }
}

/// The escrow's own small files, which the lost box has too.
fn files(kept: &Kept) -> String {
    match kept.files.len() {
        0 => String::new(),
        _ => format!(" (the escrow has of it: {})", harmless(&kept.files.join(", "), 300)),
    }
}

impl Closure {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let word = if self.closed { "Closed" } else { "NOT CLOSED" };
        let open = self.open().count();
        let count = if open == 0 { String::new() } else { format!(": {open} of {} lines are open", self.lines.len()) };
        let mut lines = vec![format!("{word}: the recovery of {}{count}", self.recovered_at)];
        lines.extend(self.lines.iter().flat_map(Line::lines));
        lines
    }

    /// What is still to be done.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.is_open())
    }
}

const MOST: usize = 200;
