//! On a node that does not escrow for its box: it follows what the keeper has stored, and notices what that has left.
//!
//! Every node keeps every key that it sees. One that is not escrowed although it was seen a while ago is told by this
//! node too: a keeper that is off, or that no hub hears of, cannot say so itself.

use std::{collections::BTreeSet, time::Duration};

use tenwords_protocol::{fingerprint::Fingerprint, id::BoxId, time::Timestamp};

use super::{
    Escrowed, Sealed, at_hub,
    at_hub::Trouble,
    kept::{Kept, State},
    own::Pending,
    own_or_the_hubs, whole,
};
use crate::{
    cluster::{self, Member, Shared},
    exit::{Outcome, Stop},
    hub::Hub,
    keys::LiveKey,
    lineage,
    record::Record,
    settings::Configuration,
    sources::BoxSources,
};

/// The keeper looks every twenty seconds, and may wait for a hub that is away for a moment.
const KEEPERS_TIME: Duration = Duration::from_secs(15 * 60);

/// Follows. What is shared is absent where it cannot be read now; then this node goes by what it has.
pub(super) fn follow(
    configuration: &Configuration,
    found: &BoxSources,
    of: BoxId,
    member: &Member,
    hub: Option<&Hub>,
    (mut kept, now): (Kept, Timestamp),
) -> Outcome<(Kept, Option<Stop>)> {
    kept.keeper = Some(member.keeper.clone());
    let followed = hub.map_or(Ok(()), |hub| bring(configuration, of, member.shared.as_deref(), hub, &mut kept));
    if own(configuration, of)?.is_some() {
        kept.state = State::Current;
        kept.lacking = lacking(configuration, of, found)?.into_iter().collect();
        if !kept.lacking.is_empty() {
            kept.state = State::Waiting;
            kept.is_overdue = is_overdue(configuration, &kept.lacking, now);
        }
    }
    match followed {
        Ok(()) => Ok((kept, None)),
        Err(Trouble::Stop(stop)) => Ok((kept, Some(stop))),
        // It has asked for nothing that a day has only so many of.
        Err(Trouble::Later(_)) => Ok((kept, None)),
    }
}

fn bring(
    configuration: &Configuration,
    of: BoxId,
    shared: Option<&Shared>,
    hub: &Hub,
    kept: &mut Kept,
) -> Result<(), Trouble> {
    if let Some(shared) = shared
        && cluster::take_up(configuration, shared, hub)?
    {
        kept.warnings.push("the ceremony that another node has held was taken up".to_owned());
    }
    // What this node made while it was the keeper is the keeper's to make again: the keys in it are kept.
    Pending::forget(configuration)?;
    whole::forget(configuration);
    let Some(record) = own(configuration, of)? else { return Ok(()) };
    let mut own = own_or_the_hubs(configuration, record, Some(hub), kept)?;
    if !at_hub::follow(configuration, &mut own, hub, of)? {
        kept.warnings
            .push("the hub's newest ceremony is another than this node has: the keeper sees to that".to_owned());
    }
    Ok(())
}

/// What this node has of the box's newest ceremony, and not of another box's.
fn own(configuration: &Configuration, of: BoxId) -> Outcome<Option<Record>> {
    Ok(Record::load(configuration)?.filter(|record| record.box_id == of))
}

/// The keys that lie on this node, or are kept there, and are not escrowed by what this node has of the escrow.
fn lacking(configuration: &Configuration, of: BoxId, found: &BoxSources) -> Outcome<BTreeSet<Fingerprint>> {
    let Some(record) = own(configuration, of)? else { return Ok(BTreeSet::new()) };
    let sealed = Sealed::of(configuration, record);
    let mut notes = Vec::new();
    let kept = lineage::kept(configuration, &mut notes).into_keys();
    let keys = found.keys().map(LiveKey::fingerprint).chain(kept);
    Ok(keys.filter(|key| sealed.of_key(*key) == Escrowed::No).collect())
}

/// Whether one of them was seen long enough ago for the keeper to have done its work.
fn is_overdue(configuration: &Configuration, keys: &[Fingerprint], now: Timestamp) -> bool {
    let (index, _) = lineage::Index::load(configuration);
    let seen = |key: &Fingerprint| index.keys.get(key).map(|entry| entry.first_seen);
    keys.iter().any(|key| seen(key).is_none_or(|seen| now.since(seen) > KEEPERS_TIME || seen > now))
}

/// Whether the keeper has left one of the keys that were found on this node, for who only looks.
pub(crate) fn is_one_left(configuration: &Configuration, of: BoxId, found: &BoxSources, now: Timestamp) -> bool {
    let left: Vec<Fingerprint> = lacking(configuration, of, found).unwrap_or_default().into_iter().collect();
    is_overdue(configuration, &left, now)
}
