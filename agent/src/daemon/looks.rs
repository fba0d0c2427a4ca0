//! The looks at files, in a thread that may hang: a pmxcfs whose process is stuck answers no call, and the
//! daemon goes on with everything else.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::mpsc,
    thread,
    time::Duration,
};

use super::{
    course::Moment,
    watch::{Eye, Look},
};
use crate::{
    exit::{Code, Outcome, Stop},
    recover,
    settings::Configuration,
};

/// So long a look may take before the files count as away.
const PATIENCE: Duration = Duration::from_secs(30);
/// It needs little: names and buffers of a file.
const STACK: usize = 256 << 10;

pub(super) struct Looks {
    ask: mpsc::Sender<Ask>,
    answers: mpsc::Receiver<Answer>,
    bell: UnixStream,
    /// The look that is not answered yet.
    open: Option<Moment>,
}

/// What one look has brought.
pub(super) struct Answer {
    pub(super) look: Look,
    /// Whether a recovery goes on on this machine.
    pub(super) is_held: bool,
}

struct Ask {
    wall: i64,
    /// Look by this configuration from now on.
    reload: Option<Box<Configuration>>,
}

impl Looks {
    pub(super) fn begin(configuration: &Configuration) -> io::Result<Self> {
        let (ask, asks) = mpsc::channel::<Ask>();
        let (tell, answers) = mpsc::channel();
        let (bell, mut ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ring.set_nonblocking(true)?;
        let mut configuration = configuration.clone();
        let mut eye = Eye::new(configuration.settings.clone());
        let work = move || {
            while let Ok(Ask { wall, reload }) = asks.recv() {
                if let Some(reload) = reload {
                    eye.reload(reload.settings.clone());
                    configuration = *reload;
                }
                let look = eye.look(wall);
                let is_held = recover::status::is_going_on(&configuration);
                if tell.send(Answer { look, is_held }).is_err() {
                    return;
                }
                let _rung_already = ring.write(&[0]);
            }
        };
        thread::Builder::new().name("looks".into()).stack_size(STACK).spawn(work)?;
        Ok(Self { ask, answers, bell, open: None })
    }

    /// Has a look done, unless the last one still hangs. Tells whether it does.
    pub(super) fn ask(&mut self, now: Moment, wall: i64, reload: Option<&Configuration>) -> bool {
        if self.open.is_some() && reload.is_none() {
            return self.is_mute(now);
        }
        let reload = reload.map(|reload| Box::new(reload.clone()));
        self.open = self.open.or(Some(now));
        // A thread that is gone answers as little as one that hangs.
        let _gone = self.ask.send(Ask { wall, reload });
        self.is_mute(now)
    }

    /// What looks have brought since the last time.
    pub(super) fn answer(&mut self) -> Outcome<Option<Answer>> {
        loop {
            match self.bell.read(&mut [0; 16]) {
                Ok(1..) => {}
                // It broke; whoever starts the daemon again starts it too.
                Ok(0) => return Err(Stop::new(Code::Internal, "the thread that looks at files is gone")),
                Err(_) => break,
            }
        }
        let answer = self.answers.try_iter().reduce(|former, latter| {
            let mut events = former.look.events;
            let more: Vec<_> = latter.look.events.into_iter().filter(|event| !events.contains(event)).collect();
            events.extend(more);
            Answer { look: Look { events, mount: latter.look.mount }, is_held: latter.is_held }
        });
        if answer.is_some() {
            self.open = None;
        }
        Ok(answer)
    }

    fn is_mute(&self, now: Moment) -> bool {
        self.open.is_some_and(|open| now.since(open) > PATIENCE)
    }
}

impl AsFd for Looks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
