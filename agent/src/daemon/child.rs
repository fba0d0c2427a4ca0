//! A pass that is at work, as the daemon sees it: what it says, and how it comes to its end.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::{ChildStdout, Stdio},
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use rustix::fs::{MemfdFlags, memfd_create};
use tenwords_protocol::json;

use super::{
    course::{End, Kind, Moment, Start},
    passes::{self, Line},
};
use crate::{itself, settings::Configuration};

/// What a pass may say.
const LIMIT: usize = 64 << 10;
/// From being told to end to being ended: less than a service has for its own end.
const GRACE: Duration = Duration::from_secs(4);

pub(super) struct Child {
    pub(super) kind: Kind,
    process: std::process::Child,
    /// Can be read when it has ended, whatever holds its pipe open.
    ended: OwnedFd,
    out: Option<ChildStdout>,
    text: Vec<u8>,
    /// The last line that says how it ended.
    last: Option<Line>,
    /// When it is told to end, or ended for good if it was told.
    deadline: Option<Moment>,
    is_told: bool,
    cut_short: bool,
    has_said_too_much: bool,
}

impl Child {
    pub(super) fn start(configuration: &Configuration, start: Start, now: Moment) -> io::Result<Self> {
        let pass = passes::of(start.kind).ok_or(io::ErrorKind::Unsupported)?;
        let mut command = itself::command(&configuration.path);
        command.args(["pass", start.kind.name()]).args(start.local.then_some("--local"));
        command.stdin(settings(configuration)?).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let begun = (|| {
            let number = rustix::process::Pid::from_raw(number(&process)).ok_or(io::ErrorKind::NotFound)?;
            let ended = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty())?;
            let out = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
            fcntl(&out, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            Ok::<_, io::Error>((ended, out))
        })();
        match begun {
            Ok((ended, out)) => Ok(Self {
                kind: start.kind,
                process,
                ended,
                out: Some(out),
                text: Vec::new(),
                last: None,
                deadline: pass.most.map(|most| now.plus(most)),
                is_told: false,
                cut_short: false,
                has_said_too_much: false,
            }),
            Err(error) => {
                // It cannot be watched, so it is not left alone either.
                let _ended_already = process.kill();
                process.wait()?;
                Err(error)
            }
        }
    }

    /// What it can be waited for by: its words and its end.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.out.iter().map(AsFd::as_fd).chain([self.ended.as_fd()])
    }

    /// When it is to be looked at although it says nothing.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.deadline
    }

    /// Whether it has told of a call since the last time.
    pub(super) fn hear(&mut self) -> bool {
        let mut buffer = [0; 4096];
        while let Some(out) = &mut self.out {
            match out.read(&mut buffer) {
                Ok(0) => self.out = None,
                Ok(read) if self.text.len() + read <= LIMIT => self.text.extend_from_slice(&buffer[..read]),
                Ok(_) => {
                    self.has_said_too_much = true;
                    self.text.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.out = None,
            }
        }
        let mut called = false;
        while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.text.drain(..=end).collect();
            match json::from_slice::<Line>(&line[..end]) {
                Ok(Line::Called { .. }) => called = true,
                Ok(line) => self.last = Some(line),
                Err(error) => tracing::warn!(pass = self.kind.name(), %error, "a pass says what is not understood"),
            }
        }
        called
    }

    /// How it ended, once it has.
    pub(super) fn end(&mut self) -> io::Result<Option<End>> {
        let Some(status) = self.process.try_wait()? else { return Ok(None) };
        self.hear();
        if let Some(Line::Stopped { what, remedy, .. }) = &self.last {
            let remedy = remedy.as_deref().unwrap_or_default();
            tracing::warn!(pass = self.kind.name(), remedy, "{what}");
        }
        let said = self.last.as_ref().filter(|_| !self.has_said_too_much).and_then(Line::end);
        Ok(Some(match said {
            Some(end @ End::Done { .. }) => end,
            _ if self.cut_short => End::CutShort,
            Some(end) => end,
            None => {
                tracing::warn!(pass = self.kind.name(), %status, "a pass has ended without a word");
                End::Failed
            }
        }))
    }

    /// Tells it to end for something that goes first.
    pub(super) fn cut_short(&mut self, now: Moment) {
        self.cut_short = true;
        self.tell(now);
    }

    /// Tells it to end, by its own way out.
    pub(super) fn tell(&mut self, now: Moment) {
        if !std::mem::replace(&mut self.is_told, true) {
            self.send(Signal::SIGTERM);
            self.deadline = Some(now.plus(GRACE));
        }
    }

    /// Its time is over: it is told to end, and if it was, ended with everything that it has started.
    pub(super) fn past_deadline(&mut self, now: Moment) {
        if self.is_told {
            tracing::warn!(pass = self.kind.name(), "a pass did not end when it was told to, and is ended");
            self.send(Signal::SIGKILL);
            self.deadline = Some(now.plus(GRACE));
        } else {
            tracing::warn!(pass = self.kind.name(), "a pass takes too long and is told to end");
            self.tell(now);
        }
    }

    fn send(&self, signal: Signal) {
        // It was not waited for yet, so that the number is still its own.
        let _ended_already = killpg(Pid::from_raw(number(&self.process)), signal);
    }
}

/// Ends what passes have left: a client of theirs that did not end with them is our child now. Whoever starts
/// processes meanwhile is not this thread, and there is no other. Nothing is waited for: one that hangs in the kernel
/// does not hear of its end, and what has ended by then is reaped at the next time.
pub(super) fn end_strays(living: &[Child]) {
    let living: Vec<i32> = living.iter().map(|child| number(&child.process)).collect();
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().filter_map(Result::ok);
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<i32> =
        children.flat_map(|line| line.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect();
    for stray in children.into_iter().filter(|child| !living.contains(child)).map(Pid::from_raw) {
        if !matches!(waitpid(stray, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
            continue;
        }
        tracing::warn!(process = stray.as_raw(), "a pass has left a process behind, which is ended");
        // Its group is its own, if it has one.
        let _no_group = killpg(stray, Signal::SIGKILL);
        let _ended_already = kill(stray, Signal::SIGKILL);
        let _not_yet = waitpid(stray, Some(WaitPidFlag::WNOHANG));
    }
}

/// The settings as they are now, in a file that is nowhere.
fn settings(configuration: &Configuration) -> io::Result<Stdio> {
    let text = configuration.to_text().map_err(|stop| io::Error::other(stop.in_one_line()))?;
    let mut file = File::from(memfd_create("settings", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

fn number(process: &std::process::Child) -> i32 {
    i32::try_from(process.id()).unwrap_or(i32::MAX)
}
