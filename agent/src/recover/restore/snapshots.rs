//! The look at a snapshot's signed list of files after all its archives have ended, whichever of them
//! was the last.

use std::sync::{Mutex, PoisonError};

use pbs_driver::Client;

use super::{
    super::{
        course::ItemId,
        plan::{Keyring, Plan, Work},
        report::{Missing, Restored},
        stage::Stage,
    },
    archives::occupied,
    ledger::{Ledger, Unplaced},
};

/// The snapshots of a plan from which archives are restored.
pub(super) struct Snapshots<'p> {
    client: &'p Client,
    keyring: &'p Keyring<'p>,
    ledger: &'p Ledger<'p>,
    all: Vec<(&'p Work<'p>, Mutex<State>)>,
}

/// An archive that has come, and is at its stage.
pub(super) struct Staged {
    /// In the plan.
    pub(super) number: usize,
    pub(super) id: ItemId,
    pub(super) restored: Restored,
    pub(super) stage: Stage,
}

/// What is known of one of them.
struct State {
    /// Archives that have not ended yet.
    left: usize,
    back: Vec<Staged>,
    /// The list is another one, or nobody knows; or what has come did not get its place.
    missing: Vec<Missing>,
}

impl<'p> Snapshots<'p> {
    pub(super) fn of(client: &'p Client, keyring: &'p Keyring<'p>, ledger: &'p Ledger<'p>, plan: &'p Plan<'p>) -> Self {
        let state = |work: &Work<'_>| State { left: work.archives.len(), back: Vec::new(), missing: Vec::new() };
        Self { client, keyring, ledger, all: plan.work.iter().map(|work| (work, Mutex::new(state(work)))).collect() }
    }

    /// One archive of the work with this index has ended, and is back if it has come. After the last one
    /// the list is looked at, by this very thread.
    pub(super) fn ended(&self, index: usize, back: Option<Staged>) {
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
        let looked = self.keyring.still(self.client, work.access, &work.snapshot);
        let (placed, missing) = match looked {
            Ok(()) => self.place(work, back),
            Err(why) => (Vec::new(), vec![self.changed(work, &why, &back)]),
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.back = placed;
        state.missing = missing;
    }

    /// What counts as restored, in the plan's order; and the snapshots that are others now, by their index.
    pub(super) fn into_ends(self) -> (Vec<Restored>, Vec<(usize, Missing)>) {
        let (mut restored, mut missing) = (Vec::new(), Vec::new());
        for (index, (_, state)) in self.all.into_iter().enumerate() {
            let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
            restored.extend(state.back.into_iter().map(|staged| (staged.number, staged.restored)));
            missing.extend(state.missing.into_iter().map(|missing| (index, missing)));
        }
        restored.sort_by_key(|(number, _)| *number);
        (restored.into_iter().map(|(_, restored)| restored).collect(), missing)
    }

    /// Each gets its place, or is missing.
    fn place(&self, work: &Work<'_>, back: Vec<Staged>) -> (Vec<Staged>, Vec<Missing>) {
        let (mut placed, mut missing) = (Vec::new(), Vec::new());
        for mut staged in back {
            let what = format!("{} {} {}", work.source.id, work.snapshot.snapshot(), staged.restored.archive);
            match self.ledger.place(staged.id, &mut staged.restored, &staged.stage) {
                Ok(()) => placed.push(staged),
                Err(Unplaced::Occupied) => missing.push(occupied(what, &staged.stage.target, &work.snapshot)),
                Err(Unplaced::Failed(stop)) => missing.push(Missing::of(what, stop)),
            }
        }
        (placed, missing)
    }

    /// What was restored under a list that is another one now is not the plan's: it is taken away.
    fn changed(&self, work: &Work<'_>, why: &str, back: &[Staged]) -> Missing {
        let mut why = format!("the snapshot could not be shown to be the same after the restore: {why}");
        for Staged { id, stage, .. } in back {
            if let Err(error) = stage.clear() {
                why.push_str(&format!("; what is left at {} could not be removed: {error}", stage.path.display()));
            }
            self.ledger.archive_failed(*id, stage, &why);
        }
        Missing {
            what: format!("{} {}", work.source.id, work.snapshot.snapshot()),
            why,
            remedy: "see that the backup server answers and who writes to it; then run the same command again"
                .to_owned(),
            waits_for_order: false,
        }
    }
}
