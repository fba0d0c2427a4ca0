//! Running cargo, visibly: each step is named before it starts and timed after it ends.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

/// The workspace's root, whatever folder the command was typed in.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").context("start this as `cargo xtask`, from inside the workspace")?;
    let root = Path::new(&manifest).parent().context("xtask's folder has no parent")?;
    Ok(root.to_owned())
}

/// The folder that holds this build's programs: the one that this program was started from, since
/// it is built with the same profile into the same target directory.
pub(crate) fn programs() -> Result<PathBuf> {
    let this = env::current_exe().context("where this program lies")?;
    Ok(this.parent().context("this program lies in no folder")?.to_owned())
}

/// Every program of every room, in the one profile that all steps share.
pub(crate) fn build_programs() -> Result<()> {
    step("building every program", &mut cargo(["build", "--workspace", "--bins"])?)
}

/// The same and every test. Built in one go, so that programs and tests share one set of features:
/// what the tests' own dependencies switch on would otherwise compile the rooms a second time.
pub(crate) fn build_programs_and_tests() -> Result<()> {
    step("building every program and test", &mut cargo(["build", "--workspace", "--bins", "--tests"])?)
}

/// A cargo command at the workspace's root.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root()?).args(arguments).stdin(Stdio::null());
    Ok(command)
}

/// Names a step, runs it, says how long it took; its failure is ours.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("── {name}: {}", spelled(command));
    let began = Instant::now();
    let status = command.status().with_context(|| format!("starting {}", spelled(command)))?;
    if !status.success() {
        bail!("{name}: {} ended with {status}", spelled(command));
    }
    eprintln!("── {name}: done in {} s", began.elapsed().as_secs());
    Ok(())
}

/// The command as one would type it.
pub(crate) fn spelled(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
