//! `cargo demo` and its neighbours: builds every program and hands over to the one that tells.
//!
//! It is driven from here because the story runs the real programs, and a plain `cargo run` would
//! build the one that tells it and none of those that it is about.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::cargo;

const PROGRAMS: &[&str] = &["consumption", "demo", "idle", "load", "soak"];

/// The story of the lost box.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    hand_over("demo", arguments)
}

/// Any program of `spikes`, by its name.
pub(crate) fn spikes(arguments: &[String]) -> Result<ExitCode> {
    match arguments.split_first() {
        Some((name, rest)) if PROGRAMS.contains(&name.as_str()) => hand_over(name, rest),
        Some((name, _)) => bail!("spikes has no program {name:?}; it has {}", PROGRAMS.join(", ")),
        None => bail!("name a program of spikes: {}", PROGRAMS.join(", ")),
    }
}

/// Builds every program and becomes this one.
pub(crate) fn hand_over(name: &str, arguments: &[String]) -> Result<ExitCode> {
    eprintln!("── the first time this compiles some 300 crates (minutes on two cores); later it is seconds");
    cargo::build_programs()?;
    let program = cargo::programs()?.join(name);
    eprintln!("── {name}");
    // The same process from here on: signals and the exit code are its own.
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", program.display()))
}
