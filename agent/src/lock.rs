//! One command at a time changes this box's state, and one daemon watches it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::signal::kill,
    unistd::Pid,
};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    settings::Configuration,
};

/// Held while a command changes the state; the kernel gives it back however the command ends.
pub(crate) struct StateLock {
    _file: Flock<File>,
}

/// Held by the daemon as long as it runs: one watches a box.
pub(crate) struct DaemonLock {
    _file: Flock<File>,
}

/// Held while what was told is read and written: passes that run beside each other both do.
pub(crate) struct AlarmsLock {
    _file: Flock<File>,
}

/// How a lock was not to be had.
enum Taken {
    /// By this process, as it has written it down.
    By(String),
    Not(Stop),
}

impl StateLock {
    /// For a command that somebody waits for: a pass of the daemon is let come to its end, and so is what a command
    /// that was killed was just starting.
    pub(crate) fn take(configuration: &Configuration) -> Outcome<Self> {
        let since = Instant::now();
        loop {
            match lock(configuration, STATE, &std::process::id().to_string()) {
                Ok(file) => return Ok(Self { _file: file }),
                Err(Taken::By(holder)) if patience(&holder).is_some_and(|patience| since.elapsed() < patience) => {
                    interrupt::check()?;
                    // The kernel tells nobody that a lock is free, but who sleeps in it and hears no signal.
                    thread::sleep(Duration::from_millis(100));
                }
                Err(taken) => return Err(taken.at_work()),
            }
        }
    }

    /// For a pass of the daemon, which comes again: nothing while a command is at work.
    pub(crate) fn take_for_pass(configuration: &Configuration) -> Outcome<Option<Self>> {
        match lock(configuration, STATE, &format!("{}{OF_PASS}", std::process::id())) {
            Ok(file) => Ok(Some(Self { _file: file })),
            Err(Taken::By(_)) => Ok(None),
            Err(Taken::Not(stop)) => Err(stop),
        }
    }
}

impl DaemonLock {
    pub(crate) fn take(configuration: &Configuration) -> Outcome<Self> {
        match lock(configuration, DAEMON, &std::process::id().to_string()) {
            Ok(file) => Ok(Self { _file: file }),
            Err(Taken::Not(stop)) => Err(stop),
            Err(Taken::By(holder)) => {
                let state = configuration.settings.state.display();
                Err(Stop::new(
                    Code::Preflight,
                    format!("another daemon (process {holder}) watches this box from {state}"),
                )
                .remedy("`systemctl status tenwords-agent` shows it; end one of the two"))
            }
        }
    }
}

impl AlarmsLock {
    /// Waits for it; it is held for no longer than a file takes.
    pub(crate) fn take(configuration: &Configuration) -> Outcome<Self> {
        let cannot = || format!("cannot keep state in {}", configuration.settings.state.display());
        let file = open(configuration, ALARMS).or_stop(Code::Preflight, cannot)?;
        let file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error);
        Ok(Self { _file: file.or_stop(Code::Preflight, cannot)? })
    }
}

impl Taken {
    fn at_work(self) -> Stop {
        match self {
            Self::Not(stop) => stop,
            Self::By(holder) => {
                let holder = holder.trim_end_matches(OF_PASS);
                Stop::new(Code::Preflight, format!("another tenwords-agent (process {holder}) is at work on this box"))
                    .remedy("wait until it has ended, or end it; then run this again")
            }
        }
    }
}

/// How long whoever has written this down is waited for.
fn patience(holder: &str) -> Option<Duration> {
    if let Some(_pass) = holder.strip_suffix(OF_PASS) {
        return Some(PASS);
    }
    // A child has all that its parent has open until it is the program that it is to become: it outlives a parent that
    // is killed in that moment, and the lock with it.
    let process = holder.parse().ok().filter(|number| *number > 0).map(Pid::from_raw)?;
    (kill(process, None) == Err(Errno::ESRCH)).then_some(KILLED)
}

fn lock(configuration: &Configuration, name: &str, whose: &str) -> Result<Flock<File>, Taken> {
    let path = configuration.state(name);
    let cannot = || format!("cannot keep state in {}", configuration.settings.state.display());
    let file = open(configuration, name).or_stop(Code::Preflight, cannot).map_err(Taken::Not)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut file) => {
            // For people, and for who waits for a pass; the lock itself is the kernel's.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{whose}"));
            Ok(file)
        }
        Err((file, Errno::EWOULDBLOCK)) => {
            drop(file);
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            Err(Taken::By(holder.trim().to_owned()))
        }
        Err((_, error)) => Err(Taken::Not(Stop::new(Code::Preflight, cannot()).because(error))),
    }
}

fn open(configuration: &Configuration, name: &str) -> io::Result<File> {
    durable::folder(&configuration.settings.state, 0o700)?;
    let path = configuration.state(name);
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

const STATE: &str = "lock";
const ALARMS: &str = "alarms.lock";
const DAEMON: &str = "daemon.lock";
/// What a pass writes behind its number.
const OF_PASS: &str = " pass";
/// So long a command waits for one.
const PASS: Duration = Duration::from_secs(120);
/// So long for the children of one that is gone.
const KILLED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn configuration(folder: &std::path::Path) -> io::Result<std::path::PathBuf> {
        let path = folder.join("agent.toml");
        std::fs::write(&path, format!("state = \"{}\"", folder.join("state").display()))?;
        Ok(path)
    }

    #[test]
    fn a_command_waits_for_a_pass_and_a_pass_for_no_command() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let configuration = Configuration::read(&configuration(folder.path())?).map_err(|stop| stop.what)?;
        let pass = StateLock::take_for_pass(&configuration).map_err(|stop| stop.what)?;
        assert!(pass.is_some());
        let other = configuration.clone();
        let command = thread::spawn(move || StateLock::take(&other).map_err(|stop| stop.what));
        assert!(StateLock::take_for_pass(&configuration).is_ok_and(|second| second.is_none()));
        drop(pass);
        let command = command.join().map_err(|_| "the command broke")??;
        assert!(StateLock::take_for_pass(&configuration).is_ok_and(|pass| pass.is_none()), "a command is at work");
        drop(command);
        assert!(StateLock::take_for_pass(&configuration).is_ok_and(|pass| pass.is_some()));
        Ok(())
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a child that holds the lock as one does that is just being started")]
    fn what_a_killed_command_was_starting_is_waited_for() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let configuration = Configuration::read(&configuration(folder.path())?).map_err(|stop| stop.what)?;
        // Not `Flock`, which gives the lock back itself, as nobody does who is killed.
        let held = open(&configuration, STATE)?;
        held.lock()?;
        let mut child =
            std::process::Command::new("/bin/cat").stdout(held.try_clone()?).stdin(Stdio::piped()).spawn()?;
        // Its parent has written its number, and is gone.
        let mut gone = std::process::Command::new("/bin/true").spawn()?;
        gone.wait()?;
        std::fs::write(configuration.state(STATE), gone.id().to_string())?;
        drop(held);
        let passes = || StateLock::take_for_pass(&configuration).map(|lock| lock.is_some()).map_err(|stop| stop.what);
        assert!(!passes()?, "the child holds it");
        let other = configuration.clone();
        let command = thread::spawn(move || StateLock::take(&other).map(drop).map_err(|stop| stop.what));
        drop(child.stdin.take());
        child.wait()?;
        command.join().map_err(|_| "the command broke")??;
        assert!(passes()?);
        Ok(())
    }

    #[test]
    fn a_second_daemon_is_told_of_the_first_and_a_command_is_not() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = configuration(folder.path())?;
        let Ok(configuration) = Configuration::read(&path) else { panic!("a configuration") };
        let first = DaemonLock::take(&configuration);
        assert!(first.is_ok());
        let second = DaemonLock::take(&configuration).err().map(|stop| stop.what).unwrap_or_default();
        assert!(second.contains(&format!("process {}", std::process::id())), "{second}");
        assert!(StateLock::take(&configuration).is_ok());
        Ok(())
    }

    #[test]
    fn a_second_command_is_told_of_the_first() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = configuration(folder.path())?;
        let take = || {
            Configuration::read(&path)
                .and_then(|configuration| StateLock::take(&configuration))
                .map_err(|stop| stop.what)
        };
        let first = take();
        assert!(first.is_ok());
        let second = take().err().unwrap_or_default();
        assert!(second.contains(&std::process::id().to_string()), "{second}");
        drop(first);
        assert!(take().is_ok());
        Ok(())
    }
}
