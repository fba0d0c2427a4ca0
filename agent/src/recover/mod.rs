//! `recover`: ten words on a new machine, and the data is back.
//!
//! Nine steps, as the design counts them: preflight, claim, words, open (and prove), connect, plan,
//! install, restore, closing ceremony with report. Until the words have opened something, nothing
//! but the claim is kept; from then on everything that is done is in the [`journal`], and the same
//! command, run again, goes on where it was. What comes next is said by the [`course`], a machine
//! without I/O; [`work`] performs it. Nothing that exists is overwritten, but for what an operator has
//! ordered ([`orders`]).

pub(crate) mod abort;
mod adopt;
mod after;
mod claim;
mod close;
pub(crate) mod connect;
mod course;
mod former;
mod install;
mod journal;
mod log;
pub(crate) mod operators;
mod ordered;
pub(crate) mod orders;
mod origin;
pub(crate) mod plan;
pub(crate) mod preflight;
mod proof;
mod pve;
pub(crate) mod report;
pub(crate) mod restore;
mod resume;
mod settle;
mod stage;
pub(crate) mod status;
mod target;
mod work;

pub(crate) use self::install::scratch::is_one as is_scratch_storage;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::{
    directive::Name,
    id::{BoxId, RecoveryId},
    order::OrderedPlace,
    ticket::Ticket,
    time::Timestamp,
    v1::V1,
};

use self::{
    claim::Claimed,
    close::Closing,
    connect::Roots,
    course::{Begun, Course, Effect, Event},
    log::Log,
    operators::Pinned,
    orders::{Desk, Inbox, Waiting},
    origin::{Folder, Origin},
    plan::Keyring,
    report::{Escrow, Missing, Report, Stopwatch},
    target::TargetFolder,
    work::{Manner, Outcomes, Work},
};
use crate::{
    added::Added,
    cli, closure, cluster,
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    language::Fresh,
    opening::{self, Candidates},
    pins,
    seat::Seat,
    settings::Configuration,
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
    if !args.is_without_hub() && (args.rehearsal || args.lost_at.is_some()) {
        return Err(Stop::new(Code::Usage, "--rehearsal and --lost-at are for a recovery without a hub")
            .remedy("have the operator arm it so: `tenwords recovery arm … --rehearsal` or `--lost-at TIME`"));
    }
    // Words that come by a descriptor are read before any child is started that could inherit it.
    let given = args.code_fd.map(words::from_descriptor).transpose()?;
    let given_tokens = connect::Tokens::read(&args.source_token_file)?;
    let mut inbox = Inbox::of_files(&args.order)?;
    let asks = given.is_none();
    let talk = seat.talk();
    seat.say(talk.step_look);
    let earlier = resume::Earlier::look(configuration, args)?;
    let into = earlier.into.clone();
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
    let is_expected = |box_id, rehearsal| earlier.is_of(Some(box_id), rehearsal);
    let mut origin = Origin::make(configuration, args, &client, is_expected, ticket, seat)?;
    if let Some(claimed) = origin.claimed() {
        preflight::clock(claimed.hub_time()).into_outcome("before the words")?;
    }
    let (rehearsal, lost_at) = (origin.rehearsal(args), earlier.lost_at(origin.lost_at(args)));
    // A folder that is read has no server that could be put in place, and is no box's new life.
    let is_reading = rehearsal || folder.is_some();
    let name = origin.name();
    earlier.is_of(origin.box_id(), rehearsal)?;
    if let Some(living) = cluster::offer(configuration)
        && living.has_others
        && !rehearsal
        && earlier.begun().is_none()
        && origin.box_id() == Some(living.box_id)
    {
        return Err(living.needs_no_words());
    }
    let target = TargetFolder::look(&into, earlier.begun().map(|begun| begun.recovery))?;
    watch.lap("claim");
    interrupt::check()?;

    let sentences = seat.sentences();
    seat.say(&(talk.step_words)(&name, rehearsal));
    let (opened, code, place, directive, added, former) = {
        let holder = origin.holder();
        let candidates = Candidates::of(holder, earlier.version(&holder, args.version)?)?;
        let suggested = holder.directive()?;
        let heading = (sentences.to_be_recovered)(&name);
        let (opened, code) = candidates.open(given, &client, &heading, seat)?;
        // Nobody writes a directive beside a backup server's or datastore's kits but somebody else.
        let of_kit = if args.kit.is_some() { holder.directive_with(opened.number) } else { None };
        let directive = suggested.or(of_kit).filter(|directive| !directive.items.is_empty());
        let former = candidates.versions(opened.escrow.root().facts().box_id);
        let added = Added::open(holder, &opened, lost_at)?;
        let place = holder.place(opened.number, talk);
        (opened, code, place, directive, added, former)
    };
    watch.lap("words and opening");

    let cannot = || "what was opened cannot be read once more".to_owned();
    let statements = operators::gather(configuration, origin.holder(), &opened, &args.pins, seat)?;
    let pinned = Pinned::of(opened.escrow.root(), &statements);
    let root = opened.escrow.root().again().or_stop(Code::Internal, cannot)?.with_operators(pinned.operators().clone());
    let facts = opened.escrow.root().facts();
    let (box_id, box_name) = (facts.box_id, harmless(&facts.box_name, 64));
    // Before anything of this machine is touched, and before the hub hears of it.
    earlier.is_of(Some(box_id), rehearsal)?;
    earlier.is_same(&opened)?;
    if !is_reading {
        is_free_for(configuration, box_id)?;
    }
    let check_line =
        opened.escrow.root().check_line().or_stop(Code::Internal, || "the check line cannot be made".into())?;
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
    notes.extend(opening::notes(&opened, &added));
    notes.extend(origin.claimed().and_then(Claimed::stale));
    notes.iter().for_each(|note| seat.say(&format!("  note: {note}")));
    pinned.lines().iter().for_each(|line| seat.say(&format!("  {}", harmless(line, 400))));
    // Who goes on has said so already.
    if earlier.begun().is_none() {
        proof::confirm(args, seat)?;
    }
    let log = Log::open(configuration, || Begun {
        v: V1,
        at: Timestamp::now(),
        recovery: RecoveryId::random(&mut UnwrapErr(SysRng)),
        box_id,
        box_name: box_name.clone(),
        version: origin.claimed().map(|_| opened.number),
        root_sha256: opened.escrow.root_sha256(),
        rehearsal,
        lost_at,
        into: into.clone(),
    })?;
    if let Origin::Hub(claimed) = &mut origin {
        proof::prove(configuration, claimed, &opened)?;
        if !log.tell(Course::is_proven) {
            log.note(Event::Proven { at: Timestamp::now() })?;
        }
    }
    watch.lap("prove");
    interrupt::check()?;

    // An order to repoint that was used holds for the rest of the recovery.
    if !is_reading {
        pins::keep(configuration, pinned.taken())?;
    }
    let roots = Roots::of(connect::at_these_places(root, &places(&log))?);
    let begun = log.tell(|course| course.begun().cloned());
    let begun = begun.ok_or_else(|| Stop::new(Code::Internal, "the recovery has not begun"))?;
    let node_id = origin.claimed().map(|claimed| claimed.identity.node_id);
    let hub = origin.claimed().map(|claimed| &claimed.hub);
    let desk = (!is_reading).then(|| Desk::new(configuration, &log, &begun, (hub, node_id), &pinned));

    let (recovered_files, not_kept) =
        install::keep_files(&facts.secrets.files, &configuration.state("recovered-files"));
    not_kept.iter().for_each(|file| seat.say(&format!("  note: {} is not kept: {}", file.what, file.why)));
    seat.say(talk.step_connect);
    let unfit = pve::unfit(node.as_ref(), roots.root(), is_reading);
    let way = match &folder {
        Some(folder) => {
            folder.name_for(&facts.trust.sources)?;
            Way::Folder
        }
        None => Way::Server,
    };
    let connecting = connect::Connecting {
        asking: connect::Asking {
            client: &client,
            root: roots.root(),
            directive: directive.as_ref(),
            way,
            elsewhere: &args.repoint,
            added: &added.tokens,
        },
        configuration,
        unfit: unfit.as_ref(),
        asks,
        starts: args.connect,
        desk: desk.as_ref(),
        log: &log,
        patience: args.patience_for_orders(),
    };
    let (root, answers) = connecting.connect(&roots, given_tokens, &mut inbox, seat)?;
    answers.lines().iter().for_each(|line| seat.say(&format!("  {line}")));
    let connect::Answers { connected, mut missing, notes: of_sources, tokens, tunnels } = answers;
    missing.extend(not_kept);
    let mut stale = connect::at_the_old_place(configuration, node.as_ref(), root, &places(&log));
    stale.retain(|row| missing.iter().all(|other| other.what != row.what));
    notes.extend(of_sources);
    watch.lap("connect");
    interrupt::check()?;

    let mut keys = added.keyring(&opened);
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

    let reading = match (rehearsal, &folder) {
        (true, _) => Some("a rehearsal leaves no key, token or source in place"),
        (false, Some(_)) => Some("a recovery from a datastore's folder puts no key, token or source in place"),
        (false, None) => None,
    };
    let work = Work {
        configuration,
        args,
        log: &log,
        begun: &begun,
        client: &client,
        node: node.as_ref(),
        root,
        keys: &keys,
        keyring: &keyring,
        tokens: &tokens,
        connected: &connected,
        directive: directive.as_ref(),
        claimed: origin.claimed(),
        into: &into,
        target: &target,
        lost_at,
        manner: Manner::of(rehearsal, folder.is_some()),
        desk: desk.as_ref(),
    };
    notes.extend(reading.map(str::to_owned));
    let mut outcomes = work.perform(missing, &mut inbox, &mut watch, seat)?;
    connect::instead(&mut outcomes.missing, stale);
    let used: BTreeSet<_> = of_former.keys().filter(|key| outcomes.signing.contains(key)).copied().collect();
    if !used.is_empty() {
        let used: Vec<_> = used.iter().map(|key| key.short().to_string()).collect();
        outcomes.notes.push(format!(
            "{} came from a former code, and proved what was backed up before the newest one",
            used.join(", ")
        ));
    }

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
    outcomes.run.is_ending = interrupt::is_ending();
    if log.next(&outcomes.run) == Effect::Close {
        seat.say(talk.step_close);
        log.note(Event::Closing { at: Timestamp::now() })?;
        // Only what has proved something goes on being this box's.
        let mut own = keys.clone();
        own.retain(|key, _| !of_former.contains_key(key) || outcomes.signing.contains(key));
        let how = Closing { configuration, origin: &origin, client: &client, keys: &own, tokens: &tokens };
        match how.hold(root.again().or_stop(Code::Internal, cannot)?, &code) {
            Ok(made) => {
                notes.extend(made.warnings.iter().cloned());
                log.note(Event::Closed { at: Timestamp::now(), version: Some(made.number) })?;
                closing = Some(made);
            }
            Err(stop) => outcomes.missing.push(Missing {
                what: "the closing ceremony".to_owned(),
                why: stop.in_one_line(),
                remedy: "hold one as soon as you can: `tenwords-agent escrow create`".to_owned(),
                waits_for_order: false,
            }),
        }
        outcomes.run.closing_tried = true;
    }
    drop(code);
    watch.lap("closing ceremony");
    work.await_orders(&mut outcomes, &mut inbox, asks, seat)?;
    watch.lap("orders");
    let Outcomes { mut run, waiting, guests, archives, mut missing, notes: of_work, installed, signing: _ } = outcomes;
    notes.extend(of_work);
    missing.extend(waiting.iter().flat_map(Waiting::missing));
    drop(waiting);
    let checklist = (!is_reading).then(|| closure::Begun::of(root, node_id, &guests));
    run.is_ending = interrupt::is_ending();
    run.is_missing_something = !missing.is_empty();
    // Before the end is noted: who is killed here finds the list begun by the next run, and not lost.
    let closure = closure::begin(configuration, checklist, &mut notes);
    if log.next(&run) == Effect::End {
        // A rehearsal's guests are known by their pool until they are taken away.
        if !rehearsal {
            notes.extend(log::dissolve(begun.recovery, node.as_ref(), client.private()));
        }
        target.end(begun.recovery)?;
        log.note(Event::Ended { at: Timestamp::now() })?;
        if origin.claimed().is_some() {
            Claimed::forget(configuration);
        }
    }
    if rehearsal {
        notes.push(abort::how_to_tidy(&begun, guests.is_empty()));
    }
    if !is_reading && !guests.is_empty() {
        notes.push(FORMER.to_owned());
    }
    // The new box needs the way that was opened for it; otherwise it is closed here.
    if !is_reading && !run.is_ending {
        notes.extend(tunnels.stay());
    }
    Ok(Report {
        v: V1,
        box_id: box_id.to_string(),
        box_name,
        rehearsal,
        interrupted: run.is_ending,
        recovery: begun.recovery,
        escrow,
        guests,
        restored: archives,
        missing,
        installed: installed.paths,
        recovered_files,
        closing_version: closing.as_ref().and_then(|made| origin.number(made.number)),
        closing_kit: closing.as_ref().and_then(|made| made.kit.clone()),
        closure,
        notes: notes.iter().map(|note| harmless(note, 600)).collect(),
        phases: watch.into_phases(),
    })
}

/// After a planned swap above all, where the former machine stands next to the new one.
const FORMER: &str = "if the former machine still runs, or is switched on again: it must not start these guests any more, \
     also not by itself when it boots (there: `pct set N --onboot 0`, `qm set N --onboot 0` for each); only one of the \
     two may be the box";

/// Where sources are, by the orders that this recovery has used.
fn places(log: &Log) -> BTreeMap<Name, OrderedPlace> {
    log.tell(|course| course.orders().places().clone())
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
