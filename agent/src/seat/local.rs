//! The terminal that the command was started at.

use std::io;

use tenwords_escrow::{code::RecoveryCode, door::AgePart};
use zeroize::Zeroizing;

use super::{Overview, Seat, Turn, progress::Progress};
use crate::{
    exit::Outcome,
    language::{Charset, Language},
    terminal::{Terminal, fitted},
    words,
};

/// Asks at the terminal, which it opens when somebody is to be asked.
pub(crate) struct Local {
    talk: Talk,
    terminal: Option<Terminal>,
    progress: Progress,
}

/// Where lines go that are only said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Talk {
    Nowhere,
    Stderr,
    Terminal,
}

impl Local {
    /// A customer who sits at the terminal, and reads everything there.
    pub(crate) fn at_terminal() -> Self {
        Self { talk: Talk::Terminal, terminal: None, progress: Progress::new(false) }
    }

    /// Somebody who started a command: what is said goes to standard error, if anywhere, and is asked for
    /// at the terminal. Where nothing is said, a program reads: how far it is, is told as JSON lines.
    pub(crate) fn of_command(is_silent: bool) -> Self {
        let talk = if is_silent { Talk::Nowhere } else { Talk::Stderr };
        Self { talk, terminal: None, progress: Progress::new(is_silent) }
    }

    fn terminal(&mut self) -> Outcome<&mut Terminal> {
        match &mut self.terminal {
            Some(terminal) => Ok(terminal),
            nobody => Ok(nobody.insert(Terminal::open()?)),
        }
    }
}

impl Seat for Local {
    fn is_taken(&mut self) -> Outcome<()> {
        self.terminal().map(drop)
    }

    fn language(&self) -> Language {
        Language::of_environment()
    }

    fn say(&mut self, text: &str) {
        match (self.talk, &mut self.terminal) {
            (Talk::Nowhere, _) => {}
            // A terminal that is gone is told of when something is asked.
            (Talk::Terminal, Some(terminal)) => drop(terminal.say(text)),
            _ => eprintln!("{}", fitted(&io::stderr(), &Charset::of_environment().fit(text))),
        }
    }

    fn ask(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.terminal()?.ask(prompt)
    }

    fn ask_signature(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.terminal()?.ask_signature(prompt)
    }

    fn ask_hidden(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.terminal()?.ask_hidden(prompt)
    }

    fn words(&mut self, heading: &str) -> Outcome<RecoveryCode> {
        words::ask(&mut self.terminal()?.screen()?, heading)
    }

    fn words_again(&mut self, heading: &str, refused: RecoveryCode, roots: &[AgePart]) -> Outcome<RecoveryCode> {
        words::ask_again(&mut self.terminal()?.screen()?, heading, refused, roots)
    }

    fn hand_over(&mut self, box_name: &str, number: u64, code: &RecoveryCode) -> Outcome<()> {
        words::show_and_have_typed_back(self.terminal()?, box_name, number, code)
    }

    fn turn(&mut self, turn: &Turn) {
        self.progress.turn(turn);
    }

    fn progress(&mut self, overview: &Overview) {
        self.progress.at(overview);
    }

    fn progress_ends(&mut self) {
        self.progress.end();
    }
}
