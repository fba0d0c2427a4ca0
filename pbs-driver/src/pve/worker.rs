//! Running `pct` and `qmrestore`, whose work is done by a process that leaves our group.
//!
//! Seen in PVE's source (`PVE::RESTEnvironment::fork_worker`): the program forks a worker with a session
//! of its own, passes its output on, and hands a SIGTERM on to the worker's whole group. The worker
//! then frees the volumes that it has made. So a restore is first *asked* to stop, and killed only if
//! it does not; and since killing the program does not reach the worker, everybody who descends from
//! it is remembered while it runs (by number and start time, so that a number given anew hits nobody)
//! and killed by descriptor.

use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    os::fd::AsFd as _,
    process::Stdio,
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::{
    group::{Exit, Group},
    process::{BUFFER, Capture, Job, RunError, read, spawn, wait},
};

/// How it looks at the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) elapsed: Duration,
    /// Bytes that the whole family has written so far, by the kernel's count.
    pub(crate) written: u64,
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Ran {
    /// How it ended by itself, or why it was ended.
    pub(crate) end: Result<Exit, RunError>,
    /// Whether it had to be killed, so that nobody has cleaned up.
    pub(crate) killed: bool,
    pub(crate) stdout: Capture,
    pub(crate) stderr: Capture,
}

/// Runs it to its end. `tell` gets each piece of stdout; `watch` is asked a few times a second.
/// `cleanup` is how long it may take to stop once it was asked to.
pub(crate) fn run(
    job: &Job<'_>,
    cleanup: Duration,
    tell: &mut dyn FnMut(&[u8]),
    watch: &mut dyn FnMut(Look) -> ControlFlow<()>,
) -> Result<Ran, RunError> {
    let began = Instant::now();
    let (group, mut out, mut err) = spawn(job, Stdio::piped())?;
    let mut family = Family::new(group);
    let (mut stdout, mut stderr) = (Capture::default(), Capture::default());
    let mut buffer = vec![0; BUFFER];
    let mut alive = Instant::now();
    let mut asked: Option<(Instant, RunError)> = None;
    let mut draining: Option<Instant> = None;
    let mut killed = false;
    let exit = loop {
        let ready = wait(out.as_ref().map(|pipe| pipe.as_fd()), err.as_ref().map(|pipe| pipe.as_fd()))
            .map_err(RunError::Pipe)?;
        if ready.err {
            match read(err.as_mut(), &mut buffer).map_err(RunError::Pipe)? {
                0 => err = None,
                n => stderr.push(&buffer[..n]),
            }
        }
        if ready.out {
            match read(out.as_mut(), &mut buffer).map_err(RunError::Pipe)? {
                0 => out = None,
                n => {
                    stdout.push(&buffer[..n]);
                    tell(&buffer[..n]);
                    alive = Instant::now();
                }
            }
        }
        if let Some(until) = draining {
            if (out.is_none() && err.is_none()) || Instant::now() >= until {
                break family.group.end();
            }
            continue;
        }
        if let Some(exit) = family.group.look() {
            if !matches!(exit, Exit::Code(_)) {
                // Somebody killed the program; its worker knows nothing of it.
                family.kill();
            }
            draining = Some(Instant::now() + DRAIN);
            continue;
        }
        if let Some((since, _)) = &asked {
            family.look();
            if since.elapsed() >= cleanup {
                family.kill();
                killed = true;
                draining = Some(Instant::now() + DRAIN);
            }
            continue;
        }
        if !family.look() {
            continue;
        }
        if family.moved() {
            alive = Instant::now();
        }
        let elapsed = began.elapsed();
        let why = if elapsed >= job.whole {
            RunError::TimedOut
        } else if job.stall.is_some_and(|stall| alive.elapsed() >= stall) {
            RunError::Stalled
        } else if watch(Look { elapsed, written: family.written }).is_break() {
            RunError::Stopped
        } else {
            continue;
        };
        // The program alone: it tells its worker, and a worker that is told cleans up.
        let _ = kill(family.group.pid(), Signal::SIGTERM);
        asked = Some((Instant::now(), why));
    };
    // One that came to its end before it heard that it should stop has ended by itself.
    let end = match asked {
        Some((_, why)) if exit != Exit::Code(0) => Err(why),
        _ => Ok(exit),
    };
    killed |= matches!(exit, Exit::Signal(_) | Exit::Lost);
    Ok(Ran { end, killed, stdout, stderr })
}

/// The program and everybody who descends from it. Dropping it, a panic included, kills them all.
struct Family {
    group: Group,
    looked: Option<Instant>,
    /// By number: start time, bytes written, bytes read.
    members: BTreeMap<i32, Member>,
    written: u64,
    counted: u64,
    before: u64,
    /// Whether the kernel tells anybody's counters.
    tells: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Member {
    started: u64,
    written: u64,
    read: u64,
}

impl Family {
    fn new(group: Group) -> Self {
        Self { group, looked: None, members: BTreeMap::new(), written: 0, counted: 0, before: 0, tells: false }
    }

    /// Looks again, if the last look is long enough ago; whether it did.
    fn look(&mut self) -> bool {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return false;
        }
        self.looked = Some(Instant::now());
        self.gather();
        // Who is gone keeps what it has written.
        self.written = self.members.values().map(|member| member.written).sum();
        self.counted = self.written.saturating_add(self.members.values().map(|member| member.read).sum());
        true
    }

    /// Whether anybody has read or written anything since this was asked last.
    fn moved(&mut self) -> bool {
        // Without counters nobody can say that it stands still; the deadline for the whole holds.
        let moved = !self.tells || self.counted != self.before;
        self.before = self.counted;
        moved
    }

    fn gather(&mut self) {
        let mut known: Vec<i32> = vec![self.group.pid().as_raw()];
        // A member whose parent is gone is no longer found from above.
        known.extend(
            self.members.iter().filter(|(pid, member)| started(**pid) == Some(member.started)).map(|(pid, _)| *pid),
        );
        let mut next = 0;
        while let Some(pid) = known.get(next).copied() {
            next += 1;
            let Some(start) = started(pid) else { continue };
            if self.members.len() < MAX_MEMBERS {
                let member = self.members.entry(pid).or_default();
                if member.started != start {
                    *member = Member { started: start, ..Member::default() };
                }
                if let Some((read, written)) = counters(pid) {
                    self.tells = true;
                    (member.read, member.written) = (read.max(member.read), written.max(member.written));
                }
            }
            for child in children(pid) {
                if !known.contains(&child) && known.len() < MAX_MEMBERS {
                    known.push(child);
                }
            }
        }
    }

    /// Kills everybody: the program's group first, so that nobody starts anything anew.
    fn kill(&mut self) {
        // Again, until a look finds nobody who was not there before.
        for _ in 0..ROUNDS {
            let before = self.members.len();
            self.gather();
            for (pid, member) in &self.members {
                if *pid != self.group.pid().as_raw() {
                    kill_exactly(*pid, member.started);
                }
            }
            if self.members.len() == before {
                break;
            }
        }
        self.group.end();
        for (pid, member) in &self.members {
            kill_exactly(*pid, member.started);
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if self.group.look().is_none() {
            self.kill();
        }
    }
}

/// Kills the process that has this number *and* began then.
fn kill_exactly(pid: i32, began: u64) {
    let Some(number) = rustix::process::Pid::from_raw(pid) else { return };
    let Ok(process) = pidfd_open(number, PidfdFlags::empty()) else { return };
    // The descriptor names one process for good; who it is is asked afterwards.
    if started(pid) == Some(began) {
        // It may have ended by itself.
        let _ = pidfd_send_signal(&process, rustix::process::Signal::KILL);
    }
}

/// When a process began, in the kernel's ticks; `None` if there is none, or only a zombie.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, parentheses and blanks too.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Bytes read and written.
fn counters(pid: i32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let counter = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some((counter("rchar:")?, counter("wchar:")?))
}

fn children(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(text.split_ascii_whitespace().filter_map(|number| number.parse::<i32>().ok()));
    }
    found
}

/// Between two looks at the family.
const LOOK: Duration = Duration::from_millis(250);
/// How long a pipe may stay open after the program is gone.
const DRAIN: Duration = Duration::from_secs(1);
/// More processes than any restore has.
const MAX_MEMBERS: usize = 4096;
const ROUNDS: usize = 8;
