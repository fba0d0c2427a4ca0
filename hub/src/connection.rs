//! How long a connection may stand without a request, and how many may stand at all.
//!
//! Once the handshake is done, a peer that sends nothing, half a request, or does not read its
//! answer holds its place only for a while. What a request itself may take is bounded where it is
//! answered (`routes`): while one is being answered, its connection is left alone.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};

/// What each listener on the network bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time, handshakes included; more wait until one has ended.
    pub connections: usize,
    /// A first request must have begun so long after the handshake.
    pub first_request: Duration,
    /// An answer must have been read, and a next request have begun, so long after the last one.
    pub idle: Duration,
}

/// A stream that fails when it has stood idle for too long.
pub(crate) struct Bounded<S> {
    // The stream is closed before its place is free.
    stream: S,
    activity: Activity,
    timer: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

/// What happens on one connection.
#[derive(Debug, Clone)]
pub(crate) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    limits: Limits,
    open: usize,
    /// When the last request was answered; before that, when the first one must have begun.
    idle_from: Instant,
    allowance: Duration,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Activity);

impl Default for Limits {
    /// Both listeners together stay below the 1024 descriptors that a process commonly has. Agents
    /// drop a connection after 90 seconds of their own accord; the hub is the more patient one, so
    /// that no request meets a connection that is just being closed.
    fn default() -> Self {
        Self { connections: 384, first_request: Duration::from_secs(15), idle: Duration::from_secs(120) }
    }
}

impl Limits {
    /// For a process that may have so many descriptors: most of them go to the two listeners, the rest to the
    /// store and to itself.
    #[must_use]
    pub fn of_descriptors(descriptors: u64) -> Self {
        let usual = Self::default();
        let connections = usize::try_from(descriptors.saturating_sub(256) / 2).unwrap_or(usize::MAX);
        Self { connections: connections.clamp(usual.connections, 8192), ..usual }
    }
}

// === impl Activity ===

impl Activity {
    fn new(limits: Limits) -> Self {
        let (idle_from, allowance) = (Instant::now(), limits.first_request);
        Self(Arc::new(Mutex::new(State { limits, open: 0, idle_from, allowance })))
    }

    /// A request begins; it has ended when what this returns is dropped.
    pub(crate) fn begin(&self) -> Busy {
        self.state().open += 1;
        Busy(self.clone())
    }

    fn deadline(&self) -> Instant {
        let state = self.state();
        match state.open {
            0 => state.idle_from + state.allowance,
            _ => Instant::now() + state.limits.idle,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        (state.idle_from, state.allowance) = (Instant::now(), state.limits.idle);
    }
}

// === impl Bounded ===

impl<S> Bounded<S> {
    pub(crate) fn new(stream: S, limits: Limits, place: OwnedSemaphorePermit) -> Self {
        let activity = Activity::new(limits);
        let timer = Box::pin(sleep_until(activity.deadline()));
        Self { stream, activity, timer, _place: place }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Ready once the connection has been idle for too long; until then it wakes the task in time.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let deadline = self.activity.deadline();
            if deadline <= Instant::now() {
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the connection was idle for too long"));
            }
            self.timer.as_mut().reset(deadline);
        }
    }
}

impl<S: Unpin> Bounded<S> {
    fn in_time<T>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        then: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.poll_overdue(cx) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => then(Pin::new(&mut self.stream), cx),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx, |stream, cx| stream.poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx, |stream, cx| stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S> fmt::Debug for Bounded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("activity", &self.activity).finish_non_exhaustive()
    }
}
