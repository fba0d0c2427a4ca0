//! `tenwords box retire NAME --reason TEXT`
//!
//! A last kit is made on the box, never here: the hub hands no part of an escrow to an operator's token. Such a
//! token can arm a recovery or enrol a machine, and with the ten words that opens what is escrowed; without the
//! words nothing does.

use serde::Serialize;
use tenwords_protocol::{
    boxes::{BoxSummary, RetireRequest, ReviveRequest},
    id::BoxId,
    v1::V1,
};

use super::{Desk, ask, called, list::disagreement};
use crate::{
    cli::Retire,
    failure::Failure,
    hub::Hub,
    map::{HeldMap, Map},
};

#[derive(Serialize)]
struct Shown {
    v: V1,
    box_id: BoxId,
    retired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_days: Option<u32>,
}

pub(super) async fn run(desk: &Desk, retire: &Retire) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&retire.which.name)?;
    let hub = desk.hub()?;
    if retire.undo {
        return undo(desk, &map, id, &hub, retire).await;
    }
    let boxes = hub.boxes().await?;
    let Some(summary) = boxes.iter().find(|summary| summary.box_id == id) else {
        let what = format!("the hub does not know {}", called(&map, id));
        return Err(Failure::usage("not_found", what, "`tenwords box list` shows what it knows"));
    };
    if let Some(warning) = disagreement(&map, summary) {
        desk.warn(&warning);
    }
    if !retire.yes {
        confirm(&map, summary)?;
    }
    let keep_days = retire.keep_days;
    hub.retire(id, &RetireRequest { v: V1, reason: retire.reason.clone(), keep_days }).await?;
    desk.print_json(&Shown { v: V1, box_id: id, retired: true, keep_days: Some(keep_days) })?;
    desk.print(&format!(
        "{} is retired: its certificates and tickets are revoked, and nothing of it can be recovered through the hub.\n\
         Its {} escrow versions are kept for {keep_days} days at least, and are let go then: for good. Until then --undo makes \
         it a box again.\n",
        called(&map, id),
        summary.versions
    ))?;
    note(desk, &map, id, true)
}

/// Kept in the own map, so that `tenwords fleet` knows a retirement of this desk from any other.
fn note(desk: &Desk, map: &Map, id: BoxId, retired: bool) -> Result<(), Failure> {
    match map.by_id(id) {
        Some(_) => HeldMap::hold(&desk.settings.state)?.note_retired(id, retired),
        None => Ok(()),
    }
}

async fn undo(desk: &Desk, map: &Map, id: BoxId, hub: &Hub, retire: &Retire) -> Result<(), Failure> {
    hub.revive(id, &ReviveRequest { v: V1, reason: retire.reason.clone() }).await?;
    desk.print_json(&Shown { v: V1, box_id: id, retired: false, keep_days: None })?;
    desk.print(&format!(
        "{} is a box again. No certificate came back: give its nodes enrolment tickets (`tenwords box ticket`), or arm\n\
         its recovery.\n",
        called(map, id)
    ))?;
    note(desk, map, id, false)
}

/// The box's own name has to be typed: a "y" is typed too easily for the wrong box.
fn confirm(map: &Map, summary: &BoxSummary) -> Result<(), Failure> {
    let id = summary.box_id;
    let expected = map.by_id(id).map_or_else(|| id.to_string(), |entry| entry.name.to_string());
    eprintln!("{} has {} escrow versions and {} nodes.", called(map, id), summary.versions, summary.nodes.len());
    match ask::line(&format!("Type {expected} to retire it, anything else to leave it: ")) {
        Some(typed) if typed == expected => Ok(()),
        Some(_) => Err(Failure::usage("not_confirmed", "nothing was done", "to do it without being asked, add --yes")),
        None => {
            let what = "nothing was done: there is no terminal to ask at";
            Err(Failure::usage("not_confirmed", what, "to do it without being asked, add --yes"))
        }
    }
}
