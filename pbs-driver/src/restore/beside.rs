//! Writing beside: what touches the target runs in a thread of its own, so that a disk that does not
//! answer holds nobody up who wants the restore to end.
//!
//! A call that hangs in the kernel cannot be taken back. Such a thread is waited for a while and then
//! left alone with what it holds: it goes with the program, or when its disk answers again. What is then
//! at the target is nobody's to remove, since it may still be written to; that is told.

use std::{
    io::{self, Read},
    ops::ControlFlow,
    path::Path,
    sync::mpsc::{self, Receiver, SyncSender, TrySendError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::error::DriverError;

/// Whether to go on; asked a few times a second.
pub(super) type GoOn<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// The thread did not end in time, and was left alone.
#[derive(Debug)]
pub(super) struct Hangs;

/// Runs `work` beside. However long it takes; only once nobody wants to go on, it is left alone after so
/// long.
pub(super) fn aside<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
    go_on: GoOn<'_>,
) -> io::Result<Result<T, Hangs>> {
    let thread = thread::Builder::new().name("restore".to_owned()).spawn(work)?;
    Ok(joined(thread, None, patience, go_on))
}

/// Waits for its end, no longer than the patience after `since` or after the wish to end.
fn joined<T>(
    thread: JoinHandle<T>,
    mut since: Option<Instant>,
    patience: Duration,
    go_on: GoOn<'_>,
) -> Result<T, Hangs> {
    while !thread.is_finished() {
        if since.is_none() && go_on().is_break() {
            since = Some(Instant::now());
        }
        if since.is_some_and(|since| since.elapsed() >= patience) {
            return Err(Hangs);
        }
        thread::sleep(TICK);
    }
    Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// A stream on its way to whoever writes it down.
pub(super) struct Writer<T> {
    queue: Queue,
    thread: JoinHandle<T>,
    patience: Duration,
}

/// The end of it into which pieces are put.
pub(super) struct Queue {
    sender: SyncSender<Piece>,
    /// What there was no room for.
    held: Option<Piece>,
}

/// The end from which they are read: at the stream's end, or broken off.
pub(super) struct Pieces {
    receiver: Receiver<Piece>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

enum Piece {
    Bytes(Vec<u8>),
    /// The client ended well, and this was all.
    End,
}

impl<T: Send + 'static> Writer<T> {
    pub(super) fn start(
        program: &Path,
        write: impl FnOnce(&mut Pieces) -> T + Send + 'static,
    ) -> Result<Self, DriverError> {
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        let write = move || write(&mut Pieces { receiver, piece: Vec::new(), at: 0, ended: false });
        match thread::Builder::new().name("restore".to_owned()).spawn(write) {
            Ok(thread) => Ok(Self { queue: Queue { sender, held: None }, thread, patience: PATIENCE }),
            Err(source) => Err(DriverError::Io { doing: "starting a thread beside", path: program.to_owned(), source }),
        }
    }

    pub(super) fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// The stream has ended well: waits until all of it is written.
    pub(super) fn end(mut self, go_on: GoOn<'_>) -> Result<T, Hangs> {
        let mut since = None;
        while self.queue.push(Piece::End).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            if since.is_none() && go_on().is_break() {
                since = Some(Instant::now());
            }
            if since.is_some_and(|since: Instant| since.elapsed() >= self.patience) {
                return Err(Hangs);
            }
            thread::sleep(TICK);
        }
        drop(self.queue);
        joined(self.thread, since, self.patience, go_on)
    }

    /// The stream has broken off: whoever writes it is told so, and is waited for.
    pub(super) fn break_off(self) -> Result<T, Hangs> {
        drop(self.queue);
        joined(self.thread, Some(Instant::now()), self.patience, &mut || ControlFlow::Break(()))
    }
}

impl Queue {
    /// Passes a piece on. [`io::ErrorKind::WouldBlock`]: there is no room, offer the same again;
    /// [`io::ErrorKind::BrokenPipe`]: nobody reads any more.
    pub(super) fn offer(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.held.take() {
            Some(held) => self.push(held),
            None => self.push(Piece::Bytes(bytes.to_vec())),
        }
    }

    fn push(&mut self, piece: Piece) -> io::Result<()> {
        match self.sender.try_send(piece) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(piece)) => {
                self.held = Some(piece);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(TrySendError::Disconnected(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            match self.receiver.recv() {
                Ok(Piece::Bytes(piece)) => (self.piece, self.at) = (piece, 0),
                Ok(Piece::End) => self.ended = true,
                Err(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let rest = &self.piece[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

/// Pieces (of 64 KiB at most) that wait between the client and the disk.
const QUEUE: usize = 64;
/// How long a thread may take to end once it is to.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const TICK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn on() -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn no_more() -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn text(pieces: &mut Pieces) -> io::Result<String> {
        let mut text = String::new();
        pieces.read_to_string(&mut text).map(|_| text)
    }

    /// A writer on a disk that does not answer until the other end of this is dropped.
    fn hanging(answers: Receiver<()>) -> Result<Writer<()>, DriverError> {
        let writer = Writer::start(Path::new("/x"), move |_| answers.recv().unwrap_or(()))?;
        Ok(Writer { patience: Duration::from_millis(50), ..writer })
    }

    #[test]
    fn what_is_offered_arrives_in_order_and_the_end_is_told_from_a_break() -> Result<(), Box<dyn std::error::Error>> {
        let mut writer = Writer::start(Path::new("/x"), text)?;
        let mut expected = String::new();
        for number in 0..1000 {
            let piece = format!("{number} ");
            while let Err(error) = writer.queue().offer(piece.as_bytes()) {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                thread::yield_now();
            }
            expected.push_str(&piece);
        }
        assert_eq!(writer.end(&mut on).map_err(|_| "it hangs")??, expected);

        let mut writer = Writer::start(Path::new("/x"), text)?;
        writer.queue().offer(b"half")?;
        let broken = writer.break_off().map_err(|_| "it hangs")?;
        assert_eq!(broken.err().map(|error| error.kind()), Some(io::ErrorKind::ConnectionAborted));
        Ok(())
    }

    #[test]
    fn a_writer_that_has_given_up_takes_nothing_more_and_its_word_is_kept() -> Result<(), Box<dyn std::error::Error>> {
        let mut writer = Writer::start(Path::new("/x"), |_| 7)?;
        let end = loop {
            match writer.queue().offer(b"x") {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break writer.break_off(),
                _ => thread::yield_now(),
            }
        };
        assert_eq!(end.map_err(|_| "it hangs")?, 7);
        Ok(())
    }

    #[test]
    fn a_disk_that_does_not_answer_is_left_alone_once_nobody_wants_to_go_on() -> Result<(), Box<dyn std::error::Error>>
    {
        let (_never, answers) = mpsc::channel();
        let mut writer = hanging(answers)?;
        let full = loop {
            if let Err(error) = writer.queue().offer(b"x") {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(matches!(writer.break_off(), Err(Hangs)));

        // At the stream's end, with the queue full, and with room in it.
        for pieces in [0, QUEUE] {
            let (_never, answers) = mpsc::channel();
            let mut writer = hanging(answers)?;
            (0..pieces).try_for_each(|_| writer.queue().offer(b"x"))?;
            assert!(matches!(writer.end(&mut no_more), Err(Hangs)), "{pieces}");
        }
        Ok(())
    }

    #[test]
    fn one_that_only_takes_its_time_is_waited_for() -> Result<(), Box<dyn std::error::Error>> {
        let (answer, answers) = mpsc::channel();
        let writer = hanging(answers)?;
        // It answers long after the patience for one that is to end.
        let mut looks = 0;
        let mut slow = || {
            looks += 1;
            if looks == 40 {
                answer.send(()).unwrap_or(());
            }
            ControlFlow::Continue(())
        };
        assert!(writer.end(&mut slow).is_ok());
        assert_eq!(aside(PATIENCE, || 3, &mut on)?.map_err(|_| "it hangs")?, 3);
        Ok(())
    }
}
