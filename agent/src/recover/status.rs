//! `recover --status`: how far the recovery on this machine is, from its journal and its plan alone. Asks
//! nobody, needs no words and touches nothing.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;
use tenwords_protocol::{id::RecoveryId, order::code, time::Timestamp, v1::V1};

use super::{
    claim::Claimed,
    course::{Course, ItemId, Open, Standing},
    journal::Journal,
    log::Log,
    orders,
    plan::{Document, Row, RowTarget},
};
use crate::{
    exit::{Code, Outcome},
    settings::Configuration,
    show::{harmless, size},
};

/// How far it is.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    v: V1,
    /// `none`, `going-on`, `ended`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<Going>,
}

#[derive(Debug, Serialize)]
struct Going {
    recovery: RecoveryId,
    box_id: String,
    box_name: String,
    rehearsal: bool,
    begun_at: Timestamp,
    into: PathBuf,
    proven: bool,
    installed: bool,
    closed: bool,
    /// The plan, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PathBuf>,
    items: Vec<Item>,
    /// What the plan does not restore.
    not: Vec<String>,
    /// What waits for an operator's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    orders: Vec<Waits>,
}

/// An order that was asked for.
#[derive(Debug, Serialize)]
struct Waits {
    code: String,
    op: String,
    since: Timestamp,
    until: Timestamp,
    destroys: Vec<String>,
    /// Its exact text.
    file: PathBuf,
}

#[derive(Debug, Serialize)]
struct Item {
    item: ItemId,
    what: String,
    bytes: u64,
    /// `open`, `begun` (nobody saw how it ended), `restored`.
    state: &'static str,
}

/// Whether a recovery goes on on this machine; one whose journal cannot be read may.
pub(crate) fn is_going_on(configuration: &Configuration) -> bool {
    Log::look(configuration).map_or(true, |course| course.begun().is_some() && !course.is_ended())
}

/// Of a recovery that had come to its end when the run was killed, before it could say so: its claim is still
/// kept. Nothing is left to do then but to forget that.
pub(crate) fn done(configuration: &Configuration) -> Outcome<Option<Status>> {
    let course = Log::look(configuration)?;
    if !course.is_ended() || course.begun().is_none_or(|begun| begun.rehearsal) || !Claimed::is_kept(configuration)? {
        return Ok(None);
    }
    Claimed::forget(configuration);
    look(configuration).map(Some)
}

/// Looks.
pub(crate) fn look(configuration: &Configuration) -> Outcome<Status> {
    let course = Log::look(configuration)?;
    let Some(begun) = course.begun() else { return Ok(Status { v: V1, state: "none", recovery: None }) };
    let folder = Journal::folder(configuration);
    let document = match course.plan_sha256() {
        Some(sha256) => Document::load(&folder, sha256)?,
        None => None,
    };
    let items = document.iter().flat_map(|document| &document.items).map(|row| item(&course, row)).collect();
    let not = document.iter().flat_map(|document| &document.not);
    let going = Going {
        recovery: begun.recovery,
        box_id: begun.box_id.to_string(),
        box_name: harmless(&begun.box_name, 64),
        rehearsal: begun.rehearsal,
        begun_at: begun.at,
        into: begun.into.clone(),
        proven: course.is_proven(),
        installed: course.is_installed(),
        closed: course.is_closed(),
        plan: document.is_some().then(|| Document::text(&folder)),
        items,
        not: not.map(|not| harmless(&format!("{}: {}", not.what, not.why), 600)).collect(),
        orders: if course.is_ended() { Vec::new() } else { orders(configuration, &course) },
    };
    let state = if course.is_ended() { "ended" } else { "going-on" };
    Ok(Status { v: V1, state, recovery: Some(going) })
}

fn orders(configuration: &Configuration, course: &Course) -> Vec<Waits> {
    let open = course.orders().all_open();
    open.map(|Open { order, text }| {
        let code = code(text).to_string();
        Waits {
            file: orders::folder(configuration).join(format!("{code}.order")),
            code,
            op: order.op().to_string(),
            since: order.issued,
            until: order.expires,
            destroys: order.destroys.iter().map(ToString::to_string).collect(),
        }
    })
    .collect()
}

fn item(course: &Course, row: &Row) -> Item {
    let target = match &row.target {
        RowTarget::Guest { kind, vmid, .. } => format!("{kind} {vmid}"),
        RowTarget::Archive { archive, path, .. } => format!("{archive} -> {}", path.display()),
    };
    let state = match course.standing(row.item) {
        Standing::Open => "open",
        Standing::Restored(_) => "restored",
        Standing::Started(_) | Standing::Staged { .. } | Standing::Left { .. } => "begun",
    };
    let what = harmless(&format!("{} {} {target}", row.source, row.snapshot), 400);
    Item { item: row.item, what, bytes: row.bytes, state }
}

impl Status {
    /// 14 while something is still to be done.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.state == "going-on" { Code::PartlyRestored.into() } else { ExitCode::SUCCESS }
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Some(going) = &self.recovery else {
            return vec!["No recovery has been begun on this machine.".to_owned()];
        };
        let Going { box_name, box_id, begun_at, rehearsal, items, not, plan, orders, .. } = going;
        let what = if *rehearsal { "Rehearsal" } else { "Recovery" };
        let state = match self.state {
            "ended" => "has come to its end",
            _ => "is going on, or was interrupted",
        };
        let mut lines = vec![format!("{what} of box {box_name} ({box_id}), begun {begun_at}: it {state}.")];
        let yes = |done: bool| if done { "x" } else { " " };
        lines.push(format!("  [{}] the words are proven to the hub", yes(going.proven)));
        lines.push(format!("  [{}] keys, tokens and sources are in place", yes(going.installed)));
        for Item { item, what, bytes, state } in items {
            let mark = match *state {
                "restored" => "x",
                "begun" => "~",
                _ => " ",
            };
            lines.push(format!("  [{mark}] {item:>3}. {what} ({})", size(*bytes)));
        }
        lines.extend(not.iter().map(|not| format!("  [-] {not}")));
        for Waits { code, op, since, until, destroys, file } in orders {
            lines.push(format!("  order {code} ({op}) is waited for since {since}, until {until}: {}", file.display()));
            lines.extend(destroys.iter().map(|line| format!("      {line}")));
        }
        lines.push(format!("  [{}] the closing ceremony is held", yes(going.closed)));
        lines.extend(plan.as_ref().map(|plan| format!("The plan: {}", plan.display())));
        if self.state == "ended" && !rehearsal {
            lines.push("Nothing is left to do here. What is left to be closed: `tenwords-agent closure`".to_owned());
        }
        if self.state == "ended" && *rehearsal {
            lines.push("What it has made is still there; to take it away: recover --abort".to_owned());
        }
        if self.state == "going-on" {
            lines
                .push("To go on: the same command again, and the ten words. To give it up: recover --abort".to_owned());
        }
        lines
    }
}
