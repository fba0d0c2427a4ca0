//! `tenwords box show NAME`

use std::num::NonZeroU64;

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
    let drills = summary.drills.clone().unwrap_or_default();
    match drills.words {
        None => row("words drill", "never: nobody has shown that the ten words are still at hand".to_owned()),
        Some(drill) => {
            row("words drill", drill.at.to_string());
            row("", opened(summary, drill.version, drill.code_number));
        }
    }
    match drills.archive {
        None => row("archive drill", "never: no backup was brought back to show that it can be".to_owned()),
        Some(drill) => {
            row("archive drill", drill.at.to_string());
            row("", opened(summary, drill.version, drill.code_number));
            row("", format!("{} of {} from {}", drill.archive, drill.snapshot, drill.source));
            row("", format!("{} bytes in {} files, says the box", drill.bytes, drill.files));
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

/// Which version a drill opened. Words of another code say nothing of those that are needed now.
fn opened(summary: &BoxSummary, version: NonZeroU64, code_number: NonZeroU64) -> String {
    let newest = summary.newest.as_ref().map(|stored| stored.header.facts().code_number);
    let older = match newest {
        Some(newest) if newest != code_number => format!(", and the newest escrow is under code {newest}"),
        _ => String::new(),
    };
    format!("version {version}, code {code_number}{older}")
}
