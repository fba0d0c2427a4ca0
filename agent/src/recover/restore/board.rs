//! Where workers write how far they are, and where the calling thread reads it.
//!
//! A worker never waits for the seat: what it writes replaces what stood there, and a console or a
//! terminal that takes nothing holds no restore up.

use std::{
    ops::ControlFlow,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{super::report::Missing, item::Item, progress::Model};
use crate::{interrupt, seat::Seat};

/// The standing of everything that is restored.
pub(super) struct Board {
    model: Mutex<Model>,
    since: Instant,
}

/// What one worker writes to: of one thing.
pub(super) struct Watch<'b> {
    board: &'b Board,
    number: usize,
}

impl Board {
    pub(super) fn of(items: &[Item<'_>]) -> Self {
        let things = items.iter().map(|item| (item.number, item.name(), item.bytes()));
        Self { model: Mutex::new(Model::new(things)), since: Instant::now() }
    }

    /// This one is begun. It ends with [`Self::ends`], or as failed if the worker breaks down.
    pub(super) fn begins(&self, item: &Item<'_>) -> Watch<'_> {
        self.model().begins(item.number, self.since.elapsed());
        Watch { board: self, number: item.number }
    }

    pub(super) fn ends(&self, item: &Item<'_>, how: Result<(), &Missing>) {
        self.model().ends(item.number, how.map_err(|missing| missing.why.as_str()), self.since.elapsed());
    }

    /// Tells the seat what has happened since it was told last, and how far everything is.
    pub(super) fn show(&self, seat: &mut dyn Seat) {
        let (turns, overview) = {
            let mut model = self.model();
            (model.turns(), model.overview(self.since.elapsed()))
        };
        turns.iter().for_each(|turn| seat.turn(turn));
        if !overview.running.is_empty() {
            seat.progress(&overview);
        }
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch<'_> {
    /// So many bytes are there. Tells whether to go on.
    pub(super) fn at(&self, bytes: u64, step: Option<&str>) -> ControlFlow<()> {
        self.board.model().at(self.number, bytes, step, self.board.since.elapsed());
        if interrupt::is_ending() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // Of one that has ended this changes nothing.
        let why = "this program broke down while it restored it";
        self.board.model().ends(self.number, Err(why), self.board.since.elapsed());
    }
}
