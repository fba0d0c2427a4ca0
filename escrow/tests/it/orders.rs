//! S36: orders against signatures of the real ssh-keygen, and what a thief could make of them.

mod crafted;
mod damage;
mod form;
mod kinds;
mod s36;
mod security;
mod world;

use tenwords_escrow::{
    order::{CheckedOrder, Offered, OrderRefusal, check},
    signed::SignatureRefusal,
};
use tenwords_protocol::{
    bytes::Base64,
    operators::OperatorList,
    order::{Challenge, Order, SignedOrder},
    time::Timestamp,
    v1::V1,
};

pub(crate) use self::{security::Security, world::World};
use crate::support::seeded;

const NAMESPACE: &str = "tenwords-order-v1";
/// A guest is replaced; by Python.
const GUEST: &[u8] = include_bytes!("../../../protocol/tests/golden/order-restore-guest.txt");
/// A source is elsewhere; by Python.
const REPOINT: &[u8] = include_bytes!("../../../protocol/tests/golden/order-repoint.txt");

/// Within the golden orders' five seconds.
fn now() -> Timestamp {
    "2026-03-03T12:00:03Z".parse().unwrap()
}

/// The golden order, changed.
fn order(change: impl FnOnce(&mut Order)) -> Vec<u8> {
    let mut order = Order::parse(GUEST).unwrap();
    change(&mut order);
    order.to_text().unwrap()
}

/// As another box, or the same on another day, would have drawn it.
fn drawn(seed: &str) -> Vec<u8> {
    order(|order| order.challenge = Challenge::draw(&mut seeded(seed)))
}

fn signed(text: &[u8], armour: &str) -> Offered {
    Offered::Signed(SignedOrder { v: V1, order: Base64(text.to_vec()), signature: armour.to_owned() })
}

fn bare(armour: &str) -> Offered {
    Offered::Armour(armour.to_owned())
}

fn judge(offered: &Offered, open: &[&[u8]], operators: &OperatorList) -> Result<CheckedOrder, OrderRefusal> {
    check(offered, open.iter().copied(), operators, now())
}

/// Why it is refused.
fn refusal(offered: &Offered, open: &[&[u8]], operators: &OperatorList) -> OrderRefusal {
    let refusal = judge(offered, open, operators).unwrap_err();
    assert!(!refusal.next_step().is_empty() && !refusal.to_string().contains(char::is_control), "{refusal}");
    refusal
}

/// Why its signature does not count.
fn unsigned(offered: &Offered, open: &[&[u8]], operators: &OperatorList) -> SignatureRefusal {
    match refusal(offered, open, operators) {
        OrderRefusal::Signature(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}
