//! The orders that a recovery has asked for: each challenge is drawn once, closed once, and never opened
//! again.

use std::collections::{BTreeMap, BTreeSet};

use tenwords_protocol::{
    directive::Name,
    order::{Act, Challenge, Order, OrderedPlace},
};

use super::event::{Begun, Event};

/// What was asked for, and what came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Orders {
    open: BTreeMap<Challenge, Open>,
    /// Used up or withdrawn.
    closed: BTreeSet<Challenge>,
    /// Where sources are, by orders that were used.
    places: BTreeMap<Name, OrderedPlace>,
    /// Answers that were not taken.
    refused: usize,
}

/// An order whose challenge is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) order: Order,
    /// Its exact text.
    pub(crate) text: Vec<u8>,
}

impl Orders {
    /// Those that a signature may answer.
    pub(crate) fn all_open(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    pub(crate) fn open(&self, challenge: Challenge) -> Option<&Open> {
        self.open.get(&challenge)
    }

    /// Where an operator has said that a source is, last.
    pub(crate) fn places(&self) -> &BTreeMap<Name, OrderedPlace> {
        &self.places
    }

    /// How many answers were refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    /// Why this event cannot follow.
    pub(super) fn hindrance(&self, event: &Event, begun: &Begun) -> Option<&'static str> {
        match event {
            Event::OrderAsked { text, .. } => match Order::parse(text.as_bytes()) {
                Err(_) => Some("a text that is no order"),
                Ok(order) if order.box_id != begun.box_id || order.recovery != begun.recovery => {
                    Some("another box's recovery")
                }
                Ok(order) if self.open.contains_key(&order.challenge) || self.closed.contains(&order.challenge) => {
                    Some("an order with the same challenge")
                }
                Ok(_) => None,
            },
            Event::OrderUsed { challenge, .. } | Event::OrderWithdrawn { challenge, .. } => {
                (!self.open.contains_key(challenge)).then_some("an order that is not open")
            }
            _ => None,
        }
    }

    /// Takes in an event that was found possible.
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::OrderAsked { text, .. } => {
                let text = text.into_bytes();
                if let Ok(order) = Order::parse(&text) {
                    self.open.insert(order.challenge, Open { order, text });
                }
            }
            Event::OrderUsed { challenge, .. } => {
                let used = self.open.remove(&challenge);
                self.closed.insert(challenge);
                if let Some(Order { act: Act::Repoint { source, place }, .. }) = used.map(|used| used.order) {
                    self.places.insert(source, place);
                }
            }
            Event::OrderWithdrawn { challenge, .. } => {
                self.open.remove(&challenge);
                self.closed.insert(challenge);
            }
            Event::OrderRefused { .. } => self.refused += 1,
            _ => {}
        }
    }
}
