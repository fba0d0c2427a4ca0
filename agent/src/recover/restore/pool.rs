//! Work in order, a few pieces at once.
//!
//! Workers take the next piece themselves; the calling thread only waits, and tells how far it is. What
//! a worker has finished is kept whatever happens to the others: one that panics costs its own piece and
//! nothing else, and after an interrupt no further piece is begun.

use std::{
    any::Any,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// How it ended with one piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End<T> {
    /// By itself, well or not.
    Done(T),
    /// The program broke down in it.
    Panicked,
    /// It was not begun: the command was to end before its turn.
    NotBegun,
}

/// Does `work` with every piece, in their order, `at_most` at once, and tells how each ended, in the same
/// order. `meanwhile` is called by this very thread, several times a second, and once at the end.
pub(super) fn run<P: Sync, T: Send>(
    pieces: &[P],
    at_most: NonZeroUsize,
    is_ending: &(dyn Fn() -> bool + Sync),
    work: &(dyn Fn(&P) -> T + Sync),
    meanwhile: &mut dyn FnMut(),
) -> Vec<End<T>> {
    let mut ends: Vec<End<T>> = pieces.iter().map(|_| End::NotBegun).collect();
    let queue = Queue { next: AtomicUsize::new(0), length: pieces.len() };
    let one = |number: usize| match pieces.get(number) {
        Some(piece) => ended(catch_unwind(AssertUnwindSafe(|| work(piece)))),
        None => End::NotBegun,
    };
    thread::scope(|scope| {
        // Should this thread break down, the workers come to an end with what they have begun.
        let _closes = Closes(&queue);
        let (sender, receiver) = mpsc::channel();
        let mut workers = 0;
        for number in 1..=at_most.get().min(pieces.len()) {
            let (sender, queue, one) = (sender.clone(), &queue, &one);
            let turns = move || {
                while !is_ending()
                    && let Some(number) = queue.next()
                {
                    // Nobody listens only if the calling thread has broken down.
                    let _unheard = sender.send((number, one(number)));
                }
            };
            match thread::Builder::new().name(format!("restore {number}")).spawn_scoped(scope, turns) {
                Ok(_) => workers += 1,
                Err(error) => tracing::warn!(%error, "a thread less restores"),
            }
        }
        drop(sender);
        loop {
            match receiver.recv_timeout(OFTEN) {
                Ok((number, end)) => {
                    if let Some(place) = ends.get_mut(number) {
                        *place = end;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            meanwhile();
        }
        // Without any worker it goes on, if without a word meanwhile.
        while workers == 0
            && !is_ending()
            && let Some(number) = queue.next()
        {
            if let Some(place) = ends.get_mut(number) {
                *place = one(number);
            }
        }
        meanwhile();
    });
    ends
}

fn ended<T>(result: Result<T, Box<dyn Any + Send>>) -> End<T> {
    result.map_or(End::Panicked, End::Done)
}

/// The pieces that nobody has taken yet.
struct Queue {
    next: AtomicUsize,
    length: usize,
}

impl Queue {
    /// Each number once, in order.
    fn next(&self) -> Option<usize> {
        let taken = |next: usize| (next < self.length).then(|| next + 1);
        self.next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, taken).ok()
    }
}

struct Closes<'q>(&'q Queue);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.next.store(self.0.length, Ordering::SeqCst);
    }
}

/// So often the calling thread looks up.
const OFTEN: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize},
    };

    use super::*;

    fn at_most(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
    }

    #[test]
    fn one_at_a_time_is_in_order() {
        let (log, pieces) = (Mutex::new(Vec::new()), [3, 1, 2, 9, 4]);
        let note = |what: i32| log.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        let work = |piece: &i32| {
            note(*piece);
            (0..1000).for_each(|_| thread::yield_now());
            note(-piece);
            piece * 10
        };
        let ends = run(&pieces, at_most(1), &|| false, &work, &mut || {});
        assert_eq!(ends, [30, 10, 20, 90, 40].map(End::Done));
        // Nothing begins before what came first has ended.
        let log = log.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(log, [3, -3, 1, -1, 2, -2, 9, -9, 4, -4]);
    }

    #[test]
    fn as_many_as_are_allowed_run_at_once_and_never_more() {
        // The first three wait for each other: with fewer at once this would never end.
        let (barrier, running, most) = (Barrier::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        let pieces: Vec<usize> = (0..20).collect();
        let work = |piece: &usize| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            if *piece < 3 {
                barrier.wait();
            }
            thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
            *piece
        };
        let ends = run(&pieces, at_most(3), &|| false, &work, &mut || {});
        assert_eq!(ends, pieces.iter().copied().map(End::Done).collect::<Vec<_>>());
        assert_eq!(most.into_inner(), 3);
    }

    #[test]
    fn one_that_breaks_down_costs_its_own_piece_only() {
        let work = |piece: &u8| {
            assert!(piece.is_multiple_of(2), "an odd one, as it should be");
            *piece
        };
        for many in 1..=5 {
            let ends = run(&[0, 1, 2, 3, 4], at_most(many), &|| false, &work, &mut || {});
            assert_eq!(
                ends,
                [End::Done(0), End::Panicked, End::Done(2), End::Panicked, End::Done(4)],
                "{many} at once"
            );
        }
    }

    #[test]
    fn after_an_interrupt_nothing_is_begun_and_what_was_begun_is_kept() {
        let (ending, barrier) = (AtomicBool::new(false), Barrier::new(2));
        let work = |piece: &u8| {
            // Both are in it when the command is told to end.
            barrier.wait();
            ending.store(true, Ordering::SeqCst);
            *piece
        };
        let ends = run(&[7, 8, 9, 10], at_most(2), &|| ending.load(Ordering::SeqCst), &work, &mut || {});
        assert_eq!(ends, [End::Done(7), End::Done(8), End::NotBegun, End::NotBegun]);
        let ends = run(&[7, 8], at_most(2), &|| true, &|piece: &u8| *piece, &mut || {});
        assert_eq!(ends, [End::NotBegun, End::NotBegun]);
    }

    #[test]
    fn the_calling_thread_looks_up_while_the_others_work_and_at_the_end() {
        let looked = AtomicUsize::new(0);
        // The work ends only after the calling thread has looked up.
        let work = |_: &u8| {
            while looked.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
        };
        run(&[1], at_most(1), &|| false, &work, &mut || {
            looked.fetch_add(1, Ordering::SeqCst);
        });
        assert!(looked.into_inner() >= 2);
        let mut at_the_end = 0;
        run(&[0_u8; 0], at_most(4), &|| false, &|_: &u8| (), &mut || at_the_end += 1);
        assert_eq!(at_the_end, 1);
    }
}
