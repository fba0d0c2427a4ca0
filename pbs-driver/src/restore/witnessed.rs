//! An archive's stream on its way from the client to whoever writes it down, held against the signed
//! entry meanwhile.
//!
//! The client checks what it gets against a list of files that *it* was handed; ours, whose signature
//! we verified, was fetched before. Between the two a hostile server can put another list, signed under
//! the same key: an older snapshot, another guest's. So the bytes themselves are held against our
//! entry ([`pbs_format::witness`]), in one pass: this thread runs the client and judges, another one
//! writes. Pieces wait in a bounded queue between them; whichever is slower sets the pace.
//!
//! A stream that is not cut as usual is in doubt, not refused: it is read once more, written nowhere,
//! and judged by every size that the client can be asked for. That counts only if it was the same
//! stream again.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
};

use pbs_format::{
    key::{self, EncryptionKey, Kdf, KeyPlaceError},
    witness::{Doubt, Verdict, Witness, WitnessError},
};

use super::{COMMAND, Observer, Progress, Request, RestoreOutput, stream};
use crate::{client::Client, error::DriverError, failure::Failure};

/// Pieces (of 64 KiB at most) that wait between the client and the disk.
const QUEUE: usize = 64;

/// Runs the restore and hands its stream to `write`, in a thread of its own. Comes back well only if
/// the client used our key, what came is the archive of the signed entry, and `write` is content.
///
/// `write` sees the end of the stream only if the client ended well; its own failure, if it stopped
/// reading before, is the one that counts.
pub(super) fn run<T: Send>(
    client: &Client,
    request: &Request<'_>,
    observer: Observer<'_>,
    write: impl FnOnce(&mut Pieces) -> Result<T, DriverError> + Send,
) -> Result<(T, RestoreOutput), DriverError> {
    let key = open_key(request)?;
    let wrong = |source| DriverError::NotSigned { archive: request.signed.filename.to_string(), source };
    let witness = Witness::new(request.signed, &key).map_err(wrong)?;
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    let (written, streamed) = thread::scope(|scope| {
        let writer = thread::Builder::new()
            .name("restore".to_owned())
            .spawn_scoped(scope, move || write(&mut Pieces { receiver, piece: Vec::new(), at: 0, ended: false }));
        let writer = match writer {
            Ok(writer) => writer,
            Err(source) => {
                let path = client.program().to_owned();
                return (Err(DriverError::Io { doing: "starting a thread beside", path, source }), None);
            }
        };
        let streamed = judged(client, request, observer, witness, Some(sender));
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (written, Some(streamed))
    });
    let (output, verdict) = match streamed {
        // The writer stopped first, and says why better than a broken pipe does.
        Some(Err(Stop::Writer)) => {
            return Err(written.err().unwrap_or_else(|| wrong(WitnessError::Content)));
        }
        Some(Err(Stop::Witness(source))) => return Err(wrong(source)),
        Some(Err(Stop::Client(error))) => return Err(error),
        Some(Ok(streamed)) => streamed,
        None => return Err(written.err().unwrap_or_else(|| wrong(WitnessError::Content))),
    };
    let verdict = verdict.map_err(wrong)?;
    let written = written?;
    if let Verdict::Doubt(doubt) = verdict {
        again(client, request, observer, &key, doubt)?;
    }
    Ok((written, output))
}

/// The second reading of a stream in doubt.
fn again(
    client: &Client,
    request: &Request<'_>,
    observer: Observer<'_>,
    key: &EncryptionKey,
    doubt: Doubt,
) -> Result<(), DriverError> {
    let wrong = |source| DriverError::NotSigned { archive: request.signed.filename.to_string(), source };
    let witness = Witness::again(request.signed, key, doubt).map_err(wrong)?;
    match judged(client, request, observer, witness, None) {
        Ok((_, Ok(Verdict::Same))) => Ok(()),
        Ok((_, Ok(Verdict::Doubt(_)))) => Err(wrong(WitnessError::Content)),
        Ok((_, Err(source))) | Err(Stop::Witness(source)) => Err(wrong(source)),
        Err(Stop::Client(error)) => Err(error),
        Err(Stop::Writer) => Err(wrong(WitnessError::Content)),
    }
}

/// Why a stream did not come to its end.
enum Stop {
    Witness(WitnessError),
    Writer,
    Client(DriverError),
}

type Judged = (RestoreOutput, Result<Verdict, WitnessError>);

/// One reading.
fn judged(
    client: &Client,
    request: &Request<'_>,
    observer: Observer<'_>,
    witness: Witness<'_>,
    sender: Option<SyncSender<Piece>>,
) -> Result<Judged, Stop> {
    let received = Cell::new(0);
    let mut tee = Tee { witness, sender, received: &received, stopped: None };
    let mut observe = |moment: Progress| observer(Progress { received: received.get(), ..moment });
    let result = stream(client, request, &mut tee, &mut observe);
    if let Some(stop) = tee.stopped {
        return Err(stop);
    }
    let output = result.map_err(Stop::Client)?;
    if let Some(sender) = &tee.sender {
        sender.send(Piece::End).map_err(|_| Stop::Writer)?;
    }
    Ok((output, tee.witness.finish()))
}

/// Shows each piece to the witness, and passes it on.
struct Tee<'a> {
    witness: Witness<'a>,
    sender: Option<SyncSender<Piece>>,
    received: &'a Cell<u64>,
    stopped: Option<Stop>,
}

impl Write for Tee<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let stop = match (self.witness.take(piece), &self.sender) {
            (Err(source), _) => Stop::Witness(source),
            (Ok(()), Some(sender)) if sender.send(Piece::Bytes(piece.to_vec())).is_err() => Stop::Writer,
            (Ok(()), _) => {
                self.received.set(self.witness.size());
                return Ok(piece.len());
            }
        };
        self.stopped = Some(stop);
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Piece {
    Bytes(Vec<u8>),
    /// The client ended well, and this was all.
    End,
}

/// The stream as its writer reads it: at its end, or broken off.
pub(super) struct Pieces {
    receiver: Receiver<Piece>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
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

/// The key that the stream's digests are keyed with: the one in the client's key file.
fn open_key(request: &Request<'_>) -> Result<EncryptionKey, DriverError> {
    let failed = |failure| DriverError::Client { command: COMMAND, failure };
    let unusable = |error: &dyn std::error::Error| failed(Failure::KeyFile { why: error.to_string() });
    let file = key::read_file(request.key_file).map_err(|error| match error {
        KeyPlaceError::Read { source, .. } => unusable(&source),
        KeyPlaceError::Content { source, .. } => unusable(&source),
        other => unusable(&other),
    })?;
    if !matches!(file.kdf(), Kdf::None) {
        return Err(failed(Failure::KeyProtected));
    }
    let key = file.open(None).map_err(|error| unusable(&error))?;
    if key.fingerprint() != request.key {
        let (asked, given) = (request.key.shortened(), key.fingerprint().shortened());
        return Err(failed(Failure::WrongKey { asked, given }));
    }
    Ok(key)
}
