//! What the customer sees: a real pty, and a model of the screen behind it.
//!
//! Where [`crate::terminal::Terminal`] awaits texts in what a program sent, this looks at the screen
//! as it stands then: what is overwritten or wiped is gone from it.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{Read as _, Write},
    num::NonZeroU16,
    os::unix::fs::chown,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::{
    sys::{
        signal::{Signal, kill, killpg},
        termios::LocalFlags,
    },
    unistd::Pid,
};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use zeroize::Zeroizing;

const SOON: Duration = Duration::from_secs(120);
const SCROLLBACK: usize = 2000;

/// What the terminal is.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its `TERM`.
    pub term: &'static str,
    /// Its `LANG`.
    pub lang: &'static str,
    /// Its lines.
    pub rows: u16,
    /// Its columns.
    pub columns: u16,
    /// Whether it has a second screen.
    pub alternate: bool,
}

impl Kind {
    /// A window on a desktop.
    pub const USUAL: Self =
        Self { term: "xterm-256color", lang: "en_US.UTF-8", rows: 24, columns: 80, alternate: true };
}

/// Somebody who sits at a terminal.
pub struct Customer {
    child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    shared: Arc<Shared>,
}

struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

struct Seen {
    model: vt100::Parser,
    bytes: Zeroizing<Vec<u8>>,
    /// When each piece came, and where it ends among the bytes.
    pieces: Vec<(Instant, usize)>,
    ended: bool,
}

impl Customer {
    /// Starts this at such a terminal.
    ///
    /// # Errors
    /// It could not be started.
    pub fn at(kind: Kind, command: &[&str], environment: &[(String, String)], folder: &Path) -> Result<Self> {
        Self::on_terminal_of(None, kind, command, environment, folder)
    }

    /// The same at a terminal that is this user's, as after a login.
    ///
    /// # Errors
    /// As [`Self::at`].
    pub fn on_terminal_of(
        user: Option<u32>,
        kind: Kind,
        command: &[&str],
        environment: &[(String, String)],
        folder: &Path,
    ) -> Result<Self> {
        let size = PtySize { rows: kind.rows, cols: kind.columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).map_err(|error| anyhow!("opening a terminal: {error}"))?;
        if user.is_some() {
            chown(pair.master.tty_name().context("the terminal's name")?, user, None)?;
        }
        let mut builder = CommandBuilder::new(command[0]);
        builder.args(&command[1..]);
        builder.env_clear();
        for (name, value) in environment {
            builder.env(name, value);
        }
        builder.env("TERM", kind.term);
        builder.env("LANG", kind.lang);
        builder.cwd(folder);
        let mut reader = pair.master.try_clone_reader().map_err(|error| anyhow!("reading: {error}"))?;
        let writer = pair.master.take_writer().map_err(|error| anyhow!("writing: {error}"))?;
        let child = pair.slave.spawn_command(builder).map_err(|error| anyhow!("starting: {error}"))?;
        drop(pair.slave);
        let model = vt100::Parser::new(number(kind.rows), number(kind.columns), SCROLLBACK);
        let seen = Seen { model, bytes: Zeroizing::new(Vec::with_capacity(1 << 20)), pieces: Vec::new(), ended: false };
        let shared = Arc::new(Shared { seen: Mutex::new(seen), changed: Condvar::new() });
        let filling = Arc::clone(&shared);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            let mut held = Vec::new();
            loop {
                let read = reader.read(&mut piece);
                let mut seen = filling.lock();
                match read {
                    Ok(length) if length > 0 => {
                        seen.bytes.extend_from_slice(&piece[..length]);
                        let end = seen.bytes.len();
                        seen.pieces.push((Instant::now(), end));
                        held.extend_from_slice(&piece[..length]);
                        // A sequence that is cut in two waits for its end.
                        let whole = held.iter().rposition(|byte| *byte == 0x1b).filter(|at| held.len() - at < 12);
                        let rest = held.split_off(whole.unwrap_or(held.len()));
                        let shown = without_screens(&held, kind.alternate);
                        seen.model.process(&shown);
                        held = rest;
                        if held.last().is_some_and(u8::is_ascii_alphabetic) {
                            let shown = without_screens(&held, kind.alternate);
                            seen.model.process(&shown);
                            held.clear();
                        }
                    }
                    _ => {
                        let shown = without_screens(&held, kind.alternate);
                        seen.model.process(&shown);
                        seen.ended = true;
                    }
                }
                filling.changed.notify_all();
                if seen.ended {
                    return;
                }
            }
        });
        Ok(Self { child, writer, master: pair.master, shared })
    }

    /// Waits until the screen shows all of these, each at once, whatever its lines are broken at.
    ///
    /// # Errors
    /// It did not come in time, or the program ended first; the screen is quoted.
    pub fn sees(&self, texts: &[&str]) -> Result<String> {
        let until = Instant::now() + SOON;
        let mut seen = self.shared.lock();
        loop {
            let shown = seen.model.screen().contents();
            let flat = format!(" {} ", shown.split_whitespace().collect::<Vec<_>>().join(" "));
            let missing: Vec<_> = texts.iter().filter(|text| !flat.contains(*text)).collect();
            if missing.is_empty() {
                return Ok(shown);
            }
            let left = until.saturating_duration_since(Instant::now());
            if seen.ended || left.is_zero() {
                bail!("{missing:?} is not on the screen:\n{shown}");
            }
            seen = self.shared.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Types these keys.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn types(&mut self, keys: impl AsRef<[u8]>) -> Result<()> {
        self.writer.write_all(keys.as_ref()).and_then(|()| self.writer.flush()).context("typing")
    }

    /// Changes the terminal's size.
    ///
    /// # Errors
    /// What the system said.
    pub fn resizes(&self, rows: u16, columns: u16) -> Result<()> {
        self.shared.lock().model.set_size(number(rows), number(columns));
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).map_err(|error| anyhow!("resizing: {error}"))
    }

    /// Sends the program a signal.
    ///
    /// # Errors
    /// It runs no more.
    pub fn signals(&self, signal: Signal) -> Result<()> {
        let id = self.child.process_id().context("it runs")?;
        Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
    }

    /// Its process.
    ///
    /// # Errors
    /// It has ended.
    pub fn process_id(&self) -> Result<u32> {
        self.child.process_id().context("it runs")
    }

    /// Whether the kernel would show what is typed.
    ///
    /// # Errors
    /// The terminal is closed.
    pub fn echoes(&self) -> Result<bool> {
        let termios = self.master.get_termios().context("the terminal is open")?;
        Ok(termios.local_flags.bits() & LocalFlags::ECHO.bits() != 0)
    }

    /// Whether pastes would be marked.
    #[must_use]
    pub fn is_paste_marked(&self) -> bool {
        self.shared.lock().model.screen().bracketed_paste()
    }

    /// Whether the second screen is shown.
    #[must_use]
    pub fn is_on_second_screen(&self) -> bool {
        self.shared.lock().model.screen().alternate_screen()
    }

    /// All bytes so far.
    #[must_use]
    pub fn transcript(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.shared.lock().bytes.to_vec())
    }

    /// Waits until more than these many bytes have come in all.
    ///
    /// # Errors
    /// They do not come.
    pub fn answers(&self, from: usize) -> Result<()> {
        let until = Instant::now() + SOON;
        let mut seen = self.shared.lock();
        while seen.bytes.len() <= from {
            let left = until.saturating_duration_since(Instant::now());
            ensure!(!seen.ended && !left.is_zero(), "a key is not answered");
            seen = self.shared.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Waits until the screen has stood still for this long.
    ///
    /// # Errors
    /// It never does.
    pub fn stands_still(&self, quiet: Duration) -> Result<()> {
        let until = Instant::now() + SOON;
        let mut seen = self.shared.lock();
        loop {
            let since = seen.pieces.last().map_or(quiet, |(at, _)| at.elapsed());
            if seen.ended || since >= quiet {
                return Ok(());
            }
            ensure!(Instant::now() < until, "the screen never stands still");
            seen = self.shared.changed.wait_timeout(seen, quiet - since).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What came after the first `from` bytes: the pieces, each with how long it was waited for since
    /// the one before.
    #[must_use]
    pub fn pieces_after(&self, from: usize) -> Vec<(Duration, Zeroizing<Vec<u8>>)> {
        let seen = self.shared.lock();
        let (mut start, mut before) = (0, None);
        let mut pieces = Vec::new();
        for (at, end) in &seen.pieces {
            if *end > from {
                let waited = before.map_or(Duration::ZERO, |before: Instant| at.duration_since(before));
                pieces.push((waited, Zeroizing::new(seen.bytes[start.max(from)..*end].to_vec())));
            }
            (start, before) = (*end, Some(*at));
        }
        pieces
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// A signal ended it, or it does not end.
    pub fn ends(&mut self) -> Result<u32> {
        let until = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.signal().is_none(), "a signal ended it");
                break Ok(status.exit_code());
            }
            ensure!(Instant::now() < until, "it does not end");
            // An end is no event that could be waited for with a deadline.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that the terminal shows or has kept, after the end.
    ///
    /// # Errors
    /// It is not at its end.
    pub fn left(&self) -> Result<String> {
        let until = Instant::now() + SOON;
        let mut seen = self.shared.lock();
        while !seen.ended {
            let left = until.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "the terminal is still open");
            seen = self.shared.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let screen = seen.model.screen_mut();
        let mut all = String::new();
        for back in (0..=screen.scrollback_len()).rev() {
            screen.set_scrollback(back);
            all.push_str(&screen.contents());
            all.push('\n');
        }
        Ok(all)
    }

    /// That none of these words is left anywhere.
    ///
    /// # Errors
    /// The word, and what is left.
    pub fn keeps_none_of(&self, words: &str) -> Result<String> {
        let left = self.left()?;
        for word in words.split(' ') {
            ensure!(!left.contains(word), "`{word}` is left on the terminal:\n{left}");
        }
        Ok(left)
    }

    /// The same of words that the agent has drawn: one that it says anyway is no sign of a leak.
    ///
    /// # Errors
    /// As [`Self::keeps_none_of`].
    pub fn keeps_none_drawn(&self, words: &str) -> Result<String> {
        let left = self.left()?;
        none_drawn(&left, words)?;
        Ok(left)
    }
}

impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Customer").finish_non_exhaustive()
    }
}

impl Drop for Customer {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            if let Some(group) = self.child.process_id().and_then(|id| i32::try_from(id).ok()) {
                let _gone_already = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _reaped_already = self.child.wait();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That none of these drawn words stands in what is left on a terminal, but for those that the programs
/// say anyway: `version` and `backup` are in the list, as some hundred others of theirs.
///
/// # Errors
/// The word, and what is left.
pub fn none_drawn(left: &str, words: &str) -> Result<()> {
    let said = said_anyway()?;
    let there: BTreeSet<&str> = whole_words(left).collect();
    let leaked = words.split(' ').find(|word| there.contains(word) && !said.contains(*word));
    ensure!(leaked.is_none(), "`{}` is left on the terminal:\n{left}", leaked.unwrap_or_default());
    Ok(())
}

fn whole_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_lowercase() && c != '-').filter(|word| !word.is_empty())
}

/// What the programs can say, by the texts in their sources. Their tests' own words are not theirs.
fn said_anyway() -> Result<BTreeSet<String>> {
    let mut said: BTreeSet<String> = ["bakery", "ledger", "shop"].map(str::to_owned).into();
    let mut folders = ["agent", "pbs-driver", "pve-fixtures", "pbs-local"]
        .map(|room| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(room).join("src"))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path)?;
                let text = text.split("#[cfg(test)]").next().unwrap_or_default();
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let code = lines.collect::<Vec<_>>().join("\n");
                said.extend(code.split('"').skip(1).step_by(2).flat_map(whole_words).map(str::to_owned));
            }
        }
    }
    Ok(said)
}

/// A terminal without a second screen passes over the order to change to it.
fn without_screens(bytes: &[u8], alternate: bool) -> Vec<u8> {
    if alternate {
        return bytes.to_vec();
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(byte) = rest.first() {
        if rest.starts_with(b"\x1b[?1049h") || rest.starts_with(b"\x1b[?1049l") {
            rest = &rest[8..];
        } else {
            kept.push(*byte);
            rest = &rest[1..];
        }
    }
    kept
}

fn number(of: u16) -> NonZeroU16 {
    NonZeroU16::new(of).unwrap_or(NonZeroU16::MIN)
}

#[cfg(test)]
mod tests {
    use rand::{rand_core::UnwrapErr, rngs::SysRng};
    use tenwords_escrow::code::RecoveryCode;

    use super::*;

    #[test]
    fn a_drawn_word_that_is_left_is_found_unless_it_is_said_anyway() -> Result<()> {
        let said = said_anyway()?;
        assert!(said.contains("version") && said.contains("backup") && !said.contains("zesty"));
        for left in ["version 3 zesty\n", "3. zesty", "zesty,"] {
            assert!(none_drawn(left, "backup version zesty").is_err(), "{left:?}");
        }
        none_drawn("Protected: version 3, zestiest", "backup version zesty")?;
        // Hardly a word of the list is passed over.
        let codes: Vec<RecoveryCode> = (0..40).map(|_| RecoveryCode::draw(&mut UnwrapErr(SysRng))).collect();
        let passed = codes.iter().flat_map(RecoveryCode::expose_words).filter(|word| said.contains(*word)).count();
        assert!(passed < 60, "{passed} of 400 words are said anyway");
        Ok(())
    }
}
