//! What the kernel says of a process.

use std::{
    fs,
    path::Path,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The number that stands behind a name in one of the kernel's files, for example `VmRSS:` in KiB.
///
/// # Errors
/// There is no such file, line or number.
pub fn field(path: impl AsRef<Path>, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no line {name}"))?;
    line.split_whitespace().next().and_then(|number| number.parse().ok()).context("no number")
}

/// Asks a process to end, and waits so long for that; then it is ended by force, and that is an error.
///
/// # Errors
/// It did not end.
pub fn end_within(child: &mut Child, most: Duration) -> Result<ExitStatus> {
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    let until = Instant::now() + most;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(50));
    }
    child.kill()?;
    child.wait()?;
    bail!("it was asked to end, and did not within {most:?}")
}
