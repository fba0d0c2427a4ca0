//! Step 8: restores what the plan has, guests first, and looks at each manifest once more after.

pub(crate) mod archives;
mod guests;

use pbs_driver::{Client, pve::Node};

use super::{
    install::Installed,
    plan::{Keyring, Plan},
    report::{Missing, Restored, RestoredGuest},
};
use crate::seat::Seat;

/// What came back and what did not. One failure does not stop the others.
#[derive(Default)]
pub(super) struct Done {
    pub(super) guests: Vec<RestoredGuest>,
    pub(super) archives: Vec<Restored>,
    pub(super) missing: Vec<Missing>,
}

/// Restores.
pub(super) fn run(
    client: &Client,
    keyring: &Keyring<'_>,
    node: Option<&Node>,
    installed: &Installed,
    plan: &Plan<'_>,
    seat: &mut dyn Seat,
) -> Done {
    let mut done = Done::default();
    if let Some(node) = node {
        let workshop = guests::Workshop { client, keyring, node, installed };
        for guest in &plan.guests {
            match workshop.restore(guest, seat) {
                Ok(guest) => done.guests.push(guest),
                Err(missing) => done.missing.push(missing),
            }
        }
    }
    let (archives, missing) = archives::run(client, keyring, plan, seat);
    done.archives = archives;
    done.missing.extend(missing);
    done
}
