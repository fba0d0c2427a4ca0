//! The function itself. It asks nobody and knows no clock; what it says follows from its arguments.

use std::{collections::BTreeMap, time::Duration};

use super::{Facts, Node, Policy, Readiness, Reason, ReasonCode, Said, State};
use crate::{
    bounded::{List, Text},
    fingerprint::Fingerprint,
    inventory::{Coverage, Crypt, SourceState, Verified},
    report::{Escrowed, GroupFact, KeyFact, Observed, Pruning, SecondHolder, Signature, SnapshotFact, SourceFact},
    time::Timestamp,
    version::Grade,
};

/// Of which nothing is known of how often it is backed up: as if daily.
const USUAL_INTERVAL: u64 = 86_400;
/// A moment may be so much later than now: clocks differ. What is later yet is no news of anything.
const AHEAD: Duration = Duration::from_secs(3600);
/// A snapshot's signature is looked at within this time.
const LOOK_WITHIN: Duration = Duration::from_secs(86_400);

/// How a box stands at `now`.
#[must_use]
pub fn judge(facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> Readiness {
    let mut found = Found::default();
    let mut ledger = Ledger { facts, policy, now, said: None };
    ledger.said = facts.said.filter(|said| ledger.known(Some(said.at)).is_some());
    if facts.enrolled_at.is_none() {
        found.add(ReasonCode::NotEnrolled, None, None);
        return found.readiness();
    }
    ledger.of_escrow(&mut found);
    ledger.of_nodes(&mut found);
    ledger.of_refusals(&mut found);
    match &ledger.said {
        None => found.add(ReasonCode::NothingSaid, None, facts.enrolled_at),
        Some(said) => ledger.of_report(said, &mut found),
    }
    found.readiness()
}

struct Ledger<'f> {
    facts: &'f Facts<'f>,
    policy: &'f Policy,
    now: Timestamp,
    /// What the keeper has said, unless at a time to come.
    said: Option<Said<'f>>,
}

impl Ledger<'_> {
    fn is_past(&self, moment: Timestamp) -> bool {
        self.now > moment
    }

    /// A moment of which something is known; one to come is none: it would be good news for ever.
    fn known(&self, moment: Option<Timestamp>) -> Option<Timestamp> {
        moment.filter(|at| *at <= self.now.plus(AHEAD))
    }

    fn of_escrow(&self, found: &mut Found) {
        let Facts { ceremony, newest, drilled_at, enrolled_at, .. } = *self.facts;
        let said = self.said;
        let held = said.and_then(|said| said.observed.escrow.as_ref());
        // What was stored after the box spoke, it could not speak of.
        let is_older = |at: Timestamp| {
            ceremony.and_then(|ceremony| ceremony.received_at).is_none_or(|received_at| received_at <= at)
        };
        match (ceremony, held) {
            (None, None) => found.add(ReasonCode::CeremonyPending, None, enrolled_at),
            (None, Some(_)) => found.add(ReasonCode::EscrowLost, None, said.map(|said| said.at)),
            (Some(_), _) if said.is_none_or(|said| !is_older(said.at)) => {}
            (Some(_), None) => found.add(ReasonCode::EscrowDiffers, None, said.map(|said| said.at)),
            (Some(ceremony), Some(held)) if ceremony.root_sha256 != held.root_sha256 => {
                // The box's own are fewer: the hub was set back to an earlier day.
                let code =
                    if held.ceremony > ceremony.number { ReasonCode::VersionsLost } else { ReasonCode::EscrowDiffers };
                found.add(code, None, said.map(|said| said.at));
            }
            (Some(_), Some(held)) if newest.is_none_or(|newest| newest < held.newest) => {
                found.add(ReasonCode::VersionsLost, None, said.map(|said| said.at));
            }
            (Some(_), _) => {}
        }
        if ceremony.is_some() {
            let due = self.known(drilled_at).map(|at| at.plus(self.policy.drill_every));
            if due.is_none_or(|due| self.is_past(due)) {
                found.add(ReasonCode::DrillDue, None, due);
            }
        }
    }

    fn of_nodes(&self, found: &mut Found) {
        let is_silent =
            |node: &Node| self.known(node.heard_at).is_none_or(|at| self.is_past(at.plus(self.policy.silent_for)));
        let nodes = self.facts.nodes;
        if nodes.is_empty() {
            found.add(ReasonCode::NoNode, None, None);
        }
        let all_silent = nodes.iter().all(is_silent);
        for node in nodes {
            if self.is_past(node.certificate_ends) {
                found.add(ReasonCode::CertificateExpired, Some(&node.name), Some(node.certificate_ends));
            } else if self.is_past(before(node.certificate_ends, self.policy.certificate_left)) {
                let since = before(node.certificate_ends, self.policy.certificate_left);
                found.add(ReasonCode::CertificateEnds, Some(&node.name), Some(since));
            }
            // A silent box is said once, and not by each of its nodes.
            if !all_silent && is_silent(node) {
                let code = if node.is_keeper { ReasonCode::KeeperSilent } else { ReasonCode::NodeSilent };
                found.add(code, Some(&node.name), node.heard_at);
            }
            for alarm in &node.alarms {
                let subject = match (alarm.subject.as_str(), nodes.len()) {
                    ("", 0 | 1) => None,
                    ("", _) => Some(node.name.clone()),
                    (subject, 0 | 1) => Some(subject.to_owned()),
                    (subject, _) => Some(format!("{subject} ({})", node.name)),
                };
                found.add(ReasonCode::of_alarm(&alarm.code), subject.as_deref(), Some(alarm.since));
            }
        }
    }

    /// What somebody has tried with a certificate of the box.
    fn of_refusals(&self, found: &mut Found) {
        let Facts { trespassed_at, revoked_used_at, .. } = *self.facts;
        let lately = |at: Option<Timestamp>| at.filter(|at| !self.is_past(at.plus(self.policy.refused_is_said)));
        if let Some(at) = lately(trespassed_at) {
            found.add(ReasonCode::Trespassed, None, Some(at));
        }
        if let Some(at) = lately(revoked_used_at) {
            found.note(ReasonCode::RevokedUsed, None, Some(at));
        }
    }

    fn of_report(&self, said: &Said<'_>, found: &mut Found) {
        if self.is_past(said.at.plus(self.policy.silent_for)) {
            found.add(ReasonCode::BoxSilent, None, Some(said.at));
        }
        let Observed { escrow, keys, keys_left_out, sources, servers_asked_at, groups, groups_left_out } =
            said.observed;
        for key in keys.iter() {
            self.of_key(key, found);
        }
        if !sources.iter().any(|source| matches!(source.state, SourceState::InUse | SourceState::Broken)) {
            found.add(ReasonCode::NothingEncrypted, None, None);
        }
        // A source encrypts, and the box does not say under which key.
        if self.facts.ceremony.is_some() && !keys.iter().any(|key| key.in_use) {
            for source in sources.iter().filter(|source| source.state == SourceState::InUse) {
                found.add(ReasonCode::KeyUnknown, Some(source.id.as_str()), Some(source.since));
            }
        }
        for source in sources.iter() {
            self.of_source(source, found);
        }
        // Where nothing can be asked, nobody has to.
        let asked = self.known(*servers_asked_at).map(|at| at.plus(self.policy.servers_silent_for));
        if !sources.is_empty() && asked.is_none_or(|until| self.is_past(until)) {
            found.add(ReasonCode::ServersNotAsked, None, *servers_asked_at);
        }
        if let Some(escrow) = escrow
            && escrow.second_holder != SecondHolder::Agrees
        {
            found.add(ReasonCode::SecondHolder, None, None);
        }
        for group in groups.iter() {
            self.of_group(group, keys, found);
        }
        if *keys_left_out > 0 || *groups_left_out > 0 {
            found.add(ReasonCode::NotAllReported, None, None);
        }
    }

    fn of_key(&self, key: &KeyFact, found: &mut Found) {
        let name = key.fingerprint.short();
        match key.escrowed {
            Some(Escrowed { grade: Grade::Proven, .. }) if self.is_escrowed(key) => {}
            Some(Escrowed { grade: Grade::Sealed, since }) if self.is_escrowed(key) => {
                let since = self.known(Some(since));
                match since.map(|since| since.plus(self.policy.sealed_for)) {
                    Some(due) if !self.is_past(due) => found.note(ReasonCode::KeySealed, Some(&name), since),
                    due => found.add(ReasonCode::KeyNotProven, Some(&name), due),
                }
            }
            _ if key.in_use && self.facts.ceremony.is_some() => {
                found.add(ReasonCode::KeyNotEscrowed, Some(&name), Some(key.since));
            }
            // Before the first ceremony that is what is missing, not each key.
            _ if self.facts.ceremony.is_none() => {}
            _ if key.snapshots > 0 => {
                found.add(ReasonCode::FormerKeyNotEscrowed, Some(&name), Some(key.since));
            }
            _ => {}
        }
    }

    /// What the box says is not enough: proven is what the stored ceremony has, and sealed is what a version after
    /// it can have.
    fn is_escrowed(&self, key: &KeyFact) -> bool {
        match key.escrowed.map(|escrowed| escrowed.grade) {
            Some(Grade::Proven) => self.is_in_ceremony(key.fingerprint),
            Some(Grade::Sealed) => {
                let Facts { ceremony, newest, .. } = *self.facts;
                ceremony.zip(newest).is_some_and(|(ceremony, newest)| newest > ceremony.number)
            }
            None => false,
        }
    }

    fn is_in_ceremony(&self, key: Fingerprint) -> bool {
        self.facts.ceremony.is_some_and(|ceremony| ceremony.keys.contains(&key))
    }

    fn of_source(&self, source: &SourceFact, found: &mut Found) {
        let id = Some(source.id.as_str());
        match source.state {
            SourceState::InUse => {
                if !source.in_escrow && self.facts.ceremony.is_some() {
                    found.add(ReasonCode::SourceChanged, id, Some(source.since));
                }
            }
            SourceState::Broken => found.add(ReasonCode::SourceBroken, id, Some(source.since)),
            SourceState::Unencrypted => found.note(ReasonCode::SourceUnencrypted, id, None),
            SourceState::NotUsed => return,
        }
        let answered = self.known(source.answered_at).map(|at| at.plus(self.policy.servers_silent_for));
        if answered.is_none_or(|until| self.is_past(until)) {
            found.add(ReasonCode::SourceSilent, id, source.answered_at);
        }
        if source.pruning == Pruning::May {
            match self.policy.pruning_is_a_reason {
                true => found.add(ReasonCode::TokenMayPrune, id, None),
                false => found.note(ReasonCode::TokenMayPrune, id, None),
            }
        }
    }

    fn of_group(&self, group: &GroupFact, keys: &[KeyFact], found: &mut Found) {
        let name = match &group.name {
            Some(name) => format!("{} {name}", group.group),
            None => group.group.to_string(),
        };
        let name = Some(name.as_str());
        match group.coverage {
            _ if group.exempt => return found.note(ReasonCode::LeftOut, name, None),
            Coverage::None => return found.add(ReasonCode::NotCovered, name, Some(group.since)),
            Coverage::Elsewhere => return found.add(ReasonCode::CoveredElsewhere, name, Some(group.since)),
            Coverage::Source => {}
        }
        if group.interval.is_none() {
            found.add(ReasonCode::IntervalUnknown, name, Some(group.since));
        }
        let interval = group.interval.unwrap_or(USUAL_INTERVAL);
        let within = Duration::from_secs(interval.saturating_add(interval / 4));
        match &group.newest {
            None => {
                // A guest that was made today has until its job's next run.
                let due = group.since.plus(within);
                if self.is_past(due) {
                    found.add(ReasonCode::NoSnapshot, name, Some(due));
                }
            }
            Some(newest) => self.of_snapshot(group, newest, within, keys, name, found),
        }
    }

    fn of_snapshot(
        &self,
        group: &GroupFact,
        newest: &SnapshotFact,
        within: Duration,
        keys: &[KeyFact],
        name: Option<&str>,
        found: &mut Found,
    ) {
        let due = newest.time.plus(within);
        if newest.time > self.now.plus(AHEAD) {
            found.add(ReasonCode::SnapshotAhead, name, None);
        } else if self.is_past(due) {
            found.add(ReasonCode::SnapshotLate, name, Some(due));
        }
        let since = Some(newest.time);
        let is_escrowed =
            |key| self.is_in_ceremony(key) || keys.iter().any(|fact| fact.fingerprint == key && self.is_escrowed(fact));
        match (newest.crypt, newest.key) {
            (Crypt::Encrypt, Some(key)) if is_escrowed(key) => {}
            (Crypt::Encrypt, Some(_)) => found.add(ReasonCode::SnapshotKeyNotEscrowed, name, since),
            _ => return found.add(ReasonCode::SnapshotPlain, name, since),
        }
        if newest.verified == Verified::Failed {
            found.add(ReasonCode::VerificationFailed, name, since);
        }
        match newest.signature {
            Signature::Good => {}
            Signature::Refused => found.add(ReasonCode::SnapshotUnsigned, name, since),
            // There is a newer one every day: what counts is how old the last one is that was found good.
            Signature::Unknown => {
                let signed_at = self.known(group.signed_at);
                let is_new = !self.is_past(group.since.plus(LOOK_WITHIN));
                let until = signed_at.map(|at| at.plus(within.saturating_add(LOOK_WITHIN)));
                if !is_new && until.is_none_or(|until| self.is_past(until)) {
                    found.add(ReasonCode::SnapshotNotLookedAt, name, signed_at.or(since));
                }
            }
        }
    }
}

/// Reasons by their code, so that a thousand guests are one reason.
#[derive(Default)]
struct Found {
    reasons: BTreeMap<ReasonCode, Gathered>,
    notes: BTreeMap<ReasonCode, Gathered>,
}

#[derive(Default)]
struct Gathered {
    subjects: Vec<Text<160>>,
    more: u64,
    since: Option<Timestamp>,
}

impl Found {
    fn add(&mut self, code: ReasonCode, subject: Option<&str>, since: Option<Timestamp>) {
        self.reasons.entry(code).or_default().add(subject, since);
    }

    fn note(&mut self, code: ReasonCode, subject: Option<&str>, since: Option<Timestamp>) {
        self.notes.entry(code).or_default().add(subject, since);
    }

    fn readiness(self) -> Readiness {
        let reasons = listed(self.reasons, |code| match code.state() {
            // What was found to be a reason is one, also what is a note elsewhere.
            State::Ready => State::AtRisk,
            state => state,
        });
        let state = reasons.iter().map(|reason| reason.state).max().unwrap_or(State::Ready);
        Readiness { state, reasons, notes: listed(self.notes, |_| State::Ready) }
    }
}

impl Gathered {
    const NAMED: usize = 16;

    fn add(&mut self, subject: Option<&str>, since: Option<Timestamp>) {
        if let Some(subject) = subject {
            match self.subjects.len() < Self::NAMED {
                true => self.subjects.push(Text::cut(subject)),
                false => self.more += 1,
            }
        }
        self.since = match (self.since, since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

fn listed(gathered: BTreeMap<ReasonCode, Gathered>, state: impl Fn(&ReasonCode) -> State) -> List<Reason, 64> {
    let mut reasons: Vec<Reason> = gathered
        .into_iter()
        .map(|(code, Gathered { subjects, more, since })| Reason {
            state: state(&code),
            subjects: List::cut(subjects).0,
            more,
            since,
            what: Text::cut(code.what()),
            remedy: Text::cut(code.remedy()),
            code,
        })
        .collect();
    reasons.sort_by(|one, other| other.state.cmp(&one.state).then_with(|| one.code.cmp(&other.code)));
    List::cut(reasons).0
}

/// A moment so much earlier.
fn before(moment: Timestamp, duration: Duration) -> Timestamp {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_unix(moment.unix().saturating_sub(seconds).max(0)).unwrap_or(moment)
}
