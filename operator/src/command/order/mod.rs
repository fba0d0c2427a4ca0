//! `tenwords order`: what boxes ask for, looked at and signed.
//!
//! An order is shown in words ([`told`]) and judged ([`Candidate::fault`]) from its own text. Of what
//! the hub says beside it, only the time and how it stands is shown; which box it is says the text,
//! under the name of the operator's own map.

mod judged;
mod list;
mod send;
mod show;
mod sign;
mod told;

use std::path::{Path, PathBuf};

use tenwords_protocol::{
    code16::Code16,
    hash::Sha256,
    json,
    order::{self, MAX_ORDER_BYTES, MAX_SIGNATURE_BYTES, SignedOrder},
    orders::WaitingOrder,
};

pub(super) use self::{list::run as list, send::run as send, show::run as show, sign::run as sign};
use super::Desk;
use crate::{cli::StatedBox, failure::Failure, files, hub::Hub, map::Map, show::clean};

/// A text that is said to be an order, and what the hub says of it if it came from there.
struct Candidate {
    text: Vec<u8>,
    listed: Option<WaitingOrder>,
}

/// What was typed for an order.
enum Reference {
    Code(String),
    Hash(Sha256),
    File(PathBuf),
}

/// Of a file with an order, signed or not.
const LARGEST_FILE: usize = 2 * MAX_ORDER_BYTES + 2 * MAX_SIGNATURE_BYTES;

impl Candidate {
    fn hash(&self) -> Sha256 {
        Sha256::of(&self.text)
    }

    fn code(&self) -> Code16 {
        order::code(&self.text)
    }
}

impl From<WaitingOrder> for Candidate {
    fn from(listed: WaitingOrder) -> Self {
        Self { text: listed.text.0.clone(), listed: Some(listed) }
    }
}

impl Reference {
    fn of(typed: &str) -> Self {
        if let Ok(hash) = typed.parse() {
            return Self::Hash(hash);
        }
        let code = plain(typed);
        let is_code = code.len() == 16 && code.bytes().all(|b| b.is_ascii_alphanumeric() && b != b'U');
        let is_typed_so = typed.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if is_code && is_typed_so { Self::Code(code) } else { Self::File(typed.into()) }
    }

    async fn find(&self, desk: &Desk) -> Result<Candidate, Failure> {
        match self {
            Self::File(path) => from_file(path),
            Self::Hash(hash) => at_hub(&desk.hub()?, |candidate| candidate.hash() == *hash).await,
            Self::Code(code) => at_hub(&desk.hub()?, |candidate| plain(&candidate.code().to_string()) == *code).await,
        }
    }
}

/// A code as it is compared: read out, it has neither dashes nor case, and I, L and O are digits.
fn plain(code: &str) -> String {
    let read = |c: char| match c.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        c => c,
    };
    code.chars().filter(|c| !matches!(c, '-' | ' ')).map(read).collect()
}

/// The text as the box wrote it, or that in a signed order.
fn from_file(path: &Path) -> Result<Candidate, Failure> {
    let text = files::read(path, LARGEST_FILE)?;
    let text = match json::from_slice::<SignedOrder>(&text) {
        Ok(signed) => signed.order.0,
        Err(_) => text,
    };
    Ok(Candidate { text, listed: None })
}

/// By what the order itself is, whatever the hub calls it; among those that wait first.
async fn at_hub(hub: &Hub, is_it: impl Fn(&Candidate) -> bool) -> Result<Candidate, Failure> {
    for all in [false, true] {
        let listed = hub.orders(all).await?.orders;
        if let Some(found) = listed.iter().cloned().map(Candidate::from).find(&is_it) {
            return Ok(found);
        }
    }
    let remedy = "`tenwords order list` shows what waits; a file of that name is meant by ./NAME";
    Err(Failure::usage("no_such_order", "the hub has no order of that code", remedy))
}

/// The operator's own map, with what was stated on the command line.
fn map(desk: &Desk, boxes: &[StatedBox]) -> Result<Map, Failure> {
    let mut map = desk.map()?;
    boxes.iter().try_for_each(|stated| map.state(&stated.name, stated.id))?;
    Ok(map)
}

/// What the hub says of it, in a word or two.
fn stands(listed: &WaitingOrder) -> String {
    use tenwords_protocol::orders::{OrderState, OutcomeKind};
    let state = match (listed.state, listed.answers) {
        (OrderState::Open, 0) => "open".to_owned(),
        (OrderState::Open, answers) => format!("open, {answers} answered before"),
        (OrderState::Answered, _) => "answered".to_owned(),
        (OrderState::Done, _) => "done".to_owned(),
        (OrderState::Withdrawn, _) => "withdrawn".to_owned(),
        (OrderState::Expired, _) => "expired".to_owned(),
    };
    let Some(outcome) = &listed.outcome else { return state };
    let kind = match outcome.outcome {
        OutcomeKind::Refused => "the box refused the last answer",
        OutcomeKind::Used => "the box is doing it",
        OutcomeKind::Done => "the box did it",
        OutcomeKind::Failed => "the box tried, in vain",
        OutcomeKind::Withdrawn => "the box asks no more",
    };
    format!("{state}; {kind}: {}", clean(outcome.said.as_str()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_code_is_taken_as_it_is_read_out_and_everything_else_is_a_file() {
        for typed in ["5KQ3-0F7X-9M2C-T4VA", "5kq30f7x9m2ct4va", "5KQ3-OF7X-9M2C-T4VA"] {
            let Reference::Code(code) = Reference::of(typed) else { panic!("{typed}") };
            assert_eq!(code, "5KQ30F7X9M2CT4VA");
        }
        let hash = Sha256::of(b"x").to_string();
        assert!(matches!(Reference::of(&hash), Reference::Hash(found) if found == hash.parse().unwrap()));
        for typed in ["./5KQ3-0F7X-9M2C-T4VA", "5KQ3-0F7X-9M2C-T4V", "5KQ3-0F7X-9M2C-T4VU", "lab-1.order", "a b"] {
            assert!(matches!(Reference::of(typed), Reference::File(_)), "{typed}");
        }
    }
}
