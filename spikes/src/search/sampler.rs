//! Watches `/proc` while a story runs: what stands in command lines and environments, however short
//! the process lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::Search;

/// The watching thread.
#[derive(Debug)]
pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Sampled>,
}

/// What was seen.
#[derive(Default)]
pub struct Sampled {
    /// Each text once, with the place where it was first seen.
    texts: BTreeMap<Vec<u8>, String>,
    processes: BTreeSet<(u32, u64)>,
    rounds: u64,
}

impl Sampler {
    /// Starts watching every process that this user may look at.
    #[must_use]
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut sampled = Sampled::default();
            // When each process is looked at next: at once, soon (it may replace itself by another
            // program), then now and then.
            let mut due: BTreeMap<(u32, u64), (Instant, u32)> = BTreeMap::new();
            while !asked.load(Ordering::Relaxed) {
                sampled.round(&mut due);
                thread::sleep(ROUND);
            }
            sampled
        });
        Self { stop, thread }
    }

    /// Stops, and tells what was seen.
    ///
    /// # Errors
    /// The watching thread broke down.
    pub fn stop(self) -> Result<Sampled> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the thread that watched /proc broke down"))
    }
}

impl Sampled {
    /// Looks for the secrets in what was seen.
    pub fn look_through(&self, search: &mut Search) {
        for (text, place) in &self.texts {
            search.bytes(place, text);
        }
    }

    /// The same, but for the one variable in which Proxmox VE's own programs give a storage's password to the
    /// client and to `pbs-restore`: nobody else can change that. Tells how many environments had it.
    pub fn look_through_but_for_pve(&self, search: &mut Search) -> usize {
        let mut theirs = 0;
        for (text, place) in &self.texts {
            let entries = || text.split(|byte| *byte == 0);
            if !entries().any(|entry| entry == MARK_OF_PVE) {
                search.bytes(place, text);
                continue;
            }
            theirs += usize::from(entries().any(|entry| entry.starts_with(PASSWORD)));
            let rest: Vec<&[u8]> = entries().filter(|entry| !entry.starts_with(PASSWORD)).collect();
            search.bytes(place, &rest.join(&0));
        }
        theirs
    }

    /// How many processes were looked at.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// How many different command lines and environments were seen.
    #[must_use]
    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    /// Whether a command line with this text was seen.
    #[must_use]
    pub fn saw(&self, text: &str) -> bool {
        self.texts.keys().any(|seen| seen.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    fn round(&mut self, due: &mut BTreeMap<(u32, u64), (Instant, u32)>) {
        self.rounds += 1;
        let Ok(entries) = fs::read_dir("/proc") else { return };
        let now = Instant::now();
        for entry in entries.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let path = entry.path();
            // A number is used again; with its start time it is one process.
            let Some(began) = fs::read_to_string(path.join("stat")).ok().and_then(|stat| start_time(&stat)) else {
                continue;
            };
            let (next, looks) = due.entry((id, began)).or_insert((now, 0));
            if *next > now {
                continue;
            }
            *looks += 1;
            *next = now + if *looks < 4 { SOON } else { LATER };
            self.processes.insert((id, began));
            for what in ["cmdline", "environ"] {
                self.take(path.join(what), what, id);
            }
        }
    }

    fn take(&mut self, path: PathBuf, what: &str, id: u32) {
        // Gone, or not ours to look at.
        let Ok(bytes) = fs::read(path) else { return };
        if !bytes.is_empty() {
            self.texts.entry(bytes).or_insert_with(|| format!("/proc/{id}/{what}"));
        }
    }
}

impl std::fmt::Debug for Sampled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampled")
            .field("processes", &self.processes.len())
            .field("rounds", &self.rounds)
            .finish_non_exhaustive()
    }
}

/// Field 22 of `/proc/N/stat`, counted behind the name, which may hold anything.
fn start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// What PVE's helper puts into the environment of every program that it runs, and nobody else does.
const MARK_OF_PVE: &[u8] = b"LVM_SUPPRESS_FD_WARNINGS=1";
const PASSWORD: &[u8] = b"PBS_PASSWORD=";
const ROUND: Duration = Duration::from_millis(8);
const SOON: Duration = Duration::from_millis(10);
const LATER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_secret_in_a_command_line_or_environment_is_seen() -> Result<()> {
        let sampler = Sampler::start();
        for (argument, variable) in [("acrobat zoom felt-tip", "nothing"), ("nothing", "unplug_rocky_maroon")] {
            Command::new("/bin/sh").args(["-c", "sleep 0.3", argument]).env("LEAK", variable).status()?;
        }
        let sampled = sampler.stop()?;
        let mut search =
            Search::new().for_words("acrobat zoom felt-tip unplug rocky maroon zigzag abacus yo-yo drop-down");
        sampled.look_through(&mut search);
        let places: Vec<String> = search.findings().into_iter().map(|finding| finding.place).collect();
        assert!(places.iter().any(|place| place.ends_with("/cmdline")), "{places:?}");
        assert!(places.iter().any(|place| place.ends_with("/environ")), "{places:?}");
        assert!(sampled.saw("sleep 0.3"));
        Ok(())
    }

    #[test]
    fn of_pves_programs_one_variable_is_passed_over_and_nothing_else() {
        let token = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        let found = |text: String| {
            let mut sampled = Sampled::default();
            sampled.texts.insert(text.into_bytes(), "/proc/1/environ".into());
            let mut search = Search::new().for_bytes("the token", token.as_bytes());
            (sampled.look_through_but_for_pve(&mut search), search.findings().is_empty())
        };
        let mark = "LVM_SUPPRESS_FD_WARNINGS=1";
        assert_eq!(found(format!("{mark}\0PBS_PASSWORD={token}\0")), (1, true));
        assert_eq!(found(format!("A=1\0PBS_PASSWORD={token}\0")), (0, false));
        assert_eq!(found(format!("{mark}\0OTHER={token}\0PBS_PASSWORD=x\0")), (1, false));
        assert_eq!(found(format!("{mark} {token}")), (0, false));
    }

    #[test]
    fn a_start_time_is_read_behind_any_name() {
        let stat = "1 (a) b) S 0 1 1 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4242 1 1";
        assert_eq!(start_time(stat), Some(4242));
    }
}
