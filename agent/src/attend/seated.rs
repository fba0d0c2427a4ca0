//! A command whose customer sits at the console: the same work, with another seat, and an end that is
//! said in plain words.

use std::process::ExitCode;

use tenwords_protocol::ticket::Ticket;

use crate::{
    ceremony,
    cli::{Cli, Command, Escrow},
    console::language::{self, Sentences},
    drill,
    exit::{Code, Outcome, Stop},
    language::Language,
    lock::StateLock,
    lost_words, recover,
    seat::{Remote, Seat},
    settings::Configuration,
    sheet,
    status::{self, Status},
};

/// How it ended: for the customer, and for whoever helps him.
struct Said {
    code: ExitCode,
    plain: Vec<String>,
    lines: Vec<String>,
}

/// Runs the command for the console behind standard input.
pub(crate) fn run(cli: &Cli, protected: Outcome<()>) -> ExitCode {
    // A process that was started as /proc/self/exe would be named so.
    let _only_a_name = nix::sys::prctl::set_name(c"tenwords-agent");
    let mut seat = match Remote::at_standard_input() {
        Ok(seat) => seat,
        Err(stop) => {
            crate::tell(&stop, false);
            return stop.code.into();
        }
    };
    let sentences = language::sentences(Language::of_environment());
    let configuration = protected.and_then(|()| Configuration::read(&cli.config));
    let (call, end) = match configuration {
        Ok(configuration) => (call(&configuration, sentences), serve(cli, &configuration, sentences, &mut seat)),
        Err(stop) => ((sentences.call)(None, None), Err(stop)),
    };
    let Said { code, mut plain, lines } = end.unwrap_or_else(|stop| {
        // Also where the machine's log is, since the console may have gone.
        crate::tell(&stop, false);
        stopped(&stop, &cli.command, sentences)
    });
    if code != ExitCode::SUCCESS && code != ExitCode::from(Code::Interrupted as u8) {
        plain.push(call);
    }
    seat.ends(number(code), plain, lines);
    code
}

fn serve(cli: &Cli, configuration: &Configuration, sentences: &Sentences, seat: &mut Remote) -> Outcome<Said> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    match &cli.command {
        Command::Status => Ok(standing(&status::look(configuration)?, sentences, seat.language())),
        Command::Escrow(Escrow::Create(args)) => {
            let _lock = StateLock::take(configuration)?;
            let made = ceremony::run(configuration, args, seat)?;
            let mut plain = vec![sentences.ceremony_done.to_owned()];
            plain.extend(made.former_sheet(seat.talk()));
            Ok(Said { code: ExitCode::SUCCESS, plain, lines: made.lines(seat.talk()) })
        }
        Command::Recover(args) => {
            let _lock = StateLock::take(configuration)?;
            if let Some(done) = recover::status::done(configuration)? {
                let plain = vec![sentences.recovered.to_owned()];
                return Ok(Said { code: ExitCode::SUCCESS, plain, lines: done.lines() });
            }
            let report = recover::run(configuration, args, |seat| ticket(seat, sentences), seat)?;
            let code = report.exit_code();
            let is_whole = code == ExitCode::SUCCESS;
            let plain = match (is_whole, report.rehearsal) {
                (true, true) => sentences.rehearsed,
                (true, false) => sentences.recovered,
                (false, _) => sentences.partly_recovered,
            };
            Ok(Said { code, plain: vec![plain.to_owned()], lines: report.lines() })
        }
        Command::Drill(args) => {
            let _lock = StateLock::take(configuration)?;
            let report = drill::run(configuration, args, seat)?;
            let code = report.exit_code();
            let plain = if code == ExitCode::SUCCESS { sentences.drilled } else { sentences.not_drilled };
            Ok(Said { code, plain: vec![plain.to_owned()], lines: report.lines() })
        }
        Command::LostWords => {
            let answer = lost_words::answer(configuration);
            Ok(Said { code: ExitCode::SUCCESS, plain: answer.page(seat.language()), lines: Vec::new() })
        }
        _ => Err(Stop::new(Code::Usage, "this command is not one that the console asks for")),
    }
}

/// How the box stands, in plain words.
fn standing(status: &Status, sentences: &Sentences, language: Language) -> Said {
    let lines = status.lines();
    match &status.escrow {
        Some(escrow) if status.protected() => {
            let day = sheet::day(escrow.made_at, language);
            let mut plain =
                vec![(sentences.protected)(escrow.code_number, &day), (sentences.compare)(&escrow.check_line)];
            if status.is_green() {
                return Said { code: ExitCode::SUCCESS, plain, lines };
            }
            plain.push((sentences.not_closed)(status.open_lines()));
            Said { code: Code::Unprotected.into(), plain, lines }
        }
        _ if status.is_revoked() => {
            Said { code: Code::Unprotected.into(), plain: vec![sentences.revoked.to_owned()], lines }
        }
        _ => Said { code: Code::Unprotected.into(), plain: not_protected(sentences), lines },
    }
}

fn not_protected(sentences: &Sentences) -> Vec<String> {
    vec![sentences.not_protected.to_owned(), sentences.what_to_do.to_owned()]
}

/// Why it stopped: in plain words, and what there is to know.
fn stopped(stop: &Stop, command: &Command, sentences: &Sentences) -> Said {
    let is_ceremony = matches!(command, Command::Escrow(_));
    let mut plain = match (command, stop.code) {
        (Command::Status, Code::Unprotected) => not_protected(sentences),
        (Command::Recover(_), Code::NotAuthorised) => vec![sentences.not_admitted.to_owned()],
        (_, code) => vec![why(code, sentences).to_owned()],
    };
    if is_ceremony {
        plain.push(sentences.ceremony_void.to_owned());
    }
    let causes = stop.causes().into_iter().map(|cause| format!("because: {cause}"));
    let remedy = stop.remedy.iter().map(|remedy| format!("what to do: {remedy}"));
    let lines = std::iter::once(stop.what.clone()).chain(causes).chain(remedy).collect();
    Said { code: stop.code.into(), plain, lines }
}

const fn why(code: Code, sentences: &Sentences) -> &'static str {
    match code {
        Code::WordsWrong => sentences.words_wrong,
        Code::GateRefused => sentences.refused,
        Code::Unreachable => sentences.unreachable,
        Code::Interrupted => sentences.told_off,
        Code::PartlyRestored | Code::WaitingForOrder => sentences.partly_recovered,
        Code::Unprotected | Code::Usage | Code::Preflight | Code::NotAuthorised | Code::Internal => {
            sentences.not_possible
        }
    }
}

/// The ticket; asked for until it is one.
fn ticket(seat: &mut dyn Seat, sentences: &Sentences) -> Outcome<Ticket> {
    loop {
        let typed = seat.ask(sentences.ticket)?;
        match typed.trim().parse() {
            Ok(ticket) => return Ok(ticket),
            Err(error) => seat.say(&format!("{}\n  ({error})", sentences.ticket_wrong)),
        }
    }
}

/// Whom to call, as the settings and the sheet have it.
fn call(configuration: &Configuration, sentences: &Sentences) -> String {
    let operator = &configuration.settings.operator;
    (sentences.call)(operator.name.as_deref(), operator.phone.as_deref())
}

/// The code as a number, which its type does not tell.
fn number(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|number| ExitCode::from(*number) == code).unwrap_or(Code::Internal as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_what_it_was() {
        for code in [Code::Unprotected, Code::PartlyRestored, Code::Interrupted] {
            assert_eq!(number(code.into()), code as u8);
        }
    }

    #[test]
    fn a_ceremony_that_stopped_says_that_its_sheet_protects_nothing() {
        use clap::Parser as _;
        let Ok(cli) = Cli::try_parse_from(["tenwords-agent", "escrow", "create"]) else { panic!("a ceremony") };
        for language in Language::ALL {
            let sentences = language::sentences(language);
            for code in [Code::Interrupted, Code::GateRefused, Code::Unreachable] {
                let said = stopped(&Stop::new(code, "it broke").remedy("mend it"), &cli.command, sentences);
                assert!(said.plain.iter().any(|line| line == sentences.ceremony_void), "{code:?}");
                assert_eq!(said.lines, ["it broke", "what to do: mend it"]);
            }
        }
    }
}
