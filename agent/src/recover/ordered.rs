//! What waits for orders, from the plan to its end: asked for, taken up when it is ordered, done like
//! anything else.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tenwords_protocol::{orders::OutcomeKind, time::Timestamp};

use super::{
    course::{Event, ItemId, Standing},
    install::{self, Replacing},
    journal::Journal,
    orders::{Desk, Inbox, Permit, Thing, Waiting},
    plan::{Document, Earlier, Plan},
    preflight,
    report::Missing,
    work::{Manner, Outcomes, Work},
};
use crate::{
    exit::{Code, Outcome, Stop},
    interrupt,
    seat::Seat,
};

impl<'w> Work<'w> {
    /// Has the keys that stand in the place of ours wait for an order, with the guests whose storage they hold up.
    pub(super) fn look_at_keys(&self, plan: &mut Plan<'w>) {
        if self.manner != Manner::Earnest {
            return;
        }
        for other in self.sources().other_keys() {
            let (held, free) = std::mem::take(&mut plan.guests)
                .into_iter()
                .partition(|work| work.source.id == other.source && !work.needs_another_key());
            plan.guests = free;
            let (what, why, wish) = (other.what(), other.why(), other.wish(self.configuration));
            plan.waiting.push(Waiting::new(what, why, wish, Thing::Key(Box::new(other), held)));
        }
    }

    /// What is put in place, and from what.
    pub(super) fn sources(&self) -> install::Of<'_> {
        let Self { configuration, node, root, keys, tokens, .. } = *self;
        install::Of { configuration, node, root, keys, tokens }
    }

    /// Which keys may be replaced: as far as `plan` has orders for it.
    pub(super) fn replacing<'p>(&'p self, plan: &'p Plan<'_>, waiting: &[Waiting<'_>]) -> Replacing<'p> {
        let waits = waiting.iter().filter_map(Waiting::key).cloned().collect();
        Replacing::by(self.configuration, self.log, &plan.keys, waits)
    }

    /// Asks for an order for everything that would replace something.
    pub(super) fn ask(&self, plan: &mut Plan<'w>, seat: &mut dyn Seat) -> Outcome<()> {
        let Some(desk) = self.desk else { return Ok(()) };
        let mut wanted = desk.asked_elsewhere();
        for waiting in &mut plan.waiting {
            waiting.asked = match desk.cannot_order() {
                Some(why) => Err(why),
                None => {
                    let asked = desk.ask(&waiting.wish, seat)?;
                    wanted.insert(asked.challenge);
                    Ok(asked)
                }
            };
        }
        desk.withdraw_all_but(&wanted, "what it named is not there any more, or is another thing now")
    }

    /// Moves into the plan what was ordered already.
    pub(super) fn take_ordered(&self, plan: &mut Plan<'w>, inbox: &mut Inbox, seat: &mut dyn Seat) -> Outcome<()> {
        let Some(desk) = self.desk else { return Ok(()) };
        desk.look(inbox, Duration::ZERO, seat)?;
        let (ordered, left) = matched(std::mem::take(&mut plan.waiting), desk);
        plan.waiting = left;
        for (waiting, permit) in ordered {
            waiting.ordered(permit, (self.client, self.keyring), plan);
        }
        Ok(())
    }

    /// Waits for orders once everything else is done, and does what is ordered.
    pub(super) fn await_orders(
        &self,
        outcomes: &mut Outcomes<'w>,
        inbox: &mut Inbox,
        asks: bool,
        seat: &mut dyn Seat,
    ) -> Outcome<()> {
        let Some(desk) = self.desk else { return Ok(()) };
        let until = Instant::now() + self.args.patience_for_orders();
        let is_waiting = |waiting: &Waiting<'_>| waiting.asked.is_ok();
        let mut told = false;
        while outcomes.waiting.iter().any(is_waiting) && Instant::now() < until && !interrupt::is_ending() {
            if !told {
                seat.say(&format!(
                    "Everything else is done. {} things wait for an operator's order; Ctrl-C ends, and the same command \
                     goes on later.",
                    outcomes.waiting.iter().filter(|waiting| is_waiting(waiting)).count()
                ));
                told = true;
            }
            if !desk.wait_where_one_comes(inbox, (until, asks), seat)? {
                break;
            }
            self.perform_ordered(desk, outcomes, seat)?;
        }
        Ok(())
    }

    fn perform_ordered(&self, desk: &Desk<'_>, outcomes: &mut Outcomes<'w>, seat: &mut dyn Seat) -> Outcome<()> {
        let (ordered, left) = matched(std::mem::take(&mut outcomes.waiting), desk);
        outcomes.waiting = left;
        if ordered.is_empty() {
            return Ok(());
        }
        let (mut plan, mut whats) = (Plan::default(), Vec::new());
        for (waiting, permit) in ordered {
            whats.extend(waiting.missing().into_iter().map(|missing| missing.what));
            waiting.ordered(permit, (self.client, self.keyring), &mut plan);
        }
        outcomes.missing.append(&mut plan.missing);
        let document = self.document()?.ok_or_else(|| Stop::new(Code::Internal, "the plan is gone"))?;
        self.log.tell(|course| Earlier::of(Some(document.clone()), course)).number(&mut plan);
        let document = document.with(&plan, &whats);
        let (lacking, of_room) =
            preflight::room(&plan, self.node, self.client.private(), self.into, self.args.overcommit);
        if let Err(stop) = lacking.into_outcome("before what was ordered is restored") {
            // The order is not used up: it counts for the next run, once there is room.
            outcomes
                .missing
                .extend(whats.into_iter().map(|what| Missing::of(what, Stop::new(stop.code, stop.in_one_line()))));
            return Ok(());
        }
        outcomes.notes.extend(of_room);
        let items = document.items.iter().map(|row| row.item).collect();
        let folder = Journal::folder(self.configuration);
        let plan_sha256 = document.keep(&folder)?;
        self.log.note(Event::Planned { at: Timestamp::now(), plan_sha256, items })?;
        Document::counts(&folder)?;
        if !plan.keys.is_empty() {
            let only = plan.keys.iter().map(|(other, _)| other.source.clone()).collect();
            let mut later = self.sources().put(Some(&only), &self.replacing(&plan, &outcomes.waiting));
            outcomes.missing.append(&mut later.missing);
            outcomes.notes.append(&mut later.notes);
            outcomes.installed.add(later);
        }
        outcomes.installed.add(self.put_scratch(plan.guests.iter()));
        self.restore(&plan, outcomes, seat);
        outcomes.missing.append(&mut outcomes.installed.missing);
        outcomes.missing.extend(self.take_scratch_away().err());
        outcomes.installed.forget_scratch();
        outcomes.run.tried.extend(items_of(&plan));
        self.tell_what_came_of(&plan, outcomes);
        outcomes.run.is_missing_something = !outcomes.missing.is_empty() || !outcomes.waiting.is_empty();
        Ok(())
    }

    /// To whoever has ordered it. What was not used goes on counting, and nothing is said of it.
    pub(super) fn tell_what_came_of(&self, plan: &Plan<'_>, outcomes: &Outcomes<'_>) {
        let Some(desk) = self.desk else { return };
        let tell = |permit: &Permit, outcome, said| {
            if permit.is_redeemed() {
                desk.tell(permit.text_sha256(), outcome, said);
            }
        };
        let is_back = |item| self.log.tell(|course| matches!(course.standing(item), Standing::Restored(_)));
        for (other, permit) in &plan.keys {
            let (outcome, said) = match outcomes.installed.keys.contains_key(&other.source) {
                true => (OutcomeKind::Done, "the escrow's key is in its place; what was there is kept on the box"),
                false => (OutcomeKind::Failed, "the key was not replaced; the box's report says why"),
            };
            tell(permit, outcome, said);
        }
        for work in &plan.work {
            let Some(ordered) = work.snapshot.ordered() else { continue };
            let (outcome, said) = match work.archives.iter().all(|piece| is_back(piece.id)) {
                true => (OutcomeKind::Done, "it was restored into a folder of its own"),
                false => (OutcomeKind::Failed, "not all of it came back; the box's report says why"),
            };
            tell(ordered.permit(), outcome, said);
        }
        let guests = plan.guests.iter().filter_map(|work| Some((work.id, work.over.as_ref()?)));
        let pieces = plan.work.iter().flat_map(|work| &work.archives);
        for (item, permit) in guests.chain(pieces.filter_map(|piece| Some((piece.id, piece.over.as_ref()?)))) {
            let (outcome, said) = match is_back(item) {
                true => (OutcomeKind::Done, "it was restored in the place of what the order named"),
                false => (OutcomeKind::Failed, "it did not come back; the box's report says why"),
            };
            tell(permit, outcome, said);
        }
    }
}

/// What was ordered, with its permit; and what still waits.
fn matched<'a>(waiting: Vec<Waiting<'a>>, desk: &Desk<'_>) -> (Vec<(Waiting<'a>, Permit)>, Vec<Waiting<'a>>) {
    let (mut ordered, mut left) = (Vec::new(), Vec::new());
    for waiting in waiting {
        let challenge = waiting.asked.as_ref().ok().map(|asked| asked.challenge);
        match challenge.and_then(|challenge| desk.permit(challenge)) {
            Some(permit) if permit.order().act == waiting.wish.act => ordered.push((waiting, permit)),
            _ => left.push(waiting),
        }
    }
    (ordered, left)
}

fn items_of(plan: &Plan<'_>) -> BTreeSet<ItemId> {
    let pieces = plan.work.iter().flat_map(|work| &work.archives).map(|piece| piece.id);
    plan.guests.iter().map(|work| work.id).chain(pieces).collect()
}
