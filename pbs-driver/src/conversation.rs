//! What each interactive command asks, when and with what it is answered, and what its end means.
//!
//! A conversation is a table; the runner in [`crate::pty`] knows no command. Recorded in
//! `transcripts/cd.txt` and `y.txt`, listed in `formats.md` §11.4, and the same in the sources of 2.0
//! to 3.2.4 ([`crate::compat`]). `tests/recorded/conversations.txt` is replayed against these tables.
//!
//! What is *not* answered is a table too ([`QUESTIONS`]): wherever one of these comes out of turn, on a
//! terminal or on a pipe, the child is ended and the question named. Commands that connect have
//! `/dev/null` for a stdin and therefore ask nothing; should one ask all the same, this says so.

use crate::{
    failure::{Failure, Refusal},
    group::Exit,
};

/// One command's questions, in their order, and the meaning of its ends.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// For error texts: the command without paths.
    pub(crate) command: &'static str,
    pub(crate) steps: &'static [Step],
    pub(crate) endings: &'static [Ending],
}

/// One question.
#[derive(Debug)]
pub(crate) struct Step {
    /// The awaited prompt, blank included.
    pub(crate) prompt: &'static str,
    /// What the terminal must look like before anything is written.
    pub(crate) terminal: Terminal,
    pub(crate) send: Answer,
}

/// A condition on the terminal. It differs by program (getpass clears ECHO alone), so it stands in
/// the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// ECHO and ICANON off: the client sets raw mode *after* it has printed the prompt.
    Raw,
}

/// What is sent, and one CR behind it: the client takes CR *or* LF as the end, so a CRLF would be an
/// empty second answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The passphrase that the file is under now.
    Old,
    /// The passphrase that it is going to be under.
    New,
}

/// The secrets of one conversation. A table that asks for one that is not there is a mistake of ours,
/// and sends nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Secrets<'a> {
    pub(crate) old: Option<&'a str>,
    pub(crate) new: Option<&'a str>,
}

impl<'a> Secrets<'a> {
    pub(crate) fn answer(&self, send: Answer) -> Option<&'a str> {
        match send {
            Answer::Old => self.old,
            Answer::New => self.new,
        }
    }

    pub(crate) fn all(&self) -> Vec<&'a str> {
        self.old.into_iter().chain(self.new).collect()
    }
}

/// How a conversation may end, and what that means; the first row that fits counts.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) exit: Exits,
    /// Whether all questions had been asked and answered; `None`: either.
    pub(crate) complete: Option<bool>,
    pub(crate) means: Means,
}

/// A set of exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exits {
    /// This code.
    Code(i32),
    /// Any code, 255 above all: an `Error: ` line says the rest.
    AnyCode,
    /// A signal, or nobody knows.
    Otherwise,
}

/// What an end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    Done,
    /// What its first `Error: ` line means, by the one table of texts ([`crate::texts`]).
    ItsWords,
    /// Somebody's wish, or the program's own fault.
    Killed,
    /// It is not the program that we know.
    NotAsked,
}

impl Conversation {
    /// What this end means. The rows cover every exit, so there always is one.
    pub(crate) fn means(&self, exit: Exit, complete: bool) -> Means {
        let fits = |ending: &&Ending| {
            let exit_fits = match (ending.exit, exit) {
                (Exits::Code(wanted), Exit::Code(code)) => wanted == code,
                (Exits::AnyCode, Exit::Code(_)) | (Exits::Otherwise, _) => true,
                _ => false,
            };
            exit_fits && ending.complete.is_none_or(|wanted| wanted == complete)
        };
        self.endings.iter().find(fits).map_or(Means::Killed, |ending| ending.means)
    }
}

/// The client has one code for every failure (255; 101 is a panic), so all its conversations end alike.
const ENDINGS: &[Ending] = &[
    Ending { exit: Exits::Code(0), complete: Some(true), means: Means::Done },
    // It did something else than what it was asked for, and did not say so.
    Ending { exit: Exits::Code(0), complete: Some(false), means: Means::NotAsked },
    Ending { exit: Exits::AnyCode, complete: None, means: Means::ItsWords },
    Ending { exit: Exits::Otherwise, complete: None, means: Means::Killed },
];

const fn step(prompt: &'static str, send: Answer) -> Step {
    Step { prompt, terminal: Terminal::Raw, send }
}

/// `key change-passphrase COPY --kdf scrypt`, on an unprotected key.
pub(crate) const WRAP: Conversation = Conversation {
    command: "key change-passphrase --kdf scrypt",
    steps: &[step("New Password: ", Answer::New), step("Verify Password: ", Answer::New)],
    endings: ENDINGS,
};

/// `key change-passphrase COPY --kdf none`, on a protected key.
pub(crate) const UNWRAP: Conversation = Conversation {
    command: "key change-passphrase --kdf none",
    steps: &[step("Encryption Key Password: ", Answer::Old)],
    endings: ENDINGS,
};

/// `key change-passphrase COPY --kdf scrypt`, on a protected key.
pub(crate) const REWRAP: Conversation = Conversation {
    command: "key change-passphrase --kdf scrypt",
    steps: &[
        step("Encryption Key Password: ", Answer::Old),
        step("New Password: ", Answer::New),
        step("Verify Password: ", Answer::New),
    ],
    endings: ENDINGS,
};

/// `key create NEW --kdf scrypt`.
pub(crate) const CREATE: Conversation = Conversation {
    command: "key create --kdf scrypt",
    steps: &[step("Encryption Key Password: ", Answer::New), step("Verify Password: ", Answer::New)],
    endings: ENDINGS,
};

/// A question that the client is known to ask somewhere. One that comes where it does not belong ends
/// the conversation at once, without an answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) prompt: &'static str,
    /// What it means where nothing was to be asked: by pipes, of a command that connects.
    pub(crate) unasked: fn() -> Failure,
}

fn not_our_client(prompt: &str) -> Failure {
    Failure::UnknownClient { why: format!("it asked \"{}\" where it has nothing to ask", prompt.trim_end()) }
}

pub(crate) const QUESTIONS: &[Question] = &[
    // `key change-passphrase`, `key create`.
    Question { prompt: "New Password: ", unasked: || not_our_client("New Password: ") },
    Question { prompt: "Verify Password: ", unasked: || not_our_client("Verify Password: ") },
    // The same; and `restore`, `backup` and whatever else takes a key file that is protected.
    Question { prompt: "Encryption Key Password: ", unasked: || Failure::KeyProtected },
    // `key create-master-key`, `key import-with-master-key`.
    Question { prompt: "Master Key Password: ", unasked: || not_our_client("Master Key Password: ") },
    // Login of a user without a password; the name follows.
    Question { prompt: "Password for \"", unasked: || Failure::NotAuthorised { why: Refusal::NoSecret } },
    // A certificate that is not the pinned one, on a terminal. A yes would connect to the wrong server.
    Question {
        prompt: "Are you sure you want to continue connecting? (y/n): ",
        unasked: || Failure::Certificate { expected: None, presented: None },
    },
];

/// The question that stands, unfinished, at the end of what a child said on a pipe.
pub(crate) fn left_open(said: &[u8]) -> Option<&'static Question> {
    let line = said.rsplit(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    QUESTIONS.iter().find(|question| {
        let prompt = question.prompt.as_bytes();
        // A prompt with a name in it ends behind the name.
        line.starts_with(prompt) && (prompt.ends_with(b" ") && line == prompt || line.ends_with(b"\": "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [&Conversation; 4] = [&WRAP, &UNWRAP, &REWRAP, &CREATE];

    #[test]
    fn every_end_means_something() {
        for table in TABLES {
            assert_eq!(table.means(Exit::Code(0), true), Means::Done);
            assert_eq!(table.means(Exit::Code(0), false), Means::NotAsked);
            for code in [1, 101, 255] {
                assert_eq!(table.means(Exit::Code(code), true), Means::ItsWords);
            }
            assert_eq!(table.means(Exit::Signal(9), true), Means::Killed);
            assert_eq!(table.means(Exit::Lost, false), Means::Killed);
        }
    }

    #[test]
    fn every_prompt_that_is_answered_is_a_known_question() {
        for step in TABLES.iter().flat_map(|table| table.steps) {
            assert!(QUESTIONS.iter().any(|question| question.prompt == step.prompt), "{}", step.prompt);
            assert!(step.prompt.ends_with(": "));
        }
    }

    #[test]
    fn a_question_is_known_by_standing_open_at_the_end() {
        let asked = |said: &str| left_open(said.as_bytes()).map(|question| question.prompt);
        assert_eq!(asked("x\nEncryption Key Password: "), Some("Encryption Key Password: "));
        assert_eq!(asked("Password for \"backup@pbs\": "), Some("Password for \""));
        assert_eq!(
            asked("fingerprint: aa\nAre you sure you want to continue connecting? (y/n): "),
            Some("Are you sure you want to continue connecting? (y/n): ")
        );
        for no_question in
            ["", "\n", "Encryption Key Password: \n", "a New Password: ", "Password for \"x", "Error: x: "]
        {
            assert_eq!(asked(no_question), None, "{no_question:?}");
        }
    }
}
