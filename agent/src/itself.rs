//! This same program as a child: for each flow of a console, and for each pass of the daemon, so that it has
//! a lock, an end and a memory of its own.

use std::{env, os::unix::process::CommandExt as _, path::Path, process::Command};

const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a child may know of our environment: how much it logs, and that the journal takes it.
const HANDED_ON: [&str; 2] = ["TENWORDS_LOG", "JOURNAL_STREAM"];

/// A child in a process group of its own: what a terminal sends to us is not for it, it is told to end by us.
#[expect(clippy::disallowed_methods, reason = "this program alone is started here, and by nobody else of the agent")]
pub(crate) fn command(config: &Path) -> Command {
    // What runs now, also when the program was replaced on the disk.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("tenwords-agent").arg("--config").arg(config);
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into()));
    command.envs(HANDED_ON.iter().filter_map(|name| Some((*name, env::var_os(name)?))));
    command.process_group(0);
    command
}
