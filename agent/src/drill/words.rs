//! The words are typed and open the escrow, both ways; what they open is held beside the box as it is.

use serde::Serialize;
use tenwords_escrow::{
    code::RecoveryCode,
    root::{Root, Source},
};
use tenwords_protocol::fingerprint::Fingerprint;

use super::clock::Timed;
use crate::{
    added::Added,
    exit::{Code, Outcome, Stop},
    hub::Hub,
    language::Talk,
    opening::{self, Candidates, Holder, OpenedEscrow},
    record::{self, Record},
    seat::Seat as _,
    settings::Configuration,
    show::harmless,
    sources::{BoxSources, State},
    standing::BoxFacts,
};

/// Why this escrow does not bring the box back as it is now.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) remedy: String,
}

/// What the words opened.
pub(super) struct Opening {
    pub(super) opened: OpenedEscrow,
    /// What lies on it.
    pub(super) added: Added,
    /// Where it lay, for a person.
    pub(super) place: String,
    pub(super) notes: Vec<String>,
    /// The hub was to be asked and did not answer: what was opened is the box's own copy.
    pub(super) silent: Option<Stop>,
}

/// Asks for the words, unless they were given, and opens at the hub; of a box without one, or if it does
/// not answer, what the box has kept of itself.
pub(super) fn open(
    configuration: &Configuration,
    of: &BoxFacts,
    hub: Option<&Hub>,
    client: &pbs_driver::Client,
    given: Option<RecoveryCode>,
    seat: &mut Timed<'_>,
) -> Outcome<Opening> {
    let talk = seat.talk();
    let at_hub = hub.map(|hub| {
        let holder = Holder::Hub { hub, box_id: of.id };
        Candidates::of(holder, None).map(|candidates| (holder, candidates))
    });
    let (own, mut silent) = (std::cell::OnceCell::new(), None);
    let (holder, candidates) = match at_hub {
        Some(Ok(found)) => found,
        Some(Err(stop)) if stop.code != Code::Unreachable => return Err(stop),
        none => {
            silent = none.and_then(Result::err);
            // Without a copy of its own, that the hub does not answer is what is to be told.
            let kits = match (record::own_kits(configuration, of.id), silent.take()) {
                (Ok(kits), stop) => {
                    silent = stop;
                    kits
                }
                (Err(_), Some(stop)) => return Err(stop),
                (Err(stop), None) => return Err(stop),
            };
            if let Some(stop) = &silent {
                seat.say(&format!("  {}", (talk.own_copy)(&harmless(&stop.in_one_line(), 300))));
            }
            let holder = Holder::Kits(own.get_or_init(|| kits));
            (holder, Candidates::of(holder, None)?)
        }
    };
    let name = harmless(&of.name, 64);
    let (opened, code) = candidates.open(given, client, &(talk.to_be_drilled)(&name), seat)?;
    // Nothing is sealed with them here: they go as soon as they have opened something.
    drop(code);
    if opened.escrow.root().facts().box_id != of.id {
        return Err(Stop::new(Code::GateRefused, "what the words opened is another box's escrow")
            .remedy("tell the operator: this box asked for its own"));
    }
    let added = Added::open(holder, &opened, None)?;
    let notes = opening::notes(&opened, &added);
    let place = holder.place(opened.number, talk);
    Ok(Opening { opened, added, place, notes, silent })
}

/// What of the box as it is now these words would not bring back.
pub(super) fn findings(
    found: &BoxSources,
    record: Option<&Record>,
    opened: &OpenedEscrow,
    added: &Added,
    talk: &'static Talk,
) -> Vec<Finding> {
    let root = opened.escrow.root();
    let keys = added.keyring(opened);
    let mut findings = Vec::new();
    let mut add = |what: String, remedy: &str| {
        findings.push(Finding { what: harmless(&what, 400), remedy: harmless(remedy, 400) });
    };
    let newest = record.is_none_or(|record| record.root_sha256 == opened.escrow.root_sha256());
    if let Some(older) = &opened.older {
        add((talk.not_newest_code)(older.opened.number.get(), older.newest.get()), talk.take_newest);
    } else if let Some(record) = record.filter(|_| !newest) {
        add((talk.not_newest)(root.facts().sequence.get(), record.sequence.get()), talk.ask_about_newest);
    }
    for (whose, key) in live_keys(found) {
        if !keys.contains_key(&key) {
            add((talk.key_lacking)(&key.short().to_string(), &whose), talk.hold_ceremony);
        }
    }
    let known = &root.facts().trust.sources;
    for source in &found.sources {
        match &source.state {
            State::InUse { fact, .. } if !record::is_among(known, fact) => {
                // That its key is another one has been told, where the escrow lacks that key.
                let of_known_key = |of: &Source| Source { key_fingerprint: of.key_fingerprint, ..fact.clone() };
                // One that came by an update is what updates are for.
                let is_told = !opened.escrow.keys().contains_key(&fact.key_fingerprint);
                if !is_told || !known.iter().any(|of| record::is_among(known, &of_known_key(of))) {
                    add((talk.source_lacking)(&source.id), talk.hold_ceremony);
                }
            }
            State::InUse { fact, .. } if !has_token(root, fact) => {
                add((talk.token_lacking)(&source.id), talk.hold_ceremony);
            }
            State::Broken(stop, _) => {
                add(stop.in_one_line(), stop.remedy.as_deref().unwrap_or(talk.hold_ceremony));
            }
            _ => {}
        }
    }
    findings
}

fn live_keys(found: &BoxSources) -> Vec<(String, Fingerprint)> {
    let used = found.sources.iter().filter_map(|source| Some((source.id.clone(), source.key()?.fingerprint())));
    let former = found.former.iter().map(|key| ("*.enc.old".to_owned(), key.fingerprint()));
    used.chain(former).collect()
}

fn has_token(root: &Root, source: &Source) -> bool {
    root.facts().secrets.tokens.contains_key(&source.id)
}
