//! A person at a real terminal: waits for what the screen must show, then types.
//!
//! What the screen showed may hold the ten words. It is kept in memory alone, wiped at the end, and
//! an error shows only the end of it *if* the caller says that no words can be there.

use std::{
    ffi::OsStr,
    fmt,
    io::{Read as _, Write},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    sys::{
        signal::{Signal, killpg},
        termios::LocalFlags,
    },
    unistd::Pid,
};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use zeroize::{Zeroize as _, Zeroizing};

/// A program on a terminal of its own. Dropping it ends the program and all that it started.
pub struct Terminal {
    name: String,
    child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    shared: Arc<Shared>,
    /// How much of the screen earlier expectations have used up, in bytes.
    used: usize,
    quoted: bool,
}

struct Shared {
    screen: Mutex<Screen>,
    changed: Condvar,
}

struct Screen {
    bytes: Zeroizing<Vec<u8>>,
    ended: bool,
}

impl Terminal {
    /// Starts `program` on a terminal of 40 lines and 400 columns, on which sentences are not broken, with exactly this environment.
    ///
    /// # Errors
    /// What the system said.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(String, String)],
        folder: &Path,
    ) -> Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let size = PtySize { rows: 40, cols: 400, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).map_err(|error| anyhow!("opening a terminal: {error}"))?;
        let mut command = CommandBuilder::new(program);
        command.env_clear();
        for argument in arguments {
            command.arg(argument);
        }
        for (key, value) in environment {
            command.env(key, value);
        }
        command.cwd(folder);
        let mut reader = pair.master.try_clone_reader().map_err(|error| anyhow!("reading the terminal: {error}"))?;
        let writer = pair.master.take_writer().map_err(|error| anyhow!("writing to the terminal: {error}"))?;
        let child = pair.slave.spawn_command(command).map_err(|error| anyhow!("starting {name}: {error}"))?;
        // Once only the child holds that side, its end is the end of the screen.
        drop(pair.slave);
        let screen = Screen { bytes: Zeroizing::new(Vec::with_capacity(ROOM)), ended: false };
        let shared = Arc::new(Shared { screen: Mutex::new(screen), changed: Condvar::new() });
        let filling = Arc::clone(&shared);
        thread::spawn(move || {
            let mut piece = Zeroizing::new([0; 4096]);
            loop {
                let read = reader.read(piece.as_mut());
                let mut screen = filling.lock();
                match read {
                    // A screen that outgrows its room is cut: growing would leave copies behind.
                    Ok(length) if length > 0 && screen.bytes.len() + length <= ROOM => {
                        screen.bytes.extend_from_slice(&piece[..length]);
                    }
                    _ => screen.ended = true,
                }
                filling.changed.notify_all();
                if screen.ended {
                    return;
                }
            }
        });
        Ok(Self { name, child, writer, master: pair.master, shared, used: 0, quoted: false })
    }

    /// The program's process id, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.child.process_id()
    }

    /// From here on no words are on the screen, and an error may quote it.
    #[must_use]
    pub fn quoting(mut self) -> Self {
        self.quoted = true;
        self
    }

    /// Waits until the screen shows `text`, and tells all that it showed up to there since the last
    /// expectation, without control sequences.
    ///
    /// # Errors
    /// The text did not come before the deadline, or the program ended first.
    pub fn expect(&mut self, text: &str, within: Duration) -> Result<Zeroizing<String>> {
        self.expect_any(&[text], within).map(|(_, shown)| shown)
    }

    /// The same for whichever of `texts` comes first; tells which one it was too.
    ///
    /// # Errors
    /// None of them came before the deadline, or the program ended first.
    pub fn expect_any(&mut self, texts: &[&str], within: Duration) -> Result<(usize, Zeroizing<String>)> {
        let until = Instant::now() + within;
        let shared = Arc::clone(&self.shared);
        let mut screen = shared.lock();
        loop {
            let bytes = &screen.bytes[self.used..];
            let found = texts.iter().enumerate().filter_map(|(index, text)| Some((find(bytes, text)?, index)));
            if let Some(((shown, used), index)) = found.min_by_key(|((_, used), _)| *used) {
                self.used += used;
                return Ok((index, shown));
            }
            let why = if screen.ended { "the program ended first" } else { "it did not come in time" };
            let left = until.saturating_duration_since(Instant::now());
            if screen.ended || left.is_zero() {
                let shown = plain(&screen.bytes[self.used..]);
                bail!(
                    "{}: `{}` was awaited on its terminal, {why}{}",
                    self.name,
                    texts.join("` or `"),
                    self.quote(&shown)
                );
            }
            screen = shared.changed.wait_timeout(screen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until what is typed would not be shown (ECHO off), as a program that asks for a secret
    /// leaves the terminal.
    ///
    /// # Errors
    /// It was still shown at the deadline.
    pub fn await_silence(&mut self, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        loop {
            let flags = self.master.get_termios().map(|termios| termios.local_flags.bits());
            if flags.is_some_and(|flags| flags & LocalFlags::ECHO.bits() == 0) {
                return Ok(());
            }
            if Instant::now() >= until || self.shared.lock().ended {
                bail!("{}: the terminal would still show what is typed", self.name);
            }
            // A flag is no event that could be waited for.
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Types `text` and the Enter key.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn type_line(&mut self, text: &str) -> Result<()> {
        let mut line = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        line.extend_from_slice(text.as_bytes());
        line.push(b'\r');
        self.writer.write_all(&line).and_then(|()| self.writer.flush()).context("typing")
    }

    /// Waits for the program's end and tells its exit code and what it showed since the last
    /// expectation.
    ///
    /// # Errors
    /// It did not end before the deadline, or a signal ended it.
    pub fn end(&mut self, within: Duration) -> Result<(u32, Zeroizing<String>)> {
        let until = Instant::now() + within;
        let shared = Arc::clone(&self.shared);
        let mut screen = shared.lock();
        while !screen.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let shown = plain(&screen.bytes[self.used..]);
                bail!("{} did not end in time{}", self.name, self.quote(&shown));
            }
            screen = shared.changed.wait_timeout(screen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let shown = plain(&screen.bytes[self.used..]);
        drop(screen);
        // The terminal is closed by the child's end, or shortly before it.
        loop {
            if let Some(status) = self.child.try_wait().context("waiting for the program")? {
                if status.signal().is_some() {
                    bail!("{} was ended by a signal", self.name);
                }
                return Ok((status.exit_code(), shown));
            }
            if Instant::now() >= until {
                bail!("{} closed its terminal and did not end", self.name);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills the program with SIGKILL; whatever it started in sessions of their own lives on.
    pub fn kill(self) {
        drop(self);
    }

    /// All that the screen ever showed, control sequences included.
    #[must_use]
    pub fn transcript(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.shared.lock().bytes.to_vec())
    }

    fn quote(&self, shown: &str) -> String {
        if !self.quoted {
            return String::new();
        }
        let start = shown.char_indices().rev().nth(1500).map_or(0, |(at, _)| at);
        format!("; the screen ended with:\n{}", &shown[start..])
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It leads a session of its own, so its number is its group's.
            if let Some(group) = self.child.process_id().and_then(|id| i32::try_from(id).ok()) {
                let _gone_already = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _reaped_already = self.child.wait();
        }
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The words that stand behind the numbers 1 to `count`, each as `N. word`, in any columns.
#[must_use]
pub fn numbered_words(screen: &str, count: usize) -> Option<Zeroizing<String>> {
    let mut words = Zeroizing::new(String::with_capacity(count * 16));
    for number in 1..=count {
        let label = format!("{number}. ");
        let start = screen
            .match_indices(&label)
            .find(|(at, _)| !screen[..*at].chars().next_back().is_some_and(|before| before.is_ascii_alphanumeric()))?;
        let rest = &screen[start.0 + label.len()..];
        let length = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
        if length == 0 {
            return None;
        }
        if number > 1 {
            words.push(' ');
        }
        words.push_str(&rest[..length]);
    }
    Some(words)
}

/// Where `text` ends on a screen, in its bytes, and the plain screen up to there.
fn find(bytes: &[u8], text: &str) -> Option<(Zeroizing<String>, usize)> {
    let (shown, ends) = stripped(bytes);
    let at = shown.windows(text.len()).position(|window| window == text.as_bytes())? + text.len();
    let used = ends[at - 1];
    Some((Zeroizing::new(String::from_utf8_lossy(&shown[..at]).into_owned()), used))
}

fn plain(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(String::from_utf8_lossy(&stripped(bytes).0).into_owned())
}

/// The bytes that a screen shows, and for each of them where it ends among all.
fn stripped(bytes: &[u8]) -> (Zeroizing<Vec<u8>>, Vec<usize>) {
    let mut shown = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut ends = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            0x1b => at = after_escape(bytes, at + 1),
            b'\r' => at += 1,
            byte => {
                at += 1;
                shown.push(byte);
                ends.push(at);
            }
        }
    }
    (shown, ends)
}

/// Behind one control sequence: `[` up to its final letter, `]` up to BEL or ESC \, else one byte.
fn after_escape(bytes: &[u8], start: usize) -> usize {
    match bytes.get(start) {
        Some(b'[') => {
            (start + 1..bytes.len()).find(|at| (0x40..=0x7e).contains(&bytes[*at])).map_or(bytes.len(), |at| at + 1)
        }
        Some(b']') => (start + 1..bytes.len())
            .find_map(|at| match bytes[at] {
                0x07 => Some(at + 1),
                0x1b => Some((at + 2).min(bytes.len())),
                _ => None,
            })
            .unwrap_or(bytes.len()),
        Some(_) => start + 1,
        None => bytes.len(),
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// What a terminal can show during a whole story.
const ROOM: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Result<Terminal> {
        let environment = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        Ok(Terminal::start(Path::new("/bin/sh"), ["-c", script], &environment, Path::new("/"))?.quoting())
    }

    #[test]
    fn a_conversation_is_held_and_its_exit_code_is_told() -> Result<()> {
        let mut terminal = shell("printf '\\033[1mName\\033[0m: '; read name; echo \"hello, $name\"; exit 3")?;
        terminal.expect("Name: ", SOON)?;
        terminal.type_line("box1")?;
        terminal.expect("hello, box1", SOON)?;
        assert_eq!(terminal.end(SOON)?.0, 3);
        Ok(())
    }

    #[test]
    fn a_secret_is_typed_only_when_the_terminal_is_silent() -> Result<()> {
        let mut terminal = shell("printf 'secret: '; stty -echo; read s; stty echo; echo; echo done")?;
        terminal.expect("secret: ", SOON)?;
        terminal.await_silence(SOON)?;
        terminal.type_line("abacus")?;
        terminal.expect("done", SOON)?;
        assert_eq!(terminal.end(SOON)?.0, 0);
        assert!(!String::from_utf8_lossy(&terminal.transcript()).contains("abacus"));
        Ok(())
    }

    #[test]
    fn what_does_not_come_is_an_error_that_quotes_the_screen_only_if_it_may() -> Result<()> {
        let mut terminal = shell("echo something else")?;
        let told = terminal.expect("the awaited", SOON).err().map(|error| error.to_string());
        assert!(told.is_some_and(|text| text.contains("ended first") && text.contains("something else")));
        let mut terminal = Terminal::start(Path::new("/bin/echo"), ["abacus"], &[], Path::new("/"))?;
        let told = terminal.expect("the awaited", SOON).err().map(|error| error.to_string());
        assert!(told.is_some_and(|text| !text.contains("abacus")));
        Ok(())
    }

    #[test]
    fn words_are_read_behind_their_numbers_in_any_columns() {
        let screen = " 1. abacus      6. yo-yo\n 2. abdomen\n 3. c  4. d  5. e\n 7. f\n 8. g\n 9. h\n10. drop-down\n";
        let read = numbered_words(screen, 10);
        assert_eq!(read.as_ref().map(|words| words.as_str()), Some("abacus abdomen c d e yo-yo f g h drop-down"));
        assert!(numbered_words("1. abacus\n3. abdomen\n", 3).is_none());
    }

    #[test]
    fn dropping_a_terminal_ends_what_runs_on_it() -> Result<()> {
        let terminal = shell("sleep 600")?;
        let id = terminal.child.process_id().and_then(|id| i32::try_from(id).ok()).context("a child has a number")?;
        drop(terminal);
        assert!(nix::sys::signal::kill(Pid::from_raw(id), None).is_err());
        Ok(())
    }
}
