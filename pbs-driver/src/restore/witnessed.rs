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
    io::{self, Write},
    time::Duration,
};

use pbs_format::{
    key::{self, EncryptionKey, Kdf, KeyPlaceError},
    witness::{Doubt, Verdict, Witness, WitnessError},
};

use super::{
    COMMAND, Failed, Observer, Progress, Request, RestoreOutput,
    beside::{Pieces, Queue, Writer},
    interrupted, stream,
};
use crate::{client::Client, error::DriverError, failure::Failure};

/// Runs the restore and hands its stream to `write`, in a thread of its own. Comes back well only if
/// the client used our key, what came is the archive of the signed entry, and `write` is content.
///
/// `write` sees the end of the stream only if the client ended well; its own failure (`failed`), if it
/// stopped reading before, is the one that counts.
pub(super) fn run<T: Send + 'static, E: Send + 'static>(
    client: &Client,
    request: &Request<'_>,
    observer: Observer<'_>,
    write: impl FnOnce(&mut Pieces) -> Result<T, E> + Send + 'static,
    failed: impl Fn(E) -> DriverError,
) -> Result<(T, RestoreOutput), Failed> {
    let key = open_key(request)?;
    let wrong = |source| DriverError::NotSigned { archive: request.signed.filename.to_string(), source };
    let witness = Witness::new(request.signed, key.as_ref()).map_err(wrong)?;
    let mut writer = Writer::start(client.program(), write)?;
    let streamed = judged(client, request, observer, witness, Some(writer.queue()));
    let (output, verdict) = match streamed {
        Ok(judged) => judged,
        Err(stop) => {
            let written = writer.break_off();
            let why = match stop {
                Stop::Witness(source) => wrong(source),
                Stop::Client(error) => error,
                // The writer stopped first, and says why better than a broken pipe does.
                Stop::Writer => match written {
                    Ok(Err(error)) => return Err(failed(error).into()),
                    _ => wrong(WitnessError::Content),
                },
            };
            return Err(if written.is_ok() { why.into() } else { Failed::Hangs(why) });
        }
    };
    let total = request.signed.size;
    let mut go_on = || observer(Progress { received: total, total, elapsed: Duration::ZERO });
    let written = writer.end(&mut go_on).map_err(|_| Failed::Hangs(interrupted()))?;
    let verdict = verdict.map_err(wrong)?;
    let written = written.map_err(failed)?;
    if let Verdict::Doubt(doubt) = verdict {
        again(client, request, observer, key.as_ref(), doubt)?;
    }
    Ok((written, output))
}

/// The second reading of a stream in doubt.
fn again(
    client: &Client,
    request: &Request<'_>,
    observer: Observer<'_>,
    key: Option<&EncryptionKey>,
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
    queue: Option<&mut Queue>,
) -> Result<Judged, Stop> {
    let received = Cell::new(0);
    let mut tee = Tee { witness, queue, is_judged: false, received: &received, stopped: None };
    let mut observe = |moment: Progress| observer(Progress { received: received.get(), ..moment });
    let result = stream(client, request, &mut tee, &mut observe);
    if let Some(stop) = tee.stopped {
        return Err(stop);
    }
    let output = result.map_err(Stop::Client)?;
    Ok((output, tee.witness.finish()))
}

/// Shows each piece to the witness, and passes it on: once each, however often it has to be offered.
struct Tee<'a> {
    witness: Witness<'a>,
    queue: Option<&'a mut Queue>,
    /// Whether the witness has seen the piece that there was no room for.
    is_judged: bool,
    received: &'a Cell<u64>,
    stopped: Option<Stop>,
}

impl Write for Tee<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if !self.is_judged
            && let Err(source) = self.witness.take(piece)
        {
            self.stopped = Some(Stop::Witness(source));
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.is_judged = true;
        if let Some(queue) = &mut self.queue
            && let Err(error) = queue.offer(piece)
        {
            if error.kind() != io::ErrorKind::WouldBlock {
                self.stopped = Some(Stop::Writer);
            }
            return Err(error);
        }
        self.is_judged = false;
        self.received.set(self.witness.size());
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The key that the stream's digests are keyed with: the one in the client's key file, if it is given one.
fn open_key(request: &Request<'_>) -> Result<Option<EncryptionKey>, DriverError> {
    let Some((key_file, expected)) = request.protection.key_file() else { return Ok(None) };
    let failed = |failure| DriverError::Client { command: COMMAND, failure };
    let unusable = |error: &dyn std::error::Error| failed(Failure::KeyFile { why: error.to_string() });
    let file = key::read_file(key_file).map_err(|error| match error {
        KeyPlaceError::Read { source, .. } => unusable(&source),
        KeyPlaceError::Content { source, .. } => unusable(&source),
        other => unusable(&other),
    })?;
    if !matches!(file.kdf(), Kdf::None) {
        return Err(failed(Failure::KeyProtected));
    }
    let key = file.open(None).map_err(|error| unusable(&error))?;
    if key.fingerprint() != expected {
        let (asked, given) = (expected.shortened(), key.fingerprint().shortened());
        return Err(failed(Failure::WrongKey { asked, given }));
    }
    Ok(Some(key))
}
