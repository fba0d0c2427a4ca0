//! What stands on a sheet: public facts, and nothing else.
//!
//! [`Facts`] is all that a sheet is made of. It has no field that could hold a word of the code, and
//! nothing in this room names the code's type; a process that never had the words makes the same
//! sheet.

use std::{collections::BTreeSet, num::NonZeroU64};

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    fingerprint::{Fingerprint, ShortFingerprint},
    id::BoxId,
    ticket::HubAddress,
    time::Timestamp,
};

use crate::{
    exit::{Code, Outcome, Stop},
    record::Record,
    settings::Configuration,
    show::harmless,
    standing::{BoxFacts, Standing},
};

/// How a box without a hub comes back.
pub(super) const BY_KIT: &str = "tenwords-agent recover --kit FILE";
/// More of a name than this is cut, in characters; a root's box name has at most 128 bytes.
const NAME: usize = 128;
const PHONE: usize = 40;

/// `[operator]`: who helps the customer; printed on the sheet, and a line to fill in where unset.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Operator {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phone: Option<String>,
}

/// The escrow that a sheet belongs to.
pub(crate) struct Escrow {
    pub(crate) code_number: NonZeroU64,
    pub(crate) made_at: Timestamp,
    pub(crate) keys: BTreeSet<Fingerprint>,
    /// As recovery prints it.
    pub(crate) check_line: String,
}

/// The facts of one sheet. Text from elsewhere is harmless and bounded from here on.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(super) box_name: String,
    pub(super) box_id: BoxId,
    /// Where the hub listens for agents; a box without one is recovered from its kit.
    pub(super) hub: Option<String>,
    pub(super) operator: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) date: Date,
    pub(super) code_number: NonZeroU64,
    pub(super) keys: Vec<ShortFingerprint>,
    pub(super) check_line: String,
}

/// A day (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: u32,
    /// From 1.
    pub(crate) month: usize,
    pub(crate) day: u32,
}

// === impl Facts ===

impl Facts {
    /// The facts of the newest escrow, from what this box keeps of itself.
    pub(crate) fn of_newest(configuration: &Configuration) -> Outcome<Self> {
        let standing = Standing::required(configuration)?;
        let of = standing.facts();
        let record = Record::load(configuration)?.filter(|record| record.box_id == of.id);
        let record = record.ok_or_else(|| {
            Stop::new(Code::Preflight, "nothing is escrowed yet, so there is no code that a sheet could be for")
                .remedy("hold the ceremony: `tenwords-agent escrow create --sheet FILE.pdf`")
        })?;
        let Record { code_number, made_at, keys, check_line, .. } = record;
        let hub = standing.identity().map(|identity| &identity.hub);
        let escrow = Escrow { code_number, made_at, keys, check_line };
        Ok(Self::new(&of, hub, &configuration.settings.operator, escrow))
    }

    /// The facts of an escrow of this box.
    pub(crate) fn new(of: &BoxFacts, hub: Option<&HubAddress>, operator: &Operator, escrow: Escrow) -> Self {
        let Escrow { code_number, made_at, keys, check_line } = escrow;
        Self {
            box_name: line(&of.name, NAME).unwrap_or_else(|| "?".into()),
            box_id: of.id,
            hub: hub.map(url),
            operator: operator.name.as_ref().and_then(|name| line(name, NAME)),
            phone: operator.phone.as_ref().and_then(|phone| line(phone, PHONE)),
            date: Date::of(made_at),
            code_number,
            keys: keys.iter().map(Fingerprint::shortened).collect(),
            check_line: line(&check_line, 19).unwrap_or_default(),
        }
    }

    /// What the box comes back from: its hub, or the command that takes its kit.
    pub(super) fn origin(&self) -> &str {
        self.hub.as_deref().unwrap_or(BY_KIT)
    }
}

/// One line of text from elsewhere; nothing if there is nothing in it.
fn line(text: &str, limit: usize) -> Option<String> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(harmless(&words, limit)).filter(|line| !line.is_empty())
}

fn url(hub: &HubAddress) -> String {
    let (host, port) = hub.host_and_port();
    if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") }
}

// === impl Date ===

impl Date {
    /// The day of a moment.
    pub(crate) fn of(time: Timestamp) -> Self {
        let text = time.to_string();
        let mut parts = text.split(['-', 'T']).map(|part| part.parse().unwrap_or(1));
        let mut next = || parts.next().unwrap_or(1);
        let (year, month, day) = (next(), next(), next());
        Self { year, month: month as usize, day }
    }

    /// `2026-03-03`.
    pub(crate) fn iso(self) -> String {
        let Self { year, month, day } = self;
        format!("{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// A sheet as most are.
    pub(in crate::sheet) fn usual() -> Facts {
        of("bakery", "hub.example.net", Some("Marta Huber, Huber IT"), Some("+49 89 1234567"), 1)
    }

    /// The sheet of a box that no hub knows.
    pub(in crate::sheet) fn with_kit() -> Facts {
        Facts { hub: None, operator: None, phone: None, ..usual() }
    }

    pub(in crate::sheet) fn of(name: &str, hub: &str, operator: Option<&str>, phone: Option<&str>, keys: u8) -> Facts {
        let keys = (1..=keys).map(|n| Fingerprint::from_bytes([n; 32]).shortened()).collect();
        let parsed: HubAddress = hub.parse().unwrap_or_else(|error| panic!("{hub}: {error}"));
        Facts {
            box_name: line(name, NAME).unwrap_or_default(),
            box_id: "0a9d4b1c-6f0e-4c58-9d58-2f6c5b7f1a3e".parse().unwrap_or_else(|error| panic!("{error}")),
            hub: Some(url(&parsed)),
            operator: operator.and_then(|name| line(name, NAME)),
            phone: phone.and_then(|phone| line(phone, PHONE)),
            date: Date { year: 2026, month: 3, day: 3 },
            code_number: NonZeroU64::MIN.saturating_add(1),
            keys,
            check_line: "7K3M-Q9ZD-0XBV-41TW".into(),
        }
    }

    #[test]
    fn the_day_is_that_of_the_moment() -> Tested {
        let date = Date::of("2026-11-09T23:59:59Z".parse()?);
        assert_eq!((date, date.iso().as_str()), (Date { year: 2026, month: 11, day: 9 }, "2026-11-09"));
        Ok(())
    }

    #[test]
    fn the_hub_is_told_with_its_port() -> Tested {
        assert_eq!(url(&"hub.example".parse()?), "https://hub.example:8443");
        assert_eq!(url(&"hub.example:9".parse()?), "https://hub.example:9");
        assert_eq!(url(&"[2001:db8::1]:9".parse()?), "https://[2001:db8::1]:9");
        Ok(())
    }

    #[test]
    fn s71_text_from_elsewhere_is_one_harmless_bounded_line() {
        assert_eq!(line("a\u{1b}[2J\u{202e}b\n\n\tc", 64).as_deref(), Some("a\u{fffd}[2J\u{fffd}b c"));
        assert_eq!(line(&"x".repeat(1_000_000), 40).map(|line| line.chars().count()), Some(41));
        assert_eq!((line(" \n", 40), line("", 40)), (None, None));
    }
}
