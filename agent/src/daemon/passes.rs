//! The daemon's work, each kind as a child of this same program: it has its own memory, which goes with it,
//! its own hold on the state, and an end that the daemon sees whatever becomes of it.
//!
//! What a child says stands on standard output, a line of JSON for each thing. A new kind of work is one
//! entry of [`TABLE`].

use std::{
    io::{Read as _, Write as _},
    os::fd::AsFd as _,
    process::ExitCode,
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use serde::{Deserialize, Serialize};
use tenwords_protocol::{json, time::Timestamp, v1::V1};

use super::{
    child,
    course::{End, Kind},
    work,
};
use crate::{
    cli,
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    lock::StateLock,
    notify::{self, Alarm, Found},
    report::Boot,
    settings::Configuration,
    show::harmless,
};

/// A kind of work that this program does.
pub(super) struct Pass {
    pub(super) kind: Kind,
    /// So long it may take; then it is ended. Listening has no end of its own.
    pub(super) most: Option<Duration>,
    /// Whether it changes what commands change, so that none may be at work.
    locks: bool,
    work: fn(&Configuration, &mut Asked<'_>) -> Outcome<Done>,
}

/// What the daemon asks of a pass.
pub(crate) struct Asked<'a> {
    /// Without a word to the hub.
    pub(crate) local: bool,
    /// The wall clock.
    pub(crate) now: &'a dyn Fn() -> Timestamp,
    /// Which start of the machine it is, and how long ago.
    pub(crate) boot: &'a dyn Fn() -> Outcome<Boot>,
    /// Tells the daemon that the hub has called, before the pass has ended.
    pub(crate) called: &'a mut dyn FnMut(),
}

/// A pass that has done what it could.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// Something is left, which may go on after this time: the hub said so.
    pub(crate) retry_after: Option<Duration>,
    /// The next report would be another.
    pub(crate) changed: bool,
    /// All alarms of this kind of work that stand, if it has looked.
    pub(crate) alarms: Option<Vec<Alarm>>,
}

/// Every kind that there is. Whoever adds one adds a line.
pub(super) const TABLE: &[Pass] = &[
    Pass { kind: Kind::Keep, most: minutes(15), locks: true, work: work::keep },
    Pass { kind: Kind::Renew, most: minutes(5), locks: true, work: work::renew },
    Pass { kind: Kind::Servers, most: minutes(30), locks: false, work: work::servers },
    Pass { kind: Kind::Report, most: minutes(5), locks: false, work: work::report },
    Pass {
        kind: Kind::SelfTest,
        most: minutes(10),
        locks: false,
        work: |configuration, _| work::self_test(configuration),
    },
    Pass { kind: Kind::Listen, most: None, locks: false, work: work::listen },
];

#[expect(clippy::unnecessary_wraps, reason = "the table's column is an option")]
const fn minutes(minutes: u64) -> Option<Duration> {
    Some(Duration::from_secs(60 * minutes))
}

/// A line of a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "is")]
pub(super) enum Line {
    /// The hub has called for a report.
    Called { v: V1 },
    /// It has done what it could; the last line.
    Done {
        v: V1,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        changed: bool,
    },
    /// A command is at work on this box.
    Busy { v: V1 },
    /// It was stopped, and why.
    Stopped {
        v: V1,
        code: u8,
        what: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remedy: Option<String>,
        /// Seconds, if whoever refused has named them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
}

/// The kinds of this program.
pub(super) fn known() -> Vec<Kind> {
    TABLE.iter().map(|pass| pass.kind).collect()
}

pub(super) fn of(kind: Kind) -> Option<&'static Pass> {
    TABLE.iter().find(|pass| pass.kind == kind)
}

/// What a pass is to alarms when it leaves the hub alone: it says nothing of how that half stands.
pub(super) fn local(kind: Kind) -> String {
    format!("{}-local", kind.name())
}

/// `pass`: in the child.
pub(crate) fn run(cli: &cli::Cli, args: &cli::Pass) -> ExitCode {
    let result = configuration(cli).and_then(|configuration| {
        let pass = TABLE.iter().find(|pass| pass.kind.name() == args.kind);
        let pass = pass.ok_or_else(|| Stop::new(Code::Usage, format!("there is no pass {}", args.kind)))?;
        end_when_told()?;
        let mut called = || say(&Line::Called { v: V1 });
        let (now, boot) = (&Timestamp::now, &Boot::of_kernel);
        Ok(perform(&configuration, pass, &mut Asked { local: args.local, now, boot, called: &mut called }))
    });
    // What a client that was ended under it has brought is no result.
    let result = result.and_then(|line| interrupt::check().map(|()| line));
    let line = result.unwrap_or_else(Line::stopped);
    say(&line);
    match line {
        Line::Stopped { code, .. } => code.into(),
        _ => ExitCode::SUCCESS,
    }
}

/// The work with all that goes around it, and the last line of it.
pub(super) fn perform(configuration: &Configuration, pass: &Pass, asked: &mut Asked<'_>) -> Line {
    let name = if asked.local { local(pass.kind) } else { pass.kind.name().to_owned() };
    let settle = |found: &Found<'_>, now: Timestamp| notify::settle(configuration, &name, found, now);
    // Whatever ends it, that it was begun is known; settled, it is forgotten.
    settle(&Found::Begun, (asked.now)());
    let _lock = match pass.locks.then(|| StateLock::take_for_pass(configuration)) {
        None => None,
        Some(Ok(None)) => {
            settle(&Found::Busy, (asked.now)());
            return Line::Busy { v: V1 };
        }
        Some(Ok(lock)) => lock,
        Some(Err(stop)) => return Line::stopped(stop),
    };
    let result = (pass.work)(configuration, asked);
    let found = match &result {
        Ok(Done { alarms: Some(alarms), .. }) => Found::All(alarms),
        Ok(_) => Found::Nothing,
        Err(stop) => Found::Stopped(stop),
    };
    // A pass that was told to end says nothing of how things stand.
    if interrupt::check().is_ok() {
        settle(&found, (asked.now)());
    }
    match result {
        Ok(done) => {
            Line::Done { v: V1, retry_after: done.retry_after.map(|after| after.as_secs()), changed: done.changed }
        }
        Err(stop) => Line::stopped(stop),
    }
}

/// How a pipe or socket says that nobody reads it any more.
const NOBODY: PollFlags = PollFlags::POLLERR.union(PollFlags::POLLHUP).union(PollFlags::POLLNVAL);

/// Told to end, or with nobody left who reads what it says, it has a little time for its own way out. Not everything
/// in it hears of that (a client that hangs is waited for until its time is over), and nobody may be left who would
/// kill it.
fn end_when_told() -> Outcome<()> {
    let mut bell = interrupt::bell()?;
    let wait = move || {
        // The pipe tells of a daemon that was killed also if that was before this began: its number could be
        // anybody's by then, and the kernel's signal for it would have gone by.
        let out = std::io::stdout();
        while !interrupt::is_ending() {
            let mut awaited =
                [PollFd::new(bell.as_fd(), PollFlags::POLLIN), PollFd::new(out.as_fd(), PollFlags::empty())];
            match poll(&mut awaited, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(_) => return,
                Ok(_) if awaited[1].revents().is_some_and(|of| of.intersects(NOBODY)) => interrupt::end(),
                // Quiet until the next; a pass has no configuration to read anew.
                Ok(_) => drop(bell.is_reload()),
            }
        }
        thread::sleep(OWN_WAY_OUT);
        child::end_strays(&[]);
        std::process::exit(i32::from(Code::Interrupted as u8));
    };
    let cannot = || "a pass cannot wait for its end".to_owned();
    thread::Builder::new().name("end".into()).spawn(wait).map(drop).or_stop(Code::Internal, cannot)
}

/// The daemon's own, which came with the start: the file may be another by now, and broken.
fn configuration(cli: &cli::Cli) -> Outcome<Configuration> {
    let mut text = String::new();
    let cannot = || "the daemon's settings cannot be read".to_owned();
    std::io::stdin().take(SETTINGS).read_to_string(&mut text).or_stop(Code::Usage, cannot)?;
    Configuration::of_text(&cli.config, &text)
}

fn say(line: &Line) {
    let Ok(mut text) = json::to_vec(line) else { return };
    text.push(b'\n');
    // The daemon that reads it may be gone; then nobody needs it.
    let mut out = std::io::stdout().lock();
    let _nobody = out.write_all(&text).and_then(|()| out.flush());
}

impl Line {
    fn stopped(stop: Stop) -> Self {
        Self::Stopped {
            v: V1,
            code: stop.code as u8,
            what: harmless(&stop.in_one_line(), 400),
            remedy: stop.remedy.as_deref().map(|remedy| harmless(remedy, 400)),
            retry_after: stop.retry_after.map(|after| after.as_secs()),
        }
    }

    /// How a pass ended that said this at last.
    pub(super) fn end(&self) -> Option<End> {
        match self {
            Self::Called { .. } => None,
            Self::Done { retry_after, changed, .. } => {
                Some(End::Done { retry_after: retry_after.map(Duration::from_secs), changed: *changed })
            }
            Self::Busy { .. } => Some(End::Busy),
            Self::Stopped { code, retry_after, .. } if *code == Code::Unreachable as u8 => {
                Some(End::Unreachable { retry_after: retry_after.map(Duration::from_secs) })
            }
            Self::Stopped { code, .. } if *code == Code::NotAuthorised as u8 => Some(End::Refused),
            Self::Stopped { .. } => Some(End::Failed),
        }
    }
}

const SETTINGS: u64 = 1 << 20;
/// Less than the daemon waits.
const OWN_WAY_OUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_hub_has_asked_for_reaches_the_daemon() -> Result<(), Box<dyn std::error::Error>> {
        let code = Code::Unreachable as u8;
        let what = "the hub takes no more for now".to_owned();
        let stopped = Line::Stopped { v: V1, code, what, remedy: None, retry_after: Some(900) };
        let read: Line = json::from_slice(&json::to_vec(&stopped)?)?;
        assert_eq!(read.end(), Some(End::Unreachable { retry_after: Some(Duration::from_secs(900)) }));
        let said = br#"{"is":"stopped","v":1,"code":15,"what":"no answer"}"#;
        assert_eq!(json::from_slice::<Line>(said)?.end(), Some(End::Unreachable { retry_after: None }));
        Ok(())
    }
}
