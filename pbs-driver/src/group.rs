//! A child and everything that it started: killed and reaped together, on every way out.
//!
//! The child leads its process group. Its end is *looked at* without being reaped
//! (`WNOWAIT`), then the group is killed, then the child is reaped: while it is a zombie, its number
//! cannot be given to anybody else, so the kill can never hit a stranger. What leaves the group on
//! its own account (a daemon with a session of its own) is out of reach, and never waited for.

use std::{
    fmt, io, thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

/// Somebody who can take the child's exit status off the system.
pub(crate) trait Reap: Send {
    /// The child's process id, also its group's.
    fn id(&self) -> Option<u32>;
    /// Waits for the child's end and removes the zombie.
    fn reap(&mut self) -> io::Result<()>;
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody can say: its status was taken by somebody else.
    Lost,
}

/// The owner of a running child. Dropping it ends the whole group.
pub(crate) struct Group {
    child: Option<Box<dyn Reap>>,
    pid: Pid,
    exit: Option<Exit>,
}

impl Group {
    pub(crate) fn new(child: Box<dyn Reap>) -> io::Result<Self> {
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .filter(|id| *id > 1)
            .ok_or_else(|| io::Error::other("the child has no process id"))?;
        Ok(Self { child: Some(child), pid: Pid::from_raw(pid), exit: None })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended, if it has.
    pub(crate) fn look(&mut self) -> Option<Exit> {
        if self.exit.is_none() {
            self.exit = look(self.pid);
        }
        self.exit
    }

    /// Kills the group and reaps the child, however far it has come. Can be called again.
    pub(crate) fn end(&mut self) -> Exit {
        let Some(mut child) = self.child.take() else { return self.exit.unwrap_or(Exit::Lost) };
        let ended_by_itself = self.look();
        // The child made the group before it ran; should that ever have failed, it is hit alone.
        let _ = killpg(self.pid, Signal::SIGKILL);
        if ended_by_itself.is_none() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        let patience = Instant::now() + REAP;
        while self.look().is_none() && Instant::now() < patience {
            thread::sleep(TICK);
        }
        if self.exit.is_some() {
            let _ = child.reap();
        } else {
            // Stuck in the kernel (a dead network disk): killed already, reaped when it lets go.
            thread::spawn(move || child.reap());
        }
        self.exit.unwrap_or(Exit::Lost)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("pid", &self.pid).field("exit", &self.exit).finish_non_exhaustive()
    }
}

fn look(pid: Pid) -> Option<Exit> {
    match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG) {
        Ok(WaitStatus::Exited(_, code)) => Some(Exit::Code(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(Exit::Signal(signal as i32)),
        Ok(_) | Err(Errno::EINTR) => None,
        Err(_) => Some(Exit::Lost),
    }
}

/// How long a killed child may take to be gone before it is left to a thread.
const REAP: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(1);
