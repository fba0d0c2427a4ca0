//! Running a child by pipes: bounded output, deadlines, and nothing on its stdin.
//!
//! One thread, no helpers that could be left behind: both pipes are polled, and between two looks
//! the child's end, the deadlines and the caller's wish to stop are checked. stdin is `/dev/null`
//! for everything that connects: on a tty a wrong certificate becomes a question (`client.md`).
//!
//! Not here: a umask for the child. Setting one needs code between fork and exec, which safe Rust does
//! not have. A helper in between (`sh -c 'umask 077; exec …'`) was weighed and left out: it would turn
//! "no such program" into an exit code of the shell's, and it would guard nothing. No child by pipes is
//! given a path to write to: files and trees come by its stdout, into what *we* made (0600, 0700), and
//! its HOME is a private folder. Programs of PVE must not have it: what they make is a guest's.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    ops::ControlFlow,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    conversation::{Question, left_open},
    environment::Environment,
    error::DriverError,
    failure::Failure,
    group::{Exit, Group, Reap},
    scrub::scrub,
};

/// What to run.
pub(crate) struct Job<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [OsString],
    pub(crate) environment: &'a Environment,
    /// What it reads; nothing if there is none.
    pub(crate) input: Option<&'a File>,
    pub(crate) spawn: Duration,
    /// For the whole.
    pub(crate) whole: Duration,
    /// Without a sign of work; `None` where the whole is short enough.
    pub(crate) stall: Option<Duration>,
}

/// Where its stdout goes.
pub(crate) enum Stdout<'a> {
    /// Into memory, so many bytes at most.
    Keep(usize),
    /// Piece by piece to somebody, who first sees what stderr held by then. Who has no room for a piece
    /// now (`WouldBlock`) is offered the same one again; meanwhile nothing more is read.
    Stream(&'a mut dyn FnMut(&Capture, &[u8]) -> io::Result<()>),
}

/// How a run looks at the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) elapsed: Duration,
    /// Bytes that the child itself says it has written so far (`/proc/<pid>/io`), to anything.
    pub(crate) written: u64,
}

/// A run that came to its own end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) exit: Exit,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Capture,
    /// It asked somebody something, and was ended for it: there is nobody to answer.
    pub(crate) asked: Option<&'static Question>,
}

/// Why a run was ended, or never began.
#[derive(Debug)]
pub(crate) enum RunError {
    Spawn(io::Error),
    SpawnTimedOut,
    TimedOut,
    Stalled,
    TooMuch,
    /// The caller's wish.
    Stopped,
    /// The receiver of a stream refused a piece.
    Receiver(io::Error),
    Pipe(io::Error),
}

impl RunError {
    /// Of a program of this machine's that is started for one short work, and shows no signs of it.
    pub(crate) fn of_program(self, command: &'static str, program: &Path) -> DriverError {
        let failure = match self {
            Self::SpawnTimedOut => Failure::TimedOut { waiting_for: "its start" },
            Self::TimedOut | Self::Stalled => Failure::TimedOut { waiting_for: "its end" },
            Self::TooMuch => Failure::Unknown { text: "far more than it should".to_owned() },
            Self::Stopped => Failure::Interrupted,
            Self::Spawn(source) => return DriverError::Io { doing: "starting", path: program.to_owned(), source },
            Self::Pipe(source) | Self::Receiver(source) => {
                return DriverError::Io { doing: "talking to", path: program.to_owned(), source };
            }
        };
        DriverError::Client { command, failure }
    }
}

/// Such a program has refused its work, and `said` why.
pub(crate) fn refused(command: &'static str, said: &[u8], secrets: &[&str]) -> DriverError {
    let text = match scrub(said, secrets) {
        nothing if nothing.is_empty() => "nothing".to_owned(),
        said => said,
    };
    DriverError::Client { command, failure: Failure::Unknown { text } }
}

/// The beginning and the end of an endless text: what stands in the middle is dropped, so memory is
/// flat however long a child prints. (What names the key comes first, what names the error last.)
#[derive(Debug, Default)]
pub(crate) struct Capture {
    head: Vec<u8>,
    tail: Vec<u8>,
    gap: bool,
}

/// Runs it to its end. `watch` is asked a few times a second.
pub(crate) fn run(
    job: &Job<'_>,
    stdout: Stdout<'_>,
    watch: &mut dyn FnMut(Moment) -> ControlFlow<()>,
) -> Result<Finished, RunError> {
    let began = Instant::now();
    let (mut target, stdio) = match stdout {
        Stdout::Keep(max) => (Target::Keep(max, Vec::new()), Stdio::piped()),
        Stdout::Stream(receiver) => (Target::Stream(receiver), Stdio::piped()),
    };
    let (mut group, mut out, mut err) = spawn(job, stdio)?;
    let mut stderr = Capture::default();
    let mut sign = Signs { at: Instant::now(), looked: None, written: 0, read: 0 };
    let mut buffer = vec![0; BUFFER];
    let (mut piece, mut held) = (vec![0; BUFFER], 0);
    let mut draining: Option<Instant> = None;
    let (exit, asked) = loop {
        if held > 0 && target.take(&stderr, &piece[..held])? {
            held = 0;
            sign.at = Instant::now();
        }
        let more = out.as_ref().filter(|_| held == 0);
        let tick = if held > 0 { HELD } else { TICK };
        let ready = wait_for(more.map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd), tick).map_err(RunError::Pipe)?;
        // stderr first: what the client says about the key is there before the first byte of data.
        if ready.err {
            match read(err.as_mut(), &mut buffer).map_err(RunError::Pipe)? {
                0 => err = None,
                n => {
                    stderr.push(&buffer[..n]);
                    // The rest of a line that began earlier stands in what was kept.
                    if let Some(question) = left_open(stderr.end()) {
                        break (group.end(), Some(question));
                    }
                }
            }
        } else if ready.out {
            match read(out.as_mut(), &mut piece).map_err(RunError::Pipe)? {
                0 => out = None,
                n => {
                    sign.at = Instant::now();
                    held = if target.take(&stderr, &piece[..n])? { 0 } else { n };
                }
            }
        }
        if held > 0 {
            // The time for which the receiver has no room is not the child's.
            draining = draining.map(|_| Instant::now() + DRAIN);
        } else if let Some(until) = draining {
            if (out.is_none() && err.is_none())
                || Instant::now() >= until && !ready.any()
                || Instant::now() >= until + DRAIN
            {
                break (group.end(), None);
            }
            continue;
        } else if group.look().is_some() {
            // Whatever it left running is ended now, so that the pipes come to an end too; a stray
            // that left the group may hold them open, so the wait for that end is short.
            group.end();
            draining = Some(Instant::now() + DRAIN);
            continue;
        }
        let elapsed = began.elapsed();
        if elapsed >= job.whole {
            return Err(RunError::TimedOut);
        }
        // A child that may not write shows nothing of how it works.
        let written = if held > 0 { sign.written } else { sign.look(&group) };
        let moment = Moment { elapsed, written };
        if job.stall.is_some_and(|stall| sign.at.elapsed() >= stall) {
            return Err(RunError::Stalled);
        }
        if watch(moment).is_break() {
            return Err(RunError::Stopped);
        }
    };
    let stdout = match target {
        Target::Keep(_, bytes) => bytes,
        Target::Stream(_) => Vec::new(),
    };
    Ok(Finished { exit, stdout, stderr, asked })
}

/// Runs `start` in a thread of its own, so that a program on a dead disk costs no more than the
/// deadline. If it comes up later after all, what it started is dropped, that is, killed.
pub(crate) fn within<T: Send + 'static>(
    deadline: Duration,
    start: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, RunError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new().name("spawn".to_owned()).spawn(move || sender.send(start())).map_err(RunError::Spawn)?;
    match receiver.recv_timeout(deadline) {
        Ok(started) => started.map_err(RunError::Spawn),
        Err(_) => Err(RunError::SpawnTimedOut),
    }
}

impl Capture {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend_from_slice(rest);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
            self.gap = true;
        }
    }

    /// The last bytes of it.
    fn end(&self) -> &[u8] {
        let whole = if self.tail.is_empty() { &self.head } else { &self.tail };
        &whole[whole.len().saturating_sub(MAX_QUESTION)..]
    }

    /// All that was kept, with a line break where something is missing.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = self.head.clone();
        if self.gap {
            text.push(b'\n');
        }
        text.extend_from_slice(&self.tail);
        text
    }
}

impl Reap for Child {
    fn id(&self) -> Option<u32> {
        Some(Child::id(self))
    }

    fn reap(&mut self) -> io::Result<()> {
        self.wait().map(drop)
    }
}

/// Where the bytes of stdout go, with what has come so far.
enum Target<'a> {
    Keep(usize, Vec<u8>),
    Stream(&'a mut dyn FnMut(&Capture, &[u8]) -> io::Result<()>),
}

impl Target<'_> {
    /// Whether there was room for it.
    fn take(&mut self, stderr: &Capture, bytes: &[u8]) -> Result<bool, RunError> {
        match self {
            Self::Keep(max, kept) if kept.len() + bytes.len() > *max => Err(RunError::TooMuch),
            Self::Keep(_, kept) => {
                kept.extend_from_slice(bytes);
                Ok(true)
            }
            Self::Stream(receiver) => match receiver(stderr, bytes) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(RunError::Receiver(error)),
            },
        }
    }
}

/// The child's counters, and when one of them last moved.
struct Signs {
    at: Instant,
    looked: Option<Instant>,
    written: u64,
    read: u64,
}

impl Signs {
    /// Bytes written so far, by the kernel's count; asked for a few times a second.
    fn look(&mut self, group: &Group) -> u64 {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return self.written;
        }
        self.looked = Some(Instant::now());
        let Ok(counters) = fs::read_to_string(format!("/proc/{}/io", group.pid())) else {
            // Without counters nobody can say that it stands still; the deadline for the whole holds.
            self.at = Instant::now();
            return self.written;
        };
        let counter = |name: &str| {
            let value = counters.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
            value.unwrap_or_default()
        };
        let (read, written) = (counter("rchar:"), counter("wchar:"));
        if read > self.read || written > self.written {
            self.at = Instant::now();
            self.read = self.read.max(read);
            self.written = self.written.max(written);
        }
        self.written
    }
}

pub(crate) struct Ready {
    pub(crate) out: bool,
    pub(crate) err: bool,
}

impl Ready {
    fn any(&self) -> bool {
        self.out || self.err
    }
}

pub(crate) type Started = (Group, Option<ChildStdout>, Option<ChildStderr>);

#[expect(clippy::disallowed_methods, reason = "this is the one place that starts a child by pipes")]
pub(crate) fn spawn(job: &Job<'_>, stdout: Stdio) -> Result<Started, RunError> {
    let input = match job.input {
        Some(input) => input.try_clone().map_err(RunError::Spawn)?.into(),
        None => Stdio::null(),
    };
    let mut command = Command::new(job.program);
    command
        .args(job.args)
        .env_clear()
        .envs(job.environment.iter())
        .current_dir(job.environment.home())
        .stdin(input)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .process_group(0);
    within(job.spawn, move || {
        let mut child = command.spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        Ok((Group::new(Box::new(child))?, out, err))
    })
}

/// Which of the two has something (an end counts), after a tick at most.
pub(crate) fn wait(out: Option<BorrowedFd<'_>>, err: Option<BorrowedFd<'_>>) -> io::Result<Ready> {
    wait_for(out, err, TICK)
}

fn wait_for(out: Option<BorrowedFd<'_>>, err: Option<BorrowedFd<'_>>, tick: Duration) -> io::Result<Ready> {
    let mut fds: Vec<PollFd<'_>> =
        [err, out].into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    if fds.is_empty() {
        thread::sleep(tick);
        return Ok(Ready { out: false, err: false });
    }
    let tick = PollTimeout::try_from(tick).map_err(io::Error::other)?;
    match poll(&mut fds, tick) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
    let mut next = |there: bool| there && ready.next().unwrap_or(false);
    let err = next(err.is_some());
    let out = next(out.is_some());
    Ok(Ready { out, err })
}

pub(crate) fn read(pipe: Option<&mut impl Read>, buffer: &mut [u8]) -> io::Result<usize> {
    let Some(pipe) = pipe else { return Ok(0) };
    loop {
        match pipe.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

pub(crate) const BUFFER: usize = 64 * 1024;
const HEAD: usize = 64 * 1024;
const TAIL: usize = 96 * 1024;
/// A question has a user's name in it at most.
const MAX_QUESTION: usize = 512;
/// Between two looks at a child that is silent.
const TICK: Duration = Duration::from_millis(20);
/// Between two offers of a piece that there was no room for.
const HELD: Duration = Duration::from_millis(1);
/// Between two looks at its counters.
const LOOK: Duration = Duration::from_millis(250);
/// How long a pipe may stay open after the child and its group are gone.
const DRAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_text_keeps_its_beginning_and_its_end_in_flat_memory() {
        let mut capture = Capture::default();
        capture.push(b"first line\n");
        for _ in 0..100 {
            capture.push(&b"x".repeat(BUFFER));
        }
        capture.push(b"\nlast line\n");
        let text = capture.text();
        assert!(text.starts_with(b"first line\n") && text.ends_with(b"\nlast line\n"));
        assert!(text.len() <= HEAD + 2 * TAIL + 1, "{}", text.len());
        assert!(capture.tail.capacity() <= 4 * TAIL, "{}", capture.tail.capacity());
    }
}
