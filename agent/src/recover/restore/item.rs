//! What of a plan is restored by itself: one guest, or one archive.

use super::super::{
    course::ItemId,
    plan::{GuestWork, Piece, Plan, Work},
    report::{Missing, Restored, RestoredGuest},
    stage::Stage,
};

/// One thing of the plan, with its number in it: guests first, each thing counted from 1.
pub(crate) struct Item<'p> {
    pub(crate) number: usize,
    pub(crate) what: What<'p>,
}

/// What is restored.
pub(crate) enum What<'p> {
    Guest(&'p GuestWork<'p>),
    /// One archive of the plan's work with this index.
    Archive(usize, &'p Work<'p>, &'p Piece),
}

/// What came back. An archive counts only once its snapshot was looked at again.
pub(crate) enum Back {
    Guest(RestoredGuest),
    Archive(ItemId, Restored, Stage),
}

/// Everything of a plan, in its order.
pub(crate) fn items<'p>(plan: &'p Plan<'p>) -> Vec<Item<'p>> {
    let guests = plan.guests.iter().map(What::Guest);
    let archives = plan
        .work
        .iter()
        .enumerate()
        .flat_map(|(index, work)| work.archives.iter().map(move |piece| What::Archive(index, work, piece)));
    guests.chain(archives).zip(1..).map(|(what, number)| Item { number, what }).collect()
}

impl Item<'_> {
    /// As it stands beside its progress.
    pub(crate) fn name(&self) -> String {
        match &self.what {
            What::Guest(work) => work.snapshot.snapshot().group().to_string(),
            What::Archive(_, work, piece) => format!("{} {}", work.snapshot.snapshot().group(), piece.name),
        }
    }

    /// As it stands in the report.
    pub(crate) fn full_name(&self) -> String {
        match &self.what {
            What::Guest(work) => format!("{} {} as {}", work.source.id, work.snapshot.snapshot(), work.target()),
            What::Archive(_, work, piece) => format!("{} {} {}", work.source.id, work.snapshot.snapshot(), piece.name),
        }
    }

    /// As signed.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.what {
            What::Guest(work) => work.bytes(),
            What::Archive(_, _, piece) => piece.bytes,
        }
    }

    /// It was not begun when the command was told to end.
    pub(super) fn not_begun(&self) -> Missing {
        Missing {
            what: self.full_name(),
            why: "interrupted before it began".to_owned(),
            remedy: super::AGAIN.to_owned(),
            waits_for_order: false,
        }
    }

    /// A guest, where there is nothing to make one with.
    pub(super) fn not_here(&self) -> Missing {
        Missing {
            what: self.full_name(),
            why: "there is no Proxmox VE on this machine".to_owned(),
            remedy: super::AGAIN.to_owned(),
            waits_for_order: false,
        }
    }

    /// This program itself broke down while it restored it.
    pub(super) fn broke_down(&self) -> Missing {
        Missing {
            what: self.full_name(),
            why: "this program broke down while it restored it, and says why on standard error".to_owned(),
            remedy: format!("{}: it takes away what is left of it; and have this error reported", super::AGAIN),
            waits_for_order: false,
        }
    }
}
