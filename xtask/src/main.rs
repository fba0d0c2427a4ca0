//! `cargo xtask`: the two commands that a newcomer needs, and the gate's.
//!
//! It starts cargo and Debian's package tool and nothing else: no test, no check and no part of the
//! story lives here, so that plain `cargo test` never knows less than this program. It depends on
//! no room of the product.
#![expect(clippy::disallowed_methods, reason = "starting cargo is what this program is for")]

mod cargo;
mod debian;
mod demo;
mod gate;
mod golden;
mod proof;
mod record;
mod tally;
mod test;

use std::process::ExitCode;

use anyhow::Result;

const HELP: &str = "\
Usage: cargo xtask <command> [arguments]

  demo [ARGS]    build everything and tell the story: a box is lost, ten words bring it back
                 (`cargo demo` is the same; `cargo demo --help` lists its options)
  spikes NAME [ARGS]
                 the same for any evidence: `spikes consumption` shows phase by phase that a key can
                 be escrowed with the client alone, and writes its findings to docs/findings;
                 `spikes idle` measures what the daemon costs while nothing happens, `spikes soak` an
                 hour of it and a hub while things happen, `spikes load` what a hub does under ten
                 thousand boxes that come back at once
  record [ARGS]  record what a customer sees and types at a terminal, as asciicasts and as pictures that
                 move, into docs/recordings; `record --help` lists what there is to record
  test [ARGS]    install what the tests need (as root on Debian), build every program, run every
                 test; ARGS go to `cargo test`, for example `-p tenwords-hub` or `-- s31`
                   --no-install   never install anything; say what is missing and go on
  ci             the gate, exactly as `.ci/run` does it: format, lints, documentation, tests
  golden         write the golden files of the tree and of the operator's texts anew, to be read in
                 review like code
  proof          the long tier: everything that is too slow for the gate; says what it runs

Variables
  TENWORDS_REQUIRE_POSTGRES=1   a machine without PostgreSQL fails instead of skipping by name
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    match run(command.as_deref(), &rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Option<&str>, rest: &[String]) -> Result<ExitCode> {
    let asks_for_help = rest.first().is_some_and(|first| first == "--help" || first == "-h");
    match command {
        Some("demo") => demo::run(rest),
        Some("ci" | "golden" | "proof" | "spikes" | "test") if asks_for_help => help(),
        Some("spikes") => demo::spikes(rest),
        Some("record") => record::run(rest),
        Some("test") => test::run(rest),
        Some("ci") => gate::run(rest),
        Some("golden") => golden::run(rest),
        Some("proof") => proof::run(rest),
        Some("help" | "--help" | "-h") => help(),
        None => {
            eprint!("{HELP}");
            Ok(ExitCode::from(2))
        }
        Some(other) => {
            eprintln!("xtask: there is no command {other:?}\n\n{HELP}");
            Ok(ExitCode::from(2))
        }
    }
}

fn help() -> Result<ExitCode> {
    print!("{HELP}");
    Ok(ExitCode::SUCCESS)
}
