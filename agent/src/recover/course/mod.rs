//! What to do next in a recovery, given what has happened: a small machine without I/O.
//!
//! Its state is what the journal says ([`Event`]s, applied one by one) and what the present run has done
//! of the things that every run does anew ([`Run`]). Out comes one [`Effect`] at a time, for the shell
//! (`recover/mod.rs`, `recover/restore/`) to perform; what comes of it goes in as the next event. Times
//! and ids come with the events.
//!
//! The promises that a crash must not break are kept here: nothing that was restored is restored
//! again, "started" is never taken for "done", what was left unfinished is cleared, or found to be
//! somebody else's, before its item is begun again, the closing ceremony is held once, and an order lets
//! happen once what it names ([`orders`]).

mod event;
mod orders;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use tenwords_protocol::{hash::Sha256, order::Op};
use thiserror::Error;

pub(crate) use self::{
    event::{Begun, Event, ItemId, Mark, What},
    orders::{Open, Orders},
};

/// A recovery, as far as it has come.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Course {
    begun: Option<Begun>,
    proven: bool,
    /// The items of the newest plan, in its order.
    plan: Vec<ItemId>,
    planned: Option<Sha256>,
    items: BTreeMap<ItemId, Standing>,
    /// How each was begun, last.
    marks: BTreeMap<ItemId, Mark>,
    orders: Orders,
    installed: bool,
    closed: bool,
    ended: bool,
}

/// How an item stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was begun, and nothing tells how that ended.
    Started(Mark),
    /// It is whole at its stage, or in its place already.
    Staged { mark: Mark, inode: u64, what: Box<What> },
    /// It failed and left something behind.
    Left { mark: Mark, config_sha256: Sha256 },
    /// It is there.
    Restored(Box<What>),
    /// Nothing of it is there.
    Open,
}

/// What the present run has done so far of what every run does anew.
#[derive(Debug, Default, Clone)]
pub(crate) struct Run {
    pub(crate) planned: bool,
    pub(crate) installed: bool,
    /// Unfinished items that were looked at.
    pub(crate) looked_at: BTreeSet<ItemId>,
    /// Items that were tried.
    pub(crate) tried: BTreeSet<ItemId>,
    pub(crate) closing_tried: bool,
    /// Somebody asked to end: nothing new is begun.
    pub(crate) is_ending: bool,
    /// Whether anything of the plan, or around it, is missing.
    pub(crate) is_missing_something: bool,
    /// No ceremony is held: a rehearsal, or a datastore's folder.
    pub(crate) is_reading: bool,
    /// Nothing at all is put in place, not even for the time of the restore.
    pub(crate) puts_nothing: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Take away, or finish, what an earlier run has left of this item, if it carries the mark.
    Settle(ItemId),
    /// Plan what is not done, and keep the plan.
    Plan,
    /// Put sources, keys and tokens in place.
    Install,
    /// Restore these, in this order.
    Restore(Vec<ItemId>),
    /// Hold the closing ceremony.
    Close,
    /// Everything is back: record it.
    End,
    /// Nothing is left to do for this run.
    Report,
}

/// An event that cannot follow what has happened: the journal is not one of ours, or the shell is wrong.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{event} cannot follow {what}")]
pub(crate) struct Impossible {
    event: &'static str,
    what: &'static str,
}

impl Course {
    /// What the journal's events come to.
    pub(crate) fn of(events: impl IntoIterator<Item = Event>) -> Result<Self, Impossible> {
        let mut course = Self::default();
        for event in events {
            course.apply(event)?;
        }
        Ok(course)
    }

    /// The escrow that it goes by, once the words have opened one.
    pub(crate) fn begun(&self) -> Option<&Begun> {
        self.begun.as_ref()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    pub(crate) fn is_installed(&self) -> bool {
        self.installed
    }

    /// The hash of the plan that is kept.
    pub(crate) fn plan_sha256(&self) -> Option<Sha256> {
        self.planned
    }

    /// Every item that was ever begun, and those of the newest plan.
    pub(crate) fn standing(&self, item: ItemId) -> &Standing {
        self.items.get(&item).unwrap_or(&Standing::Open)
    }

    /// The orders that were asked for.
    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// What was restored, by any run.
    pub(crate) fn restored(&self) -> impl Iterator<Item = (ItemId, &What)> {
        self.items.iter().filter_map(|(item, standing)| match standing {
            Standing::Restored(what) => Some((*item, &**what)),
            _ => None,
        })
    }

    /// How an item was begun, whatever has become of it.
    pub(crate) fn mark(&self, item: ItemId) -> Option<&Mark> {
        self.marks.get(&item)
    }

    /// What was begun and did not come to its end.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = (ItemId, &Standing)> {
        self.items
            .iter()
            .filter(|(_, standing)| !matches!(standing, Standing::Restored(_) | Standing::Open))
            .map(|(item, standing)| (*item, standing))
    }

    /// A number that no item has had.
    pub(crate) fn next_item(&self) -> ItemId {
        let last = self.items.keys().chain(&self.plan).max();
        ItemId(last.map_or(1, |last| last.0.saturating_add(1)))
    }

    /// What to do next.
    pub(crate) fn next(&self, run: &Run) -> Effect {
        if run.is_ending || self.ended {
            return Effect::Report;
        }
        // What this run itself has left is for a person to see first, and for the next run.
        let is_earlier = |item: &ItemId| !run.looked_at.contains(item) && !run.tried.contains(item);
        if let Some((item, _)) = self.unfinished().find(|(item, _)| is_earlier(item)) {
            return Effect::Settle(item);
        }
        if !run.planned {
            return Effect::Plan;
        }
        if !run.installed && !run.puts_nothing {
            return Effect::Install;
        }
        let open = self.plan.iter().copied();
        let open: Vec<ItemId> =
            open.filter(|item| *self.standing(*item) == Standing::Open && !run.tried.contains(item)).collect();
        if !open.is_empty() {
            return Effect::Restore(open);
        }
        if !self.closed && !run.closing_tried && !run.is_reading {
            return Effect::Close;
        }
        let all = self.plan.iter().all(|item| matches!(self.standing(*item), Standing::Restored(_)));
        if all && !run.is_missing_something && (self.closed || run.is_reading) && self.unfinished().next().is_none() {
            return Effect::End;
        }
        Effect::Report
    }

    /// Whether this event can follow.
    pub(crate) fn check(&self, event: &Event) -> Result<(), Impossible> {
        let no = |what| Err(Impossible { event: event.step(), what });
        if self.ended {
            return no("the end");
        }
        let begun = match (event, &self.begun) {
            (Event::Begun(_), Some(_)) => return no("a recovery that has begun"),
            (Event::Begun(_), None) => return Ok(()),
            (_, None) => return no("nothing"),
            (_, Some(begun)) => begun,
        };
        if let Some(why) = self.orders.hindrance(event, begun) {
            return no(why);
        }
        let of = |item: &ItemId| self.standing(*item);
        match event {
            Event::Started { item, mark, .. } => match of(item) {
                Standing::Open if self.plan.contains(item) => {
                    let in_use = self.unfinished().any(|(_, standing)| standing.mark().is_some_and(|m| m.meets(mark)));
                    if in_use { no("an unfinished item in the same place") } else { Ok(()) }
                }
                Standing::Open => no("a plan without this item"),
                Standing::Restored(_) => no("an item that is restored"),
                _ => no("an unfinished item"),
            },
            Event::Staged { item, .. } => match of(item) {
                Standing::Started(Mark::Stage { .. }) => Ok(()),
                _ => no("an item that was not begun at a stage"),
            },
            Event::Left { item, .. } => match of(item) {
                Standing::Started(Mark::Guest { .. }) => Ok(()),
                _ => no("a guest that was not begun"),
            },
            Event::Restored { item, .. } => match of(item) {
                Standing::Staged { .. } | Standing::Started(Mark::Guest { .. }) => Ok(()),
                _ => no("an item that was not begun"),
            },
            Event::Failed { item, .. } | Event::Cleared { item, .. } | Event::NotOurs { item, .. } => match of(item) {
                Standing::Open | Standing::Restored(_) => no("an item that was not begun"),
                _ => Ok(()),
            },
            Event::Closing { .. } | Event::Closed { .. } if self.closed => no("the closing ceremony"),
            _ => Ok(()),
        }
    }

    /// Takes in an event.
    pub(crate) fn apply(&mut self, event: Event) -> Result<(), Impossible> {
        self.check(&event)?;
        match event {
            Event::Begun(begun) => self.begun = Some(begun),
            Event::Proven { .. } => self.proven = true,
            Event::Planned { plan_sha256, items, .. } => {
                self.plan = items;
                self.planned = Some(plan_sha256);
            }
            Event::Installed { .. } => self.installed = true,
            Event::Removed { .. } => self.installed = false,
            Event::Started { item, mark, .. } => {
                self.marks.insert(item, mark.clone());
                self.set(item, Standing::Started(mark));
            }
            Event::Staged { item, inode, what, .. } => {
                if let Some(mark) = self.items.get(&item).and_then(Standing::mark).cloned() {
                    self.set(item, Standing::Staged { mark, inode, what: Box::new(what) });
                }
            }
            Event::Left { item, config_sha256, .. } => {
                if let Some(mark) = self.items.get(&item).and_then(Standing::mark).cloned() {
                    self.set(item, Standing::Left { mark, config_sha256 });
                }
            }
            Event::Restored { item, what, .. } => self.set(item, Standing::Restored(Box::new(what))),
            Event::Failed { item, .. } | Event::Cleared { item, .. } | Event::NotOurs { item, .. } => {
                self.set(item, Standing::Open);
            }
            Event::OrderAsked { .. } | Event::OrderRefused { .. } | Event::OrderWithdrawn { .. } => {
                self.orders.apply(event);
            }
            Event::OrderUsed { challenge, .. } => {
                // Where data comes from is another place now: the escrow is to say so too.
                if self.orders.open(challenge).is_some_and(|open| open.order.op() == Op::Repoint) {
                    self.closed = false;
                }
                self.orders.apply(event);
            }
            Event::Closed { .. } => self.closed = true,
            Event::Ended { .. } => self.ended = true,
            Event::Resumed { .. } | Event::Installing { .. } | Event::Closing { .. } => {}
        }
        Ok(())
    }

    fn set(&mut self, item: ItemId, standing: Standing) {
        self.items.insert(item, standing);
    }
}

impl Standing {
    pub(crate) fn mark(&self) -> Option<&Mark> {
        match self {
            Self::Started(mark) | Self::Staged { mark, .. } | Self::Left { mark, .. } => Some(mark),
            Self::Restored(_) | Self::Open => None,
        }
    }
}

impl Mark {
    /// Whether both claim the same place.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Stage { target: one, .. }, Self::Stage { target: other, .. }) => one == other,
            (Self::Guest { vmid: one, .. }, Self::Guest { vmid: other, .. }) => one == other,
            _ => false,
        }
    }
}
