//! A thing of the plan that would replace something, or that nobody vouches for, and waits for an operator's
//! order.

use pbs_driver::Client;

use super::{Permit, Wish, desk::Asked};
use crate::{
    recover::{
        install::OtherKey,
        plan::{GuestWork, Keyring, Plan, UnprovenWork, Work},
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

/// What is done once it is ordered.
pub(crate) enum Thing<'a> {
    Guest(Box<GuestWork<'a>>),
    /// One archive.
    Archive(Box<Work<'a>>),
    /// A key file that holds another key, and the guests that its storage is needed for.
    Key(Box<OtherKey>, Vec<GuestWork<'a>>),
    /// Archives of what does not prove itself.
    Unproven(Box<UnprovenWork<'a>>),
}

impl<'a> Waiting<'a> {
    /// Of what nobody has been asked for yet.
    pub(crate) fn new(what: String, why: String, wish: Wish, thing: Thing<'a>) -> Self {
        Self { what: harmless(&what, 200), why: harmless(&why, 400), wish, thing, asked: Err(NOT_HERE.to_owned()) }
    }

    /// The guests that wait for it.
    pub(crate) fn guests(&self) -> &[GuestWork<'a>] {
        match &self.thing {
            Thing::Guest(work) => std::slice::from_ref(&**work),
            Thing::Key(_, guests) => guests,
            Thing::Archive(_) | Thing::Unproven(_) => &[],
        }
    }

    /// The key file that waits, if it is one.
    pub(crate) fn key(&self) -> Option<&OtherKey> {
        match &self.thing {
            Thing::Key(other, _) => Some(&**other),
            Thing::Guest(_) | Thing::Archive(_) | Thing::Unproven(_) => None,
        }
    }

    /// Puts it into a plan, as ordered.
    pub(crate) fn ordered(self, permit: Permit, (client, keyring): (&Client, &Keyring<'_>), plan: &mut Plan<'a>) {
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
            Thing::Key(other, guests) => {
                plan.keys.push((*other, permit));
                plan.guests.extend(guests);
            }
            Thing::Unproven(work) => match work.ordered(client, keyring, permit) {
                Ok(work) => plan.work.push(work),
                // What was ordered is not what is there: nobody has ordered that.
                Err(why) => plan.missing.push(Missing {
                    what: self.what,
                    why: harmless(&why, 400),
                    remedy:
                        "see that the backup server answers and who writes to it; then run the same command again, \
                             which asks for another order"
                            .to_owned(),
                    waits_for_order: false,
                }),
            },
        }
    }

    /// As it stands in plan and report for as long as it waits.
    pub(crate) fn missing(&self) -> Vec<Missing> {
        let otherwise = match self.thing {
            Thing::Guest(_) | Thing::Archive(_) => {
                "move aside what is in the way, or have the operator's directive give another number or place"
            }
            Thing::Key(..) => "move the key that is there aside, if you know that nothing needs it",
            Thing::Unproven(_) => "look for another copy of the backup, which proves itself",
        };
        let (why, remedy) = match &self.asked {
            Ok(Asked { code, file, .. }) => (
                format!("{}; it waits for the order {code}", self.why),
                format!(
                    "compare the code {code} with the operator, who signs it (`tenwords order sign {code}`); without a \
                     hub bring him {}, and back what he signs (--order FILE). Then run the same command again. Or \
                     {otherwise}",
                    file.display()
                ),
            ),
            Err(why) => (format!("{}; {why}", self.why), format!("{otherwise}; then run the same command again")),
        };
        let waits_for_order = self.asked.is_ok();
        let held = match &self.thing {
            Thing::Key(_, guests) => guests.as_slice(),
            Thing::Guest(_) | Thing::Archive(_) | Thing::Unproven(_) => &[],
        };
        let held = held.iter().map(|work| Missing {
            what: format!("{} {} as {}", work.source.id, work.snapshot.snapshot(), work.target()),
            why: format!("its storage {} could not be put in place: {}", work.source.id, self.why),
            remedy: format!("it comes back when {} is settled: see there", self.what),
            waits_for_order,
        });
        let held: Vec<Missing> = held.collect();
        [Missing { what: self.what.clone(), why, remedy, waits_for_order }].into_iter().chain(held).collect()
    }
}

const NOT_HERE: &str = "nothing can be ordered in a rehearsal, or where a datastore's folder is read";
