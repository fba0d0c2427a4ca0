//! The second holders are kept in step: each source's backup server gets the escrow as it is now.
//!
//! One that does not take it costs a warning and no escrow; what each was given last is written down, so that
//! the next run tries again, and nothing is stored twice.

use pbs_driver::Client;
use tenwords_protocol::{hash::Sha256, time::Timestamp, version::Bundle};

use super::{
    facts::{Acknowledged, FactsKey, Held, is_where_the_root_says},
    own::Own,
    run::Run,
};
use crate::{
    exit::{Code, OrStop as _, Outcome},
    interrupt,
    record::Record,
    recover::plan::chain,
    report::Looked,
    second_holder,
    settings::Configuration,
    sources::{BoxSource, BoxSources, State},
};

/// Gives the bundle to each source that has it not yet, or has lost it; tells the snapshots. Only a place that the root
/// names keeps an escrow of it.
pub(super) fn keep_in_step(
    run: &Run<'_>,
    client: &Client,
    of_root: &[tenwords_escrow::root::Source],
    bundle: &Bundle,
    acknowledged: &mut Acknowledged,
    warnings: &mut Vec<String>,
) -> Outcome<Vec<String>> {
    let text = bundle.to_text().or_stop(Code::Internal, || "the escrow cannot be written as a kit".to_owned())?;
    let sha256 = Sha256::of(&text);
    let mut held = Vec::new();
    let seen = Looked::load(run.configuration);
    for source in sources(run.found, of_root) {
        interrupt::check()?;
        let given = acknowledged.holders.get(&source.id).filter(|held| held.sha256 == sha256);
        if given.is_some_and(|held| !is_lost(seen.as_ref(), &source.id, held, run.now)) {
            continue;
        }
        let stored = source
            .access()
            .map_err(|stop| stop.in_one_line())
            .and_then(|access| second_holder::store(client, &access, bundle).map_err(|error| chain(&error)));
        match stored {
            Ok(snapshot) => {
                let at = time_of(&snapshot).unwrap_or(run.now);
                acknowledged.holders.insert(source.id.clone(), Held { sha256, at });
                held.push(format!("{} {snapshot}", source.id));
            }
            Err(why) => warnings.push(format!(
                "source {} is a second holder of an older escrow, or of none: {why}; the next run tries again",
                source.id
            )),
        }
    }
    Ok(held)
}

/// Whether its server has listed since that what it was given is not there.
fn is_lost(seen: Option<&Looked>, source: &str, held: &Held, now: Timestamp) -> bool {
    seen.is_some_and(|seen| seen.lacks_escrow(source, held.at, now))
}

/// The time in a snapshot's name.
pub(super) fn time_of(snapshot: &str) -> Option<Timestamp> {
    snapshot.rsplit('/').next()?.parse().ok()
}

/// Whether one of them has exactly this.
pub(super) fn has_one(acknowledged: &Acknowledged, bundle: &Bundle) -> Outcome<bool> {
    let text = bundle.to_text().or_stop(Code::Internal, || "the escrow cannot be written as a kit".to_owned())?;
    let sha256 = Sha256::of(&text);
    Ok(acknowledged.holders.values().any(|held| held.sha256 == sha256))
}

/// What the second holders have, by what this box has given them, and by what their servers have listed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Newest,
    Older,
    Nothing,
}

/// Whether a backup server of this box was given its escrow as it is now.
pub(crate) fn second_holder(configuration: &Configuration, now: Timestamp) -> Outcome<Holds> {
    let Some(record) = Record::load(configuration)? else { return Ok(Holds::Nothing) };
    // Asked at any time, without the lock: a key is not made here.
    let acknowledged = FactsKey::load(configuration).and_then(|key| Acknowledged::load(configuration, &key));
    let Some(mut acknowledged) = acknowledged.filter(|it| it.root_sha256 == record.root_sha256) else {
        return Ok(Holds::Nothing);
    };
    let seen = Looked::load(configuration);
    acknowledged.holders.retain(|source, held| !is_lost(seen.as_ref(), source, held, now));
    if acknowledged.holders.is_empty() {
        return Ok(Holds::Nothing);
    }
    let own = Own::load(configuration, record)?;
    Ok(if has_one(&acknowledged, &own.bundle)? { Holds::Newest } else { Holds::Older })
}

/// The sources that should hold it.
fn sources<'f>(
    found: &'f BoxSources,
    of_root: &'f [tenwords_escrow::root::Source],
) -> impl Iterator<Item = &'f BoxSource> {
    found
        .sources
        .iter()
        .filter(|source| matches!(&source.state, State::InUse { fact, .. } if is_where_the_root_says(of_root, fact)))
}
