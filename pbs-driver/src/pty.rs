//! Talking to a child on a pty. The only module that knows portable-pty.
//!
//! The secret is written once per question, in one piece with one CR, and only while the terminal
//! has ECHO and ICANON off. What the terminal shows from then on is thrown away up to the end of the
//! answer, but for the prompts in it. Buffers that may hold the secret are of fixed size (growing
//! would leave copies behind) and wiped.
//!
//! portable-pty's manners, and what is done about them (`stack-facts.md` §3): it hands over our whole
//! environment (cleared first); all three streams are the pty (one transcript); its writer types a
//! newline and Ctrl-D when dropped (kept until the child is reaped); its `kill` reaches one process
//! ([`crate::group`] ends the group instead); its reader blocks (polled before each read, so no
//! thread is left in it); between fork and exec it allocates (the spawn has a deadline); it starts
//! the child in a session of its own, so none of our terminals is needed; it closes inherited
//! descriptors. It brings a nix of its own, so terminal flags are compared by their bits.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use filedescriptor::{POLLIN, poll, pollfd};
use nix::sys::termios::LocalFlags;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use zeroize::Zeroizing;

use crate::{
    conversation::{Conversation, QUESTIONS, Secrets, Step, Terminal},
    environment::Environment,
    group::{Exit, Group, Reap},
    process::{RunError, within},
};

/// One run of one conversation.
pub(crate) struct Talk<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [OsString],
    pub(crate) environment: &'a Environment,
    pub(crate) conversation: &'a Conversation,
    pub(crate) spawn: Duration,
    /// For each prompt, and for the terminal's readiness after it.
    pub(crate) prompt: Duration,
    pub(crate) whole: Duration,
}

/// A conversation that the child ended by itself.
pub(crate) struct Ending {
    pub(crate) exit: Exit,
    /// What followed the last answer (or all, if none was given). May still hold the secret if the
    /// child is not what it should be: wiped, and shown through [`crate::scrub`] only.
    pub(crate) said: Zeroizing<Vec<u8>>,
    /// Whether all questions were asked and answered.
    pub(crate) complete: bool,
}

/// Why a conversation was broken off.
pub(crate) enum TalkError {
    Run(RunError),
    /// The awaited prompt did not come; what did, while nothing had been sent yet.
    NoPrompt {
        prompt: &'static str,
        said: Option<Zeroizing<Vec<u8>>>,
    },
    /// It asked, but went on showing what is typed; nothing was sent.
    EchoStaysOn {
        prompt: &'static str,
    },
    /// It asked something else, or again.
    Unexpected {
        question: &'static str,
    },
}

/// Holds it from the first prompt to the end of the child.
pub(crate) fn talk(talk: &Talk<'_>, secrets: &Secrets<'_>) -> Result<Ending, TalkError> {
    let began = Instant::now();
    let mut terminal = open(talk)?;
    let whole = began + talk.whole;
    for (number, step) in talk.conversation.steps.iter().enumerate() {
        let until = whole.min(Instant::now() + talk.prompt);
        if terminal.await_prompt(step, until, number == 0)? == Awaited::Ended {
            return Ok(terminal.ending(number > 0, false));
        }
        if terminal.await_terminal(step, until)? == Awaited::Ended {
            return Ok(terminal.ending(number > 0, false));
        }
        let secret = secrets.answer(step.send).ok_or_else(|| broken("nothing to answer with"))?;
        let mut answer = Zeroizing::new(Vec::with_capacity(secret.len() + 1));
        answer.extend_from_slice(secret.as_bytes());
        answer.push(b'\r');
        terminal.shown.clear();
        terminal.writer.write_all(&answer).map_err(|error| TalkError::Run(RunError::Pipe(error)))?;
    }
    terminal.await_end(whole)?;
    Ok(terminal.ending(true, true))
}

#[derive(PartialEq, Eq)]
enum Awaited {
    Came,
    Ended,
}

/// Our side of the pty. The order of the fields is the order of their end: the child first, and the
/// writer, whose drop types into the terminal, when nobody is there to read it.
struct Side {
    group: Group,
    reader: Box<dyn Read + Send>,
    writer: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    /// What has been shown since the last answer was sent.
    shown: Shown,
    /// Nobody holds the other side any more.
    silent: bool,
    ended: bool,
}

impl Side {
    fn await_prompt(&mut self, step: &Step, until: Instant, nothing_sent: bool) -> Result<Awaited, TalkError> {
        loop {
            match self.shown.question() {
                Some(question) if question == step.prompt => return Ok(Awaited::Came),
                Some(question) => return Err(TalkError::Unexpected { question }),
                None if self.ended => return Ok(Awaited::Ended),
                None if Instant::now() >= until => {
                    let said = nothing_sent.then(|| Zeroizing::new(self.shown.bytes().to_vec()));
                    return Err(TalkError::NoPrompt { prompt: step.prompt, said });
                }
                None => self.look()?,
            }
        }
    }

    fn await_terminal(&mut self, step: &Step, until: Instant) -> Result<Awaited, TalkError> {
        loop {
            // A terminal whose other side is gone still answers, with ECHO on: look at the child too.
            if self.ended {
                return Ok(Awaited::Ended);
            }
            if self.is(step.terminal) {
                return Ok(Awaited::Came);
            }
            if Instant::now() >= until {
                return Err(TalkError::EchoStaysOn { prompt: step.prompt });
            }
            self.look()?;
        }
    }

    fn await_end(&mut self, until: Instant) -> Result<(), TalkError> {
        while !self.ended {
            if Instant::now() >= until {
                return Err(TalkError::Run(RunError::TimedOut));
            }
            self.look()?;
            if let Some(question) = self.shown.question() {
                return Err(TalkError::Unexpected { question });
            }
        }
        Ok(())
    }

    fn ending(mut self, answered: bool, complete: bool) -> Ending {
        let exit = self.group.end();
        let said = Zeroizing::new(if answered { self.shown.after_answer() } else { self.shown.bytes() }.to_vec());
        Ending { exit, said, complete }
    }

    fn is(&self, terminal: Terminal) -> bool {
        let Terminal::Raw = terminal;
        let flags = (LocalFlags::ECHO | LocalFlags::ICANON).bits();
        self.master.get_termios().is_some_and(|termios| termios.local_flags.bits() & flags == 0)
    }

    /// Takes what the child has shown, waiting for a tick at most.
    fn look(&mut self) -> Result<(), TalkError> {
        let over = self.group.look().is_some();
        if over {
            // What it left running would keep the terminal open.
            self.group.end();
        }
        while !self.silent {
            if !self.readable()? {
                break;
            }
            self.silent = !self.shown.read(&mut self.reader)?;
            if !over {
                return Ok(());
            }
        }
        // A stray in a session of its own may keep the terminal open after the child's end; a child
        // may close its side of the terminal before its end. It is over when the child is.
        self.ended = over;
        if self.silent && !over {
            thread::sleep(TICK);
        }
        Ok(())
    }

    fn readable(&self) -> Result<bool, TalkError> {
        let fd = self.master.as_raw_fd().ok_or_else(|| broken("the pty has no descriptor"))?;
        let mut fds = [pollfd { fd, events: POLLIN, revents: 0 }];
        match poll(&mut fds, Some(TICK)) {
            Ok(_) => Ok(fds[0].revents != 0),
            // A signal to us is no event of the child's.
            Err(filedescriptor::Error::Poll(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(TalkError::Run(RunError::Pipe(io::Error::other(error)))),
        }
    }
}

/// What a terminal showed, in a buffer that is never moved and wiped at the end. A child that shows
/// more than fits is not holding this conversation.
struct Shown(Zeroizing<Vec<u8>>);

impl Shown {
    fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(ROOM)))
    }

    fn clear(&mut self) {
        self.0.fill(0);
        self.0.clear();
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Behind the end of the answer's line: before it, a terminal that was not as it should be may
    /// have shown the answer itself. (An answer that was cut short has no end of line: stars alone, and
    /// then the error.)
    fn after_answer(&self) -> &[u8] {
        let stars = self.0.iter().take_while(|byte| **byte == b'*').count();
        if self.0[stars..].starts_with(b"Error: ") {
            return &self.0[stars..];
        }
        match self.0.iter().position(|byte| *byte == b'\n') {
            Some(end) => &self.0[end + 1..],
            None => &[],
        }
    }

    /// The first known question in it.
    fn question(&self) -> Option<&'static str> {
        QUESTIONS
            .iter()
            .filter_map(|question| {
                let prompt = question.prompt;
                let found = self.0.windows(prompt.len()).position(|window| window == prompt.as_bytes());
                found.map(|place| (place, prompt))
            })
            .min()
            .map(|(_, question)| question)
    }

    /// Takes one piece; `false` at the end.
    fn read(&mut self, reader: &mut dyn Read) -> Result<bool, TalkError> {
        let filled = self.0.len();
        let room = (ROOM - filled).min(PIECE);
        if room == 0 {
            return Err(TalkError::Run(RunError::TooMuch));
        }
        self.0.resize(filled + room, 0);
        let result = reader.read(&mut self.0[filled..]);
        self.0.truncate(filled + result.as_ref().copied().unwrap_or(0));
        match result {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => Ok(true),
            Err(error) => Err(TalkError::Run(RunError::Pipe(error))),
        }
    }
}

/// The child as portable-pty hands it out.
struct OnPty(Box<dyn Child + Send + Sync>);

impl Reap for OnPty {
    fn id(&self) -> Option<u32> {
        self.0.process_id()
    }

    fn reap(&mut self) -> io::Result<()> {
        self.0.wait().map(drop)
    }
}

fn open(talk: &Talk<'_>) -> Result<Side, TalkError> {
    let mut command = CommandBuilder::new(talk.program);
    command.args(talk.args);
    command.env_clear();
    for (name, value) in talk.environment.iter() {
        command.env(name, value);
    }
    command.cwd(talk.environment.home());
    command.umask(Some(0o077));
    // portable-pty's errors cannot be told apart; their text says what the system said.
    within(talk.spawn, move || {
        let pair = native_pty_system().openpty(PtySize::default()).map_err(io::Error::other)?;
        let reader = pair.master.try_clone_reader().map_err(io::Error::other)?;
        let child = pair.slave.spawn_command(command).map_err(io::Error::other)?;
        let group = Group::new(Box::new(OnPty(child)))?;
        // Once the child's side is open only in the child, its end is the terminal's end.
        drop(pair.slave);
        let writer = pair.master.take_writer().map_err(io::Error::other)?;
        Ok(Side { group, reader, writer, master: pair.master, shown: Shown::new(), silent: false, ended: false })
    })
    .map_err(TalkError::Run)
}

fn broken(fact: &'static str) -> TalkError {
    TalkError::Run(RunError::Pipe(io::Error::other(fact)))
}

/// All that a key conversation shows is a few hundred bytes, and a star per byte typed.
const ROOM: usize = 64 * 1024;
const PIECE: usize = 4096;
const TICK: Duration = Duration::from_millis(5);
