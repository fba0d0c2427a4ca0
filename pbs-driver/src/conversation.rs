//! What each interactive command asks, and when it may be answered.
//!
//! A conversation is data: the runner in [`crate::pty`] knows no command. Recorded in
//! `transcripts/cd.txt` and `y.txt`; listed in `formats.md` §11.4.

/// One command's questions, in their order.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// For error texts: the command without paths.
    pub(crate) command: &'static str,
    pub(crate) steps: &'static [Step],
}

/// One question. What is sent is always the passphrase and one CR: the client takes CR *or* LF as
/// the end, so a CRLF would be an empty second answer.
#[derive(Debug)]
pub(crate) struct Step {
    /// The awaited prompt, blank included.
    pub(crate) prompt: &'static str,
    /// What the terminal must look like before anything is written.
    pub(crate) terminal: Terminal,
}

/// A condition on the terminal. It differs by program (getpass clears ECHO alone), so it stands in
/// the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// ECHO and ICANON off: the client sets raw mode *after* it has printed the prompt.
    Raw,
}

/// `key change-passphrase COPY --kdf scrypt`, on an unprotected key.
pub(crate) const WRAP: Conversation = Conversation {
    command: "key change-passphrase --kdf scrypt",
    steps: &[
        Step { prompt: "New Password: ", terminal: Terminal::Raw },
        Step { prompt: "Verify Password: ", terminal: Terminal::Raw },
    ],
};

/// `key change-passphrase COPY --kdf none`, on a protected key.
pub(crate) const UNWRAP: Conversation = Conversation {
    command: "key change-passphrase --kdf none",
    steps: &[Step { prompt: "Encryption Key Password: ", terminal: Terminal::Raw }],
};

/// Every question that the client is known to ask. One that comes where it does not belong ends the
/// conversation at once, without an answer.
pub(crate) const QUESTIONS: &[&str] = &[
    "New Password: ",
    "Verify Password: ",
    "Encryption Key Password: ",
    "Master Key Password: ",
    "Password for \"",
    "Are you sure you want to continue connecting? (y/n): ",
];
