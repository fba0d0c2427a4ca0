//! tenwords-agent: wires the command line to the rooms, and says how it ended.

mod added;
mod attend;
mod ceremony;
mod cli;
mod closure;
mod cluster;
mod console;
mod daemon;
mod drill;
mod durable;
mod editor;
mod enroll;
mod exit;
mod hub;
mod identity;
mod interrupt;
mod inventory;
mod itself;
mod keys;
mod kit;
mod kits;
mod language;
mod lineage;
mod lock;
mod log;
mod lost_words;
mod notify;
mod openers;
mod opening;
mod pins;
mod readiness;
mod record;
mod recover;
mod renew;
mod report;
mod seat;
mod second_holder;
mod self_test;
mod settings;
mod sheet;
mod shelf;
mod show;
mod sources;
mod standing;
mod status;
mod terminal;
mod tls;
mod update;
mod words;

use std::{io::Read as _, path::Path, process::ExitCode};

use clap::Parser as _;
use nix::sys::resource::{Resource, setrlimit};
use serde_json::json;
use tenwords_protocol::{ticket::Ticket, time::Timestamp};
use zeroize::Zeroizing;

use crate::{
    cli::{Cli, Command, Escrow, TicketSource},
    exit::{Code, OrStop as _, Outcome, Stop},
    language::Language,
    lock::StateLock,
    seat::{Local, Seat},
    settings::Configuration,
};

fn main() -> ExitCode {
    let protected = protect();
    let cli = Cli::parse();
    log::begin(matches!(cli.command, Command::Run | Command::Pass(_)));
    if cli.seat {
        return attend::seated::run(&cli, protected);
    }
    if let (Command::Pass(args), true) = (&cli.command, protected.is_ok()) {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        return daemon::passes::run(&cli, args);
    }
    match protected.and_then(|()| run(&cli)) {
        Ok(code) => code,
        Err(stop) => {
            tell(&stop, cli.json);
            stop.code.into()
        }
    }
}

/// Neither we nor a child of ours leaves a core file, in which a word or a key might stand. The
/// limit does not bind a handler that the kernel pipes cores to; for that we are marked as not
/// dumpable (as root: for others it would close our own descriptors to us). Signals end us in order.
fn protect() -> Outcome<()> {
    let cannot = || "cannot switch core files off".to_owned();
    setrlimit(Resource::RLIMIT_CORE, 0, 0).or_stop(Code::Internal, cannot)?;
    if nix::unistd::geteuid().is_root() {
        nix::sys::prctl::set_dumpable(false).or_stop(Code::Internal, cannot)?;
    }
    interrupt::install()
}

fn run(cli: &Cli) -> Outcome<ExitCode> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    if let Command::Console(args) = &cli.command {
        // Without rights it could not read root's configuration.
        return console::run(args.socket.as_deref()).map(|()| ExitCode::SUCCESS);
    }
    let configuration = Configuration::read(&cli.config)?;
    match &cli.command {
        Command::Run => daemon::run(configuration).map(|()| ExitCode::SUCCESS),
        Command::Attend => attend::run(&configuration).map(|()| ExitCode::SUCCESS),
        Command::Console(_) | Command::Pass(_) => Ok(ExitCode::SUCCESS),
        Command::SelfTest => {
            let tested = self_test::run(&configuration)?.judged()?;
            result(cli.json, &tested, || tested.lines())
        }
        Command::Enroll(args) => {
            let _lock = StateLock::take(&configuration)?;
            let enrolled = match enroll::standing(&configuration, args)? {
                Some(_) if args.again => {
                    let ticket = ticket(&args.ticket, &mut Local::of_command(true))?;
                    enroll::again(&configuration, ticket)?
                }
                Some(enrolled) => enrolled,
                None => {
                    let ticket = ticket(&args.ticket, &mut Local::of_command(true))?;
                    enroll::run(&configuration, ticket, (&args.operator_keys, args.operators_generation))?
                }
            };
            result(cli.json, &enrolled, || enrolled.lines())
        }
        Command::Join(cli::Join { let_in: Some(node), .. }) => {
            let let_in = cluster::let_in(&configuration, node)?;
            result(cli.json, &let_in, || let_in.lines())
        }
        Command::Join(args) => {
            // Waited for without the lock: the daemon goes on meanwhile.
            let ticket = match args.ticket.is_given() {
                true => Some(ticket(&args.ticket, &mut Local::of_command(true))?),
                false => cluster::ticket(&configuration, !args.no_wait, args.again)?,
            };
            let _lock = StateLock::take(&configuration)?;
            let joined = cluster::join(&configuration, ticket, args.leave.as_deref())?;
            result(cli.json, &joined, || joined.lines())
        }
        Command::Keeper(args) => {
            let keeper = match &args.node {
                None => cluster::show(&configuration)?,
                Some(node) => {
                    let _lock = StateLock::take(&configuration)?;
                    cluster::move_to(&configuration, node)?
                }
            };
            result(cli.json, &keeper, || keeper.lines())
        }
        Command::Renew(args) => {
            let _lock = StateLock::take(&configuration)?;
            let renewed = renew::if_due(&configuration, Timestamp::now(), args.now)?;
            result(cli.json, &renewed, || renewed.lines())
        }
        Command::Escrow(Escrow::Create(args)) => {
            let _lock = StateLock::take(&configuration)?;
            let made = ceremony::run(&configuration, args, &mut Local::at_terminal())?;
            result(cli.json, &made, || made.lines(Language::of_environment().talk()))
        }
        Command::Escrow(Escrow::Update) => {
            let _lock = StateLock::take(&configuration)?;
            let kept = update::bring_up_to_date(&configuration, Timestamp::now())?;
            result(cli.json, &kept, || kept.lines())?;
            Ok(if kept.is_current() { ExitCode::SUCCESS } else { Code::Unprotected.into() })
        }
        Command::Key(cli::Key::List) => {
            let listed = lineage::list(&configuration)?;
            result(cli.json, &listed, || listed.lines())
        }
        Command::Key(cli::Key::Needed) => {
            let _lock = StateLock::take(&configuration)?;
            let asked = lineage::ask(&configuration)?;
            result(cli.json, &asked, || asked.lines())?;
            Ok(asked.failed.map_or(ExitCode::SUCCESS, Into::into))
        }
        Command::Key(cli::Key::PutBack(args)) => {
            let _lock = StateLock::take(&configuration)?;
            let put_back = lineage::put_back(&configuration, args, &mut Local::of_command(cli.json))?;
            result(cli.json, &put_back, || put_back.lines())
        }
        Command::Sheet(args) => {
            let written = sheet::run(&configuration, args)?;
            result(cli.json, &written, || written.lines())
        }
        Command::Kit(args) => {
            let written = kit::run(&configuration, args)?;
            result(cli.json, &written, || written.lines())
        }
        Command::LostWords => {
            let answer = lost_words::answer(&configuration);
            result(cli.json, &answer, || answer.lines())
        }
        Command::Status => {
            let status = status::look(&configuration)?;
            result(cli.json, &status, || status.all_lines())?;
            Ok(if status.is_green() { ExitCode::SUCCESS } else { Code::Unprotected.into() })
        }
        Command::Closure(args) => {
            let _lock = StateLock::take(&configuration)?;
            let closure = match &args.command {
                None => closure::look(&configuration)?,
                Some(cli::ClosureCommand::Attest { line, by, reason }) => {
                    closure::attest(&configuration, line, by, reason)?
                }
            };
            result(cli.json, &closure, || closure.lines())?;
            Ok(if closure.closed { ExitCode::SUCCESS } else { Code::Unprotected.into() })
        }
        Command::Inventory => {
            let taken = inventory::take(&configuration)?;
            result(cli.json, &taken.inventory, || taken.lines())?;
            Ok(taken.failed.map_or(ExitCode::SUCCESS, Into::into))
        }
        Command::Drill(args) => {
            let _lock = StateLock::take(&configuration)?;
            let report = drill::run(&configuration, args, &mut Local::of_command(cli.json))?;
            result(cli.json, &report, || report.lines())?;
            Ok(report.exit_code())
        }
        Command::Pins(cli::Pins::Show) => {
            let stands = pins::show(&configuration)?;
            result(cli.json, &stands, || stands.lines())
        }
        Command::Pins(cli::Pins::Take { files }) => {
            let _lock = StateLock::take(&configuration)?;
            let stands = pins::take(&configuration, files)?;
            result(cli.json, &stands, || stands.lines())
        }
        Command::Recover(args) if args.status => {
            let status = recover::status::look(&configuration)?;
            result(cli.json, &status, || status.lines())?;
            Ok(status.exit_code())
        }
        Command::Recover(args) if args.abort => {
            let _lock = StateLock::take(&configuration)?;
            let aborted = recover::abort::run(&configuration)?;
            result(cli.json, &aborted, || aborted.lines())
        }
        Command::Recover(args) => {
            let _lock = StateLock::take(&configuration)?;
            if let Some(done) = recover::status::done(&configuration)? {
                return result(cli.json, &done, || done.lines());
            }
            let mut seat = Local::of_command(cli.json);
            let report = recover::run(&configuration, args, |seat| ticket(&args.ticket, seat), &mut seat)?;
            result(cli.json, &report, || report.lines())?;
            Ok(report.exit_code())
        }
    }
}

/// The result: data on standard output, as JSON or as a person reads it.
fn result(json: bool, value: &impl serde::Serialize, lines: impl FnOnce() -> Vec<String>) -> Outcome<ExitCode> {
    if json {
        let text = serde_json::to_string(value).or_stop(Code::Internal, || "cannot write the result".into())?;
        println!("{}", show::ascii(&text));
    } else {
        lines().iter().for_each(|line| println!("{}", terminal::fitted(&std::io::stdout(), line)));
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(stop: &Stop, json: bool) {
    let causes = stop.causes();
    if json {
        let text =
            json!({"v": 1, "error": stop.what, "causes": causes, "remedy": stop.remedy, "exit_code": stop.code as u8});
        println!("{}", show::ascii(&text.to_string()));
        return;
    }
    let say = |line: &str| eprintln!("{}", terminal::fitted(&std::io::stderr(), line));
    say(&format!("tenwords-agent: {stop}"));
    for cause in causes {
        say(&format!("  because: {cause}"));
    }
    if let Some(remedy) = &stop.remedy {
        say(&format!("  what to do: {remedy}"));
    }
}

/// The ticket from where the command line says, or asked for at the terminal.
fn ticket(source: &TicketSource, seat: &mut dyn Seat) -> Outcome<Ticket> {
    const LIMIT: u64 = 4096;
    let text = match (&source.ticket, &source.ticket_file) {
        (Some(ticket), _) => Zeroizing::new(ticket.clone()),
        (None, Some(path)) => {
            let what = || format!("cannot read the ticket from {}", path.display());
            let mut text = Zeroizing::new(String::with_capacity(LIMIT as usize));
            if path == Path::new("-") {
                std::io::stdin().take(LIMIT).read_to_string(&mut text).or_stop(Code::Usage, what)?;
            } else {
                let bytes = Zeroizing::new(durable::read_limited(path, LIMIT).or_stop(Code::Usage, what)?);
                text.push_str(std::str::from_utf8(&bytes).or_stop(Code::Usage, what)?);
            }
            text
        }
        (None, None) => seat.ask("The ticket, as the operator reads it out: ")?,
    };
    text.parse().map_err(|error| {
        Stop::new(Code::Usage, "the ticket cannot be read")
            .remedy("compare it with what the operator sees, group by group")
            .because(error)
    })
}
