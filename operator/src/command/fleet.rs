//! `tenwords fleet`: which box can be brought back today, and what is to be done about the others.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use tenwords_protocol::{
    boxes::BoxSummary,
    id::BoxId,
    readiness::{Readiness, Reason, State},
    time::Timestamp,
    v1::V1,
};

use super::{Desk, list::warnings};
use crate::{
    cli::Fleet,
    failure::{Failure, Kind},
    map::Map,
    name::Name,
    show::{clean, table},
};

#[derive(Serialize)]
struct Shown<'a> {
    v: V1,
    /// How many stand how; `unknown` where the hub did not say.
    counts: BTreeMap<&'static str, usize>,
    boxes: Vec<Stands<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Stands<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Name>,
    hub_name: String,
    box_id: BoxId,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    reasons: &'a [Reason],
    notes: &'a [Reason],
}

pub(super) async fn run(desk: &Desk, asked: &Fleet) -> Result<(), Failure> {
    let map = desk.map()?;
    let all = desk.hub()?.boxes().await?;
    let mut warnings = warnings(&map, &all);
    let mut boxes: Vec<&BoxSummary> = all.iter().filter(|summary| summary.retired.is_none()).collect();
    if let Some(customer) = &asked.customer {
        boxes.retain(|summary| summary.customer.as_ref().is_some_and(|text| text.as_str() == customer));
        if boxes.is_empty() {
            warnings.push(format!("the hub knows no box of customer \"{}\"", clean(customer)));
        }
    }
    let gone = gone_elsewhere(asked, &map, &all);
    for summary in &gone {
        let name = called(&map, summary);
        let what = format!("the hub calls {name} ({}) retired, and it was not retired from here", summary.box_id);
        warnings.push(format!("{what}: ask who has; `tenwords box retire {name}` notes it in your own map"));
    }
    // The worst first; what the hub says nothing of is the worst.
    boxes.sort_by_key(|summary| (std::cmp::Reverse(rank(summary)), summary.name.clone()));
    let mut counts = BTreeMap::new();
    for summary in &boxes {
        *counts.entry(word(summary)).or_insert(0) += 1;
    }
    let stands = boxes.iter().map(|summary| stands(&map, summary)).collect();
    desk.print_json(&Shown { v: V1, counts, boxes: stands, warnings: &warnings })?;
    if !desk.json {
        desk.print(&text(&map, &boxes)?)?;
        for warning in &warnings {
            desk.warn(warning);
        }
    }
    judged(asked, &map, &boxes, &all, gone.len())
}

/// The boxes of the own map that the hub calls retired, and that were not retired from here.
fn gone_elsewhere<'a>(asked: &Fleet, map: &Map, all: &'a [BoxSummary]) -> Vec<&'a BoxSummary> {
    let is_asked = |summary: &BoxSummary| match &asked.customer {
        Some(customer) => summary.customer.as_ref().is_some_and(|text| text.as_str() == customer),
        None => true,
    };
    let is_own = |summary: &BoxSummary| map.by_id(summary.box_id).is_some_and(|entry| !entry.retired);
    all.iter().filter(|summary| summary.retired.is_some() && is_own(summary) && is_asked(summary)).collect()
}

/// With `--fail-on`: whether any box stands so badly, or worse. A box that the hub keeps quiet about is one, and so
/// is one that it calls retired of its own accord. Where there is no box at all, somebody looks at the wrong hub.
fn judged(asked: &Fleet, map: &Map, boxes: &[&BoxSummary], all: &[BoxSummary], gone: usize) -> Result<(), Failure> {
    let Some(limit) = asked.fail_on else { return Ok(()) };
    let bad = boxes.iter().filter(|summary| rank(summary).is_none_or(|state| state >= limit)).count() + gone;
    let missing = map.boxes().iter().filter(|entry| entry.acknowledged);
    let missing = missing.filter(|entry| !all.iter().any(|summary| summary.box_id == entry.box_id)).count();
    // Whose box it is, only the hub knows: under a filter nobody can say that one is missing.
    let missing = if asked.customer.is_some() { 0 } else { missing };
    let none = boxes.is_empty();
    if bad + missing == 0 && !none {
        return Ok(());
    }
    let what = match (bad + missing, none) {
        (0, true) => "there is no such box to look at".to_owned(),
        (1, _) => format!("1 box is {limit} or worse"),
        (count, _) => format!("{count} boxes are {limit} or worse"),
    };
    Err(Failure::new(Kind::NotReady, "not_ready", what, "`tenwords fleet` says of each what mends it"))
}

/// How it stands; nothing if the hub did not say.
fn rank(summary: &BoxSummary) -> Option<State> {
    summary.readiness.as_ref().map(|readiness| readiness.state)
}

fn word(summary: &BoxSummary) -> &'static str {
    rank(summary).map_or("unknown", State::as_str)
}

fn stands<'a>(map: &'a Map, summary: &'a BoxSummary) -> Stands<'a> {
    let (reasons, notes): (&[Reason], &[Reason]) = match &summary.readiness {
        Some(Readiness { reasons, notes, .. }) => (reasons, notes),
        None => (&[], &[]),
    };
    Stands {
        name: map.by_id(summary.box_id).map(|entry| &entry.name),
        hub_name: clean(&summary.name),
        box_id: summary.box_id,
        customer: summary.customer.as_ref().map(|customer| clean(customer.as_str())),
        state: word(summary),
        since: summary.in_state_since,
        reasons,
        notes,
    }
}

fn text(map: &Map, boxes: &[&BoxSummary]) -> Result<String, Failure> {
    let cannot = |_| Failure::internal("the text cannot be made");
    if boxes.is_empty() {
        return Ok("no box\n".to_owned());
    }
    let mut counted = Vec::new();
    for state in State::ALL {
        let count = boxes.iter().filter(|summary| rank(summary) == Some(state)).count();
        if count > 0 {
            counted.push(format!("{count} {state}"));
        }
    }
    let unknown = boxes.iter().filter(|summary| rank(summary).is_none()).count();
    if unknown > 0 {
        counted.push(format!("{unknown} unknown"));
    }
    let mut text = format!("{}: {}\n\n", plural(boxes.len()), counted.join(", "));
    let mut rows = vec![["STATE", "NAME", "CUSTOMER", "SINCE", "LAST HEARD OF"].map(String::from).to_vec()];
    let moment = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    for summary in boxes {
        let customer = summary.customer.as_ref().map_or_else(|| "-".to_owned(), |text| clean(text.as_str()));
        rows.push(vec![
            word(summary).to_owned(),
            called(map, summary),
            customer,
            moment(summary.in_state_since),
            moment(summary.last_seen),
        ]);
    }
    text.push_str(&table(&rows));
    for summary in boxes {
        let Some(readiness) = summary.readiness.as_ref().filter(|found| found.state != State::Ready) else { continue };
        write!(text, "\n{}\n", called(map, summary)).map_err(cannot)?;
        for reason in readiness.reasons.iter() {
            writeln!(text, "  {}", reason.in_words(clean)).map_err(cannot)?;
            writeln!(text, "    what to do: {}", clean(reason.remedy.as_str())).map_err(cannot)?;
        }
    }
    Ok(text)
}

fn called(map: &Map, summary: &BoxSummary) -> String {
    match map.by_id(summary.box_id) {
        Some(entry) => entry.name.to_string(),
        None => format!("? \"{}\"", clean(&summary.name)),
    }
}

fn plural(count: usize) -> String {
    format!("{count} {}", if count == 1 { "box" } else { "boxes" })
}
