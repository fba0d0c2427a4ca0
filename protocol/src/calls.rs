//! Calls: what an operator asks a box's nodes to do now, and what they would do by themselves a little later.
//!
//! `GET /v1/boxes/{box_id}/calls[?after=N][&wait=SECONDS]` by a node, which waits for one;
//! `POST /v1/boxes/{box_id}/calls` by an operator. The hub keeps the last one in memory and nowhere else: a
//! restart loses a call, and nothing that matters.

use serde::{Deserialize, Serialize};

use crate::{bounded::Text, v1::V1};

/// Seconds that a node may wait, at most.
pub const LONGEST_CALL_WAIT: u64 = 50;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CallKind {
    /// Look at everything, and send the report.
    Report,
}

/// An operator's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRequest {
    /// Always 1.
    pub v: V1,
    /// What is asked.
    pub kind: CallKind,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Always 1.
    pub v: V1,
    /// So many nodes were waiting, and hear it now. The others hear it when they ask next.
    pub waiting: u64,
}

/// What a node hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallReply {
    /// Always 1.
    pub v: V1,
    /// To be said as `after` the next time. It means nothing else.
    pub number: u64,
    /// What is asked; absent if nothing was until the wait was over. A kind that is not known asks for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Text<32>>,
}

impl CallKind {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
        }
    }
}
