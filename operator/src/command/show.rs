//! `tenwords box show NAME`

use serde::Serialize;
use tenwords_protocol::{boxes::BoxSummary, v1::V1, version::Kind};

use super::{
    Desk, called,
    list::{Seen, disagreement, grade, seen, window},
};
use crate::{
    cli::Which,
    failure::Failure,
    show::{clean, table},
};

#[derive(Serialize)]
struct Shown<'a> {
    v: V1,
    #[serde(flatten)]
    seen: Seen<'a>,
    warnings: &'a [String],
}

pub(super) async fn run(desk: &Desk, which: &Which) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&which.name)?;
    let boxes = desk.hub()?.boxes().await?;
    let Some(summary) = boxes.iter().find(|summary| summary.box_id == id) else {
        let what = format!("the hub does not know {}", called(&map, id));
        return Err(Failure::usage("not_found", what, "is this the hub that the box was added to?"));
    };
    let warnings: Vec<String> = disagreement(&map, summary).into_iter().collect();
    desk.print_json(&Shown { v: V1, seen: seen(&map, summary), warnings: &warnings })?;
    if !desk.json {
        desk.print(&format!("{}\n\n{}", called(&map, id), table(&rows(summary))))?;
        for warning in &warnings {
            desk.warn(warning);
        }
    }
    Ok(())
}

fn rows(summary: &BoxSummary) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| rows.push(vec![format!("  {key}"), value]);
    let time = |time: Option<_>, absent: &str| {
        time.map_or_else(|| absent.to_owned(), |t: tenwords_protocol::time::Timestamp| t.to_string())
    };
    row("called by the hub", clean(&summary.name));
    row("added", summary.added_at.to_string());
    row("enrolled", time(summary.enrolled_at, "not yet"));
    row("last heard of", time(summary.last_seen, "never"));
    row("escrow versions", summary.versions.to_string());
    match &summary.newest {
        None => row("newest", "none: these words could bring nothing back".to_owned()),
        Some(stored) => {
            let facts = stored.header.facts();
            let kind = match facts.kind {
                Kind::Ceremony => "ceremony",
                Kind::Update => "update",
            };
            row("newest", format!("version {} of {}", stored.number, stored.received_at));
            row("", format!("{kind}, {}, code {}, sequence {}", grade(facts.grade), facts.code_number, facts.sequence));
        }
    }
    match &summary.recovery {
        None => row("recovery", "never armed".to_owned()),
        Some(state) => {
            row("recovery", window(state));
            row("", format!("armed {} for: {}", state.armed_at, clean(&state.reason)));
        }
    }
    rows
}
