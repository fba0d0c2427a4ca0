//! `tenwords box show NAME`

use std::num::NonZeroU64;

use serde::Serialize;
use tenwords_protocol::{boxes::BoxSummary, nodes::NodeState, time::Timestamp, v1::V1, version::Kind};

use super::{
    Desk, called,
    list::{Seen, disagreement, grade, is_pending, seen, window},
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
    let time = |time: Option<_>, absent: &str| time.map_or_else(|| absent.to_owned(), |t: Timestamp| t.to_string());
    row("called by the hub", clean(&summary.name));
    if let Some(customer) = &summary.customer {
        row("customer", clean(customer.as_str()));
    }
    row("added", summary.added_at.to_string());
    if let Some(retired) = &summary.retired {
        row("retired", format!("{}: {}", retired.at, clean(&retired.reason)));
        row(
            "",
            match retired.let_go_at {
                Some(at) => format!("its history was kept for {} days, and let go {at}", retired.keep_days),
                None => format!("its history is kept for {} days, and let go then", retired.keep_days),
            },
        );
    }
    row("enrolled", time(summary.enrolled_at, "not yet"));
    row("last heard of", time(summary.last_seen, "never"));
    row("escrow versions", summary.versions.to_string());
    match &summary.newest {
        None if is_pending(summary) => {
            row("newest", "none: enrolled, ceremony pending; until then nothing is protected".to_owned());
        }
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
    for (number, node) in summary.nodes.iter().enumerate() {
        let (first, second) = lines_of(node, summary.keeper == Some(node.node_id));
        row(if number == 0 { "nodes" } else { "" }, first);
        row("", second);
    }
    rows
}

/// Who a node is; and how it stands by this machine's clock.
fn lines_of(node: &NodeState, is_keeper: bool) -> (String, String) {
    let host = match node.hostname.as_str() {
        "" => "came by a recovery".to_owned(),
        host => clean(host),
    };
    let keeper = if is_keeper { ", escrows" } else { "" };
    let heard = node.last_seen.map_or_else(|| "never heard of".to_owned(), |at| format!("heard of {at}"));
    let certificate = match node.certificate_expires_at {
        at if at <= Timestamp::now() => format!("certificate ENDED {at}"),
        at => format!("certificate until {at}"),
    };
    (format!("{host} ({}){keeper}", node.node_id), format!("  {heard}, {certificate}"))
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
