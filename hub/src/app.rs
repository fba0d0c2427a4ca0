//! What every handler shares.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tenwords_protocol::{
    id::{BoxId, NodeId},
    ticket::{HubAddress, Ticket, TicketSecret},
    time::Timestamp,
};
use tokio::sync::watch;

use crate::{
    authority::Authority,
    calls::Calls,
    chance,
    clock::Clock,
    counters::Counters,
    home::Home,
    meter::{Meter, Source},
    polls::Polls,
    refusal::chain,
    standing::Tally,
    store::{Entry, Heard, NewTicket, Record, Store},
};

/// Failed tickets of one source address in [`ATTEMPT_WINDOW`].
const ATTEMPTS: u32 = 10;
const ATTEMPT_WINDOW: Duration = Duration::from_secs(600);
/// Audit rows about refusals of one certificate or address in an hour: enough to be seen, and a
/// hostile box cannot fill the disk with them.
const REFUSALS: u32 = 20;
const REFUSAL_WINDOW: Duration = Duration::from_secs(3600);
/// So often one box may say in a day which of its nodes escrows: each change is a row in the audit.
const KEEPERS: u32 = 48;
const KEEPER_WINDOW: Duration = Duration::from_secs(86_400);
/// The store is told that a box lives no oftener than this.
const HEARD_EVERY: u64 = 60;

/// A running hub.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) home: Home,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
    pub(crate) attempts: Meter<Source>,
    pub(crate) polls: Polls,
    pub(crate) calls: Calls,
    pub(crate) keepers: Meter<BoxId>,
    pub(crate) tally: Tally,
    public_agents: HubAddress,
    stopping: watch::Receiver<bool>,
    refusals: Meter<String>,
    heard: Mutex<HashMap<NodeId, Timestamp>>,
}

impl App {
    pub(crate) fn new(
        store: Store,
        home: Home,
        clock: Arc<dyn Clock>,
        public_agents: HubAddress,
        stopping: watch::Receiver<bool>,
        most_calls: usize,
    ) -> Self {
        Self {
            store,
            home,
            clock,
            counters: Counters::default(),
            attempts: Meter::new(ATTEMPTS, ATTEMPT_WINDOW),
            polls: Polls::new(),
            calls: Calls::new(most_calls),
            keepers: Meter::new(KEEPERS, KEEPER_WINDOW),
            tally: Tally::default(),
            public_agents,
            stopping,
            refusals: Meter::new(REFUSALS, REFUSAL_WINDOW),
            heard: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the hub was asked to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Ready once the hub was asked to stop.
    pub(crate) async fn stops(&self) {
        // An error means that the sender is gone: stop, too.
        drop(self.stopping.clone().wait_for(|stop| *stop).await);
    }

    pub(crate) fn box_ca(&self) -> &Authority {
        self.home.box_ca()
    }

    /// A fresh ticket, and what the store keeps of it.
    pub(crate) fn new_ticket(&self, expires_at: Timestamp) -> (Ticket, NewTicket) {
        let secret = TicketSecret::random(&mut chance::generator());
        let kept = NewTicket { hash: self.home.secret().of_ticket(&secret), expires_at };
        (Ticket::new(self.public_agents.clone(), self.home.server_ca().prefix(), secret), kept)
    }

    /// A refusal's row in the audit, unless `source` has filled its share already. That it could not
    /// be written does not turn the refusal into anything else.
    pub(crate) async fn note(&self, source: &str, entry: Entry) {
        tracing::warn!(action = entry.action, actor = entry.actor, detail = entry.detail, "refused");
        // Many of one kind keep no other from being written down.
        if self.refusals.take(&format!("{source} {}", entry.action), entry.time).is_err() {
            return;
        }
        if let Err(error) = self.store.perform(Record(entry)).await {
            tracing::error!(cause = chain(&error), "a refusal could not be written to the audit");
        }
    }

    /// A node has spoken. Reading goes on even when this cannot be written.
    pub(crate) async fn heard(&self, box_id: BoxId, node_id: NodeId, now: Timestamp) {
        {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            match heard.get(&node_id) {
                Some(last) if *last <= now && now.since(*last).as_secs() < HEARD_EVERY => return,
                _ => heard.insert(node_id, now),
            };
        }
        if let Err(error) = self.store.perform(Heard { box_id, node_id, now }).await {
            tracing::warn!(cause = chain(&error), "it could not be written that a box was heard of");
        }
    }
}
