//! `key list`: what is kept, since when, what for, and how it is escrowed.

use std::collections::BTreeMap;

use serde::Serialize;
use tenwords_protocol::{fingerprint::Fingerprint, time::Timestamp, v1::V1};

use super::{Index, index::Change, kept};
use crate::{
    exit::Outcome,
    keys::LiveKey,
    settings::Configuration,
    show::harmless,
    sources,
    update::{self, Escrowed},
};

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    v: V1,
    keys: Vec<Row>,
    standing: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// One key.
#[derive(Debug, Serialize)]
struct Row {
    fingerprint: Fingerprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_in_use: Option<Timestamp>,
    /// The sources that back up with it now.
    in_use_by: Vec<String>,
    escrowed: Escrowed,
    /// By how many snapshots, as far as their servers have said.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots_at: Option<Timestamp>,
    /// Whether a file of it is kept on this box.
    kept: bool,
}

/// Reads what is there; changes nothing, and asks nobody.
pub(crate) fn list(configuration: &Configuration) -> Outcome<Listed> {
    let (index, damaged) = Index::load(configuration);
    let mut notes: Vec<String> = damaged.into_iter().collect();
    let files = kept(configuration, &mut notes);
    let found = sources::of_box(configuration)?;
    let mut users: BTreeMap<Fingerprint, Vec<String>> = BTreeMap::new();
    for source in found.sources.iter().filter(|source| source.is_used()) {
        if let Some(key) = source.key() {
            users.entry(key.fingerprint()).or_default().push(source.id.clone());
        }
    }
    let escrowed = update::escrowed(configuration)?;
    let mut all: Vec<Fingerprint> =
        found.keys().map(LiveKey::fingerprint).chain(files.keys().copied()).chain(index.keys.keys().copied()).collect();
    all.sort_unstable();
    all.dedup();
    let row = |key: Fingerprint| {
        let entry = index.keys.get(&key);
        let needed = entry.and_then(|entry| entry.needed);
        Row {
            fingerprint: key,
            first_seen: entry.map(|entry| entry.first_seen),
            last_in_use: entry.and_then(|entry| entry.last_in_use),
            in_use_by: users.get(&key).cloned().unwrap_or_default(),
            escrowed: escrowed.of_key(key),
            snapshots: needed.map(|needed| needed.snapshots),
            snapshots_at: needed.map(|needed| needed.at),
            kept: files.contains_key(&key),
        }
    };
    Ok(Listed { v: V1, keys: all.into_iter().map(row).collect(), standing: index.standing().cloned().collect(), notes })
}

impl Listed {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for row in &self.keys {
            let Row { fingerprint, first_seen, in_use_by, escrowed, snapshots, kept, .. } = row;
            lines.push(format!("key {}", fingerprint.short()));
            let used = match (&in_use_by[..], row.last_in_use) {
                ([], Some(last)) => format!("not in use, last on {last}"),
                ([], None) => "not in use".to_owned(),
                (by, _) => format!("in use by {}", harmless(&by.join(", "), 200)),
            };
            let since = first_seen.map(|since| format!("; seen since {since}")).unwrap_or_default();
            lines.push(format!("  {used}{since}"));
            lines.push(format!("  {}", escrowed.in_words()));
            lines.push(match (snapshots, row.snapshots_at) {
                (Some(count), Some(at)) => format!("  needed by {count} snapshots ({at})"),
                _ => "  how many snapshots need it is not known".to_owned(),
            });
            if !kept {
                lines.push("  NOT kept on this box".to_owned());
            }
        }
        if self.keys.is_empty() {
            lines.push("no key was seen on this box".to_owned());
        }
        for change in &self.standing {
            lines.push(format!("- since {}: {}", change.since, harmless(&change.what.in_words(), 400)));
            lines.extend(change.what.remedy().map(|remedy| format!("  what to do: {remedy}")));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {}", harmless(note, 400))));
        lines
    }
}
