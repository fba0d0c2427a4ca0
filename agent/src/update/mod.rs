//! Keeps the escrow fresh between ceremonies, without the ten words.
//!
//! What is live or kept on the box, and not yet escrowed, goes into one update: sealed to the newest ceremony's
//! recipient, signed by the box key, next in its chain. It is on the disk before it is sent, it is read back byte
//! for byte, and only then counts; killed at any step, the same bytes are sent again. Nothing in an update says
//! where backups lie or who is believed: where that has changed on the box, it is told that a ceremony is needed.
//!
//! What has not changed is not stored again: [`facts`] says what that is.

mod at_hub;
mod escrowed;
mod facts;
mod holders;
mod kept;
mod member;
mod own;
mod run;
mod whole;

use rand::{CryptoRng, rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::root::Root;
use tenwords_protocol::{hash::Sha256, time::Timestamp, version::Bundle};

pub(crate) use self::{
    at_hub::HubFault,
    escrowed::{Escrowed, Sealed, escrowed},
    holders::{Holds, second_holder},
    kept::{Kept, State},
    member::is_one_left,
    whole::was_damaged,
};
use self::{
    at_hub::Trouble,
    facts::{Acknowledged, Facts, FactsKey, Held},
    own::{Own, Pending, Unloaded},
    run::Run,
};
use crate::{
    cluster::{self, Role},
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::Hub,
    lineage::{self, Look},
    record::Record,
    settings::Configuration,
    show::harmless,
    sources::{self, BoxSources, State as SourceState},
    standing::Standing,
};

/// Keeps the keys, and brings the escrow up to date. The caller holds the lock.
///
/// # Errors
/// The sources cannot be read; the hub does not answer, or has something else than this box has stored there. What
/// was made by then is kept, lies with the second holders, and is sent by the next run.
pub(crate) fn bring_up_to_date(configuration: &Configuration, now: Timestamp) -> Outcome<Kept> {
    let (found, look) = look(configuration, now)?;
    match bring_up_to_date_with(configuration, &found, look, now)? {
        (kept, None) => Ok(kept),
        (kept, Some(stop)) => {
            for warning in &kept.warnings {
                tracing::warn!("{}", harmless(warning, 400));
            }
            Err(stop)
        }
    }
}

/// Keeps the keys: what comes first, and counts whatever comes after. The caller holds the lock.
pub(crate) fn look(configuration: &Configuration, now: Timestamp) -> Outcome<(BoxSources, Look)> {
    let found = sources::of_box(configuration)?;
    let look = lineage::keep(configuration, &found, now)?;
    Ok((found, look))
}

/// Brings the escrow up to date with what a look has found. Where the hub does not have it, that is told beside what
/// was done all the same.
pub(crate) fn bring_up_to_date_with(
    configuration: &Configuration,
    found: &BoxSources,
    look: Look,
    now: Timestamp,
) -> Outcome<(Kept, Option<Stop>)> {
    let standing = Standing::required(configuration)?;
    let mut kept = Kept::new(look);
    let of = standing.facts().id;
    let (hub, unconnected) = match standing.identity().map(|identity| identity.connect(configuration)) {
        None => (None, None),
        Some(Ok(hub)) => (Some(hub), None),
        Some(Err(stop)) => (None, Some(stop)),
    };
    let role = Role::of(configuration, of)?;
    role.remember(configuration);
    kept.at_odds = cluster::at_odds(configuration, &role);
    match role {
        Role::Member(member) => {
            let (kept, stop) = member::follow(configuration, found, of, &member, hub.as_ref(), (kept, now))?;
            return Ok((kept, stop.or(unconnected)));
        }
        // One that was installed anew, or was away while another node held a ceremony.
        Role::Keeper(Some(shared)) => {
            if let Some(hub) = &hub
                && let Err(stop) = cluster::take_up(configuration, &shared, hub)
            {
                return Ok((kept, Some(stop)));
            }
        }
        Role::Keeper(None) | Role::Unshared | Role::Alone | Role::Stranger => {}
    }
    let Some(record) = Record::load(configuration)?.filter(|record| record.box_id == of) else {
        return Ok((kept, None));
    };
    kept.state = State::Current;
    kept.ceremony_needed = needs_ceremony(found, &record);
    let key = FactsKey::load_or_make(configuration, &mut UnwrapErr(SysRng))?;
    let mut own = own_or_the_hubs(configuration, record, hub.as_ref(), &mut kept)?;
    let run = Run { configuration, found, key: &key, hub: hub.as_ref(), now };
    let brought = match unconnected {
        None => run.bring(&mut own, &mut kept),
        Some(stop) => Err(Trouble::Stop(stop)),
    };
    let Err(trouble) = brought else { return Ok((kept, None)) };
    if standing.identity().is_some() {
        run.bring_to_holders_alone(&own, &mut kept);
    }
    if Pending::is_there(configuration) {
        kept.state = State::Waiting;
    }
    match trouble {
        Trouble::Stop(stop) => Ok((kept, Some(stop))),
        Trouble::Later(after) => {
            kept.waits(after);
            Ok((kept, None))
        }
    }
}

/// The escrow as this box has it. Where its copy is damaged the hub's will do: what was signed by this box's key is
/// taken from there too.
fn own_or_the_hubs(configuration: &Configuration, record: Record, hub: Option<&Hub>, kept: &mut Kept) -> Outcome<Own> {
    let damaged = match Own::load(configuration, record.clone()) {
        Ok(own) => return Ok(own),
        Err(Unloaded::Other(stop)) => return Err(stop),
        Err(Unloaded::Damaged(stop)) => stop,
    };
    let Some(hub) = hub else { return Err(damaged) };
    kept.warnings.push(format!("{}: the hub's copy is taken", damaged.in_one_line()));
    let bundle = at_hub::ceremony(hub, record.box_id, &record)?;
    let box_key = record.box_key(configuration)?;
    let own = Own::of(record, box_key, bundle)?;
    Record::set_damaged_bundle_aside(configuration)?;
    Record::keep_bundle(configuration, &own.bundle)?;
    Ok(own)
}

/// At the end of a ceremony: what it has escrowed needs no update.
pub(crate) fn begin(
    configuration: &Configuration,
    root: &Root,
    record: &Record,
    rng: &mut impl CryptoRng,
) -> Outcome<()> {
    let key = FactsKey::load_or_make(configuration, rng)?;
    let facts = Facts::of_root(root, &key);
    Acknowledged::new(record.root_sha256, facts).keep(configuration, &key)?;
    Pending::forget(configuration)
}

/// The same of what its second holders were given: the source, and the snapshot in it.
pub(crate) fn held(configuration: &Configuration, record: &Record, bundle: &Bundle, given: &[String]) -> Outcome<()> {
    let key = FactsKey::load_or_make(configuration, &mut UnwrapErr(SysRng))?;
    let cannot = || "what was acknowledged cannot be written down".to_owned();
    let text = bundle.to_text().or_stop(Code::Internal, cannot)?;
    let sha256 = Sha256::of(&text);
    let Some(mut acknowledged) = Acknowledged::load(configuration, &key) else { return Ok(()) };
    if acknowledged.root_sha256 == record.root_sha256 {
        acknowledged.holders.extend(given.iter().filter_map(|given| {
            let (source, snapshot) = given.split_once(' ')?;
            Some((source.to_owned(), Held { sha256, at: holders::time_of(snapshot)? }))
        }));
        acknowledged.keep(configuration, &key)?;
    }
    Ok(())
}

/// Whether an update was made and nobody has acknowledged it yet.
pub(crate) fn is_waiting(configuration: &Configuration) -> bool {
    Pending::is_there(configuration)
}

/// Whether the root has this source where it is now, whatever its key.
pub(crate) fn stands_in(record: &Record, fact: &tenwords_escrow::root::Source) -> bool {
    facts::is_where_the_root_says(&record.sources, fact)
}

/// The trust facts that are others than the root's. That a source has another key is none, once that is escrowed.
fn needs_ceremony(found: &BoxSources, record: &Record) -> Vec<String> {
    let is_changed = |source: &&sources::BoxSource| match &source.state {
        SourceState::InUse { fact, .. } => !facts::is_where_the_root_says(&record.sources, fact),
        _ => false,
    };
    let changed = found.sources.iter().filter(is_changed);
    changed
        .map(|source| {
            format!("source {} is new, or is somewhere else than the escrow says: no update carries that", source.id)
        })
        .collect()
}
