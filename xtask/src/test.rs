//! `cargo xtask test`: everything that a clean machine needs, then every test.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{cargo, debian, tally::Tally};

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let may_install = !arguments.iter().any(|argument| argument == "--no-install");
    let passed_on: Vec<&String> = arguments.iter().filter(|argument| *argument != "--no-install").collect();
    debian::prepare(may_install)?;
    // Tests of one room run the programs of others, and cargo builds only a room's own for it.
    cargo::build_programs_and_tests()?;
    tests(&passed_on, &[])
}

/// `cargo test`, with its output passed through and added up. `settings` are variables for it.
pub(crate) fn tests(arguments: &[&String], settings: &[(&str, &str)]) -> Result<ExitCode> {
    let began = Instant::now();
    let mut command = cargo::cargo(["test", "--no-fail-fast"])?;
    if !arguments.iter().any(|argument| names_a_package(argument)) {
        command.arg("--workspace");
    }
    command.args(arguments).envs(settings.iter().copied()).stdout(Stdio::piped());
    if let Some(folder) = debian::postgres_programs() {
        command.env("TENWORDS_POSTGRES_BIN", folder);
    }
    eprintln!("── every test: {}", cargo::spelled(&command));
    let mut child = command.spawn().context("starting cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut tally = Tally::default();
    let mut stdout = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("reading cargo test's output")?;
        tally.read(&String::from_utf8_lossy(&line));
        stdout.write_all(&line)?;
        stdout.write_all(b"\n")?;
    }
    let status = child.wait().context("waiting for cargo test")?;
    for what in debian::skipped() {
        writeln!(stdout, "skipped: {what}")?;
    }
    writeln!(stdout, "\nall rooms, in {} s:", began.elapsed().as_secs())?;
    // Alone on its line, in the form that a gate can read.
    writeln!(stdout, "{tally}")?;
    Ok(if status.success() && tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn names_a_package(argument: &str) -> bool {
    argument == "--package" || argument.starts_with("--package=") || argument.starts_with("-p")
}
