//! Steps 3 and 4: the words, what they open, and the proof to the hub.
//!
//! Nothing is kept here but the claim's own state. Which version was opened decides everything after.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
};

use pbs_driver::Client;
use tenwords_escrow::{
    code::RecoveryCode,
    door::{self, AgePart},
    select::{MAX_TRIED, Opened, Selection, TryError},
};
use tenwords_protocol::{
    part::PartName,
    problem::ProblemCode,
    recovery::ProveReply,
    time::Timestamp,
    v1::V1,
    version::{Kind, StoredHeader},
    words::{Claim, Purpose},
};

use super::{claim::Claimed, plan};
use crate::{
    cli,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::HubError,
    openers::{ByClient, ByClientError},
    seat::Seat,
    settings::Configuration,
    tls,
};

/// How often the words may be typed wrong before the command ends.
const ATTEMPTS: usize = 3;
/// On how many of the newest codes' roots a slip is searched for: one is a minute's work.
const ROOTS_SEARCHED: usize = 2;

/// The headers that the words may need: the one that was named, or the newest until so many codes
/// are among them as are tried.
pub(super) fn versions_to_try(claimed: &Claimed, named: Option<NonZeroU64>) -> Outcome<Vec<StoredHeader>> {
    let box_id = claimed.identity.box_id;
    if let Some(number) = named {
        return Ok(claimed.hub.version(box_id, number)?.into_iter().collect());
    }
    let enough = |versions: &[StoredHeader]| {
        let facts = versions.iter().map(|stored| stored.header.facts());
        let codes: BTreeSet<_> =
            facts.filter(|facts| facts.kind == Kind::Ceremony).map(|facts| facts.code_id).collect();
        codes.len() > MAX_TRIED
    };
    Ok(claimed.hub.versions_until(box_id, enough)?)
}

/// An opened escrow, with what the client said of each key.
pub(super) type OpenedEscrow = Opened<ByClientError>;

/// Asks for the words, if they were not given, and opens with them.
pub(super) fn open(
    given: Option<RecoveryCode>,
    client: &Client,
    claimed: &Claimed,
    versions: &[StoredHeader],
    named: Option<NonZeroU64>,
    box_name: &str,
    seat: &mut dyn Seat,
) -> Outcome<(OpenedEscrow, RecoveryCode)> {
    let selection = Selection::choose(versions, named)
        .or_stop(Code::Preflight, || "there is nothing at the hub that ten words could open".to_owned())
        .map_err(|stop| {
            stop.remedy("ask the operator whether this is the right box, and what versions its hub keeps")
        })?;
    if selection.left_out() > 0 {
        seat.say(&format!(
            "  {} older codes are not tried unless a version is named (--version N)",
            selection.left_out()
        ));
    }
    // What the words were tried on, for the search for a slip.
    let roots = RefCell::new(BTreeMap::new());
    let try_once = |code: &RecoveryCode| {
        selection.try_words(claimed.identity.box_id, code, &ByClient(client), |number| {
            let stored = versions.iter().find(|stored| stored.number == number).ok_or(HubError::NotFound)?;
            let parts = claimed.hub.parts(claimed.identity.box_id, stored)?;
            if let Some(root) = parts.get(&PartName::Root).and_then(|root| door::check_root(root).ok()) {
                roots.borrow_mut().insert(number, root);
            }
            Ok(parts)
        })
    };
    if let Some(code) = given {
        let opened = try_once(&code).map_err(refused)?;
        return Ok(with_reading(opened, code));
    }
    let sentences = seat.sentences();
    let mut heading = (sentences.to_be_recovered)(box_name);
    let mut before = None;
    for attempt in 1..=ATTEMPTS {
        let code = match before.take() {
            None => seat.words(&heading)?,
            Some(refused) => {
                let newest: Vec<AgePart> = roots.take().into_values().rev().take(ROOTS_SEARCHED).collect();
                seat.words_again(&heading, refused, &newest)?
            }
        };
        seat.say(sentences.opening);
        match try_once(&code) {
            Ok(opened) => return Ok(with_reading(opened, code)),
            Err(TryError::NoneOpened(none)) if attempt < ATTEMPTS => {
                heading = format!("{none}.\n{}", sentences.look_again);
                seat.say(&heading);
                before = Some(code);
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Err(Stop::new(Code::Internal, "the words were not asked for"))
}

/// The code in the reading that opened: the closing ceremony goes under exactly that.
fn with_reading(mut opened: OpenedEscrow, typed: RecoveryCode) -> (OpenedEscrow, RecoveryCode) {
    let code = opened.other_reading.take().unwrap_or(typed);
    (opened, code)
}

fn refused(error: TryError<HubError>) -> Stop {
    match error {
        TryError::Fetch { number, source } => {
            let stop = Stop::from(source);
            Stop::new(stop.code, format!("version {number} cannot be fetched: {}", stop.what))
                .remedy(stop.remedy.unwrap_or_else(|| "run the same command again".into()))
        }
        TryError::NoneOpened(none) => {
            let older = match none.older_versions {
                0 => String::new(),
                n => format!("; {n} older versions were not tried, and the operator can name one (--version N)"),
            };
            let damaged = match none.refused.is_empty() {
                true => "",
                false => {
                    " If the sheet is the right one, tell the operator: what the hub keeps is not what this box stored."
                }
            };
            Stop::new(Code::WordsWrong, none.to_string()).remedy(format!(
                "take the sheet with the right code number and date, and run the same command again{older}. Nothing was changed.{damaged}"
            ))
        }
        TryError::Refused { number, source } => Stop::new(
            Code::GateRefused,
            format!("the words open version {number}, and what the hub keeps beside it is not what was stored"),
        )
        .remedy("nothing was installed; tell the operator. An older version can be named with --version N")
        .because(source),
        other => Stop::new(Code::Internal, other.to_string()),
    }
}

/// What is to be known of how it was opened.
pub(super) fn notes_of_opening(opened: &OpenedEscrow, versions: &[StoredHeader]) -> Vec<String> {
    let mut notes = Vec::new();
    for (key, error) in opened.escrow.not_by_client() {
        let why = if error.is_the_clients_own() { "could not be driven" } else { "did not open the copy" };
        notes.push(format!(
            "key {}: proxmox-backup-client {why} ({}); our own reading opened it, and it passed the same gate",
            key.short(),
            plan::chain(error)
        ));
    }
    let root_sha256 = opened.escrow.root_sha256();
    let updates = versions
        .iter()
        .filter(|stored| stored.header.facts().kind == Kind::Update && stored.header.facts().root_sha256 == root_sha256)
        .count();
    if updates > 0 {
        notes.push(format!(
            "{updates} updates lie on this ceremony, which this agent does not read yet: keys and tokens in them are missing here"
        ));
    }
    notes
}

/// Whether the escrow's date fits, as the person sees it.
pub(super) fn confirm(args: &cli::Recover, fresh: &str, seat: &mut dyn Seat) -> Outcome<()> {
    if args.yes {
        return Ok(());
    }
    seat.is_taken().map_err(|stop| stop.remedy("without a terminal, say --yes if the date fits"))?;
    seat.say(&format!("\nThis is the {fresh}."));
    seat.say("A hub that hides newer versions would show an older date and number here.");
    if seat.confirm("Does this fit?")? {
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
