//! What the sources have answered, and what follows from it for the whole recovery.

use tenwords_escrow::root::Source;

use super::{Asked, Connected, Kind, Tokens, Trouble, Tunnels};
use crate::{
    exit::{Code, Outcome, Stop},
    recover::{preflight::Failures, report::Missing},
};

/// What the sources answered.
#[derive(Default)]
pub(crate) struct Answers<'a> {
    pub(crate) connected: Vec<Connected<'a>>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) notes: Vec<String>,
    /// Secrets that were asked for and that the servers take.
    pub(in crate::recover) tokens: Tokens,
    /// What was started for it; it is taken down again with this, unless it is to stay.
    pub(in crate::recover) tunnels: Tunnels,
}

/// What of it can be restored from, and what is missing; or that nothing can be done.
pub(super) fn judge<'a>(
    asked: Vec<Asked<'a>>,
    mut answers: Answers<'a>,
    unfit: Option<&Stop>,
    wants_snapshots: bool,
) -> Outcome<Answers<'a>> {
    let (mut failures, mut first) = (Failures::default(), unfit.map(|stop| stop.code));
    let mut waits = false;
    unfit.into_iter().for_each(|stop| failures.add_stop(stop));
    for Asked { source, is_wanted, results, .. } in asked {
        for result in results {
            match result {
                Ok(source) => answers.connected.push(source),
                Err(trouble) => {
                    failures.add_stop(&trouble.stop);
                    match trouble.kind {
                        Kind::Ordered => waits = true,
                        _ => drop(first.get_or_insert(trouble.stop.code)),
                    }
                    answers.silent(source, trouble, is_wanted);
                }
            }
        }
    }
    let has_some = |connected: &Connected<'_>| !wants_snapshots || !connected.snapshots.is_empty();
    let is_nothing = !answers.connected.iter().any(has_some);
    for empty in answers.connected.iter().filter(|connected| !has_some(connected)) {
        let (what, remedy) = empty.without_snapshots();
        if is_nothing {
            failures.add(what, remedy);
        } else {
            answers.notes.push(format!("{what}; if there should be: {remedy}"));
        }
    }
    if is_nothing || unfit.is_some() {
        // Only what waits for an order and for nothing else ends as waiting.
        let code = first.unwrap_or(if waits { Code::WaitingForOrder } else { Code::Preflight });
        failures.into_outcome("after the words").map_err(|stop| answers.with_hints(stop.with_code(code)))?;
    }
    Ok(answers)
}

impl Connected<'_> {
    /// That nothing lies there, and what that may come from.
    fn without_snapshots(&self) -> (String, String) {
        let (id, datastore) = (&self.source.id, &self.source.datastore);
        let namespace = self.access.namespace();
        let place = match namespace.is_root() {
            true => format!("datastore {datastore}"),
            false => format!("datastore {datastore}, namespace {namespace}"),
        };
        let what = format!("source {id} answers, and no snapshot that {} may see lies in {place}", self.source.auth_id);
        let remedy = format!(
            "see on {} whether the backups lie there, under another namespace, or belong to another owner",
            self.source.server
        );
        (what, remedy)
    }
}

impl Answers<'_> {
    fn silent(&mut self, source: &Source, trouble: Trouble, is_wanted: bool) {
        let Trouble { kind, stop, .. } = trouble;
        let why = stop.in_one_line();
        let remedy = stop.remedy.unwrap_or_else(|| "mend this, then run the same command again".into());
        let waits_for_order = kind == Kind::Ordered;
        if is_wanted || waits_for_order {
            let what = format!("source {}", source.id);
            self.missing.push(Missing { what, why, remedy, waits_for_order });
        } else {
            self.notes.push(format!("{why}; nothing of it was to be restored. What to do: {remedy}"));
        }
    }

    /// What may be missing for a way to a server is said where it is missing.
    fn with_hints(&self, stop: Stop) -> Stop {
        let hints = self.tunnels.hints();
        if hints.is_empty() {
            return stop;
        }
        let remedy = stop.remedy.clone().unwrap_or_default();
        stop.remedy(format!("{}. Otherwise: {remedy}", hints.join("; ")))
    }

    /// As lines for a person, before anything is touched.
    pub(in crate::recover) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .missing
            .iter()
            .map(|missing| format!("NOT: {}\n     what to do: {}", missing.why, missing.remedy))
            .collect();
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }
}
