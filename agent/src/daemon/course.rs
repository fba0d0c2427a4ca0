//! What the daemon does next: from what has happened and the time to the passes that begin, without I/O.
//!
//! Every moment here is the boot clock's, which nobody sets and which goes on while a machine sleeps; so a
//! wall clock that jumps by years moves no timer, and is one more thing that has happened. Chance is an
//! argument. What is remembered is of one size, however much happens.

use std::time::Duration;

use super::pace::{self, Pace};

/// A moment of the boot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Duration);

/// Work of one kind. The first in this order goes first, but none is passed over for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Keys that were seen are kept, and what is new of them is escrowed.
    Keep,
    /// The certificate, at two thirds of its life.
    Renew,
    /// What lies on the backup servers.
    Servers,
    /// The node's report to the hub.
    Report,
    /// A throwaway key, wrapped and opened by the client.
    SelfTest,
    /// Waits at the hub for a call. It runs beside the others, and nothing else runs beside it.
    Listen,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A key file, a token or what names them.
    KeysChanged,
    /// The backup jobs.
    JobsChanged,
    /// This box's own record: a ceremony, a drill, a recovery that was closed.
    RecordChanged,
    /// The client is another program than it was.
    ClientChanged,
    /// A backup has ended.
    TaskEnded,
    /// The hub has called for a report.
    Called,
    /// The configuration was read anew.
    Reloaded,
    /// The wall clock went another way than the boot clock.
    ClockJumped,
    /// Whether a recovery is open on this machine.
    Held(bool),
    Ended(Kind, End),
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done {
        /// What is left to be done may go on after this time.
        retry_after: Option<Duration>,
        /// Whether the report would now be another.
        changed: bool,
    },
    /// A command is at work on this box.
    Busy,
    Unreachable {
        retry_after: Option<Duration>,
    },
    Refused,
    Failed,
    /// It was told to end, for something that goes before it.
    CutShort,
}

/// A pass that is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) kind: Kind,
    /// Without a word to the hub, which was asked too often or does not answer: only what this box
    /// does for itself.
    pub(crate) local: bool,
}

/// What is to be done now, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) starts: Vec<Start>,
    /// The pass that is told to end, so that a more urgent one can begin.
    pub(crate) cut_short: Option<Kind>,
    pub(crate) wake: Moment,
}

/// Where chance comes from: 64 even bits.
pub(crate) type Chance<'a> = &'a mut dyn FnMut() -> u64;

#[derive(Debug)]
pub(crate) struct Course {
    timers: [Timer; Kind::ALL.len()],
    running: Option<Running>,
    listening: bool,
    held: bool,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    kind: Kind,
    since: Moment,
    local: bool,
    is_told: bool,
}

/// When one kind is due, and what keeps it back.
#[derive(Debug, Clone, Copy)]
struct Timer {
    /// Whether there is such work on this machine at all.
    is_known: bool,
    /// By time alone, or again after a failure.
    due: Option<Moment>,
    /// By something that has happened.
    asked: Option<Moment>,
    /// Not before, for what it costs.
    rest: Moment,
    /// Not before, for the hub or whoever refused or did not answer.
    patience: Option<Moment>,
    failures: u32,
    /// So often another went first while it could have.
    passed_over: u32,
    /// It was told to end once; the next time it comes to its end.
    was_cut_short: bool,
}

/// An urgent pass lets the running one go on so long before it is told to end.
const BRIEFLY: Duration = Duration::from_secs(15);
/// So often a kind is passed over before it goes first.
const PASSED_OVER: u32 = 4;
/// What happens together is reported together.
const GATHER: Duration = Duration::from_secs(20);
/// After a backup its server is asked when it has settled.
const SETTLE: Duration = Duration::from_secs(60);
/// A package's upgrade replaces more than one file.
const UPGRADE: Duration = Duration::from_secs(30);
/// A command that holds this box's state is waited for so long, and not much longer.
const POLITE: Duration = Duration::from_secs(10);
/// What this box could not even do for itself is tried again after this time.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// No answer keeps a box waiting for longer, whatever it says.
const MOST_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// Without anything to do.
const IDLE: Duration = Duration::from_secs(60 * 60);

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Keep, Self::Renew, Self::Servers, Self::Report, Self::SelfTest, Self::Listen];

    /// As the command line and the log name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Renew => "renew",
            Self::Servers => "servers",
            Self::Report => "report",
            Self::SelfTest => "self-test",
            Self::Listen => "listen",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }

    const fn pace(self) -> Pace {
        pace::of(self)
    }
}

impl Moment {
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long it is from `earlier` to here; nothing if it is not later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

// === impl Course ===

impl Course {
    /// Begins with the kinds that this program knows. Each goes soon, and no two boxes that begin together do the
    /// same thing together; only what nobody else notices goes at once.
    pub(crate) fn new(known: &[Kind], now: Moment, chance: Chance<'_>) -> Self {
        let timers = Kind::ALL.map(|kind| Timer {
            is_known: known.contains(&kind),
            due: Some(now.plus(uniform(kind.pace().first, chance))),
            asked: None,
            rest: now,
            patience: None,
            failures: 0,
            passed_over: 0,
            was_cut_short: false,
        });
        Self { timers, running: None, listening: false, held: false }
    }

    /// The kind that is at work beside listening.
    pub(crate) fn running(&self) -> Option<Kind> {
        self.running.map(|running| running.kind)
    }

    /// Takes in what has happened.
    pub(crate) fn happened(&mut self, event: Event, now: Moment, chance: Chance<'_>) {
        match event {
            Event::KeysChanged => {
                self.ask(Kind::Keep, now);
                self.ask(Kind::Report, now.plus(GATHER + uniform(GATHER, chance)));
            }
            Event::RecordChanged => {
                // It may be enrolled now, or a ceremony was held.
                self.timers[Kind::Listen.index()].patience = None;
                self.timers[Kind::Report.index()].patience = None;
                self.ask(Kind::Listen, now.plus(uniform(GATHER, chance)));
                self.ask(Kind::Keep, now.plus(uniform(GATHER, chance)));
                self.ask(Kind::Report, now.plus(GATHER + uniform(GATHER, chance)));
            }
            Event::JobsChanged => {
                self.ask(Kind::Report, now.plus(GATHER + uniform(GATHER, chance)));
            }
            Event::ClientChanged => {
                // What failed was another program, and no patience was promised to anybody.
                self.timers[Kind::SelfTest.index()].patience = None;
                self.ask(Kind::SelfTest, now.plus(UPGRADE));
            }
            Event::TaskEnded => self.ask(Kind::Servers, now.plus(SETTLE + uniform(SETTLE, chance))),
            Event::Called => self.ask(Kind::Report, now),
            Event::Reloaded => {
                self.ask(Kind::Keep, now);
                self.ask(Kind::Servers, now.plus(GATHER));
                self.ask(Kind::Report, now.plus(GATHER + uniform(GATHER, chance)));
                // It may be another hub, or this box is enrolled now.
                self.ask(Kind::Listen, now.plus(uniform(GATHER, chance)));
            }
            Event::ClockJumped => {
                self.ask(Kind::Renew, now.plus(uniform(SETTLE, chance)));
                self.ask(Kind::Report, now.plus(GATHER + uniform(GATHER, chance)));
            }
            Event::Held(held) => {
                if std::mem::replace(&mut self.held, held) && !held {
                    // Until now only its first half was done.
                    self.ask(Kind::Keep, now.plus(uniform(GATHER, chance)));
                }
            }
            Event::Ended(kind, end) => self.ended(kind, end, now, chance),
        }
    }

    /// What begins now. Whatever this says is taken as done.
    pub(crate) fn next(&mut self, now: Moment) -> Next {
        let mut next = Next { starts: Vec::new(), cut_short: None, wake: now.plus(IDLE) };
        if !self.listening && !self.holds(Kind::Listen) && self.timers[Kind::Listen.index()].ready(now) {
            self.listening = true;
            self.begin(Kind::Listen);
            next.starts.push(Start { kind: Kind::Listen, local: false });
        }
        match self.running {
            None => {
                if let Some(start) = self.choose(now) {
                    self.running = Some(Running { kind: start.kind, since: now, local: start.local, is_told: false });
                    next.starts.push(start);
                }
            }
            Some(running) if self.is_in_the_way(running, now) => {
                self.running = Some(Running { is_told: true, ..running });
                next.cut_short = Some(running.kind);
            }
            Some(_) => {}
        }
        next.wake = self.wake(now).unwrap_or(next.wake).min(next.wake);
        next
    }

    /// Whether an open recovery keeps this kind back. It may stay open for months, and keys are kept, the certificate
    /// renewed and the client tried all the same; a command that is at work has the lock.
    fn holds(&self, kind: Kind) -> bool {
        self.held && matches!(kind, Kind::Servers | Kind::Report | Kind::Listen)
    }

    /// Asks for it at this moment, or earlier if that was asked already.
    fn ask(&mut self, kind: Kind, at: Moment) {
        let timer = &mut self.timers[kind.index()];
        timer.asked = Some(timer.asked.map_or(at, |asked| asked.min(at)));
    }

    fn begin(&mut self, kind: Kind) {
        let timer = &mut self.timers[kind.index()];
        (timer.asked, timer.due, timer.passed_over) = (None, None, 0);
    }

    /// The most urgent of those that may begin; whoever was passed over too often before all.
    fn choose(&mut self, now: Moment) -> Option<Start> {
        let may = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Listen && self.may_begin(*kind, now));
        let may: Vec<Kind> = may.collect();
        let waits_longest = may.iter().copied().max_by_key(|kind| self.timers[kind.index()].passed_over);
        let kind = waits_longest
            .filter(|kind| self.timers[kind.index()].passed_over >= PASSED_OVER)
            .or_else(|| may.first().copied())?;
        for other in may.into_iter().filter(|other| *other != kind) {
            self.timers[other.index()].passed_over += 1;
        }
        // What is escrowed while a recovery is open is that recovery's.
        let local = !self.timers[kind.index()].ready(now) || (self.held && kind == Kind::Keep);
        let patience = self.timers[kind.index()].patience;
        self.begin(kind);
        if local {
            // The other half is still to be done, when the time has come.
            let later = kind.pace().every.map(|every| now.plus(every));
            self.timers[kind.index()].due = patience.filter(|until| *until > now).or(later);
        }
        Some(Start { kind, local })
    }

    fn may_begin(&self, kind: Kind, now: Moment) -> bool {
        let timer = &self.timers[kind.index()];
        let for_itself = kind == Kind::Keep && timer.is_known && timer.is_asked(now) && timer.rest <= now;
        !self.holds(kind) && (timer.ready(now) || for_itself)
    }

    /// Whether a key that has changed waits for what is running.
    fn is_in_the_way(&self, running: Running, now: Moment) -> bool {
        running.kind != Kind::Keep
            && !running.is_told
            && !self.timers[running.kind.index()].was_cut_short
            && now.since(running.since) >= BRIEFLY
            && self.timers[Kind::Keep.index()].is_asked(now)
            && self.may_begin(Kind::Keep, now)
    }

    fn ended(&mut self, kind: Kind, end: End, now: Moment, chance: Chance<'_>) {
        let mut local = false;
        if kind == Kind::Listen {
            self.listening = false;
        } else if let Some(running) = self.running.filter(|running| running.kind == kind) {
            local = running.local;
            self.running = None;
        }
        let pace = kind.pace();
        let timer = &mut self.timers[kind.index()];
        timer.rest = now.plus(pace.least);
        timer.was_cut_short = false;
        match end {
            // It has not spoken to anybody, so that it is no news of them.
            End::Done { .. } if local => {}
            End::Busy if local => timer.asked = Some(now.plus(POLITE + uniform(POLITE, chance))),
            End::Failed | End::Refused | End::Unreachable { .. } if local => timer.asked = Some(now.plus(AGAIN)),
            End::Done { retry_after: None, .. } => {
                (timer.failures, timer.patience) = (0, None);
                timer.due = pace.every.map(|every| now.plus(around(every, chance)));
            }
            End::Done { retry_after: Some(after), .. } => {
                timer.failures = 0;
                timer.be_patient(now.plus(stretched(after, chance)));
            }
            End::Busy => timer.due = Some(now.plus(POLITE + uniform(POLITE, chance))),
            End::CutShort => {
                timer.was_cut_short = true;
                timer.due = Some(now);
            }
            End::Unreachable { .. } | End::Refused | End::Failed => {
                timer.failures = timer.failures.saturating_add(1);
                let backoff = pace.backoff(timer.failures, chance);
                let stated = match end {
                    End::Unreachable { retry_after: Some(after) } => stretched(after, chance),
                    _ => Duration::ZERO,
                };
                timer.be_patient(now.plus(backoff.max(stated)));
            }
        }
        if matches!(end, End::Done { changed: true, .. }) && kind != Kind::Report {
            self.ask(Kind::Report, now.plus(GATHER + uniform(GATHER, chance)));
        }
    }

    /// When something may become possible that is not now.
    fn wake(&self, now: Moment) -> Option<Moment> {
        let free = |kind: Kind| if kind == Kind::Listen { !self.listening } else { self.running.is_none() };
        let may = Kind::ALL.into_iter().filter(|kind| free(*kind) && !self.holds(*kind));
        let times = may.filter_map(|kind| {
            let timer = &self.timers[kind.index()];
            let whole = timer.wanted().map(|at| at.max(timer.rest).max(timer.patience.unwrap_or(at)));
            let local = timer.asked.filter(|_| kind == Kind::Keep).map(|at| at.max(timer.rest));
            let at = [whole, local].into_iter().flatten().min();
            at.filter(|_| timer.is_known)
        });
        let cut = self.running.filter(|running| running.kind != Kind::Keep && !running.is_told).and_then(|running| {
            let keep = &self.timers[Kind::Keep.index()];
            keep.asked.map(|at| at.max(keep.rest).max(running.since.plus(BRIEFLY)))
        });
        // Never a moment that is over: what is not begun by now waits for another event.
        times.chain(cut).filter(|at| *at > now).min()
    }
}

// === impl Timer ===

impl Timer {
    fn wanted(&self) -> Option<Moment> {
        [self.due, self.asked].into_iter().flatten().min()
    }

    fn is_asked(&self, now: Moment) -> bool {
        self.asked.is_some_and(|at| at <= now)
    }

    fn ready(&self, now: Moment) -> bool {
        self.is_known
            && self.wanted().is_some_and(|at| at <= now)
            && self.rest <= now
            && self.patience.is_none_or(|patience| patience <= now)
    }

    fn be_patient(&mut self, until: Moment) {
        self.patience = Some(until);
        self.due = Some(until);
    }
}

/// Anything up to `most`, evenly.
pub(super) fn uniform(most: Duration, chance: Chance<'_>) -> Duration {
    // 53 bits are what a double holds.
    let share = (chance() >> 11) as f64 / (1_u64 << 53) as f64;
    most.mul_f64(share)
}

/// A tenth more or less.
fn around(every: Duration, chance: Chance<'_>) -> Duration {
    every.mul_f64(0.9) + uniform(every.mul_f64(0.2), chance)
}

/// What was asked for and up to a quarter more: those who were told the same do not come back together.
fn stretched(after: Duration, chance: Chance<'_>) -> Duration {
    let after = after.min(MOST_PATIENCE);
    after + uniform(after / 4, chance)
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
