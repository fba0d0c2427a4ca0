//! What the passes do, each by the room whose work it is.

use std::{thread, time::Duration};

use tenwords_protocol::{
    calls::{CallKind, LONGEST_CALL_WAIT},
    fingerprint::Fingerprint,
    time::Timestamp,
};

use super::{
    course::Kind,
    passes::{Asked, Done, local},
};
use crate::{
    cluster::{self, Role},
    exit::{Code, Outcome, Stop},
    interrupt, lineage,
    notify::{self, Alarm, Found},
    recover, renew, report, self_test,
    settings::Configuration,
    show::harmless,
    standing::Standing,
    update::{self, HubFault, Kept, State},
};

/// A machine that no hub knows has nobody to listen to; one that is enrolled meanwhile listens by itself.
const ALONE: Duration = Duration::from_secs(60 * 60);
/// A recovery that is open, as alarms know it.
const RECOVERY: &str = "recovery";
/// What the hub did to this box's escrow, as alarms know it.
const HUB: &str = "hub";
/// What is wrong between the nodes of a cluster, as alarms know it.
const CLUSTER: &str = "cluster";
/// A self-test that failed is made again after this time, also if nothing is another.
const TRIED_AGAIN: Duration = Duration::from_secs(60 * 60);
/// What the hub's answer has shown is said with the next report.
const SOON: Duration = Duration::from_secs(60);
/// A hub that answers at once, again and again, is asked no faster.
const BETWEEN_CALLS: Duration = Duration::from_secs(1);
/// After so many waits the child ends and another takes its place, with the certificate that there is by then.
const WAITS: usize = 64;

/// Every key that is seen is kept; then the escrow is brought up to date, unless the hub is to be left alone or
/// there is none to bring it to. What the look has found counts whatever becomes of the rest.
pub(super) fn keep(configuration: &Configuration, asked: &mut Asked<'_>) -> Outcome<Done> {
    let now = (asked.now)();
    open_recovery(configuration, now);
    let (found, look) = update::look(configuration, now)?;
    for note in &look.notes {
        tracing::warn!("{}", harmless(note, 400));
    }
    let of_keys = alarms(&look);
    let has_news = !look.changes.is_empty();
    if asked.local {
        return Ok(Done { changed: has_news, alarms: Some(of_keys), retry_after: None });
    }
    if interrupt::check().is_ok() {
        notify::settle(configuration, &local(Kind::Keep), &Found::All(&of_keys), now);
    }
    if Standing::load(configuration)?.is_none() {
        let alarms: Vec<Alarm> = cluster::offer(configuration).iter().map(not_joined).collect();
        notify::settle(configuration, CLUSTER, &Found::All(&alarms), now);
        return Ok(Done { changed: has_news, alarms: Some(Vec::new()), retry_after: None });
    }
    let (kept, stop) = update::bring_up_to_date_with(configuration, &found, look, now)?;
    if kept.given_again > 0 {
        report::forget_newest(configuration);
    }
    for warning in &kept.warnings {
        tracing::warn!("{}", harmless(warning, 400));
    }
    // A hub that could not be asked says nothing of what it did before.
    if (stop.is_none() || !kept.hub_faults.is_empty()) && interrupt::check().is_ok() {
        let faults: Vec<Alarm> = kept.hub_faults.iter().copied().map(fault).collect();
        notify::settle(configuration, HUB, &Found::All(&faults), now);
    }
    if interrupt::check().is_ok() {
        notify::settle(configuration, CLUSTER, &Found::All(&of_cluster(configuration, &kept)), now);
    }
    if let Some(stop) = stop {
        return Err(stop);
    }
    let mut alarms = Vec::new();
    if kept.state == State::Waiting && kept.retry_after.is_some() {
        alarms.push(Alarm {
            code: "escrow-waits",
            subject: "hub".to_owned(),
            what:
                "the hub takes no more from this box today: what is new is not escrowed yet, and goes as soon as it may"
                    .to_owned(),
            remedy: "find out what has pushed so much: `tenwords box show` lists the versions".to_owned(),
        });
    }
    let changed = kept.state == State::Updated || kept.given_again > 0 || has_news;
    Ok(Done { changed, alarms: Some(alarms), retry_after: kept.retry_after.map(Duration::from_secs) })
}

/// What is wrong between the nodes, whatever the hub says of the rest.
fn of_cluster(configuration: &Configuration, kept: &Kept) -> Vec<Alarm> {
    let mut alarms: Vec<Alarm> = cluster::offer(configuration).iter().map(not_joined).collect();
    if let Some((what, remedy)) = kept.at_odds.clone() {
        alarms.push(Alarm { code: "nodes-at-odds", subject: String::new(), what, remedy });
    }
    if kept.is_overdue {
        alarms.extend(kept.keeper.as_deref().map(|keeper| left(keeper, &kept.lacking)));
    }
    alarms
}

/// Another node escrows, and has not.
fn left(keeper: &str, keys: &[Fingerprint]) -> Alarm {
    let keys = keys.iter().map(|key| key.short().to_string()).collect::<Vec<_>>().join(", ");
    Alarm {
        code: "keeper-silent",
        subject: keeper.to_owned(),
        what: format!("{keeper} escrows for this box, and has not escrowed what lies on this node: key {keys}"),
        remedy: format!(
            "look whether {keeper} is on, and what `tenwords-agent status` says there; `tenwords-agent keeper` with this \
             node's name has this one do it, also if they are keys of a box that this node has left"
        ),
    }
}

/// This machine's cluster is a box, and nobody has made it a node of it.
fn not_joined(offer: &cluster::Offer) -> Alarm {
    Alarm { code: "node-not-joined", subject: String::new(), what: offer.what(), remedy: offer.remedy() }
}

/// What the hub has done to this box's escrow: it will not report itself.
fn fault(fault: HubFault) -> Alarm {
    let (code, what) = match fault {
        HubFault::Lost => (
            "hub-lost",
            "the hub had lost versions of this box's escrow that it had acknowledged; it was given them again",
        ),
        HubFault::Parted => (
            "hub-parted",
            "the updates at the hub are not those that this box has stored there: ceremony and updates are stored there once \
             more",
        ),
        HubFault::Damaged => (
            "hub-damaged",
            "the hub gives something else back than it has acknowledged: as it lies there, the escrow does not open. Hold a \
             ceremony (`tenwords-agent escrow create`), which stores it anew; the second holder and kits have what it was",
        ),
        HubFault::Newer => (
            "hub-newer",
            "the hub has a newer ceremony than this box knows of: nothing is added to the former one there",
        ),
    };
    Alarm {
        code,
        subject: "escrow".to_owned(),
        what: what.to_owned(),
        remedy: "ask the hub's operator what has happened to this box's versions (`tenwords box show`)".to_owned(),
    }
}

/// A recovery that stays open keeps this box from asking its servers, reporting and listening: after a day somebody
/// is to know.
fn open_recovery(configuration: &Configuration, now: Timestamp) {
    let stop;
    let found = if recover::status::is_going_on(configuration) {
        stop = Stop::new(
            Code::Preflight,
            "it is open on this machine, and until it has ended the box does not report and its backup servers are not \
             asked",
        )
        .remedy("`tenwords-agent recover --status` shows it; go on with it, or take it back (`--abort`)");
        Found::Stopped(&stop)
    } else {
        Found::Nothing
    };
    notify::settle(configuration, RECOVERY, &found, now);
}

/// What of the keys somebody has to mend, and for some days what else was done to them.
fn alarms(look: &lineage::Look) -> Vec<Alarm> {
    let alarm = |change: &lineage::Change| Alarm {
        code: "key",
        subject: change.what.in_words(),
        what: change.what.in_words(),
        remedy: change.what.remedy().unwrap_or_else(|| "`tenwords-agent key list` shows what is kept".to_owned()),
    };
    look.standing.iter().chain(&look.recent).map(alarm).collect()
}

pub(super) fn renew(configuration: &Configuration, asked: &mut Asked<'_>) -> Outcome<Done> {
    if Standing::load(configuration)?.is_none_or(|standing| standing.identity().is_none()) {
        return Ok(Done::default());
    }
    let renewed = renew::if_due(configuration, (asked.now)(), false)?;
    Ok(Done { changed: renewed.changed, ..Done::default() })
}

/// What the backup servers have of this box.
pub(super) fn servers(configuration: &Configuration, asked: &mut Asked<'_>) -> Outcome<Done> {
    // Of several nodes one asks, and says it all.
    if let Some(standing) = Standing::load(configuration)?
        && !Role::of(configuration, standing.facts().id)?.escrows()
    {
        lineage::ask_once_a_day(configuration, (asked.now)())?;
        return Ok(Done { alarms: Some(Vec::new()), ..Done::default() });
    }
    let raise = |alarms: &[Alarm]| {
        if interrupt::check().is_ok() {
            notify::settle(configuration, Kind::Servers.name(), &Found::SoFar(alarms), (asked.now)());
        }
    };
    let said = report::servers::ask(configuration, (asked.now)(), raise)?;
    Ok(Done { changed: said.changed, alarms: Some(said.alarms), retry_after: None })
}

/// How this node and its box are, to the hub.
pub(super) fn report(configuration: &Configuration, asked: &mut Asked<'_>) -> Outcome<Done> {
    let standing = Standing::load(configuration)?;
    let Some(identity) = standing.as_ref().and_then(Standing::identity) else {
        return Ok(Done { retry_after: Some(ALONE), ..Done::default() });
    };
    let sent = report::send(configuration, identity, (asked.now)(), asked.boot)?;
    let silent = sent.silent_keeper.iter().map(|keeper| Alarm {
        code: "keeper-not-heard",
        subject: keeper.clone(),
        what: format!("{keeper} escrows for this box, and the hub has not heard of it for hours"),
        remedy: format!(
            "look whether {keeper} is on; `tenwords-agent keeper` with this node's name has this one escrow from now on"
        ),
    });
    let alarms = silent.chain(sent.cloned.iter().map(|node| cloned(node))).collect();
    Ok(Done { retry_after: sent.has_news.then_some(SOON), alarms: Some(alarms), ..Done::default() })
}

/// Two machines have the identity of this node, or of another one of the box.
fn cloned(node: &str) -> Alarm {
    let node = harmless(node, 160);
    let whom = if node.is_empty() { "this node".to_owned() } else { format!("node {node}") };
    Alarm {
        code: "clone",
        what: format!(
            "two machines speak to the hub as {whom}: a copy of its disk runs somewhere, or it was set back to a moment at \
             which it ran"
        ),
        remedy: "look for the copy and switch it off; then, on the machine that stays, `tenwords-agent enroll --again` with \
                 a ticket from the operator (`tenwords box ticket NAME --reinstall HOST`): the copy is no node from then on"
            .to_owned(),
        subject: node,
    }
}

pub(super) fn self_test(configuration: &Configuration) -> Outcome<Done> {
    let (tested, changed) = self_test::if_due(configuration)?;
    let alarms: Vec<Alarm> = tested.alarm().into_iter().collect();
    // What failed is tried again: it may have been a folder that was full.
    let retry_after = (!alarms.is_empty()).then_some(TRIED_AGAIN);
    Ok(Done { changed, alarms: Some(alarms), retry_after })
}

/// Waits for calls, one after another over one connection.
pub(super) fn listen(configuration: &Configuration, asked: &mut Asked<'_>) -> Outcome<Done> {
    let standing = Standing::load(configuration)?;
    let Some(identity) = standing.as_ref().and_then(Standing::identity) else {
        return Ok(Done { retry_after: Some(ALONE), ..Done::default() });
    };
    let hub = identity.connect(configuration)?;
    let mut after = 0;
    for _ in 0..WAITS {
        let wait = Duration::from_secs(LONGEST_CALL_WAIT);
        let reply = hub.call_after(identity.box_id, after, wait).map_err(Stop::of_call)?;
        interrupt::check()?;
        let is_new = reply.number != after;
        after = reply.number;
        if is_new && reply.kind.is_some_and(|kind| kind.as_str() == CallKind::Report.as_str()) {
            (asked.called)();
        }
        thread::sleep(BETWEEN_CALLS);
    }
    Ok(Done::default())
}
