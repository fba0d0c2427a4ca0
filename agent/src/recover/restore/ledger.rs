//! What begins and what comes of it, noted as it happens: in the recovery's journal, or, where nothing
//! is to be gone on with (a drill), nowhere.

use std::{io, path::Path};

use pbs_driver::pve::{former::AsFound, pool::PoolId, torn::Volumes};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::{hash::Sha256, id::RecoveryId, time::Timestamp};

use super::super::{
    course::{Event, ItemId, Mark, What},
    log::Log,
    orders::permit::{Permit, Redeemed},
    report::{GuestKind, Restored, RestoredGuest},
    stage::{Ground, Stage},
};
use crate::exit::{Code, Outcome, Stop};

/// Where it is noted, and the mark of what is unfinished.
pub(crate) struct Ledger<'l> {
    log: Option<&'l Log>,
    recovery: RecoveryId,
}

/// Why what was staged did not get its place.
pub(super) enum Unplaced {
    /// Somebody has put something there meanwhile; the stage is taken away.
    Occupied,
    /// With what to do.
    Failed(Stop),
}

impl<'l> Ledger<'l> {
    pub(crate) fn of(log: &'l Log) -> Self {
        Self { log: Some(log), recovery: log.recovery() }
    }

    pub(crate) fn nowhere() -> Self {
        Self { log: None, recovery: RecoveryId::random(&mut UnwrapErr(SysRng)) }
    }

    /// The pool that guests are put into.
    pub(super) fn pool(&self) -> Option<PoolId> {
        self.log.and_then(Log::pool)
    }

    /// Uses an order up: what it lets happen may begin.
    pub(super) fn redeem(&self, permit: &Permit) -> Outcome<Redeemed> {
        match self.log {
            Some(log) => permit.redeem(log),
            None => Err(Stop::new(Code::Internal, "nothing is ordered where no journal is kept")),
        }
    }

    /// An archive is begun at a stage of its own.
    pub(super) fn begins_archive(&self, item: ItemId, target: &Path, ground: Ground) -> Outcome<Stage> {
        let stage = Stage::of(self.recovery, item, target, ground);
        let mark = Mark::Stage { stage: stage.path.clone(), target: stage.target.clone(), replaces: stage.replaces };
        self.note(Event::Started { at: Timestamp::now(), item, mark })?;
        Ok(stage)
    }

    /// A guest is begun under a free number, or in the place of the one that an order named.
    pub(super) fn begins_guest(
        &self,
        item: ItemId,
        (guest, vmid): (GuestKind, u32),
        before: Volumes,
        former: Option<AsFound>,
    ) -> Outcome<()> {
        let Volumes { volumes: volumes_before, storages: storages_before } = before;
        let replaces = former.as_ref().map(|former| former.config_sha256);
        let (replaced_meaning, replaced_volumes) =
            former.map(|former| (former.meaning_sha256, former.volumes)).unwrap_or_default();
        let mark =
            Mark::Guest { guest, vmid, volumes_before, storages_before, replaces, replaced_meaning, replaced_volumes };
        self.note(Event::Started { at: Timestamp::now(), item, mark })
    }

    /// An archive did not come. If nothing lies at its stage any more, that is the end of it; what does is
    /// for the next run to clear.
    pub(super) fn archive_failed(&self, item: ItemId, stage: &Stage, why: &str) {
        if matches!(stage.is_there(), Ok(false)) {
            self.failed(item, why);
        }
    }

    /// Nothing of it is left.
    pub(super) fn failed(&self, item: ItemId, why: &str) {
        self.note_softly(Event::Failed { at: Timestamp::now(), item, why: crate::show::harmless(why, 400) });
    }

    /// A guest did not come well, and this is what its configuration is now.
    pub(super) fn guest_left(&self, item: ItemId, config_sha256: Sha256) {
        self.note_softly(Event::Left { at: Timestamp::now(), item, config_sha256 });
    }

    /// A staged archive is whole, and of the signed snapshot: it gets its place. What it replaced and could not
    /// be removed is told.
    pub(super) fn place(&self, item: ItemId, restored: &mut Restored, stage: &Stage) -> Result<(), Unplaced> {
        let failed = |error: io::Error| {
            let stop = Stop::new(Code::PartlyRestored, "it could not be put in its place").because(error);
            Unplaced::Failed(stop.remedy("mend what the cause names; then run the same command again"))
        };
        let noted = |event| self.note(event).map_err(Unplaced::Failed);
        // "Restored" is said of what a power cut does not take back.
        crate::durable::settle(stage.sync_point()).map_err(failed)?;
        let inode = stage.inode().map_err(failed)?;
        let what = What::Archive(restored.clone());
        noted(Event::Staged { at: Timestamp::now(), item, inode, what: what.clone() })?;
        match stage.place() {
            Ok(()) => {
                if let Err(error) = stage.remove_replaced(inode) {
                    let left = stage.path.display();
                    restored.said.push(format!("what it replaced could not be removed, and lies at {left}: {error}"));
                }
                let what = What::Archive(restored.clone());
                noted(Event::Restored { at: Timestamp::now(), item, what })?;
                stage.tidy().map_err(failed)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                stage.clear().map_err(failed)?;
                self.failed(item, "something lies in its place");
                Err(Unplaced::Occupied)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A guest is there, whole and judged.
    pub(super) fn guest_restored(&self, item: ItemId, guest: &RestoredGuest) -> Outcome<()> {
        self.note(Event::Restored { at: Timestamp::now(), item, what: What::Guest(guest.clone()) })
    }

    fn note(&self, event: Event) -> Outcome<()> {
        self.log.map_or(Ok(()), |log| log.note(event))
    }

    /// What cannot be kept here is found out by the next run, which looks.
    fn note_softly(&self, event: Event) {
        if let Err(stop) = self.note(event) {
            tracing::warn!(why = %stop.in_one_line(), "the journal");
        }
    }
}
