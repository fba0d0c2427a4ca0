//! What will be restored, from where to where; shown and kept before anything is done.
//!
//! What the server lists only chooses. A snapshot enters the plan through the gate ([`proof`]): its
//! manifest is fetched through the client and proves itself under one of the escrow's keys. What of
//! it goes where is said by [`archives`] and [`guests`].

mod again;
mod archives;
pub(super) mod differences;
mod document;
mod guests;
mod passed;
mod proof;
mod unproven;

use std::{collections::BTreeSet, path::Path};

use pbs_driver::{Client, DriverError, snapshot::SnapshotInfo};
use tenwords_escrow::{gate::GatedSnapshot, root::Trust};
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
use self::{archives::Only, proof::Unproven, unproven::Unvouched};
use super::{
    connect::Connected,
    install::OtherKey,
    orders::{Permit, Waiting},
    report::Missing,
};
use crate::{show::harmless, sources};

/// A snapshot that fails the gate is passed over for the next older one, so many times.
const TRIES: usize = 8;

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

/// What was found of a group.
enum Chosen {
    Proven(GatedSnapshot),
    /// Nothing that proves itself.
    Unvouched(Unvouched),
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
        let mut as_archives = self.guests(plan, connected);
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

    /// The newest snapshot of a group, or the one wanted, that proves itself. If none does, the newest that an
    /// order could let through; why there is none goes into the plan.
    fn choose(&self, plan: &mut Plan<'_>, source: &Connected<'_>, group: &str, wanted: Wanted) -> Option<Chosen> {
        let what = format!("{} {group}", source.source.id);
        let mut candidates: Vec<&SnapshotInfo> =
            source.snapshots.iter().filter(|info| info.snapshot.group().to_string() == group).collect();
        candidates.sort_by_key(|info| std::cmp::Reverse(info.snapshot.time()));
        if let Wanted::At(time) = wanted {
            candidates.retain(|info| info.snapshot.time() == time);
        }
        if let Wanted::Until(time) = wanted {
            let newer = candidates.iter().filter(|info| info.snapshot.time() > time).count();
            if newer > 0 {
                plan.note_once(format!(
                    "{what}: {newer} snapshots are newer than {time} and not chosen, as the directive says"
                ));
            }
            candidates.retain(|info| info.snapshot.time() <= time);
        }
        if let Some(lost_at) = self.lost_at {
            let newer = candidates.iter().filter(|info| info.snapshot.time() > lost_at).count();
            if newer > 0 {
                plan.note_once(self::newer(&what, newer, lost_at));
            }
            candidates.retain(|info| info.snapshot.time() <= lost_at);
        }
        if candidates.is_empty() {
            plan.not(what, format!("no snapshot ({wanted}) is there"), ASK_OPERATOR, false);
            return None;
        }
        // What was planned stands, whatever has come since.
        let namespace = source.access.namespace().to_string();
        let planned = self.earlier.planned(source.source.id.as_str(), &namespace, group);
        match candidates.iter().position(|info| Some(info.snapshot.time()) == planned) {
            Some(place) => {
                let planned = candidates.remove(place);
                candidates.insert(0, planned);
            }
            None => plan.notes.extend(planned.map(|planned| {
                format!(
                    "{what}: the snapshot of {planned} that was planned is not listed any more: ANOTHER one is taken"
                )
            })),
        }
        let (mut refused, mut lacks_key, mut newest) = (Vec::new(), false, None::<(&SnapshotInfo, bool)>);
        for info in candidates.iter().take(TRIES) {
            match self.keyring.prove(self.client, &source.access, info) {
                Ok(snapshot) => {
                    if !refused.is_empty() {
                        plan.notes.push(format!(
                            "{what}: {} snapshots did not prove themselves, ANOTHER one than was chosen first is restored: {}",
                            refused.len(),
                            refused.join("; ")
                        ));
                    }
                    return Some(Chosen::Proven(snapshot));
                }
                // A server that does not answer says nothing about a snapshot: an older one is not
                // taken in its place.
                Err(Unproven::Driver(error)) => {
                    plan.not(
                        what,
                        format!("{}: {}", info.snapshot.time(), chain(&error)),
                        silent(source, &error),
                        false,
                    );
                    return None;
                }
                Err(why) => {
                    lacks_key |= matches!(why, Unproven::KeyMissing(_) | Unproven::TooNew(_));
                    if newest.is_none_or(|(newest, _)| newest.snapshot.time() < info.snapshot.time()) {
                        newest = Some((info, matches!(why, Unproven::Plain | Unproven::Gate(_))));
                    }
                    refused.push(format!("{}: {}", info.snapshot.time(), chain(&why)));
                }
            }
        }
        let mut why = format!("no snapshot proved itself: {}", refused.join("; "));
        if lacks_key {
            plan.not(what, why, OTHER_VERSION, false);
            return None;
        }
        // Of these only the newest: an order is for one list, and says which.
        if let Some((info, true)) = newest {
            match self.keyring.unproven(self.client, &source.access, info.fingerprint, &info.snapshot) {
                Ok(snapshot) => {
                    return Some(Chosen::Unvouched(Unvouched { snapshot, named: info.fingerprint, why }));
                }
                Err(Unproven::Driver(error)) => {
                    plan.not(
                        what,
                        format!("{}: {}", info.snapshot.time(), chain(&error)),
                        silent(source, &error),
                        false,
                    );
                    return None;
                }
                Err(error) => {
                    why = format!("{why}; and the newest is none that an order could let through: {}", chain(&error))
                }
            }
        }
        plan.not(what, why, NOTHING_HELPS, false);
        None
    }
}

/// What to do about a server that does not answer.
fn silent(source: &Connected<'_>, error: &DriverError) -> String {
    let step = error.next_step_at(source.access.repository());
    format!(
        "{}; then run the same command again",
        step.unwrap_or_else(|| "see that the backup server answers".to_owned())
    )
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
const OTHER_VERSION: &str =
    "the words open other versions of the escrow too, which may hold that key: ask the operator for --version N";
const NOTHING_HELPS: &str = "an operator's order lets a list through that is in plain text or unsigned, not one that is \
     damaged or forged: see who writes to the backup server, and whether another copy of the backup exists; then run the \
     same command again";
