//! What must be right before anybody types the words, and before anything is touched: every failure at once,
//! each with its remedy.

mod room;

use std::path::Path;

use nix::sys::statvfs::statvfs;
use pbs_driver::{Client, version};
use tenwords_protocol::time::Timestamp;

use crate::{
    exit::{Code, Outcome, Stop},
    settings::Configuration,
    show::size,
};

pub(crate) use self::room::room;

/// Two derivations of 64 MiB each, beside the client's own memory.
const MEMORY: u64 = 256 << 20;
const STATE_SPACE: u64 = 64 << 20;
const RUNTIME_SPACE: u64 = 4 << 20;
/// A clock that is further off than this makes certificates and snapshots look wrong.
const CLOCK: u64 = 120;

/// One thing that must be mended.
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) remedy: String,
}

/// Everything that is wrong with this machine.
#[derive(Default)]
pub(crate) struct Failures(Vec<Failure>);

impl Failures {
    pub(crate) fn add(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Failure { what: what.into(), remedy: remedy.into() });
    }

    pub(crate) fn add_stop(&mut self, stop: &Stop) {
        self.add(
            stop.in_one_line(),
            stop.remedy.clone().unwrap_or_else(|| "mend this, then run the same command again".into()),
        );
    }

    /// Stops if anything is wrong, saying all of it.
    pub(crate) fn into_outcome(self, when: &str) -> Outcome<()> {
        let mut failures = self.0;
        match failures.len() {
            0 => Ok(()),
            1 => {
                let Failure { what, remedy } = failures.remove(0);
                Err(Stop::new(Code::Preflight, format!("{when}: {what}")).remedy(remedy))
            }
            n => {
                let list: String = failures
                    .iter()
                    .enumerate()
                    .map(|(index, failure)| {
                        format!("\n  {}. {}\n     what to do: {}", index + 1, failure.what, failure.remedy)
                    })
                    .collect();
                Err(Stop::new(Code::Preflight, format!("{when}: {n} things are to be mended first:{list}"))
                    .remedy("mend each of them, then run the same command again; nothing was changed"))
            }
        }
    }
}

/// The machine itself: tools, memory, space.
pub(crate) fn machine(configuration: &Configuration, client: &Outcome<Client>, into: &Path) -> Failures {
    let mut failures = Failures::default();
    match client {
        Ok(client) => {
            if let Err(error) = version::client(client) {
                failures.add(
                    format!("{} does not say its version: {error}", configuration.settings.client.display()),
                    "install the package proxmox-backup-client, or name the program in the configuration",
                );
            }
        }
        Err(stop) => failures.add_stop(stop),
    }
    if let Some(available) = available_memory()
        && available < MEMORY
    {
        failures.add(
            format!("{} of memory are free, {} are needed to open the keys", size(available), size(MEMORY)),
            "stop what this machine does not need now",
        );
    }
    for (path, needed) in [
        (configuration.settings.state.as_path(), STATE_SPACE),
        (&configuration.settings.runtime, RUNTIME_SPACE),
        (into, STATE_SPACE),
    ] {
        if let Some(free) = free_space(path)
            && free < needed
        {
            failures.add(
                format!("{} of space are free at {}, {} are needed at least", size(free), path.display(), size(needed)),
                "make room there",
            );
        }
    }
    failures
}

/// Our clock against the hub's.
pub(crate) fn clock(hub_time: Timestamp) -> Failures {
    let mut failures = Failures::default();
    let ours = Timestamp::now();
    if ours.unix().abs_diff(hub_time.unix()) > CLOCK {
        failures.add(
            format!("this machine's clock says {ours}, the hub's says {hub_time}"),
            "set this machine's clock (`timedatectl set-time …`), or ask the operator whether the hub's is wrong",
        );
    }
    failures
}

/// Bytes free for us at `path`, or at the nearest folder above it that exists.
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|ancestor| ancestor.exists())?;
    let found = statvfs(existing).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}

fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_failures_are_told_at_once_each_with_its_remedy() {
        let mut failures = Failures::default();
        failures.add("one", "mend one");
        failures.add("two", "mend two");
        let told = failures.into_outcome("before the words").err().map(|stop| stop.what);
        let told = told.unwrap_or_default();
        for part in ["2 things", "1. one", "mend one", "2. two", "mend two"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn a_clock_that_is_off_is_named_with_both_times() {
        let hub = Timestamp::from_unix(Timestamp::now().unix() - 3600).unwrap_or_else(|_| Timestamp::now());
        let stop = clock(hub).into_outcome("before the words").err();
        assert!(stop.is_some_and(|stop| stop.code == Code::Preflight && stop.what.contains(&hub.to_string())));
        assert!(clock(Timestamp::now()).into_outcome("before the words").is_ok());
    }
}
