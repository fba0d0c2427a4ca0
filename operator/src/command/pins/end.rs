//! `tenwords pins end SHA256`

use serde::Serialize;
use tenwords_protocol::{hash::Sha256, orders::pins_sha256, v1::V1};

use super::{Desk, current, show};
use crate::{cli::EndPins, command::ask, failure::Failure};

#[derive(Serialize)]
struct Ended<'a> {
    v: V1,
    sha256: Sha256,
    is: &'a str,
}

pub(in crate::command) async fn run(desk: &Desk, end: &EndPins) -> Result<(), Failure> {
    let own = current(desk, None)?;
    let hub = desk.hub()?;
    let listed = hub.pins().await?.pins;
    // The hash is computed here: the hub does not say which statement is meant.
    let found = listed.iter().find(|pins| pins_sha256(pins).is_ok_and(|sha256| sha256 == end.sha256));
    let Some(found) = found else {
        let remedy = "`tenwords pins show` shows what the hub carries, each with its hash";
        return Err(Failure::usage("no_such_statement", "the hub carries no statement of that hash", remedy));
    };
    let carried = show::carried(found, desk, &own)?;
    eprint!("The hub carries:\n{}", show::listed(std::slice::from_ref(&carried)));
    if !end.yes {
        ask::yes("Have the hub carry it no more?")?;
    }
    hub.end_pins(end.sha256).await?;
    desk.print(
        "The hub carries this statement no more. Nothing changes on any box: a box that has taken it keeps its list.\nA \
         box that has not gets it only as a file, or after `tenwords pins send`.\n",
    )?;
    desk.print_json(&Ended { v: V1, sha256: end.sha256, is: carried.is() })
}
