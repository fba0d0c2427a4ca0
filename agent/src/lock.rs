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
    /// For a command that somebody waits for: a pass of the daemon is let come to its end.
    pub(crate) fn take(configuration: &Configuration) -> Outcome<Self> {
        let until = Instant::now() + PASS;
        loop {
            match lock(configuration, STATE, &std::process::id().to_string()) {
                Ok(file) => return Ok(Self { _file: file }),
                Err(Taken::By(holder)) if holder.ends_with(OF_PASS) && Instant::now() < until => {
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

#[cfg(test)]
mod tests {
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
