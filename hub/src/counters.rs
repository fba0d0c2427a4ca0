//! What the hub counts since its start, as text that Prometheus reads.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) versions_stored: Counter,
    pub(crate) versions_known: Counter,
    pub(crate) versions_refused: Counter,
    pub(crate) claims: Counter,
    pub(crate) proofs: Counter,
    pub(crate) proofs_refused: Counter,
    pub(crate) drills: Counter,
    pub(crate) drills_refused: Counter,
    pub(crate) orders: Counter,
    pub(crate) orders_refused: Counter,
    pub(crate) answers: Counter,
    pub(crate) answers_waited: Counter,
    pub(crate) answers_woken: Counter,
    pub(crate) tickets_refused: Counter,
    pub(crate) forbidden: Counter,
    pub(crate) foreign: Counter,
    pub(crate) renewals: Counter,
    pub(crate) renewals_refused: Counter,
    pub(crate) calls: Counter,
    pub(crate) calls_waited: Counter,
    pub(crate) calls_woken: Counter,
    pub(crate) reports: Counter,
    pub(crate) reports_refused: Counter,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    pub(crate) fn to_text(&self) -> String {
        let all = [
            ("versions_stored", &self.versions_stored, "Escrow versions stored."),
            ("versions_known", &self.versions_known, "Pushes that equalled the newest version."),
            ("versions_refused", &self.versions_refused, "Pushes refused because the day's versions were used up."),
            ("claims", &self.claims, "Recovery tickets claimed."),
            ("proofs", &self.proofs, "Proofs of the ten words accepted."),
            ("proofs_refused", &self.proofs_refused, "Proofs of the ten words refused."),
            ("drills", &self.drills, "Drills written down."),
            (
                "drills_refused",
                &self.drills_refused,
                "Drills refused, for their proof or because the day's were used up.",
            ),
            ("orders", &self.orders, "Orders that boxes asked."),
            ("orders_refused", &self.orders_refused, "Orders refused because a box had asked too many."),
            ("answers", &self.answers, "Answers to orders."),
            ("answers_waited", &self.answers_waited, "Requests that found no answer and began to wait for one."),
            ("answers_woken", &self.answers_woken, "Of those, the ones that got an answer before their time was over."),
            ("tickets_refused", &self.tickets_refused, "Tickets refused."),
            ("forbidden", &self.forbidden, "Requests with a certificate that may not do them."),
            ("foreign", &self.foreign, "Of those, the ones that asked for another box's."),
            ("renewals", &self.renewals, "Certificates of nodes renewed."),
            ("renewals_refused", &self.renewals_refused, "Renewals refused because the node's day was used up."),
            ("calls", &self.calls, "Calls of operators to boxes."),
            ("calls_waited", &self.calls_waited, "Requests that began to wait for a call."),
            ("calls_woken", &self.calls_woken, "Of those, the ones that heard one before their time was over."),
            ("reports", &self.reports, "Reports of nodes taken."),
            ("reports_refused", &self.reports_refused, "Reports refused because the last one came a moment ago."),
        ];
        let mut text = String::new();
        for (name, counter, help) in all {
            let value = counter.0.load(Ordering::Relaxed);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "# HELP tenwords_hub_{name}_total {help}\n# TYPE tenwords_hub_{name}_total counter\ntenwords_hub_{name}_total {value}"
            );
        }
        text
    }
}
