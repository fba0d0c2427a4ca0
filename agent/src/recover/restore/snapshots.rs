//! The look at a snapshot's signed list of files after all its archives have ended, whichever of them
//! was the last.

use std::sync::{Mutex, PoisonError};

use pbs_driver::Client;

use super::{
    super::{
        plan::{Keyring, Plan, Work},
        report::{Missing, Restored},
    },
    archives::{Before, removed},
};

/// The snapshots of a plan from which archives are restored.
pub(super) struct Snapshots<'p> {
    client: &'p Client,
    keyring: &'p Keyring<'p>,
    all: Vec<(&'p Work<'p>, Mutex<State>)>,
}

/// What is known of one of them.
struct State {
    /// Archives that have not ended yet.
    left: usize,
    /// By their numbers in the plan.
    back: Vec<(usize, Restored, Before)>,
    /// The list is another one, or nobody knows.
    changed: Option<Missing>,
}

impl<'p> Snapshots<'p> {
    pub(super) fn of(client: &'p Client, keyring: &'p Keyring<'p>, plan: &'p Plan<'p>) -> Self {
        let state = |work: &Work<'_>| State { left: work.archives.len(), back: Vec::new(), changed: None };
        Self { client, keyring, all: plan.work.iter().map(|work| (work, Mutex::new(state(work)))).collect() }
    }

    /// One archive of the work with this index has ended, and is back if it has come. After the last one
    /// the list is looked at, by this very thread.
    pub(super) fn ended(&self, index: usize, back: Option<(usize, Restored, Before)>) {
        let Some((work, state)) = self.all.get(index) else { return };
        let back = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.back.extend(back);
            state.left = state.left.saturating_sub(1);
            if state.left > 0 || state.back.is_empty() {
                return;
            }
            std::mem::take(&mut state.back)
        };
        // Not under the lock: it takes as long as the server takes to answer.
        let looked = self.keyring.unchanged(self.client, work.access, &work.snapshot);
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match looked {
            Ok(()) => state.back = back,
            Err(why) => state.changed = Some(changed(work, &why, &back)),
        }
    }

    /// What counts as restored, in the plan's order; and the snapshots that are others now, by their index.
    pub(super) fn into_ends(self) -> (Vec<Restored>, Vec<(usize, Missing)>) {
        let (mut restored, mut missing) = (Vec::new(), Vec::new());
        for (index, (_, state)) in self.all.into_iter().enumerate() {
            let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
            restored.extend(state.back.into_iter().map(|(number, item, _)| (number, item)));
            missing.extend(state.changed.map(|changed| (index, changed)));
        }
        restored.sort_by_key(|(number, _)| *number);
        (restored.into_iter().map(|(_, restored)| restored).collect(), missing)
    }
}

/// What was restored under a list that is another one now is not the plan's. Only what this very work
/// has put in place is removed.
fn changed(work: &Work<'_>, why: &str, back: &[(usize, Restored, Before)]) -> Missing {
    let mut why = format!("the snapshot could not be shown to be the same after the restore: {why}");
    for (_, item, before) in back {
        why.push_str(&removed(&item.target, *before));
    }
    Missing {
        what: format!("{} {}", work.source.id, work.snapshot.snapshot()),
        why,
        remedy:
            "see that the backup server answers and who writes to it; then run the same command again, with another \
                 --into"
                .to_owned(),
        waits_for_order: false,
    }
}
