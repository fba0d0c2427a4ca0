//! Getting data back through the client.
//!
//! A restore names an unprotected key file and the fingerprint of the key in it ([`Protection::Under`]), and
//! ends well only if the client said that it used this key: given an unsigned plaintext snapshot it would
//! restore that without a word (`transcripts/hostile-pbs.txt` 2). That sentence is one wall; another is
//! the list of files, verified natively by whoever calls this, before and after. The third is here:
//! an archive's bytes are held against the *listed entry* while they pass ([`tree`], [`file()`]), so that
//! a list that only the client was shown changes nothing.
//!
//! What proves nothing ([`Protection::Plain`], [`Protection::Unproven`]) is restored only for a caller who
//! says so, by the entry of the very list that somebody has let through; then the first wall is not there,
//! the third is.
//!
//! | what | comes by | held against the listed entry |
//! | --- | --- | --- |
//! | file archive | `restore … -`, unpacked by us | length and every chunk's keyed digest |
//! | image | `restore … -`, written by us with holes | the same |
//! | blob | `restore … -` | whether it can have the length at all: the entry's checksum is over the encoded file |
//! | split archive (`.mpxar`) | the client's own hands (it pipes none) | nothing; the output says so |
//!
//! Nothing is ever overwritten: a tree goes into a folder that is new or empty, a file is made anew
//! (0600, whatever the umask). A restore that fails leaves the target as it was.

mod beside;
mod protection;
mod target;
mod unpack;
mod witnessed;

use std::{
    ffi::OsString,
    io::{self, Write},
    ops::ControlFlow,
    path::Path,
    time::Duration,
};

use pbs_format::{
    blob,
    datastore::{FileKind, FileName, SnapshotRef},
    manifest::{CryptMode, FileEntry},
    witness,
};
use tenwords_protocol::fingerprint::ShortFingerprint;

use crate::{
    access::Access,
    client::{Client, Work},
    error::DriverError,
    failure::Failure,
    process::{Capture, Moment, Stdout},
    scrub::scrub,
    snapshot::namespace,
};
pub use protection::Protection;
use protection::no_key;
use target::Target;

/// What to restore, and under which key.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// From where.
    pub access: &'a Access,
    /// Of which snapshot: always one by its time, never "the newest of a group", which the client
    /// would choose for itself.
    pub snapshot: &'a SnapshotRef,
    /// Which file: its entry in the snapshot's verified list of files, or in the one that was let through
    /// although it proves nothing. What is not in the list has no entry and cannot be asked for.
    pub signed: &'a FileEntry,
    /// What protects it.
    pub protection: Protection<'a>,
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Since its start.
    pub elapsed: Duration,
    /// Bytes of the archive that have come. (Of a blob or a split archive, which go past us: those
    /// that the client has written by the kernel's count, the data and a little more.) Begins again
    /// if a stream has to be read a second time to be judged.
    pub received: u64,
    /// Bytes that there are, by the signed entry; of a blob as it is stored, of a split archive those
    /// of its list of entries alone.
    pub total: u64,
}

/// A restore that ended well under our key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOutput {
    /// Whatever else the client said, scrubbed; warnings, and what could not be set.
    pub said: Vec<String>,
}

/// Told of the progress a few times a second; `Break` ends the restore as interrupted.
pub type Observer<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Restores a file archive (`….pxar.didx`) into a folder that does not exist yet or is empty, which
/// it is again if that fails. A split archive, asked for by its `….mpxar.didx`, is restored by the
/// client itself.
///
/// # Errors
/// [`DriverError`]; [`DriverError::NotSigned`] if what came is not the archive that was signed.
pub fn tree(
    client: &Client,
    request: &Request<'_>,
    target: &Path,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    let split = witness::is_split(request.signed);
    if split && request.archive().archive().ends_with(".ppxar") || !split && kind(request.archive()) != Kind::Tree {
        return Err(wrong_kind(request.archive(), "a file archive"));
    }
    request.check()?;
    let target = Target::folder(target)?;
    let result = match split {
        true => by_the_client(client, request, &target, observer).map_err(Failed::from),
        false => unpack::tree(client, request, &target, observer),
    };
    kept(target, result, request, observer)
}

/// What was restored stays; what was not, goes, if its disk answers.
fn kept(
    target: Target,
    result: Result<RestoreOutput, Failed>,
    request: &Request<'_>,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    let total = request.signed.size;
    let mut go_on = || observer(Progress { elapsed: Duration::ZERO, received: 0, total });
    match result {
        Ok(output) => {
            target.keep();
            Ok(output)
        }
        Err(Failed::Ended(error)) => Err(target.give_up(error, &mut go_on)),
        Err(Failed::Hangs(error)) => Err(target.leave(error)),
    }
}

/// Why a restore did not end well.
enum Failed {
    /// It has ended.
    Ended(DriverError),
    /// It was to end for this reason, and something of it hangs in the target's disk.
    Hangs(DriverError),
}

impl From<DriverError> for Failed {
    fn from(error: DriverError) -> Self {
        Self::Ended(error)
    }
}

fn interrupted() -> DriverError {
    DriverError::Client { command: COMMAND, failure: Failure::Interrupted }
}

/// Restores a blob or an image into a new file (0600), which is removed again if that fails.
///
/// # Errors
/// [`DriverError`]; [`Failure::TargetExists`] if something is there, [`DriverError::NotSigned`] if
/// what came is not what was signed.
pub fn file(
    client: &Client,
    request: &Request<'_>,
    target: &Path,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    if request.archive().kind() == FileKind::Dynamic {
        return Err(wrong_kind(request.archive(), "a blob or an image"));
    }
    request.check()?;
    // Into a file of ours, not by the client: it would make one that everybody may read (client.md).
    let (target, made) = Target::file(target)?;
    let result = match request.archive().kind() {
        FileKind::Fixed => unpack::image(client, request, &target, made, observer),
        FileKind::Blob | FileKind::Dynamic => unpack::blob(client, request, &target, made, observer),
    };
    kept(target, result, request, observer)
}

/// A split archive, which the client does not pipe and whose cuts do not follow from its content.
fn by_the_client(
    client: &Client,
    request: &Request<'_>,
    target: &Target,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    let stderr = restore(client, request, target.path().into(), Stdout::Keep(0), observer)?;
    let mut output = under_our_key(request, &stderr)?;
    output.said.push(format!(
        "{} is a split archive: the client restored it, and only its list of files, not its content, was held \
         against the signature",
        request.archive().archive()
    ));
    Ok(output)
}

/// Restores a small blob into memory.
///
/// # Errors
/// [`DriverError`]; a blob of more than `max` bytes, or that cannot have the signed length, is an
/// error.
pub fn bytes(client: &Client, request: &Request<'_>, max: usize) -> Result<Vec<u8>, DriverError> {
    let mut bytes = Vec::new();
    stream(client, request, &mut BoundedWriter { bytes: &mut bytes, max }, &mut |_| ControlFlow::Continue(()))?;
    can_be(request, bytes.len() as u64)?;
    Ok(bytes)
}

/// Restores any archive to a receiver: a file archive as the raw pxar stream, whose length is the
/// archive's size in the list of files. Not one byte is passed on before the client has said that it
/// uses our key. That is all it promises: the bytes are not held against the signed entry.
///
/// # Errors
/// [`DriverError`]. What the receiver has by then is partial. A receiver that has no room now says so by
/// [`io::ErrorKind::WouldBlock`], and is asked again; that is no error.
pub fn stream(
    client: &Client,
    request: &Request<'_>,
    receiver: &mut dyn Write,
    observer: Observer<'_>,
) -> Result<RestoreOutput, DriverError> {
    let mut vouched = false;
    let mut refused = false;
    // So much of a piece was taken that is offered again.
    let mut taken = 0;
    let mut pass_on = |stderr: &Capture, bytes: &[u8]| {
        if !vouched {
            vouched = under_our_key(request, stderr).is_ok();
            if !vouched {
                refused = true;
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        while taken < bytes.len() {
            match receiver.write(&bytes[taken..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => taken += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        taken = 0;
        Ok(())
    };
    let result = restore(client, request, "-".into(), Stdout::Stream(&mut pass_on), observer);
    if refused && let Protection::Under { key, .. } | Protection::Unproven { key, .. } = request.protection {
        return Err(DriverError::NotUnderOurKey { expected: key });
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

/// The same of a snapshot whose list names no key. It is not judged here in any way, and by nobody's
/// signature elsewhere: who looks at it does so to let exactly this list through, or not.
///
/// # Errors
/// [`DriverError`]; [`Failure::MissingKey`] if the list names a key.
pub fn plain_manifest(client: &Client, access: &Access, snapshot: &SnapshotRef) -> Result<Vec<u8>, DriverError> {
    let args = arguments(access, snapshot, "index.json".into(), "-".into(), no_key());
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
    let args = arguments(access, snapshot, given_name(archive), "-".into(), no_key());
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

impl Request<'_> {
    fn archive(&self) -> &FileName {
        &self.signed.filename
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
#[must_use]
pub fn given_name(archive: &FileName) -> OsString {
    let short = archive.archive();
    if let (FileKind::Dynamic, Some(name)) = (archive.kind(), short.strip_suffix(".mpxar")) {
        // The clients that know split archives find both halves by this (`formats.md` §8.8).
        return format!("{name}.pxar").into();
    }
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
    request.check()?;
    let key = match request.protection.key_file() {
        // No --crypt-mode: with a key file it may not be `none`, and the rest is the same (formats.md §11.3).
        Some((key_file, _)) => ["--keyfile".into(), key_file.into()],
        None => no_key(),
    };
    let args = arguments(request.access, request.snapshot, given_name(request.archive()), target, key);
    let total = request.signed.size;
    let mut watch = |moment: Moment| observer(Progress { elapsed: moment.elapsed, received: moment.written, total });
    let finished = client.work(&work(client, request.access, &args), stdout, &mut watch)?;
    Ok(finished.stderr)
}

/// Looks for the two lines that the client prints once it has checked the manifest's signature
/// under the key: `Using encryption key from '<our file>'..` and `Fingerprint: <short>`. Where nothing is
/// proven they need not come, and may not name another key.
fn under_our_key(request: &Request<'_>, stderr: &Capture) -> Result<RestoreOutput, DriverError> {
    let text = stderr.text();
    let text = String::from_utf8_lossy(&text);
    let Some((key_file, key)) = request.protection.key_file() else {
        let lines = text.split(['\n', '\r']).map(str::trim_end).filter(|line| !line.is_empty()).take(MAX_SAID);
        let said = lines.map(|line| scrub(line.as_bytes(), &[request.access.expose_token()])).collect();
        return Ok(RestoreOutput { said });
    };
    let used = format!("Using encryption key from '{}'..", key_file.display());
    let named = format!("Fingerprint: {}", key.short());
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
    let is_enough = match request.protection {
        Protection::Under { .. } => found == 2,
        Protection::Plain | Protection::Unproven { .. } => found == 0 || found == 2,
    };
    if !is_enough || text.lines().any(|line| line.starts_with("Fingerprint: ") && line.trim_end() != named) {
        return Err(DriverError::NotUnderOurKey { expected: key });
    }
    Ok(RestoreOutput { said })
}

/// Whether a blob of this length can be the one that was signed. Its file has a header and the
/// content, compressed if that is shorter; that is all its entry's length says, and the checksum,
/// which is over the file, says nothing of the content.
fn can_be(request: &Request<'_>, length: u64) -> Result<(), DriverError> {
    let header = match request.signed.crypt_mode {
        CryptMode::Encrypt if request.archive().as_str() != WRAPPED_KEY => blob::ENCRYPTED_HEADER,
        _ => blob::HEADER,
    } as u64;
    let signed = request.signed.size;
    if signed < header || length.saturating_add(header) < signed {
        let source = witness::WitnessError::TooShort { signed: signed.saturating_sub(header), found: length };
        return Err(DriverError::NotSigned { archive: request.archive().to_string(), source });
    }
    Ok(())
}

/// The target and the key file are words on a command line: a full path is never an option, and means
/// the same wherever the child starts.
fn absolute(path: &Path) -> Result<(), DriverError> {
    if path.is_absolute() { Ok(()) } else { Err(DriverError::Relative { path: path.to_owned() }) }
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
/// The one blob that is not encrypted in an encrypted snapshot.
const WRAPPED_KEY: &str = "rsa-encrypted.key.blob";
const MAX_SAID: usize = 200;
