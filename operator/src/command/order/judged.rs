//! Whether an order may be signed, and by which list of keys the box will judge the signature.

use std::{path::Path, time::Duration};

use serde::Serialize;
use tenwords_protocol::{
    order::{Order, OrderError},
    orders::OrderState,
    time::Timestamp,
};

use super::Candidate;
use crate::{command::called, failure::Failure, map::Map, operators::Operators, show::for_how_long};

/// Why an order is not to be signed.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    code: &'static str,
    pub(super) what: String,
    #[serde(skip)]
    remedy: &'static str,
}

/// The box's list of operator keys beside the own one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Standing {
    /// The same.
    Same,
    /// An older one than the own.
    Older,
    /// A later one than the own.
    Later,
    /// Another of the same generation.
    Other,
    /// There is no own list to compare with.
    NotCompared,
}

/// How much a box's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_secs(600);
/// Where nothing can be mended from here.
const TELL: &str = "sign nothing; tell whoever runs the hub and the box, and look at what the box's screen shows";

impl Candidate {
    /// What the text says, if it is an order.
    pub(super) fn order(&self) -> Result<Order, Fault> {
        Order::parse(&self.text).map_err(|error| {
            let remedy = match &error {
                OrderError::UnknownOp(_) => "if the box has a later version than this program, update this program",
                OrderError::Spelling => "take the file as the box wrote it: an editor may have changed it",
                _ => TELL,
            };
            Fault { code: "order_unreadable", what: crate::show::clean(&error.to_string()), remedy }
        })
    }

    /// The first reason not to sign it.
    pub(super) fn fault(&self, map: &Map, now: Timestamp) -> Option<Fault> {
        let order = match self.order() {
            Ok(order) => order,
            Err(fault) => return Some(fault),
        };
        self.misplaced(&order, map).or_else(|| self.untimely(&order, now))
    }

    /// Where it came from and whose it is do not fit.
    fn misplaced(&self, order: &Order, map: &Map) -> Option<Fault> {
        let fault = |code, what, remedy| Some(Fault { code, what, remedy });
        if let Some(listed) = &self.listed {
            if listed.order != self.hash() {
                return fault("order_differs", "the hub lists it under the id of another order".to_owned(), TELL);
            }
            if listed.box_id != order.box_id {
                let of = called(map, order.box_id);
                let what = format!("it is of {of}, and the hub lists it under {}", called(map, listed.box_id));
                return fault("box_differs", what, TELL);
            }
        }
        if map.by_id(order.box_id).is_none() {
            let what = format!("your own map has no box {}", order.box_id);
            let remedy = "if you know from elsewhere than from the hub which box that is, say so: --box NAME=ID";
            return fault("unknown_box", what, remedy);
        }
        None
    }

    fn untimely(&self, order: &Order, now: Timestamp) -> Option<Fault> {
        let is_over = |state| matches!(state, OrderState::Done | OrderState::Withdrawn | OrderState::Expired);
        if self.listed.as_ref().is_some_and(|listed| is_over(listed.state)) {
            let what = "it has ended: the box waits for it no more".to_owned();
            let remedy = "`tenwords order list` shows what waits";
            return Some(Fault { code: "order_ended", what, remedy });
        }
        let clock = "if that cannot be, compare this machine's clock with the box's; the box asks anew by itself";
        if order.expires <= now {
            let ago = for_how_long(now.since(order.expires));
            let what = format!("its time was over at {}, {ago} ago", order.expires);
            return Some(Fault { code: "order_expired", what, remedy: clock });
        }
        if order.issued > now.plus(AHEAD) {
            let what = format!("it was written at {}, which is yet to come", order.issued);
            return Some(Fault { code: "order_not_yet", what, remedy: clock });
        }
        None
    }
}

impl Fault {
    /// Whether it was once to be signed, and is not any more or not yet.
    pub(super) fn is_of_its_time(&self) -> bool {
        matches!(self.code, "order_ended" | "order_expired" | "order_not_yet")
    }

    pub(super) fn refusal(self) -> Failure {
        Failure::usage(self.code, format!("not to be signed: {}", self.what), self.remedy)
    }
}

impl Standing {
    pub(super) fn of(order: &Order, own: Option<&Operators>) -> Self {
        let seen = order.operators;
        match own {
            None => Self::NotCompared,
            Some(own) if own.generation > seen.generation => Self::Older,
            Some(own) if own.generation < seen.generation => Self::Later,
            Some(own) if own.list.hash() == seen.sha256 => Self::Same,
            Some(_) => Self::Other,
        }
    }

    /// What the operator should hear of it.
    pub(super) fn warning(self, order: &Order, own: Option<&Operators>) -> Option<String> {
        let theirs = order.operators.generation;
        let ours = own.map_or_else(String::new, |own| own.generation.to_string());
        match self {
            Self::Same => None,
            Self::Older => Some(format!(
                "the box judges by an older list of operator keys (generation {theirs}, yours is {ours}): a fired \
                 operator's key may still count there; `tenwords pins send` leaves the statement for it"
            )),
            Self::Later => Some(format!(
                "the box has a later list of operator keys than you (generation {theirs}, yours is {ours}): ask your \
                 colleagues for the statement, then `tenwords pins take FILE`"
            )),
            Self::Other => Some(format!(
                "the box judges by another list of operator keys than yours, of the same generation {theirs}: keys \
                 that you do not know may count there"
            )),
            Self::NotCompared => Some(
                "you keep no list of operator keys to compare with the box's: `tenwords pins init FILE` begins one"
                    .to_owned(),
            ),
        }
    }
}

/// The code of the box's list, where it is one that is known here.
pub(super) fn code_of_list(folder: &Path, order: &Order) -> Result<Option<String>, Failure> {
    let known = Operators::of_hash(folder, order.operators.generation, order.operators.sha256)?;
    Ok(known.map(|known| known.list.code().to_string()))
}
