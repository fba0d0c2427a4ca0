//! Archives into folders: of groups that are no guests, of guests where no guest can be made of them,
//! and where a directive asks for it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use pbs_driver::{Access, repository::Namespace};
use pbs_format::{
    datastore::{FileName, Group},
    manifest::FileEntry,
};
use tenwords_escrow::{gate::GatedSnapshot, root::Source};

use tenwords_protocol::order::{Act, Overwritten};

use super::{ASK_OPERATOR, Passed, Plan, Planner, again::Thing};
use crate::recover::{
    connect::Connected,
    course::ItemId,
    orders::{
        self, Permit, Waiting, Wish,
        there::{self, There},
        wish::ordered,
    },
};

/// One snapshot that may be restored, with its archives and their targets.
pub(crate) struct Work<'a> {
    pub(crate) source: &'a Source,
    pub(crate) access: &'a Access,
    pub(crate) snapshot: Passed,
    pub(crate) archives: Vec<Piece>,
}

/// One archive, and where it goes.
pub(crate) struct Piece {
    pub(crate) id: ItemId,
    /// The listed file by its name on the server.
    pub(crate) file: FileName,
    /// As a person says it, `root.pxar`.
    pub(crate) name: String,
    /// As listed; of a split archive, both halves.
    pub(crate) bytes: u64,
    pub(crate) target: PathBuf,
    /// The target is a path of the escrow, and not a folder of this recovery's own.
    pub(crate) is_original: bool,
    /// What lies at the target may be replaced, as an operator has ordered.
    pub(crate) over: Option<Permit>,
}

/// The one archive that a directive names, to this place or a new folder.
pub(super) struct Only<'d> {
    pub(super) name: &'d str,
    pub(super) target: Option<PathBuf>,
}

impl Planner<'_> {
    /// Adds a snapshot's archives, each to a target of its own.
    pub(super) fn archives<'a>(
        &self,
        plan: &mut Plan<'a>,
        source: &'a Connected<'a>,
        snapshot: GatedSnapshot,
        only: Option<Only<'_>>,
        what: &str,
    ) {
        let group: &Group = snapshot.snapshot().group();
        let folder = folder_of(self.into, source, group);
        let namespace = source.access.namespace().to_string();
        let snapshot = Arc::new(snapshot);
        let is_original = only.as_ref().is_some_and(|only| only.target.is_some());
        let is_there = |file: &str| {
            let source = source.source.id.as_str();
            self.earlier.has(&Thing::archive(source, &namespace, snapshot.snapshot(), file))
        };
        let mut archives: Vec<Piece> = Vec::new();
        let (mut all_there, mut waits) = (false, false);
        let mut names = BTreeSet::new();
        for (entry, name, bytes) in pieces(entries(&snapshot)) {
            let (server_name, short) = (entry.filename.as_str(), entry.filename.archive());
            let (target, chosen) = match &only {
                None => (None, true),
                Some(only) => (only.target.clone(), [name.as_str(), short, server_name].contains(&only.name)),
            };
            // `x.pxar.didx` and `x.pxar.blob` would share a target: the second keeps its server name.
            let free = if names.insert(name.clone()) { name.as_str() } else { server_name };
            let target = target.unwrap_or_else(|| folder.join(free));
            let mut taken = plan.work.iter().flat_map(|work| &work.archives);
            let piece = |target: PathBuf| Piece {
                id: ItemId::default(),
                file: entry.filename.clone(),
                name: name.clone(),
                bytes,
                target,
                is_original,
                over: None,
            };
            if chosen && is_there(server_name) {
                all_there = true;
            } else if chosen && taken.any(|piece| meet(&piece.target, &target)) {
                plan.not(
                    format!("{what} {name}"),
                    format!(
                        "{} is the target of something else in this plan already, or lies in one",
                        target.display()
                    ),
                    ASK_OPERATOR,
                    false,
                );
            } else if chosen {
                let what = format!("{what} {name}");
                let hindrance = if is_original { there::is_run_by_the_system(&target) } else { None };
                match (hindrance, there::look(&target)) {
                    (Some(why), _) | (None, Ok(There::Never(why))) => {
                        waits = true;
                        plan.not(what, why, TO_A_FOLDER, false);
                    }
                    (None, Ok(There::Nothing | There::EmptyFolder)) => archives.push(piece(target)),
                    (None, Ok(There::Thing { told, found })) => {
                        waits = true;
                        let of = ordered(&source.source.id, &namespace, snapshot.snapshot(), Some(&name));
                        let path = target.to_str().and_then(|path| path.parse().ok());
                        let Some((snapshot_of, path)) = of.zip(path) else {
                            let why = format!("something lies at {}, which no order can name", target.display());
                            plan.not(what, why, TO_A_FOLDER, false);
                            continue;
                        };
                        let act = Act::RestoreOverwrite { target: Overwritten::Path(path), snapshot: snapshot_of };
                        let work = Work {
                            source: source.source,
                            access: &source.access,
                            snapshot: Passed::Proven(Arc::clone(&snapshot)),
                            archives: vec![piece(target.clone())],
                        };
                        let why = format!("something lies at {}", target.display());
                        let wish = Wish { act, destroys: vec![told], found: Some(found) };
                        let thing = orders::Thing::Archive(Box::new(work));
                        plan.waiting.push(Waiting::new(what, why, wish, thing));
                    }
                    (None, Err(error)) => {
                        waits = true;
                        let why = format!("cannot look at {}: {error}", target.display());
                        plan.not(what, why, "mend what the cause names; then run the same command again", false);
                    }
                }
            }
        }
        if let Some(only) = &only
            && archives.is_empty()
            && !all_there
            && !waits
        {
            plan.not(what, format!("the snapshot has no free archive {}", only.name), ASK_OPERATOR, false);
        }
        if archives.is_empty() && only.is_none() && !all_there && pieces(entries(&snapshot)).is_empty() {
            plan.not(what, "the snapshot has nothing in it that could be restored", ASK_OPERATOR, false);
        }
        if !archives.is_empty() {
            let snapshot = Passed::Proven(snapshot);
            plan.work.push(Work { source: source.source, access: &source.access, snapshot, archives });
        }
    }
}

/// Where the archives of a group go by themselves.
pub(super) fn folder_of(into: &Path, source: &Connected<'_>, group: &Group) -> PathBuf {
    let mut folder = into.join(source.source.id.as_str());
    if *source.access.namespace() != own_namespace(source.source) {
        folder.extend(source.access.namespace().components().map(|name| format!("ns-{name}")));
    }
    folder.join(format!("{}-{}", group.backup_type(), group.id()))
}

/// One in the other would find its place taken.
pub(super) fn meet(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The signed files of a snapshot.
pub(super) fn entries(snapshot: &GatedSnapshot) -> impl Iterator<Item = &FileEntry> {
    snapshot.archives().map(|archive| archive.entry())
}

/// What of a snapshot is restored: every listed file but the catalog; the two halves of a split
/// archive (`x.mpxar`, `x.ppxar`) are one, `x.pxar`, and are asked for by the first.
pub(super) fn pieces<'e>(entries: impl Iterator<Item = &'e FileEntry>) -> Vec<(&'e FileEntry, String, u64)> {
    let entries: Vec<&FileEntry> = entries.filter(|entry| entry.filename.as_str() != CATALOG).collect();
    let half = |entry: &FileEntry, from: &str, to: &str| {
        let name = format!("{}{to}", entry.filename.as_str().strip_suffix(from)?);
        entries.iter().find(|other| other.filename.as_str() == name).map(|other| other.size)
    };
    let piece = |entry: &'e FileEntry| {
        if half(entry, PAYLOAD, METADATA).is_some() {
            return None;
        }
        let name = entry.filename.archive();
        Some(match half(entry, METADATA, PAYLOAD) {
            Some(payload) => (entry, name.replace(".mpxar", ".pxar"), entry.size.saturating_add(payload)),
            None => (entry, name.to_owned(), entry.size),
        })
    };
    entries.iter().copied().filter_map(piece).collect()
}

/// The namespace that the root names for a source.
pub(super) fn own_namespace(source: &Source) -> Namespace {
    let text = source.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
    text.parse().unwrap_or_else(|_| Namespace::root())
}

const TO_A_FOLDER: &str = "have the operator's directive restore it into a folder (`new-folder`), and put it in its place \
     by hand; then run the same command again";
/// A listing for search, which no restore needs.
const CATALOG: &str = "catalog.pcat1.didx";
const METADATA: &str = ".mpxar.didx";
const PAYLOAD: &str = ".ppxar.didx";
