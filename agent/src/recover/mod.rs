//! `recover`: ten words on a new machine, and the data is back.
//!
//! Nine steps, as the design counts them: preflight, claim, words, open (and prove), connect, plan,
//! install, restore, closing ceremony with report. Until the words have opened something, nothing
//! but the claim is kept. Nothing that exists is overwritten.

mod after;
mod claim;
pub(crate) mod connect;
mod course;
mod former;
mod install;
mod journal;
mod origin;
pub(crate) mod plan;
pub(crate) mod preflight;
mod proof;
mod pve;
pub(crate) mod report;
pub(crate) mod restore;
mod target;

use std::{cell::Cell, collections::BTreeMap, sync::Arc};

use pbs_driver::{
    Client,
    pve::{Node, StorageCfg},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::{code::RecoveryCode, gate::GatedKey, root::Root};
use tenwords_protocol::{fingerprint::Fingerprint, id::BoxId, ticket::Ticket, time::Timestamp, v1::V1};

use self::{
    claim::Claimed,
    install::ToInstall,
    origin::{Folder, Origin},
    plan::{Keyring, Planner},
    report::{Escrow, Missing, Report, Stopwatch},
    target::TargetFolder,
};
use crate::{
    ceremony::{self, History, Made, Material, Place},
    cli, closure, enroll,
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    language::Fresh,
    opening::{self, Candidates, OpenedEscrow},
    seat::Seat,
    settings::Configuration,
    shelf::Shelf,
    show::harmless,
    sources::{self, Way},
    standing::{BoxFacts, Standing},
    words,
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

    if !args.is_without_hub() && (args.rehearsal || args.lost_at.is_some()) {
        return Err(Stop::new(Code::Usage, "--rehearsal and --lost-at are for a recovery without a hub")
            .remedy("have the operator arm it so: `tenwords recovery arm … --rehearsal` or `--lost-at TIME`"));
    }
    // Words that come by a descriptor are read before any child is started that could inherit it.
    let given = args.code_fd.map(words::from_descriptor).transpose()?;
    let given_tokens = connect::Tokens::read(&args.source_token_file)?;
    let asks = given.is_none();
    let talk = seat.talk();
    seat.say(talk.step_look);
    let opened_folder = args.datastore.as_deref().map(|path| Folder::open(configuration, path)).transpose()?;
    let (client, folder) = match opened_folder {
        Some((client, folder)) => (Ok(client), Some(folder)),
        None => (sources::client(&configuration.settings), None),
    };
    let mut failures = preflight::machine(configuration, &client, &into);
    if asks && let Err(stop) = seat.is_taken() {
        failures.add_stop(&stop);
    }
    failures.into_outcome("before the words")?;
    let client = client?;
    let node = sources::node(&configuration.settings)?;
    watch.lap("preflight");

    seat.say(if args.is_without_hub() { talk.step_fetch } else { talk.step_claim });
    let mut origin = Origin::make(configuration, args, &client, ticket, seat)?;
    if let Some(claimed) = origin.claimed() {
        preflight::clock(claimed.hub_time()).into_outcome("before the words")?;
    }
    let (rehearsal, lost_at) = (origin.rehearsal(args), origin.lost_at(args));
    // A folder that is read has no server that could be put in place, and is no box's new life.
    let is_reading = rehearsal || folder.is_some();
    let name = origin.name();
    let early = origin.box_id().map(|box_id| TargetFolder::look(&into, box_id)).transpose()?;
    watch.lap("claim");
    interrupt::check()?;

    let sentences = seat.sentences();
    seat.say(&(talk.step_words)(&name, rehearsal));
    let (opened, code, place, directive, updates, former) = {
        let holder = origin.holder();
        let candidates = Candidates::of(holder, args.version)?;
        let suggested = holder.directive()?;
        let heading = (sentences.to_be_recovered)(&name);
        let (opened, code) = candidates.open(given, &client, &heading, seat)?;
        // Nobody writes a directive beside a backup server's or datastore's kits but somebody else.
        let of_kit = if args.kit.is_some() { holder.directive_with(opened.number) } else { None };
        let directive = suggested.or(of_kit).filter(|directive| !directive.items.is_empty());
        let former = candidates.versions(opened.escrow.root().facts().box_id);
        let updates = candidates.updates(&opened);
        let place = holder.place(opened.number, talk);
        (opened, code, place, directive, updates, former)
    };
    watch.lap("words and opening");

    let root = opened.escrow.root();
    let facts = root.facts();
    let (box_id, box_name) = (facts.box_id, harmless(&facts.box_name, 64));
    // Before anything of this machine is touched, and before the hub hears of it.
    if !is_reading {
        is_free_for(configuration, box_id)?;
    }
    let target = early.map_or_else(|| TargetFolder::look(&into, box_id), Ok)?;
    let check_line = root.check_line().or_stop(Code::Internal, || "the check line cannot be made".into())?;
    let fresh = (talk.fresh)(&Fresh {
        made_at: facts.made_at,
        code: facts.code.number.get(),
        sequence: facts.sequence.get(),
        place: &place,
        check_line: &check_line.to_string(),
    });
    seat.say(&format!("4 {fresh}"));
    let mut notes: Vec<String> = opened
        .older
        .iter()
        .map(|older| (talk.older_code)(older.opened.number.get(), older.made_at, older.newest.get()))
        .collect();
    notes.extend(opening::notes(&opened, updates));
    notes.extend(origin.claimed().and_then(Claimed::stale));
    notes.iter().for_each(|note| seat.say(&format!("  note: {note}")));
    proof::confirm(args, seat)?;
    if let Origin::Hub(claimed) = &mut origin {
        proof::prove(configuration, claimed, &opened)?;
    }
    watch.lap("prove");
    interrupt::check()?;

    let (recovered_files, not_kept) =
        install::keep_files(&facts.secrets.files, &configuration.state("recovered-files"));
    not_kept.iter().for_each(|file| seat.say(&format!("  note: {} is not kept: {}", file.what, file.why)));
    seat.say(talk.step_connect);
    let unfit = pve::unfit(node.as_ref(), root, is_reading);
    let way = match &folder {
        Some(folder) => {
            folder.name_for(&facts.trust.sources)?;
            Way::Folder
        }
        None => Way::Server,
    };
    let connecting = connect::Connecting {
        asking: connect::Asking { client: &client, root, directive: directive.as_ref(), way },
        configuration,
        unfit: unfit.as_ref(),
        asks,
        starts: args.connect,
    };
    let answers = connecting.connect(given_tokens, seat)?;
    answers.lines().iter().for_each(|line| seat.say(&format!("  {line}")));
    let connect::Answers { connected, mut missing, notes: of_sources, tokens, tunnels } = answers;
    missing.extend(not_kept);
    notes.extend(of_sources);
    watch.lap("connect");
    interrupt::check()?;

    let mut keys = opened.escrow.keys().clone();
    let lacking = former::lacking(&connected, &keys, &former);
    let of_former = match asks && !lacking.is_empty() {
        true => former::ask(&lacking, origin.holder(), &client, seat)?,
        false => BTreeMap::new(),
    };
    keys.extend(of_former.iter().map(|(fingerprint, key)| (*fingerprint, Arc::clone(key))));
    let lacking: Vec<_> = lacking.into_iter().filter(|lacking| !lacking.is_held(&keys)).collect();
    notes.extend(lacking.iter().map(former::Lacking::note));
    // A former code may have been replaced because somebody saw it: what its keys have signed since proves
    // nothing.
    let keyring = Keyring::new(&client, &keys)?.until(of_former.keys().copied(), facts.made_at);
    watch.lap("former codes");

    seat.say(talk.step_plan);
    let ground = pve::ground(node.as_ref(), is_reading)?;
    let planner =
        Planner { client: &client, keyring: &keyring, trust: &facts.trust, ground: &ground, into: &into, lost_at };
    let mut plan = planner.plan(&connected, directive.as_ref());
    plan.notes.extend(plan::differences::notes(&connected, directive.as_ref(), origin.claimed()));
    plan.lines().iter().for_each(|line| seat.say(&format!("  {line}")));
    let (lacking_room, of_room) = preflight::room(&plan, node.as_ref(), client.private(), &into, args.overcommit);
    lacking_room.into_outcome("before anything is put in place")?;
    notes.extend(of_room);
    let signing = plan.keys();
    let used: Vec<_> =
        of_former.keys().filter(|key| signing.contains(key)).map(|key| key.short().to_string()).collect();
    if !used.is_empty() {
        notes.push(format!(
            "{} came from a former code, and proved what was backed up before the newest one",
            used.join(", ")
        ));
    }
    watch.lap("plan and gate");
    interrupt::check()?;
    target.begin()?;

    // From here on nothing ends the command without its report.
    let mut installed = install::Installed::default();
    if rehearsal {
        notes.push("a rehearsal puts no key, token or source in place".to_owned());
    } else if folder.is_some() {
        notes.push("a recovery from a datastore's folder puts no key, token or source in place".to_owned());
    } else {
        seat.say(talk.step_install);
        installed = install_sources(configuration, node.as_ref(), root, &keys, &tokens);
        if let Err(stop) = enroll::pin_recovered(configuration, &facts.trust.operators) {
            notes.push(format!("the operators' keys could not be pinned on this machine: {stop}"));
        }
    }
    missing.append(&mut installed.missing);
    notes.append(&mut installed.notes);
    watch.lap("install");

    seat.say(talk.step_restore);
    let mut done = restore::run(&client, &keyring, node.as_ref(), &installed, &plan, args.parallel, seat);
    after::look(&client, &keyring, node.as_ref(), &plan, &mut done.guests, args.patience(), seat);
    // A source that could not be put in place has no jobs either: their storage is not here.
    let jobs = node.as_ref().filter(|_| !is_reading);
    install::jobs::offer(&mut installed, jobs, &facts.secrets.files, args, seat);
    missing.append(&mut installed.missing);
    notes.append(&mut installed.notes);
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
    // Only what has proved something goes on being this box's.
    keys.retain(|key, _| !of_former.contains_key(key) || signing.contains(key));

    let node_id = origin.claimed().map(|claimed| claimed.identity.node_id);
    let begun = (!is_reading).then(|| closure::Begun::of(root, node_id, &done.guests));
    let escrow = Escrow {
        version: origin.number(opened.number),
        place,
        code_number: facts.code.number.get(),
        sequence: facts.sequence.get(),
        made_at: facts.made_at.to_string(),
        check_line: check_line.to_string(),
        opened_by_client: opened.escrow.not_by_client().is_empty(),
    };
    let mut closing = None;
    if !is_reading && !interrupt::is_ending() {
        seat.say(talk.step_close);
        match close(configuration, &origin, &client, opened, &keys, &tokens, &code) {
            Ok(made) => {
                notes.extend(made.warnings.iter().cloned());
                closing = Some(made);
            }
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
    // The new box needs the way that was opened for it; otherwise it is closed here.
    if !is_reading && !interrupt::is_ending() {
        notes.extend(tunnels.stay());
    }
    if missing.is_empty() && !interrupt::is_ending() && origin.claimed().is_some() {
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
        closing_version: closing.as_ref().and_then(|made| origin.number(made.number)),
        closing_kit: closing.as_ref().and_then(|made| made.kit.clone()),
        closure: closure::begin(configuration, begun, &mut notes),
        notes: notes.iter().map(|note| harmless(note, 600)).collect(),
        phases: watch.into_phases(),
    })
}

/// A machine that is another box keeps its state: keys, escrow and pins of that box would be overwritten.
fn is_free_for(configuration: &Configuration, box_id: BoxId) -> Outcome<()> {
    match Standing::load(configuration)?.map(|standing| standing.facts()) {
        Some(BoxFacts { id, name }) if id != box_id => {
            let name = harmless(&name, 64);
            Err(Stop::new(Code::Preflight, format!("this machine is box {name} ({id})"))
                .remedy("recover on a machine that is no box yet; with --rehearsal a kit can be tried anywhere"))
        }
        _ => Ok(()),
    }
}

// === 7: install ===

fn install_sources(
    configuration: &Configuration,
    node: Option<&Node>,
    root: &Root,
    keys: &BTreeMap<Fingerprint, Arc<GatedKey>>,
    tokens: &connect::Tokens,
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
                token: tokens.get(&source.id).or_else(|| facts.secrets.tokens.get(&source.id)),
                restore_paths: sources::configured_paths(&facts.trust, &source.id),
            })
        })
        .collect();
    let lost = facts.secrets.files.iter().find(|file| file.path.as_str().ends_with("/storage.cfg"));
    let lost = StorageCfg::parse(lost.map_or(&[], |file| file.data.expose_bytes()));
    install::install(configuration, node, &lost, &items)
}

// === 9: close ===

/// A ceremony under the same words; without a hub into a kit of its own.
fn close(
    configuration: &Configuration,
    origin: &Origin,
    client: &Client,
    opened: OpenedEscrow,
    keys: &BTreeMap<Fingerprint, Arc<GatedKey>>,
    tokens: &connect::Tokens,
    code: &RecoveryCode,
) -> Outcome<Made> {
    let (root, _) = opened.escrow.into_parts();
    let (label, sequence) = (root.facts().code, root.facts().sequence);
    let of = BoxFacts { id: root.facts().box_id, name: root.facts().box_name.clone() };
    let hub = origin.claimed().map(|claimed| &claimed.hub);
    let history = History::ask(configuration, of.id, hub)?.and(sequence);
    let mut facts = root.into_facts();
    tokens.put_into(&mut facts.secrets.tokens);
    let material = Material::of_recovery(facts, keys);
    let kit = configuration.state(&format!("escrow-{}.kit", Timestamp::now().unix()));
    let shelf = match hub {
        Some(hub) => Shelf::Hub(hub),
        None => Shelf::Kit(&kit),
    };
    let stored = Cell::new(false);
    let place = Place { configuration, of: &of, shelf, client, stored: &stored };
    ceremony::hold(&place, material, &history, label, code, &mut UnwrapErr(SysRng))
}
