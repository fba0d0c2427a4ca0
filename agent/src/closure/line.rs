//! The lines of the checklist, and what is known of each.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tenwords_protocol::time::Timestamp;

use crate::show::harmless;

/// Which line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Id {
    /// The lost box's certificate at the hub.
    Certificate,
    /// The PBS token of a source.
    Token(String),
    /// What else the lost box had.
    OtherSecrets,
    /// The escrow of this machine.
    Escrow,
    /// Where there is no hub: the new kit.
    Kit,
    /// The first new backup of a guest, by its group.
    Backup(String),
    /// The ten words.
    Code,
}

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum State {
    /// By a check of ours.
    Proven { how: String, at: Timestamp },
    /// By somebody who says so; with what was seen last, if that is not what he says.
    Attested {
        by: String,
        reason: String,
        at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<String>,
    },
    /// By nobody yet; what was seen last.
    Open { seen: String, at: Timestamp },
}

/// A line as it is told.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) id: Id,
    pub(crate) what: String,
    /// How it comes to be proven.
    pub(crate) proof: &'static str,
    #[serde(flatten)]
    pub(crate) state: State,
}

/// What a look has come to.
pub(super) enum Found {
    Proven(String),
    /// It is seen not to be so.
    Not(String),
    /// Nothing was seen.
    Unknown(String),
}

impl State {
    /// What is known after another look. What was proven stays so until it is seen not to be; what somebody
    /// says, until it is proven.
    pub(super) fn after(earlier: Option<Self>, found: Found, now: Timestamp) -> Self {
        match (earlier, found) {
            (Some(proven @ Self::Proven { .. }), Found::Proven(_) | Found::Unknown(_)) => proven,
            (_, Found::Proven(how)) => Self::Proven { how, at: now },
            (Some(Self::Attested { by, reason, at, .. }), Found::Not(seen) | Found::Unknown(seen)) => {
                Self::Attested { by, reason, at, seen: Some(seen) }
            }
            (_, Found::Not(seen) | Found::Unknown(seen)) => Self::Open { seen, at: now },
        }
    }
}

impl Line {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { id, what, proof, state } = self;
        let mark = if self.is_open() { " " } else { "x" };
        let mut lines = vec![format!("  [{mark}] {id}: {what}")];
        match state {
            State::Proven { how, at } => lines.push(format!("      proven {at}: {how}")),
            State::Attested { by, reason, at, seen } => {
                lines.push(format!("      attested {at} by {by}: {reason}"));
                lines.extend(seen.iter().map(|seen| format!("      {seen}")));
            }
            State::Open { seen, .. } => {
                lines.push(format!("      {seen}"));
                lines.push(format!("      closed by: {proof}"));
            }
        }
        lines.into_iter().map(|line| harmless(&line, 400)).collect()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate => f.write_str("certificate"),
            Self::Token(source) => write!(f, "token:{source}"),
            Self::OtherSecrets => f.write_str("other-secrets"),
            Self::Escrow => f.write_str("escrow"),
            Self::Kit => f.write_str("kit"),
            Self::Backup(group) => write!(f, "backup:{group}"),
            Self::Code => f.write_str("code"),
        }
    }
}

impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match (text, text.split_once(':')) {
            ("certificate", _) => Self::Certificate,
            ("other-secrets", _) => Self::OtherSecrets,
            ("escrow", _) => Self::Escrow,
            ("kit", _) => Self::Kit,
            ("code", _) => Self::Code,
            (_, Some(("token", source))) if !source.is_empty() => Self::Token(source.to_owned()),
            (_, Some(("backup", group))) if !group.is_empty() => Self::Backup(group.to_owned()),
            _ => return Err("a line of the checklist was expected, as `tenwords-agent closure` names it"),
        })
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proven_stays_so_until_it_is_seen_not_to_be() -> Result<(), Box<dyn std::error::Error>> {
        let [then, now]: [Timestamp; 2] = ["2026-03-03T12:00:00Z".parse()?, "2026-03-04T12:00:00Z".parse()?];
        let text = || "x".to_owned();
        let proven = State::Proven { how: "how".to_owned(), at: then };
        let open = State::Open { seen: text(), at: now };
        let said = |seen| State::Attested { by: "a".to_owned(), reason: "b".to_owned(), at: then, seen };
        for (earlier, found, after) in [
            (None, Found::Unknown(text()), open.clone()),
            (None, Found::Proven(text()), State::Proven { how: text(), at: now }),
            (Some(proven.clone()), Found::Proven(text()), proven.clone()),
            (Some(proven.clone()), Found::Unknown(text()), proven.clone()),
            (Some(proven.clone()), Found::Not(text()), open.clone()),
            (Some(open.clone()), Found::Proven(text()), State::Proven { how: text(), at: now }),
            (Some(said(None)), Found::Not(text()), said(Some(text()))),
            (Some(said(None)), Found::Proven(text()), State::Proven { how: text(), at: now }),
        ] {
            assert_eq!(State::after(earlier.clone(), found, now), after, "{earlier:?}");
        }
        Ok(())
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let ids = [
            Id::Certificate,
            Id::Token("pbs".to_owned()),
            Id::OtherSecrets,
            Id::Escrow,
            Id::Kit,
            Id::Backup("ct/101".to_owned()),
            Id::Code,
        ];
        for id in ids {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "token", "token:", "backup:", "words", "Certificate"] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }
}
