//! The box as it lives: its course, its look at files and its passes, on clocks that are made here.
//!
//! The passes are the daemon's own, in this process, each at the moment at which the course begins it; only what
//! needs a backup server or a client is played. A year has some seventy thousand of them, nearly all of which find
//! what the one before found. So a pass is left out, and taken to have ended as the last of its kind did, where that
//! one changed nothing in the state folder, came to an end that asks for nothing, and since then neither a file of the
//! box, nor the hub, nor a clock, nor the disk was touched: by then it is a function of the same arguments. What hangs
//! on time alone hangs on days (a week in which something is told, a certificate's life), so that each kind is run every
//! nine days all the same, and in the long tier every day.

use std::{
    any::Any,
    cell::Cell,
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tenwords_protocol::{hash::Sha256, time::Timestamp};

use super::{
    Lived,
    disk::{Disk, Killed, below, digest, meeting},
    hub::Clock,
    node::Node,
    servers::{self, Snapshots},
    told,
};
use crate::{
    daemon::{
        chance::Chance,
        course::{Course, End, Event, Kind, Moment, Start},
        passes::{self, Asked},
        watch::Eye,
    },
    durable::faults,
    exit::Outcome,
    report::Boot,
    settings::Configuration,
    tls,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// As the daemon looks.
const LOOK: u64 = 20;
/// A listening child's life: so many waits of the longest.
const LISTENS: Duration = Duration::from_secs(64 * 51);
/// When the year begins.
const BEGINS: i64 = 1_798_761_600;

pub(super) struct Life {
    pub(super) configuration: Configuration,
    pub(super) node: Node,
    /// Since the year began.
    pub(super) time: Duration,
    /// What the wall clock shows less what it should, in seconds.
    pub(super) offset: i64,
    pub(super) client_works: bool,
    pub(super) snapshots: Snapshots,
    wall: Arc<Clock>,
    /// The hub's clock, which is right.
    pub(super) right: Arc<Clock>,
    course: Course,
    eye: Eye,
    dice: Chance,
    boots: u32,
    booted: Duration,
    at_work: Vec<(Kind, Duration, End)>,
    next_look: Option<Duration>,
    has_jumped: bool,
    disk: Rc<Cell<Disk>>,
    /// So many steps of durable writes are left to the process.
    left: Rc<Cell<Option<u32>>>,
    repeats: BTreeMap<(Kind, bool), Repeat>,
    /// The passes that were left out since they were last run.
    left_out: BTreeMap<(Kind, bool), (Start, End)>,
    /// Counts what was done to the box and its hub.
    touched: u64,
    last_start: BTreeMap<Kind, Duration>,
    last_end: BTreeMap<Kind, Duration>,
    /// So many days a pass may be left out that would find what the last one has found.
    pub(super) rested: u64,
    pub(super) counts: Counts,
    /// The passes that were run and that nobody has looked at.
    pub(super) news: Vec<Ran>,
    state: PathBuf,
    /// Of the state folder, until something may have changed there.
    digest: Option<Sha256>,
}

/// A pass that was run, and how it ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ran {
    pub(super) start: Start,
    pub(super) end: End,
}

/// How often what was done.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) begun: u64,
    pub(super) run: u64,
    pub(super) kills: u64,
}

struct Repeat {
    touched: u64,
    state: Sha256,
    day: u64,
    end: End,
}

impl Life {
    /// A box whose passes are run every so many days at least.
    pub(super) fn begin(folder: &Path, seed: u64, rested: u64) -> Lived<Self> {
        let node = Node::new(folder)?;
        let path = folder.join("agent.toml");
        fs::write(&path, node.configuration(&folder.join("runtime")))?;
        let configuration = told(Configuration::read(&path))?;
        let wall = Clock::at(Timestamp::from_unix(BEGINS)?);
        tls::wall::set(Some(Arc::<Clock>::clone(&wall)));
        let (disk, left) = (Rc::new(Cell::new(Disk::Good)), Rc::new(Cell::new(None)));
        faults::set(Some(meeting(Rc::clone(&disk), Rc::clone(&left))));
        let mut dice = Chance::new(!seed);
        let course = Course::new(&passes::known(), Moment(Duration::ZERO), &mut || dice.bits());
        let eye = Eye::new(configuration.settings.clone());
        let state = configuration.settings.state.clone();
        let mut life = Self {
            configuration,
            node,
            time: Duration::ZERO,
            offset: 0,
            client_works: true,
            snapshots: Snapshots::default(),
            wall,
            right: Clock::at(Timestamp::from_unix(BEGINS)?),
            course,
            eye,
            dice,
            boots: 1,
            booted: Duration::ZERO,
            at_work: Vec::new(),
            next_look: Some(Duration::ZERO),
            has_jumped: false,
            disk,
            left,
            repeats: BTreeMap::new(),
            left_out: BTreeMap::new(),
            touched: 0,
            last_start: BTreeMap::new(),
            last_end: BTreeMap::new(),
            rested,
            counts: Counts::default(),
            news: Vec::new(),
            state,
            digest: None,
        };
        life.set_clocks()?;
        // As the daemon begins: until it has looked, a recovery may go on.
        life.happens(Event::Held(true));
        Ok(life)
    }

    /// The time as it is, by which the hub's clock goes.
    pub(super) fn now(&self) -> Lived<Timestamp> {
        Ok(Timestamp::from_unix(BEGINS)?.plus(self.time))
    }

    /// What the box takes for it.
    pub(super) fn wall(&self) -> Lived<Timestamp> {
        Ok(Timestamp::from_unix(self.now()?.unix().saturating_add(self.offset))?)
    }

    fn set_clocks(&mut self) -> Lived {
        self.wall.set(self.wall()?);
        self.right.set(self.now()?);
        Ok(())
    }

    pub(super) fn disk(&self) -> Disk {
        self.disk.get()
    }

    pub(super) fn set_disk(&mut self, disk: Disk) {
        self.disk.set(disk);
        self.touch();
    }

    /// The next pass that writes is ended after so many steps.
    pub(super) fn kill_after(&mut self, steps: u32) {
        self.left.set(Some(steps));
        self.touch();
    }

    pub(super) fn spare(&mut self) {
        self.left.set(None);
    }

    pub(super) fn will_be_killed(&self) -> bool {
        self.left.get().is_some()
    }

    /// Something was done to the box or its hub: what was found before need not hold, and files are looked at.
    pub(super) fn touch(&mut self) {
        self.touched += 1;
        self.digest = None;
        self.look_soon();
    }

    /// Something in the state folder was changed by nobody's pass.
    pub(super) fn state_was_changed(&mut self) {
        self.digest = None;
    }

    fn look_soon(&mut self) {
        let next = (self.time.as_secs() / LOOK + 1) * LOOK;
        self.next_look = Some(Duration::from_secs(next));
    }

    /// The wall clock goes elsewhere; the boot clock goes on.
    pub(super) fn jump(&mut self, offset: i64) -> Lived {
        self.offset = offset;
        self.has_jumped = true;
        self.touch();
        self.set_clocks()
    }

    /// The machine is switched off for so long.
    pub(super) fn is_off_for(&mut self, long: Duration) -> Lived {
        self.time += long;
        self.booted = self.time;
        self.boots += 1;
        self.begin_anew()
    }

    /// The daemon is ended, and started again half a minute later.
    pub(super) fn is_started_again(&mut self) -> Lived {
        self.time += Duration::from_secs(30);
        self.begin_anew()
    }

    fn begin_anew(&mut self) -> Lived {
        self.set_clocks()?;
        self.at_work.clear();
        self.last_start.clear();
        self.last_end.clear();
        let (moment, dice) = (self.moment(), &mut self.dice);
        self.course = Course::new(&passes::known(), moment, &mut || dice.bits());
        self.eye = Eye::new(self.configuration.settings.clone());
        self.happens(Event::Held(true));
        self.look_soon();
        Ok(())
    }

    pub(super) fn happens(&mut self, event: Event) {
        let (moment, dice) = (self.moment(), &mut self.dice);
        self.course.happened(event, moment, &mut || dice.bits());
    }

    fn moment(&self) -> Moment {
        Moment(self.time.saturating_sub(self.booted))
    }

    /// Lets it live until `end`, or until a pass was run; tells whether it has come to the end.
    pub(super) fn goes_on(&mut self, end: Duration) -> Lived<bool> {
        loop {
            while let Some(place) = self.at_work.iter().position(|(_, until, _)| *until <= self.time) {
                let (kind, _, how) = self.at_work.remove(place);
                self.last_end.insert(kind, self.time);
                self.happens(Event::Ended(kind, how));
            }
            if self.next_look.is_some_and(|look| look <= self.time) {
                self.look()?;
            }
            let next = self.course.next(self.moment());
            if let Some(kind) = next.cut_short
                && let Some(at_work) = self.at_work.iter_mut().find(|(at_work, ..)| *at_work == kind)
            {
                *at_work = (kind, self.time, End::CutShort);
                continue;
            }
            for start in next.starts {
                self.start(start)?;
            }
            let wake = self.booted + next.wake.0;
            let ends = self.at_work.iter().map(|(_, until, _)| *until);
            let until = ends.chain([wake]).chain(self.next_look).min().unwrap_or(wake);
            if until <= self.time {
                return Err("it wakes without anything to do".into());
            }
            if !self.news.is_empty() {
                return Ok(false);
            }
            self.time = until.min(end);
            self.set_clocks()?;
            if until > end {
                return Ok(true);
            }
        }
    }

    fn look(&mut self) -> Lived {
        self.next_look = None;
        if std::mem::take(&mut self.has_jumped) {
            self.happens(Event::ClockJumped);
        }
        for event in self.eye.look(self.wall()?.unix()).events {
            self.happens(event);
        }
        self.happens(Event::Held(false));
        Ok(())
    }

    fn start(&mut self, start: Start) -> Lived {
        self.counts.begun += 1;
        self.keeps_its_pace(start.kind)?;
        let (takes, end) = match start.kind {
            Kind::Listen => (LISTENS, End::Done { retry_after: None, changed: false }),
            Kind::Servers => (20 * SECOND, self.writes(servers::ask)),
            Kind::SelfTest => {
                self.digest = None;
                (5 * SECOND, self.writes(servers::self_test))
            }
            Kind::Keep | Kind::Renew | Kind::Report => (2 * SECOND, self.pass(start)?),
        };
        self.at_work.push((start.kind, self.time + takes, end));
        Ok(())
    }

    /// What is played of a pass goes by the same disk.
    fn writes(&mut self, what: fn(&Self) -> Lived<End>) -> End {
        match self.disk.get() {
            Disk::Good => what(self).unwrap_or(End::Failed),
            Disk::Full | Disk::ReadOnly => End::Failed,
        }
    }

    /// Runs a pass, unless it would find what the last one has found.
    fn pass(&mut self, start: Start) -> Lived<End> {
        let (before, day) = (self.digest()?, self.wall()?.unix().unsigned_abs() / (self.rested * DAY.as_secs()));
        if let Some(last) = self.repeats.get(&(start.kind, start.local))
            && (last.touched, last.state, last.day) == (self.touched, before, day)
        {
            self.left_out.insert((start.kind, start.local), (start, last.end));
            return Ok(last.end);
        }
        self.counts.run += 1;
        self.left_out.remove(&(start.kind, start.local));
        let end = self.run(start)?;
        self.digest = None;
        let after = self.digest()?;
        if before == after && asks_for_nothing(end) {
            self.repeats.insert((start.kind, start.local), Repeat { touched: self.touched, state: after, day, end });
        }
        if before != after {
            // The daemon sees it by its own look.
            self.look_soon();
        }
        self.news.push(Ran { start, end });
        Ok(end)
    }

    /// Before something is done to the box: a report that was left out is made up for, so that the hub has heard of it
    /// as lately as it would have. It must end as it was taken to end.
    pub(super) fn catch_up(&mut self) -> Lived {
        let Some((start, taken)) = self.left_out.remove(&(Kind::Report, false)) else { return Ok(()) };
        self.counts.run += 1;
        let end = self.run(start)?;
        self.digest = None;
        self.news.push(Ran { start, end });
        if end == taken { Ok(()) } else { Err(format!("a report ends with {end:?}, and not with {taken:?}").into()) }
    }

    fn digest(&mut self) -> Lived<Sha256> {
        let digest = self.digest.map_or_else(|| digest(&self.state), Ok)?;
        self.digest = Some(digest);
        Ok(digest)
    }

    fn run(&mut self, start: Start) -> Lived<End> {
        let pass = passes::of(start.kind).ok_or("there is such a pass")?;
        let wall = self.wall()?;
        let boot = || -> Outcome<Boot> {
            let id = format!("00000000-0000-4000-8000-{:012}", self.boots);
            Ok(Boot { id, uptime: self.time.saturating_sub(self.booted) })
        };
        let work = || {
            let mut called = || {};
            let asked = &mut Asked { local: start.local, now: &|| wall, boot: &boot, called: &mut called };
            passes::perform(&self.configuration, pass, asked)
        };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(line) => line.end().ok_or_else(|| "it does not say how it ended".into()),
            Err(why) if why.is::<Killed>() => {
                self.counts.kills += 1;
                self.touch();
                // What a process leaves that had no time to take anything away.
                let lineage = self.state.join("lineage");
                if lineage.is_dir() {
                    fs::write(lineage.join(".tenwords-half.enc"), "{\"kdf\":null,")?;
                }
                Ok(End::Failed)
            }
            Err(why) => broke(why),
        }
    }

    /// Each kind comes neither too often nor too late by the boot clock, whatever the wall clock shows.
    fn keeps_its_pace(&mut self, kind: Kind) -> Lived {
        let (least, most) = match kind {
            Kind::Keep => (10 * SECOND, 31 * HOUR),
            Kind::Renew => (HOUR, 34 * HOUR),
            Kind::Servers => (5 * MINUTE, 3 * HOUR),
            Kind::Report => (MINUTE, 50 * MINUTE),
            Kind::SelfTest => (10 * MINUTE, Duration::MAX),
            Kind::Listen => (SECOND, 2 * HOUR),
        };
        let (begun, ended) = (self.last_start.insert(kind, self.time), self.last_end.get(&kind));
        if begun.is_some_and(|begun| self.time - begun > most) {
            return Err(format!("{} was begun at {begun:?}, and then not before now", kind.name()).into());
        }
        if ended.is_some_and(|ended| self.time - *ended < least) {
            return Err(format!("{} ended at {ended:?}, and is begun again", kind.name()).into());
        }
        Ok(())
    }

    /// What lies in the state folder: files, and bytes.
    pub(super) fn weighs(&self) -> Lived<(usize, u64)> {
        let (mut files, mut bytes) = (0, 0);
        for path in below(&self.state)? {
            files += 1;
            bytes += fs::metadata(path)?.len();
        }
        Ok((files, bytes))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        faults::set(None);
        tls::wall::set(None);
    }
}

/// A pass that ended so would end so again.
fn asks_for_nothing(end: End) -> bool {
    matches!(
        end,
        End::Done { retry_after: None, changed: false }
            | End::Unreachable { retry_after: None }
            | End::Failed
            | End::Refused
    )
}

fn broke(why: Box<dyn Any + Send>) -> Lived<End> {
    resume_unwind(why)
}
