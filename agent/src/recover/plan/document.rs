//! The plan as a document: shown, and kept beside the journal as text and as JSON.
//!
//! A later run of the same recovery plans anew what is not there yet; what is there, or was begun, stays
//! in the document as it was.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256, id::RecoveryId, json, time::Timestamp, v1::V1};

use super::{Piece, Plan, again::Earlier};
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    recover::{
        connect::Connected,
        course::{Begun, ItemId},
        orders::Waiting,
        report::{GuestKind, Missing},
    },
    show::{harmless, size},
};

const JSON: &str = "plan.json";
/// One that the journal may not name yet.
const NEXT: &str = "plan.next.json";
const TEXT: &str = "plan.txt";
const LIMIT: u64 = 64 << 20;

/// Everything that is to be restored, and everything that is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) v: V1,
    pub(crate) recovery: RecoveryId,
    pub(crate) box_id: String,
    pub(crate) box_name: String,
    pub(crate) made_at: Timestamp,
    /// The escrow that it rests on.
    pub(crate) root_sha256: Sha256,
    pub(crate) rehearsal: bool,
    /// What is newer is not chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lost_at: Option<Timestamp>,
    /// The hub's number of the directive that it follows; without one, the newest of everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) directive: Option<u64>,
    pub(crate) into: PathBuf,
    /// Benign: what fills an empty place.
    pub(crate) items: Vec<Row>,
    /// What waits for an operator's order, or cannot be.
    pub(crate) not: Vec<Not>,
    /// How it differs from what the box last said that it had.
    pub(crate) differences: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// One thing that is to be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) item: ItemId,
    pub(crate) source: String,
    /// Empty for the datastore's root.
    pub(crate) namespace: String,
    pub(crate) snapshot: String,
    /// The key under which it proved itself; absent where an order lets through what nobody vouches for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Fingerprint>,
    /// As listed.
    pub(crate) bytes: u64,
    #[serde(rename = "as")]
    pub(crate) target: RowTarget,
}

/// As what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum RowTarget {
    Guest {
        kind: GuestKind,
        vmid: u32,
        /// Absent if its own configuration says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        storage: Option<String>,
    },
    Archive {
        archive: String,
        file: String,
        path: PathBuf,
    },
}

/// One thing that is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Not {
    pub(crate) what: String,
    pub(crate) state: NotState,
    pub(crate) why: String,
    pub(crate) remedy: String,
}

/// Why it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NotState {
    /// Something would be replaced.
    WaitsForOrder,
    /// Not as things are.
    Impossible,
}

/// What a document says beside the plan itself.
pub(crate) struct Around<'a> {
    pub(crate) begun: &'a Begun,
    pub(crate) made_at: Timestamp,
    pub(crate) lost_at: Option<Timestamp>,
    pub(crate) directive: Option<u64>,
    pub(crate) differences: &'a [String],
    /// The sources that answered.
    pub(crate) connected: &'a [Connected<'a>],
}

impl Document {
    /// Of a plan whose things have their numbers.
    pub(crate) fn of(plan: &Plan<'_>, earlier: &Earlier, around: &Around<'_>) -> Self {
        let Begun { recovery, box_id, box_name, root_sha256, rehearsal, into, .. } = around.begun;
        let mut items: Vec<Row> = earlier.rows().cloned().collect();
        items.extend(rows(plan));
        let answers = |id: &str| around.connected.iter().any(|source| source.source.id.as_str() == id);
        for row in earlier.waiting(answers) {
            if items.iter().all(|other| other.item != row.item) {
                items.push(row.clone());
            }
        }
        let waiting: Vec<Missing> = plan.waiting.iter().flat_map(Waiting::missing).collect();
        let not = waiting.iter().chain(&plan.missing).map(Not::of).collect();
        let differences = around.differences.iter().map(|line| harmless(line, 400)).collect();
        Self {
            v: V1,
            recovery: *recovery,
            box_id: box_id.to_string(),
            box_name: box_name.clone(),
            made_at: around.made_at,
            root_sha256: *root_sha256,
            rehearsal: *rehearsal,
            lost_at: around.lost_at,
            directive: around.directive,
            into: into.clone(),
            items,
            not,
            differences,
            notes: plan.notes.clone(),
        }
    }

    /// Keeps it in the recovery's folder, and tells its hash.
    pub(crate) fn keep(&self, folder: &Path) -> Outcome<Sha256> {
        let cannot = || format!("the plan cannot be kept in {}", folder.display());
        let text = json::to_vec(self).or_stop(Code::Internal, cannot)?;
        let mut lines = self.lines().join("\n");
        lines.push('\n');
        let write = |name: &str, bytes: &[u8]| {
            durable::replace(name, &folder.join(name), 0o600, bytes)
                .or_stop(Code::Preflight, cannot)
                .map_err(|stop| stop.remedy("make room there, then run the same command again"))
        };
        write(TEXT, lines.as_bytes())?;
        // Until the journal names this one, the former one counts.
        write(NEXT, &text)?;
        Ok(Sha256::of(&text))
    }

    /// The one that was kept last is what the journal names now: it takes the former one's place.
    pub(crate) fn counts(folder: &Path) -> Outcome<()> {
        let cannot = || format!("the plan cannot be kept in {}", folder.display());
        std::fs::rename(folder.join(NEXT), folder.join(JSON)).or_stop(Code::Preflight, cannot)
    }

    /// The one of this hash; one that is gone or another is none, and planned anew.
    pub(crate) fn load(folder: &Path, sha256: Sha256) -> Outcome<Option<Self>> {
        for name in [JSON, NEXT] {
            match durable::read_limited(&folder.join(name), LIMIT) {
                Ok(text) if Sha256::of(&text) == sha256 => return Ok(json::from_slice(&text).ok()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Stop::new(Code::Preflight, "the kept plan cannot be read").because(error)),
            }
        }
        Ok(None)
    }

    /// The same once what is in this plan waits no more.
    pub(crate) fn with(mut self, ordered: &Plan<'_>, what: &[String]) -> Self {
        self.not.retain(|not| not.state != NotState::WaitsForOrder || !what.contains(&not.what));
        let added = rows(ordered);
        self.items.retain(|row| added.iter().all(|other| other.item != row.item));
        self.items.extend(added);
        self
    }

    /// Where its text lies.
    pub(crate) fn text(folder: &Path) -> PathBuf {
        folder.join(TEXT)
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { box_name, box_id, made_at, items, not, .. } = self;
        let bytes = items.iter().fold(0_u64, |sum, row| sum.saturating_add(row.bytes));
        let how = match self.directive {
            Some(number) => format!("directive {number}"),
            None => "the newest good snapshot of everything".to_owned(),
        };
        let mut lines = vec![
            format!("Plan of {made_at} for box {box_name} ({box_id}): {how}"),
            format!("  {} things to restore, {}; {} not", items.len(), size(bytes), not.len()),
        ];
        lines.extend(self.lost_at.map(|lost_at| format!("  nothing newer than {lost_at} is chosen")));
        for row in items {
            lines.extend(row.lines());
        }
        for Not { what, state, why, remedy } in not {
            let state = match state {
                NotState::WaitsForOrder => "WAITS for an order",
                NotState::Impossible => "NOT",
            };
            lines.push(format!("{state}: {what}: {why}"));
            lines.push(format!("     what to do: {remedy}"));
        }
        lines.extend(self.differences.iter().map(|line| format!("against the last inventory: {line}")));
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.into_iter().map(|line| harmless(&line, 600)).collect()
    }
}

/// The things of a plan.
fn rows(plan: &Plan<'_>) -> Vec<Row> {
    let mut items = Vec::new();
    for work in &plan.guests {
        items.push(Row {
            item: work.id,
            source: work.source.id.to_string(),
            namespace: work.access.namespace().to_string(),
            snapshot: work.snapshot.snapshot().to_string(),
            key: Some(work.snapshot.key().fingerprint()),
            bytes: work.bytes(),
            target: RowTarget::Guest {
                kind: GuestKind::of(work.kind),
                vmid: work.vmid,
                storage: work.storage.as_ref().map(ToString::to_string),
            },
        });
    }
    for work in &plan.work {
        for Piece { id, file, name, bytes, target, .. } in &work.archives {
            items.push(Row {
                item: *id,
                source: work.source.id.to_string(),
                namespace: work.access.namespace().to_string(),
                snapshot: work.snapshot.snapshot().to_string(),
                key: work.snapshot.key(),
                bytes: *bytes,
                target: RowTarget::Archive {
                    archive: name.clone(),
                    file: file.as_str().to_owned(),
                    path: target.clone(),
                },
            });
        }
    }
    items
}

impl Row {
    /// The number of the guest that it becomes.
    pub(super) fn vmid(&self) -> Option<u32> {
        match self.target {
            RowTarget::Guest { vmid, .. } => Some(vmid),
            RowTarget::Archive { .. } => None,
        }
    }

    fn lines(&self) -> [String; 2] {
        let Self { item, source, snapshot, bytes, target, key, .. } = self;
        let target = match target {
            RowTarget::Guest { kind, vmid, storage } => {
                let storage = storage.as_ref().map_or(String::new(), |storage| format!(" on storage {storage}"));
                let what = match kind {
                    GuestKind::Ct => "container",
                    GuestKind::Vm => "virtual machine",
                };
                format!("{what} {vmid}{storage}")
            }
            RowTarget::Archive { path, .. } => path.display().to_string(),
        };
        let archive = match &self.target {
            RowTarget::Archive { archive, .. } => format!(" {archive}"),
            RowTarget::Guest { .. } => String::new(),
        };
        let unproven = if key.is_none() { ": ordered, NOBODY VOUCHES FOR IT" } else { "" };
        [format!("{item:>3}. {source} {snapshot}{archive} ({}){unproven}", size(*bytes)), format!("     -> {target}")]
    }
}

impl Not {
    fn of(missing: &Missing) -> Self {
        let Missing { what, why, remedy, waits_for_order } = missing;
        let state = if *waits_for_order { NotState::WaitsForOrder } else { NotState::Impossible };
        Self { what: what.clone(), state, why: why.clone(), remedy: remedy.clone() }
    }
}
