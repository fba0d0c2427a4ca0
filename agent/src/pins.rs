//! `pins`: whose orders count for this box, and taking a changed list of them.
//!
//! The list that the next ceremony seals is the one that was pinned at enrolment, and every statement
//! since, each signed by a key that could change the list before it. A statement is taken from whoever
//! brings it; the hub is one that does.

use std::{collections::BTreeMap, num::NonZeroU64, path::PathBuf};

use serde::Serialize;
use tenwords_escrow::{
    pins::{self, Replayed, Taken},
    root::Operators,
};
use tenwords_protocol::{
    id::BoxId,
    json,
    operators::Pins,
    part::PartName,
    time::Timestamp,
    v1::V1,
    version::{Bundle, Grade, HeaderFacts, Kind, UpdateVersion},
};

use crate::{
    ceremony::History,
    cluster, durable, enroll,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::Hub,
    record::Record,
    recover::{operators, plan::chain},
    settings::Configuration,
    show::harmless,
    standing::Standing,
};

/// How the list stands.
#[derive(Debug, Serialize)]
pub(crate) struct Stands {
    v: V1,
    generation: NonZeroU64,
    code: String,
    signers: Vec<String>,
    /// Generations that were taken by this call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taken: Vec<NonZeroU64>,
    /// The hub's number of the version that carries them.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// `pins show`.
pub(crate) fn show(configuration: &Configuration) -> Outcome<Stands> {
    Standing::required(configuration)?;
    Ok(Stands::of(&enroll::pinned_operators(configuration)?))
}

/// `pins take`: from these files, or from the hub. A file that somebody has brought is not mixed with what a hub
/// has, so that it also decides between two lists that the hub has of one generation.
pub(crate) fn take(configuration: &Configuration, files: &[PathBuf]) -> Outcome<Stands> {
    let standing = Standing::required(configuration)?;
    let of = standing.facts().id;
    let mut statements = operators::read(files)?;
    let given = statements.len();
    let hub = standing.identity().map(|identity| identity.connect(configuration)).transpose()?;
    if let (Some(hub), 0) = (&hub, given) {
        statements.extend(hub.pins(of)?.pins.iter().cloned());
    }
    let (mut stands, replayed) = replay(configuration, &statements)?;
    if given > 0 && stands.taken.is_empty() && !replayed.refused.is_empty() {
        let why = replayed.refused.iter().map(|(_, why)| chain(why)).collect::<Vec<_>>().join("; ");
        return Err(Stop::new(Code::GateRefused, format!("no statement was taken: {}", harmless(&why, 600))).remedy(
            "the list is as it was. Compare generation and code with the operator (`tenwords-agent pins show`, `tenwords \
             pins show`)",
        ));
    }
    // Of those that were brought the error says it, if none was taken.
    stands.notes.extend(replayed.refused.iter().take(TOLD).map(|(generation, why)| {
        let which = generation.map_or_else(|| "a statement".to_owned(), |it| format!("statement {it}"));
        format!("{which} is not taken: {}", chain(why))
    }));
    if given > 0 && stands.taken.is_empty() {
        stands.notes.push(format!("nothing was taken: this box has generation {} already", stands.generation));
    }
    match &hub {
        Some(hub) if !stands.taken.is_empty() => match store(configuration, hub, of, &stands.taken) {
            Ok(number) => stands.version = number,
            Err(stop) => stands.notes.push(format!(
                "the statement could not be left beside the escrow: {}; the next ceremony seals the list itself",
                stop.in_one_line()
            )),
        },
        _ => {}
    }
    if !stands.taken.is_empty()
        && let Err(stop) = cluster::share_operators(configuration, of)
    {
        stands.notes.push(format!("{}: the list that they are given is the former one", stop.in_one_line()));
    }
    Ok(stands)
}

/// At a ceremony: what the hub has is taken first, so that the root says what is true. Its silence ends
/// nothing; what was taken is told.
pub(crate) fn freshen(configuration: &Configuration, hub: &Hub, of: BoxId, notes: &mut Vec<String>) -> Outcome<()> {
    match hub.pins(of) {
        Ok(list) => {
            let (stands, replayed) = replay(configuration, &list.pins)?;
            if !stands.taken.is_empty() {
                notes.push(stands.line());
            }
            if let Some(generation) = replayed.split {
                notes.push(split(generation));
            }
        }
        Err(error) => notes.push(format!("whether the operators' keys have changed could not be asked: {error}")),
    }
    Ok(())
}

/// Goes on from what is pinned, and pins what comes of it.
fn replay(configuration: &Configuration, statements: &[Pins]) -> Outcome<(Stands, Replayed)> {
    let mut notes = Vec::new();
    let pinned = enroll::pinned_operators(configuration)?;
    let replayed = pins::replay(&pinned, statements);
    let taken: Vec<NonZeroU64> = replayed.taken.iter().map(|taken| taken.generation).collect();
    if !taken.is_empty() {
        keep(configuration, &replayed.taken)?;
        notes.extend(enroll::change_operators(configuration, &pinned, &replayed.operators)?);
    }
    notes.extend(replayed.split.map(split));
    let stands = Stands { taken, notes, ..Stands::of(&replayed.operators) };
    Ok((stands, replayed))
}

/// What this machine has taken.
pub(crate) fn kept(configuration: &Configuration) -> Outcome<Vec<Pins>> {
    let mut kept = Vec::new();
    let folder = configuration.state(FOLDER);
    let cannot = || format!("{} cannot be read", folder.display());
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(kept),
        entries => entries.or_stop(Code::Preflight, cannot)?,
    };
    for entry in entries {
        let text = durable::read_limited(&entry.or_stop(Code::Preflight, cannot)?.path(), LIMIT);
        // What cannot be read proves nothing; the others may.
        kept.extend(text.ok().and_then(|text| json::from_slice(&text).ok()));
    }
    Ok(kept)
}

/// Keeps what was taken: first that, then what follows from it.
pub(crate) fn keep(configuration: &Configuration, taken: &[Taken]) -> Outcome<()> {
    let cannot = || "the pins statement cannot be kept".to_owned();
    durable::folder(&configuration.state(FOLDER), 0o700).or_stop(Code::Preflight, cannot)?;
    for Taken { generation, pins, .. } in taken {
        let text = json::to_vec(pins).or_stop(Code::Internal, cannot)?;
        durable::replace("pins", &file(configuration, *generation), 0o600, &text).or_stop(Code::Preflight, cannot)?;
    }
    Ok(())
}

/// Leaves them at the hub, as an update of the newest ceremony, for a recovery that finds them nowhere else.
fn store(
    configuration: &Configuration,
    hub: &Hub,
    of: BoxId,
    generations: &[NonZeroU64],
) -> Outcome<Option<NonZeroU64>> {
    let versions =
        hub.versions_until(of, |so_far| so_far.iter().any(|stored| stored.header.facts().kind == Kind::Ceremony))?;
    let Some(ceremony) = versions.iter().find(|stored| stored.header.facts().kind == Kind::Ceremony) else {
        return Ok(None);
    };
    let cannot = || "the statement cannot be read again".to_owned();
    let mut parts = BTreeMap::new();
    for generation in generations {
        let text = durable::read_limited(&file(configuration, *generation), LIMIT).or_stop(Code::Internal, cannot)?;
        parts.insert(PartName::Pins(*generation), text);
    }
    let facts = HeaderFacts {
        kind: Kind::Update,
        grade: Grade::Sealed,
        sequence: History::ask(configuration, of, Some(hub))?.next_sequence()?,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: Timestamp::now(),
        ..ceremony.header.facts().clone()
    };
    let bundle = Bundle::new(facts, parts).or_stop(Code::Internal, cannot)?;
    let number = hub.push(of, &bundle)?.number;
    // A hub that loses it is given it again with the updates.
    if Record::load(configuration)?.is_some_and(|record| record.root_sha256 == ceremony.header.facts().root_sha256) {
        let (header, parts) = bundle.into_parts();
        Record::add_update(configuration, UpdateVersion::of_fetched(header, parts).or_stop(Code::Internal, cannot)?)?;
    }
    Ok(Some(number))
}

fn file(configuration: &Configuration, generation: NonZeroU64) -> PathBuf {
    configuration.state(FOLDER).join(format!("{generation}.json"))
}

fn split(generation: NonZeroU64) -> String {
    format!(
        "two lists of operator keys, each signed, say to be generation {generation}: neither is taken; somebody signs who \
         should not, tell the operator"
    )
}

/// Refusals that are told one by one.
const TOLD: usize = 8;
const FOLDER: &str = "pins";
const LIMIT: u64 = 1 << 20;

impl Stands {
    fn of(operators: &Operators) -> Self {
        let signers = operators.signers.signers().iter().map(ToString::to_string).collect();
        let code = operators.signers.code().to_string();
        Self { v: V1, generation: operators.generation, code, signers, taken: vec![], version: None, notes: vec![] }
    }

    fn line(&self) -> String {
        format!("operator keys: generation {}, {} keys, code {}", self.generation, self.signers.len(), self.code)
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.line()];
        lines.extend(self.signers.iter().map(|signer| format!("  {signer}")));
        if self.signers.is_empty() {
            lines.push("  none: nothing that destroys can be ordered for this box".to_owned());
        }
        lines.extend(self.taken.iter().map(|generation| format!("taken: generation {generation}")));
        if !self.taken.is_empty() {
            lines.push(
                "Compare generation and code with the operator (`tenwords pins show`). The escrow's own list is that of \
                 the last ceremony; the next one seals this one."
                    .to_owned(),
            );
        }
        lines.extend(self.version.map(|number| format!("left beside the escrow as version {number}")));
        lines.extend(self.notes.iter().map(|note| format!("note: {}", harmless(note, 400))));
        lines
    }
}
