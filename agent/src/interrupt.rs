//! Signals end a command through its own way out: the screen is wiped, the terminal set back, the
//! client's group ended, the private copies removed. A second signal ends it at once.

use std::{
    io,
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering},
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
        while signals.wait().is_ok() {
            if ENDING.swap(true, Ordering::SeqCst) {
                terminal::wipe_at_once();
                std::process::exit(i32::from(Code::Interrupted as u8));
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map(drop).or_stop(Code::Internal, cannot)
}

/// Whether the command is to end.
pub(crate) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
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
