//! A question to the operator, on stderr.

use std::io::{BufRead as _, IsTerminal as _};

use crate::failure::Failure;

/// What was typed; without a terminal to ask at, nothing.
pub(super) fn line(question: &str) -> Option<String> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    eprint!("{question}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).ok().map(|_| line.trim().to_owned())
}

/// Goes on only after a yes.
pub(super) fn yes(question: &str) -> Result<(), Failure> {
    let refused = |what: &str| Failure::usage("not_confirmed", what, "to do it without being asked, add --yes");
    match line(&format!("{question} [y/N] ")).as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        Some(_) => Err(refused("nothing was done")),
        None => Err(refused("nothing was done: there is no terminal to ask at")),
    }
}
