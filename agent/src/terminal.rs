//! The terminal at which the customer sits.
//!
//! Ten words are shown as they are typed (nobody can type them blind) and cleared after. What is
//! typed lives in one zeroizing buffer that never grows, so no copy of it is left behind.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    os::fd::AsFd as _,
};

use nix::sys::termios::{self, InputFlags, LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
};

/// The longest line that is taken.
const LINE: usize = 1024;
/// Into the alternate screen, cleared, cursor at home; and out of it, wiped.
const ENTER_SCREEN: &str = "\x1b[?1049h\x1b[2J\x1b[H";
const LEAVE_SCREEN: &str = "\x1b[2J\x1b[3J\x1b[H\x1b[?1049l";

/// A terminal that answers.
pub(crate) struct Terminal {
    input: File,
    output: File,
}

/// A screen of its own, wiped when it is dropped.
pub(crate) struct Screen<'a>(&'a mut Terminal);

struct Raw<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Terminal {
    /// The terminal on standard input, or the controlling one.
    pub(crate) fn open() -> Outcome<Self> {
        let path = if io::stdin().is_terminal() { "/proc/self/fd/0" } else { "/dev/tty" };
        let open = || -> io::Result<Self> {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            Ok(Self { output: file.try_clone()?, input: file })
        };
        open().map_err(|error| {
            Stop::new(Code::Usage, "there is no terminal to ask at")
                .remedy(
                    "run this at the box's own console (or over `ssh -t`); `recover` also takes the words by --code-fd",
                )
                .because(error)
        })
    }

    /// This terminal.
    pub(crate) fn of(file: File) -> Outcome<Self> {
        let twice = file.try_clone().or_stop(Code::Internal, || "cannot use the terminal".into())?;
        Ok(Self { input: file, output: twice })
    }

    /// Whether the terminal is reached over ssh, which then carries what is typed.
    pub(crate) fn is_remote() -> bool {
        std::env::var_os("SSH_CONNECTION").is_some() || std::env::var_os("SSH_TTY").is_some()
    }

    /// Prints lines.
    pub(crate) fn say(&mut self, text: &str) -> Outcome<()> {
        self.write(text)?;
        self.write("\n")
    }

    /// Asks a question that only a typed `y` answers with yes.
    pub(crate) fn confirm(&mut self, question: &str) -> Outcome<bool> {
        self.write(&format!("{question} [y/N] "))?;
        let answer = self.line("", |_| None)?;
        self.write("\n")?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "j" | "J" | "ja"))
    }

    /// Asks for a line that is shown as it is typed.
    pub(crate) fn ask(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.ask_watched(prompt, |_| None)
    }

    /// The same; `watch` looks at the line after each blank, and what it has to say is shown at once
    /// while the line stays as it is.
    fn ask_watched(&mut self, prompt: &str, watch: impl FnMut(&str) -> Option<String>) -> Outcome<Zeroizing<String>> {
        self.write(prompt)?;
        let line = self.line(prompt, watch)?;
        self.write("\n")?;
        Ok(line)
    }

    /// A screen of its own; what stood before comes back after it.
    pub(crate) fn screen(&mut self) -> Outcome<Screen<'_>> {
        self.write(ENTER_SCREEN)?;
        Ok(Screen(self))
    }

    fn write(&mut self, text: &str) -> Outcome<()> {
        self.output
            .write_all(text.as_bytes())
            .and_then(|()| self.output.flush())
            .or_stop(Code::Internal, || "cannot write to the terminal".into())
    }

    fn line(&mut self, prompt: &str, watch: impl FnMut(&str) -> Option<String>) -> Outcome<Zeroizing<String>> {
        let Self { input, output } = self;
        let raw = Raw::enter(input).or_stop(Code::Internal, || "cannot set up the terminal".into())?;
        let line = edit(&mut Typed(input), output, prompt, watch);
        drop(raw);
        line
    }
}

impl Screen<'_> {
    /// Prints a line.
    pub(crate) fn say(&mut self, text: &str) -> Outcome<()> {
        self.0.say(text)
    }

    /// Asks for a line that is shown as it is typed.
    pub(crate) fn ask(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.0.ask(prompt)
    }

    /// The same; what `watch` says of the line after a blank is shown at once.
    pub(crate) fn ask_watched(
        &mut self,
        prompt: &str,
        watch: impl FnMut(&str) -> Option<String>,
    ) -> Outcome<Zeroizing<String>> {
        self.0.ask_watched(prompt, watch)
    }

    /// Wipes what the screen shows.
    pub(crate) fn clear(&mut self) -> Outcome<()> {
        self.0.write("\x1b[2J\x1b[3J\x1b[H")
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that is gone.
        let _ = self.0.write(LEAVE_SCREEN);
    }
}

impl<'a> Raw<'a> {
    fn enter(terminal: &'a File) -> io::Result<Self> {
        let before = termios::tcgetattr(terminal.as_fd())?;
        let mut raw = before.clone();
        raw.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN);
        raw.input_flags.remove(InputFlags::ICRNL | InputFlags::IXON);
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        termios::tcsetattr(terminal.as_fd(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // What was typed ahead goes: the rest of a pasted sheet must not end up in a shell's history.
        // The terminal may be gone; there is nobody left to tell.
        let _ = termios::tcsetattr(self.terminal.as_fd(), SetArg::TCSAFLUSH, &self.before);
    }
}

/// A terminal's keys; a wait for one ends when the command is to end.
struct Typed<'a>(&'a File);

impl io::Read for Typed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interrupt::wait_readable(self.0)?;
        self.0.read(buffer)
    }
}

/// Reads one line: printable characters are echoed, Backspace takes the last back, Ctrl-U all,
/// Ctrl-C and Ctrl-D on an empty line give up; escape sequences are skipped.
fn edit(
    input: &mut impl io::Read,
    output: &mut impl io::Write,
    prompt: &str,
    mut watch: impl FnMut(&str) -> Option<String>,
) -> Outcome<Zeroizing<String>> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::Interrupted if interrupt::is_ending() => interrupt::stop(),
        _ => Stop::new(Code::Internal, "the terminal went away").because(error),
    };
    let given_up = || Stop::new(Code::Interrupted, "given up at the prompt; nothing was changed");
    let mut line = Zeroizing::new(Vec::with_capacity(LINE));
    let mut byte = Zeroizing::new([0_u8; 1]);
    loop {
        match input.read(&mut *byte) {
            Ok(0) => return Err(given_up()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted && !interrupt::is_ending() => continue,
            Err(error) => return Err(gone(error)),
        }
        match byte[0] {
            b'\r' | b'\n' => break,
            0x03 => return Err(given_up()),
            0x04 if line.is_empty() => return Err(given_up()),
            0x15 => {
                while erase(&mut line) {
                    output.write_all(b"\x08 \x08").map_err(gone)?;
                }
            }
            0x7f | 0x08 if erase(&mut line) => {
                output.write_all(b"\x08 \x08").map_err(gone)?;
            }
            0x1b => skip_escape(input).map_err(gone)?,
            b'\t' | b' ' => {
                push(&mut line, b' ', output).map_err(gone)?;
                if let Some(said) = std::str::from_utf8(&line).ok().and_then(&mut watch) {
                    output.write_all(format!("\r\n  {said}\r\n{prompt}").as_bytes()).map_err(gone)?;
                    output.write_all(&line).map_err(gone)?;
                }
            }
            c if c >= 0x20 => push(&mut line, c, output).map_err(gone)?,
            _ => {}
        }
        output.flush().map_err(gone)?;
    }
    match std::str::from_utf8(&line) {
        Ok(text) => {
            let mut copy = Zeroizing::new(String::with_capacity(text.len()));
            copy.push_str(text);
            line.zeroize();
            Ok(copy)
        }
        Err(_) => Err(Stop::new(Code::Usage, "what was typed is not UTF-8 text")
            .remedy("set the terminal to UTF-8, or type the words without special characters")),
    }
}

fn push(line: &mut Vec<u8>, byte: u8, output: &mut impl io::Write) -> io::Result<()> {
    // A full buffer takes no more: it must not move, or a copy would be left behind.
    if line.len() < LINE {
        line.push(byte)
    } else {
        return Ok(());
    }
    output.write_all(&[byte])
}

/// Takes back the last character, whole if it is a UTF-8 sequence.
fn erase(line: &mut Vec<u8>) -> bool {
    while let Some(last) = line.pop() {
        if last & 0xc0 != 0x80 {
            return true;
        }
    }
    false
}

/// `ESC [ … letter` and `ESC O letter`: arrow keys and the marks around pasted text.
fn skip_escape(input: &mut impl io::Read) -> io::Result<()> {
    let mut byte = [0_u8; 1];
    if input.read(&mut byte)? == 0 || !matches!(byte[0], b'[' | b'O') {
        return Ok(());
    }
    for _ in 0..16 {
        if input.read(&mut byte)? == 0 || (0x40..=0x7e).contains(&byte[0]) {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Option<String> {
        edit(&mut &*keys, &mut Vec::new(), "", |_| None).ok().map(|line| line.to_string())
    }

    #[test]
    fn keys_do_what_they_do_everywhere() {
        assert_eq!(typed(b"abacus abdomen\r").as_deref(), Some("abacus abdomen"));
        assert_eq!(typed(b"abacux\x7fs\n").as_deref(), Some("abacus"));
        assert_eq!(typed("\u{e4}\x7fx\r".as_bytes()).as_deref(), Some("x"));
        assert_eq!(typed(b"wrong\x15right\r").as_deref(), Some("right"));
        assert_eq!(typed(b"\x1b[200~abacus\x1b[201~ x\x1b[D\r").as_deref(), Some("abacus x"));
        assert_eq!(typed(b"a\tb\r").as_deref(), Some("a b"));
        let mut shown = Vec::new();
        let watch = |line: &str| (line == "yacht ").then(|| "said".to_owned());
        let line = edit(&mut &b"yacht x\r"[..], &mut shown, "> ", watch).ok().map(|line| line.to_string());
        assert_eq!((line.as_deref(), shown.as_slice()), (Some("yacht x"), &b"yacht \r\n  said\r\n> yacht x"[..]));
        assert_eq!(typed(b"abacus\x03"), None);
        assert_eq!(typed(b"\x04"), None);
        assert_eq!(typed(b"\xff\r"), None);
        assert_eq!(typed(&[b'x'; 5000]), None);
        assert_eq!(typed(&[&[b'x'; 5000][..], b"\r"].concat()).map(|line| line.len()), Some(LINE));
    }
}
