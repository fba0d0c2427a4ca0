//! PVE's own program for storages, for asking it: which storages this node sees, and their room.
//!
//! Writing does not go through it; [`super::install`] says why.

use std::{ffi::OsString, ops::ControlFlow, path::Path, time::Duration};

use super::{error::PveError, node::Node, storage::StorageId};
use crate::{
    environment::Environment,
    error::DriverError,
    failure::Failure,
    group::Exit,
    private::PrivateDir,
    process::{Job, Stdout, run},
    scrub::scrub,
};

/// A line of `pvesm status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageStatus {
    /// The storage's name.
    pub id: String,
    /// `dir`, `pbs`, `lvmthin`, …
    pub kind: String,
    /// Whether PVE can use it right now.
    pub activity: Activity,
    /// In KiB; 0 where PVE does not know.
    pub total: u64,
    /// In KiB.
    pub used: u64,
    /// In KiB.
    pub available: u64,
}

/// Whether PVE can use a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It answers.
    Active,
    /// It is switched off, or not for this node.
    Disabled,
    /// It does not answer.
    Inactive,
}

/// Asks PVE about one storage, or all. PVE asks the storage itself, so this may wait for a server.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::NoProgram`], [`PveError::Program`], [`PveError::Refused`].
pub fn status(node: &Node, private: &PrivateDir, id: Option<&StorageId>) -> Result<Vec<StorageStatus>, PveError> {
    let mut args: Vec<OsString> = vec!["status".into()];
    args.extend(id.into_iter().flat_map(|id| ["--storage".into(), id.as_str().into()]));
    let text = ask(node, private, args, COMMAND)?;
    text.lines().skip(1).map(|line| row(line).ok_or_else(|| unreadable(line))).collect()
}

/// What it prints with these arguments, where it ends well.
pub(super) fn ask(
    node: &Node,
    private: &PrivateDir,
    args: Vec<OsString>,
    command: &'static str,
) -> Result<String, PveError> {
    node.readable()?;
    run_short(&node.paths().pvesm, private, args, command)
}

/// The same of any of PVE's programs that is done soon.
pub(super) fn run_short(
    program: &Path,
    private: &PrivateDir,
    args: Vec<OsString>,
    command: &'static str,
) -> Result<String, PveError> {
    run_within(program, private, args, command, WHOLE)
}

/// The same of one that may take its time.
pub(super) fn run_within(
    program: &Path,
    private: &PrivateDir,
    args: Vec<OsString>,
    command: &'static str,
    whole: Duration,
) -> Result<String, PveError> {
    if !program.is_file() {
        return Err(PveError::NoProgram { program: program.to_owned() });
    }
    let folder = private.folder()?;
    let environment = Environment::offline(&folder)?;
    let job = Job { program, args: &args, environment: &environment, input: None, spawn: SPAWN, whole, stall: None };
    let finished = run(&job, Stdout::Keep(MAX_ANSWER), &mut |_| ControlFlow::Continue(()));
    let finished = finished.map_err(|error| driver(command, error.of_program(command, program)))?;
    if finished.exit != Exit::Code(0) {
        return Err(PveError::Refused { command, said: scrub(&finished.stderr.text(), &[]) });
    }
    Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
}

/// Blanks between the columns; `% ` at the end.
fn row(line: &str) -> Option<StorageStatus> {
    let mut words = line.split_ascii_whitespace();
    let (id, kind) = (words.next()?.to_owned(), words.next()?.to_owned());
    let activity = match words.next()? {
        "active" => Activity::Active,
        "disabled" => Activity::Disabled,
        "inactive" => Activity::Inactive,
        _ => return None,
    };
    let mut number = || words.next()?.parse().ok();
    Some(StorageStatus { id, kind, activity, total: number()?, used: number()?, available: number()? })
}

fn unreadable(line: &str) -> PveError {
    let why = format!("it printed a line that is not understood: {}", scrub(line.as_bytes(), &[]));
    driver(COMMAND, DriverError::Client { command: COMMAND, failure: Failure::Unknown { text: why } })
}

fn driver(command: &'static str, source: DriverError) -> PveError {
    PveError::Program { command, source: Box::new(source) }
}

const COMMAND: &str = "pvesm status";
const SPAWN: Duration = Duration::from_secs(10);
/// It asks each storage in turn; a server that is gone costs it some ten seconds.
const WHOLE: Duration = Duration::from_secs(180);
const MAX_ANSWER: usize = 1024 * 1024;
