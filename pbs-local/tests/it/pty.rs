//! A terminal with the binary on it, and patience with a deadline.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::termios::{FlowArg, LocalFlags, SetArg, tcflow, tcgetattr, tcsetattr},
};

use crate::support::Bench;

const DEADLINE: Duration = Duration::from_secs(60);

/// Which streams are on the terminal; standard input always is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring {
    pub(crate) controlling: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

impl Wiring {
    pub(crate) const ALL: Self = Self { controlling: true, stdout: true, stderr: true };
}

pub(crate) struct Pty {
    child: Child,
    master: File,
    /// Everything that came and was not yet taken.
    seen: Vec<u8>,
    stderr: Option<thread::JoinHandle<Vec<u8>>>,
    stdout: Option<thread::JoinHandle<Vec<u8>>>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// What came after the last thing taken.
    pub(crate) tty: Vec<u8>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Pty {
    pub(crate) fn spawn(bench: &Bench, words: &[&str], wiring: Wiring) -> Self {
        Self::spawn_with(bench, words, wiring, |_| {})
    }

    /// `before` may type ahead or change settings on the master before the program starts.
    pub(crate) fn spawn_with(bench: &Bench, words: &[&str], wiring: Wiring, before: impl Fn(&mut File)) -> Self {
        let pair = nix::pty::openpty(None, None).unwrap();
        let mut master = File::from(pair.master);
        before(&mut master);
        Self::spawn_on(bench, words, wiring, master, pair.slave)
    }

    /// On a terminal whose output stands still, as after Ctrl-S, until it is let go on with the other end
    /// that comes back.
    pub(crate) fn spawn_held(bench: &Bench, words: &[&str]) -> (Self, OwnedFd) {
        let pair = nix::pty::openpty(None, None).unwrap();
        tcflow(&pair.slave, FlowArg::TCOOFF).unwrap();
        let held = pair.slave.try_clone().unwrap();
        (Self::spawn_on(bench, words, Wiring::ALL, File::from(pair.master), pair.slave), held)
    }

    /// Whether the program sleeps, in some system call.
    pub(crate) fn sleeps(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        stat.contains("(pbs-local) S ")
    }

    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.master).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    fn spawn_on(bench: &Bench, words: &[&str], wiring: Wiring, master: File, slave: OwnedFd) -> Self {
        // setsid makes the terminal the controlling one without unsafe code.
        let mut command = Command::new("setsid");
        if wiring.controlling {
            command.arg("--ctty");
        }
        command.arg(env!("CARGO_BIN_EXE_pbs-local")).args(&bench.own).args(words);
        bench.prepare(&mut command);
        let stream = |on: bool| if on { Stdio::from(slave.try_clone().unwrap()) } else { Stdio::piped() };
        command.stdin(stream(true)).stdout(stream(wiring.stdout)).stderr(stream(wiring.stderr));
        let mut child = command.spawn().unwrap();
        drop(command);
        drop(slave);
        let drain = |mut from: Box<dyn std::io::Read + Send>| {
            thread::spawn(move || {
                let mut all = Vec::new();
                from.read_to_end(&mut all).unwrap();
                all
            })
        };
        let stdout = child.stdout.take().map(|from| drain(Box::new(from)));
        let stderr = child.stderr.take().map(|from| drain(Box::new(from)));
        Self { child, master, seen: Vec::new(), stderr, stdout }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until exactly this has come, takes it, and waits until the terminal is raw.
    #[track_caller]
    pub(crate) fn prompt(&mut self, text: &[u8]) {
        self.take(text);
        let start = Instant::now();
        loop {
            let flags = tcgetattr(&self.master).unwrap().local_flags;
            if !flags.intersects(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "the terminal never became raw");
            thread::yield_now();
        }
    }

    /// Waits until exactly this has come, and takes it.
    #[track_caller]
    pub(crate) fn take(&mut self, text: &[u8]) {
        let start = Instant::now();
        while self.seen.len() < text.len() {
            let left = DEADLINE.saturating_sub(start.elapsed());
            assert!(self.read(left), "wanted {:?}, only saw {:?}", text.escape_ascii().to_string(), self.shown());
        }
        assert_eq!(self.shown(), text.escape_ascii().to_string());
        self.seen.clear();
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub(crate) fn finish(mut self) -> Ended {
        use std::os::unix::process::ExitStatusExt as _;
        let start = Instant::now();
        while self.read(DEADLINE.saturating_sub(start.elapsed())) {}
        assert!(start.elapsed() < DEADLINE, "it did not end; saw {:?}", self.shown());
        let status = self.child.wait().unwrap();
        let collect = |thread: Option<thread::JoinHandle<Vec<u8>>>| thread.map(|it| it.join().unwrap());
        Ended {
            code: status.code(),
            signal: status.signal(),
            tty: std::mem::take(&mut self.seen),
            stdout: collect(self.stdout.take()).unwrap_or_default(),
            stderr: String::from_utf8(collect(self.stderr.take()).unwrap_or_default()).unwrap(),
        }
    }

    /// Reads once; false at the end of the conversation or of patience.
    fn read(&mut self, patience: Duration) -> bool {
        let timeout = PollTimeout::try_from(patience.as_millis()).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            // EIO: the last one on the other side has gone.
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.seen.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }

    fn shown(&self) -> String {
        self.seen.escape_ascii().to_string()
    }
}

/// Clears ECHO before the program starts, as a careful driver does.
pub(crate) fn quiet(master: &mut File) {
    let mut settings = tcgetattr(&*master).unwrap();
    settings.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&*master, SetArg::TCSANOW, &settings).unwrap();
}
