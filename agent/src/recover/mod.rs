//! `recover`: ten words on a new machine, and the data is back.
//!
//! Nine steps, as the design counts them: preflight, claim, words, open (and prove), connect, plan,
//! install, restore, closing ceremony with report. Until the words have opened something, nothing
//! but the claim is kept. Nothing that exists is overwritten.

mod claim;
mod install;
pub(crate) mod plan;
mod preflight;
mod report;
mod restore;
mod target;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    path::Path,
    sync::Arc,
};

use pbs_driver::Client;
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::{
    code::RecoveryCode,
    gate::GatedKey,
    root::{Root, Source},
    select::{MAX_TRIED, Opened, Selection, TryError, date},
};
use tenwords_protocol::{
    directive::Directive,
    fingerprint::Fingerprint,
    problem::ProblemCode,
    recovery::ProveReply,
    ticket::Ticket,
    time::Timestamp,
    v1::V1,
    version::{Kind, StoredHeader},
    words::{Claim, Purpose},
};

use self::{
    claim::Claimed,
    install::ToInstall,
    plan::{Connected, Keyring, Plan},
    preflight::Failures,
    report::{Closure, Escrow, Missing, Report, Stopwatch},
    target::TargetFolder,
};
use crate::{
    ceremony::{self, History, Material, Place},
    cli, enroll,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::HubError,
    interrupt,
    openers::{ByClient, ByClientError},
    settings::Configuration,
    show::{harmless, size},
    sources,
    terminal::Terminal,
    tls, words,
};

/// How often the words may be typed wrong before the command ends.
const ATTEMPTS: usize = 3;

/// `recover`.
pub(crate) fn run(
    configuration: &Configuration,
    args: &cli::Recover,
    ticket: impl FnOnce() -> Outcome<Ticket>,
    json: bool,
) -> Outcome<Report> {
    let mut watch = Stopwatch::start();
    let say = |line: &str| {
        if !json {
            eprintln!("{line}");
        }
    };
    let into = args.into.clone().unwrap_or_else(|| configuration.state("recovered"));
    let into = std::path::absolute(&into).or_stop(Code::Usage, || format!("{} is no path", into.display()))?;

    // Words that come by a descriptor are read before any child is started that could inherit it.
    let given = args.code_fd.map(words::from_descriptor).transpose()?;
    say("1 Looking at this machine …");
    let client = sources::client(&configuration.settings);
    let mut failures = preflight::machine(configuration, &client, &into);
    if given.is_none()
        && let Err(stop) = Terminal::open()
    {
        failures.add_stop(&stop);
    }
    failures.into_outcome("before the words")?;
    let client = client?;
    watch.lap("preflight");

    say("2 Claiming …");
    let mut claimed = Claimed::make(configuration, ticket)?;
    preflight::clock(claimed.hub_time()).into_outcome("before the words")?;
    let box_name = harmless(&claimed.identity.box_name, 64);
    let box_id = claimed.identity.box_id;
    let rehearsal = claimed.reply().rehearsal;
    let lost_at = claimed.reply().lost_at;
    let target = TargetFolder::look(&into, box_id)?;
    let versions = versions_to_try(&claimed, args.version)?;
    let directive = claimed.hub.directive(box_id)?;
    watch.lap("claim");
    interrupt::check()?;

    say(&format!("3 Box {box_name}{}. The ten words open it.", if rehearsal { " (a rehearsal)" } else { "" }));
    let (opened, code) = open(args, given, &client, &claimed, &versions, &box_name)?;
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
    say(&format!("4 Opened: {fresh}"));
    let mut notes: Vec<String> = opened.older.map(|older| older.to_string()).into_iter().collect();
    notes.extend(notes_of_opening(&opened, &versions));
    notes.iter().for_each(|note| say(&format!("  note: {note}")));
    confirm(args, &fresh)?;
    prove(configuration, &mut claimed, &opened)?;
    watch.lap("prove");
    interrupt::check()?;

    let recovered_files = install::keep_files(&facts.secrets.files, &configuration.state("recovered-files"))?;
    let units = note_of_units(root, &configuration.state("recovered-files"));
    units.iter().for_each(|note| say(&format!("  note: {note}")));
    say("5 Connecting …");
    let keyring = Keyring::new(&client, opened.escrow.keys())?;
    let (connected, mut missing) = connect(&client, root, directive.as_ref()).map_err(|stop| match &units {
        // What may be missing for a way to the server is said where it is missing.
        Some(note) => {
            let remedy = stop.remedy.clone().unwrap_or_default();
            stop.remedy(format!("{note}. Otherwise: {remedy}"))
        }
        None => stop,
    })?;
    notes.extend(units);
    watch.lap("connect");
    interrupt::check()?;

    say("6 The plan:");
    let plan = Plan::make(&client, &keyring, &connected, &facts.trust, directive.as_ref(), lost_at, &into);
    plan.lines().iter().for_each(|line| say(&format!("  {line}")));
    has_room(&plan, &into)?;
    watch.lap("plan and gate");
    interrupt::check()?;
    target.begin()?;

    // From here on nothing ends the command without its report.
    let mut installed = install::Installed::default();
    if rehearsal {
        notes.push("a rehearsal puts no key, token or source in place".to_owned());
    } else {
        say("7 Putting keys, tokens and sources in place …");
        installed = install_sources(configuration, root, opened.escrow.keys());
        if let Err(stop) = enroll::pin_operators(configuration, &facts.trust.operators) {
            notes.push(format!("the operators' keys could not be pinned on this machine: {stop}"));
        }
    }
    missing.extend(installed.missing);
    notes.extend(installed.notes);
    watch.lap("install");

    say("8 Restoring …");
    let (restored, failed) = restore::run(&client, &keyring, &plan);
    missing.extend(plan.missing);
    missing.extend(failed);
    notes.extend(plan.notes);
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
        say("9 Closing with a ceremony under the same words …");
        match close(configuration, &claimed, &client, opened, &code) {
            Ok(number) => closing_version = Some(number),
            Err(stop) => missing.push(Missing {
                what: "the closing ceremony".to_owned(),
                why: std::iter::once(stop.what.clone()).chain(stop.causes()).collect::<Vec<_>>().join(": "),
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
        restored,
        missing,
        installed: installed.paths,
        recovered_files,
        closing_version,
        closure: closure(rehearsal, claimed.is_proven(), closing_version),
        notes: notes.iter().map(|note| harmless(note, 600)).collect(),
        phases: watch.into_phases(),
    })
}

/// The headers that the words may need: the one that was named, or the newest until so many codes
/// are among them as are tried.
fn versions_to_try(claimed: &Claimed, named: Option<NonZeroU64>) -> Outcome<Vec<StoredHeader>> {
    let box_id = claimed.identity.box_id;
    if let Some(number) = named {
        return Ok(claimed.hub.version(box_id, number)?.into_iter().collect());
    }
    let enough = |versions: &[StoredHeader]| {
        let facts = versions.iter().map(|stored| stored.header.facts());
        let codes: BTreeSet<_> =
            facts.filter(|facts| facts.kind == Kind::Ceremony).map(|facts| facts.code_id).collect();
        codes.len() > MAX_TRIED
    };
    Ok(claimed.hub.versions_until(box_id, enough)?)
}

// === 3 and 4: words, opening, proof ===

type OpenedEscrow = Opened<ByClientError>;

fn open(
    args: &cli::Recover,
    given: Option<RecoveryCode>,
    client: &Client,
    claimed: &Claimed,
    versions: &[StoredHeader],
    box_name: &str,
) -> Outcome<(OpenedEscrow, RecoveryCode)> {
    let selection = Selection::choose(versions, args.version)
        .or_stop(Code::Preflight, || "there is nothing at the hub that ten words could open".to_owned())
        .map_err(|stop| {
            stop.remedy("ask the operator whether this is the right box, and what versions its hub keeps")
        })?;
    if selection.left_out() > 0 {
        eprintln!("  {} older codes are not tried unless a version is named (--version N)", selection.left_out());
    }
    let try_once = |code: &RecoveryCode| {
        selection.try_words(claimed.identity.box_id, code, &ByClient(client), |number| {
            let stored = versions.iter().find(|stored| stored.number == number).ok_or(HubError::NotFound)?;
            claimed.hub.parts(claimed.identity.box_id, stored)
        })
    };
    if let Some(code) = given {
        let opened = try_once(&code).map_err(refused)?;
        return Ok(with_reading(opened, code));
    }
    let mut terminal = Terminal::open()?;
    let mut heading = format!("Box {box_name} is to be recovered.");
    for attempt in 1..=ATTEMPTS {
        let mut screen = terminal.screen()?;
        let code = words::ask(&mut screen, &heading)?;
        screen.say("Opening …")?;
        let result = try_once(&code);
        drop(screen);
        match result {
            Ok(opened) => return Ok(with_reading(opened, code)),
            Err(TryError::NoneOpened(none)) if attempt < ATTEMPTS => {
                heading = format!(
                    "{none}.\nLook at the number and date on the sheet, and at each word, then type them again."
                );
                terminal.say(&heading)?;
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Err(Stop::new(Code::Internal, "the words were not asked for"))
}

/// The code in the reading that opened: the closing ceremony goes under exactly that.
fn with_reading(mut opened: OpenedEscrow, typed: RecoveryCode) -> (OpenedEscrow, RecoveryCode) {
    let code = opened.other_reading.take().unwrap_or(typed);
    (opened, code)
}

fn refused(error: TryError<HubError>) -> Stop {
    match error {
        TryError::Fetch { number, source } => {
            let stop = Stop::from(source);
            Stop::new(stop.code, format!("version {number} cannot be fetched: {}", stop.what))
                .remedy(stop.remedy.unwrap_or_else(|| "run the same command again".into()))
        }
        TryError::NoneOpened(none) => {
            let older = match none.older_versions {
                0 => String::new(),
                n => format!("; {n} older versions were not tried, and the operator can name one (--version N)"),
            };
            let damaged = match none.refused.is_empty() {
                true => "",
                false => {
                    " If the sheet is the right one, tell the operator: what the hub keeps is not what this box stored."
                }
            };
            Stop::new(Code::WordsWrong, none.to_string()).remedy(format!(
                "take the sheet with the right code number and date, and run the same command again{older}. Nothing was changed.{damaged}"
            ))
        }
        TryError::Refused { number, source } => Stop::new(
            Code::GateRefused,
            format!("the words open version {number}, and what the hub keeps beside it is not what was stored"),
        )
        .remedy("nothing was installed; tell the operator. An older version can be named with --version N")
        .because(source),
        other => Stop::new(Code::Internal, other.to_string()),
    }
}

fn notes_of_opening(opened: &OpenedEscrow, versions: &[StoredHeader]) -> Vec<String> {
    let mut notes = Vec::new();
    for (key, error) in opened.escrow.not_by_client() {
        let why = if error.is_the_clients_own() { "could not be driven" } else { "did not open the copy" };
        notes.push(format!(
            "key {}: proxmox-backup-client {why} ({}); our own reading opened it, and it passed the same gate",
            key.short(),
            plan::chain(error)
        ));
    }
    let root_sha256 = opened.escrow.root_sha256();
    let updates = versions
        .iter()
        .filter(|stored| stored.header.facts().kind == Kind::Update && stored.header.facts().root_sha256 == root_sha256)
        .count();
    if updates > 0 {
        notes.push(format!(
            "{updates} updates lie on this ceremony, which this agent does not read yet: keys and tokens in them are missing here"
        ));
    }
    notes
}

fn confirm(args: &cli::Recover, fresh: &str) -> Outcome<()> {
    if args.yes {
        return Ok(());
    }
    let mut terminal =
        Terminal::open().map_err(|stop| stop.remedy("without a terminal, say --yes if the date fits"))?;
    terminal.say(&format!("\nThis is the {fresh}."))?;
    terminal.say("A hub that hides newer versions would show an older date and number here.")?;
    if terminal.confirm("Does this fit?")? {
        return Ok(());
    }
    Err(Stop::new(Code::GateRefused, "the escrow's date does not fit, you said; nothing was installed")
        .remedy("ask the operator for the other versions, and name one with --version N"))
}

fn prove(configuration: &Configuration, claimed: &mut Claimed, opened: &OpenedEscrow) -> Outcome<()> {
    if claimed.is_proven() {
        return Ok(());
    }
    let claim = Claim {
        purpose: Purpose::Recover,
        box_id: claimed.identity.box_id,
        version: opened.number,
        nonce: claimed.reply().nonce,
        time: Timestamp::now(),
        spki_sha256: claimed.spki_sha256,
    };
    let proof = opened.escrow.root().facts().words_key.sign_proof(&claim);
    let rehearsal = claimed.reply().rehearsal;
    let reply = match claimed.hub.prove(&proof) {
        Ok(reply) => reply,
        // An earlier run of a rehearsal has used the nonce, and its answer was lost: it is recorded.
        Err(HubError::Refused(problem))
            if claimed.is_again() && rehearsal && problem.code == ProblemCode::ProofRefused =>
        {
            ProveReply { v: V1, is_box: false, revoked: 0, certificate: None }
        }
        Err(error) => return Err(error.into()),
    };
    // Only what was asked for is taken: in earnest the box's certificate for our key, else nothing.
    match (rehearsal, reply.is_box, reply.certificate) {
        (true, false, None) => claimed.proven(configuration, None),
        (false, true, Some(certificate)) if tls::spki_sha256(&certificate.0) == Some(claimed.spki_sha256) => {
            claimed.proven(configuration, Some(certificate))
        }
        _ => Err(Stop::new(Code::GateRefused, "the hub's answer to the proof is not the one that was due")
            .remedy("nothing was installed; tell the operator, then run the same command again")),
    }
}

// === 5: connect ===

/// Units that would have to be started before PBS can be reached.
fn note_of_units(root: &Root, kept: &Path) -> Option<String> {
    let is_unit = |path: &str| {
        ["/etc/wireguard/", "/etc/openvpn/", "/etc/ipsec", "/etc/systemd/"].iter().any(|dir| path.starts_with(dir))
    };
    let units: Vec<&str> =
        root.facts().secrets.files.iter().map(|file| file.path.as_str()).filter(|path| is_unit(path)).collect();
    (!units.is_empty()).then(|| {
        format!(
            "the escrow has connection units ({}), which this agent cannot start yet: if PBS is reached only through them, \
             start them by hand from {}, then run the same command again",
            units.join(", "),
            kept.display()
        )
    })
}

/// Every source of the root, and the namespaces that the directive names; what does not answer is
/// reported with all the others, and only nothing at all ends the recovery.
fn connect<'a>(
    client: &Client,
    root: &'a Root,
    directive: Option<&Directive>,
) -> Outcome<(Vec<Connected<'a>>, Vec<Missing>)> {
    let facts = root.facts();
    let mut wanted: Vec<(&Source, Option<&str>)> = facts.trust.sources.iter().map(|source| (source, None)).collect();
    for item in directive.iter().flat_map(|directive| &directive.items) {
        let source = facts.trust.sources.iter().find(|source| source.id == item.source);
        if let (Some(source), Some(namespace)) = (source, &item.namespace)
            && !wanted.iter().any(|(known, ns)| known.id == source.id && *ns == Some(namespace.as_str()))
        {
            wanted.push((source, Some(namespace.as_str())));
        }
    }
    let (mut connected, mut failures, mut missing, mut first) = (Vec::new(), Failures::default(), Vec::new(), None);
    for (source, namespace) in wanted {
        let result = match facts.secrets.tokens.get(&source.id) {
            Some(token) => plan::connect(client, source, namespace, token),
            None => {
                Err(Stop::new(Code::NotAuthorised, format!("source {}: the escrow has no token for it", source.id)))
            }
        };
        match result {
            Ok(source) => connected.push(source),
            Err(stop) => {
                failures.add_stop(&stop);
                first.get_or_insert(stop.code);
                missing.push(Missing {
                    what: format!("source {}", source.id),
                    why: stop.what,
                    remedy: stop.remedy.unwrap_or_else(|| "mend this, then run the same command again".into()),
                    waits_for_order: false,
                });
            }
        }
    }
    if connected.is_empty() {
        let code = first.unwrap_or(Code::Preflight);
        return failures
            .into_outcome("after the words")
            .map(|()| (Vec::new(), Vec::new()))
            .map_err(|stop| stop.with_code(code));
    }
    Ok((connected, missing))
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
    install::install(configuration, &items)
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
