//! `cargo xtask record`: records what a customer sees at a terminal, into docs/recordings.

use std::process::ExitCode;

use anyhow::Result;

use crate::{cargo, demo};

/// From the workspace's root, where the folder is that the recordings go to.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    std::env::set_current_dir(cargo::root()?)?;
    demo::hand_over("record", arguments)
}
