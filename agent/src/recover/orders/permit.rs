//! An operator's word, judged: the only thing with which something that exists is replaced, once.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use tenwords_escrow::order::CheckedOrder;
use tenwords_protocol::{
    hash::Sha256,
    order::{Challenge, Order},
    time::Timestamp,
};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    recover::{course::Event, log::Log},
    settings::Configuration,
};

/// What was used up lies beside every recovery's journal: that one is cut, removed or put aside opens no
/// challenge again.
const USED: &str = "orders-used";

/// One act that may happen once. It is made by the desk alone.
pub(crate) struct Permit {
    order: CheckedOrder,
    used: PathBuf,
    is_redeemed: AtomicBool,
}

/// What lies there may be replaced now, if it is exactly this.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Redeemed {
    pub(crate) found: Option<Sha256>,
}

impl Permit {
    pub(super) fn of(order: CheckedOrder, configuration: &Configuration) -> Self {
        Self { order, used: configuration.state(USED), is_redeemed: AtomicBool::new(false) }
    }

    pub(crate) fn order(&self) -> &Order {
        self.order.order()
    }

    pub(crate) fn challenge(&self) -> Challenge {
        self.order().challenge
    }

    /// By what the hub knows it.
    pub(crate) fn text_sha256(&self) -> Sha256 {
        Sha256::of(self.order.text())
    }

    /// What lies there, exactly, as the operator has seen it.
    pub(crate) fn found(&self) -> Option<Sha256> {
        self.order().found
    }

    /// Whether it was used.
    pub(crate) fn is_redeemed(&self) -> bool {
        self.is_redeemed.load(Ordering::SeqCst)
    }

    /// For the report of what it let happen.
    pub(crate) fn told(&self) -> String {
        format!("in the place of what the order {} named, signed by {}", self.order.code(), self.order.signer())
    }

    /// Closes the challenge, on the disk and in the journal; when this returns, the act may begin, and nothing
    /// lets it begin again.
    pub(crate) fn redeem(&self, log: &Log) -> Outcome<Redeemed> {
        let (now, challenge) = (Timestamp::now(), self.challenge());
        if self.is_redeemed.swap(true, Ordering::SeqCst) || now >= self.order().expires {
            return Err(Stop::new(Code::WaitingForOrder, format!("the order {} counts no more", self.order.code()))
                .remedy("run the same command again: it asks for another order"));
        }
        let cannot = || "that an order is used up cannot be kept; nothing was done".to_owned();
        durable::folder(&self.used, 0o700).or_stop(Code::Preflight, cannot)?;
        let file = self.used.join(challenge.to_string());
        durable::create("order-used", &file, 0o600, self.order.text()).or_stop(Code::Preflight, cannot)?;
        log.note(Event::OrderUsed { at: now, challenge, signer: self.order.signer().to_owned() })?;
        Ok(Redeemed { found: self.found() })
    }
}

/// Whether any run, of this recovery or another one, has used it.
pub(super) fn is_used(configuration: &Configuration, challenge: Challenge) -> bool {
    let file = configuration.state(USED).join(challenge.to_string());
    // What cannot be looked at is not taken for unused.
    !matches!(file.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
}
