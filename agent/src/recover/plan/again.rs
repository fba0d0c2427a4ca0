//! What an earlier run of the same recovery means for a new plan: what is there is not planned again,
//! what was planned keeps its snapshot and its number.

use std::collections::{BTreeMap, BTreeSet};

use pbs_format::datastore::SnapshotRef;
use tenwords_protocol::time::Timestamp;

use super::{
    Plan,
    document::{Document, Row, RowTarget},
};
use crate::recover::{
    course::{Course, ItemId, Standing},
    report::GuestKind,
};

/// Something that is restored, whatever its snapshot and target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing {
    /// A guest by the number in its backup; it may come from any source.
    Guest(GuestKind, String),
    /// A file of a group, by its name on the server.
    Archive(Place, String),
    /// The same of a snapshot that nobody vouches for: that it is there says nothing of the proven one.
    Unvouched(Place, String),
}

/// A source, a namespace, a group.
type Place = (String, String, String);

/// What earlier runs have planned, begun and done.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    ids: BTreeMap<Thing, ItemId>,
    /// There, or unfinished and not settled: not to be planned.
    kept: BTreeMap<Thing, Row>,
    /// Still to be restored.
    open: Vec<Row>,
    stands: BTreeMap<Place, Timestamp>,
    used: BTreeSet<ItemId>,
}

impl Earlier {
    pub(crate) fn of(document: Option<Document>, course: &Course) -> Self {
        let mut earlier = Self::default();
        earlier.used.extend(course.next_item().0.checked_sub(1).map(ItemId));
        for row in document.into_iter().flat_map(|document| document.items) {
            let Ok(snapshot) = row.snapshot.parse::<SnapshotRef>() else { continue };
            let group = snapshot.group().to_string();
            let thing = row.thing(&snapshot);
            earlier.used.insert(row.item);
            earlier.ids.insert(thing.clone(), row.item);
            if *course.standing(row.item) == Standing::Open {
                let place = (row.source.clone(), row.namespace.clone(), group);
                if row.key.is_some() {
                    earlier.stands.insert(place, snapshot.time());
                }
                earlier.open.push(row);
            } else {
                earlier.kept.insert(thing, row);
            }
        }
        earlier
    }

    /// Whether it is there already, or may not be touched now.
    pub(super) fn has(&self, thing: &Thing) -> bool {
        self.kept.contains_key(thing)
    }

    /// The snapshot that was planned for a group of which something is still to be restored.
    pub(super) fn planned(&self, source: &str, namespace: &str, group: &str) -> Option<Timestamp> {
        self.stands.get(&(source.to_owned(), namespace.to_owned(), group.to_owned())).copied()
    }

    /// The rows of what is not planned again, in their order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        let mut rows: Vec<&Row> = self.kept.values().collect();
        rows.sort_by_key(|row| row.item);
        rows.into_iter()
    }

    /// What is still to be restored from a source that does not answer now: it stays planned as it was.
    pub(super) fn waiting<'e>(&'e self, answers: impl Fn(&str) -> bool + 'e) -> impl Iterator<Item = &'e Row> {
        self.open.iter().filter(move |row| !answers(&row.source))
    }

    /// Gives everything of the plan its number: the one that it had, or one that nothing has had.
    pub(crate) fn number(&self, plan: &mut Plan<'_>) {
        let mut next = self.used.last().map_or(0, |last| last.0);
        let mut number = |thing: &Thing| {
            self.ids.get(thing).copied().unwrap_or_else(|| {
                next += 1;
                ItemId(next)
            })
        };
        for work in &mut plan.guests {
            work.id = number(&Thing::guest(GuestKind::of(work.kind), work.snapshot.snapshot()));
        }
        for work in &mut plan.work {
            let (source, namespace) = (work.source.id.to_string(), work.access.namespace().to_string());
            for piece in &mut work.archives {
                let thing = match work.snapshot.key() {
                    Some(_) => Thing::archive,
                    None => Thing::unvouched,
                };
                piece.id = number(&thing(&source, &namespace, work.snapshot.snapshot(), piece.file.as_str()));
            }
        }
    }
}

impl Thing {
    pub(super) fn guest(kind: GuestKind, snapshot: &SnapshotRef) -> Self {
        Self::Guest(kind, snapshot.group().id().to_string())
    }

    pub(super) fn archive(source: &str, namespace: &str, snapshot: &SnapshotRef, file: &str) -> Self {
        Self::Archive(place(source, namespace, snapshot), file.to_owned())
    }

    pub(super) fn unvouched(source: &str, namespace: &str, snapshot: &SnapshotRef, file: &str) -> Self {
        Self::Unvouched(place(source, namespace, snapshot), file.to_owned())
    }
}

fn place(source: &str, namespace: &str, snapshot: &SnapshotRef) -> Place {
    (source.to_owned(), namespace.to_owned(), snapshot.group().to_string())
}

impl Row {
    fn thing(&self, snapshot: &SnapshotRef) -> Thing {
        match &self.target {
            RowTarget::Guest { kind, .. } => Thing::guest(*kind, snapshot),
            RowTarget::Archive { file, .. } => match self.key {
                Some(_) => Thing::archive(&self.source, &self.namespace, snapshot, file),
                None => Thing::unvouched(&self.source, &self.namespace, snapshot, file),
            },
        }
    }
}
