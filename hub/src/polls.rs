//! Requests that wait for an answer: what wakes them, and how many of one box may wait.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tenwords_protocol::id::BoxId;
use tokio::sync::watch;

/// Requests of one box that wait at the same time, at most. One is what an agent needs; a few, so that one
/// whose connection was lost on the way does no harm.
const PER_BOX: usize = 4;

/// Those that wait.
#[derive(Debug)]
pub(crate) struct Polls {
    waiting: Mutex<HashMap<BoxId, usize>>,
    news: watch::Sender<()>,
}

/// One of them. Its place is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<'p> {
    polls: &'p Polls,
    box_id: BoxId,
}

impl Polls {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::new(HashMap::new()), news: watch::Sender::new(()) }
    }

    /// A place for one more of this box, if there is one.
    pub(crate) fn enter(&self, box_id: BoxId) -> Option<Place<'_>> {
        let mut waiting = self.waiting();
        let of_box = waiting.entry(box_id).or_insert(0);
        if *of_box >= PER_BOX {
            return None;
        }
        *of_box += 1;
        Some(Place { polls: self, box_id })
    }

    /// What tells that an answer came, to any box.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// An answer came.
    pub(crate) fn wake(&self) {
        self.news.send_replace(());
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<BoxId, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.polls.waiting();
        match waiting.get_mut(&self.box_id) {
            Some(of_box) if *of_box > 1 => *of_box -= 1,
            _ => drop(waiting.remove(&self.box_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_left_is_given_again_and_nothing_is_remembered_of_it() {
        let polls = Polls::new();
        let mut generator = crate::chance::generator();
        let (alpha, beta) = (BoxId::random(&mut generator), BoxId::random(&mut generator));
        let mut places: Vec<_> = (0..PER_BOX).map(|_| polls.enter(alpha)).collect();
        assert!(places.iter().all(Option::is_some) && polls.enter(alpha).is_none());
        assert!(polls.enter(beta).is_some());
        places.pop();
        places.push(polls.enter(alpha));
        assert!(places.iter().all(Option::is_some) && polls.enter(alpha).is_none());
        drop(places);
        assert!(polls.waiting().is_empty());
    }
}
