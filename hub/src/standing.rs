//! How the boxes stand: what the store knows of each, judged by the one function.

use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tenwords_protocol::{
    boxes::BoxSummary,
    drill::Drills,
    id::BoxId,
    readiness::{self, Facts, Node, Policy, Readiness, Said, State},
    time::Timestamp,
};

use crate::{
    app::App,
    refusal::chain,
    store::{Evidence, LetGo, Stand, StoreError, codes},
};

/// How often all boxes are looked at. Silence is noticed by this, and by nothing else.
const EVERY: Duration = Duration::from_secs(300);
/// Boxes whose standing is written in one act: others may write between two of them.
const AT_ONCE: usize = 200;

/// How many boxes stood how at the last look, and for which reasons.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// When that was; it stays when a look fails, and the numbers do not.
    looked_at: Option<Timestamp>,
    states: HashMap<State, u64>,
    reasons: HashMap<String, u64>,
}

/// What is known of a box, judged at `now`.
fn judge(summary: &BoxSummary, evidence: &Evidence, now: Timestamp) -> Readiness {
    let nodes: Vec<Node> = summary
        .nodes
        .iter()
        .map(|node| Node {
            name: if node.hostname.as_str().is_empty() {
                node.node_id.to_string()
            } else {
                node.hostname.as_str().to_owned()
            },
            // A box that names none has one node, which escrows.
            is_keeper: summary.keeper.is_none_or(|keeper| keeper == node.node_id),
            heard_at: node.last_seen,
            certificate_ends: node.certificate_expires_at,
            alarms: evidence.alarms.get(&node.node_id).cloned().unwrap_or_default(),
        })
        .collect();
    let facts = Facts {
        enrolled_at: summary.enrolled_at,
        ceremony: evidence.ceremony.as_ref(),
        newest: evidence.newest,
        said: evidence.said.as_ref().map(|(at, observed)| Said { at: *at, observed }),
        nodes: &nodes,
        drilled_at: drilled_at(summary, evidence),
        trespassed_at: evidence.trespassed_at,
        revoked_used_at: evidence.revoked_used_at,
    };
    readiness::judge(&facts, &Policy::default(), now)
}

/// When the words of the newest ceremony were last in somebody's hands: at the ceremony itself, or at a drill of
/// its code since.
fn drilled_at(summary: &BoxSummary, evidence: &Evidence) -> Option<Timestamp> {
    let (code_number, held_at) = evidence.held?;
    let Drills { words, archive } = summary.drills.clone().unwrap_or_default();
    let drills = words
        .map(|drill| (drill.at, drill.code_number))
        .into_iter()
        .chain(archive.map(|drill| (drill.at, drill.code_number)));
    let of_code = drills.filter(|(_, code)| *code == code_number).map(|(at, _)| at);
    of_code.chain([held_at]).max()
}

/// Every box with how it stands; one that was retired stands nowhere.
pub(crate) async fn all(app: &App) -> Result<Vec<BoxSummary>, StoreError> {
    let now = app.now();
    let mut boxes = app.store.boxes().await?;
    let evidence = app.store.evidence(None, now).await?;
    let known = app.store.standings().await?;
    let nothing = Evidence::default();
    for summary in &mut boxes {
        if summary.retired.is_some() {
            continue;
        }
        let readiness = judge(summary, evidence.get(&summary.box_id).unwrap_or(&nothing), now);
        let since = known.get(&summary.box_id).filter(|known| known.state == readiness.state);
        summary.in_state_since = Some(since.map_or(now, |known| known.since));
        summary.readiness = Some(readiness);
    }
    Ok(boxes)
}

/// How one box stands, written down if that has changed.
pub(crate) async fn of(app: &App, box_id: BoxId) -> Result<Option<(Readiness, Option<NonZeroU64>)>, StoreError> {
    let now = app.now();
    let Some(summary) = app.store.of_box(box_id).await? else { return Ok(None) };
    let evidence = app.store.evidence(Some(box_id), now).await?.remove(&box_id).unwrap_or_default();
    let readiness = judge(&summary, &evidence, now);
    app.store.perform(Stand { found: vec![(box_id, readiness.state, codes(&readiness))], now }).await?;
    Ok(Some((readiness, evidence.newest)))
}

/// Looks at all of them again and again, until it is aborted.
pub(crate) async fn watch(app: Arc<App>) {
    loop {
        if let Err(error) = look(&app).await {
            tracing::error!(cause = chain(&error), "how the boxes stand could not be looked at");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(app: &App) -> Result<(), StoreError> {
    let now = app.now();
    let boxes = all(app).await.inspect_err(|_| app.tally.forget())?;
    let mut counts = Counts { looked_at: Some(now), ..Counts::default() };
    let mut found = Vec::new();
    for summary in &boxes {
        let Some(readiness) = &summary.readiness else { continue };
        *counts.states.entry(readiness.state).or_default() += 1;
        for reason in readiness.reasons.iter() {
            *counts.reasons.entry(reason.code.as_known().to_owned()).or_default() += 1;
        }
        found.push((summary.box_id, readiness.state, codes(readiness)));
    }
    *app.tally.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    for some in found.chunks(AT_ONCE) {
        app.store.perform(Stand { found: some.to_vec(), now }).await?;
    }
    if found.is_empty() {
        // A day is counted by a look also where every box is retired.
        app.store.perform(Stand { found, now }).await?;
    }
    let_go(app, now).await;
    Ok(())
}

/// One at a time, so that others may write in between; one that cannot go keeps no other.
async fn let_go(app: &App, now: Timestamp) {
    let due = match app.store.to_be_let_go(now).await {
        Ok(due) => due,
        Err(error) => return tracing::error!(cause = chain(&error), "which boxes' days are over could not be read"),
    };
    for box_id in due {
        match app.store.perform(LetGo { box_id, now }).await {
            Ok(true) => tracing::warn!(%box_id, "the history of a retired box was let go: its days are over"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%box_id, cause = chain(&error), "the history of a retired box could not be let go");
            }
        }
    }
}

impl Tally {
    /// A look has failed: what the one before it saw is not how the boxes stand now.
    fn forget(&self) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts = Counts { looked_at: counts.looked_at, ..Counts::default() };
    }

    /// As Prometheus reads it: numbers, and no box's name.
    pub(crate) fn to_text(&self) -> String {
        use std::fmt::Write as _;
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text =
            String::from("# HELP tenwords_hub_boxes Boxes by how they stand.\n# TYPE tenwords_hub_boxes gauge\n");
        for state in State::ALL {
            let count = counts.states.get(&state).copied().unwrap_or(0);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "tenwords_hub_boxes{{state=\"{state}\"}} {count}");
        }
        text.push_str(
            "# HELP tenwords_hub_box_reasons Boxes for which a reason holds.\n# TYPE tenwords_hub_box_reasons gauge\n",
        );
        let mut reasons: Vec<_> = counts.reasons.iter().collect();
        reasons.sort();
        for (code, count) in reasons {
            let _ = writeln!(text, "tenwords_hub_box_reasons{{reason=\"{code}\"}} {count}");
        }
        if let Some(looked_at) = counts.looked_at {
            text.push_str(
                "# HELP tenwords_hub_last_look_timestamp_seconds When all boxes were looked at last.\n\
                 # TYPE tenwords_hub_last_look_timestamp_seconds gauge\n",
            );
            let _ = writeln!(text, "tenwords_hub_last_look_timestamp_seconds {}", looked_at.unix());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_fails_leaves_the_time_of_the_one_before_and_none_of_its_numbers()
    -> Result<(), Box<dyn std::error::Error>> {
        let looked_at = Some(Timestamp::from_unix(1_790_000_000)?);
        let states = HashMap::from([(State::Ready, 7)]);
        let reasons = HashMap::from([("drill-due".to_owned(), 3)]);
        let tally = Tally(Mutex::new(Counts { looked_at, states, reasons }));
        let before = tally.to_text();
        assert!(before.contains("{state=\"ready\"} 7\n") && before.contains("{reason=\"drill-due\"} 3\n"), "{before}");
        tally.forget();
        let after = tally.to_text();
        assert!(after.contains("{state=\"ready\"} 0\n") && !after.contains("drill-due"), "{after}");
        assert!(after.contains("last_look_timestamp_seconds 1790000000\n"), "{after}");
        Ok(())
    }
}
