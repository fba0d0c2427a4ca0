//! What this node says of itself and of its box, and what it has to go by: the backup servers' own word, asked by
//! [`servers`], and everything that lies on this machine. A report decides nothing; the hub and this box judge by the
//! one function of the protocol.

mod alarms;
mod looked;
mod memory;
mod observed;
mod pruning;
pub(crate) mod servers;
mod signatures;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use pbs_driver::version;
use tenwords_protocol::{
    bounded::{List, Text},
    readiness::{Readiness, ReasonCode, State},
    report::{Alarm, AlarmCode, Machine, Observed, Report},
    time::Timestamp,
    v1::V1,
};

pub(crate) use self::looked::Looked;
pub(crate) use self::memory::forget_newest;
use self::{memory::Memory, observed::Sight};
use crate::{
    cluster::{self, Nodes, Role},
    durable, enroll,
    exit::{Code, OrStop as _, Outcome, Stop},
    identity::Identity,
    record::Record,
    settings::Configuration,
    sources, update,
};

/// Clocks may differ by so much before anybody is told.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What is known of the box here, and what is wrong with it.
pub(crate) struct Seen {
    pub(crate) observed: Option<Observed>,
    pub(crate) alarms: Vec<Alarm>,
}

/// What sending one has shown.
pub(crate) struct Sent {
    /// The next one would say more, by what the hub's answer has shown.
    pub(crate) has_news: bool,
    /// The node that escrows, if it has said nothing to the hub for long.
    pub(crate) silent_keeper: Option<String>,
    /// The nodes as which two machines speak, by the hub's word; without a name where the box has one node.
    pub(crate) cloned: Vec<String>,
}

/// A start of this machine.
pub(crate) struct Boot {
    /// As the kernel names it.
    pub(crate) id: String,
    /// How long ago it was, by the clock that nobody sets.
    pub(crate) uptime: Duration,
}

/// Builds the report and sends it.
pub(crate) fn send(
    configuration: &Configuration,
    identity: &Identity,
    now: Timestamp,
    boot: &dyn Fn() -> Outcome<Boot>,
) -> Outcome<Sent> {
    let mut memory = Memory::load(configuration);
    let hub = identity.connect(configuration)?;
    let role = Role::of(configuration, identity.box_id);
    // A hub that does not answer is told of by the report itself.
    let asked = role.as_ref().map_or(Ok(None), |role| cluster::ask_nodes(configuration, role, &hub, identity));
    let nodes = asked.unwrap_or_else(|stop| {
        tracing::debug!("{}", stop.in_one_line());
        None
    });
    memory.of_nodes(nodes.as_ref(), now);
    let Seen { observed, mut alarms } = see_with(configuration, Some(identity), &role, &mut memory, now);
    // It is kept before anything is sent: where that fails the report is what says so.
    if !keep(&mut memory, configuration) {
        alarms.insert(0, Alarm { code: AlarmCode::StateUnwritable, subject: Text::cut(""), since: now });
    }
    let (alarms, alarms_left_out) = List::cut(alarms);
    let report = Report {
        v: V1,
        made_at: now,
        machine: machine(configuration, boot()?, nodes.as_ref()),
        observed,
        alarms,
        alarms_left_out,
    };
    let reply = hub.report(identity.box_id, &report).map_err(Stop::of_call)?;
    let apart = reply.hub_time.since(now).max(now.since(reply.hub_time));
    let is_off = apart > CLOCKS_DIFFER;
    if is_off {
        tracing::warn!(seconds = apart.as_secs(), "this machine's clock and the hub's differ");
    }
    let changed = memory.heard(reply.newest, is_off, now);
    keep(&mut memory, configuration);
    if reply.readiness.state != State::Ready {
        let reasons = reply.readiness.reasons.iter().map(|reason| reason.code.to_string()).collect::<Vec<_>>();
        tracing::info!(state = %reply.readiness.state, reasons = reasons.join(" "), "reported");
    }
    Ok(Sent {
        has_news: changed,
        silent_keeper: nodes.and_then(|nodes| nodes.silent),
        cloned: cloned(&reply.readiness),
    })
}

/// Neither of two machines that speak as one can know of the other: the hub does.
fn cloned(readiness: &Readiness) -> Vec<String> {
    let said = readiness.reasons.iter().find(|reason| reason.code == ReasonCode::Clone);
    let names: Vec<String> = said.iter().flat_map(|reason| reason.subjects.iter()).map(ToString::to_string).collect();
    if said.is_some() && names.is_empty() { vec![String::new()] } else { names }
}

/// What is known of the box here; nothing is sent, and nobody is asked.
pub(crate) fn see(configuration: &Configuration, identity: Option<&Identity>, now: Timestamp) -> Seen {
    let role = identity.map_or(Ok(Role::Alone), |identity| Role::of(configuration, identity.box_id));
    see_with(configuration, identity, &role, &mut Memory::load(configuration), now)
}

fn see_with(
    configuration: &Configuration,
    identity: Option<&Identity>,
    role: &Outcome<Role>,
    memory: &mut Memory,
    now: Timestamp,
) -> Seen {
    // Of several nodes one speaks for the box.
    let speaks = role.as_ref().is_ok_and(Role::escrows);
    let looked = Looked::load(configuration).filter(|_| speaks);
    let mut notes = Vec::new();
    let found = sources::of_box(configuration);
    let silent_keeper = match (role, identity) {
        (Ok(Role::Member(member)), Some(identity)) => {
            let has_left =
                found.as_ref().is_ok_and(|found| update::is_one_left(configuration, identity.box_id, found, now));
            Some(member.keeper.as_str()).filter(|_| has_left || member.is_gone)
        }
        _ => None,
    };
    let observed = found.and_then(|found| {
        let record = Record::load(configuration)?;
        let record = record.filter(|record| identity.is_none_or(|identity| record.box_id == identity.box_id));
        // Before the first ceremony nothing says which of a cluster's nodes that is.
        if !speaks || record.is_none() && is_clustered(configuration)? {
            return Ok(None);
        }
        let sight = Sight { configuration, found: &found, record: record.as_ref(), looked: looked.as_ref(), now };
        sight.observed(memory, &mut notes).map(Some)
    });
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    let alarms = alarms::gather(configuration, looked.as_ref(), observed.as_ref().err(), silent_keeper, memory, now);
    Seen { observed: observed.ok().flatten(), alarms }
}

fn is_clustered(configuration: &Configuration) -> Outcome<bool> {
    Ok(sources::node(&configuration.settings)?.is_some_and(|node| node.is_clustered()))
}

fn keep(memory: &mut Memory, configuration: &Configuration) -> bool {
    let kept = memory.keep(configuration);
    if let Err(error) = &kept {
        tracing::warn!(%error, "what was reported cannot be kept");
    }
    kept.is_ok()
}

impl Boot {
    /// By the kernel's word.
    pub(crate) fn of_kernel() -> Outcome<Self> {
        let id = durable::read_limited(BOOT_ID.as_ref(), 64)
            .or_stop(Code::Internal, || "the kernel does not say which start of this machine it is".to_owned())?;
        let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .or_stop(Code::Internal, || "this machine has no boot clock".to_owned())?;
        Ok(Self { id: String::from_utf8_lossy(&id).trim().to_owned(), uptime: uptime.into() })
    }
}

fn machine(configuration: &Configuration, boot: Boot, nodes: Option<&Nodes>) -> Machine {
    let client = sources::client(&configuration.settings).ok();
    let client_version = client.and_then(|client| version::client(&client).ok());
    Machine {
        name: Text::cut(&enroll::node_name(configuration)),
        agent_version: Text::cut(env!("CARGO_PKG_VERSION")),
        client_version: client_version.map(|version| Text::cut(&version.to_string())),
        boot_id: Text::cut(&boot.id),
        uptime: boot.uptime.as_secs(),
        keeper: nodes.and_then(|nodes| nodes.keeper),
    }
}
