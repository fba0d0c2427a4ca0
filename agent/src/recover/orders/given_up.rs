//! The orders of a recovery that is given up: nobody waits for them any more.

use tenwords_protocol::{
    bounded::Text,
    hash::Sha256,
    orders::{OutcomeKind, OutcomeRequest},
    time::Timestamp,
    v1::V1,
};

use crate::{
    exit::Outcome,
    hub::HubError,
    identity::Identity,
    recover::{
        course::{Event, Open},
        log::Log,
    },
    settings::Configuration,
};

const WHY: &str = "the recovery was given up";

/// Closes their challenges, and says so at the hub; what could not be said is told.
pub(crate) fn withdraw(configuration: &Configuration, log: &Log) -> Outcome<Option<String>> {
    let open: Vec<Open> = log.tell(|course| course.orders().all_open().cloned().collect());
    for Open { order, .. } in &open {
        let (at, challenge) = (Timestamp::now(), order.challenge);
        log.note(Event::OrderWithdrawn { at, challenge, why: WHY.to_owned() })?;
    }
    let Some(identity) = Identity::load(configuration)?.filter(|_| !open.is_empty()) else { return Ok(None) };
    let hub = identity.connect(configuration)?;
    let request = OutcomeRequest { v: V1, outcome: OutcomeKind::Withdrawn, said: Text::cut(WHY) };
    let told: Result<(), HubError> =
        open.iter().try_for_each(|open| hub.outcome(identity.box_id, Sha256::of(&open.text), &request));
    Ok(told.err().map(|error| {
        format!("the hub could not be told that {} orders are not waited for any more: {error}", open.len())
    }))
}
