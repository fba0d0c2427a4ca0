//! What the passes do, each by the room whose work it is.

use std::{thread, time::Duration};

use tenwords_protocol::{
    calls::{CallKind, LONGEST_CALL_WAIT},
    time::Timestamp,
};

use super::passes::{Asked, Done};
use crate::{
    exit::Outcome,
    interrupt, lineage,
    notify::Alarm,
    renew, report, self_test,
    settings::Configuration,
    sources,
    standing::Standing,
    update::{self, State},
};

/// A machine that no hub knows has nobody to listen to; one that is enrolled meanwhile listens by itself.
const ALONE: Duration = Duration::from_secs(60 * 60);
/// What the hub's answer has shown is said with the next report.
const SOON: Duration = Duration::from_secs(60);
/// A hub that answers at once, again and again, is asked no faster.
const BETWEEN_CALLS: Duration = Duration::from_secs(1);
/// After so many waits the child ends and another takes its place, with the certificate that there is by then.
const WAITS: usize = 64;

/// Every key that is seen is kept; then the escrow is brought up to date, unless the hub is to be left alone or
/// there is none to bring it to.
pub(super) fn keep(configuration: &Configuration, asked: &mut Asked<'_>) -> Outcome<Done> {
    let now = Timestamp::now();
    if asked.local || Standing::load(configuration)?.is_none() {
        let look = lineage::keep(configuration, &sources::of_box(configuration)?, now)?;
        return Ok(Done { changed: !look.changes.is_empty(), alarms: Some(alarms(&look)), retry_after: None });
    }
    let kept = update::bring_up_to_date(configuration, now)?;
    if kept.given_again > 0 {
        report::forget_newest(configuration);
    }
    for warning in &kept.warnings {
        tracing::warn!("{warning}");
    }
    let mut alarms = alarms(&kept.lineage);
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
    let changed = kept.state == State::Updated || kept.given_again > 0 || !kept.lineage.changes.is_empty();
    Ok(Done { changed, alarms: Some(alarms), retry_after: kept.retry_after.map(Duration::from_secs) })
}

/// What of the keys somebody has to mend.
fn alarms(look: &lineage::Look) -> Vec<Alarm> {
    let alarm = |change: &lineage::Change| Alarm {
        code: "key",
        subject: change.what.in_words(),
        what: change.what.in_words(),
        remedy: change.what.remedy().unwrap_or_else(|| "`tenwords-agent key list` shows what is kept".to_owned()),
    };
    look.standing.iter().map(alarm).collect()
}

pub(super) fn renew(configuration: &Configuration) -> Outcome<Done> {
    if Standing::load(configuration)?.is_none_or(|standing| standing.identity().is_none()) {
        return Ok(Done::default());
    }
    let renewed = renew::if_due(configuration, Timestamp::now(), false)?;
    Ok(Done { changed: renewed.changed, ..Done::default() })
}

/// What the backup servers have of this box.
pub(super) fn servers(configuration: &Configuration) -> Outcome<Done> {
    let asked = report::servers::ask(configuration, Timestamp::now())?;
    Ok(Done { changed: asked.changed, alarms: Some(asked.alarms), retry_after: None })
}

/// How this node and its box are, to the hub.
pub(super) fn report(configuration: &Configuration) -> Outcome<Done> {
    let standing = Standing::load(configuration)?;
    let Some(identity) = standing.as_ref().and_then(Standing::identity) else {
        return Ok(Done { retry_after: Some(ALONE), ..Done::default() });
    };
    let has_news = report::send(configuration, identity, Timestamp::now())?;
    Ok(Done { retry_after: has_news.then_some(SOON), ..Done::default() })
}

pub(super) fn self_test(configuration: &Configuration) -> Outcome<Done> {
    let changed = self_test::if_due(configuration)?;
    Ok(Done { changed, ..Done::default() })
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
        let reply = hub.call_after(identity.box_id, after, Duration::from_secs(LONGEST_CALL_WAIT))?;
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
