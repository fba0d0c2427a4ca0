//! Asking for a passphrase on the terminal, with the client's manners.
//!
//! The prompt is printed first and only then is the terminal set raw (ECHO, ICANON, ISIG, OPOST and
//! ICRNL off), one `*` is shown per byte, and the former settings come back after each answer. CR or
//! LF ends an answer, so does 0x04; 0x03 cancels; 0x7f erases a byte; TAB is no data and ends the
//! asterisks. (`formats.md` §11.4, transcripts `cd` and `y`.) What is typed stays in one wiped buffer
//! and is never written anywhere.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal as _, Read, Write},
    os::fd::AsFd as _,
};

use nix::sys::termios::{InputFlags, LocalFlags, OutputFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::Error;

/// More than this cannot be typed.
const LONGEST: usize = 64 * 1024;

/// Whether questions can be asked at all.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Asks once and returns the bytes of the answer, which are UTF-8.
pub(crate) fn ask(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut output: Box<dyn Write> = if io::stdout().is_terminal() {
        Box::new(io::stdout())
    } else {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty");
        Box::new(tty.map_err(|_| Error::NoControllingTerminal)?)
    };
    output.write_all(prompt.as_bytes()).and_then(|()| output.flush()).map_err(Error::Terminal)?;
    let answer = {
        let _raw = Raw::set()?;
        read_answer(&mut Keys, &mut output)?
    };
    match std::str::from_utf8(&answer) {
        Ok(_) => Ok(answer),
        Err(source) => Err(Error::AnswerNotText(source)),
    }
}

/// A new passphrase and its repetition: they are compared first, the length is looked at second.
pub(crate) fn ask_new(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let first = ask(prompt)?;
    let second = ask("Verify Password: ")?;
    if *first != *second {
        return Err(Error::PassphrasesDiffer);
    }
    if first.len() < SHORTEST {
        return Err(Error::NewPassphraseTooShort);
    }
    Ok(first)
}

/// The least number of bytes of a passphrase.
pub(crate) const SHORTEST: usize = 5;

/// Standard input read byte by byte, so that type-ahead stays in the terminal for the next question.
struct Keys;

impl Read for Keys {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        nix::unistd::read(io::stdin().as_fd(), buffer).map_err(io::Error::from)
    }
}

fn read_answer(input: &mut impl Read, output: &mut impl Write) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut answer = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut asterisks = true;
    let mut byte = Zeroizing::new([0_u8; 1]);
    loop {
        match input.read(&mut byte[..]) {
            Ok(0) => return Err(Error::Cancelled),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Terminal(error)),
        }
        let shown: &[u8] = match byte[0] {
            b'\r' | b'\n' => {
                output.write_all(b"\r\n").and_then(|()| output.flush()).map_err(Error::Terminal)?;
                return Ok(answer);
            }
            0x04 => return Ok(answer),
            0x03 => return Err(Error::Cancelled),
            0x7f => {
                if answer.pop().is_some() && asterisks {
                    b"\x08 \x08"
                } else {
                    b""
                }
            }
            b'\t' => {
                asterisks = false;
                b""
            }
            _ if answer.len() == LONGEST => return Err(Error::Cancelled),
            byte => {
                answer.push(byte);
                if asterisks { b"*" } else { b"" }
            }
        };
        output.write_all(shown).and_then(|()| output.flush()).map_err(Error::Terminal)?;
    }
}

/// The terminal set raw until this is dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn set() -> Result<Self, Error> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd()).map_err(|errno| Error::Terminal(errno.into()))?;
        let mut raw = before.clone();
        raw.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        raw.output_flags.remove(OutputFlags::OPOST);
        raw.input_flags.remove(InputFlags::ICRNL);
        // Now, not after a flush: what was typed ahead counts.
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).map_err(|errno| Error::Terminal(errno.into()))?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &self.before).is_err() {
            // The terminal is gone; there is nothing left to restore.
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn keys_mean_what_the_transcripts_show() {
        let cases: &[(&[u8], &[u8], &[u8])] = &[
            (b"abc\r", b"abc", b"***\r\n"),
            (b"abc\n", b"abc", b"***\r\n"),
            (b"abc\x04", b"abc", b"***"),
            (b"abxx\x7f\x7fc\r", b"abc", b"****\x08 \x08\x08 \x08*\r\n"),
            (b"\x7fa\r", b"a", b"*\r\n"),
            (b"a\x08b\r", b"a\x08b", b"***\r\n"),
            (b"ab\tcd\x7f\r", b"abc", b"**\r\n"),
            (b"\xc3\xa1\r", b"\xc3\xa1", b"**\r\n"),
        ];
        for (typed, answer, shown) in cases {
            let mut output = Vec::new();
            let read = read_answer(&mut &typed[..], &mut output).unwrap();
            assert_eq!(&read.as_slice(), answer);
            assert_eq!(&output.as_slice(), shown);
        }
    }

    #[test]
    fn control_c_and_a_closed_terminal_cancel() {
        for typed in [&b"abc\x03"[..], b"abc"] {
            let mut output = Vec::new();
            assert!(matches!(read_answer(&mut &typed[..], &mut output), Err(Error::Cancelled)));
            assert_eq!(output, b"***");
        }
    }
}
