//! `cargo demo`: builds every program and hands over to the story.
//!
//! It is driven from here because the story runs the real programs, and a plain `cargo run` would
//! build the one that tells it and none of those that it is about.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::cargo;

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    eprintln!("── the first time this compiles some 300 crates (minutes on two cores); later it is seconds");
    cargo::build_programs()?;
    let story = cargo::programs()?.join("demo");
    eprintln!("── the story");
    // The same process from here on: signals and the exit code are the story's own.
    let error = Command::new(&story).args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", story.display()))
}
