//! What will be restored, from where to where; shown and kept before anything is done.
//!
//! What the server lists only chooses. A snapshot enters the plan through the gate: its manifest is
//! fetched through the client and proves itself under one of the escrow's keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use pbs_driver::{Access, Client, DriverError, Failure, Folder, restore, snapshot::SnapshotInfo};
use pbs_format::datastore::{FileName, Group, Namespace, SnapshotRef};
use tenwords_escrow::{
    gate::{GateError, GatedKey, GatedSnapshot},
    root::{Source, Trust},
};
use tenwords_protocol::{
    directive::{Directive, Item, Place, Target, Wanted},
    fingerprint::{Fingerprint, ShortFingerprint},
    time::Timestamp,
};
use thiserror::Error;

use super::{connect::Connected, report::Missing};
use crate::{
    exit::{Code, OrStop as _, Outcome},
    show::{harmless, size},
    sources,
};

/// A snapshot that fails the gate is passed over for the next older one, so many times.
const TRIES: usize = 8;
/// A listing for search, which no restore needs.
const CATALOG: &str = "catalog.pcat1.didx";

/// What to restore, and what not.
pub(crate) struct Plan<'a> {
    pub(crate) work: Vec<Work<'a>>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) notes: Vec<String>,
}

/// One gated snapshot with its archives and their targets.
pub(crate) struct Work<'a> {
    pub(crate) source: &'a Source,
    pub(crate) access: &'a Access,
    pub(crate) snapshot: GatedSnapshot,
    pub(crate) archives: Vec<(FileName, PathBuf)>,
}

/// The escrow's keys: opened, and as files for the client.
pub(crate) struct Keyring<'a> {
    keys: &'a BTreeMap<Fingerprint, Arc<GatedKey>>,
    /// Holds the files; they go with it.
    _folder: Folder,
    files: BTreeMap<Fingerprint, PathBuf>,
}

// === impl Keyring ===

impl<'a> Keyring<'a> {
    /// Writes the key files into the client's private folder; they go with this value.
    pub(crate) fn new(client: &Client, keys: &'a BTreeMap<Fingerprint, Arc<GatedKey>>) -> Outcome<Self> {
        let cannot = || "cannot keep the opened keys in the private folder".to_owned();
        let folder = client.private().folder().or_stop(Code::Preflight, cannot)?;
        let mut files = BTreeMap::new();
        for (fingerprint, key) in keys {
            let name = format!("{}.enc", fingerprint.to_hex());
            let path = folder.write(&name, &key.expose_key_file()).or_stop(Code::Preflight, cannot)?;
            files.insert(*fingerprint, path);
        }
        Ok(Self { keys, _folder: folder, files })
    }

    pub(crate) fn key_file(&self, fingerprint: Fingerprint) -> Option<&Path> {
        self.files.get(&fingerprint).map(PathBuf::as_path)
    }
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// Chooses by the directive, or the newest good snapshot of every group.
    pub(crate) fn make(
        client: &Client,
        keyring: &Keyring<'_>,
        connected: &'a [Connected<'a>],
        trust: &Trust,
        directive: Option<&Directive>,
        lost_at: Option<Timestamp>,
        into: &Path,
    ) -> Self {
        let mut plan = Self { work: Vec::new(), missing: Vec::new(), notes: Vec::new() };
        let planner = Planner { client, keyring, into, lost_at };
        match directive {
            Some(directive) => {
                for item in &directive.items {
                    planner.item(&mut plan, connected, trust, item);
                }
            }
            None => {
                for source in connected {
                    let groups: BTreeSet<String> =
                        source.snapshots.iter().map(|info| info.snapshot.group().to_string()).collect();
                    for group in groups {
                        planner.group(&mut plan, source, &group, Wanted::Newest, None);
                    }
                }
            }
        }
        plan
    }

    /// As lines for a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for work in &self.work {
            lines.push(format!("{} {}", work.source.id, work.snapshot.snapshot()));
            for (archive, target) in &work.archives {
                let bytes = work.snapshot.archive(archive.as_str()).map_or(0, |archive| archive.entry().size);
                lines.push(format!("  {:<24} {:>12}  -> {}", archive.archive(), size(bytes), target.display()));
            }
        }
        for Missing { what, why, .. } in &self.missing {
            lines.push(format!("NOT: {what}: {why}"));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.into_iter().map(|line| harmless(&line, 400)).collect()
    }

    /// Bytes of all archives, as their signed entries say.
    pub(crate) fn bytes(&self) -> u64 {
        self.work
            .iter()
            .flat_map(|work| work.archives.iter().filter_map(|(name, _)| work.snapshot.archive(name.as_str())))
            .fold(0, |sum, archive| archive.entry().size.saturating_add(sum))
    }

    fn not(
        &mut self,
        what: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
        waits_for_order: bool,
    ) {
        self.missing.push(Missing {
            what: harmless(&what.into(), 200),
            why: harmless(&why.into(), 400),
            remedy: remedy.into(),
            waits_for_order,
        });
    }
}

struct Planner<'p> {
    client: &'p Client,
    keyring: &'p Keyring<'p>,
    into: &'p Path,
    lost_at: Option<Timestamp>,
}

impl Planner<'_> {
    fn item<'a>(&self, plan: &mut Plan<'a>, connected: &'a [Connected<'a>], trust: &Trust, item: &Item) {
        let what = format!("{} {}", item.source, item.group);
        let Some(source) = connected.iter().find(|source| {
            source.source.id == item.source
                && item.namespace.as_ref().is_none_or(|ns| source.access.namespace().to_string() == ns.as_str())
        }) else {
            plan.not(
                what,
                "the directive names a source or namespace that the escrow does not know",
                ASK_OPERATOR,
                false,
            );
            return;
        };
        match &item.target {
            Target::Archive(archive) => {
                let target = match archive.to {
                    Place::NewFolder => None,
                    Place::Original => {
                        let path = sources::original_path(trust, &item.source, &item.group, &archive.archive);
                        let Some(path) = path else {
                            plan.not(what, format!("the escrow lists no path for {}", archive.archive), ASK_OPERATOR, false);
                            return;
                        };
                        Some(path)
                    }
                };
                let only = Some((archive.archive.as_str(), target));
                self.group(plan, source, &item.group.to_string(), item.snapshot, only);
            }
            Target::Guest(_) => plan.not(
                what,
                "this agent restores archives and blobs; guests by pct and qmrestore it cannot restore yet",
                "restore the group's archives into a folder (a directive with `archive`, or none), or restore the guest by hand: the key and storage are in place",
                false,
            ),
        }
    }

    fn group<'a>(
        &self,
        plan: &mut Plan<'a>,
        source: &'a Connected<'a>,
        group: &str,
        wanted: Wanted,
        only: Option<(&str, Option<PathBuf>)>,
    ) {
        let what = format!("{} {group}", source.source.id);
        let mut candidates: Vec<&SnapshotInfo> =
            source.snapshots.iter().filter(|info| info.snapshot.group().to_string() == group).collect();
        candidates.sort_by_key(|info| std::cmp::Reverse(info.snapshot.time()));
        if let Wanted::At(time) = wanted {
            candidates.retain(|info| info.snapshot.time() == time);
        }
        if let Some(lost_at) = self.lost_at {
            let newer = candidates.iter().filter(|info| info.snapshot.time() > lost_at).count();
            if newer > 0 {
                plan.notes
                    .push(format!("{what}: {newer} snapshots are newer than the loss at {lost_at} and not chosen"));
            }
            candidates.retain(|info| info.snapshot.time() <= lost_at);
        }
        if candidates.is_empty() {
            plan.not(what, format!("no snapshot ({wanted}) is there"), ASK_OPERATOR, false);
            return;
        }
        let mut refused = Vec::new();
        let mut orderable = true;
        for info in candidates.iter().take(TRIES) {
            match self.gate(source, info) {
                Ok(snapshot) => {
                    if !refused.is_empty() {
                        plan.notes.push(format!(
                            "{what}: {} newer snapshots did not prove themselves, an OLDER one is restored: {}",
                            refused.len(),
                            refused.join("; ")
                        ));
                    }
                    self.archives(plan, source, snapshot, only, &what);
                    return;
                }
                // A server that does not answer says nothing about a snapshot: an older one is not
                // taken in its place.
                Err(Unproven::Driver(error)) => {
                    let step = error.next_step().unwrap_or("see that the backup server answers");
                    let remedy = format!("{step}; then run the same command again");
                    plan.not(what, format!("{}: {}", info.snapshot.time(), chain(&error)), remedy, false);
                    return;
                }
                Err(why) => {
                    orderable &= !matches!(why, Unproven::KeyMissing(_));
                    refused.push(format!("{}: {}", info.snapshot.time(), chain(&why)));
                }
            }
        }
        let remedy = if orderable {
            "only an operator's order for one exact snapshot lets an unproven one be restored; ask the operator"
        } else {
            "the words open other versions of the escrow too, which may hold that key: ask the operator for --version N"
        };
        plan.not(what, format!("no snapshot proved itself: {}", refused.join("; ")), remedy, orderable);
    }

    fn gate(&self, source: &Connected<'_>, info: &SnapshotInfo) -> Result<GatedSnapshot, Unproven> {
        let claimed = info.fingerprint.ok_or(Unproven::Plain)?;
        let key = self.keyring.keys.get(&claimed).ok_or(Unproven::KeyMissing(claimed.shortened()))?;
        let key_file = self.keyring.key_file(claimed).ok_or(Unproven::KeyMissing(claimed.shortened()))?;
        gate(self.client, &source.access, &info.snapshot, key, key_file)
    }

    fn archives<'a>(
        &self,
        plan: &mut Plan<'a>,
        source: &'a Connected<'a>,
        snapshot: GatedSnapshot,
        only: Option<(&str, Option<PathBuf>)>,
        what: &str,
    ) {
        let group: &Group = snapshot.snapshot().group();
        let mut folder = self.into.join(source.source.id.as_str());
        if *source.access.namespace() != own_namespace(source.source) {
            folder.extend(source.access.namespace().components().map(|name| format!("ns-{name}")));
        }
        let folder = folder.join(format!("{}-{}", group.backup_type(), group.id()));
        let mut archives: Vec<(FileName, PathBuf)> = Vec::new();
        let mut names = BTreeSet::new();
        for archive in snapshot.archives().filter(|archive| archive.server_name() != CATALOG) {
            let (target, chosen) = match &only {
                None => (None, true),
                Some((name, target)) => (target.clone(), *name == archive.name() || *name == archive.server_name()),
            };
            // `x.pxar.didx` and `x.pxar.blob` would share a target: the second keeps its server name.
            let name = if names.insert(archive.name()) { archive.name() } else { archive.server_name() };
            let target = target.unwrap_or_else(|| folder.join(name));
            if chosen && plan.work.iter().flat_map(|work| &work.archives).any(|(_, taken)| *taken == target) {
                plan.not(
                    format!("{what} {}", archive.name()),
                    format!("{} is already the target of another snapshot of this plan", target.display()),
                    ASK_OPERATOR,
                    false,
                );
            } else if chosen {
                archives.push((archive.entry().filename.clone(), target));
            }
        }
        if archives.is_empty() && only.is_some() {
            let wanted = only.map(|(name, _)| name.to_owned()).unwrap_or_default();
            plan.not(what, format!("the snapshot has no free archive {wanted}"), ASK_OPERATOR, false);
        }
        if archives.is_empty() {
            return;
        }
        plan.work.push(Work { source: source.source, access: &source.access, snapshot, archives });
    }
}

/// Why a snapshot is not restored.
#[derive(Debug, Error)]
pub(crate) enum Unproven {
    /// Its list of files could not be had; nothing is known of it.
    #[error("its list of files could not be fetched")]
    Driver(#[source] DriverError),
    /// The client refused its list of files.
    #[error("the client refuses its list of files")]
    Listed(#[source] DriverError),
    /// It failed the gate.
    #[error("it failed the gate")]
    Gate(#[source] GateError),
    /// It names a key that was not opened.
    #[error("it needs key {0}, which this escrow does not hold")]
    KeyMissing(ShortFingerprint),
    /// It names no key.
    #[error("it is not encrypted, or unfinished")]
    Plain,
}

/// The manifest through the client, judged natively.
pub(crate) fn gate(
    client: &Client,
    access: &Access,
    wanted: &SnapshotRef,
    key: &Arc<GatedKey>,
    key_file: &Path,
) -> Result<GatedSnapshot, Unproven> {
    let manifest = restore::manifest(client, access, wanted, key_file).map_err(|error| match error.failure() {
        // What the client itself finds wrong with a list of files is the list's fault.
        Some(
            Failure::Damaged { .. }
            | Failure::MissingKey { .. }
            | Failure::NotFound { .. }
            | Failure::WrongKey { .. }
            | Failure::WrongSignature,
        ) => Unproven::Listed(error),
        _ => Unproven::Driver(error),
    })?;
    GatedSnapshot::check(&manifest, key, wanted).map_err(Unproven::Gate)
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    harmless(&text, 400)
}

/// The namespace that the root names for a source.
fn own_namespace(source: &Source) -> Namespace {
    let text = source.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
    text.parse().unwrap_or_else(|_| Namespace::root())
}

const ASK_OPERATOR: &str =
    "ask the operator to mend the directive; then run the same command again, with another --into";
