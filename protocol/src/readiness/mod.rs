//! Whether a box can be brought back today: one pure function over what is known ([`judge`]).
//!
//! Agent, hub and operator show what it says; none of them reckons by itself. No fact known is never good
//! news: what nobody has looked at is a reason, as is a box that says nothing any more.

mod facts;
mod judge;
mod reason;

use serde::{Deserialize, Serialize};

pub use self::{
    facts::{Ceremony, Facts, Node, Policy, Said},
    judge::judge,
    reason::{Reason, ReasonCode},
};
use crate::bounded::List;

/// How a box stands. The later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The ten words bring it back, with everything that it is to back up.
    Ready,
    /// They may not, or not all of it, or nobody knows.
    AtRisk,
    /// It has enrolled, and nothing of it is escrowed yet.
    CeremonyPending,
    /// If it is lost now, backups of it are lost.
    Unprotected,
}

/// How a box stands, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// In a word.
    pub state: State,
    /// Why it is no better, the worst first; none if it is ready.
    pub reasons: List<Reason, 64>,
    /// What should be known and changes nothing.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub notes: List<Reason, 64>,
}

impl State {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::AtRisk => "at-risk",
            Self::CeremonyPending => "ceremony-pending",
            Self::Unprotected => "unprotected",
        }
    }

    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::Ready, Self::AtRisk, Self::CeremonyPending, Self::Unprotected];
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_empty(list: &[Reason]) -> bool {
    list.is_empty()
}
