//! `run`: the agent as a daemon, for years and without a person.
//!
//! One thread waits for whatever comes first: a signal, a look at files that has ended, a word or the end
//! of a pass, or the next moment that something is due. What has happened goes into `course`, which says
//! what begins; the work itself is done by children. So the daemon holds no key, no connection and no lock
//! but its own, and is small.

#[cfg(test)]
mod chance;
mod child;
mod course;
mod looks;
mod pace;
pub(crate) mod passes;
mod service;
mod watch;
mod work;
#[cfg(test)]
mod year;

use std::{io, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::prctl,
    time::{ClockId, clock_gettime},
};
use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::time::Timestamp;

use self::{
    child::Child,
    course::{Course, End, Event, Moment, Start},
    looks::Looks,
    service::Service,
    watch::Mount,
};
use crate::{
    exit::{Code, OrStop as _, Outcome},
    interrupt::{self, Bell},
    lock::DaemonLock,
    settings::Configuration,
};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(20);
/// Both clocks go a little apart by themselves, as the wall clock is set right; by so much it has jumped.
const JUMP_SECONDS: u64 = 60;

struct Daemon {
    configuration: Configuration,
    bell: Bell,
    looks: Looks,
    course: Course,
    /// The pass that is at work, and the one that listens.
    children: Vec<Child>,
    service: Service,
    next_look: Moment,
    /// What the wall clock shows less the boot clock, in seconds.
    offset: i64,
    mount: Mount,
    /// Whether a recovery goes on here; until that is known it counts as one.
    is_held: Option<bool>,
    /// A configuration that was not taken.
    refused: Option<String>,
}

/// Watches until it is told to end.
pub(crate) fn run(configuration: Configuration) -> Outcome<()> {
    let _only = DaemonLock::take(&configuration)?;
    let bell = interrupt::bell()?;
    // What a pass leaves behind comes to us, and not to whoever adopts everybody.
    prctl::set_child_subreaper(true)
        .or_stop(Code::Internal, || "the daemon cannot take in what its passes leave".to_owned())?;
    let looks = Looks::begin(&configuration)
        .or_stop(Code::Internal, || "the thread that looks at files cannot be started".to_owned())?;
    let now = now()?;
    let mut course = Course::new(&passes::known(), now, &mut chance());
    course.happened(Event::Held(true), now, &mut chance());
    let mut daemon = Daemon {
        configuration,
        bell,
        looks,
        course,
        children: Vec::new(),
        service: Service::new(),
        next_look: now,
        offset: offset(now),
        mount: Mount::None,
        is_held: None,
        refused: None,
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "watching");
    daemon.service.ready();
    while !interrupt::is_ending() {
        daemon.turn()?;
    }
    daemon.end()
}

impl Daemon {
    /// Takes in what has happened, begins what is due, and waits for what comes.
    fn turn(&mut self) -> Outcome<()> {
        let now = now()?;
        self.hear(now)?;
        self.look(now);
        let next = self.course.next(now);
        if let Some(child) = self.children.iter_mut().find(|child| next.cut_short == Some(child.kind)) {
            child.cut_short(now);
        }
        for start in next.starts {
            self.start(start, now);
        }
        self.tell();
        self.service.alive(now);
        let deadlines = self.children.iter().filter_map(Child::deadline);
        let wake = deadlines.chain([next.wake, self.next_look]).min().unwrap_or(next.wake);
        self.wait(wake.since(now))
    }

    /// Signals, answers, and children.
    fn hear(&mut self, now: Moment) -> Outcome<()> {
        if self.bell.is_reload() {
            self.reload(now);
        }
        if let Some(answer) = self.looks.answer()? {
            self.seen(answer, now);
        }
        let mut events = Vec::new();
        for child in &mut self.children {
            if child.hear() {
                tracing::info!("the hub calls for a report");
                events.push(Event::Called);
            }
            if child.deadline().is_some_and(|deadline| deadline <= now) {
                child.past_deadline(now);
            }
        }
        let mut ended = Vec::new();
        for (index, child) in self.children.iter_mut().enumerate() {
            let end = child.end().or_stop(Code::Internal, || "a pass cannot be waited for".to_owned())?;
            ended.extend(end.map(|end| (index, child.kind, end)));
        }
        let has_ended = !ended.is_empty();
        for (index, kind, end) in ended.into_iter().rev() {
            self.children.remove(index);
            tracing::debug!(pass = kind.name(), ?end, "a pass has ended");
            events.push(Event::Ended(kind, end));
        }
        if has_ended {
            child::end_strays(&self.children);
        }
        for event in events {
            self.happened(event, now);
        }
        Ok(())
    }

    fn happened(&mut self, event: Event, now: Moment) {
        self.course.happened(event, now, &mut chance());
    }

    /// Has files looked at when it is time, and holds the two clocks against each other.
    fn look(&mut self, now: Moment) {
        if self.next_look > now {
            return;
        }
        self.next_look = now.plus(LOOK);
        let offset = offset(now);
        let jump = offset.saturating_sub(self.offset);
        if jump.unsigned_abs() > JUMP_SECONDS {
            tracing::warn!(seconds = jump, "the wall clock has jumped; no timer hangs on it");
            self.happened(Event::ClockJumped, now);
        }
        self.offset = offset;
        if self.looks.ask(now, Timestamp::now().unix(), None) {
            self.mounted(Mount::Away);
            // Proxmox VE's files may hang for ever; everything else does not wait for them.
            if self.is_held.is_none() {
                self.held(false, now);
            }
        }
    }

    fn held(&mut self, is_held: bool, now: Moment) {
        if self.is_held != Some(is_held) {
            if is_held {
                tracing::info!("a recovery goes on on this machine: keys are kept, and nobody is asked or told");
            }
            self.is_held = Some(is_held);
            self.happened(Event::Held(is_held), now);
        }
    }

    fn seen(&mut self, answer: looks::Answer, now: Moment) {
        self.mounted(answer.look.mount);
        self.held(answer.is_held, now);
        for event in answer.look.events {
            tracing::info!(?event, "seen");
            self.happened(event, now);
        }
    }

    fn mounted(&mut self, mount: Mount) {
        if mount != self.mount {
            match mount {
                Mount::Away => tracing::warn!("Proxmox VE's files cannot be read now; what they hold counts as it was"),
                Mount::There => tracing::info!("Proxmox VE's files can be read"),
                Mount::None => {}
            }
            self.mount = mount;
        }
    }

    /// Takes a configuration that is whole, and keeps the former where the new one is not.
    fn reload(&mut self, now: Moment) {
        self.service.reloading();
        let read = Configuration::read(&self.configuration.path);
        match read {
            Ok(read) if read.settings.state == self.configuration.settings.state => {
                self.configuration = read;
                self.refused = None;
                self.looks.ask(now, Timestamp::now().unix(), Some(&self.configuration));
                tracing::info!("the configuration was read anew");
                self.happened(Event::Reloaded, now);
            }
            Ok(_) => self.refuse("another state folder needs a restart".to_owned()),
            Err(stop) => self.refuse(stop.in_one_line()),
        }
        self.service.ready();
    }

    fn refuse(&mut self, why: String) {
        tracing::error!("the configuration is not taken, and the former one holds: {why}");
        self.refused = Some(why);
    }

    fn start(&mut self, start: Start, now: Moment) {
        match Child::start(&self.configuration, start, now) {
            Ok(child) => {
                tracing::debug!(pass = start.kind.name(), local = start.local, "a pass begins");
                self.children.push(child);
            }
            Err(error) => {
                tracing::error!(pass = start.kind.name(), %error, "a pass cannot be started");
                self.happened(Event::Ended(start.kind, End::Failed), now);
            }
        }
    }

    /// What `systemctl status` shows.
    fn tell(&mut self) {
        let mut status = match self.course.running() {
            _ if self.is_held == Some(true) => {
                "a recovery goes on on this machine: keys are kept, and nobody is asked or told".to_owned()
            }
            Some(kind) => format!("watching; at work: {}", kind.name()),
            None => "watching".to_owned(),
        };
        if self.mount == Mount::Away {
            status.push_str("; Proxmox VE's files cannot be read");
        }
        if let Some(why) = &self.refused {
            status.push_str("; the configuration was not taken: ");
            status.push_str(why);
        }
        self.service.status(&status);
    }

    fn wait(&self, most: Duration) -> Outcome<()> {
        let mut waited: Vec<PollFd<'_>> = [nix_fd(&self.bell), nix_fd(&self.looks)].into();
        waited.extend(
            self.children
                .iter()
                .flat_map(Child::descriptors)
                .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)),
        );
        // Rounded up, so that it is not woken just before the moment and again at it.
        let most = PollTimeout::try_from(most.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut waited, most) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).or_stop(Code::Internal, || "the daemon cannot wait".to_owned()),
        }
    }

    /// Lets each pass end by its own way out, and ends what does not.
    fn end(mut self) -> Outcome<()> {
        self.service.stopping();
        tracing::info!("ending");
        let now_ending = now()?;
        self.children.iter_mut().for_each(|child| child.tell(now_ending));
        while !self.children.is_empty() {
            let now = now()?;
            let mut left = Vec::new();
            for mut child in std::mem::take(&mut self.children) {
                if child.deadline().is_some_and(|deadline| deadline <= now) {
                    child.past_deadline(now);
                }
                if child.end().or_stop(Code::Internal, || "a pass cannot be waited for".to_owned())?.is_none() {
                    left.push(child);
                }
            }
            self.children = left;
            if let Some(deadline) = self.children.iter().filter_map(Child::deadline).min() {
                self.wait(deadline.since(now))?;
            }
        }
        child::end_strays(&self.children);
        Ok(())
    }
}

fn nix_fd(descriptor: &impl std::os::fd::AsFd) -> PollFd<'_> {
    PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)
}

/// The boot clock's.
fn now() -> Outcome<Moment> {
    let clock = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(io::Error::from);
    let clock = clock.or_stop(Code::Internal, || "this machine has no boot clock".to_owned())?;
    Ok(Moment(Duration::from(clock)))
}

fn offset(now: Moment) -> i64 {
    Timestamp::now().unix().saturating_sub(i64::try_from(now.0.as_secs()).unwrap_or(i64::MAX))
}

fn chance() -> impl FnMut() -> u64 {
    || UnwrapErr(SysRng).next_u64()
}
