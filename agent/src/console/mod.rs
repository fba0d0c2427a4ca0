//! The console: where the customer sits, without rights.
//!
//! A menu in plain words. Each choice is a flow that the agent does on its side of a socket; what is
//! typed here is handed over there, and only to a server that is root's. The console reads no
//! configuration and no state, keeps nothing, and can do nothing to the box but ask.

mod flow;
pub(crate) mod language;
pub(crate) mod message;
mod paper;

use std::path::Path;

use self::{flow::Flow, language::Sentences, message::Op};
use crate::{
    exit::{Code, OrStop as _, Outcome},
    interrupt,
    language::Language,
    settings,
    terminal::Terminal,
};

/// `console`.
pub(crate) fn run(socket: Option<&Path>) -> Outcome<()> {
    let mut terminal = Terminal::open()?;
    // Not before: a process without rights that is not dumpable cannot open its own descriptors.
    nix::sys::prctl::set_dumpable(false).or_stop(Code::Internal, || "cannot switch core files off".into())?;
    let socket = socket.unwrap_or(Path::new(settings::CONSOLE_SOCKET));
    let mut language = Language::of_environment();
    loop {
        terminal.speak(language);
        let sentences = language::sentences(language);
        let Some(choice) = choice(&mut terminal, sentences)? else { return Ok(()) };
        let op = match choice {
            0 => return Ok(()),
            1 => Op::Status,
            2 => Op::Ceremony,
            3 => Op::DrillWords,
            4 => Op::Recover,
            5 => Op::LostWords,
            _ => {
                language = match language {
                    Language::English => Language::German,
                    Language::German => Language::English,
                };
                continue;
            }
        };
        let end = Flow::new(&mut terminal, sentences, language).run(op, socket)?;
        if !go_back(&mut terminal, sentences, &end)? {
            return Ok(());
        }
    }
}

/// Shows the menu until a number of it was typed; nothing if the console was left.
fn choice(terminal: &mut Terminal, sentences: &Sentences) -> Outcome<Option<usize>> {
    let mut lines = vec![String::new(), sentences.title.to_owned(), String::new()];
    lines.extend(sentences.choices.iter().zip(1..).map(|(choice, number): (_, usize)| format!("  {number}  {choice}")));
    lines.push(format!("  0  {}", sentences.leave));
    lines.push(String::new());
    lines.iter().try_for_each(|line| paper::say(terminal, line))?;
    loop {
        let Some(line) = asked(terminal, sentences.which)? else { return Ok(None) };
        match line.trim().parse() {
            Ok(number) if number <= sentences.choices.len() => return Ok(Some(number)),
            _ => paper::say(terminal, sentences.no_such_choice)?,
        }
    }
}

/// Shows how a flow ended, and waits until that was read. Whether the console goes on.
fn go_back(terminal: &mut Terminal, sentences: &Sentences, end: &[String]) -> Outcome<bool> {
    let shown = paper::read(terminal, end, sentences.more);
    if let Err(stop) = shown {
        // Ctrl-C: enough was read.
        return if is_given_up(&stop) { terminal.say("").map(|()| true) } else { Err(stop) };
    }
    terminal.say("")?;
    asked(terminal, sentences.go_back).map(|answer| answer.is_some())
}

/// A typed line; nothing if Ctrl-C or the end of the input came instead.
fn asked(terminal: &mut Terminal, prompt: &str) -> Outcome<Option<zeroize::Zeroizing<String>>> {
    match terminal.ask(prompt) {
        Ok(line) => Ok(Some(line)),
        Err(stop) if is_given_up(&stop) => terminal.say("").map(|()| None),
        Err(stop) => Err(stop),
    }
}

/// Given up at a prompt, and not told to end.
fn is_given_up(stop: &crate::exit::Stop) -> bool {
    stop.code == Code::Interrupted && !interrupt::is_ending()
}
