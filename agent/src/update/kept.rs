//! What a run has done, and how the escrow stands after it.

use std::{num::NonZeroU64, time::Duration};

use serde::Serialize;
use tenwords_protocol::{fingerprint::Fingerprint, v1::V1};

use super::{at_hub::HubFault, own};
use crate::{lineage::Look, show::harmless};

/// How the escrow stands after a run.
#[derive(Debug, Serialize)]
pub(crate) struct Kept {
    v: V1,
    pub(crate) state: State,
    /// The hub's number of the version that was stored, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<NonZeroU64>,
    /// The number of the update in its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) update: Option<NonZeroU64>,
    /// The keys that were escrowed by it.
    pub(crate) keys: Vec<Fingerprint>,
    /// The sources whose tokens were.
    pub(crate) tokens: Vec<String>,
    /// Versions that the hub had lost and was given again.
    pub(crate) given_again: u64,
    /// What was wrong with what the hub has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hub_faults: Vec<HubFault>,
    /// In so many seconds the hub takes more; until then the newest state waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u64>,
    /// The snapshots in which the box's own backup servers hold it now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) second_holders: Vec<String>,
    /// What has changed that no update can carry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ceremony_needed: Vec<String>,
    /// The node that escrows, on every other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keeper: Option<String>,
    /// Keys that lie here, and that the keeper has not escrowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) lacking: Vec<Fingerprint>,
    /// It has had its time for one of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_overdue: bool,
    /// What somebody has to do so that the nodes are at one again: in a sentence, and the command.
    #[serde(skip)]
    pub(crate) at_odds: Option<(String, String)>,
    pub(crate) lineage: Look,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// No ceremony was held: there is nothing to add to.
    CeremonyPending,
    /// Everything is escrowed.
    Current,
    /// An update was stored.
    Updated,
    /// Something is not escrowed yet, and waits for its holder to take it.
    Waiting,
}

impl Kept {
    pub(super) fn new(lineage: Look) -> Self {
        Self {
            v: V1,
            state: State::CeremonyPending,
            version: None,
            update: None,
            keys: Vec::new(),
            tokens: Vec::new(),
            given_again: 0,
            hub_faults: Vec::new(),
            retry_after: None,
            second_holders: Vec::new(),
            ceremony_needed: Vec::new(),
            keeper: None,
            lacking: Vec::new(),
            is_overdue: false,
            at_odds: None,
            lineage,
            warnings: Vec::new(),
        }
    }

    pub(super) fn waits(&mut self, after: Duration) {
        self.state = State::Waiting;
        self.retry_after = Some(after.as_secs().max(1));
    }

    /// Whether everything is escrowed as far as it can be without the words.
    pub(crate) fn is_current(&self) -> bool {
        matches!(self.state, State::Current | State::Updated) && self.ceremony_needed.is_empty()
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![match self.state {
            State::CeremonyPending if self.keeper.is_some() => {
                "The box's ceremony was not taken up here yet: the hub is asked again with the next look.".to_owned()
            }
            State::Waiting if self.keeper.is_some() => "NOT ESCROWED YET, of what lies on this node:".to_owned(),
            State::CeremonyPending => format!("Nothing is escrowed: no ceremony was held. To do: {}", own::CEREMONY),
            State::Current => "The escrow is up to date.".to_owned(),
            State::Updated => {
                let number = self.update.map_or(String::new(), |number| format!(" {number}"));
                let version = self.version.map_or(String::new(), |number| format!(", version {number} at the hub"));
                format!("Update{number} is stored{version}.")
            }
            State::Waiting => format!(
                "NOT ESCROWED YET: the newest state waits on this box; whoever is to take it does so in {} s",
                self.retry_after.unwrap_or_default()
            ),
        }];
        if let Some(keeper) = &self.keeper {
            lines.extend(self.lacking.iter().map(|key| format!("  key {}", key.short())));
            lines.push(format!("  {} escrows for this box, and this node follows it", harmless(keeper, 64)));
        }
        lines.extend(self.keys.iter().map(|key| format!("  key {}", key.short())));
        lines.extend(self.tokens.iter().map(|source| format!("  token of source {source}")));
        if self.given_again > 0 {
            lines.push(format!("  {} versions that the hub had lost were given to it again", self.given_again));
        }
        lines.extend(self.second_holders.iter().map(|held| format!("  second holder: {held}")));
        let needed = self.ceremony_needed.iter().map(|what| format!("  - {what}\n    what to do: {}", own::CEREMONY));
        lines.extend(needed.map(|line| harmless_lines(&line)));
        lines.extend(self.lineage.lines());
        lines.extend(self.warnings.iter().map(|warning| format!("  warning: {}", harmless(warning, 400))));
        lines
    }
}

fn harmless_lines(text: &str) -> String {
    text.lines().map(|line| harmless(line, 400)).collect::<Vec<_>>().join("\n")
}
