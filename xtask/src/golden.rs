//! `cargo xtask golden`: lets the workspace's own tests write what they compare with.
//!
//! The exceptions of wall 1 are in a test's source and not in a golden file: this command cannot
//! widen them.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cargo::{cargo, step};

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if let Some(argument) = arguments.first() {
        bail!("golden takes no arguments, and there was {argument:?}");
    }
    for room in ["xtask", "tenwords-operator"] {
        let mut tests = cargo(["test", "--quiet", "-p", room, "--test", "it", "--", "golden"])?;
        step(room, tests.env("TENWORDS_GOLDEN", "write"))?;
    }
    eprintln!("── now read the diff: each line in it is a decision");
    Ok(ExitCode::SUCCESS)
}
