//! `tenwords box add NAME`, and one box of a list (`rollout`).

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::{
    bounded::Text,
    boxes::{AddBoxRequest, TicketReply},
    id::BoxId,
    problem::ProblemCode,
    time::Timestamp,
    v1::V1,
};

use super::{Desk, rollout, set::customer, ticket};
use crate::{
    cli::Add,
    failure::Failure,
    hub::{Hub, Refused},
    map::{Entry, HeldMap},
    name::Name,
};

pub(super) async fn run(desk: &Desk, add: &Add) -> Result<(), Failure> {
    let Some(name) = &add.name else { return rollout::run(desk, add).await };
    let customer = add.customer.as_deref().map(customer).transpose()?;
    let hub = desk.hub()?;
    let Added { reply, again } = one(desk, &hub, name, customer, add.for_days).await?;
    if again && !desk.json {
        eprintln!("{name} stood in your map already; this ticket is in place of the first");
    }
    desk.print_json(&ticket::Shown::new(Some(name), &reply))?;
    let command = "tenwords-agent enroll --operator-keys FILE";
    desk.print(&format!("{name} is box {}. Its enrolment ticket, shown once:\n", reply.box_id))?;
    desk.print(&ticket::text(&reply, command))?;
    desk.print("FILE lists the SSH keys of your operators; bring it yourself, it never comes from the hub.\n")
}

/// A box that the hub has taken, with its ticket.
pub(super) struct Added {
    pub(super) reply: TicketReply,
    /// It stood in the map before.
    pub(super) again: bool,
}

/// The id is on disk here before the hub hears it, so that an answer which gets lost loses nothing:
/// the same command asks for another ticket under the same id.
pub(super) async fn one(
    desk: &Desk,
    hub: &Hub,
    name: &Name,
    customer: Option<Text<100>>,
    for_days: Option<u32>,
) -> Result<Added, Failure> {
    let (box_id, again) = noted(desk, name)?;
    let request = AddBoxRequest { v: V1, box_id, name: name.to_string(), customer, for_days };
    let reply = match hub.add_box(&request).await {
        Ok(reply) => reply,
        Err(refused) => return Err(not_added(desk, name, box_id, again, refused)),
    };
    HeldMap::hold(&desk.settings.state)?.acknowledge(box_id)?;
    Ok(Added { reply, again })
}

/// The box's id out of the map, drawn and kept now if the name is new; and whether it was there.
fn noted(desk: &Desk, name: &Name) -> Result<(BoxId, bool), Failure> {
    let mut held = HeldMap::hold(&desk.settings.state)?;
    if let Some(entry) = held.map().by_name(name) {
        return Ok((entry.box_id, true));
    }
    let box_id = BoxId::random(&mut UnwrapErr(SysRng));
    held.add(Entry { name: name.clone(), box_id, added_at: Timestamp::now(), acknowledged: false, retired: false })?;
    Ok((box_id, false))
}

/// A name that was new and that the hub has refused goes out of the map again. Without a clear
/// refusal it stays: the hub may have taken it.
fn not_added(desk: &Desk, name: &Name, box_id: BoxId, again: bool, refused: Refused) -> Failure {
    let refusal = refused.code.as_ref().map(ProblemCode::status).is_some_and(|status| status < 500);
    if refusal && !again {
        let withdrawn = HeldMap::hold(&desk.settings.state).and_then(|mut held| held.withdraw(box_id));
        if let Err(failure) = withdrawn {
            return failure;
        }
    }
    if refused.code != Some(ProblemCode::Conflict) {
        return refused.into();
    }
    Failure::usage(
        "conflict",
        format!("the hub gives no ticket: it has another box of the name {name}, or this one has enrolled"),
        "`tenwords box list` shows which; take another name, or go on with the box that is there",
    )
}
