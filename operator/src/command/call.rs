//! `tenwords box call NAME`

use serde::Serialize;
use tenwords_protocol::{calls::CallKind, id::BoxId, v1::V1};

use super::{Desk, called};
use crate::{cli::CallBox, failure::Failure};

#[derive(Serialize)]
struct Shown {
    v: V1,
    box_id: BoxId,
    waiting: u64,
}

pub(super) async fn run(desk: &Desk, call: &CallBox) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&call.which.name)?;
    let waiting = desk.hub()?.call_box(id, CallKind::Report).await?.waiting;
    desk.print_json(&Shown { v: V1, box_id: id, waiting })?;
    let name = called(&map, id);
    desk.print(&match waiting {
        0 => format!("{name} is not listening now; it reports when it asks next, and every 15 minutes anyway.\n"),
        1 => format!("{name} was asked for its report, and one node is at it.\n"),
        nodes => format!("{name} was asked for its report, and {nodes} nodes are at it.\n"),
    })
}
