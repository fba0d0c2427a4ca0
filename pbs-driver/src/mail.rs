//! Hands a message to the machine's own mailer: `sendmail -i -t`, as every Unix mailer takes it.
//!
//! On Proxmox VE mail to root is forwarded to PVE's notification system (`proxmox-mail-forward`, target
//! `mail-to-root` and whatever an administrator has set up beside it), so that an alarm takes the way on which
//! PVE's own come.

use std::{
    ffi::OsString,
    io::{Seek as _, Write as _},
    ops::ControlFlow,
    path::Path,
    time::Duration,
};

use crate::{
    environment::Environment,
    error::DriverError,
    group::Exit,
    private::PrivateDir,
    process::{Job, Stdout, refused, run},
};

/// Hands it over. The message is whole, headers and all.
///
/// # Errors
/// [`DriverError`], with what the mailer said.
pub fn send(
    program: &Path,
    private: &PrivateDir,
    message: &str,
    is_ending: &dyn Fn() -> bool,
) -> Result<(), DriverError> {
    let folder = private.folder()?;
    let environment = Environment::offline(&folder)?;
    let io = |source| DriverError::Io { doing: "writing the message for", path: program.to_owned(), source };
    let mut input = tempfile::tempfile_in(folder.path()).map_err(io)?;
    input.write_all(message.as_bytes()).and_then(|()| input.rewind()).map_err(io)?;
    let args: [OsString; 2] = ["-i".into(), "-t".into()];
    let job = Job {
        program,
        args: &args,
        environment: &environment,
        input: Some(&input),
        spawn: SPAWN,
        whole: WHOLE,
        stall: None,
    };
    let mut watch = |_| if is_ending() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let finished = run(&job, Stdout::Keep(MAX_SAID), &mut watch).map_err(|error| error.of_program(COMMAND, program))?;
    if finished.exit == Exit::Code(0) {
        return Ok(());
    }
    Err(refused(COMMAND, &finished.stderr.text(), &[]))
}

const COMMAND: &str = "sendmail";
const SPAWN: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);
const MAX_SAID: usize = 64 * 1024;
