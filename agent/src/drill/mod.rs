//! `drill`: practice on the living box, so that the day of the loss is not the first time.
//!
//! *words* opens the escrow of today with the ten words, both ways, and holds it beside the box; *archive*
//! goes on and brings one archive back, by the key and the token that the words opened. What it makes is
//! in one folder, and goes again. Nothing is written to a backup server. A drill that ended well is
//! proven to the hub with the words key; one that did not is no drill, and is reported nowhere.

mod archive;
mod clock;
mod compare;
mod kept;
mod proof;
mod report;
mod scratch;
mod words;

use std::{collections::BTreeMap, num::NonZeroU64, path::PathBuf, sync::Arc};

use pbs_driver::Client;
use tenwords_escrow::{gate::GatedKey, root::Root};
use tenwords_protocol::{drill::DrilledArchive, fingerprint::Fingerprint, time::Timestamp, v1::V1};

use self::{
    archive::{Brought, Setting},
    report::{Escrow, Failed},
    scratch::Scratch,
    words::Opening,
};
pub(crate) use self::{
    clock::Timed,
    kept::{Drilled, Kept},
    report::Report,
};
use crate::{
    added::Added,
    cli,
    exit::{Code, Outcome, Stop},
    hub::Hub,
    identity::Identity,
    interrupt,
    opening::OpenedEscrow,
    record::Record,
    recover::preflight,
    seat::Seat,
    settings::Configuration,
    show::harmless,
    sources::{self, BoxSources},
    standing::Standing,
    words as typed,
};

/// `drill`.
pub(crate) fn run(configuration: &Configuration, args: &cli::Drill, seat: &mut dyn Seat) -> Outcome<Report> {
    // Words that come by a descriptor are read before any child is started that could inherit it.
    let given = args.code_fd.map(typed::from_descriptor).transpose()?;
    let seat = &mut Timed::new(seat);
    let Ready { standing, client, found, record, hub } = ready(configuration, args, given.is_none(), seat)?;
    let of = standing.facts();
    seat.lap("look at this box");

    let opening = words::open(configuration, &of, hub.as_ref(), &client, given, seat)?;
    let Opening { opened, added, place, mut notes, silent } = opening;
    // What the hub keeps is not looked at where only the box's own copy is.
    let is_own_copy = silent.is_some();
    seat.lap("open with the words");
    let findings = words::findings(&found, record.as_ref(), &opened, &added, seat.talk());
    notes.extend(found.notes);
    seat.lap("hold beside this box");

    let setting = Setting { configuration, args, client: &client };
    let Practised { archive, failed, left_behind } = match args.archive.is_some() && !interrupt::is_ending() {
        true => practise(&setting, (&opened, &added), &mut notes, seat),
        false => Practised::default(),
    };
    let interrupted = interrupt::is_ending();
    let is_good = findings.is_empty() && failed.is_none() && !interrupted && !is_own_copy;
    let root = opened.escrow.root();
    let (mut reported_at, mut unreported) = (None, silent.map(Failed::of));
    if is_good {
        let brought = archive.as_ref().map(|brought| brought.facts.clone());
        if let Some((hub, identity)) = hub.as_ref().zip(standing.identity()) {
            match proof::send(hub, identity, root, opened.number, seat.phases(), brought.clone()) {
                Ok(at) => reported_at = Some(at),
                Err(stop) => unreported = Some(Failed::of(stop)),
            }
        }
        keep(configuration, root, reported_at, brought, &mut notes);
    }
    seat.lap("prove");
    Ok(Report {
        v: V1,
        level: if args.archive.is_some() { "archive" } else { "words" },
        box_id: of.id.to_string(),
        box_name: harmless(&of.name, 64),
        is_good,
        interrupted,
        escrow: Escrow::of(&opened, &added, place, hub.is_some() && !is_own_copy)?,
        findings,
        archive,
        failed,
        is_own_copy,
        left_behind,
        reported_at,
        unreported,
        has_hub: hub.is_some(),
        notes: notes.iter().map(|note| harmless(note, 600)).collect(),
        phases: seat.phases().to_vec(),
        language: seat.language(),
    })
}

/// What a drill begins with.
struct Ready {
    standing: Standing,
    client: Client,
    found: BoxSources,
    record: Option<Record>,
    hub: Option<Hub>,
}

/// Everything that must be right before anybody types the words.
fn ready(configuration: &Configuration, args: &cli::Drill, asks: bool, seat: &mut Timed<'_>) -> Outcome<Ready> {
    if let Some(path) = args.against.as_ref().filter(|path| !path.exists()) {
        return Err(Stop::new(Code::Usage, format!("there is no {}", path.display()))
            .remedy("name the live folder or file with --against, or leave it out"));
    }
    let standing = Standing::required(configuration)?;
    if scratch::sweep(configuration)? {
        seat.say(&format!("  {}", seat.talk().drill_swept));
    }
    let client = sources::client(&configuration.settings);
    let mut failures = preflight::machine(configuration, &client, &configuration.settings.state);
    if asks && let Err(stop) = seat.is_taken() {
        failures.add_stop(&stop);
    }
    failures.into_outcome("before the words")?;
    let of = standing.facts();
    Ok(Ready {
        client: client?,
        found: sources::of_box(configuration)?,
        record: Record::load(configuration)?.filter(|record| record.box_id == of.id),
        hub: standing.identity().map(|identity| identity.connect(configuration)).transpose()?,
        standing,
    })
}

/// What became of the archive.
#[derive(Default)]
struct Practised {
    archive: Option<Brought>,
    failed: Option<Failed>,
    left_behind: Option<PathBuf>,
}

/// One archive comes back and goes again, however that ends.
fn practise(
    setting: &Setting<'_>,
    (opened, added): (&OpenedEscrow, &Added),
    notes: &mut Vec<String>,
    seat: &mut Timed<'_>,
) -> Practised {
    let mut practised = Practised::default();
    let box_id = opened.escrow.root().facts().box_id;
    let brought = Scratch::make(setting.configuration, box_id).and_then(|scratch| {
        let brought = archive::bring(setting, (opened, added), &scratch, notes, seat);
        if let Err(stop) = scratch.remove() {
            notes.push(stop.in_one_line());
            practised.left_behind = Some(scratch::path(setting.configuration));
        }
        seat.lap("take away");
        brought
    });
    match brought {
        Ok(brought) => practised.archive = Some(brought),
        Err(stop) => practised.failed = Some(Failed::of(stop)),
    }
    practised
}

/// Every key that the ten words bring out of this box's escrow, for whoever has lost one.
pub(crate) fn keys_by_words(
    configuration: &Configuration,
    code_fd: Option<u32>,
    seat: &mut dyn Seat,
) -> Outcome<BTreeMap<Fingerprint, Arc<GatedKey>>> {
    let given = code_fd.map(typed::from_descriptor).transpose()?;
    let seat = &mut Timed::new(seat);
    let standing = Standing::required(configuration)?;
    let client = sources::client(&configuration.settings)?;
    if given.is_none() {
        seat.is_taken()?;
    }
    let hub = standing.identity().map(|identity| identity.connect(configuration)).transpose()?;
    let Opening { opened, added, .. } =
        words::open(configuration, &standing.facts(), hub.as_ref(), &client, given, seat)?;
    Ok(added.keyring(&opened))
}

/// A ceremony in which the words were typed is the first drill of them. That it could not be reported is
/// a warning: the box is protected all the same.
pub(crate) fn of_ceremony(
    configuration: &Configuration,
    at: Option<(&Hub, &Identity)>,
    root: &Root,
    version: NonZeroU64,
    seat: &Timed<'_>,
    warnings: &mut Vec<String>,
) {
    let sent = at.map(|(hub, identity)| proof::send(hub, identity, root, version, seat.phases(), None));
    let reported_at = match sent.transpose() {
        Ok(at) => at,
        Err(stop) => {
            warnings.push((seat.talk().drill_not_reported)(&stop.in_one_line()));
            None
        }
    };
    keep(configuration, root, reported_at, None, warnings);
}

fn keep(
    configuration: &Configuration,
    root: &Root,
    reported_at: Option<Timestamp>,
    archive: Option<DrilledArchive>,
    notes: &mut Vec<String>,
) {
    let facts = root.facts();
    let drilled = Drilled {
        at: reported_at.unwrap_or_else(Timestamp::now),
        code_number: facts.code.number,
        sequence: facts.sequence,
        reported: reported_at.is_some(),
        archive,
    };
    if let Err(stop) = Kept::add(configuration, facts.box_id, drilled) {
        notes.push(stop.in_one_line());
    }
}
