//! One flow: a connection to the agent, and what it says and asks until it says how it ended.

use std::{
    io,
    net::Shutdown,
    os::{
        fd::AsFd as _,
        unix::net::{SocketAddr, UnixStream},
    },
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{getsockopt, sockopt::PeerCredentials},
};
use tenwords_escrow::{
    code::RecoveryCode,
    door::{self, AgePart},
};
use tenwords_protocol::v1::V1;

use super::{
    is_given_up,
    language::Sentences,
    message::{
        self, Answer, Answered, Ended, HandOver, Kind, Message, MessageError, Op, Progress, Request, Running, Text,
    },
    paper,
};
use crate::{
    exit::Outcome,
    interrupt,
    language::Language,
    seat::Waiting,
    show::{clock, harmless, size},
    terminal::{Hushed, Terminal},
    words,
};

const LOOK_MILLISECONDS: u16 = 200;

/// A customer's flow at his terminal.
pub(super) struct Flow<'a> {
    terminal: &'a mut Terminal,
    sentences: &'static Sentences,
    language: Language,
    /// While nothing is asked: what is typed is not shown, and is forgotten.
    hushed: Option<Hushed>,
    /// A line that is written over stands on the terminal.
    in_place: bool,
}

/// What came while it was waited for.
enum Heard {
    Message(Box<Message>),
    /// Ctrl-C.
    Left,
}

/// What was answered to a question.
enum Reply {
    Line(zeroize::Zeroizing<String>),
    Words(RecoveryCode),
    HandedOver,
}

impl<'a> Flow<'a> {
    pub(super) fn new(terminal: &'a mut Terminal, sentences: &'static Sentences, language: Language) -> Self {
        Self { terminal, sentences, language, hushed: None, in_place: false }
    }

    /// Goes through it. What it ends with is for the customer to read; an error is the console's own end.
    pub(super) fn run(mut self, op: Op, socket: &Path) -> Outcome<Vec<String>> {
        let stream = match connected(socket) {
            Ok(stream) => stream,
            Err(Unconnected::Stranger) => return Ok(vec![self.sentences.stranger.to_owned()]),
            Err(Unconnected::Nobody(error)) => {
                let details = format!("  {}: {error}", socket.display());
                return Ok(vec![(self.sentences.nobody)(&socket.display().to_string()), details]);
            }
        };
        let request = Request { v: V1, op, language: self.language };
        // A server that turns us away is one that says nothing either.
        let _said_below = message::write(&mut &stream, Kind::Request, &request, &[], &[]);
        let mut heard = 0_usize;
        loop {
            match self.hear(&stream) {
                Ok(Heard::Left) => return self.end_with(self.sentences.left_alone),
                Ok(Heard::Message(message)) if message.kind() == Kind::Ended => return self.ended(&message),
                Ok(Heard::Message(message)) => {
                    heard += 1;
                    match self.take(&message, &stream) {
                        Ok(Ok(())) => {}
                        Ok(Err(MessageError::Closed | MessageError::Broken(_))) => {}
                        Ok(Err(_)) => return self.end_with(self.sentences.not_understood),
                        Err(stop) if is_given_up(&stop) => {
                            // The agent sees that nothing more comes, and says how it ends.
                            self.terminal.say("")?;
                            let _gone_already = stream.shutdown(Shutdown::Write);
                        }
                        Err(stop) => return Err(stop),
                    }
                }
                Err(_) if interrupt::is_ending() => return Err(interrupt::stop()),
                Err(MessageError::Closed | MessageError::Broken(_)) if heard == 0 => {
                    return self.end_with(self.sentences.turned_away);
                }
                Err(MessageError::Closed | MessageError::Broken(_)) => return self.end_with(self.sentences.broke_off),
                Err(_) => return self.end_with(self.sentences.not_understood),
            }
        }
    }

    /// Waits for the next frame, and for Ctrl-C.
    fn hear(&mut self, stream: &UnixStream) -> Result<Heard, MessageError> {
        let hushed = match self.hushed.take() {
            Some(hushed) => hushed,
            None => self.terminal.hush().map_err(MessageError::Broken)?,
        };
        loop {
            if interrupt::is_ending() {
                return Err(MessageError::Broken(io::ErrorKind::Interrupted.into()));
            }
            let mut waited =
                [PollFd::new(stream.as_fd(), PollFlags::POLLIN), PollFd::new(hushed.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waited, PollTimeout::from(LOOK_MILLISECONDS)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(MessageError::Broken(error.into())),
            }
            let [has_message, has_keys] = waited.map(|one| one.any().unwrap_or(false));
            if has_keys && hushed.is_left().map_err(MessageError::Broken)? {
                return Ok(Heard::Left);
            }
            if has_message {
                self.hushed = Some(hushed);
                return message::read(&mut Waiting(stream)).map(|message| Heard::Message(Box::new(message)));
            }
        }
    }

    /// Shows what is said, and answers what is asked. An error inside is the agent's, one outside the
    /// terminal's, or that the customer gave up.
    fn take(&mut self, message: &Message, stream: &UnixStream) -> Outcome<Result<(), MessageError>> {
        let reply = match message.kind() {
            Kind::Say => return self.said(message),
            Kind::Progress => return self.progress(message),
            Kind::ProgressEnds => return self.line_is_free().map(Ok),
            Kind::Ask | Kind::AskHidden | Kind::AskSignature | Kind::Words | Kind::WordsAgain | Kind::HandOver => {
                self.line_is_free()?;
                self.hushed = None;
                self.asked(message)?
            }
            Kind::Request | Kind::Answer | Kind::Ended => return Ok(Err(MessageError::Unexpected)),
        };
        let (answered, secret) = match &reply {
            Ok(Reply::Line(line)) => (Answered::Line, line.as_bytes()),
            Ok(Reply::Words(code)) => (Answered::Words, code.expose_passphrase().as_bytes()),
            Ok(Reply::HandedOver) => (Answered::HandedOver, &[][..]),
            Err(_) => return Ok(reply.map(drop)),
        };
        Ok(message::write(&mut &*stream, Kind::Answer, &Answer { answered }, secret, &[]))
    }

    fn asked(&mut self, message: &Message) -> Outcome<Result<Reply, MessageError>> {
        let kind = message.kind();
        if kind == Kind::HandOver {
            let (what, code) = match message.text::<HandOver>(kind).and_then(|what| Ok((what, code(message)?))) {
                Ok(both) => both,
                Err(error) => return Ok(Err(error)),
            };
            let name = harmless(&what.box_name, 64);
            words::show_and_have_typed_back(self.terminal, &name, what.number, &code)?;
            return Ok(Ok(Reply::HandedOver));
        }
        let text = match message.text::<Text>(kind) {
            Ok(text) => paper::lines(&text.text).collect::<Vec<_>>().join("\n"),
            Err(error) => return Ok(Err(error)),
        };
        match kind {
            Kind::Words => words::ask(&mut self.terminal.screen()?, &text).map(|code| Ok(Reply::Words(code))),
            Kind::WordsAgain => match code(message).and_then(|code| Ok((code, roots(message)?))) {
                Ok((refused, roots)) => {
                    let code = words::ask_again(&mut self.terminal.screen()?, &text, refused, &roots)?;
                    Ok(Ok(Reply::Words(code)))
                }
                Err(error) => Ok(Err(error)),
            },
            _ => {
                // Before the prompt, lines that are only said.
                let (above, prompt) = text.rsplit_once('\n').unwrap_or(("", &text));
                if !above.is_empty() {
                    paper::say(self.terminal, above)?;
                }
                let line = match kind {
                    Kind::AskHidden => self.terminal.ask_hidden(prompt),
                    Kind::AskSignature => self.terminal.ask_signature(prompt),
                    _ => self.terminal.ask(prompt),
                };
                line.map(|line| Ok(Reply::Line(line)))
            }
        }
    }

    fn said(&mut self, message: &Message) -> Outcome<Result<(), MessageError>> {
        let text = match message.text::<Text>(Kind::Say) {
            Ok(text) => text.text,
            Err(error) => return Ok(Err(error)),
        };
        self.line_is_free()?;
        paper::say(self.terminal, &text).map(Ok)
    }

    fn progress(&mut self, message: &Message) -> Outcome<Result<(), MessageError>> {
        let progress = match message.text(Kind::Progress) {
            Ok(progress) => progress,
            Err(error) => return Ok(Err(error)),
        };
        self.in_place = true;
        self.terminal.say_in_place(&in_one_line(&progress)).map(Ok)
    }

    /// The line that is written over is empty then.
    fn line_is_free(&mut self) -> Outcome<()> {
        if std::mem::take(&mut self.in_place) { self.terminal.say_in_place("") } else { Ok(()) }
    }

    fn ended(mut self, message: &Message) -> Outcome<Vec<String>> {
        let Ok(Ended { plain, lines, .. }) = message.text(Kind::Ended) else {
            return self.end_with(self.sentences.not_understood);
        };
        self.line_is_free()?;
        let mut end = vec![String::new()];
        end.extend(plain);
        if !lines.is_empty() {
            end.extend([String::new(), self.sentences.details.to_owned()]);
            end.extend(lines.iter().map(|line| format!("  {line}")));
        }
        Ok(end)
    }

    fn end_with(&mut self, sentence: &str) -> Outcome<Vec<String>> {
        self.line_is_free()?;
        Ok(vec![String::new(), sentence.to_owned()])
    }
}

/// Without a word, and so in every language. The numbers of the whole come first: they are what counts,
/// where the line is short.
fn in_one_line(progress: &Progress) -> String {
    let Progress { back, missing, count, bytes, of, seconds_left, running, more } = progress;
    let left = seconds_left.map(|seconds| format!("  -{}", clock(Duration::from_secs(seconds)))).unwrap_or_default();
    let missing = if *missing == 0 { String::new() } else { format!(" (!{missing})") };
    let mut line = format!("  {} / {}{left}  {back} / {count}{missing}", size(*bytes.min(of)), size(*of));
    for Running { name, step, bytes, of } in running {
        let step = step.as_ref().map(|step| format!(": {step}")).unwrap_or_default();
        let name = harmless(&format!("{name}{step}"), 60);
        line.push_str(&format!("  | {name} {} / {}", size(*bytes.min(of)), size(*of)));
    }
    if *more > 0 {
        line.push_str(&format!("  | +{more}"));
    }
    line
}

enum Unconnected {
    /// The server is neither root's nor ours.
    Stranger,
    Nobody(io::Error),
}

/// A connection to the agent: words go to root, who could read them anyway, or to ourselves.
fn connected(socket: &Path) -> Result<UnixStream, Unconnected> {
    let address = SocketAddr::from_pathname(socket).map_err(Unconnected::Nobody)?;
    let stream = UnixStream::connect_addr(&address).map_err(Unconnected::Nobody)?;
    let server = getsockopt(&stream, PeerCredentials).map_err(|error| Unconnected::Nobody(error.into()))?;
    if server.uid() != 0 && server.uid() != nix::unistd::geteuid().as_raw() {
        return Err(Unconnected::Stranger);
    }
    Ok(stream)
}

/// The ten words of a frame.
fn code(message: &Message) -> Result<RecoveryCode, MessageError> {
    let text = std::str::from_utf8(message.expose_secret()).map_err(|_| MessageError::Unexpected)?;
    RecoveryCode::parse(text).map_err(|_| MessageError::Unexpected)
}

/// The roots of a frame, through the one door.
fn roots(message: &Message) -> Result<Vec<AgePart>, MessageError> {
    message.blobs().iter().map(|blob| door::check_root(blob).map_err(|_| MessageError::Unexpected)).collect()
}
