//! The journal and the course in step, for whoever does something: what is noted here is possible, on
//! the disk, and then part of what has happened.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pbs_driver::{
    PrivateDir,
    pve::{
        Node,
        pool::{self, PoolId},
    },
};
use tenwords_protocol::{id::RecoveryId, time::Timestamp};

use super::{
    course::{Begun, Course, Effect, Event, Run},
    journal::Journal,
    plan::chain,
};
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    settings::Configuration,
};

/// What this recovery has done, and does.
pub(crate) struct Log {
    inner: Mutex<Inner>,
    recovery: RecoveryId,
}

struct Inner {
    journal: Journal,
    course: Course,
}

impl Log {
    /// Goes on with the recovery of the journal, or begins one as `begin` says.
    pub(crate) fn open(configuration: &Configuration, begin: impl FnOnce() -> Begun) -> Outcome<Self> {
        let ended = Self::look(configuration)?;
        if let Some(begun) = ended.begun().filter(|_| ended.is_ended()) {
            Journal::put_aside(configuration, &format!("ended-{}", begun.recovery))?;
        }
        let (journal, events) = Journal::open(configuration)?;
        let course = course(events)?;
        let begun = course.begun().cloned();
        let recovery = begun.as_ref().map(|begun| begun.recovery);
        let begin = match begun {
            Some(_) => Event::Resumed { at: Timestamp::now() },
            None => Event::Begun(begin()),
        };
        let recovery = match (&begin, recovery) {
            (Event::Begun(begun), _) => begun.recovery,
            (_, Some(recovery)) => recovery,
            _ => return Err(Stop::new(Code::Internal, "the recovery has no mark")),
        };
        let log = Self { inner: Mutex::new(Inner { journal, course }), recovery };
        log.note(begin)?;
        Ok(log)
    }

    /// How the recovery stands that a journal tells of, if any; nothing is touched.
    pub(crate) fn look(configuration: &Configuration) -> Outcome<Course> {
        course(Journal::look(configuration)?)
    }

    /// The recovery's id: its mark.
    pub(crate) fn recovery(&self) -> RecoveryId {
        self.recovery
    }

    /// The pool of the guests that it makes.
    pub(crate) fn pool(&self) -> Option<PoolId> {
        pool(self.recovery)
    }

    /// Keeps an event. When this returns, it has happened.
    pub(crate) fn note(&self, event: Event) -> Outcome<()> {
        let mut inner = self.inner();
        let cannot = || "this recovery lost its way; nothing was done".to_owned();
        inner.course.check(&event).or_stop(Code::Internal, cannot)?;
        inner.journal.append(&event)?;
        inner.course.apply(event).or_stop(Code::Internal, cannot)
    }

    /// What to do next.
    pub(crate) fn next(&self, run: &Run) -> Effect {
        self.inner().course.next(run)
    }

    /// Something about what has happened.
    pub(crate) fn tell<T>(&self, ask: impl FnOnce(&Course) -> T) -> T {
        ask(&self.inner().course)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the guests go from the pool by which they were marked: they are whole, and whoever looks after
/// them may put them into any other. What could not be done is told.
pub(super) fn dissolve(recovery: RecoveryId, node: Option<&Node>, private: &PrivateDir) -> Option<String> {
    let (node, pool) = (node?, pool(recovery)?);
    let error = pool::dissolve(node, private, &pool).err()?;
    Some(format!("the pool {pool} could not be removed ({}): remove it by hand", chain(&error)))
}

/// The pool of the guests that a recovery makes.
pub(crate) fn pool(recovery: RecoveryId) -> Option<PoolId> {
    PoolId::new(&format!("tenwords-{recovery}"))
}

pub(super) fn course(events: Vec<Event>) -> Outcome<Course> {
    Course::of(events)
        .or_stop(Code::Preflight, || "what this recovery has done cannot be told from its journal".to_owned())
        .map_err(|stop| {
            stop.remedy(
                "nothing was touched. `tenwords-agent recover --abort` puts the journal aside; tell the operator",
            )
        })
}
