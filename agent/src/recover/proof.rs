//! Step 4: whether what was opened is fresh, and the proof to the hub.

use tenwords_protocol::{
    problem::ProblemCode,
    recovery::ProveReply,
    time::Timestamp,
    v1::V1,
    words::{Claim, Purpose},
};

use super::claim::Claimed;
use crate::{
    cli,
    exit::{Code, Outcome, Stop},
    hub::HubError,
    opening::OpenedEscrow,
    seat::Seat,
    settings::Configuration,
    tls,
};

/// Whether the escrow's date fits, as the person sees it.
pub(super) fn confirm(args: &cli::Recover, seat: &mut dyn Seat) -> Outcome<()> {
    if args.yes {
        return Ok(());
    }
    seat.is_taken().map_err(|stop| stop.remedy("without a terminal, say --yes if the date fits"))?;
    seat.say(seat.talk().older_would_show);
    if seat.decide(seat.talk().does_it_fit)? {
        return Ok(());
    }
    Err(Stop::new(Code::GateRefused, "the escrow's date does not fit, you said; nothing was installed")
        .remedy("ask the operator for the other versions, and name one with --version N"))
}

/// Shows the hub that somebody has the words.
pub(super) fn prove(configuration: &Configuration, claimed: &mut Claimed, opened: &OpenedEscrow) -> Outcome<()> {
    if claimed.is_proven() {
        return Ok(());
    }
    let claim = Claim {
        purpose: Purpose::Recover,
        box_id: claimed.identity.box_id,
        version: opened.number,
        nonce: claimed.reply().nonce,
        time: Timestamp::now(),
        spki_sha256: claimed.spki_sha256,
    };
    let proof = opened.escrow.root().facts().words_key.sign_proof(&claim);
    let rehearsal = claimed.reply().rehearsal;
    let reply = match claimed.hub.prove(&proof) {
        Ok(reply) => reply,
        // An earlier run of a rehearsal has used the nonce, and its answer was lost: it is recorded.
        Err(HubError::Refused(problem))
            if claimed.is_again() && rehearsal && problem.code == ProblemCode::ProofRefused =>
        {
            ProveReply { v: V1, is_box: false, revoked: 0, certificate: None }
        }
        Err(error) => return Err(error.into()),
    };
    // Only what was asked for is taken: in earnest the box's certificate for our key, else nothing.
    match (rehearsal, reply.is_box, reply.certificate) {
        (true, false, None) => claimed.proven(configuration, None),
        (false, true, Some(certificate)) if tls::spki_sha256(&certificate.0) == Some(claimed.spki_sha256) => {
            claimed.proven(configuration, Some(certificate))
        }
        _ => Err(Stop::new(Code::GateRefused, "the hub's answer to the proof is not the one that was due")
            .remedy("nothing was installed; tell the operator, then run the same command again")),
    }
}
