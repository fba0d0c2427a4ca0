//! After the restore: what came back is held against what was signed, and started for a moment if that
//! was asked for.
//!
//! A guest that is not as it should be is not taken away again: it is there, and to be looked at.

mod disks;
mod trial;

use std::time::Duration;

use pbs_driver::{Client, pve::Node};

use super::{
    plan::{GuestWork, Keyring, Plan},
    report::RestoredGuest,
};
use crate::{interrupt, seat::Seat};

/// What is looked with.
struct Look<'l> {
    node: &'l Node,
    client: &'l Client,
    keyring: &'l Keyring<'l>,
}

/// Looks at every guest that was restored, and starts each that is as it should be, if `patience` says how
/// long its answer is waited for.
pub(super) fn look(
    client: &Client,
    keyring: &Keyring<'_>,
    node: Option<&Node>,
    plan: &Plan<'_>,
    guests: &mut [RestoredGuest],
    patience: Option<Duration>,
    seat: &mut dyn Seat,
) {
    let Some(node) = node else { return };
    let look = Look { node, client, keyring };
    for guest in guests {
        let is_it = |work: &&GuestWork<'_>| work.vmid == guest.vmid;
        // What is of no plan of this run was looked at by the run that restored it.
        let Some(work) = plan.guests.iter().find(is_it) else { continue };
        guest.differences = look.differences(work, &guest.config);
        let Some(patience) = patience else { continue };
        if guest.differences.is_empty() && !interrupt::is_ending() {
            guest.trial = Some(look.trial(work, patience, seat));
        }
    }
}
