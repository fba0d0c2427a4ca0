//! `cargo xtask proof`: the long tier, for a release or a doubt. It says what it runs, and running
//! it proves no more than what it names.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail};

use crate::{
    cargo::{build_programs, build_programs_and_tests, programs, root, step},
    debian,
    test::tests,
};

/// Generated cases for each property; the gate runs the 256 of proptest's default.
const CASES: &str = "20000";

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if let Some(argument) = arguments.first() {
        bail!("proof takes no arguments, and there was {argument:?}");
    }
    eprintln!(
        "\
── the long tier runs
   1. every test, with {CASES} generated cases for each property (PROPTEST_CASES)
   2. the tests that are too long for the gate (ignored there, named proof_…)
   3. the story with a gibibyte of data (demo --gib 1)
   4. the consumption phases C0 to C4; their report goes beside the programs, not into the tree
   5. an hour of a daemon and a hub to which things happen (soak)
   It runs no fuzzer and, unless TENWORDS_PBS_CLIENT and PBS_REPOSITORY name one, no real client."
    );
    debian::prepare(true)?;
    build_programs_and_tests()?;
    if tests(&[], &[("PROPTEST_CASES", CASES)])? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let long = ["--", "--ignored", "proof_"].map(str::to_owned);
    if tests(&long.iter().collect::<Vec<_>>(), &[])? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    build_programs()?;
    step("the story with a gibibyte", &mut program("demo", &["--gib", "1"])?)?;
    let report = programs()?.join("escrow-consumption.md");
    step("the consumption phases", program("consumption", &["--out"])?.arg(report))?;
    step("an hour of a daemon and a hub", &mut program("soak", &[])?)?;
    Ok(ExitCode::SUCCESS)
}

fn program(name: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(programs()?.join(name));
    command.args(arguments).current_dir(root()?).stdin(Stdio::null());
    Ok(command)
}
