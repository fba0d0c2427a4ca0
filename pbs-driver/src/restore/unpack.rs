//! Writing down what comes: a tree by our own extractor, an image with holes, a blob as it is; and
//! what a failure of that means to the person.

use std::{error::Error, fs::File, io};

use pbs_format::{
    pxar::{self, DecodeError, ExtractError, ExtractOptions, ExtractReport, Property, Reason},
    sparse,
};

use super::{
    COMMAND, MAX_SAID, Observer, Progress, Request, RestoreOutput, Stdout, can_be, restore, target::Target,
    under_our_key, witnessed,
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

/// A blob, of which nothing but its length can be held against its entry.
pub(super) fn blob(
    client: &Client,
    request: &Request<'_>,
    target: &Target,
    made: File,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    let again = made.try_clone().map_err(|source| unwritten(target, source))?;
    let mut observe = |moment: Progress| observer(moment);
    let stderr = restore(client, request, "-".into(), Stdout::File(made), &mut observe)?;
    let output = under_our_key(request, &stderr)?;
    let length = again.metadata().map_err(|source| unwritten(target, source))?.len();
    can_be(request, length)?;
    Ok(output)
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
        let property = match &missed.property {
            Property::Xattr(name) => format!("extended attribute {name:?}"),
            Property::Owner => "owner".to_owned(),
            Property::AccessAcl => "ACL".to_owned(),
            Property::DefaultAcl => "default ACL".to_owned(),
            Property::Capability => "file capability".to_owned(),
            Property::Flags(flags) => format!("inode flags {flags:#x}"),
            Property::QuotaProject => "project quota id".to_owned(),
            Property::DeviceNode => "device node".to_owned(),
            other => format!("{other:?}"),
        };
        let reason = match &missed.reason {
            Reason::Refused(cause) => cause.to_string(),
            Reason::Unsupported => "not possible here".to_owned(),
            Reason::Unsound => "the archive's value makes no sense".to_owned(),
            other => format!("{other:?}"),
        };
        // A path may be a megabyte long, and every name in it is the archive's.
        let line = format!("not restored: {property}: {reason}: {:?}", missed.path);
        said.push(scrub(line.as_bytes(), &[]));
    }
    let further = report.not_set.len() as u64 + report.not_set_further;
    let told = said.iter().filter(|line| line.starts_with("not restored: ")).count() as u64;
    if further > told {
        said.push(format!("not restored: {} more", further - told));
    }
}
