//! PVE's way of running a task: a worker in a session of its own, its output passed on, its end told
//! over a pipe; and PVE's way of running a program inside it.
//!
//! A SIGTERM, SIGINT or SIGQUIT at the program becomes a SIGTERM at the worker's whole group, and the
//! fourth one a SIGKILL. The worker then stops what it runs, cleans up and says why. Signals are read
//! from a descriptor, since a handler takes unsafe code.

use std::{
    cell::RefCell,
    env,
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal, killpg},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::{Pid, setsid},
};

use crate::{Died, arguments::Own, root::Root};

/// Where a task's words go. A reader that is gone ends the worker as SIGPIPE ends PVE's: at once, with
/// nothing cleaned up.
#[derive(Debug)]
pub(crate) struct Output;

impl Output {
    pub(crate) fn tell(text: &str) {
        let mut out = io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(141);
        }
    }

    /// On standard error; in a worker that is the same pipe.
    pub(crate) fn tell_error(text: &str) {
        if io::stderr().lock().write_all(text.as_bytes()).is_err() {
            std::process::exit(141);
        }
    }
}

/// Told once that somebody wants the task to stop; afterwards signals change nothing, so that the
/// clean-up is done to its end.
#[derive(Debug)]
pub(crate) struct Interrupt {
    signals: SignalFd,
    seen: RefCell<bool>,
    words: &'static str,
}

impl Interrupt {
    fn new(words: &'static str) -> Result<Self, Died> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
            set.add(signal);
        }
        let failed = |errno: Errno| format!("fixture: {errno}");
        set.thread_block().map_err(failed)?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        Ok(Self { signals, seen: RefCell::new(false), words })
    }

    /// For what runs outside of a task: signals do what they always do.
    pub(crate) fn none() -> Result<Self, Died> {
        let failed = |errno: Errno| format!("fixture: {errno}");
        let signals = SignalFd::with_flags(&SigSet::empty(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        Ok(Self { signals: signals.map_err(failed)?, seen: RefCell::new(false), words: "" })
    }

    /// An error if somebody wants it, the first time that this is asked then.
    pub(crate) fn check(&self) -> Result<(), Died> {
        if matches!(self.signals.read_signal(), Ok(Some(_))) && !self.seen.replace(true) {
            return Err(self.words.to_owned());
        }
        Ok(())
    }

    /// Runs a program: nothing on its stdin, its words passed on or kept.
    pub(crate) fn run(&self, mut command: Command, shown: &str, keep: Keep<'_>) -> Result<(), Died> {
        let failed = |why: &str| format!("command '{shown}' failed: {why}");
        let (kept, message) = match keep {
            Keep::Nothing => (None, None),
            Keep::Stdout(kept) => (Some(kept), None),
            Keep::StdoutUnder(kept, message) => (Some(kept), Some(message)),
        };
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| failed(&format!("failed to execute - {error}")))?;
        let stopped = self.pass_on(&mut child, kept, message.is_some());
        let ended = child.wait().map_err(|error| failed(&error.to_string()))?;
        let last = stopped.map_err(|why| failed(&why))?;
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = ended.signal() {
            return Err(failed(&format!("got signal {signal}")));
        }
        let code = ended.code().unwrap_or(0);
        match (code, message) {
            (0, Some(_)) => {
                if !last.is_empty() {
                    Output::tell_error(&format!("{last}\n"));
                }
                Ok(())
            }
            (0, None) => Ok(()),
            (_, Some(message)) if !last.is_empty() => Err(format!("{message}: {last}")),
            (code, Some(message)) => Err(format!("{message}: exit code {code}")),
            (code, None) => Err(failed(&format!("exit code {code}"))),
        }
    }

    /// Until both pipes are at their end. With `hold` the last line of stderr is handed back.
    fn pass_on(&self, child: &mut Child, mut kept: Option<&mut Vec<u8>>, hold: bool) -> Result<String, Died> {
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let mut last = String::new();
        let mut line = Vec::new();
        let mut buffer = [0; 4096];
        while out.is_some() || err.is_some() {
            self.check()?;
            let fds = [out.as_ref().map(|pipe| pipe.as_fd()), err.as_ref().map(|pipe| pipe.as_fd())];
            let ready = ready(fds)?;
            if ready[0] {
                match read(out.as_mut(), &mut buffer)? {
                    0 => out = None,
                    n => match &mut kept {
                        Some(kept) => kept.extend_from_slice(&buffer[..n]),
                        None => Output::tell(&String::from_utf8_lossy(&buffer[..n])),
                    },
                }
            }
            if ready[1] {
                match read(err.as_mut(), &mut buffer)? {
                    0 => err = None,
                    n if !hold => Output::tell_error(&String::from_utf8_lossy(&buffer[..n])),
                    n => {
                        line.extend_from_slice(&buffer[..n]);
                        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                            let rest = line.split_off(end + 1);
                            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                            if !last.is_empty() {
                                Output::tell_error(&format!("{last}\n"));
                            }
                            last = text;
                            line = rest;
                        }
                    }
                }
            }
        }
        Ok(last)
    }
}

/// What is kept of a program's words.
#[derive(Debug)]
pub(crate) enum Keep<'a> {
    /// Everything is passed on.
    Nothing,
    /// Its stdout.
    Stdout(&'a mut Vec<u8>),
    /// Its stdout; its last line on stderr follows these words if it fails.
    StdoutUnder(&'a mut Vec<u8>, &'static str),
}

/// Runs `task` as PVE runs a task. In the program that was started this starts the worker, passes its
/// words on and hands its end back; in the worker, where the same words lead to the same place, it
/// runs the task and does not come back.
pub(crate) fn task(
    own: &Own,
    words: &'static str,
    task: impl FnOnce(&Interrupt) -> Result<(), Died>,
) -> Result<(), Died> {
    let Some(end) = own.worker else { return attend() };
    let _ = setsid();
    let done = Interrupt::new(words).and_then(|interrupt| task(&interrupt));
    let message = match &done {
        Ok(()) => "TASK OK\n".to_owned(),
        Err(why) => format!("TASK ERROR: {}\n", why.trim_end_matches('\n').replace('\n', " ")),
    };
    // Adopting a raw number takes unsafe code; the pipe is opened again by its place in /proc.
    let told = File::options()
        .write(true)
        .open(format!("/proc/self/fd/{end}"))
        .and_then(|mut pipe| pipe.write_all(message.as_bytes()));
    std::process::exit(if done.is_ok() && told.is_ok() { 0 } else { 255 });
}

/// Where the configuration of a restored guest is written, and its pool does not have it yet: with a file
/// `var/fixture/cut-off-N` the worker says by another one beside it (`cut-off-N.reached`) that it has come there, waits
/// until the first is removed, and is then gone, as PVE's is where it writes to nobody or is killed.
pub(crate) fn cut_off(root: &Root, vmid: u32) {
    let (file, reached) = ["", ".reached"].map(|end| root.path(format!("/var/fixture/cut-off-{vmid}{end}"))).into();
    if !file.exists() || fs::write(reached, "").is_err() {
        return;
    }
    while file.exists() {
        thread::sleep(Duration::from_millis(20));
    }
    std::process::exit(141);
}

fn attend() -> Result<(), Died> {
    let failed = |error: io::Error| format!("starting worker failed: {error}");
    let (mut output, into_output) = io::pipe().map_err(failed)?;
    let (mut end, into_end) = io::pipe().map_err(failed)?;
    fcntl(&into_end, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|errno| failed(errno.into()))?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        signals.add(signal);
    }
    signals.thread_block().map_err(|errno| failed(errno.into()))?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(|errno| failed(errno.into()))?;
    let mut worker = start(into_end.as_raw_fd(), &into_output).map_err(failed)?;
    drop((into_output, into_end));
    let group = Pid::from_raw(i32::try_from(worker.id()).map_err(|_| "starting worker failed".to_owned())?);
    let (mut asked, mut told) = (0, 0);
    let mut buffer = [0; 4096];
    loop {
        while matches!(signals.read_signal(), Ok(Some(_))) {
            asked += 1;
        }
        // Before the worker has its session there is nobody to tell: it is told at the next look.
        while told < asked && killpg(group, if told < 3 { Signal::SIGTERM } else { Signal::SIGKILL }).is_ok() {
            told += 1;
        }
        if !ready([Some(output.as_fd())])?[0] {
            continue;
        }
        match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => Output::tell(&String::from_utf8_lossy(&buffer[..n])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("sync pipe read error: {error}")),
        }
    }
    let _ = killpg(group, Signal::SIGKILL);
    let _ = worker.wait();
    let mut message = String::new();
    end.read_to_string(&mut message).map_err(failed)?;
    match message.strip_prefix("TASK ERROR: ") {
        Some(why) => Err(why.trim_end().to_owned()),
        None if message == "TASK OK\n" => Ok(()),
        None => Err(format!("got unexpected control message: {message}")),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "PVE's programs run their work in a process of its own, and so does the fixture"
)]
fn start(end: i32, output: &io::PipeWriter) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--fixture-worker", &end.to_string()]).args(env::args_os().skip(1));
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    command.spawn()
}

/// A program with the environment that PVE's helper gives it.
#[expect(clippy::disallowed_methods, reason = "the fixture calls the programs that PVE calls")]
pub(crate) fn program(path: &std::path::Path) -> Command {
    let mut command = Command::new(path);
    command.env("PATH", "/sbin:/bin:/usr/sbin:/usr/bin").env("LC_ALL", "C").env("LVM_SUPPRESS_FD_WARNINGS", "1");
    command
}

/// Which of these have something (an end counts), after a tick at most.
fn ready<const N: usize>(fds: [Option<BorrowedFd<'_>>; N]) -> Result<[bool; N], Died> {
    let mut polled: Vec<PollFd<'_>> = fds.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match poll(&mut polled, PollTimeout::from(20_u8)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.to_string()),
    }
    let mut polled = polled.iter().map(|fd| fd.any().unwrap_or(true));
    Ok(fds.map(|fd| fd.is_some() && polled.next().unwrap_or(false)))
}

fn read(pipe: Option<&mut impl Read>, buffer: &mut [u8]) -> Result<usize, Died> {
    let Some(pipe) = pipe else { return Ok(0) };
    loop {
        match pipe.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(|error| error.to_string()),
        }
    }
}

/// Makes a folder and what leads to it.
pub(crate) fn make_path(path: &std::path::Path) -> Result<(), Died> {
    fs::create_dir_all(path).map_err(|error| format!("mkdir {}: {error}", path.display()))
}
