//! How this box stands by what it sees itself: the protocol's one function over its own facts and what the hub was
//! just heard to have. The hub judges by more, since it hears of every node and of every drill.

use std::num::NonZeroU64;

use tenwords_protocol::{
    readiness::{self, Ceremony, Facts, Node, Policy, Readiness, Reason, Said},
    time::Timestamp,
    version::StoredHeader,
};

use crate::{
    drill::Kept, enroll::node_name, record::Record, renew, report, settings::Configuration, show::harmless,
    standing::Standing, update,
};

/// The hub's newest ceremony of this box, and the highest number that it has.
pub(crate) type AtHub = (StoredHeader, NonZeroU64);

/// Judges. `at_hub` is absent if no hub knows this box, or none could be asked: then its own record counts.
pub(crate) fn judge(
    configuration: &Configuration,
    standing: &Standing,
    record: Option<&Record>,
    at_hub: Option<&AtHub>,
    now: Timestamp,
) -> Readiness {
    let identity = standing.identity();
    let seen = report::see(configuration, identity, now);
    let of = standing.facts();
    let ceremony = match (at_hub, record) {
        // When the hub stored it is by its clock, and when this box is heard by its own: they are not compared.
        (Some((stored, _)), _) => Some(Ceremony { received_at: None, ..Ceremony::of(stored) }),
        (None, Some(record)) => Some(Ceremony {
            number: record.number,
            root_sha256: record.root_sha256,
            keys: record.keys.clone(),
            received_at: None,
        }),
        (None, None) => None,
    };
    let held = seen.observed.as_ref().and_then(|observed| observed.escrow.as_ref());
    // Without the hub's word it is as far as this box knows: the ceremony, and every update that was acknowledged.
    let own = record.map(|record| {
        let updates = update::escrowed(configuration).map_or(0, |escrowed| escrowed.updates.len() as u64);
        record.number.saturating_add(updates)
    });
    let newest = at_hub.map(|(_, newest)| *newest).or(held.map(|held| held.newest).max(own));
    let certificate_ends = identity.and_then(|identity| renew::ends(&identity.certificate.0).ok());
    let node = Node {
        name: node_name(configuration),
        is_keeper: true,
        heard_at: Some(now),
        // A box that no hub knows has none that could end.
        certificate_ends: certificate_ends.unwrap_or_else(|| now.plus(Policy::default().certificate_left * 2)),
        alarms: seen.alarms,
    };
    let facts = Facts {
        enrolled_at: Some(now),
        ceremony: ceremony.as_ref(),
        newest,
        said: seen.observed.as_ref().map(|observed| Said { at: now, observed }),
        nodes: std::slice::from_ref(&node),
        drilled_at: record.map(|record| drilled_at(record, &Kept::load(configuration, of.id))),
        // Only the hub knows of what it has refused.
        trespassed_at: None,
        revoked_used_at: None,
    };
    readiness::judge(&facts, &Policy::default(), now)
}

/// The ceremony is the first time that the words were tried.
fn drilled_at(record: &Record, kept: &Kept) -> Timestamp {
    let drills = [kept.words.as_ref(), kept.archive.as_ref()].into_iter().flatten();
    let of_code = drills.filter(|drill| drill.code_number == record.code_number).map(|drill| drill.at);
    of_code.chain([record.made_at]).max().unwrap_or(record.made_at)
}

/// For a person.
pub(crate) fn lines(readiness: &Readiness) -> Vec<String> {
    let line = |reason: &Reason| reason.in_words(|text| harmless(text, 200));
    let mut lines = vec![format!("  readiness: {}", readiness.state)];
    for reason in readiness.reasons.iter() {
        lines.push(format!("  - {}", line(reason)));
        lines.push(format!("    what to do: {}", harmless(reason.remedy.as_str(), 400)));
    }
    lines.extend(readiness.notes.iter().map(|note| format!("  note: {}", line(note))));
    lines
}
