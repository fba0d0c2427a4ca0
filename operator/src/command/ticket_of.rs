//! `tenwords box ticket NAME`

use tenwords_protocol::{nodes::TicketRequest, v1::V1};

use super::{Desk, called, ticket};
use crate::{cli::TicketOf, failure::Failure};

pub(super) async fn run(desk: &Desk, asked: &TicketOf) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&asked.which.name)?;
    let hostname = asked.reinstall.clone();
    let request = TicketRequest { v: V1, for_days: asked.for_days, end_others: asked.end_others, hostname };
    let reply = desk.hub()?.ticket(id, &request).await?;
    desk.print_json(&ticket::Shown::new(map.by_id(id).map(|entry| &entry.name), &reply))?;
    desk.print(&format!("An enrolment ticket of {}, shown once:\n", called(&map, id)))?;
    desk.print(&ticket::text(&reply, "tenwords-agent enroll --operator-keys FILE"))?;
    desk.print(match asked.reinstall {
        Some(_) => {
            "It is good for a machine of that name alone, which is that node again: what it had before is revoked once\n\
             it has spoken.\n"
        }
        None => {
            "A machine of a new name becomes another node of the box. One that was installed anew under a name that the\n\
             box has, while that node's certificate holds, needs a ticket of --reinstall HOST.\n"
        }
    })
}
