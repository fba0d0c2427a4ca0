//! Where the customer sits: what is said to him, and what he answers.
//!
//! Ceremony, drills and recovery know a [`Seat`] and no terminal. [`Local`] is the terminal that the
//! command was started at, [`Remote`] the console behind a socket.

mod local;
mod progress;
mod remote;

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

    /// How far something is that takes its time.
    fn progress(&mut self, moment: &Moment<'_>);

    /// It has come to its end.
    fn progress_ends(&mut self);
}

/// How far something is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment<'a> {
    pub(crate) name: &'a str,
    /// What is being done of it.
    pub(crate) step: Option<&'a str>,
    pub(crate) bytes: u64,
    pub(crate) of: u64,
}
