//! Step 8: restores what the plan has, guests first, a few things at once, and looks at each manifest
//! once more after.
//!
//! Each thing is restored by a worker ([`pool`]), which tells a [`board`] how far it is. The calling
//! thread alone speaks with the seat.

pub(crate) mod archives;
mod board;
mod command;
mod guests;
pub(crate) mod item;
mod ledger;
mod pool;
mod progress;
mod snapshots;

use std::num::NonZeroUsize;

use pbs_driver::{Client, pve::Node};

use self::{
    board::{Board, Watch},
    guests::Workshop,
    item::{Back, Item, What, items},
    ledger::Ledger,
    pool::End,
    snapshots::{Snapshots, Staged},
};
use super::{
    install::Installed,
    log::Log,
    plan::{Keyring, Plan},
    report::{Missing, Restored, RestoredGuest},
};
use crate::{interrupt, seat::Seat};

/// What came back and what did not. One failure does not stop the others.
#[derive(Default)]
pub(super) struct Done {
    pub(super) guests: Vec<RestoredGuest>,
    pub(super) archives: Vec<Restored>,
    pub(super) missing: Vec<Missing>,
}

/// What the things of a plan are restored with.
pub(crate) struct Bench<'b> {
    client: &'b Client,
    keyring: &'b Keyring<'b>,
    /// Where guests are made; nothing where none can be.
    node: Option<&'b Node>,
    /// What was put in place on this machine, if anything was to be.
    installed: Option<&'b Installed>,
    ledger: Ledger<'b>,
}

/// Restores a plan that has no guest, one archive after the other.
pub(crate) fn archives(
    client: &Client,
    keyring: &Keyring<'_>,
    plan: &Plan<'_>,
    seat: &mut dyn Seat,
) -> (Vec<Restored>, Vec<Missing>) {
    let bench = Bench { client, keyring, node: None, installed: None, ledger: Ledger::nowhere() };
    let done = bench.restore(plan, NonZeroUsize::MIN, seat);
    (done.archives, done.missing)
}

impl<'b> Bench<'b> {
    /// Of a recovery, on this machine's Proxmox VE, if there is one.
    pub(super) fn new(
        client: &'b Client,
        keyring: &'b Keyring<'b>,
        node: Option<&'b Node>,
        installed: &'b Installed,
        log: &'b Log,
    ) -> Self {
        Self { client, keyring, node, installed: Some(installed), ledger: Ledger::of(log) }
    }

    /// Restores, `parallel` things at once.
    pub(super) fn restore(&self, plan: &Plan<'_>, parallel: NonZeroUsize, seat: &mut dyn Seat) -> Done {
        let items = items(plan);
        let board = Board::of(&items);
        let snapshots = Snapshots::of(self.client, self.keyring, &self.ledger, plan);
        let work = |item: &Item<'_>| {
            let watch = board.begins(item);
            let result = self.restore_item(item, &watch);
            let settled = settle(&snapshots, item, result);
            board.ends(item, settled.as_ref().map(drop));
            drop(watch);
            settled
        };
        let ends = pool::run(&items, parallel, &interrupt::is_ending, &work, &mut || board.show(seat));
        let mut done = Done::default();
        let mut missing = Vec::new();
        for (item, end) in items.iter().zip(ends) {
            let result = match end {
                End::Done(result) => result,
                End::Panicked => settle(&snapshots, item, Err(item.broke_down())),
                End::NotBegun => settle(&snapshots, item, Err(item.not_begun())),
            };
            match result {
                Ok(guest) => done.guests.extend(guest),
                Err(why) => missing.push((place(item), why)),
            }
        }
        seat.progress_ends();
        let (restored, changed) = snapshots.into_ends();
        done.archives = restored;
        // What is said of a snapshot as a whole stands behind what is said of its archives.
        missing.extend(changed.into_iter().map(|(index, why)| (Some(index), why)));
        missing.sort_by_key(|(place, _)| *place);
        done.missing = missing.into_iter().map(|(_, missing)| missing).collect();
        done
    }

    /// Restores one thing of the plan.
    fn restore_item(&self, item: &Item<'_>, watch: &Watch<'_>) -> Result<Back, Missing> {
        match &item.what {
            What::Guest(work) => {
                let ground = self.node.zip(self.installed);
                let workshop = ground.map(|(node, installed)| Workshop {
                    client: self.client,
                    keyring: self.keyring,
                    node,
                    installed,
                    ledger: &self.ledger,
                });
                workshop.ok_or_else(|| item.not_here())?.restore(work, watch).map(Back::Guest)
            }
            What::Archive(_, work, piece) => {
                let by_hand =
                    self.installed.and_then(|installed| command::of_archive(self.client, installed, work, piece));
                archives::restore(self, (work, piece), by_hand, watch)
                    .map(|(restored, stage)| Back::Archive(piece.id, restored, stage))
            }
        }
    }
}

/// A guest is told as it is; an archive waits for the others of its snapshot.
fn settle(
    snapshots: &Snapshots<'_>,
    item: &Item<'_>,
    result: Result<Back, Missing>,
) -> Result<Option<RestoredGuest>, Missing> {
    let (back, result) = match result {
        Ok(Back::Guest(guest)) => return Ok(Some(guest)),
        Ok(Back::Archive(id, restored, stage)) => (Some(Staged { number: item.number, id, restored, stage }), Ok(None)),
        Err(missing) => (None, Err(missing)),
    };
    if let What::Archive(index, ..) = item.what {
        snapshots.ended(index, back);
    }
    result
}

/// Guests, then the archives of one snapshot after the other.
fn place(item: &Item<'_>) -> Option<usize> {
    match item.what {
        What::Guest(_) => None,
        What::Archive(index, ..) => Some(index),
    }
}

/// It goes on with what is missing.
const AGAIN: &str = "run the same command again";
