//! Getting data back through the client.
//!
//! Each restore names an unprotected key file and the fingerprint of the key in it, and ends well
//! only if the client said that it used this key: given an unsigned plaintext snapshot it would
//! restore that without a word (`transcripts/hostile-pbs.txt` 2). That sentence is one wall of two;
//! the other is the manifest, verified natively by whoever calls this, before and after.
//!
//! Nothing is ever overwritten: a tree goes into a folder that is new or empty, a file is made anew
//! (0600, whatever the umask) and removed again if the restore fails.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use pbs_format::datastore::{FileKind, FileName, SnapshotRef};
use tenwords_protocol::fingerprint::{Fingerprint, ShortFingerprint};

use crate::{
    access::Access,
    client::{Client, Work},
    error::DriverError,
    failure::Failure,
    process::{Capture, Moment, Stdout},
    scrub::scrub,
    snapshot::namespace,
};

/// What to restore, and under which key.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// From where.
    pub access: &'a Access,
    /// Of which snapshot: always one by its time, never "the newest of a group", which the client
    /// would choose for itself.
    pub snapshot: &'a SnapshotRef,
    /// Which file, by its name on the server.
    pub archive: &'a FileName,
    /// An unprotected key file.
    pub key_file: &'a Path,
    /// The key in it.
    pub key: Fingerprint,
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Since its start.
    pub elapsed: Duration,
    /// Bytes that the client has written so far, by the kernel's count: the data, and a little more.
    pub written: u64,
}

/// A restore that ended well under our key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOutput {
    /// Whatever else the client said, scrubbed; warnings, and what could not be set.
    pub said: Vec<String>,
}

/// Told of the progress a few times a second; `Break` ends the restore as interrupted.
pub type Observer<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Restores a file archive (`….pxar.didx`) into a folder that does not exist yet or is empty.
///
/// # Errors
/// [`DriverError`]. What lies at the target after a failure is partial, and after
/// [`DriverError::NotUnderOurKey`] somebody else's: the caller removes it.
pub fn tree(
    client: &Client,
    request: &Request<'_>,
    target: &Path,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    if kind(request.archive) != Kind::Tree {
        return Err(wrong_kind(request.archive, "a file archive"));
    }
    absolute(target)?;
    match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(target).is_err() => {}
        Ok(false) => return Err(target_exists()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(target_exists()),
        Err(source) => return Err(DriverError::Io { doing: "looking into", path: target.to_owned(), source }),
    }
    let stderr = restore(client, request, target.into(), Stdout::Keep(0), observer)?;
    under_our_key(request, &stderr)
}

/// Restores a blob or an image into a new file (0600), which is removed again if that fails.
///
/// # Errors
/// [`DriverError`]; [`Failure::TargetExists`] if something is there.
pub fn file(
    client: &Client,
    request: &Request<'_>,
    target: &Path,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    if kind(request.archive) == Kind::Tree {
        return Err(wrong_kind(request.archive, "a blob or an image"));
    }
    absolute(target)?;
    let made = new_file(target)?;
    // Into a file of ours, not by the client: it would make one that everybody may read (client.md).
    let result = restore(client, request, "-".into(), Stdout::File(made), observer)
        .and_then(|stderr| under_our_key(request, &stderr));
    if result.is_err() {
        // The error at hand matters more than one about the rest of it.
        let _ = fs::remove_file(target);
    }
    result
}

/// Restores a small blob into memory.
///
/// # Errors
/// [`DriverError`]; a blob of more than `max` bytes is an error.
pub fn bytes(client: &Client, request: &Request<'_>, max: usize) -> Result<Vec<u8>, DriverError> {
    let mut bytes = Vec::new();
    stream(client, request, &mut BoundedWriter { bytes: &mut bytes, max }, &mut |_| ControlFlow::Continue(()))?;
    Ok(bytes)
}

/// Restores any archive to a receiver: a file archive as the raw pxar stream, whose length is the
/// archive's size in the list of files. Not one byte is passed on before the client has said that it
/// uses our key.
///
/// # Errors
/// [`DriverError`]. What the receiver has by then is partial.
pub fn stream(
    client: &Client,
    request: &Request<'_>,
    receiver: &mut dyn Write,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    let mut vouched = false;
    let mut refused = false;
    let mut pass_on = |stderr: &Capture, bytes: &[u8]| {
        if !vouched {
            vouched = under_our_key(request, stderr).is_ok();
            if !vouched {
                refused = true;
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        receiver.write_all(bytes)
    };
    let result = restore(client, request, "-".into(), Stdout::Stream(&mut pass_on), observer);
    if refused {
        return Err(DriverError::NotUnderOurKey { expected: request.key });
    }
    under_our_key(request, &result?)
}

/// The snapshot's list of files (`index.json`), as it is stored: not judged here in any way, and the
/// one thing that is passed on without the client's word about the key. Its signature is checked by
/// whoever asked; that proves more, and says more if it fails.
///
/// # Errors
/// [`DriverError`], [`Failure::WrongKey`] above all.
pub fn manifest(
    client: &Client,
    access: &Access,
    snapshot: &SnapshotRef,
    key_file: &Path,
) -> Result<Vec<u8>, DriverError> {
    absolute(key_file)?;
    let args = arguments(access, snapshot, "index.json".into(), "-".into(), ["--keyfile".into(), key_file.into()]);
    let (manifest, _) = client.ask(COMMAND, &args, Some(access))?;
    Ok(manifest)
}

/// Tries without any key, and tells which one the client then asks for. (What a burnt box looks like;
/// a plain snapshot would be restored, and is [`DriverError::NotRefused`].)
///
/// # Errors
/// [`DriverError`] for any other end.
pub fn without_key(
    client: &Client,
    access: &Access,
    snapshot: &SnapshotRef,
    archive: &FileName,
) -> Result<ShortFingerprint, DriverError> {
    let args = arguments(access, snapshot, given_name(archive), "-".into(), ["--crypt-mode".into(), "none".into()]);
    let work = work(client, access, &args);
    let mut came = false;
    let mut refuse = |_: &Capture, _: &[u8]| {
        came = true;
        Err(io::ErrorKind::PermissionDenied.into())
    };
    let result = client.work(&work, Stdout::Stream(&mut refuse), &mut |_| ControlFlow::Continue(()));
    match result {
        _ if came => Err(DriverError::NotRefused),
        Ok(_) => Err(DriverError::NotRefused),
        Err(DriverError::Client { failure: Failure::MissingKey { asked }, .. }) => Ok(asked),
        Err(other) => Err(other),
    }
}

#[derive(PartialEq, Eq)]
enum Kind {
    Tree,
    Other,
}

fn kind(archive: &FileName) -> Kind {
    if archive.kind() == FileKind::Dynamic && archive.archive().ends_with(".pxar") { Kind::Tree } else { Kind::Other }
}

/// The name that the client takes in every version: without the server's ending where the client
/// puts the same one back, whole otherwise (`formats.md` §6.1).
fn given_name(archive: &FileName) -> OsString {
    let short = archive.archive();
    let comes_back = match archive.kind() {
        FileKind::Dynamic => short.ends_with(".pxar"),
        FileKind::Fixed => short.ends_with(".img"),
        FileKind::Blob => [".conf", ".json", ".key", ".log"].iter().any(|ending| short.ends_with(ending)),
    };
    if comes_back { short.into() } else { archive.as_str().into() }
}

fn arguments(
    access: &Access,
    snapshot: &SnapshotRef,
    archive: OsString,
    target: OsString,
    key: [OsString; 2],
) -> Vec<OsString> {
    let mut args = vec!["restore".into(), snapshot.to_string().into(), archive, target];
    args.extend(key);
    args.extend(namespace(access));
    args
}

fn work<'a>(client: &Client, access: &'a Access, args: &'a [OsString]) -> Work<'a> {
    let limits = client.limits();
    Work { command: COMMAND, args, access: Some(access), whole: limits.restore, stall: Some(limits.stall) }
}

fn restore(
    client: &Client,
    request: &Request<'_>,
    target: OsString,
    stdout: Stdout<'_>,
    observer: Observer<'_>,
) -> Result<Capture, DriverError> {
    absolute(request.key_file)?;
    // No --crypt-mode: with a key file it may not be `none`, and the rest is the same (formats.md §11.3).
    let key = ["--keyfile".into(), request.key_file.into()];
    let args = arguments(request.access, request.snapshot, given_name(request.archive), target, key);
    let mut watch = |moment: Moment| observer(Progress { elapsed: moment.elapsed, written: moment.written });
    let finished = client.work(&work(client, request.access, &args), stdout, &mut watch)?;
    Ok(finished.stderr)
}

/// Looks for the two lines that the client prints once it has checked the manifest's signature
/// under the key: `Using encryption key from '<our file>'..` and `Fingerprint: <short>`.
fn under_our_key(request: &Request<'_>, stderr: &Capture) -> Result<RestoreOutput, DriverError> {
    let text = stderr.text();
    let text = String::from_utf8_lossy(&text);
    let used = format!("Using encryption key from '{}'..", request.key_file.display());
    let named = format!("Fingerprint: {}", request.key.short());
    let mut lines = text.split(['\n', '\r']).map(str::trim_end).filter(|line| !line.is_empty());
    let mut said = Vec::new();
    let mut next = used.as_str();
    let mut found = 0;
    for line in lines.by_ref() {
        if line == next {
            found += 1;
            next = &named;
        } else if said.len() < MAX_SAID {
            said.push(scrub(line.as_bytes(), &[request.access.expose_token()]));
        }
    }
    if found < 2 || text.lines().any(|line| line.starts_with("Fingerprint: ") && line.trim_end() != named) {
        return Err(DriverError::NotUnderOurKey { expected: request.key });
    }
    Ok(RestoreOutput { said })
}

fn new_file(target: &Path) -> Result<File, DriverError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(target).map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return target_exists();
        }
        DriverError::Io { doing: "making", path: target.to_owned(), source }
    })
}

/// The target and the key file are words on a command line: a full path is never an option, and means
/// the same wherever the child starts.
fn absolute(path: &Path) -> Result<(), DriverError> {
    if path.is_absolute() { Ok(()) } else { Err(DriverError::Relative { path: path.to_owned() }) }
}

fn target_exists() -> DriverError {
    DriverError::Client { command: COMMAND, failure: Failure::TargetExists }
}

fn wrong_kind(archive: &FileName, wanted: &'static str) -> DriverError {
    DriverError::WrongKind { archive: archive.to_string(), wanted }
}

struct BoundedWriter<'a> {
    bytes: &'a mut Vec<u8>,
    max: usize,
}

impl Write for BoundedWriter<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const COMMAND: &str = "restore";
const MAX_SAID: usize = 200;
