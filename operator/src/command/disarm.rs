//! `tenwords recovery disarm NAME`

use serde::Serialize;
use tenwords_protocol::{id::BoxId, v1::V1};

use super::{Desk, called};
use crate::{cli::Which, failure::Failure};

#[derive(Serialize)]
struct Disarmed {
    v: V1,
    box_id: BoxId,
    disarmed: bool,
}

pub(super) async fn run(desk: &Desk, which: &Which) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&which.name)?;
    desk.hub()?.disarm(id).await?;
    desk.print_json(&Disarmed { v: V1, box_id: id, disarmed: true })?;
    desk.print(&format!(
        "{} is not armed.\nNo ticket for its recovery is good any more, and a machine that had claimed one without \
         proving\nthe ten words is shut out.\n",
        called(&map, id)
    ))
}
