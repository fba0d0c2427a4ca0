//! What a recovery has done, for people and for machines.

use std::{
    fmt,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use pbs_driver::pve::guest_config::Kind;
use serde::{Deserialize, Serialize};
use tenwords_protocol::{id::RecoveryId, v1::V1};

use crate::{
    closure::Line,
    exit::{Code, Stop},
    show::{harmless, size},
};

/// The report of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) v: V1,
    pub(crate) box_id: String,
    pub(crate) box_name: String,
    pub(crate) rehearsal: bool,
    /// The recovery's mark: several runs of one have the same.
    pub(crate) recovery: RecoveryId,
    /// A signal ended the run: it is to be run again.
    pub(crate) interrupted: bool,
    /// Which escrow was opened.
    pub(crate) escrow: Escrow,
    /// Guests that are there again, stopped.
    pub(crate) guests: Vec<RestoredGuest>,
    pub(crate) restored: Vec<Restored>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) installed: Vec<PathBuf>,
    /// Small files of the escrow, with how they differ from what this machine has.
    pub(crate) recovered_files: Vec<RecoveredFile>,
    /// The closing ceremony's version, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) closing_version: Option<u64>,
    /// The kit of the closing ceremony, where there is no hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) closing_kit: Option<PathBuf>,
    /// What is left to be done.
    pub(crate) closure: Vec<Line>,
    pub(crate) notes: Vec<String>,
    pub(crate) phases: Vec<Phase>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Escrow {
    /// The hub's number; a kit has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    /// Where it lay, for a person.
    pub(crate) place: String,
    pub(crate) code_number: u64,
    pub(crate) sequence: u64,
    pub(crate) made_at: String,
    pub(crate) check_line: String,
    /// Whether proxmox-backup-client opened the keys too, or only our own reading did.
    pub(crate) opened_by_client: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restored {
    pub(crate) source: String,
    pub(crate) snapshot: String,
    pub(crate) archive: String,
    pub(crate) target: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) milliseconds: u64,
    /// What the client said while it restored: what it could not set, above all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) said: Vec<String>,
    /// What nobody vouches for: an operator's order let it through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unproven: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoredGuest {
    pub(crate) source: String,
    pub(crate) snapshot: String,
    pub(crate) kind: GuestKind,
    pub(crate) vmid: u32,
    /// Where its volumes are; absent if its own configuration says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage: Option<String>,
    /// Its configuration on this node.
    pub(crate) config: PathBuf,
    /// Of its archives, as signed.
    pub(crate) bytes: u64,
    pub(crate) milliseconds: u64,
    /// What PVE's programs said while they restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) said: Vec<String>,
    /// What is not as it was backed up: the guest is there, and to be looked at.
    pub(crate) differences: Vec<String>,
    /// How it came up, if it was started for a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trial: Option<Trial>,
}

/// A start for a moment, cut off from every network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trial {
    pub(crate) state: TrialState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// What could not be put back afterwards, as commands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<String>,
}

/// How it came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TrialState {
    /// Its agent answered.
    Answered,
    /// It runs; nobody in it can be asked.
    Running,
    /// It runs, and its agent did not answer in time.
    NoAgent,
    NotStarted,
}

impl RestoredGuest {
    /// Whether somebody has to look at it before it is used.
    pub(crate) fn is_to_be_looked_at(&self) -> bool {
        let trial = |trial: &Trial| trial.state == TrialState::NotStarted || !trial.left.is_empty();
        !self.differences.is_empty() || self.trial.as_ref().is_some_and(trial)
    }

    fn lines(&self) -> Vec<String> {
        let Self { source, snapshot, kind, vmid, bytes, said, differences, trial, .. } = self;
        let left = trial.iter().flat_map(|trial| &trial.left);
        let state = if left.clone().next().is_some() { "NOT as it was restored" } else { "stopped" };
        let mut lines = vec![format!("  {source} {snapshot} -> {kind} {vmid}, {state} ({})", size(*bytes))];
        lines.extend(differences.iter().map(|difference| format!("    TO BE LOOKED AT: {difference}")));
        if let Some(Trial { state, why, .. }) = trial {
            let how = match state {
                TrialState::Answered => "came up, and its agent answered",
                TrialState::Running => "came up",
                TrialState::NoAgent => "came up, and its agent did not answer in time",
                TrialState::NotStarted => "DID NOT COME UP",
            };
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            lines.push(format!("    started for a moment without network: {how}{why}"));
        }
        lines.extend(left.map(|command| format!("    to be put back by hand: {command}")));
        lines.extend(told(said));
        lines
    }
}

/// A guest, as PBS names its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GuestKind {
    /// A container.
    Ct,
    /// A virtual machine.
    Vm,
}

#[derive(Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) remedy: String,
    /// Whether it waits for an operator's order.
    pub(crate) waits_for_order: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct RecoveredFile {
    pub(crate) path: String,
    pub(crate) kept_at: PathBuf,
    pub(crate) on_this_machine: &'static str,
    /// How it differs from this machine's, in a file for its owner alone: either may hold a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) diff: Option<PathBuf>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) milliseconds: u128,
}

/// Measures the phases of a run.
pub(crate) struct Stopwatch {
    phases: Vec<Phase>,
    since: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { phases: Vec::new(), since: Instant::now() }
    }

    /// What has run since the last call was this phase.
    pub(crate) fn lap(&mut self, name: &'static str) {
        self.phases.push(Phase { name, milliseconds: self.since.elapsed().as_millis() });
        self.since = Instant::now();
    }

    pub(crate) fn into_phases(self) -> Vec<Phase> {
        self.phases
    }
}

impl Missing {
    /// Of what was stopped, and is not there for that.
    pub(crate) fn of(what: String, stop: Stop) -> Self {
        let why = stop.in_one_line();
        let remedy = stop.remedy.unwrap_or_else(|| "mend this; then run the same command again".to_owned());
        Self { what, why, remedy, waits_for_order: false }
    }
}

impl GuestKind {
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Container => Self::Ct,
            Kind::Machine => Self::Vm,
        }
    }

    /// PVE's own.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Ct => Kind::Container,
            Self::Vm => Kind::Machine,
        }
    }
}

impl fmt::Display for GuestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ct => "ct",
            Self::Vm => "vm",
        })
    }
}

/// A time as the report has it.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Report {
    /// 130 if a signal ended it, 0 if everything of the plan is back and as it should be, 13 if all that is
    /// missing waits for an order, else 14.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.interrupted {
            Code::Interrupted.into()
        } else if self.is_to_be_looked_at() {
            Code::PartlyRestored.into()
        } else if self.missing.is_empty() {
            ExitCode::SUCCESS
        } else if self.missing.iter().all(|missing| missing.waits_for_order) {
            Code::WaitingForOrder.into()
        } else {
            Code::PartlyRestored.into()
        }
    }

    fn is_to_be_looked_at(&self) -> bool {
        self.guests.iter().any(RestoredGuest::is_to_be_looked_at)
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.push(String::new());
        let of_guests = self.guests.iter().map(|guest| guest.bytes);
        let bytes = self.restored.iter().map(|item| item.bytes).chain(of_guests).sum();
        let word = match (self.interrupted, self.missing.is_empty(), self.rehearsal) {
            (true, ..) => "INTERRUPTED",
            (false, false, _) => "NOT ALL is back",
            (false, true, _) if self.is_to_be_looked_at() => "All is back, and NOT ALL as it should be",
            (false, true, true) => "Rehearsed",
            (false, true, false) => "Recovered",
        };
        let guests = match self.guests.len() {
            0 => String::new(),
            n => format!("{n} guests, "),
        };
        let archives = self.restored.len();
        lines.push(format!(
            "{word}: box {} ({}), {guests}{archives} archives, {}.",
            self.box_name,
            self.box_id,
            size(bytes)
        ));
        for guest in &self.guests {
            lines.extend(guest.lines());
        }
        if !self.guests.is_empty() {
            lines.push(
                "  They are stopped: look at each, then start it (`pct start N`, `qm start N`), and never while the lost \
                 one still runs."
                    .to_owned(),
            );
        }
        for item in &self.restored {
            let Restored { source, snapshot, archive, target, said, unproven, .. } = item;
            lines.push(format!("  {source} {snapshot} {archive} -> {} ({})", target.display(), size(item.bytes)));
            if !unproven.is_empty() {
                let lacks = harmless(&unproven.join("; "), 300);
                lines.push(format!("    NOBODY VOUCHES FOR IT, an operator's order let it in: {lacks}"));
            }
            lines.extend(told(said));
        }
        if !self.missing.is_empty() {
            lines.push("\nNot restored:".to_owned());
        }
        for Missing { what, why, remedy, .. } in &self.missing {
            lines.push(format!("  {what}: {why}\n    what to do: {remedy}"));
        }
        if !self.installed.is_empty() {
            lines.push("\nPut in place:".to_owned());
        }
        for path in &self.installed {
            lines.push(format!("  {}", path.display()));
        }
        if let Some(kit) = &self.closing_kit {
            lines.push(format!("\nThe new escrow is the kit {}: keep it away from here.", kit.display()));
        }
        if !self.recovered_files.is_empty() {
            lines.push("\nSmall files of the lost box (nothing was written to their own paths):".to_owned());
        }
        for file in &self.recovered_files {
            let diff = file.diff.as_ref().map(|diff| format!(": see {}", diff.display())).unwrap_or_default();
            lines.push(format!("  {} -> {} ({}{diff})", file.path, file.kept_at.display(), file.on_this_machine));
        }
        for note in &self.notes {
            lines.push(format!("\nNote: {note}"));
        }
        if !self.closure.is_empty() {
            lines.push("\nTo be closed:".to_owned());
        }
        lines.extend(self.closure.iter().flat_map(Line::lines));
        if !self.closure.is_empty() {
            lines.push(
                "  `tenwords-agent closure` looks at each again; until all are closed, `status` is red.".to_owned(),
            );
        }
        lines.push("\nTime by phase:".to_owned());
        for Phase { name, milliseconds } in &self.phases {
            lines.push(format!("  {name:<20} {}.{:03} s", milliseconds / 1000, milliseconds % 1000));
        }
        lines
    }
}

/// What a program said, the beginning of it: all of it is in the report as JSON.
fn told(said: &[String]) -> impl Iterator<Item = String> + '_ {
    let more = said.len().checked_sub(TOLD).filter(|more| *more > 0);
    let more = more.map(|more| format!("    … and {more} more lines (--json tells them)"));
    said.iter().take(TOLD).map(|line| format!("    {}", harmless(line, 400))).chain(more)
}

/// Lines of a program that a person is shown of one thing.
const TOLD: usize = 20;
