//! Signals end a command through its own way out: the screen is wiped, the terminal set back, the
//! client's group ended, the private copies removed. A second signal ends it at once.
//!
//! The daemon is told by a descriptor that it can wait for, and for it SIGHUP means to read its
//! configuration anew.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{SigSet, Signal},
};

use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    terminal,
};

/// How often a wait looks whether the command is to end.
const LOOK_MILLISECONDS: u16 = 200;

static ENDING: AtomicBool = AtomicBool::new(false);
static RELOADING: AtomicBool = AtomicBool::new(false);
/// Where a byte is put for each signal, once somebody waits for it.
static BELL: OnceLock<UnixStream> = OnceLock::new();

/// Takes the signals over; before any thread or child is started. (Children begin with the
/// default: the standard library clears the mask before exec.)
pub(crate) fn install() -> Outcome<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        signals.add(signal);
    }
    let cannot = || "cannot take over the signals".to_owned();
    signals.thread_block().or_stop(Code::Internal, cannot)?;
    let watch = move || {
        while let Ok(signal) = signals.wait() {
            let bell = BELL.get();
            if signal == Signal::SIGHUP && bell.is_some() {
                RELOADING.store(true, Ordering::SeqCst);
            } else if ENDING.swap(true, Ordering::SeqCst) {
                terminal::wipe_at_once();
                std::process::exit(i32::from(Code::Interrupted as u8));
            }
            // One that is full has rung already.
            let _full = bell.map(|mut bell| bell.write(&[0]));
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map(drop).or_stop(Code::Internal, cannot)
}

/// A descriptor that can be read after each signal; from now on SIGHUP asks for the configuration.
pub(crate) fn bell() -> Outcome<Bell> {
    let cannot = || "cannot wait for the signals".to_owned();
    let (ours, theirs) = UnixStream::pair().or_stop(Code::Internal, cannot)?;
    for end in [&ours, &theirs] {
        end.set_nonblocking(true).or_stop(Code::Internal, cannot)?;
    }
    match BELL.set(theirs) {
        Ok(()) => Ok(Bell(ours)),
        Err(_) => Err(Stop::new(Code::Internal, cannot())),
    }
}

/// Rings at each signal.
pub(crate) struct Bell(UnixStream);

impl Bell {
    /// Whether the configuration is to be read anew, since the last time that this was asked. Quiet again
    /// until the next signal.
    pub(crate) fn is_reload(&mut self) -> bool {
        while matches!(self.0.read(&mut [0; 16]), Ok(1..)) {}
        RELOADING.swap(false, Ordering::SeqCst)
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether the command is to end.
pub(crate) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// It is to end for another reason than a signal.
pub(crate) fn end() {
    ENDING.store(true, Ordering::SeqCst);
}

/// Stops between two steps if the command is to end.
pub(crate) fn check() -> Outcome<()> {
    if is_ending() { Err(stop()) } else { Ok(()) }
}

/// Why it stopped.
pub(crate) fn stop() -> Stop {
    Stop::new(Code::Interrupted, "interrupted")
        .remedy("run the same command again; it goes on or begins anew by itself")
}

/// Waits until something can be read, or the command is to end (`Interrupted`).
pub(crate) fn wait_readable(file: &impl AsFd) -> io::Result<()> {
    while !wait_briefly(file)? {}
    Ok(())
}

/// Waits for a fifth of a second at most, and tells whether something can be read. That the command
/// is to end is an error (`Interrupted`).
pub(crate) fn wait_briefly(file: &impl AsFd) -> io::Result<bool> {
    if is_ending() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let mut waited = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    match poll(&mut waited, PollTimeout::from(LOOK_MILLISECONDS)) {
        Ok(0) | Err(Errno::EINTR) => Ok(false),
        Ok(_) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
