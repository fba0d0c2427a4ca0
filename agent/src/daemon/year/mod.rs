//! A year of a box, simulated: keys change, hubs are away or set back, disks are full, clocks jump, and at its end
//! every state is explained and nothing is lost.
//!
//! What runs is the product: the daemon's course and its look at files, its passes in this process, the lineage, the
//! update, the report and the renewal over real files, and the real hub behind a real wire. What a year cannot wait
//! for is handed in: both clocks, chance, the disk's refusals, and the end of a process between two steps. Played are
//! the backup servers, the client and the customer's console ([`servers`], [`ceremony`]); so no backup server is ever
//! a second holder, which is said all year long and expected.
//!
//! `TENWORDS_YEAR=7` is another seed. A failure says its seed, its day, and what happened last.

mod ceremony;
mod disk;
mod explained;
mod happenings;
mod hub;
mod life;
mod lost;
mod node;
mod servers;

use std::{env, num::NonZeroU64, ops::Range, path::Path, sync::Arc, time::Duration};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::id::BoxId;

use self::{
    ceremony::Sheets,
    happenings::{Happening, Plan},
    hub::TheHub,
    life::{DAY, Life},
    lost::Ledger,
};
use crate::{
    daemon::{
        chance::Chance,
        course::{Course, End, Kind},
    },
    enroll,
    exit::Outcome,
};

type Lived<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A stop, for who only wants to fail by it.
fn told<T>(outcome: Outcome<T>) -> Lived<T> {
    outcome.map_err(|stop| stop.in_one_line().into())
}

/// Everything that there is in a year.
struct Year {
    life: Life,
    hub: TheHub,
    sheets: Sheets,
    ledger: Ledger,
    chance: Chance,
    of: BoxId,
    /// A ceremony that is to be held, and whether under a new code.
    wants_ceremony: Option<bool>,
    /// The last things that happened, for who reads a failure.
    told: Vec<String>,
}

/// What a year has come to.
#[derive(Debug)]
struct Summary {
    versions: usize,
    keys: usize,
    /// Passes that were ended between two steps.
    kills: u64,
}

impl Year {
    fn begin(folder: &Path, seed: u64, rested: u64) -> Lived<Self> {
        let mut life = Life::begin(folder, seed, rested)?;
        let hub = TheHub::begin(&folder.join("hub"), Arc::clone(&life.right))?;
        let mut chance = Chance::new(seed);
        life.node.autogenerate("pbs", &mut chance);
        life.node.lay_out()?;
        let of = BoxId::random(&mut UnwrapErr(SysRng));
        let operators = folder.join("allowed_signers");
        std::fs::write(&operators, include_str!("../../../../protocol/tests/golden/operators.txt"))?;
        let ticket = hub.ticket(of)?;
        told(enroll::run(&life.configuration, ticket, (&operators, NonZeroU64::MIN)))?;
        let ledger = Ledger::default();
        Ok(Self { life, hub, sheets: Sheets::default(), ledger, chance, of, wants_ceremony: None, told: Vec::new() })
    }

    /// Lives through a plan, and looks at everything after each step.
    fn live(&mut self, plan: Plan) -> Lived {
        for (at, happening) in plan {
            self.until(at)?;
            self.happen(happening)?;
        }
        Ok(())
    }

    /// Lets time go by, a day at most at a time.
    fn until(&mut self, end: Duration) -> Lived {
        while self.life.time < end {
            let day = (self.life.time.as_secs() / DAY.as_secs() + 1) * DAY.as_secs();
            let next = end.min(Duration::from_secs(day));
            let before = self.life.counts.run;
            while !self.life.goes_on(next)? {
                self.passes()?;
            }
            self.passes()?;
            if next.as_secs() == day {
                self.day_is_over()?;
            }
            // Where no pass was run, nothing is other than it was.
            if self.life.counts.run != before {
                self.check()?;
            }
        }
        Ok(())
    }

    /// What the passes that were run have changed.
    fn passes(&mut self) -> Lived {
        for ran in std::mem::take(&mut self.life.news) {
            if ran.start.kind == Kind::Keep {
                if let End::Done { retry_after: Some(after), .. } = ran.end {
                    // With what the course adds to it.
                    self.ledger.restless_for(&self.life, after + after / 4);
                }
                self.read_versions()?;
                self.ledger.kept(&self.life, ran.end);
                if !ran.start.local {
                    self.ledger.answered(&self.life, ran.end);
                }
            }
            if ran.start.kind == Kind::Report && matches!(ran.end, End::Done { .. }) {
                self.ledger.reported(&self.life);
                self.hub_judged()?;
            }
        }
        Ok(())
    }

    fn day_is_over(&mut self) -> Lived {
        let mut snapshots = std::mem::take(&mut self.life.snapshots);
        snapshots.go_on(&self.life.node, self.life.time);
        let day = self.life.time.as_secs() / DAY.as_secs();
        let is_counted = day.is_multiple_of(self.life.rested) && self.ledger.is_sound(&self.life);
        let counted = is_counted.then(|| snapshots.are_counted(&self.life));
        self.life.snapshots = snapshots;
        if let Some(counted) = counted {
            self.ledger.released += counted?;
            self.life.state_was_changed();
        }
        self.is_let_in_again()?;
        self.hold()
    }

    /// Mends everything, waits, and says what is left; then holds a last ceremony, after which nothing may be.
    fn end(&mut self) -> Lived {
        self.mend()?;
        let mended = self.life.time;
        self.until(mended + 10 * DAY)?;
        self.is_told_anew()?;
        self.ends_explained(false)?;
        self.happen(Happening::Ceremony { is_new_code: false })?;
        self.is_told_anew()?;
        self.ends_explained(true)?;
        self.ends_with_everything()
    }

    /// Lets each pass be run once more, so that the hub judges by what is there now.
    fn is_told_anew(&mut self) -> Lived {
        self.life.touch();
        self.until(self.life.time + 2 * DAY)?;
        self.life.catch_up()?;
        self.passes()
    }
}

fn year(seed: u64, rested: u64, busy: usize) -> Lived<Summary> {
    // What is synced to a disk each time costs a year its minutes.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let mut year = Year::begin(folder.path(), seed, rested)?;
    let plan = Plan::new(&mut year.chance, 365, busy);
    let happenings = plan.len();
    let lived = year.live(plan).and_then(|()| year.end());
    lived.map_err(|error| {
        let day = year.life.time.as_secs() / DAY.as_secs();
        format!("seed {seed}, day {day}: {error}\nbefore it:\n  {}", year.told.join("\n  "))
    })?;
    let (ledger, counts) = (&year.ledger, &year.life.counts);
    let summary = Summary { versions: ledger.acknowledged.len(), keys: ledger.promised.len(), kills: counts.kills };
    println!(
        "seed {seed}: {happenings} happenings, {} changes, {summary:?}; {} keys let go of, {} passes begun, {} run",
        ledger.changes, ledger.released, counts.begun, counts.run,
    );
    Ok(summary)
}

/// Those seeds, or the one that somebody has named.
fn seeds(usual: Range<u64>) -> Lived<Range<u64>> {
    let named: Option<u64> = env::var("TENWORDS_YEAR").ok().map(|seed| seed.parse()).transpose()?;
    Ok(named.map_or(usual, |seed| seed..seed + 1))
}

#[test]
fn s14_s26_a_year_ends_with_every_state_explained_and_nothing_lost() -> Lived {
    for seed in seeds(1..2)? {
        let summary = year(seed, 9, 1)?;
        assert!(summary.keys > 5 && summary.versions > 5 && summary.kills > 0, "nothing has happened: {summary:?}");
    }
    Ok(())
}

#[test]
#[ignore = "minutes"]
fn proof_years_end_with_every_state_explained_and_nothing_lost() -> Lived {
    seeds(2..12)?.try_for_each(|seed| year(seed, 1, 3).map(drop))
}

/// What the course remembers is of one size, however long it goes.
#[test]
fn a_course_owns_nothing_that_could_grow() {
    assert!(!std::mem::needs_drop::<Course>());
}
