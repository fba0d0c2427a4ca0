//! The console behind a socket, on the agent's side: somebody without rights sits there, and hands the
//! ten words over.
//!
//! What the console answers is parsed here as what anybody typed would be. A console that has gone ends
//! nothing that needs no answer: what is said is lost, and the next question is an error.

use std::{
    io::{self, Read},
    os::{fd::AsFd as _, unix::net::UnixStream},
    time::{Duration, Instant},
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Serialize;
use tenwords_escrow::{code::RecoveryCode, door::AgePart};
use zeroize::Zeroizing;

use super::{Overview, Seat, Turn};
use crate::{
    console::message::{self, Answer, Answered, BLOBS, Ended, HandOver, Kind, Message, MessageError, Progress, Text},
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    language::Language,
};

/// A console that takes nothing for so long is one that has gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// Progress is told so often.
const OFTEN: Duration = Duration::from_millis(500);
/// So much is said in one frame, whatever of it must be escaped.
const PIECE: usize = 8 << 10;

/// The console at the other end of standard input.
pub(crate) struct Remote {
    stream: UnixStream,
    gone: bool,
    language: Language,
    told: Option<Instant>,
}

/// A stream, a wait on which ends when the command is to end.
pub(crate) struct Waiting<'a>(pub(crate) &'a UnixStream);

impl Remote {
    /// Takes the socket from standard input, which no child of ours inherits then.
    pub(crate) fn at_standard_input() -> Outcome<Self> {
        let cannot = || "there is no console behind standard input".to_owned();
        let stream = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).or_stop(Code::Usage, cannot)?;
        getsockopt(&stream, PeerCredentials).or_stop(Code::Usage, cannot)?;
        let nothing = std::fs::File::open("/dev/null").or_stop(Code::Internal, cannot)?;
        nix::unistd::dup2_stdin(&nothing).or_stop(Code::Internal, cannot)?;
        Self::on(stream).or_stop(Code::Internal, cannot)
    }

    fn on(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, gone: false, language: Language::of_environment(), told: None })
    }

    /// Says how it ended. Lines for which one frame is too small are said before.
    pub(crate) fn ends(&mut self, exit_code: u8, plain: Vec<String>, mut lines: Vec<String>) {
        let bytes = |lines: &[String]| lines.iter().map(|line| line.len() + 1).sum::<usize>();
        if bytes(&lines) > PIECE {
            self.say(&lines.join("\n"));
            lines.clear();
        }
        self.tell(Kind::Ended, &Ended { exit_code, plain, lines });
    }

    /// What needs no answer may be lost.
    fn tell(&mut self, kind: Kind, text: &impl Serialize) {
        if let Err(error) = self.send(kind, text, &[], &[]) {
            tracing::debug!(?kind, %error, "the console was not told");
        }
    }

    fn send(&mut self, kind: Kind, text: &impl Serialize, secret: &[u8], blobs: &[&[u8]]) -> Result<(), MessageError> {
        if self.gone {
            return Err(MessageError::Closed);
        }
        let sent = message::write(&mut &self.stream, kind, text, secret, blobs);
        if matches!(sent, Err(MessageError::Broken(_))) {
            // A frame may be there by half: nothing can follow it.
            self.gone = true;
            let _closed_already = self.stream.shutdown(std::net::Shutdown::Both);
        }
        sent
    }

    /// Asks, and waits for the answer.
    fn question(
        &mut self,
        kind: Kind,
        text: &impl Serialize,
        secret: &[u8],
        blobs: &[&[u8]],
        due: Answered,
    ) -> Outcome<Message> {
        let asked = self.send(kind, text, secret, blobs);
        let answer = asked.and_then(|()| {
            let message = message::read(&mut Waiting(&self.stream))?;
            match message.text::<Answer>(Kind::Answer)?.answered {
                answered if answered == due => Ok(message),
                _ => Err(MessageError::Unexpected),
            }
        });
        answer.map_err(|error| self.unanswered(error))
    }

    fn unanswered(&self, error: MessageError) -> Stop {
        match error {
            _ if interrupt::is_ending() => interrupt::stop(),
            MessageError::Closed => Stop::new(Code::Interrupted, self.sentences().given_up),
            MessageError::Broken(_) => Stop::new(Code::Interrupted, self.sentences().gone).because(error),
            error => Stop::new(Code::Internal, "the console's answer is not one that was due").because(error),
        }
    }

    fn asked_line(&mut self, kind: Kind, prompt: &str) -> Outcome<Zeroizing<String>> {
        let message = self.question(kind, &text(prompt), &[], &[], Answered::Line)?;
        let line = typed(&message)?;
        let mut copy = Zeroizing::new(String::with_capacity(line.len()));
        copy.push_str(line);
        Ok(copy)
    }

    fn asked_words(&mut self, kind: Kind, heading: &str, secret: &[u8], blobs: &[&[u8]]) -> Outcome<RecoveryCode> {
        let message = self.question(kind, &text(heading), secret, blobs, Answered::Words)?;
        RecoveryCode::parse(typed(&message)?)
            .or_stop(Code::WordsWrong, || "what the console hands over is not ten words of the list".into())
    }
}

impl Seat for Remote {
    fn is_taken(&mut self) -> Outcome<()> {
        if self.gone { Err(self.unanswered(MessageError::Closed)) } else { Ok(()) }
    }

    fn language(&self) -> Language {
        self.language
    }

    fn say(&mut self, said: &str) {
        pieces(said).for_each(|piece| self.tell(Kind::Say, &text(piece)));
    }

    fn ask(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.asked_line(Kind::Ask, prompt)
    }

    fn ask_signature(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.asked_line(Kind::AskSignature, prompt)
    }

    fn ask_hidden(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.asked_line(Kind::AskHidden, prompt)
    }

    fn words(&mut self, heading: &str) -> Outcome<RecoveryCode> {
        self.asked_words(Kind::Words, heading, &[], &[])
    }

    fn words_again(&mut self, heading: &str, refused: RecoveryCode, roots: &[AgePart]) -> Outcome<RecoveryCode> {
        let roots: Vec<&[u8]> = roots.iter().take(BLOBS).map(AgePart::bytes).collect();
        self.asked_words(Kind::WordsAgain, heading, refused.expose_passphrase().as_bytes(), &roots)
    }

    fn hand_over(&mut self, box_name: &str, number: u64, code: &RecoveryCode) -> Outcome<()> {
        let what = HandOver { box_name: box_name.to_owned(), number };
        let words = code.expose_passphrase().as_bytes();
        self.question(Kind::HandOver, &what, words, &[], Answered::HandedOver).map(drop)
    }

    fn turn(&mut self, _: &Turn) {
        // What runs and how many are back stands in the progress, the rest in the report.
    }

    fn progress(&mut self, overview: &Overview) {
        if self.told.is_some_and(|told| told.elapsed() < OFTEN) {
            return;
        }
        self.told = Some(Instant::now());
        self.tell(Kind::Progress, &Progress::of(overview));
    }

    fn progress_ends(&mut self) {
        if self.told.take().is_some() {
            self.tell(Kind::ProgressEnds, &text(""));
        }
    }
}

impl Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            interrupt::wait_readable(self.0)?;
            match self.0.read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                read => return read,
            }
        }
    }
}

fn text(text: &str) -> Text {
    Text { text: cut(text).to_owned() }
}

fn typed(message: &Message) -> Outcome<&str> {
    std::str::from_utf8(message.expose_secret()).or_stop(Code::Usage, || "what was typed is not UTF-8 text".into())
}

/// As much of a text as one frame takes.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(PIECE)]
}

/// The whole text in pieces that a frame takes, broken at line ends where it can be.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    let mut is_first = true;
    std::iter::from_fn(move || {
        if text.is_empty() && !std::mem::take(&mut is_first) {
            return None;
        }
        is_first = false;
        let most = cut(text);
        let end = if most.len() == text.len() { None } else { most.rfind('\n').filter(|at| *at > 0) };
        let (piece, rest) = match end {
            Some(end) => (&text[..end], &text[end + 1..]),
            None => (most, &text[most.len()..]),
        };
        text = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seat::Moment;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const WORDS: &str = "abacus abdomen abdominal abide abiding ability ablaze able abnormal abrasion";

    fn seat() -> io::Result<(Remote, UnixStream)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Remote::on(one)?, other))
    }

    /// A hundred things with long names run at once.
    fn overview(bytes: u64) -> Overview {
        let name = "ä\u{1}".repeat(10_000);
        let moment = |number| Moment {
            number,
            name: name.clone(),
            step: Some(name.clone()),
            bytes,
            of: 1000,
            speed: Some(1),
            left: Some(Duration::from_secs(1)),
        };
        let running = (1..=100).map(moment).collect();
        let (speed, left) = (None, None);
        Overview { since: Duration::ZERO, back: 1, missing: 2, count: 103, bytes, of: 1000, speed, left, running }
    }

    fn answer(console: &mut UnixStream, answered: Answered, secret: &[u8]) -> Result<(), MessageError> {
        message::write(console, Kind::Answer, &Answer { answered }, secret, &[])
    }

    #[test]
    fn words_are_parsed_again_and_not_taken_as_they_come() -> Tested {
        let (mut seat, mut console) = seat()?;
        answer(&mut console, Answered::Words, format!(" 1. {}", WORDS.to_uppercase()).as_bytes())?;
        let code = seat.words("asked").map_err(|stop| stop.what)?;
        assert_eq!(code.expose_passphrase(), WORDS);
        for (secret, expected) in [
            (&b"abacus"[..], Code::WordsWrong),
            (b"ten words that are none of the list at all", Code::WordsWrong),
            (b"\xff\xfe", Code::Usage),
        ] {
            answer(&mut console, Answered::Words, secret)?;
            assert_eq!(seat.words("asked").err().map(|stop| stop.code), Some(expected));
        }
        Ok(())
    }

    #[test]
    fn a_hidden_line_is_asked_for_as_one() -> Tested {
        let (mut seat, mut console) = seat()?;
        answer(&mut console, Answered::Line, b"6ae6fdf0")?;
        assert_eq!(seat.ask_hidden("The secret: ").map_err(|stop| stop.what)?.as_str(), "6ae6fdf0");
        assert_eq!(message::read(&mut console)?.kind(), Kind::AskHidden);
        Ok(())
    }

    #[test]
    fn an_answer_to_another_question_is_none() -> Tested {
        let (mut seat, mut console) = seat()?;
        let code = RecoveryCode::parse(WORDS)?;
        answer(&mut console, Answered::Line, b"y")?;
        assert_eq!(seat.hand_over("mill", 1, &code).err().map(|stop| stop.code), Some(Code::Internal));
        answer(&mut console, Answered::HandedOver, b"")?;
        assert_eq!(seat.ask("Does this fit?").err().map(|stop| stop.code), Some(Code::Internal));
        message::write(&mut console, Kind::Say, &text("y"), &[], &[])?;
        assert_eq!(seat.ask("Does this fit?").err().map(|stop| stop.code), Some(Code::Internal));
        Ok(())
    }

    #[test]
    fn a_console_that_has_gone_is_told_nothing_and_its_next_question_is_an_interruption() -> Tested {
        let (mut seat, console) = seat()?;
        drop(console);
        for _ in 0..3 {
            seat.say("1 Looking …");
            seat.progress(&overview(1));
            seat.progress_ends();
        }
        assert_eq!(seat.ask("?").err().map(|stop| stop.code), Some(Code::Interrupted));
        assert_eq!(seat.is_taken().err().map(|stop| stop.code), Some(Code::Interrupted));
        seat.ends(130, Vec::new(), Vec::new());

        // One that is left at the question alone is still told how it ends.
        let (mut seat, mut console) = self::seat()?;
        console.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(seat.words("asked").err().map(|stop| stop.code), Some(Code::Interrupted));
        seat.ends(130, vec!["given up".into()], Vec::new());
        assert_eq!(message::read(&mut console)?.kind(), Kind::Words);
        assert_eq!(message::read(&mut console)?.text::<Ended>(Kind::Ended)?.plain, ["given up"]);
        Ok(())
    }

    #[test]
    fn progress_is_told_at_most_twice_a_second_and_what_is_long_in_pieces() -> Tested {
        let (mut seat, mut console) = seat()?;
        let mut everything = overview(0);
        for bytes in 0..1000 {
            everything.bytes = bytes;
            seat.progress(&everything);
        }
        seat.progress_ends();
        let told = message::read(&mut console)?.text::<Progress>(Kind::Progress)?;
        assert_eq!((told.bytes, told.of, told.running.len(), told.more), (0, 1000, 4, 96));
        assert!(told.running.iter().all(|running| running.name.len() <= 400));
        let mut kinds = Vec::new();
        while kinds.last() != Some(&Kind::ProgressEnds) {
            kinds.push(message::read(&mut console)?.kind());
        }
        assert!(kinds.len() < 20, "{} frames", kinds.len());

        let line = "\u{1}ä".repeat(700);
        let long = [line.as_str(); 20].join("\n");
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            while read.len() < 20 {
                let piece = message::read(&mut console)?.text::<Text>(Kind::Say)?.text;
                read.extend(piece.split('\n').map(str::to_owned));
            }
            Ok::<_, MessageError>(read)
        });
        seat.say(&long);
        let read = reading.join().map_err(|_| "the reader panicked")??;
        assert!(read.iter().all(|read| *read == line));
        assert_eq!(pieces("").collect::<Vec<_>>(), [""]);
        assert_eq!(pieces(&"x".repeat(PIECE + 1)).map(str::len).collect::<Vec<_>>(), [PIECE, 1]);
        Ok(())
    }
}
