//! Which snapshot of a group: the newest that proves itself, or the one that was planned. Where none does, the
//! newest that an order could let through.

use std::cmp::Reverse;

use pbs_driver::{DriverError, snapshot::SnapshotInfo};
use tenwords_escrow::gate::GatedSnapshot;
use tenwords_protocol::directive::Wanted;

use super::{ASK_OPERATOR, Plan, Planner, chain, proof::Unproven, unproven::Unvouched};
use crate::recover::connect::Connected;

/// A snapshot that fails the gate is passed over for the next older one, so many times.
const TRIES: usize = 8;

/// What was found of a group.
pub(super) enum Chosen {
    Proven(GatedSnapshot),
    /// Nothing that proves itself.
    Unvouched(Unvouched),
}

impl Planner<'_> {
    /// The newest snapshot of a group, or the one wanted, that proves itself. If none does, the newest that an
    /// order could let through; why there is none goes into the plan.
    pub(super) fn choose(
        &self,
        plan: &mut Plan<'_>,
        source: &Connected<'_>,
        group: &str,
        wanted: Wanted,
    ) -> Option<Chosen> {
        let what = format!("{} {group}", source.source.id);
        let mut candidates: Vec<&SnapshotInfo> =
            source.snapshots.iter().filter(|info| info.snapshot.group().to_string() == group).collect();
        candidates.sort_by_key(|info| Reverse(info.snapshot.time()));
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
                plan.note_once(super::newer(&what, newer, lost_at));
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
        let unasked = |plan: &mut Plan<'_>, info: &SnapshotInfo, error: &DriverError| {
            let why = format!("{}: {}", info.snapshot.time(), chain(error));
            plan.not(what.clone(), why, silent(source, error), false);
        };
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
                    unasked(plan, info, &error);
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
                    unasked(plan, info, &error);
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

const OTHER_VERSION: &str =
    "the words open other versions of the escrow too, which may hold that key: ask the operator for --version N";
const NOTHING_HELPS: &str = "an operator's order lets a list through that is in plain text or unsigned, not one that is \
     damaged or forged: see who writes to the backup server, and whether another copy of the backup exists; then run the \
     same command again";
