//! Where the customer sits: what is said to him, and what he answers.
//!
//! Ceremony, drills and recovery know a [`Seat`] and no terminal. [`Local`] is the terminal that the
//! command was started at, [`Remote`] the console behind a socket.

mod local;
mod progress;
mod remote;

use std::time::Duration;

use serde::{Serialize, Serializer};
use tenwords_escrow::{code::RecoveryCode, door::AgePart};
use zeroize::Zeroizing;

pub(crate) use self::{
    local::Local,
    remote::{Remote, Waiting},
};
use crate::{
    exit::Outcome,
    language::{Language, Sentences, Talk},
};

/// A place where somebody reads and answers. What is said may be lost without harm; what is asked is
/// answered or is an error.
pub(crate) trait Seat {
    /// Whether there is anybody who can be asked.
    fn is_taken(&mut self) -> Outcome<()>;

    /// The customer's language.
    fn language(&self) -> Language;

    /// What is said of single words and answers.
    fn sentences(&self) -> &'static Sentences {
        self.language().sentences()
    }

    /// What is said around them.
    fn talk(&self) -> &'static Talk {
        self.language().talk()
    }

    /// Says lines.
    fn say(&mut self, text: &str);

    /// Asks for a line, which is shown as it is typed.
    fn ask(&mut self, prompt: &str) -> Outcome<Zeroizing<String>>;

    /// Asks for an SSH signature, which may be pasted as a whole; or for nothing, by an empty line.
    fn ask_signature(&mut self, prompt: &str) -> Outcome<Zeroizing<String>>;

    /// Asks for a line, of which nothing is shown.
    fn ask_hidden(&mut self, prompt: &str) -> Outcome<Zeroizing<String>>;

    /// Asks a question that only a typed yes answers with yes.
    fn confirm(&mut self, question: &str) -> Outcome<bool> {
        let answer = self.ask(&format!("{question} {} ", self.sentences().yes_or_no))?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes" | "j" | "ja"))
    }

    /// Asks a question until yes or no is typed: Enter alone is neither, since either answer has its
    /// consequences.
    fn decide(&mut self, question: &str) -> Outcome<bool> {
        loop {
            let answer = self.ask(&format!("{question} {} ", self.sentences().yes_or_no_alone))?;
            match answer.trim().to_lowercase().as_str() {
                "y" | "yes" | "j" | "ja" => return Ok(true),
                "n" | "no" | "nein" => return Ok(false),
                _ => {}
            }
        }
    }

    /// Asks for the ten words until they are ten words of the list.
    fn words(&mut self, heading: &str) -> Outcome<RecoveryCode>;

    /// Asks again after these words have opened nothing; `roots` are those that they were tried on, for the
    /// local search.
    fn words_again(&mut self, heading: &str, refused: RecoveryCode, roots: &[AgePart]) -> Outcome<RecoveryCode>;

    /// Shows a drawn code once, and has it typed back until it is the same.
    fn hand_over(&mut self, box_name: &str, number: u64, code: &RecoveryCode) -> Outcome<()>;

    /// Something that takes its time has begun, or has ended.
    fn turn(&mut self, turn: &Turn);

    /// How far everything is that takes its time; told several times a second.
    fn progress(&mut self, overview: &Overview);

    /// All of it has come to its end.
    fn progress_ends(&mut self);
}

/// How far everything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Overview {
    /// Since it began.
    #[serde(rename = "elapsed_seconds", serialize_with = "as_seconds")]
    pub(crate) since: Duration,
    /// How many things are back.
    pub(crate) back: usize,
    /// How many will not come back by this run.
    pub(crate) missing: usize,
    /// How many there are in all.
    pub(crate) count: usize,
    /// Bytes of what is back or coming.
    pub(crate) bytes: u64,
    pub(crate) of: u64,
    /// Bytes a second, as soon as that can be said.
    #[serde(rename = "bytes_per_second", skip_serializing_if = "Option::is_none")]
    pub(crate) speed: Option<u64>,
    #[serde(rename = "seconds_left", skip_serializing_if = "Option::is_none", serialize_with = "as_seconds_left")]
    pub(crate) left: Option<Duration>,
    pub(crate) running: Vec<Moment>,
}

/// How far one thing is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Moment {
    /// In the plan, from 1.
    #[serde(rename = "item")]
    pub(crate) number: usize,
    /// Harmless, and of bounded length.
    pub(crate) name: String,
    /// What is being done of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) of: u64,
    #[serde(rename = "bytes_per_second", skip_serializing_if = "Option::is_none")]
    pub(crate) speed: Option<u64>,
    #[serde(rename = "seconds_left", skip_serializing_if = "Option::is_none", serialize_with = "as_seconds_left")]
    pub(crate) left: Option<Duration>,
}

/// One thing has begun or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Turn {
    /// In the plan, from 1.
    #[serde(rename = "item")]
    pub(crate) number: usize,
    /// Harmless, and of bounded length.
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// What has happened with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(crate) enum Event {
    Begun { of: u64 },
    Back { of: u64 },
    Missing { why: String },
}

fn as_seconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(duration.as_secs())
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn as_seconds_left<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs()).serialize(to)
}
