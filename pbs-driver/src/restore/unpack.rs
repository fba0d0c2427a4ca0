//! Writing down what comes: a tree by our own extractor, an image with holes, a blob as it is; and
//! what a failure of that means to the person.

use std::{
    error::Error,
    fs::File,
    io::{self, Write},
    time::Duration,
};

use pbs_format::{
    blob,
    pxar::{self, DecodeError, ExtractError, ExtractOptions, ExtractReport, Overwrite},
    sparse,
};

use super::{
    COMMAND, Failed, MAX_SAID, Observer, Progress, Request, RestoreOutput,
    beside::{PATIENCE, Pieces, Queue, Writer, aside},
    can_be, interrupted, stream,
    target::Target,
    witnessed,
};
use crate::{
    client::Client,
    error::DriverError,
    failure::{Damage, Failure},
    scrub::scrub,
};

/// A tree, complete only when its whole stream has been found to be the signed one.
pub(super) fn tree(
    client: &Client,
    request: &Request<'_>,
    target: &Target,
    observer: Observer<'_>,
) -> Result<RestoreOutput, Failed> {
    let path = target.path().to_owned();
    let unpack = move |pieces: &mut Pieces| pxar::unpack(pieces, &path, &OPTIONS);
    let failed = |error| failed(request, error);
    let (unsealed, mut output) = witnessed::run(client, request, observer, unpack, failed)?;
    let report = beside(target, observer, request, move || unsealed.seal())?.map_err(failed)?;
    tell(&report, &mut output.said);
    Ok(output)
}

/// An image, with holes where it is empty.
pub(super) fn image(
    client: &Client,
    request: &Request<'_>,
    target: &Target,
    made: File,
    observer: Observer<'_>,
) -> Result<RestoreOutput, Failed> {
    let write = move |pieces: &mut Pieces| sparse::copy(pieces, &made);
    witnessed::run(client, request, observer, write, |source| unwritten(target, source)).map(|(_, output)| output)
}

/// A blob, of which nothing but its length can be held against its entry. Not one byte of it is written
/// before the client has named our key, and no more than a blob can hold.
pub(super) fn blob(
    client: &Client,
    request: &Request<'_>,
    target: &Target,
    made: File,
    observer: Observer<'_>,
) -> Result<RestoreOutput, Failed> {
    let mut writer = Writer::start(client.program(), move |pieces: &mut Pieces| io::copy(pieces, &mut &made))?;
    let mut bounded = Bounded { queue: writer.queue(), length: 0, is_too_long: false };
    let result = stream(client, request, &mut bounded, observer);
    let (length, is_too_long) = (bounded.length, bounded.is_too_long);
    let unwritten = |source| unwritten(target, source);
    let output = match result {
        Ok(output) => output,
        Err(error) => {
            let error = if is_too_long { unwritten(io::ErrorKind::FileTooLarge.into()) } else { error };
            return Err(match writer.break_off() {
                Err(_) => Failed::Hangs(error),
                // That the stream broke off is no failure of the writer's own.
                Ok(Err(source)) if source.kind() != io::ErrorKind::ConnectionAborted => unwritten(source).into(),
                Ok(_) => error.into(),
            });
        }
    };
    let total = request.signed.size;
    let mut go_on = || observer(Progress { elapsed: Duration::ZERO, received: total, total });
    writer.end(&mut go_on).map_err(|_| Failed::Hangs(interrupted()))?.map_err(unwritten)?;
    can_be(request, length)?;
    Ok(output)
}

/// What takes no more than a blob can hold.
struct Bounded<'a> {
    queue: &'a mut Queue,
    length: u64,
    is_too_long: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let length = self.length.saturating_add(piece.len() as u64);
        if length > blob::MAX_PLAIN as u64 {
            self.is_too_long = true;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.queue.offer(piece)?;
        self.length = length;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What touches the target and may hang.
fn beside<T: Send + 'static>(
    target: &Target,
    observer: Observer<'_>,
    request: &Request<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failed> {
    let total = request.signed.size;
    let mut go_on = || observer(Progress { elapsed: Duration::ZERO, received: total, total });
    aside(PATIENCE, work, &mut go_on)
        .map_err(|source| unwritten(target, source))?
        .map_err(|_| Failed::Hangs(interrupted()))
}

/// Nothing is replaced, and everything is set: the extractor's own default, which outlives every thread.
static OPTIONS: ExtractOptions = ExtractOptions {
    allow_existing_dirs: false,
    overwrite: Overwrite { files: false, symlinks: false, hardlinks: false },
    ignore_ownership: false,
    ignore_xattrs: false,
    ignore_acls: false,
    ignore_permissions: false,
    ignore_extract_device_errors: false,
};

/// What a failure of the extractor means.
fn failed(request: &Request<'_>, error: ExtractError) -> DriverError {
    let mut words = String::new();
    let mut level: Option<&dyn Error> = Some(&error);
    while let Some(error) = level {
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&error.to_string());
        level = error.source();
    }
    let words = scrub(words.as_bytes(), &[request.access.expose_token()]);
    let failure = match (&error, error.io_kind()) {
        (_, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) => Failure::DiskFull,
        (ExtractError::Target { .. }, Some(io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory)) => {
            Failure::TargetExists
        }
        (ExtractError::Start(error) | ExtractError::Archive(error), _) if !matches!(error, DecodeError::Read(_)) => {
            Failure::Damaged { how: Damage::Archive, what: words }
        }
        // The same name twice, or content that ends early: no writer makes such an archive.
        (ExtractError::Entry { .. }, Some(io::ErrorKind::AlreadyExists | io::ErrorKind::UnexpectedEof)) => {
            Failure::Damaged { how: Damage::Archive, what: words }
        }
        _ => Failure::TargetUnusable { why: words },
    };
    DriverError::Client { command: COMMAND, failure }
}

fn unwritten(target: &Target, source: io::Error) -> DriverError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            DriverError::Client { command: COMMAND, failure: Failure::DiskFull }
        }
        _ => DriverError::Io { doing: "writing", path: target.path().to_owned(), source },
    }
}

/// What was in the archive and is not in the target.
fn tell(report: &ExtractReport, said: &mut Vec<String>) {
    for missed in &report.not_set {
        if said.len() >= MAX_SAID {
            break;
        }
        // Either may be long, a path up to a megabyte, and every name in them is the archive's.
        let property = scrub(missed.property.to_string().as_bytes(), &[]);
        let path = scrub(format!("{:?}", missed.path).as_bytes(), &[]);
        said.push(format!("not restored: {property} of {path}: {}", missed.reason));
    }
    let further = report.not_set.len() as u64 + report.not_set_further;
    let told = said.iter().filter(|line| line.starts_with("not restored: ")).count() as u64;
    if further > told {
        said.push(format!("not restored: {} more", further - told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_the_extractors_default() {
        assert_eq!(OPTIONS, ExtractOptions::default());
    }
}
