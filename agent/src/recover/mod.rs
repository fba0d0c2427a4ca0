//! `recover`: ten words on a new machine, and the data is back.
//!
//! Nine steps, as the design counts them: preflight, claim, words, open (and prove), connect, plan,
//! install, restore, closing ceremony with report. Until the words have opened something, nothing
//! but the claim is kept. Nothing that exists is overwritten.

mod claim;
mod connect;
mod install;
mod open;
pub(crate) mod plan;
mod preflight;
mod pve;
mod report;
mod restore;
mod target;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use pbs_driver::{
    Client,
    pve::{Node, StorageCfg},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::{code::RecoveryCode, gate::GatedKey, root::Root, select::date};
use tenwords_protocol::{fingerprint::Fingerprint, ticket::Ticket, v1::V1};

use self::{
    claim::Claimed,
    install::ToInstall,
    open::OpenedEscrow,
    plan::{Keyring, Plan, Planner},
    report::{Closure, Escrow, Missing, Report, Stopwatch},
    target::TargetFolder,
};
use crate::{
    ceremony::{self, History, Material, Place},
    cli, enroll,
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    seat::Seat,
    settings::Configuration,
    show::{harmless, size},
    sources, words,
};

/// `recover`.
pub(crate) fn run(
    configuration: &Configuration,
    args: &cli::Recover,
    ticket: impl FnOnce(&mut dyn Seat) -> Outcome<Ticket>,
    seat: &mut dyn Seat,
) -> Outcome<Report> {
    let mut watch = Stopwatch::start();
    let into = args.into.clone().unwrap_or_else(|| configuration.state("recovered"));
    let into = std::path::absolute(&into).or_stop(Code::Usage, || format!("{} is no path", into.display()))?;

    // Words that come by a descriptor are read before any child is started that could inherit it.
    let given = args.code_fd.map(words::from_descriptor).transpose()?;
    seat.say("1 Looking at this machine …");
    let client = sources::client(&configuration.settings);
    let mut failures = preflight::machine(configuration, &client, &into);
    if given.is_none()
        && let Err(stop) = seat.is_taken()
    {
        failures.add_stop(&stop);
    }
    failures.into_outcome("before the words")?;
    let client = client?;
    let node = sources::node(&configuration.settings)?;
    watch.lap("preflight");

    seat.say("2 Claiming …");
    let mut claimed = Claimed::make(configuration, || ticket(seat))?;
    preflight::clock(claimed.hub_time()).into_outcome("before the words")?;
    let box_name = harmless(&claimed.identity.box_name, 64);
    let box_id = claimed.identity.box_id;
    let rehearsal = claimed.reply().rehearsal;
    let lost_at = claimed.reply().lost_at;
    let target = TargetFolder::look(&into, box_id)?;
    let versions = open::versions_to_try(&claimed, args.version)?;
    let directive = claimed.hub.directive(box_id)?;
    watch.lap("claim");
    interrupt::check()?;

    seat.say(&format!("3 Box {box_name}{}. The ten words open it.", if rehearsal { " (a rehearsal)" } else { "" }));
    let (opened, code) = open::open(given, &client, &claimed, &versions, args.version, &box_name, seat)?;
    watch.lap("words and opening");

    let root = opened.escrow.root();
    let facts = root.facts();
    let check_line = root.check_line().or_stop(Code::Internal, || "the check line cannot be made".into())?;
    let fresh = format!(
        "escrow of {}, code {}, sequence {}, version {} at the hub, check line {check_line}",
        date(facts.made_at),
        facts.code.number,
        facts.sequence,
        opened.number
    );
    seat.say(&format!("4 Opened: {fresh}"));
    let mut notes: Vec<String> = opened.older.map(|older| older.to_string()).into_iter().collect();
    notes.extend(open::notes_of_opening(&opened, &versions));
    notes.iter().for_each(|note| seat.say(&format!("  note: {note}")));
    open::confirm(args, &fresh, seat)?;
    open::prove(configuration, &mut claimed, &opened)?;
    watch.lap("prove");
    interrupt::check()?;

    let (recovered_files, not_kept) =
        install::keep_files(&facts.secrets.files, &configuration.state("recovered-files"));
    not_kept.iter().for_each(|file| seat.say(&format!("  note: {} is not kept: {}", file.what, file.why)));
    let units = connect::note_of_units(root, &configuration.state("recovered-files"));
    units.iter().for_each(|note| seat.say(&format!("  note: {note}")));
    seat.say("5 Connecting …");
    let keyring = Keyring::new(&client, opened.escrow.keys())?;
    let unfit = pve::unfit(node.as_ref(), root, rehearsal);
    let answers = connect::connect(&client, root, directive.as_ref(), unfit.as_ref()).map_err(|stop| match &units {
        // What may be missing for a way to the server is said where it is missing.
        Some(note) => {
            let remedy = stop.remedy.clone().unwrap_or_default();
            stop.remedy(format!("{note}. Otherwise: {remedy}"))
        }
        None => stop,
    })?;
    answers.lines().iter().for_each(|line| seat.say(&format!("  {line}")));
    let connect::Answers { connected, mut missing, notes: of_sources } = answers;
    missing.extend(not_kept);
    notes.extend(of_sources);
    notes.extend(units);
    watch.lap("connect");
    interrupt::check()?;

    seat.say("6 The plan:");
    let ground = pve::ground(node.as_ref(), rehearsal)?;
    let planner =
        Planner { client: &client, keyring: &keyring, trust: &facts.trust, ground: &ground, into: &into, lost_at };
    let plan = planner.plan(&connected, directive.as_ref());
    plan.lines().iter().for_each(|line| seat.say(&format!("  {line}")));
    has_room(&plan, &into)?;
    watch.lap("plan and gate");
    interrupt::check()?;
    target.begin()?;

    // From here on nothing ends the command without its report.
    let mut installed = install::Installed::default();
    if rehearsal {
        notes.push("a rehearsal puts no key, token or source in place".to_owned());
    } else {
        seat.say("7 Putting keys, tokens and sources in place …");
        installed = install_sources(configuration, node.as_ref(), root, opened.escrow.keys());
        if let Err(stop) = enroll::pin_operators(configuration, &facts.trust.operators) {
            notes.push(format!("the operators' keys could not be pinned on this machine: {stop}"));
        }
    }
    missing.append(&mut installed.missing);
    notes.append(&mut installed.notes);
    watch.lap("install");

    seat.say("8 Restoring …");
    let done = restore::run(&client, &keyring, node.as_ref(), &installed, &plan, seat);
    missing.extend(plan.missing);
    missing.extend(done.missing);
    notes.extend(plan.notes);
    if !done.guests.is_empty() {
        notes.push(
            "guests: the signed list of files was looked at before and after each restore; what Proxmox VE's own \
             programs read in between could not be held against it"
                .to_owned(),
        );
    }
    watch.lap("restore");
    drop(keyring);

    let escrow = Escrow {
        version: opened.number.get(),
        code_number: facts.code.number.get(),
        sequence: facts.sequence.get(),
        made_at: facts.made_at.to_string(),
        check_line: check_line.to_string(),
        opened_by_client: opened.escrow.not_by_client().is_empty(),
    };
    let mut closing_version = None;
    if !rehearsal && !interrupt::is_ending() {
        seat.say("9 Closing with a ceremony under the same words …");
        match close(configuration, &claimed, &client, opened, &code) {
            Ok(number) => closing_version = Some(number),
            Err(stop) => missing.push(Missing {
                what: "the closing ceremony".to_owned(),
                why: stop.in_one_line(),
                remedy: "hold one as soon as you can: `tenwords-agent escrow create`".to_owned(),
                waits_for_order: false,
            }),
        }
    }
    drop(code);
    // What was torn out of before this, be it in the closing ceremony, is begun anew by the same command;
    // what came to its end is never cleared again.
    if !interrupt::is_ending()
        && let Err(stop) = target.end()
    {
        notes.push(format!("{stop}: a later run would clear what was restored, so name another --into then"));
    }
    if missing.is_empty() && !interrupt::is_ending() {
        Claimed::forget(configuration);
    }
    watch.lap("closing ceremony");
    Ok(Report {
        v: V1,
        box_id: box_id.to_string(),
        box_name,
        rehearsal,
        interrupted: interrupt::is_ending(),
        escrow,
        guests: done.guests,
        restored: done.archives,
        missing,
        installed: installed.paths,
        recovered_files,
        closing_version,
        closure: closure(rehearsal, claimed.is_proven(), closing_version),
        notes: notes.iter().map(|note| harmless(note, 600)).collect(),
        phases: watch.into_phases(),
    })
}

fn has_room(plan: &Plan<'_>, into: &Path) -> Outcome<()> {
    let (needed, free) = (plan.bytes(), preflight::free_space(into));
    match free {
        Some(free) if free < needed => Err(Stop::new(
            Code::Preflight,
            format!("{} are needed at {}, {} are free", size(needed), into.display(), size(free)),
        )
        .remedy("make room, or name another folder with --into; nothing was installed")),
        _ => Ok(()),
    }
}

// === 7: install ===

fn install_sources(
    configuration: &Configuration,
    node: Option<&Node>,
    root: &Root,
    keys: &BTreeMap<Fingerprint, Arc<GatedKey>>,
) -> install::Installed {
    let facts = root.facts();
    let items: Vec<ToInstall<'_>> = facts
        .trust
        .sources
        .iter()
        .filter_map(|source| {
            Some(ToInstall {
                source,
                key: keys.get(&source.key_fingerprint)?,
                token: facts.secrets.tokens.get(&source.id),
                restore_paths: sources::configured_paths(&facts.trust, &source.id),
            })
        })
        .collect();
    let lost = facts.secrets.files.iter().find(|file| file.path.as_str().ends_with("/storage.cfg"));
    let lost = StorageCfg::parse(lost.map_or(&[], |file| file.data.expose_bytes()));
    install::install(configuration, node, &lost, &items)
}

// === 9: close ===

/// A ceremony under the same words.
fn close(
    configuration: &Configuration,
    claimed: &Claimed,
    client: &Client,
    opened: OpenedEscrow,
    code: &RecoveryCode,
) -> Outcome<u64> {
    let (root, keys) = opened.escrow.into_parts();
    let (label, sequence) = (root.facts().code, root.facts().sequence);
    let history = History::ask(configuration, &claimed.identity, &claimed.hub)?.and(sequence);
    let material = Material::of_recovery(root.into_facts(), &keys);
    let place = Place { configuration, identity: &claimed.identity, hub: &claimed.hub, client };
    let made = ceremony::hold(&place, material, &history, label, code, &mut UnwrapErr(SysRng))?;
    Ok(made.number.get())
}

fn closure(rehearsal: bool, proven: bool, closing: Option<u64>) -> Vec<Closure> {
    if rehearsal {
        return Vec::new();
    }
    let line = |done: bool, what: &str| Closure { what: what.into(), state: if done { "proven" } else { "open" } };
    vec![
        line(proven, "the lost box's certificate is revoked at the hub"),
        line(closing.is_some(), "the escrow is renewed on this machine, under the same words"),
        line(false, "the PBS token is rotated (the lost box still has the old one)"),
        line(false, "other secrets of the lost box are rotated"),
        line(false, "the first new backup of each guest is there, under an escrowed key"),
        line(false, "a new code is drawn, if anybody but the customer saw the words"),
    ]
}
