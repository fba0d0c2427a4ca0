//! One command at a time changes this box's state.

use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    settings::Configuration,
};

/// Held while a command changes the state; the kernel gives it back however the command ends.
pub(crate) struct StateLock {
    _file: Flock<std::fs::File>,
}

impl StateLock {
    pub(crate) fn take(configuration: &Configuration) -> Outcome<Self> {
        let path = configuration.state("lock");
        let cannot = || format!("cannot keep state in {}", configuration.settings.state.display());
        durable::folder(&configuration.settings.state, 0o700).or_stop(Code::Preflight, cannot)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .or_stop(Code::Preflight, cannot)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                // For people only; the lock itself is the kernel's.
                let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                Ok(Self { _file: file })
            }
            Err((file, Errno::EWOULDBLOCK)) => {
                drop(file);
                let holder = std::fs::read_to_string(&path).unwrap_or_default();
                let holder = holder.trim();
                Err(Stop::new(
                    Code::Preflight,
                    format!("another tenwords-agent (process {holder}) is at work on this box"),
                )
                .remedy("wait until it has ended, or end it; then run this again"))
            }
            Err((_, error)) => Err(Stop::new(Code::Preflight, cannot()).because(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_command_is_told_of_the_first() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, format!("state = \"{}\"", folder.path().join("state").display()))?;
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
