//! A thing of the plan that would replace something, and waits for an operator's order.

use super::{Permit, Wish, desk::Asked};
use crate::{
    recover::{
        plan::{GuestWork, Plan, Work},
        report::Missing,
    },
    show::harmless,
};

/// One of them.
pub(crate) struct Waiting<'a> {
    /// As it stands in plan and report.
    pub(crate) what: String,
    /// What is in the way, or what is wrong with it.
    pub(crate) why: String,
    pub(crate) wish: Wish,
    pub(crate) thing: Thing<'a>,
    /// The order that is asked for it, or why none can be.
    pub(crate) asked: Result<Asked, String>,
}

/// What is restored once it is ordered.
pub(crate) enum Thing<'a> {
    Guest(Box<GuestWork<'a>>),
    /// One archive.
    Archive(Box<Work<'a>>),
}

impl<'a> Waiting<'a> {
    /// Of what nobody has been asked for yet.
    pub(crate) fn new(what: String, why: String, wish: Wish, thing: Thing<'a>) -> Self {
        Self { what: harmless(&what, 200), why: harmless(&why, 400), wish, thing, asked: Err(NOT_HERE.to_owned()) }
    }

    /// The guest that it becomes, if it is one.
    pub(crate) fn guest(&self) -> Option<&GuestWork<'a>> {
        match &self.thing {
            Thing::Guest(work) => Some(&**work),
            Thing::Archive(_) => None,
        }
    }

    /// Puts it into a plan, as ordered.
    pub(crate) fn ordered(self, permit: Permit, plan: &mut Plan<'a>) {
        match self.thing {
            Thing::Guest(mut work) => {
                work.over = Some(permit);
                plan.guests.push(*work);
            }
            Thing::Archive(mut work) => {
                if let Some(piece) = work.archives.first_mut() {
                    piece.over = Some(permit);
                }
                plan.work.push(*work);
            }
        }
    }

    /// As it stands in plan and report for as long as it waits.
    pub(crate) fn missing(&self) -> Missing {
        let (why, remedy) = match &self.asked {
            Ok(Asked { code, file, .. }) => (
                format!("{}; it waits for the order {code}", self.why),
                format!(
                    "compare the code {code} with the operator, who signs it (`tenwords order sign {code}`); without a \
                     hub bring him {}, and back what he signs (--order FILE). Then run the same command again. Or move \
                     aside what is in the way",
                    file.display()
                ),
            ),
            Err(why) => (
                format!("{}; {why}", self.why),
                "move aside what is in the way, or have the operator's directive give another number or place; then run \
                 the same command again"
                    .to_owned(),
            ),
        };
        Missing { what: self.what.clone(), why, remedy, waits_for_order: self.asked.is_ok() }
    }
}

const NOT_HERE: &str = "nothing can be ordered in a rehearsal, or where a datastore's folder is read";
