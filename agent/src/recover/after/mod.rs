//! After the restore: what came back is held against what was signed, and started for a moment if that
//! was asked for.
//!
//! A guest that is not as it should be is not taken away again: it is there, and to be looked at.

mod disks;
mod trial;

use std::{path::Path, time::Duration};

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

/// What of a guest that was restored is not as it was backed up.
pub(super) fn differences(
    node: &Node,
    client: &Client,
    keyring: &Keyring<'_>,
    work: &GuestWork<'_>,
    config: &Path,
) -> Vec<String> {
    Look { node, client, keyring }.differences(work, config)
}

/// Starts every guest that this run has restored and that is as it should be, if `patience` says how long
/// its answer is waited for.
pub(super) fn look(
    client: &Client,
    keyring: &Keyring<'_>,
    node: Option<&Node>,
    plan: &Plan<'_>,
    guests: &mut [RestoredGuest],
    patience: Option<Duration>,
    seat: &mut dyn Seat,
) {
    let (Some(node), Some(patience)) = (node, patience) else { return };
    let look = Look { node, client, keyring };
    for guest in guests.iter_mut().filter(|guest| guest.differences.is_empty()) {
        let is_it = |work: &&GuestWork<'_>| work.vmid == guest.vmid;
        // One that an earlier run has restored may be in use already.
        let Some(work) = plan.guests.iter().find(is_it) else { continue };
        if !interrupt::is_ending() {
            guest.trial = Some(look.trial(work, patience, seat));
        }
    }
}
