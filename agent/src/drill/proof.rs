//! The drill's proof: signed by the words key over a nonce of the hub, so that only somebody who has the
//! words now can have made it.

use std::num::NonZeroU64;

use tenwords_escrow::root::Root;
use tenwords_protocol::{
    bounded::{List, Text},
    drill::{self, DrillRequest, DrilledArchive},
    time::Timestamp,
    v1::V1,
    words::{Claim, Purpose},
};

use crate::{
    exit::{Code, Outcome, Stop},
    hub::Hub,
    identity::Identity,
    recover::{preflight, report::Phase},
    tls,
};

/// Has the hub write a drill down; tells when, by its clock.
pub(super) fn send(
    hub: &Hub,
    identity: &Identity,
    root: &Root,
    version: NonZeroU64,
    phases: &[Phase],
    archive: Option<DrilledArchive>,
) -> Outcome<Timestamp> {
    let spki_sha256 = tls::spki_sha256(&identity.certificate.0)
        .ok_or_else(|| Stop::new(Code::Internal, "this node's certificate cannot be read: enrol again"))?;
    let reply = hub.drill_nonce(identity.box_id)?;
    preflight::clock(reply.hub_time).into_outcome("for the proof")?;
    let claim = Claim {
        purpose: if archive.is_some() { Purpose::DrillArchive } else { Purpose::DrillWords },
        box_id: identity.box_id,
        version,
        nonce: reply.nonce,
        time: Timestamp::now(),
        spki_sha256,
    };
    let proof = root.facts().words_key.sign_proof(&claim);
    let phases = phases.iter().map(|phase| drill::Phase {
        name: Text::cut(phase.name),
        milliseconds: u64::try_from(phase.milliseconds).unwrap_or(u64::MAX),
    });
    let (phases, _) = List::cut(phases);
    Ok(hub.drill(identity.box_id, &DrillRequest { v: V1, proof, phases, archive })?.recorded_at)
}
