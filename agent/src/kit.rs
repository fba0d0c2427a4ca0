//! `kit`: the newest escrow, what lies on it, and its directive, in one file.

use std::{num::NonZeroU64, path::PathBuf};

use serde::Serialize;
use tenwords_protocol::{
    id::BoxId,
    v1::V1,
    version::{Bundle, Kind, StoredHeader, UpdateVersion},
};

use crate::{
    cli,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::Hub,
    kits,
    record::Record,
    settings::Configuration,
    standing::Standing,
};

/// What was written.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    v: V1,
    file: PathBuf,
    /// The hub's number; absent if the box's own copy was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<NonZeroU64>,
    code_number: NonZeroU64,
    sequence: NonZeroU64,
    updates: usize,
    directive: bool,
    /// Why it is not the hub's.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Writes the kit.
pub(crate) fn run(configuration: &Configuration, args: &cli::Kit) -> Outcome<Written> {
    kits::check(&args.out)?;
    let standing = Standing::required(configuration)?;
    let of = standing.facts().id;
    let asked = standing.identity().map(|identity| of_hub(&identity.connect(configuration)?, of));
    let (version, bundle, note) = match asked {
        Some(Ok((number, bundle))) => (Some(number), bundle, None),
        Some(Err(stop)) if stop.code != Code::Unreachable => return Err(stop),
        Some(Err(stop)) => (None, own(configuration, of)?, Some(format!("{stop}: this is the box's own newest copy"))),
        None => (None, own(configuration, of)?, None),
    };
    let file = kits::write(&args.out, &bundle)?;
    let facts = bundle.header().facts();
    Ok(Written {
        v: V1,
        file,
        version,
        code_number: facts.code_number,
        sequence: facts.sequence,
        updates: bundle.updates().len(),
        directive: bundle.directive().is_some(),
        note,
    })
}

/// The newest ceremony version with every update that lies on it.
fn of_hub(hub: &Hub, of: BoxId) -> Outcome<(NonZeroU64, Bundle)> {
    let is_ceremony = |stored: &StoredHeader| stored.header.facts().kind == Kind::Ceremony;
    let versions = hub.versions_until(of, |versions| versions.iter().any(is_ceremony))?;
    let ceremony = versions.iter().find(|stored| is_ceremony(stored)).ok_or_else(|| {
        Stop::new(Code::Preflight, "nothing is escrowed yet")
            .remedy("hold the ceremony: `tenwords-agent escrow create`")
    })?;
    let damaged = || format!("version {} does not hold together", ceremony.number);
    let bundle = Bundle::of_fetched(ceremony.header.clone(), hub.parts(of, ceremony)?)
        .or_stop(Code::GateRefused, damaged)
        .map_err(|stop| stop.remedy("tell the hub's operator: what it gives is not what its header says"))?;
    let root = ceremony.header.facts().root_sha256;
    let on_it = versions.iter().rev().filter(|stored| {
        let facts = stored.header.facts();
        facts.kind == Kind::Update && facts.root_sha256 == root && stored.number > ceremony.number
    });
    let updates = on_it
        .map(|stored| {
            UpdateVersion::of_fetched(stored.header.clone(), hub.parts(of, stored)?).or_stop(Code::GateRefused, damaged)
        })
        .collect::<Outcome<Vec<_>>>()?;
    Ok((ceremony.number, bundle.with_kit(updates, hub.directive(of)?)))
}

/// What the box has kept of its newest acknowledged version.
fn own(configuration: &Configuration, of: BoxId) -> Outcome<Bundle> {
    let record = Record::load(configuration)?.filter(|record| record.box_id == of);
    record.ok_or_else(|| {
        Stop::new(Code::Preflight, "nothing is escrowed yet")
            .remedy("hold the ceremony: `tenwords-agent escrow create`")
    })?;
    Record::bundle(configuration)
}

impl Written {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { file, version, code_number, sequence, updates, directive, note, .. } = self;
        let from = version.map_or_else(String::new, |number| format!(", version {number} of the hub"));
        let mut lines = vec![format!("The kit is {}: code {code_number}, sequence {sequence}{from}.", file.display())];
        if *updates > 0 || *directive {
            lines.push(format!("  {updates} updates, {} directive", if *directive { "a" } else { "no" }));
        }
        lines.extend(note.iter().map(|note| format!("  note: {note}")));
        lines
            .push("Never keep it beside the ten words: together they open everything, without hub or operator.".into());
        lines
    }
}
