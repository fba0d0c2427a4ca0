//! Work on several cores whose results come back in the order in which it was given.
//!
//! At most [`Ordered::is_full`] jobs are under way or waiting to be taken, so memory is bounded by
//! that many inputs and outputs. A result is taken when all before it were taken: of several errors
//! the first in order is the one that is met, whichever thread was quicker.

use std::{
    any::Any,
    collections::BTreeMap,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{Builder, Scope, available_parallelism},
};

/// Threads beyond these are not started: each may hold a chunk of 16 MiB and what becomes of it.
const MOST_THREADS: usize = 16;

/// As many threads as the machine runs at a time, within bounds.
#[must_use]
pub fn all_cores() -> NonZeroUsize {
    let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    cores.min(NonZeroUsize::new(MOST_THREADS).unwrap_or(NonZeroUsize::MIN))
}

type Outcome<O> = Result<O, Box<dyn Any + Send>>;

/// Jobs of kind `J` that become `O`, in order.
pub(crate) struct Ordered<J, O> {
    jobs: Sender<(u64, J)>,
    done: Receiver<(u64, Outcome<O>)>,
    early: BTreeMap<u64, Outcome<O>>,
    given: u64,
    taken: u64,
    most: u64,
}

impl<J: Send, O: Send> Ordered<J, O> {
    /// Starts `threads` of them, or as many as there can be; `None` if not even one.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        threads: NonZeroUsize,
        work: impl Fn(J) -> O + Clone + Send + 'scope,
    ) -> Option<Self>
    where
        J: 'scope,
        O: 'scope,
    {
        let (jobs, waiting) = channel::<(u64, J)>();
        let (finished, done) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut started = 0;
        for _ in 0..threads.get() {
            let (waiting, finished, work) = (Arc::clone(&waiting), finished.clone(), work.clone());
            let thread = Builder::new().name("chunk".to_owned()).spawn_scoped(scope, move || {
                loop {
                    // The lock is held while one waits, and the others wait for it.
                    let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((number, job)) = job else { return };
                    let outcome = catch_unwind(AssertUnwindSafe(|| work(job)));
                    if finished.send((number, outcome)).is_err() {
                        return;
                    }
                }
            });
            started += u64::from(thread.is_ok());
        }
        let most = started * 2;
        (started > 0).then_some(Self { jobs, done, early: BTreeMap::new(), given: 0, taken: 0, most })
    }
}

impl<J, O> Ordered<J, O> {
    /// Whether a result must be taken before another job is given.
    pub(crate) fn is_full(&self) -> bool {
        self.given - self.taken >= self.most
    }

    /// Gives a job to whoever is free next.
    pub(crate) fn give(&mut self, job: J) {
        // The threads only end when this side is gone.
        if self.jobs.send((self.given, job)).is_ok() {
            self.given += 1;
        }
    }

    /// The next result in order, waited for; `None` if nothing is under way.
    pub(crate) fn take(&mut self) -> Option<O> {
        while self.taken < self.given {
            if let Some(outcome) = self.early.remove(&self.taken) {
                self.taken += 1;
                return Some(outcome.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            let (number, outcome) = self.done.recv().ok()?;
            self.early.insert(number, outcome);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).expect("a thread")
    }

    #[test]
    fn results_come_in_order_whoever_is_quicker() {
        for count in [1, 2, 5] {
            let taken = thread::scope(|scope| {
                let mut pool = Ordered::start(scope, threads(count), |job: u64| {
                    // Later jobs are done sooner.
                    (0..(50 - job) * 1000).fold(job, |sum, step| std::hint::black_box(sum ^ step ^ step))
                })
                .expect("threads");
                let mut taken = Vec::new();
                for job in 0..50 {
                    if pool.is_full() {
                        taken.extend(pool.take());
                    }
                    assert!(!pool.is_full());
                    pool.give(job);
                }
                while let Some(result) = pool.take() {
                    taken.push(result);
                }
                taken
            });
            assert_eq!(taken, (0..50).collect::<Vec<_>>(), "{count}");
        }
    }

    #[test]
    fn as_many_run_at_a_time_as_there_are_threads() {
        let together = Barrier::new(3);
        thread::scope(|scope| {
            let mut pool = Ordered::start(scope, threads(3), |_: ()| together.wait().is_leader()).expect("threads");
            (0..3).for_each(|_| pool.give(()));
            let leaders = (0..3).filter_map(|_| pool.take()).filter(|leader| *leader).count();
            assert_eq!(leaders, 1);
        });
    }

    #[test]
    fn no_more_than_two_jobs_for_each_thread_wait() {
        thread::scope(|scope| {
            let mut pool = Ordered::start(scope, threads(3), |job: u64| job).expect("threads");
            let given = (0..100).take_while(|job| (!pool.is_full()).then(|| pool.give(*job)).is_some()).count();
            assert_eq!(given, 6);
            assert_eq!(pool.take(), Some(0));
            assert!(!pool.is_full());
        });
    }

    #[test]
    fn a_panic_in_the_work_is_one_of_its_taker() {
        let ended = catch_unwind(|| {
            thread::scope(|scope| {
                let work = |job: u64| if job == 3 { panic!("the third") } else { job };
                let mut pool = Ordered::start(scope, threads(2), work).expect("threads");
                (0..4).for_each(|job| pool.give(job));
                std::iter::from_fn(|| pool.take()).count()
            })
        });
        assert!(ended.is_err());
    }
}
