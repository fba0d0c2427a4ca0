//! `tenwords order list`

use serde::Serialize;
use tenwords_protocol::{
    hash::Sha256,
    id::BoxId,
    orders::{OrderState, OutcomeKind, WaitingOrder},
    time::Timestamp,
    v1::V1,
};

use super::{Candidate, judged::Fault, stands, told};
use crate::{
    cli::ListOrders,
    command::Desk,
    failure::Failure,
    map::Map,
    name::Name,
    show::{clean, table},
};

#[derive(Serialize)]
struct Listed<'a> {
    v: V1,
    orders: Vec<Seen<'a>>,
    left_out: u64,
}

/// One order: the operator's own name for the box, what the text says, what the hub says.
#[derive(Serialize)]
struct Seen<'a> {
    order: Sha256,
    code: String,
    box_id: BoxId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destroys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_to_be_signed: Option<Fault>,
    asked_at: Timestamp,
    expires_at: Timestamp,
    state: OrderState,
    answers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
}

pub(in crate::command) async fn run(desk: &Desk, list: &ListOrders) -> Result<(), Failure> {
    let map = desk.map()?;
    let answer = desk.hub()?.orders(list.all).await?;
    let now = Timestamp::now();
    let candidates: Vec<(Candidate, WaitingOrder)> =
        answer.orders.iter().map(|listed| (Candidate::from(listed.clone()), listed.clone())).collect();
    let seen = candidates.iter().map(|(candidate, listed)| seen(&map, candidate, listed, now)).collect();
    desk.print_json(&Listed { v: V1, orders: seen, left_out: answer.left_out })?;
    if desk.json {
        return Ok(());
    }
    if candidates.is_empty() {
        eprintln!("no box waits for an order");
    } else {
        desk.print(&table(&rows(&map, &candidates, now)))?;
    }
    if answer.left_out > 0 {
        desk.warn(&format!("the hub has {} more than it lists", answer.left_out));
    }
    Ok(())
}

/// Of what has ended, only what was never an order is of interest.
fn fault(map: &Map, candidate: &Candidate, listed: &WaitingOrder, now: Timestamp) -> Option<Fault> {
    let is_over = matches!(listed.state, OrderState::Done | OrderState::Withdrawn | OrderState::Expired);
    candidate.fault(map, now).filter(|fault| !is_over || !fault.is_of_its_time())
}

fn seen<'a>(map: &'a Map, candidate: &Candidate, listed: &WaitingOrder, now: Timestamp) -> Seen<'a> {
    let order = candidate.order().ok();
    // The text's own word, where it has one: the hub's is only where it lies.
    let box_id = order.as_ref().map_or(listed.box_id, |order| order.box_id);
    Seen {
        order: candidate.hash(),
        code: candidate.code().to_string(),
        box_id,
        name: map.by_id(box_id).map(|entry| &entry.name),
        op: order.as_ref().map(|order| order.op().to_string()),
        act: order.as_ref().map(told::act),
        destroys: order.iter().flat_map(|order| order.destroys.iter()).map(ToString::to_string).collect(),
        not_to_be_signed: fault(map, candidate, listed, now),
        asked_at: listed.asked_at,
        expires_at: listed.expires_at,
        state: listed.state,
        answers: listed.answers,
        outcome: listed.outcome.as_ref().map(|outcome| outcome.outcome),
        said: listed.outcome.as_ref().map(|outcome| clean(outcome.said.as_str())),
    }
}

fn rows(map: &Map, candidates: &[(Candidate, WaitingOrder)], now: Timestamp) -> Vec<Vec<String>> {
    let head = ["WAITING SINCE", "BOX", "CODE", "STANDS", "GONE WITH IT"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for (candidate, listed) in candidates {
        let order = candidate.order();
        let box_id = order.as_ref().map_or(listed.box_id, |order| order.box_id);
        let name = match (map.by_id(box_id), &order) {
            (Some(entry), Ok(_)) => entry.name.to_string(),
            (None, Ok(_)) => format!("? {box_id}"),
            (_, Err(_)) => format!("? {box_id}, says the hub"),
        };
        let gone = match (fault(map, candidate, listed, now), &order) {
            (Some(fault), _) => format!("NOT to be signed: {}", fault.what),
            (None, Ok(order)) => format!("{}: {}", order.op(), told::destroyed(order)),
            (None, Err(fault)) => fault.what.clone(),
        };
        let since = format!("{}, {}", listed.asked_at, told::ago(listed.asked_at, now));
        rows.push(vec![since, name, candidate.code().to_string(), stands(listed), gone]);
    }
    rows
}
