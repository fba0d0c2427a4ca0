//! One file per command. Data goes to stdout, talk to stderr.

mod add;
mod arm;
mod ask;
mod call;
mod directive;
mod disarm;
mod fleet;
mod list;
mod order;
mod pins;
mod remove_node;
mod retire;
mod rollout;
mod set;
mod show;
mod ticket;
mod ticket_of;

use std::io::Write as _;

use serde::Serialize;
use tenwords_protocol::{id::BoxId, v1::V1};

use crate::{
    cli::{Arguments, BoxCommand, Command, DirectiveCommand, OrderCommand, PinsCommand, RecoveryCommand},
    failure::Failure,
    hub::Hub,
    map::Map,
    settings::{Environment, Settings},
};

/// What a command works with.
pub(crate) struct Desk {
    settings: Settings,
    json: bool,
}

#[derive(Serialize)]
struct Warning<'a> {
    v: V1,
    warning: &'a str,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = Settings::gather(&arguments.common, &Environment)?;
    let desk = Desk { settings, json: arguments.common.json };
    match &arguments.command {
        Command::Box(BoxCommand::Add(add)) => add::run(&desk, add).await,
        Command::Box(BoxCommand::Call(call)) => call::run(&desk, call).await,
        Command::Box(BoxCommand::List(list)) => list::run(&desk, list).await,
        Command::Box(BoxCommand::RemoveNode(remove)) => remove_node::run(&desk, remove).await,
        Command::Box(BoxCommand::Retire(retire)) => retire::run(&desk, retire).await,
        Command::Box(BoxCommand::Set(set)) => set::run(&desk, set).await,
        Command::Box(BoxCommand::Show(which)) => show::run(&desk, which).await,
        Command::Box(BoxCommand::Ticket(ticket)) => ticket_of::run(&desk, ticket).await,
        Command::Fleet(fleet) => fleet::run(&desk, fleet).await,
        Command::Recovery(RecoveryCommand::Arm(arm)) => arm::run(&desk, arm).await,
        Command::Recovery(RecoveryCommand::Disarm(which)) => disarm::run(&desk, which).await,
        Command::Directive(DirectiveCommand::Show(show)) => directive::show(&desk, show).await,
        Command::Directive(DirectiveCommand::Edit(edit)) => directive::edit(&desk, edit).await,
        Command::Directive(DirectiveCommand::Diff(diff)) => directive::diff(&desk, diff).await,
        Command::Order(OrderCommand::List(list)) => order::list(&desk, list).await,
        Command::Order(OrderCommand::Show(show)) => order::show(&desk, show).await,
        Command::Order(OrderCommand::Sign(sign)) => order::sign(&desk, sign).await,
        Command::Order(OrderCommand::Send(send)) => order::send(&desk, send).await,
        Command::Pins(PinsCommand::Init(init)) => pins::init(&desk, init),
        Command::Pins(PinsCommand::Show(show)) => pins::show(&desk, show).await,
        Command::Pins(PinsCommand::Propose(propose)) => pins::propose(&desk, propose),
        Command::Pins(PinsCommand::Sign(sign)) => pins::sign(&desk, sign),
        Command::Pins(PinsCommand::Take(take)) => pins::take(&desk, take),
        Command::Pins(PinsCommand::Send(send)) => pins::send(&desk, send).await,
        Command::Pins(PinsCommand::End(end)) => pins::end(&desk, end).await,
    }
}

impl Desk {
    fn hub(&self) -> Result<Hub, Failure> {
        Hub::named_by(&self.settings)
    }

    fn map(&self) -> Result<Map, Failure> {
        Map::read(&self.settings.state)
    }

    /// What should make the operator stop and think. With `--json`, one JSON text on a line of stderr.
    fn warn(&self, text: &str) {
        match serde_json::to_string(&Warning { v: V1, warning: text }) {
            Ok(line) if self.json => eprintln!("{line}"),
            _ => eprintln!("warning: {text}"),
        }
    }

    /// For people; with `--json`, nothing.
    fn print(&self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { out(text) }
    }

    /// For programs; without `--json`, nothing.
    fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string(value).map_err(|error| Failure::internal(error.to_string()))?;
        out(&format!("{text}\n"))
    }
}

/// The box's name for people: the operator's own, or its id alone.
fn called(map: &Map, id: BoxId) -> String {
    match map.by_id(id) {
        Some(entry) => format!("{} ({id})", entry.name),
        None => format!("box {id}"),
    }
}

fn out(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::internal(format!("stdout cannot be written: {}", error.kind())))
}
