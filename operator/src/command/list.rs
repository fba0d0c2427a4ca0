//! `tenwords box list`

use std::{collections::BTreeSet, num::NonZeroU64};

use serde::Serialize;
use tenwords_protocol::{
    bounded::Text,
    boxes::{BoxSummary, RecoveryState, Retirement},
    drill::Drills,
    id::{BoxId, NodeId},
    nodes::NodeState,
    time::Timestamp,
    v1::V1,
    version::{Grade, StoredHeader},
};

use super::Desk;
use crate::{
    cli::ListBoxes,
    failure::Failure,
    map::Map,
    name::Name,
    show::{clean, table},
};

/// One box: the operator's own name for it, and what the hub says.
#[derive(Serialize)]
pub(super) struct Seen<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Name>,
    #[serde(flatten)]
    hub: Said<'a>,
}

/// What the hub says. Its name for the box is told apart from ours in every form.
#[derive(Serialize)]
struct Said<'a> {
    box_id: BoxId,
    hub_name: String,
    added_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrolled_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
    versions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<&'a StoredHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<&'a RecoveryState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drills: Option<&'a Drills>,
    /// It has enrolled, and nothing of it is escrowed yet.
    ceremony_pending: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    keeper: Option<NodeId>,
    nodes: Vec<NodeState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired: Option<&'a Retirement>,
}

#[derive(Serialize)]
struct Listed<'a> {
    v: V1,
    boxes: Vec<Seen<'a>>,
    warnings: &'a [String],
}

pub(super) async fn run(desk: &Desk, list: &ListBoxes) -> Result<(), Failure> {
    let map = desk.map()?;
    let boxes = desk.hub()?.boxes().await?;
    let warnings = warnings(&map, &boxes);
    let boxes = of_customer(boxes, list.customer.as_deref());
    let seen = boxes.iter().map(|summary| seen(&map, summary)).collect();
    desk.print_json(&Listed { v: V1, boxes: seen, warnings: &warnings })?;
    if desk.json {
        return Ok(());
    }
    if boxes.is_empty() && list.customer.is_some() {
        eprintln!("no box is this customer's; `tenwords box set NAME --customer X` says whose one is");
    } else if boxes.is_empty() {
        eprintln!("the hub knows no box; `tenwords box add NAME` makes the first");
    } else {
        desk.print(&table(&rows(&map, &boxes)))?;
    }
    for warning in &warnings {
        desk.warn(warning);
    }
    Ok(())
}

fn of_customer(boxes: Vec<BoxSummary>, wanted: Option<&str>) -> Vec<BoxSummary> {
    let Some(wanted) = wanted else { return boxes };
    let is_wanted = |summary: &BoxSummary| summary.customer.as_ref().is_some_and(|it| it.as_str() == wanted.trim());
    boxes.into_iter().filter(is_wanted).collect()
}

pub(super) fn seen<'a>(map: &'a Map, summary: &'a BoxSummary) -> Seen<'a> {
    Seen {
        name: map.by_id(summary.box_id).map(|entry| &entry.name),
        hub: Said {
            box_id: summary.box_id,
            hub_name: clean(&summary.name),
            added_at: summary.added_at,
            customer: summary.customer.as_ref().map(|customer| clean(customer.as_str())),
            enrolled_at: summary.enrolled_at,
            last_seen: summary.last_seen,
            versions: summary.versions,
            newest: summary.newest.as_ref(),
            recovery: summary.recovery.as_ref(),
            drills: summary.drills.as_ref(),
            ceremony_pending: is_pending(summary),
            keeper: summary.keeper,
            nodes: summary.nodes.iter().map(cleaned).collect(),
            retired: summary.retired.as_ref(),
        },
    }
}

fn cleaned(node: &NodeState) -> NodeState {
    NodeState { hostname: Text::cut(&clean(node.hostname.as_str())), ..node.clone() }
}

/// Whether it waits for its first ceremony: until then nothing is protected.
pub(super) fn is_pending(summary: &BoxSummary) -> bool {
    summary.enrolled_at.is_some() && summary.versions == 0 && summary.retired.is_none()
}

/// Where the hub and the operator's own map disagree over one box. The map is what counts.
pub(super) fn disagreement(map: &Map, summary: &BoxSummary) -> Option<String> {
    let said = clean(&summary.name);
    match map.by_id(summary.box_id) {
        Some(entry) if entry.name.as_str() != summary.name => Some(format!(
            "the hub calls {} ({}) \"{said}\"; your own name for it counts here",
            entry.name, entry.box_id
        )),
        Some(_) => None,
        None if map.boxes().iter().any(|entry| entry.name.as_str() == summary.name) => {
            Some(format!("the hub calls box {} \"{said}\", which is another box in your own map", summary.box_id))
        }
        None => None,
    }
}

pub(super) fn warnings(map: &Map, boxes: &[BoxSummary]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut told = BTreeSet::new();
    for summary in boxes {
        if !told.insert(summary.box_id) {
            warnings.push(format!("the hub lists box {} twice", summary.box_id));
        }
        warnings.extend(disagreement(map, summary));
    }
    for entry in map.boxes().iter().filter(|entry| entry.acknowledged && !told.contains(&entry.box_id)) {
        warnings.push(format!("the hub does not know {} ({}), which it once took", entry.name, entry.box_id));
    }
    warnings
}

/// One line for a window, by the operator's clock and no further than the hub's facts go.
pub(super) fn window(state: &RecoveryState) -> String {
    let kind = match (state.rehearsal, state.stolen) {
        (true, _) => "rehearsal, ",
        (false, true) => "stolen, ",
        (false, false) => "",
    };
    let stage = match (state.proven_at, state.claimed_at, state.disarmed_at) {
        (Some(at), _, _) => format!("proven {at}"),
        (None, Some(at), _) => format!("claimed {at}"),
        (None, None, Some(at)) => format!("disarmed {at}"),
        (None, None, None) => format!("armed until {}", state.until),
    };
    format!("{kind}{stage}")
}

pub(super) fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Proven => "proven",
        Grade::Sealed => "sealed",
    }
}

/// When a drill was and under which code. A drill of another code's words says nothing of those that
/// the customer needs now.
fn drill(drill: Option<(Timestamp, NonZeroU64)>) -> String {
    drill.map_or_else(|| "never".to_owned(), |(at, code_number)| format!("{at} code {code_number}"))
}

fn rows(map: &Map, boxes: &[BoxSummary]) -> Vec<Vec<String>> {
    let head = ["NAME", "BOX ID", "LAST HEARD OF", "NEWEST ESCROW", "WORDS DRILL", "ARCHIVE DRILL", "RECOVERY"];
    let mut rows = vec![head.map(String::from).to_vec()];
    let with_customers = boxes.iter().any(|summary| summary.customer.is_some());
    if with_customers {
        rows[0].insert(1, "CUSTOMER".to_owned());
    }
    for summary in boxes {
        let name = match map.by_id(summary.box_id) {
            Some(entry) => entry.name.to_string(),
            None => format!("? \"{}\"", clean(&summary.name)),
        };
        let heard = match (&summary.retired, summary.enrolled_at, summary.last_seen) {
            (Some(retired), _, _) => format!("retired {}", retired.at),
            (None, None, _) => "not enrolled".to_owned(),
            (None, Some(at), None) | (None, Some(_), Some(at)) => at.to_string(),
        };
        let newest = match &summary.newest {
            None if is_pending(summary) => "none: ceremony pending".to_owned(),
            None => "none".to_owned(),
            Some(stored) => {
                let facts = stored.header.facts();
                format!("{} code {} {}", stored.received_at, facts.code_number, grade(facts.grade))
            }
        };
        let recovery = summary.recovery.as_ref().map_or_else(|| "-".to_owned(), window);
        let drills = summary.drills.as_ref();
        let words = drills.and_then(|drills| drills.words.as_ref()).map(|drill| (drill.at, drill.code_number));
        let archive = drills.and_then(|drills| drills.archive.as_ref()).map(|drill| (drill.at, drill.code_number));
        let mut row = vec![name, summary.box_id.to_string(), heard, newest, drill(words), drill(archive), recovery];
        if with_customers {
            row.insert(1, summary.customer.as_ref().map_or_else(|| "-".to_owned(), |it| clean(it.as_str())));
        }
        rows.push(row);
    }
    rows
}
