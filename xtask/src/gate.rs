//! `cargo xtask ci`: runs the gate's own script, so that there is one list of steps and not two.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail};

use crate::cargo::{root, step};

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if let Some(argument) = arguments.first() {
        bail!("ci takes no arguments, and there was {argument:?}");
    }
    let mut script = Command::new("bash");
    script.arg(".ci/run").current_dir(root()?).stdin(Stdio::null());
    step("the gate", &mut script)?;
    Ok(ExitCode::SUCCESS)
}
