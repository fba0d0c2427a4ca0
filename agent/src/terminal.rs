//! The terminal at which the customer sits.
//!
//! Ten words are shown as they are typed (nobody can type them blind) and cleared after, on every
//! way out: at the end, at an error or a panic (by `Drop`), and when a second signal ends the
//! program at once ([`wipe_at_once`]). While a [`Screen`] is open, the kernel echoes nothing.

use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::{Mutex, PoisonError},
};

use nix::sys::termios::{self, FlushArg, InputFlags, LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use zeroize::Zeroizing;

use crate::{
    editor::{
        armour::{After, Armour},
        keys::Keys,
        line,
        page::{CLEAR, Page, Painter, Size, Typewriter},
        slots::Step,
    },
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    language::{Charset, Language, Sentences},
    show::{columns, in_lines, question},
};

/// Into the alternate screen, where there is one, and marks around what is pasted; and out of both.
const ENTER_SCREEN: &[u8] = b"\x1b[?1049h\x1b[2J\x1b[H\x1b[?2004h";
const LEAVE_SCREEN: &[u8] = b"\x1b[?2004l\x1b[2J\x1b[3J\x1b[H\x1b[?1049l";
/// The most bytes that are taken at once: what is pasted comes in one piece.
const CHUNK: usize = 4096;

/// A terminal that answers.
pub(crate) struct Terminal {
    input: File,
    output: File,
    manner: Manner,
}

/// A terminal that shows nothing of what is typed, and forgets it when this is dropped.
pub(crate) struct Hushed(Raw);

/// What the environment says of the terminal and its reader.
#[derive(Clone, Copy)]
struct Manner {
    /// It only goes on in its line.
    is_plain: bool,
    charset: Charset,
    language: Language,
}

/// A screen of its own, wiped when it is dropped. What stood before comes back after it, where the
/// terminal has a second screen.
pub(crate) struct Screen<'a> {
    terminal: &'a mut Terminal,
    typewriter: Typewriter,
    /// Sets the terminal back when it is dropped, after the screen is wiped.
    raw: Raw,
}

struct Raw {
    terminal: File,
    before: Termios,
}

/// What is to be done with the terminal if the program ends at once.
struct Held {
    terminal: File,
    before: Termios,
    is_plain: bool,
}

static HELD: Mutex<Option<Held>> = Mutex::new(None);

impl Terminal {
    /// The terminal on standard input, or the controlling one.
    pub(crate) fn open() -> Outcome<Self> {
        let path = if io::stdin().is_terminal() { "/proc/self/fd/0" } else { "/dev/tty" };
        Self::at(Path::new(path)).map_err(|error| {
            Stop::new(Code::Usage, "there is no terminal to ask at")
                .remedy(
                    "run this at the box's own console (or over `ssh -t`); `recover` also takes the words by --code-fd",
                )
                .because(error)
        })
    }

    /// The terminal that lies at this path.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { output: file.try_clone()?, input: file, manner: Manner::of_environment() })
    }

    /// Whether the terminal is reached over ssh, which then carries what is typed.
    pub(crate) fn is_remote() -> bool {
        std::env::var_os("SSH_CONNECTION").is_some() || std::env::var_os("SSH_TTY").is_some()
    }

    /// What is said to whoever sits here.
    pub(crate) fn sentences(&self) -> &'static Sentences {
        self.manner.language.sentences()
    }

    /// Speaks this language from now on.
    pub(crate) fn speak(&mut self, language: Language) {
        self.manner.language = language;
    }

    /// The characters that it shows.
    pub(crate) fn charset(&self) -> Charset {
        self.manner.charset
    }

    pub(crate) fn rows(&self) -> usize {
        self.size().rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.size().columns
    }

    /// Writes this over the line that the cursor stands in, and leaves the cursor at its beginning.
    pub(crate) fn say_in_place(&mut self, text: &str) -> Outcome<()> {
        let width = self.columns().saturating_sub(1);
        let line: String = self.manner.charset.fit(text).chars().take(width).collect();
        self.write(format!("\r{line:width$}\r").as_bytes())
    }

    /// Shows nothing of what is typed, until what comes back is dropped.
    pub(crate) fn hush(&self) -> io::Result<Hushed> {
        Raw::enter(&self.input).map(Hushed)
    }

    /// Prints lines, broken between words.
    pub(crate) fn say(&mut self, text: &str) -> Outcome<()> {
        let fitted = in_lines(&self.manner.charset.fit(text), self.size().usable());
        self.write(fitted.as_bytes())?;
        self.write(b"\n")
    }

    /// Asks for a line that is shown as it is typed.
    pub(crate) fn ask(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        let mut shown = self.output.try_clone().or_stop(Code::Internal, || "cannot set up the terminal".into())?;
        self.asked(prompt, &mut shown)
    }

    /// Asks for an SSH signature, which may be pasted as a whole; or for nothing, by an empty line. What is no
    /// signature may be anything, the ten words too: it comes back with its first line at most, is not left on
    /// the screen, and what was typed behind it is forgotten.
    pub(crate) fn ask_signature(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        let mut shown = self.output.try_clone().or_stop(Code::Internal, || "cannot set up the terminal".into())?;
        // Over all of its lines: what is typed ahead is the next one, and never a shell's.
        let _raw = self.raw()?;
        let (mut armour, mut prompt) = (Armour::empty(), prompt);
        loop {
            let line = self.line(prompt, &mut shown)?;
            let after = armour.take(&line);
            if after == After::NoSignature {
                self.say_in_place("")?;
            }
            self.write(b"\n")?;
            if after != After::More {
                return Ok(armour.into_text());
            }
            prompt = "> ";
        }
    }

    /// Asks for a line of which nothing is shown.
    pub(crate) fn ask_hidden(&mut self, prompt: &str) -> Outcome<Zeroizing<String>> {
        self.asked(prompt, &mut io::sink())
    }

    fn asked(&self, prompt: &str, shown: &mut impl io::Write) -> Outcome<Zeroizing<String>> {
        let raw = self.raw()?;
        let line = self.line(prompt, shown)?;
        drop(raw);
        self.write(b"\n")?;
        Ok(line)
    }

    /// Entered before a question is written: whoever answers at once is not shown by the terminal itself.
    fn raw(&self) -> Outcome<Raw> {
        Raw::enter(&self.input).or_stop(Code::Internal, || "cannot set up the terminal".into())
    }

    fn line(&self, prompt: &str, shown: &mut impl io::Write) -> Outcome<Zeroizing<String>> {
        let usable = self.size().usable();
        let fitted = question(&self.manner.charset.fit(prompt), usable);
        let room = usable.saturating_sub(fitted.rsplit('\n').next().map_or(0, columns));
        self.write(fitted.as_bytes())?;
        line::edit(&mut Typed(&self.input), shown, room, self.manner.charset)
    }

    /// A screen of its own.
    pub(crate) fn screen(&mut self) -> Outcome<Screen<'_>> {
        let cannot = || "cannot set up the terminal".to_owned();
        let raw = Raw::enter(&self.input).or_stop(Code::Internal, cannot)?;
        let held = Held {
            terminal: self.output.try_clone().or_stop(Code::Internal, cannot)?,
            before: raw.before.clone(),
            is_plain: self.manner.is_plain,
        };
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        // From here on it is wiped whatever happens.
        let screen = Screen { raw, typewriter: Typewriter::new(), terminal: self };
        if !screen.terminal.manner.is_plain {
            // What was typed before this was echoed: if it was the words, they stand on the screen
            // that would come back.
            if rustix::io::ioctl_fionread(&screen.terminal.input).is_ok_and(|waiting| waiting > 0) {
                screen.terminal.write(CLEAR)?;
            }
            screen.terminal.write(ENTER_SCREEN)?;
        }
        Ok(screen)
    }

    fn write(&self, bytes: &[u8]) -> Outcome<()> {
        let mut output = &self.output;
        output
            .write_all(bytes)
            .and_then(|()| output.flush())
            .or_stop(Code::Internal, || "cannot write to the terminal".into())
    }

    fn size(&self) -> Size {
        size(&self.output)
    }
}

/// A text as it goes to this stream: to a terminal in lines and characters that it has, elsewhere as it is.
pub(crate) fn fitted<'a>(stream: &(impl AsFd + io::IsTerminal), text: &'a str) -> Cow<'a, str> {
    if !stream.is_terminal() {
        return text.into();
    }
    in_lines(&Charset::of_environment().fit(text), size(stream).usable()).into()
}

fn size(terminal: &impl AsFd) -> Size {
    let told = rustix::termios::tcgetwinsize(terminal).ok();
    match told.map(|size| (usize::from(size.ws_row), usize::from(size.ws_col))) {
        Some((rows @ 1.., columns @ 1..)) => Size { rows, columns },
        _ => Size::USUAL,
    }
}

impl Manner {
    fn of_environment() -> Self {
        let name = std::env::var("TERM").unwrap_or_default();
        Self {
            is_plain: matches!(name.as_str(), "dumb" | "unknown" | "network" | "dialup"),
            charset: Charset::of_environment(),
            language: Language::of_environment(),
        }
    }
}

impl Screen<'_> {
    /// What is said to whoever sits here.
    pub(crate) fn sentences(&self) -> &'static Sentences {
        self.terminal.sentences()
    }

    /// The characters that it shows.
    pub(crate) fn charset(&self) -> Charset {
        self.terminal.charset()
    }

    /// Whether the terminal shows all of a page at once.
    pub(crate) fn is_whole(&self) -> bool {
        !self.terminal.manner.is_plain
    }

    /// Forgets what was typed ahead.
    pub(crate) fn forget_typed(&mut self) -> Outcome<()> {
        termios::tcflush(self.terminal.input.as_fd(), FlushArg::TCIFLUSH)
            .or_stop(Code::Internal, || "cannot set up the terminal".into())
    }

    /// Wipes what the screen shows.
    pub(crate) fn clear(&mut self) -> Outcome<()> {
        let bytes = wiping(self.is_whole(), self.terminal.size(), &mut self.typewriter);
        self.terminal.write(&bytes)
    }

    /// Shows a page until a key ends it, and wipes it. Giving up is an error.
    pub(crate) fn run(&mut self, page: &mut impl Page) -> Outcome<Step> {
        let mut painter = Painter::new();
        let end = self.shown(page, &mut painter);
        self.clear()?;
        end
    }

    fn shown(&mut self, page: &mut impl Page, painter: &mut Painter) -> Outcome<Step> {
        let sentences = self.sentences();
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted if interrupt::is_ending() => interrupt::stop(),
            _ => Stop::new(Code::Internal, sentences.gone).because(error),
        };
        let given_up = || Stop::new(Code::Interrupted, sentences.given_up);
        let mut keys = Keys::default();
        let mut chunk = Zeroizing::new([0_u8; CHUNK]);
        let mut size = self.terminal.size();
        self.draw(page, painter, size)?;
        loop {
            if !interrupt::wait_briefly(&self.terminal.input).map_err(gone)? {
                let now = self.terminal.size();
                match page.tick() {
                    Some(Step::Stay) => self.draw(page, painter, now)?,
                    Some(step) => return Ok(step),
                    None if now != size => self.draw(page, painter, now)?,
                    None => {}
                }
                size = now;
                continue;
            }
            let length = match (&self.terminal.input).read(&mut chunk[..]) {
                Ok(0) => return Err(given_up()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(gone(error)),
            };
            // A pasted line may be cut between two reads.
            let waits = rustix::io::ioctl_fionread(&self.terminal.input).is_ok_and(|waiting| waiting > 0);
            for (index, byte) in chunk[..length].iter().enumerate() {
                let more = waits || index + 1 < length;
                for key in keys.take(*byte).into_iter().flatten() {
                    match page.take(key, more) {
                        Step::GiveUp => return Err(given_up()),
                        Step::Stay => {}
                        Step::Redraw => {
                            self.clear()?;
                            painter.forget();
                        }
                        step @ (Step::Done | Step::Search) => return Ok(step),
                    }
                }
            }
            size = self.terminal.size();
            self.draw(page, painter, size)?;
        }
    }

    fn draw(&mut self, page: &impl Page, painter: &mut Painter, size: Size) -> Outcome<()> {
        let bytes = if self.is_whole() {
            painter.paint(page.frame(size), size)
        } else {
            let charset = self.charset();
            self.typewriter.write(page.one_line(size.columns), |text| charset.fit(text), size.columns.saturating_sub(1))
        };
        self.terminal.write(&bytes)
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that is gone.
        let _ = self.clear();
        if self.is_whole() {
            let _ = self.terminal.write(LEAVE_SCREEN);
        }
        self.raw.leave();
        // Not before: a second signal in the middle of this must still wipe.
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Wipes the screen and sets the terminal back, for a program that ends without unwinding.
pub(crate) fn wipe_at_once() {
    // Whoever holds the lock is just opening or leaving a screen.
    let Some(held) = HELD.try_lock().ok().and_then(|mut held| held.take()) else { return };
    let Held { terminal, before, is_plain } = held;
    let mut output = &terminal;
    if is_plain {
        let size = rustix::termios::tcgetwinsize(&terminal).map_or(80, |size| usize::from(size.ws_col).max(1));
        let _ = output.write_all(format!("\r{}\r", " ".repeat(size - 1)).as_bytes());
    } else {
        let size = rustix::termios::tcgetwinsize(&terminal).map_or(24, |size| usize::from(size.ws_row).max(1));
        let _ = output.write_all(&rows_wiped(size));
        let _ = output.write_all(LEAVE_SCREEN);
    }
    let _ = termios::tcsetattr(terminal.as_fd(), SetArg::TCSAFLUSH, &before);
}

fn wiping(is_whole: bool, size: Size, typewriter: &mut Typewriter) -> Vec<u8> {
    if is_whole {
        let mut bytes = rows_wiped(size.rows);
        bytes.extend_from_slice(CLEAR);
        bytes
    } else {
        typewriter.wipe()
    }
}

/// Some terminals keep what is cleared as a whole in their memory, so each line is emptied first.
fn rows_wiped(rows: usize) -> Vec<u8> {
    (1..=rows).flat_map(|row| format!("\x1b[{row};1H\x1b[2K").into_bytes()).collect()
}

impl Hushed {
    /// Takes what was typed, and tells whether it was Ctrl-C, or the terminal's end.
    pub(crate) fn is_left(&self) -> io::Result<bool> {
        let mut chunk = Zeroizing::new([0_u8; CHUNK]);
        let length = (&self.0.terminal).read(&mut chunk[..])?;
        Ok(length == 0 || chunk[..length].contains(&0x03))
    }
}

impl AsFd for Hushed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.terminal.as_fd()
    }
}

impl Raw {
    fn enter(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = termios::tcgetattr(terminal.as_fd())?;
        let mut raw = before.clone();
        raw.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN);
        raw.input_flags.remove(InputFlags::ICRNL | InputFlags::IXON | InputFlags::ISTRIP);
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        termios::tcsetattr(terminal.as_fd(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self { terminal, before })
    }

    fn leave(&self) {
        // What was typed ahead goes: the rest of a pasted sheet must not end up in a shell's history.
        // The terminal may be gone; there is nobody left to tell.
        let _ = termios::tcsetattr(self.terminal.as_fd(), SetArg::TCSAFLUSH, &self.before);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.leave();
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

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use nix::pty::{OpenptyResult, openpty};

    use super::*;
    use crate::editor::{
        keys::Key,
        page::{Frame, Line, OneLine},
    };

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// There is one screen in a program, and so in these tests.
    static ONE: Mutex<()> = Mutex::new(());

    /// Shows a secret, and panics at a key.
    struct Secret;

    impl Page for Secret {
        fn frame(&self, size: Size) -> Frame {
            let mut line = Line::new(size.columns);
            line.push("abacus");
            Frame { lines: vec![line], cursor: (0, 6) }
        }

        fn one_line(&self, columns: usize) -> OneLine {
            let mut line = Line::new(columns);
            line.push("abacus");
            OneLine { said: vec!["something".into()], line, cursor: 6 }
        }

        fn take(&mut self, key: Key, _more: bool) -> Step {
            match key {
                Key::Char('p') => panic!("as a test wants it"),
                _ => Step::Done,
            }
        }
    }

    /// A terminal, and the other end of it.
    fn terminal(is_plain: bool) -> Result<(Terminal, File), Box<dyn std::error::Error>> {
        let OpenptyResult { master, slave } = openpty(None, None)?;
        let path = format!("/proc/self/fd/{}", slave.as_raw_fd());
        let mut terminal = Terminal::at(Path::new(&path))?;
        terminal.manner = Manner { is_plain, charset: Charset::Utf8, language: Language::English };
        Ok((terminal, File::from(master)))
    }

    /// All that the terminal was sent, up to here.
    fn sent(terminal: &Terminal, mut master: &File) -> io::Result<vt100::Parser> {
        terminal.write(b"END").map_err(|_| io::ErrorKind::Other)?;
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        while !bytes.ends_with(b"END") {
            let length = master.read(&mut piece)?;
            bytes.extend_from_slice(&piece[..length]);
        }
        let size = |n| std::num::NonZeroU16::new(n).unwrap_or(std::num::NonZeroU16::MIN);
        let mut model = vt100::Parser::new(size(24), size(80), 100);
        model.process(&bytes);
        Ok(model)
    }

    fn echoes(terminal: &Terminal) -> nix::Result<bool> {
        Ok(termios::tcgetattr(terminal.input.as_fd())?.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON))
    }

    #[test]
    fn a_panic_wipes_the_screen_and_sets_the_terminal_back() -> Tested {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        for is_plain in [false, true] {
            let (mut terminal, mut master) = terminal(is_plain)?;
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let Ok(mut screen) = terminal.screen() else { return };
                // Typed once the kernel is silent, or it would be wiped as typed ahead.
                master.write_all(b"p").unwrap_or_default();
                let _ = screen.run(&mut Secret);
            }));
            assert!(panicked.is_err());
            assert!(echoes(&terminal)?);
            let mut model = sent(&terminal, &master)?;
            model.screen_mut().set_scrollback(100);
            let shown = model.screen().contents();
            assert!(!shown.contains("abacus") && !model.screen().alternate_screen(), "{shown}");
        }
        Ok(())
    }

    #[test]
    fn a_terminal_that_hangs_up_ends_the_page() -> Tested {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut terminal, master) = terminal(false)?;
        let Ok(mut screen) = terminal.screen() else { return Err("no screen".into()) };
        drop(master);
        assert!(screen.run(&mut Secret).is_err());
        Ok(())
    }

    #[test]
    fn what_is_pasted_in_place_of_a_signature_is_neither_taken_nor_left_behind() -> Tested {
        let signature = "-----BEGIN SSH SIGNATURE-----\r\nU1NIU0lH\r\n-----END SSH SIGNATURE-----\r\n";
        let whole = signature.replace('\r', "");
        let words = "1. abacus\n2. abdomen\n3. abdominal\n";
        for (pasted, taken) in [
            (words.to_owned(), "1. abacus\n"),
            (signature.to_owned(), whole.as_str()),
            (format!("{signature}{words}"), whole.as_str()),
            (format!("\n{words}"), ""),
        ] {
            let (mut terminal, mut master) = terminal(false)?;
            // Shown by the asking alone, as to somebody who pastes once he was asked.
            let _silent = Raw::enter(&terminal.input)?;
            master.write_all(pasted.as_bytes())?;
            let text = terminal.ask_signature("The signature: ").map_err(|stop| stop.what)?;
            assert_eq!(*text, taken, "{pasted:?}");
            assert_eq!(rustix::io::ioctl_fionread(&terminal.input)?, 0, "{pasted:?}: a shell would get the rest");
            let shown = sent(&terminal, &master)?.screen().contents();
            assert!(!shown.contains("abacus") && !shown.contains("abdomen"), "{pasted:?}:\n{shown}");
        }
        Ok(())
    }

    #[test]
    fn an_end_at_once_wipes_too() -> Tested {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        for is_plain in [false, true] {
            let (mut terminal, master) = terminal(is_plain)?;
            let again =
                Terminal { input: terminal.input.try_clone()?, output: terminal.output.try_clone()?, ..terminal };
            let Ok(mut screen) = terminal.screen() else { return Err("no screen".into()) };
            assert!(!echoes(&again)?, "the kernel would show what is typed");
            screen.draw(&Secret, &mut Painter::new(), Size::USUAL).map_err(|stop| stop.what)?;
            wipe_at_once();
            assert!(echoes(&again)?);
            let model = sent(&again, &master)?;
            drop(screen);
            assert!(!model.screen().contents().contains("abacus"), "{}", model.screen().contents());
        }
        Ok(())
    }
}
