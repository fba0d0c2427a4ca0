//! `tenwords pins send FILE`

use std::num::NonZeroU64;

use serde::Serialize;
use tenwords_protocol::{
    operators::{NAMESPACE, PinsStatement},
    orders::PinsRequest,
    v1::V1,
};

use super::{Desk, signed};
use crate::{cli::SendPins, failure::Failure, show::clean, sshkeygen, sshsig::Armour};

#[derive(Serialize)]
struct Sent {
    v: V1,
    generation: NonZeroU64,
    code: String,
}

pub(in crate::command) async fn run(desk: &Desk, send: &SendPins) -> Result<(), Failure> {
    let pins = signed(&send.file)?;
    let statement = PinsStatement::parse(&pins.statement.0).map_err(|why| {
        let what = format!("{} holds no statement: {}", send.file.display(), clean(&why.to_string()));
        Failure::usage("statement", what, "`tenwords pins propose` writes one")
    })?;
    // No box would take a damaged one; which key may sign it, each box knows.
    let armour = Armour::parse(pins.signature.as_bytes(), NAMESPACE)?;
    sshkeygen::check(NAMESPACE, &pins.statement.0, &armour)?;
    desk.hub()?.add_pins(&PinsRequest { v: V1, pins }).await?;
    let (generation, code) = (statement.generation, statement.signers.code().to_string());
    desk.print(&format!(
        "The hub carries generation {generation}, code {code}.\nEach box takes it by itself at its next ceremony or at its \
         recovery, or by `tenwords-agent pins take`, and\njudges it alone. What a box then shows as generation and code is \
         this, or the box has another list.\n"
    ))?;
    desk.print_json(&Sent { v: V1, generation, code })
}
