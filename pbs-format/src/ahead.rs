//! Reading an archive on all cores: while one chunk is being used, the next ones are read, checked
//! and decoded. What comes out, and which error if there is one, is the same as from one
//! [`ChunkReader`]; so is every check.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read},
    num::NonZeroUsize,
    thread,
};

use crate::{
    archive::{ArchiveError, ChunkReader},
    index::ChunkSpan,
    ordered::Ordered,
};

/// An archive's content from its beginning to its end, read ahead.
pub struct ReadAhead<'a> {
    reader: &'a ChunkReader<'a>,
    pool: Option<Ordered<ChunkSpan, Result<Vec<u8>, ArchiveError>>>,
    /// The chunk that will be given out next, and the ones that were, in order.
    next: usize,
    waiting: VecDeque<Waiting>,
    /// The chunk that was given out last, for one after it that is the same.
    last: Option<ChunkSpan>,
    content: Vec<u8>,
    at: usize,
    /// After an error nothing more is read: no chunk is ever left out.
    failed: bool,
}

enum Waiting {
    Given,
    /// The same chunk as the one before it: images have long runs of one.
    Same,
}

impl ChunkReader<'_> {
    /// Hands the content, read ahead by so many threads, to `read`; with one thread it is read in
    /// this one. Where this reader stands does not matter.
    ///
    /// Memory: two chunks (of 16 MiB at most) for each thread, and as much again while they are
    /// decoded.
    pub fn ahead<T>(&self, threads: NonZeroUsize, read: impl FnOnce(&mut ReadAhead<'_>) -> T) -> T {
        thread::scope(|scope| {
            let pool = match threads.get() {
                1 => None,
                _ => Ordered::start(scope, threads, |span: ChunkSpan| self.chunk(&span)),
            };
            let waiting = VecDeque::new();
            let content = Vec::new();
            read(&mut ReadAhead { reader: self, pool, next: 0, waiting, last: None, content, at: 0, failed: false })
        })
    }
}

impl ReadAhead<'_> {
    /// Takes the next chunk in; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(pool) = &mut self.pool else {
            let Some(span) = self.reader.index().chunk(self.next) else { return Ok(false) };
            self.next += 1;
            if !self.last.replace(span).is_some_and(|last| same(&last, &span)) {
                self.content = self.reader.chunk(&span).map_err(io::Error::other)?;
            }
            self.at = 0;
            return Ok(true);
        };
        while !pool.is_full() && self.waiting.len() < MOST_WAITING {
            let Some(span) = self.reader.index().chunk(self.next) else { break };
            self.next += 1;
            if self.last.replace(span).is_some_and(|last| same(&last, &span)) {
                self.waiting.push_back(Waiting::Same);
            } else {
                pool.give(span);
                self.waiting.push_back(Waiting::Given);
            }
        }
        match self.waiting.pop_front() {
            None => return Ok(false),
            Some(Waiting::Same) => {}
            Some(Waiting::Given) => match pool.take() {
                Some(content) => self.content = content.map_err(io::Error::other)?,
                None => return Err(io::Error::other("the threads that read chunks are gone")),
            },
        }
        self.at = 0;
        Ok(true)
    }
}

impl Read for ReadAhead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.content.len() {
            if self.failed {
                return Err(io::Error::other("the archive could not be read before"));
            }
            self.failed = true;
            let more = self.advance()?;
            self.failed = false;
            if !more {
                return Ok(0);
            }
        }
        let rest = &self.content[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

/// Without the content that is held: it is somebody's data, and may be anything.
impl fmt::Debug for ReadAhead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead").field("reader", &self.reader).field("next", &self.next).finish_non_exhaustive()
    }
}

fn same(one: &ChunkSpan, other: &ChunkSpan) -> bool {
    one.digest == other.digest && one.end - one.start == other.end - other.start
}

/// Chunks that are the same as the one before cost no memory, but a place in the queue.
const MOST_WAITING: usize = 1024;
