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
    let mut tests = cargo(["test", "-p", "xtask", "--test", "it", "--", "golden"])?;
    step("writing the golden files", tests.env("TENWORDS_GOLDEN", "write"))?;
    eprintln!("── now read `git diff xtask/tests/golden`: each line there is a decision");
    Ok(ExitCode::SUCCESS)
}
