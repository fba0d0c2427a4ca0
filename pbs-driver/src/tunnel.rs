//! `wg-quick`: brings a WireGuard interface up from a file, and takes it down again.
//!
//! The interface is the kernel's and outlives the program. What the program itself leaves running in
//! its process group (an implementation of WireGuard outside the kernel, a command in `PostUp` that
//! stays) is ended with it, as with every child here: only what the kernel holds stays up.

use std::{ffi::OsString, ops::ControlFlow, path::Path, time::Duration};

use crate::{
    environment::Environment,
    error::DriverError,
    group::Exit,
    private::PrivateDir,
    process::{Job, Stdout, refused, run},
};

/// What is done with an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is made and set up.
    Up,
    /// It is removed.
    Down,
}

impl Turn {
    /// The program's own word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Runs it on a file, whose name is the interface's. `secrets` are never told of what it says; it is
/// ended when `is_ending` says so.
///
/// # Errors
/// [`DriverError`], with what it said.
pub fn wg_quick(
    program: &Path,
    private: &PrivateDir,
    turn: Turn,
    file: &Path,
    secrets: &[&str],
    is_ending: &dyn Fn() -> bool,
) -> Result<(), DriverError> {
    let args: [OsString; 2] = [turn.word().into(), file.into()];
    let folder = private.folder()?;
    let environment = Environment::offline(&folder)?;
    let job =
        Job { program, args: &args, environment: &environment, input: None, spawn: SPAWN, whole: WHOLE, stall: None };
    let mut watch = |_| if is_ending() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let finished = run(&job, Stdout::Keep(MAX_SAID), &mut watch).map_err(|error| error.of_program(COMMAND, program))?;
    if finished.exit == Exit::Code(0) {
        return Ok(());
    }
    // It echoes each command that it runs; what went wrong stands in the other lines.
    let text = finished.stderr.text();
    let text = String::from_utf8_lossy(&text);
    let said: Vec<&str> = text.lines().filter(|line| !line.starts_with("[#]")).collect();
    Err(refused(COMMAND, said.join("\n").as_bytes(), secrets))
}

const COMMAND: &str = "wg-quick";
const SPAWN: Duration = Duration::from_secs(10);
/// It resolves the peers' names, which takes its time where no name server answers.
const WHOLE: Duration = Duration::from_secs(120);
const MAX_SAID: usize = 64 * 1024;
