//! What operators call to boxes, in memory alone, and the requests of nodes that wait for it.
//!
//! A box's call wakes the box's own nodes and nobody else: thousands that wait cost what their connections
//! cost. They have their own places, so that they take none of those that wait for an order's answer, and all
//! of them together leave half of the connections to everything else.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tenwords_protocol::{
    calls::CallKind,
    id::{BoxId, NodeId},
};
use tokio::sync::watch;

use crate::chance;

/// Requests of one node that wait at the same time, at most: one, and another whose connection was lost on the
/// way.
const PER_NODE: usize = 2;
/// Boxes whose last call is remembered.
const REMEMBERED: usize = 16_384;

/// A call: the number tells it from those before it, also from those of a process that ran before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) kind: CallKind,
}

#[derive(Debug)]
pub(crate) struct Calls {
    most: usize,
    first: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    made: u64,
    last: HashMap<BoxId, Call>,
    waiting: HashMap<BoxId, Waiting>,
    all: usize,
}

#[derive(Debug)]
struct Waiting {
    news: watch::Sender<()>,
    nodes: HashMap<NodeId, usize>,
}

/// A place to wait. It is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<'c> {
    calls: &'c Calls,
    box_id: BoxId,
    node_id: NodeId,
    /// Changes when the box is called.
    pub(crate) news: watch::Receiver<()>,
}

impl Calls {
    /// At most `most` wait at the same time.
    pub(crate) fn new(most: usize) -> Self {
        let first = u64::from(u32::from_be_bytes(chance::bytes())) << 20;
        Self { most, first, state: Mutex::default() }
    }

    /// Calls a box, and says how many of its nodes hear it now.
    pub(crate) fn call(&self, box_id: BoxId, kind: CallKind) -> u64 {
        let mut state = self.state();
        state.made += 1;
        let call = Call { number: self.first + state.made, kind };
        if state.last.len() >= REMEMBERED
            && let Some(oldest) = state.last.iter().min_by_key(|(_, call)| call.number).map(|(id, _)| *id)
        {
            state.last.remove(&oldest);
        }
        state.last.insert(box_id, call);
        match state.waiting.get(&box_id) {
            Some(waiting) => {
                waiting.news.send_replace(());
                u64::try_from(waiting.nodes.len()).unwrap_or(u64::MAX)
            }
            None => 0,
        }
    }

    /// The box's last call, if it is another than the one with the number `after`.
    pub(crate) fn after(&self, box_id: BoxId, after: u64) -> Option<Call> {
        self.state().last.get(&box_id).copied().filter(|call| call.number != after)
    }

    /// A place for one more request of this node, if there is one.
    pub(crate) fn enter(&self, box_id: BoxId, node_id: NodeId) -> Option<Place<'_>> {
        let mut state = self.state();
        if state.all >= self.most {
            return None;
        }
        let waiting = state
            .waiting
            .entry(box_id)
            .or_insert_with(|| Waiting { news: watch::Sender::new(()), nodes: HashMap::new() });
        let of_node = waiting.nodes.entry(node_id).or_insert(0);
        if *of_node >= PER_NODE {
            return None;
        }
        *of_node += 1;
        let news = waiting.news.subscribe();
        state.all += 1;
        Some(Place { calls: self, box_id, node_id, news })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.calls.state();
        state.all = state.all.saturating_sub(1);
        let Some(waiting) = state.waiting.get_mut(&self.box_id) else { return };
        match waiting.nodes.get_mut(&self.node_id) {
            Some(of_node) if *of_node > 1 => *of_node -= 1,
            _ => drop(waiting.nodes.remove(&self.node_id)),
        }
        if waiting.nodes.is_empty() {
            state.waiting.remove(&self.box_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (BoxId, NodeId) {
        (BoxId::random(&mut chance::generator()), chance::node_id())
    }

    #[test]
    fn places_are_of_a_node_and_all_of_them_together_have_an_end() {
        let calls = Calls::new(3);
        let ((alpha, one), (beta, other)) = (ids(), ids());
        let two = chance::node_id();
        let first: Vec<_> = (0..PER_NODE).map(|_| calls.enter(alpha, one)).collect();
        assert!(first.iter().all(Option::is_some) && calls.enter(alpha, one).is_none());
        let third = calls.enter(alpha, two);
        assert!(third.is_some() && calls.enter(beta, other).is_none());
        drop(third);
        let third = calls.enter(beta, other);
        assert!(third.is_some());
        drop((first, third));
        let state = calls.state();
        assert!(state.waiting.is_empty() && state.all == 0);
    }

    #[test]
    fn a_call_wakes_its_own_box_and_is_heard_once() {
        let calls = Calls::new(9);
        let ((alpha, one), (beta, other)) = (ids(), ids());
        let (here, there) = (calls.enter(alpha, one), calls.enter(beta, other));
        assert_eq!(calls.call(alpha, CallKind::Report), 1);
        assert!(here.is_some_and(|place| place.news.has_changed().is_ok_and(|changed| changed)));
        assert!(there.is_some_and(|place| place.news.has_changed().is_ok_and(|changed| !changed)));
        let heard = calls.after(alpha, 0).map_or(0, |call| call.number);
        assert_eq!(calls.after(alpha, heard), None);
        // Who was away hears the last one, and so does who speaks of a number of another process.
        calls.call(alpha, CallKind::Report);
        assert!(calls.after(alpha, heard).is_some() && calls.after(alpha, 7).is_some());
        assert_eq!(calls.after(beta, 7), None);
    }

    #[test]
    fn memory_is_bounded() {
        let calls = Calls::new(1);
        for _ in 0..REMEMBERED + 10 {
            calls.call(ids().0, CallKind::Report);
        }
        assert_eq!(calls.state().last.len(), REMEMBERED);
    }
}
