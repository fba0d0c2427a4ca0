//! The flows that are on: for each connection a request, then a child that does it.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use crate::{
    console::message::{self, Kind, MessageError, Op, Request},
    interrupt, itself,
    language::Language,
};

/// So many consoles are attended at once.
const MOST: usize = 4;
/// In this time a console has said what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Flows {
    config: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: usize,
    /// Children that were not waited for yet, so that these numbers are still theirs.
    children: BTreeSet<i32>,
    is_ending: bool,
}

/// A console until a moment: however slowly it speaks, it is not waited for longer.
struct Until<'a>(&'a UnixStream, Instant);

impl Flows {
    pub(super) fn new(config: &Path) -> Self {
        Self { config: config.to_owned(), state: Mutex::default(), changed: Condvar::new() }
    }

    /// Attends this console, beside the others.
    pub(super) fn begin(self: &Arc<Self>, stream: UnixStream) {
        let mut state = self.lock();
        if state.open == MOST {
            tracing::warn!("a console was turned away: {MOST} are attended already");
            return;
        }
        state.open += 1;
        let flows = Arc::clone(self);
        let attend = move || {
            flows.attend(stream);
            flows.lock().open -= 1;
            flows.changed.notify_all();
        };
        if let Err(error) = thread::Builder::new().name("console".into()).spawn(attend) {
            tracing::warn!(%error, "a console was turned away");
            state.open -= 1;
        }
    }

    /// Tells every flow to end, and waits until all have.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_ending = true;
        for child in &state.children {
            let _ended_already = kill(Pid::from_raw(*child), Signal::SIGTERM);
        }
        while state.open > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn attend(&self, stream: UnixStream) {
        let request = match request(&stream, PATIENCE) {
            Ok(request) => request,
            // Somebody has looked whether anybody is here.
            Err(MessageError::Closed) => return,
            Err(error) => return tracing::warn!(%error, "a console did not say what it wants"),
        };
        match self.child(stream, &request).map(|child| child.map(|child| self.to_end(child))) {
            Ok(None) => {}
            Ok(Some(Ok(status))) => tracing::info!(op = ?request.op, %status, "a flow has ended"),
            Ok(Some(Err(error))) | Err(error) => tracing::warn!(op = ?request.op, %error, "a flow could not be held"),
        }
    }

    /// This same program, with the console as its standard input; none if the service is ending.
    fn child(&self, stream: UnixStream, request: &Request) -> io::Result<Option<Child>> {
        let mut command = itself::command(&self.config);
        command.arg("--seat").args(arguments(request.op));
        command.env("TENWORDS_LANGUAGE", Language::code(request.language));
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(stream))).stdout(Stdio::null());
        let mut state = self.lock();
        if state.is_ending {
            return Ok(None);
        }
        let child = command.spawn()?;
        state.children.insert(number(&child));
        Ok(Some(child))
    }

    fn to_end(&self, mut child: Child) -> io::Result<ExitStatus> {
        let number = number(&child);
        // It is forgotten before its number can become another's.
        let ended = waitid(Id::Pid(Pid::from_raw(number)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        self.lock().children.remove(&number);
        ended?;
        child.wait()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(stream: &UnixStream, patience: Duration) -> Result<Request, MessageError> {
    let message = message::read(&mut Until(stream, Instant::now() + patience))?;
    if !message.expose_secret().is_empty() || !message.blobs().is_empty() {
        return Err(MessageError::TooLong);
    }
    message.text(Kind::Request)
}

/// The command that does what the console wants.
fn arguments(op: Op) -> &'static [&'static str] {
    match op {
        Op::Status => &["status"],
        Op::Ceremony => &["escrow", "create"],
        Op::DrillWords => &["drill", "--words"],
        Op::Recover => &["recover"],
        Op::LostWords => &["lost-words"],
    }
}

fn number(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap_or(i32::MAX)
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !interrupt::wait_briefly(self.0)? {
            if Instant::now() >= self.1 {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        if Instant::now() >= self.1 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        (&mut &*self.0).read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tenwords_protocol::v1::V1;

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const REQUEST: Request = Request { v: V1, op: Op::Recover, language: Language::German };

    #[test]
    fn a_request_is_read_and_nothing_behind_it() -> Tested {
        let (mut console, service) = UnixStream::pair()?;
        message::write(&mut console, Kind::Request, &REQUEST, &[], &[])?;
        console.write_all(b"what the child is told")?;
        assert_eq!(request(&service, PATIENCE)?.op, Op::Recover);
        let mut left = [0; 22];
        (&service).read_exact(&mut left)?;
        assert_eq!(&left, b"what the child is told");
        Ok(())
    }

    #[test]
    fn a_request_with_more_in_it_or_of_another_kind_is_none() -> Tested {
        let (mut console, service) = UnixStream::pair()?;
        message::write(&mut console, Kind::Request, &REQUEST, b"words that nobody asked for", &[])?;
        assert!(matches!(request(&service, PATIENCE), Err(MessageError::TooLong)));
        message::write(&mut console, Kind::Answer, &REQUEST, &[], &[])?;
        assert!(matches!(request(&service, PATIENCE), Err(MessageError::Unexpected)));
        Ok(())
    }

    #[test]
    fn a_console_that_says_a_byte_now_and_then_is_not_waited_for() -> Tested {
        let (mut console, service) = UnixStream::pair()?;
        console.write_all(&[Kind::Request as u8, 0, 0])?;
        // The time is over before it begins; that no time is long enough needs none.
        let read = request(&service, Duration::ZERO);
        assert!(matches!(read, Err(MessageError::Broken(error)) if error.kind() == io::ErrorKind::TimedOut));
        Ok(())
    }
}
