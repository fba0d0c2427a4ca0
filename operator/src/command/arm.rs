//! `tenwords recovery arm NAME --reason TEXT`

use std::io::{BufRead as _, IsTerminal as _};

use tenwords_protocol::{
    boxes::{ArmRequest, BoxSummary, TicketReply},
    id::BoxId,
    problem::ProblemCode,
    v1::V1,
};

use super::{Desk, called, list::disagreement, ticket};
use crate::{cli::Arm, failure::Failure, hub::Hub, map::Map};

pub(super) async fn run(desk: &Desk, arm: &Arm) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&arm.which.name)?;
    let hub = desk.hub()?;
    let boxes = hub.boxes().await?;
    for warning in doubts(&map, id, &boxes) {
        desk.warn(&warning);
    }
    let (reply, is_alive) = open(&hub, &map, id, arm).await?;
    desk.print_json(&ticket::Shown::new(map.by_id(id).map(|entry| &entry.name), &reply))?;
    let window = if arm.rehearsal { "a rehearsal" } else { "recovery" };
    desk.print(&format!("{} is armed for {window}. The ticket, shown once:\n", called(&map, id)))?;
    desk.print(&ticket::text(&reply, "tenwords-agent recover"))?;
    if arm.stolen {
        desk.print("The old box's certificates are revoked from now on.\n")?;
    }
    if is_alive {
        desk.print(
            "The box lives, and stays the box until the ten words are proven on the new machine; then its certificate \
             is revoked.\nIn a planned swap its guests are stopped and backed up once more first, and never started \
             there again.\n",
        )?;
    }
    desk.print(
        "The customer types the ten words at that machine's console. You do not need to hear them, and nothing of \
         ours\nwill ever ask you for them.\n",
    )
}

/// What the operator should hear before the customer is called: the hub's other name for the box,
/// and that there may be nothing that the words could open.
fn doubts(map: &Map, id: BoxId, boxes: &[BoxSummary]) -> Vec<String> {
    let Some(summary) = boxes.iter().find(|summary| summary.box_id == id) else { return Vec::new() };
    let mut doubts: Vec<String> = disagreement(map, summary).into_iter().collect();
    if summary.versions == 0 {
        doubts.push(format!("the hub has no escrow of {}: the ten words could bring nothing back", called(map, id)));
    }
    doubts
}

/// Asks once; if the box was heard of lately, makes sure, and asks again. Tells whether it was.
async fn open(hub: &Hub, map: &Map, id: BoxId, arm: &Arm) -> Result<(TicketReply, bool), Failure> {
    let mut request = ArmRequest {
        v: V1,
        reason: arm.reason.clone(),
        minutes: arm.minutes,
        rehearsal: arm.rehearsal,
        stolen: arm.stolen,
        lost_at: arm.lost_at,
        confirm_alive: arm.yes,
    };
    match hub.arm(id, &request).await {
        Ok(reply) => Ok((reply, false)),
        Err(refused) if refused.code == Some(ProblemCode::BoxIsAlive) => {
            confirm(map, id, refused.failure)?;
            request.confirm_alive = true;
            Ok((hub.arm(id, &request).await?, true))
        }
        Err(refused) => Err(refused.into()),
    }
}

/// The box's own name has to be typed: a "y" is typed too easily for the wrong box.
fn confirm(map: &Map, id: BoxId, refusal: Failure) -> Result<(), Failure> {
    let refusal = refusal.with_remedy("if it is to be replaced all the same, add --yes; to practise, --rehearsal");
    if !std::io::stdin().is_terminal() {
        return Err(refusal);
    }
    let expected = map.by_id(id).map_or_else(|| id.to_string(), |entry| entry.name.to_string());
    eprintln!("{} was heard of within the hour: it may be alive.", called(map, id));
    eprint!("Type {expected} to arm all the same, anything else to leave it: ");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim() == expected { Ok(()) } else { Err(refusal) }
}
