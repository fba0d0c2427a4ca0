//! What will be restored, from where to where; shown and kept before anything is done.
//!
//! What the server lists only chooses. A snapshot enters the plan through the gate ([`proof`]): its
//! manifest is fetched through the client and proves itself under one of the escrow's keys. What of
//! it goes where is said by [`archives`] and [`guests`] (on which storage: [`storages`]).

mod again;
mod archives;
mod choose;
pub(super) mod differences;
mod document;
mod guests;
mod passed;
mod proof;
mod storages;
mod unproven;

use std::{collections::BTreeSet, path::Path};

use pbs_driver::{Client, snapshot::SnapshotInfo};
use tenwords_escrow::root::Trust;
use tenwords_protocol::{
    directive::{Directive, Item, Place, Target, Wanted},
    time::Timestamp,
};

pub(crate) use self::{
    again::Earlier,
    archives::{Piece, Work},
    document::{Around, Document, Row, RowTarget},
    guests::{FIRST_SCRATCH, Ground, GuestWork},
    passed::Passed,
    proof::{Keyring, chain},
    unproven::UnprovenWork,
};
use self::{archives::Only, choose::Chosen};
use super::{
    connect::Connected,
    install::OtherKey,
    orders::{Permit, Waiting},
    report::Missing,
};
use crate::{show::harmless, sources};

/// What to restore, and what not.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    pub(crate) work: Vec<Work<'a>>,
    pub(crate) guests: Vec<GuestWork<'a>>,
    /// Keys in the place of ours that may be replaced.
    pub(crate) keys: Vec<(OtherKey, Permit)>,
    /// What would replace something, or proves nothing.
    pub(crate) waiting: Vec<Waiting<'a>>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) notes: Vec<String>,
}

/// What a plan is made with.
pub(crate) struct Planner<'p> {
    pub(crate) client: &'p Client,
    pub(crate) keyring: &'p Keyring<'p>,
    pub(crate) trust: &'p Trust,
    /// Where guests could go.
    pub(crate) ground: &'p Ground<'p>,
    /// Where archives go.
    pub(crate) into: &'p Path,
    /// What is newer is not chosen.
    pub(crate) lost_at: Option<Timestamp>,
    /// What earlier runs of the same recovery have planned and done.
    pub(crate) earlier: &'p Earlier,
    /// Nothing goes to its original place.
    pub(crate) is_rehearsal: bool,
}

// === impl Plan ===

impl Plan<'_> {
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

    /// Once for all guests that it is true of.
    fn note_once(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

// === impl Planner ===

impl Planner<'_> {
    /// Chooses by the directive, or the newest good snapshot of every group.
    pub(crate) fn plan<'a>(&self, connected: &'a [Connected<'a>], directive: Option<&Directive>) -> Plan<'a> {
        let mut plan = Plan::default();
        match directive {
            Some(directive) => {
                for item in &directive.items {
                    self.item(&mut plan, connected, item);
                }
            }
            None => self.everything(&mut plan, connected),
        }
        plan
    }

    /// Guests first, each from where its newest snapshot is; then all that is no guest, or cannot be
    /// one here.
    fn everything<'a>(&self, plan: &mut Plan<'a>, connected: &'a [Connected<'a>]) {
        self.guests(plan, connected);
        let mut as_archives = Vec::new();
        for source in connected {
            as_archives.extend(
                self.groups(plan, source)
                    .into_iter()
                    .filter(|group| self.guest(source, group).is_none())
                    .map(|group| (source, group)),
            );
        }
        for (source, group) in self.each_once(plan, as_archives) {
            let what = format!("{} {group}", source.source.id);
            match self.choose(plan, source, &group, Wanted::Newest) {
                Some(Chosen::Proven(snapshot)) => self.archives(plan, source, snapshot, None, &what),
                Some(Chosen::Unvouched(unvouched)) => self.unproven(plan, source, unvouched, None, &what),
                None => {}
            }
        }
    }

    /// The groups of a source that were there when the box was lost. What was made only since then is told,
    /// and nobody misses it; where all of it is newer, the time of the loss is doubtful, and all is missed.
    fn groups(&self, plan: &mut Plan<'_>, source: &Connected<'_>) -> BTreeSet<String> {
        let all = groups(source);
        let Some(lost_at) = self.lost_at else { return all };
        let (known, since): (BTreeSet<_>, BTreeSet<_>) =
            all.iter().cloned().partition(|group| newest(source, group, Some(lost_at)).is_some());
        if known.is_empty() {
            return all;
        }
        for group in since {
            let count = source.snapshots.iter().filter(|info| info.snapshot.group().to_string() == group).count();
            plan.note_once(newer(&format!("{} {group}", source.source.id), count, lost_at));
        }
        known
    }

    /// A group that two sources have of one datastore is one group: it comes from the source that lists the
    /// newer snapshot, else from the one whose key that needs, else from the first.
    fn each_once<'a>(
        &self,
        plan: &mut Plan<'a>,
        groups: Vec<(&'a Connected<'a>, String)>,
    ) -> Vec<(&'a Connected<'a>, String)> {
        let mut chosen: Vec<(&'a Connected<'a>, String)> = Vec::new();
        for (source, group) in groups {
            let rank = |source: &Connected<'_>| {
                let newest = newest(source, &group, self.lost_at);
                let key = newest.and_then(|info| info.fingerprint);
                (newest.map(|info| info.snapshot.time()), key == Some(source.source.key_fingerprint))
            };
            let Some((other, _)) =
                chosen.iter_mut().find(|(other, name)| *name == group && is_one_place(other, source))
            else {
                chosen.push((source, group));
                continue;
            };
            let left = if rank(source) > rank(other) { std::mem::replace(other, source) } else { source };
            plan.note_once(format!(
                "{} {group}: source {} has the same group of the same datastore; it comes from there, once",
                left.source.id, other.source.id
            ));
        }
        chosen
    }

    fn item<'a>(&self, plan: &mut Plan<'a>, connected: &'a [Connected<'a>], item: &Item) {
        let group = item.group.to_string();
        let what = format!("{} {group}", item.source);
        let Some(source) = connected.iter().find(|source| {
            source.source.id == item.source
                && item.namespace.as_ref().is_none_or(|ns| source.access.namespace().to_string() == ns.as_str())
        }) else {
            // A source that did not answer has been named with its cause already.
            let why = "the directive names a source or namespace that the escrow does not know, or that did not answer";
            return plan.not(what, why, ASK_OPERATOR, false);
        };
        match &item.target {
            Target::Archive(archive) => {
                let target = match archive.to {
                    Place::NewFolder => None,
                    Place::Original if self.is_rehearsal => {
                        plan.notes.push(format!(
                            "{what}: {} goes into a folder in this rehearsal, and to its original place in earnest",
                            archive.archive
                        ));
                        None
                    }
                    Place::Original => {
                        let path = sources::original_path(self.trust, &item.source, &item.group, &archive.archive);
                        let Some(path) = path else {
                            let why = format!("the escrow lists no path for {}", archive.archive);
                            return plan.not(what, why, ASK_OPERATOR, false);
                        };
                        Some(path)
                    }
                };
                let name = archive.archive.as_str();
                match self.choose(plan, source, &group, item.snapshot) {
                    Some(Chosen::Proven(snapshot)) => {
                        self.archives(plan, source, snapshot, Some(Only { name, target }), &what);
                    }
                    // Never to where the directive says.
                    Some(Chosen::Unvouched(unvouched)) => {
                        self.unproven(plan, source, unvouched, Some(name), &format!("{what} {name}"));
                    }
                    None => {}
                }
            }
            Target::Guest(guest) => self.as_guest(plan, source, &group, item.snapshot, guest),
        }
    }
}

/// Whether two sources are the same namespace of one datastore, perhaps by two tokens.
fn is_one_place(one: &Connected<'_>, other: &Connected<'_>) -> bool {
    let [one, other] = [one, other].map(|source| {
        let repository = source.access.repository();
        (repository.host(), repository.port(), repository.datastore(), source.access.namespace())
    });
    one == other
}

/// What is listed and not chosen.
fn newer(what: &str, count: usize, lost_at: Timestamp) -> String {
    format!("{what}: {count} snapshots are newer than the loss at {lost_at} and not chosen")
}

/// The groups of a source, each once.
fn groups(source: &Connected<'_>) -> BTreeSet<String> {
    source.snapshots.iter().map(|info| info.snapshot.group().to_string()).collect()
}

/// The newest snapshot of a group that was there when the box was lost.
fn newest<'a>(source: &'a Connected<'_>, group: &str, lost_at: Option<Timestamp>) -> Option<&'a SnapshotInfo> {
    let of_group = source.snapshots.iter().filter(|info| info.snapshot.group().to_string() == group);
    let in_time = of_group.filter(|info| lost_at.is_none_or(|lost_at| info.snapshot.time() <= lost_at));
    in_time.max_by_key(|info| info.snapshot.time())
}

const ASK_OPERATOR: &str = "ask the operator to mend the directive; then run the same command again";
