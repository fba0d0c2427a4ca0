//! Writing down what comes: a tree by our own extractor, an image with holes, a blob as it is; and
//! what a failure of that means to the person.

use std::{
    error::Error,
    fs::File,
    io::{self, Write},
};

use pbs_format::{
    blob,
    pxar::{self, DecodeError, ExtractError, ExtractOptions, ExtractReport},
    sparse,
};

use super::{COMMAND, MAX_SAID, Observer, Request, RestoreOutput, can_be, stream, target::Target, witnessed};
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
) -> Result<RestoreOutput, DriverError> {
    let options = ExtractOptions::default();
    let failed = |error| failed(request, error);
    let unpacked = witnessed::run(client, request, observer, |pieces| {
        pxar::unpack(pieces, target.path(), &options).map_err(failed)
    })?;
    let (unsealed, mut output) = unpacked;
    let report = unsealed.seal().map_err(failed)?;
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
) -> Result<RestoreOutput, DriverError> {
    let write =
        |pieces: &mut witnessed::Pieces| sparse::copy(pieces, &made).map_err(|source| unwritten(target, source));
    witnessed::run(client, request, observer, write).map(|(_, output)| output)
}

/// A blob, of which nothing but its length can be held against its entry. Not one byte of it is written
/// before the client has named our key, and no more than a blob can hold.
pub(super) fn blob(
    client: &Client,
    request: &Request<'_>,
    target: &Target,
    made: File,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    let mut writer = Bounded { file: made, length: 0, failed: None };
    let result = stream(client, request, &mut writer, observer);
    if let Some(source) = writer.failed {
        return Err(unwritten(target, source));
    }
    let output = result?;
    can_be(request, writer.length)?;
    Ok(output)
}

/// A file that takes no more than a blob can hold, and keeps why it took no more.
struct Bounded {
    file: File,
    length: u64,
    failed: Option<io::Error>,
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let length = self.length.saturating_add(piece.len() as u64);
        let written = if length > blob::MAX_PLAIN as u64 {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            self.file.write_all(piece)
        };
        match written {
            Ok(()) => {
                self.length = length;
                Ok(piece.len())
            }
            Err(error) => {
                self.failed = Some(error);
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
