//! `tenwords box add NAME`

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::{boxes::AddBoxRequest, id::BoxId, problem::ProblemCode, time::Timestamp, v1::V1};

use super::{Desk, ticket};
use crate::{
    cli::Add,
    failure::Failure,
    hub::Refused,
    map::{Entry, HeldMap},
    name::Name,
};

/// The id is on disk here before the hub hears it, so that an answer which gets lost loses nothing:
/// the same command asks for another ticket under the same id.
pub(super) async fn run(desk: &Desk, add: &Add) -> Result<(), Failure> {
    let hub = desk.hub()?;
    let (box_id, again) = noted(desk, &add.name)?;
    if again && !desk.json {
        eprintln!("{} stands in your map already; asking for another ticket in place of the first", add.name);
    }
    let request = AddBoxRequest { v: V1, box_id, name: add.name.to_string() };
    let reply = match hub.add_box(&request).await {
        Ok(reply) => reply,
        Err(refused) => return Err(not_added(desk, &add.name, box_id, again, refused)),
    };
    HeldMap::hold(&desk.settings.state)?.acknowledge(box_id)?;
    desk.print_json(&ticket::Shown::new(Some(&add.name), &reply))?;
    let command = "tenwords-agent enroll --operator-keys FILE";
    desk.print(&format!("{} is box {box_id}. Its enrolment ticket, shown once:\n", add.name))?;
    desk.print(&ticket::text(&reply, command))?;
    desk.print("FILE lists the SSH keys of your operators; bring it yourself, it never comes from the hub.\n")
}

/// The box's id out of the map, drawn and kept now if the name is new; and whether it was there.
fn noted(desk: &Desk, name: &Name) -> Result<(BoxId, bool), Failure> {
    let mut held = HeldMap::hold(&desk.settings.state)?;
    if let Some(entry) = held.map().by_name(name) {
        return Ok((entry.box_id, true));
    }
    let box_id = BoxId::random(&mut UnwrapErr(SysRng));
    held.add(Entry { name: name.clone(), box_id, added_at: Timestamp::now(), acknowledged: false })?;
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
