//! What the customer sees: a real pty, and a model of the screen behind it.

use std::{
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
pub(crate) struct Kind {
    pub(crate) term: &'static str,
    pub(crate) lang: &'static str,
    pub(crate) rows: u16,
    pub(crate) columns: u16,
    /// Whether it has a second screen.
    pub(crate) alternate: bool,
}

impl Kind {
    pub(crate) const USUAL: Self =
        Self { term: "xterm-256color", lang: "en_US.UTF-8", rows: 24, columns: 80, alternate: true };
}

/// Somebody who sits at a terminal.
pub(crate) struct Customer {
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
    ended: bool,
}

impl Customer {
    /// Starts this at such a terminal.
    pub(crate) fn at(kind: Kind, command: &[&str], environment: &[(String, String)], folder: &Path) -> Result<Self> {
        Self::on_terminal_of(None, kind, command, environment, folder)
    }

    /// The same at a terminal that is this user's, as after a login.
    pub(crate) fn on_terminal_of(
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
        let seen = Seen { model, bytes: Zeroizing::new(Vec::with_capacity(1 << 20)), ended: false };
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
    pub(crate) fn sees(&self, texts: &[&str]) -> Result<String> {
        let until = Instant::now() + SOON;
        let mut seen = self.shared.lock();
        loop {
            let shown = seen.model.screen().contents();
            let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            let missing: Vec<_> = texts.iter().filter(|text| !flat.contains(text.trim())).collect();
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

    pub(crate) fn types(&mut self, keys: impl AsRef<[u8]>) -> Result<()> {
        self.writer.write_all(keys.as_ref()).and_then(|()| self.writer.flush()).context("typing")
    }

    pub(crate) fn resizes(&self, rows: u16, columns: u16) -> Result<()> {
        self.shared.lock().model.set_size(number(rows), number(columns));
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).map_err(|error| anyhow!("resizing: {error}"))
    }

    pub(crate) fn signals(&self, signal: Signal) -> Result<()> {
        let id = self.child.process_id().context("it runs")?;
        Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
    }

    pub(crate) fn process_id(&self) -> Result<u32> {
        self.child.process_id().context("it runs")
    }

    /// Whether the kernel would show what is typed.
    pub(crate) fn echoes(&self) -> Result<bool> {
        let termios = self.master.get_termios().context("the terminal is open")?;
        Ok(termios.local_flags.bits() & LocalFlags::ECHO.bits() != 0)
    }

    pub(crate) fn is_paste_marked(&self) -> bool {
        self.shared.lock().model.screen().bracketed_paste()
    }

    pub(crate) fn is_on_second_screen(&self) -> bool {
        self.shared.lock().model.screen().alternate_screen()
    }

    /// All bytes so far.
    pub(crate) fn transcript(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.shared.lock().bytes.to_vec())
    }

    /// Waits for the end.
    pub(crate) fn ends(&mut self) -> Result<u32> {
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
    pub(crate) fn left(&self) -> Result<String> {
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
    pub(crate) fn keeps_none_of(&self, words: &str) -> Result<String> {
        let left = self.left()?;
        for word in words.split(' ') {
            ensure!(!left.contains(word), "`{word}` is left on the terminal:\n{left}");
        }
        Ok(left)
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
