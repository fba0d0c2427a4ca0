//! `join`: another node of a cluster whose box is known becomes a node of that box.
//!
//! Nobody has to read a ticket out: a node of the box asks the hub for one that is good for the named machine and an
//! hour, and leaves it among what the nodes share (`join --for NODE`). The new node finds it there. Everything that it
//! pins comes from the same place: whoever could forge it there is root of the cluster, and has its keys.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use pbs_driver::pve::{Node, ours};
use serde::Serialize;
use tenwords_protocol::{id::BoxId, ticket::Ticket, time::Timestamp, v1::V1};

use super::{Shared, has_others, is_same, name, of_cluster};
use crate::{
    enroll,
    exit::{Code, OrStop as _, Outcome, Stop},
    identity::Identity,
    interrupt, pins, report,
    settings::Configuration,
    show::harmless,
    sources,
    standing::Standing,
    tls, update,
};

/// A node's ticket is good for as long.
const WAIT: Duration = Duration::from_secs(3600);
const LOOK: Duration = Duration::from_secs(2);

/// A box that this machine's cluster is, and this machine is not of.
#[derive(Debug)]
pub(crate) struct Offer {
    box_name: String,
    pub(crate) box_id: BoxId,
    node: Option<String>,
    folder: PathBuf,
    /// Whether another node could let it in.
    pub(crate) has_others: bool,
}

/// What `join` has done.
#[derive(Debug, Serialize)]
pub(crate) struct Joined {
    v: V1,
    /// Whether this run has made it a node of the box.
    changed: bool,
    box_id: String,
    box_name: String,
    keeper: String,
    operators_code: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// What `join --for` has done.
#[derive(Debug, Serialize)]
pub(crate) struct LetIn {
    v: V1,
    node: String,
    expires_at: Timestamp,
}

/// What is offered to a machine that is not of its cluster's box. Nothing where that cannot be told.
pub(crate) fn offer(configuration: &Configuration) -> Option<Offer> {
    let node = sources::node(&configuration.settings).ok()??;
    let shared = Shared::load(&node).ok()??;
    let own = Standing::load(configuration).ok()?;
    let is_of_it = own.as_ref().is_some_and(|own| own.facts().id == shared.box_id);
    // What a single machine was before it became another box is nothing that it could join.
    let is_former = own.is_some() && !node.is_clustered();
    (!is_of_it && !is_former).then(|| Offer {
        box_name: harmless(&shared.box_name, 64),
        box_id: shared.box_id,
        node: name(&node).ok(),
        folder: node.file(ours::FOLDER),
        has_others: has_others(&node),
    })
}

impl Offer {
    /// In a sentence.
    pub(crate) fn what(&self) -> String {
        format!(
            "this cluster is box {} ({}), and this machine is not a node of it: nobody here watches over its escrow",
            self.box_name, self.box_id
        )
    }

    /// Why nothing is recovered here: one node was lost, and the box lives.
    pub(crate) fn needs_no_words(&self) -> Stop {
        let what = format!(
            "this machine's cluster is box {} ({}), and it lives: its storages and their keys are here already. No words \
             are needed",
            self.box_name, self.box_id
        );
        Stop::new(Code::Preflight, what).remedy(
            "`tenwords-agent join`; then restore the guests that this node had in Proxmox VE itself, from the backup storage \
             (`pct restore`, `qmrestore` or the web interface), and have the operator close the window (`tenwords recovery \
             disarm`). If no other node of it lives after all, remove /etc/pve/priv/tenwords and run this again",
        )
    }

    /// What to do.
    pub(crate) fn remedy(&self) -> String {
        let folder = self.folder.display();
        let other = format!("if this is to be another box from now on, remove {folder}");
        match self.has_others {
            true => format!(
                "run `tenwords-agent join` here; it says what to do on a node that belongs to the box. No words are needed. \
                 But {other}"
            ),
            false => format!("{}; {other}", alone(&self.box_name, self.node.as_deref())),
        }
    }
}

/// `join --for NODE`, on a node of the box.
pub(crate) fn let_in(configuration: &Configuration, whom: &str) -> Outcome<LetIn> {
    let (node, shared) = known(configuration)?;
    let identity = Identity::required(configuration)?;
    if identity.box_id != shared.box_id {
        return Err(Stop::new(Code::Preflight, "this machine is not of this cluster's box itself").remedy(
            "run it on a node that belongs to the box; `tenwords-agent join` here makes this one such a node",
        ));
    }
    let of_cluster = of_cluster(&node)?;
    let own = name(&node)?;
    let others = || of_cluster.iter().filter(|name| **name != own);
    let Some(whom) = others().find(|name| is_same(name, whom)) else {
        let others: Vec<&str> = others().map(String::as_str).collect();
        return Err(Stop::new(Code::Usage, format!("this cluster has no other node {}", harmless(whom, 64)))
            .remedy(format!("one of these: {}", others.join(", "))));
    };
    let reply = identity.connect(configuration)?.ticket_for(identity.box_id, whom)?;
    // It leads the other node to the hub that this one has pinned, or nowhere.
    let ticket = reply.ticket.paste.parse::<Ticket>().ok();
    let is_ours = |ticket: &Ticket| {
        *ticket.hub() == identity.hub && Some(ticket.authority()) == tls::prefix_of(&identity.server_ca.0)
    };
    if !ticket.as_ref().is_some_and(is_ours) {
        return Err(Stop::new(Code::GateRefused, "the hub gave a ticket that does not lead to itself")
            .remedy("tell the operator; nothing was left for the other node"));
    }
    let cannot = |error| sources::stop_of_pve(&error, "the ticket cannot be left for that node");
    let held = ours::lock(&node).map_err(cannot)?;
    held.put(&[(&file(whom), reply.ticket.paste.as_bytes())]).map_err(cannot)?;
    Ok(LetIn { v: V1, node: whom.clone(), expires_at: reply.expires_at })
}

/// The ticket that a node of the box has left for this one; waits for it if `waits`. Nothing if this machine is of the
/// box already.
pub(crate) fn ticket(configuration: &Configuration, waits: bool, again: bool) -> Outcome<Option<Ticket>> {
    let (node, shared) = known(configuration)?;
    if !again && Standing::load(configuration)?.is_some_and(|own| own.facts().id == shared.box_id) {
        return Ok(None);
    }
    let own = name(&node)?;
    if !has_others(&node) {
        let what = "there is no other node of this cluster that could let this one in";
        return Err(Stop::new(Code::Preflight, what).remedy(alone(&shared.box_name, Some(&own))));
    }
    let how = format!(
        "run `tenwords-agent join --for {own}` on {}, or on another node that belongs to the box",
        shared.keeper
    );
    let began = Instant::now();
    let mut is_told = false;
    loop {
        let what = "the ticket that was left for this node cannot be read";
        let found = ours::get(&node, &file(&own)).map_err(|error| sources::stop_of_pve(&error, what))?;
        if let Some(text) = found {
            let text = std::str::from_utf8(&text).or_stop(Code::Preflight, || what.to_owned())?;
            return text.parse().map(Some).map_err(|error| Stop::new(Code::Preflight, what).remedy(how).because(error));
        }
        if !waits || began.elapsed() >= WAIT {
            return Err(Stop::new(Code::Preflight, "no node of the box has left a ticket for this one").remedy(how));
        }
        if !std::mem::replace(&mut is_told, true) {
            eprintln!("  {how}. This goes on by itself once that is done (Ctrl-C ends it).");
        }
        interrupt::check()?;
        thread::sleep(LOOK);
    }
}

/// Makes this machine a node of its cluster's box. The caller holds the lock.
pub(crate) fn join(configuration: &Configuration, ticket: Option<Ticket>, leave: Option<&str>) -> Outcome<Joined> {
    let (node, shared) = known(configuration)?;
    let own = name(&node)?;
    let former = Standing::load(configuration)?.map(|standing| standing.facts());
    let is_of_it = former.as_ref().is_some_and(|former| former.id == shared.box_id);
    let mut notes = Vec::new();
    if let Some(former) = former.filter(|_| !is_of_it) {
        let name = harmless(&former.name, 64);
        if leave != Some(former.name.as_str()) {
            return Err(Stop::new(Code::Preflight, format!("this machine is a node of box {name} ({}) now", former.id))
                .remedy(format!(
                    "if it is to leave that box, say so: `tenwords-agent join --leave {name}`. The escrow of {name} stays at \
                     its hub and opens with its own ten words: keep that sheet"
                )));
        }
        notes.push(format!(
            "it has left box {name} ({}): its escrow stays where it is, and that sheet is still needed for backups under \
             its keys. The operator retires it (`tenwords box retire {name}`) when nobody needs it. Keys that this node \
             has kept of it are escrowed under the cluster's code too by `tenwords-agent keeper {own}`, and back",
            former.id
        ));
    }
    let changed = !is_of_it || ticket.is_some();
    if changed {
        let ticket = ticket.ok_or_else(|| Stop::new(Code::Usage, "no ticket was given"))?;
        let joined = enroll::join(configuration, ticket, &shared, &own);
        // Used up or no good, it is of no use any more, and the next one is waited for. What failed on this machine may
        // be tried again with it.
        let is_over = |stop: &Stop| matches!(stop.code, Code::NotAuthorised | Code::GateRefused);
        if joined.as_ref().err().is_none_or(is_over)
            && let Err(error) = ours::lock(&node).and_then(|held| held.remove(&file(&own)))
        {
            notes.push(format!("the ticket that was left for this node could not be removed, and is used up: {error}"));
        }
        notes.extend(joined.map_err(|stop| match stop.code {
            Code::NotAuthorised => stop.remedy(format!(
                "have another one left for this node (`tenwords-agent join --for {own}` on {}), then run the same again",
                shared.keeper
            )),
            _ => stop,
        })?);
    }
    if !is_of_it {
        // The numbers of another box's versions say nothing of this one's.
        report::forget_newest(configuration);
    }
    let identity = Identity::required(configuration)?;
    let hub = identity.connect(configuration)?;
    pins::freshen(configuration, &hub, identity.box_id, &mut notes)?;
    match update::bring_up_to_date(configuration, Timestamp::now()) {
        Ok(kept) => notes.extend(kept.warnings),
        Err(stop) => notes
            .push(format!("the newest escrow was not taken up yet, the daemon tries again: {}", stop.in_one_line())),
    }
    Ok(Joined {
        v: V1,
        changed,
        box_id: identity.box_id.to_string(),
        box_name: harmless(&identity.box_name, 64),
        keeper: shared.keeper,
        operators_code: enroll::pinned_operators(configuration)?.signers.code().to_string(),
        notes,
    })
}

/// This node, and the box that its cluster is.
fn known(configuration: &Configuration) -> Outcome<(Node, Shared)> {
    let enroll = "a first node is enrolled with a ticket from the operator: `tenwords-agent enroll`";
    let node = sources::node(&configuration.settings)?.ok_or_else(|| {
        Stop::new(Code::Preflight, "there is no Proxmox VE on this machine, so it is in no cluster").remedy(enroll)
    })?;
    let shared = Shared::load(&node)?.ok_or_else(|| {
        Stop::new(Code::Preflight, "no box of this cluster is known: no ceremony was held on a node of it")
            .remedy(enroll)
    })?;
    Ok((node, shared))
}

/// What a machine does that is the only one of its cluster.
fn alone(box_name: &str, node: Option<&str>) -> String {
    let (name, node) = (harmless(box_name, 64), node.unwrap_or("NODE"));
    format!(
        "if this is the box's machine, installed anew or put back with its /etc/pve: `tenwords-agent join --ticket-file -` with \
         a ticket of the operator's (`tenwords box ticket {name} --reinstall {node}`); if the box was lost, recover it \
         (`tenwords-agent recover`)"
    )
}

/// Where a node's ticket lies.
fn file(node: &str) -> String {
    format!("join-{node}")
}

impl Joined {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let how = if self.changed { "From now on this machine is" } else { "This machine is" };
        let mut lines = vec![format!("{how} a node of box {} ({}).", self.box_name, self.box_id)];
        lines.push(format!("{} escrows for it; no ceremony and no words are needed here.", self.keeper));
        lines.push(format!(
            "Operator keys pinned: code {} (the operator sees the same: `tenwords pins show`).",
            self.operators_code
        ));
        lines.extend(self.notes.iter().map(|note| format!("  note: {}", harmless(note, 400))));
        if self.changed {
            lines.push("Next: `systemctl enable --now tenwords-agent` here, if it is not running.".to_owned());
        }
        lines
    }
}

impl LetIn {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        vec![
            format!("A ticket for {} lies among what the cluster's nodes share, until {}.", self.node, self.expires_at),
            format!("Next, on {}: `tenwords-agent join`.", self.node),
        ]
    }
}
