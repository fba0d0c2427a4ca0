//! `--start`: whether a guest comes up, cut off from every network, for as long as that takes to see.
//!
//! It is stopped again, and its network put back: what is started in earnest, and when, is decided by
//! somebody who knows that the original does not run any more.

use std::{ops::ControlFlow, time::Duration};

use pbs_driver::pve::start::{Answer, Request, Tried, start_for_a_moment};

use super::Look;
use crate::{
    interrupt,
    recover::{
        plan::GuestWork,
        report::{Trial, TrialState},
    },
    seat::{Moment, Overview, Seat},
    show::harmless,
};

impl Look<'_> {
    pub(super) fn trial(&self, work: &GuestWork<'_>, patience: Duration, seat: &mut dyn Seat) -> Trial {
        let (name, of) = (work.target(), patience.as_secs());
        let request =
            Request { node: self.node, private: self.client.private(), kind: work.kind, vmid: work.vmid, patience };
        seat.say(&format!("  {name}: started for a moment, cut off from every network"));
        let mut observe = |waited: Duration| {
            let bytes = waited.as_secs().min(of);
            let moment = Moment {
                number: 1,
                name: name.clone(),
                step: Some(WAITS.to_owned()),
                bytes,
                of,
                speed: None,
                left: None,
            };
            seat.progress(&Overview {
                since: waited,
                back: 0,
                missing: 0,
                count: 1,
                bytes,
                of,
                speed: None,
                left: None,
                running: vec![moment],
            });
            if interrupt::is_ending() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let Tried { answer, left } = start_for_a_moment(&request, &mut observe);
        seat.progress_ends();
        let (state, why) = match answer {
            Answer::Agent => (TrialState::Answered, None),
            Answer::NoAgent => (TrialState::NoAgent, None),
            Answer::Running => (TrialState::Running, None),
            Answer::NotStarted(why) => (TrialState::NotStarted, Some(harmless(&why, 400))),
        };
        Trial { state, why, left: left.iter().map(|command| harmless(command, 400)).collect() }
    }
}

const WAITS: &str = "waits for its answer";
