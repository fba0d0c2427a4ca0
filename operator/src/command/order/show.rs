//! `tenwords order show FILE|CODE`

use serde::Serialize;
use tenwords_protocol::{
    hash::Sha256,
    id::NodeId,
    order::Order,
    orders::{OrderState, OutcomeKind, WaitingOrder},
    time::Timestamp,
    v1::V1,
};

use super::{
    Candidate, Reference,
    judged::{self, Fault, Standing},
    map, told,
};
use crate::{
    cli::ShowOrder, command::Desk, failure::Failure, files, map::Map, name::Name, operators::Operators, show::clean,
};

#[derive(Serialize)]
struct Shown<'a> {
    v: V1,
    order: Sha256,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Name>,
    act: String,
    /// Its own text, field by field.
    text: &'a Order,
    operators: Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    operators_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_to_be_signed: Option<&'a Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_the_hub: Option<AtTheHub>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct AtTheHub {
    asked_at: Timestamp,
    state: OrderState,
    answers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
}

/// An order that can be shown, with all that is to be said of it.
pub(super) struct Told {
    pub(super) order: Order,
    pub(super) text: String,
    pub(super) warnings: Vec<String>,
    standing: Standing,
    list_code: Option<String>,
}

pub(in crate::command) async fn run(desk: &Desk, show: &ShowOrder) -> Result<(), Failure> {
    let map = map(desk, &show.order.boxes)?;
    let candidate = Reference::of(&show.order.which).find(desk).await?;
    let now = Timestamp::now();
    let told = tell(desk, &candidate, &map, now)?;
    let fault = candidate.fault(&map, now);
    if let Some(out) = &show.out {
        files::write_new(out, &candidate.text)?;
    }
    desk.print_json(&Shown {
        v: V1,
        order: candidate.hash(),
        code: candidate.code().to_string(),
        name: map.by_id(told.order.box_id).map(|entry| &entry.name),
        act: told::act(&told.order),
        text: &told.order,
        operators: told.standing,
        operators_code: told.list_code.as_deref(),
        not_to_be_signed: fault.as_ref(),
        at_the_hub: candidate.listed.as_ref().map(at_the_hub),
        warnings: &told.warnings,
    })?;
    if desk.json {
        return Ok(());
    }
    desk.print(&told.text)?;
    desk.print(&told::code(&candidate))?;
    if let Some(out) = &show.out {
        desk.print(&format!("\nIts exact text is in {}, to be signed where no network is.\n", out.display()))?;
    }
    for warning in &told.warnings {
        desk.warn(warning);
    }
    if let Some(fault) = fault {
        desk.warn(&format!("NOT to be signed: {}", fault.what));
    }
    Ok(())
}

/// The order in words; what cannot be read cannot be told.
pub(super) fn tell(desk: &Desk, candidate: &Candidate, map: &Map, now: Timestamp) -> Result<Told, Failure> {
    let order = candidate.order().map_err(|fault| {
        let more = format!("its code is {}", candidate.code());
        fault.refusal().with_more(more)
    })?;
    let own = Operators::read(&desk.settings.state)?;
    let standing = Standing::of(&order, own.as_ref());
    let list_code = judged::code_of_list(&desk.settings.state, &order)?;
    let text = told::whole(candidate, &order, map, (standing, list_code.as_deref()), now);
    let mut warnings: Vec<String> = standing.warning(&order, own.as_ref()).into_iter().collect();
    warnings.extend(other_machine(&order, candidate.listed.as_ref()));
    Ok(Told { order, text, warnings, standing, list_code })
}

fn other_machine(order: &Order, listed: Option<&WaitingOrder>) -> Option<String> {
    let differs = |node: &NodeId| listed.is_some_and(|listed| listed.node_id != *node);
    order.node_id.filter(differs).map(|node| format!("the hub had it from another machine than {node}"))
}

fn at_the_hub(listed: &WaitingOrder) -> AtTheHub {
    AtTheHub {
        asked_at: listed.asked_at,
        state: listed.state,
        answers: listed.answers,
        outcome: listed.outcome.as_ref().map(|outcome| outcome.outcome),
        said: listed.outcome.as_ref().map(|outcome| clean(outcome.said.as_str())),
    }
}
