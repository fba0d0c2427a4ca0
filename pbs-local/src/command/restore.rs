//! `restore SNAPSHOT ARCHIVE TARGET`.
//!
//! The order of work is the client's, since it decides which error comes first (`formats.md` §11.3):
//! repository, login, newest snapshot of a group, key file and passphrase, snapshot, manifest, archive,
//! target. A blob is decoded whole before its target is made; an archive streams, read ahead on all cores.
//! What is checked is what the client checks: an unsigned plaintext snapshot comes back without a
//! word. Nothing is written into the datastore.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Instant,
};

use pbs_format::{
    all_cores,
    archive::ChunkReader,
    blob,
    datastore::{Datastore, FileKind, FileName, Namespace, Snapshot, SnapshotRef},
    key::EncryptionKey,
    manifest::{FileEntry, MANIFEST_NAME, MAX_MANIFEST, Manifest},
    pxar::{self, ExtractOptions, ExtractReport, Overwrite},
};
use tenwords_protocol::hash::Sha256;

use super::Context;
use crate::{
    crypt,
    error::Error,
    log::Log,
    server::{Session, Use},
    store::{self, Named},
    wording::{Worded, blob_error, file_error, manifest_error},
};

/// Bytes that are copied at a time.
const PIECE: usize = 1 << 20;
/// The one blob that can be had without the key that it holds.
const WRAPPED_KEY: &str = "rsa-encrypted.key.blob";

/// Where the data goes.
enum Target {
    Stdout,
    Path(PathBuf),
}

/// The command.
pub(crate) fn run(context: &Context<'_>) -> Result<(), Error> {
    let parsed = context.parsed;
    let log = context.log;
    let namespace = store::namespace(parsed)?;
    let wanted = store::named(parsed.argument(0)?)?;
    let file = server_name(parsed.argument(1)?)?;
    let target = match parsed.positional(2) {
        Some(path) if path == "-" => Target::Stdout,
        Some(path) => Target::Path(PathBuf::from(path)),
        None => return Err(parsed.refused("target", "parameter is missing and it is not optional.")),
    };
    let options = extract_options(context);

    let session = context.login()?;
    let reference = match wanted {
        Named::Snapshot(snapshot) => snapshot,
        Named::Group(group) => {
            session.request()?;
            let missing =
                Error::Denied { privileges: "Datastore.Audit|Datastore.Backup", store: session.repository.store() };
            let store = store::open(context, &session, Use::Read, missing)?;
            let snapshots = match store.snapshots(&namespace, &group) {
                Err(error) if error.is_missing() => Vec::new(),
                other => other.map_err(store::failed)?,
            };
            snapshots.last().cloned().ok_or_else(|| Error::EmptyGroup { group: group.to_string() })?
        }
    };

    let (_, source) = crypt::parameters(parsed, log)?;
    let key = match &source {
        None => None,
        Some(source) => Some(source.open().inspect_err(|_| log.info(source))?),
    };

    session.request()?;
    let store = open_for_reading(context, &session, &namespace)?;
    let snapshot =
        store.snapshot(&namespace, &reference).map_err(|error| no_snapshot(store::failed(error), &reference))?;
    let _lock = store::lock(snapshot.path(), "snapshot directory", false)?;

    let (text, manifest) = read_manifest(&snapshot)?;
    if file.as_str() == WRAPPED_KEY && key.is_none() {
        log.info("Restoring encrypted key blob without original key - skipping manifest fingerprint check!");
    } else {
        manifest.check(key.as_ref()).map_err(manifest_error)?;
    }
    if let (Some(source), Some(key), true) = (&source, &key, manifest.is_signed()) {
        log.info(source);
        log.info(format_args!("Fingerprint: {}", key.fingerprint().short()));
    }

    if file.as_str() == MANIFEST_NAME {
        return match target {
            Target::Stdout => stdout()?.write_all(&text).map_err(Error::Write),
            Target::Path(path) => replace(&path, &text).map_err(|cause| Error::Target { path, cause }),
        };
    }
    let entry = manifest.file(file.as_str()).ok_or_else(|| Error::NotInManifest { file: file.to_string() })?;
    let key = key.as_ref();
    match (file.kind(), target) {
        (FileKind::Blob, target) => restore_blob(&snapshot, entry, key, target),
        (FileKind::Dynamic, Target::Stdout) => {
            let mut stdout = stdout()?;
            open_archive(&snapshot, entry, key)?.ahead(all_cores(), |archive| {
                copy(&mut Worded(archive), &mut stdout, |_| {}).map_err(|cause| Error::Pipe(cause.into_inner()))
            })
        }
        (FileKind::Dynamic, Target::Path(path)) => {
            let report = open_archive(&snapshot, entry, key)?.ahead(all_cores(), |archive| {
                pxar::extract(Worded(archive), &path, &options).map_err(|error| Error::Extract(error.client_text()))
            })?;
            tell(log, &report);
            Ok(())
        }
        (FileKind::Fixed, target) => restore_image(log, &snapshot, entry, key, target),
    }
}

/// The name on the server of what the user names (`formats.md` §6.1, 3.2.4).
fn server_name(given: &str) -> Result<FileName, Error> {
    let name = if [".didx", ".fidx", ".blob"].iter().any(|ending| given.ends_with(ending)) {
        given.to_owned()
    } else if given.ends_with(".pxar") {
        format!("{given}.didx")
    } else if given.ends_with(".img") {
        format!("{given}.fidx")
    } else {
        format!("{given}.blob")
    };
    name.parse().map_err(|_| Error::NotInManifest { file: name.clone() })
}

fn extract_options(context: &Context<'_>) -> ExtractOptions {
    let flag = |name| context.parsed.flag(name);
    let overwrite = if flag("overwrite") {
        Overwrite::all()
    } else {
        Overwrite {
            files: flag("overwrite-files"),
            symlinks: flag("overwrite-symlinks"),
            hardlinks: flag("overwrite-hardlinks"),
        }
    };
    ExtractOptions {
        allow_existing_dirs: flag("allow-existing-dirs"),
        overwrite,
        ignore_ownership: flag("ignore-ownership"),
        ignore_xattrs: flag("ignore-xattrs"),
        ignore_acls: flag("ignore-acls"),
        ignore_permissions: flag("ignore-permissions"),
        ignore_extract_device_errors: flag("ignore-extract-device-errors"),
    }
}

fn open_for_reading(context: &Context<'_>, session: &Session<'_>, namespace: &Namespace) -> Result<Datastore, Error> {
    let mut name = session.repository.store();
    if !namespace.is_root() {
        name = format!("{name}/{namespace}");
    }
    store::open(context, session, Use::Read, Error::NoPermissions { store: name })
}

fn no_snapshot(error: Error, snapshot: &SnapshotRef) -> Error {
    match error {
        Error::NotFound => Error::NoSnapshot { snapshot: snapshot.to_string() },
        other => other,
    }
}

/// The manifest's text as it was stored, and what it says. Verified by nobody yet.
fn read_manifest(snapshot: &Snapshot<'_>) -> Result<(Vec<u8>, Manifest), Error> {
    let path = snapshot.path().join(MANIFEST_NAME);
    let name = MANIFEST_NAME.parse().map_err(|_| Error::FileMissing { path: path.clone() })?;
    let raw = snapshot.raw(&name).map_err(|error| match store::failed(error) {
        Error::NotFound => Error::FileMissing { path },
        other => other,
    })?;
    let text = blob::decode(&raw, None, MAX_MANIFEST).map_err(|error| Error::Content(blob_error(&error)))?;
    let manifest = Manifest::from_blob(&raw).map_err(manifest_error)?;
    Ok((text, manifest))
}

fn open_archive<'k>(
    snapshot: &Snapshot<'_>,
    entry: &FileEntry,
    key: Option<&'k EncryptionKey>,
) -> Result<ChunkReader<'k>, Error> {
    let opened = snapshot.archive(entry, key);
    opened.map_err(|error| file_error(error, entry, || snapshot.raw(&entry.filename).ok()))
}

fn restore_blob(
    snapshot: &Snapshot<'_>,
    entry: &FileEntry,
    key: Option<&EncryptionKey>,
    target: Target,
) -> Result<(), Error> {
    let raw = snapshot.raw(&entry.filename).map_err(|error| file_error(error, entry, || None))?;
    let (file, found) = (entry.filename.to_string(), raw.len() as u64);
    if found != entry.size {
        return Err(Error::WrongSize { file, expected: entry.size, found });
    }
    if Sha256::of(&raw) != entry.csum {
        return Err(Error::WrongChecksum { file });
    }
    // Like the client, and unlike `Snapshot::blob`, this does not ask whether the blob is encrypted
    // as the manifest says (`hostile-pbs` 3).
    let key = key.filter(|_| entry.filename.as_str() != WRAPPED_KEY);
    let content = blob::decode(&raw, key, blob::MAX_PLAIN).map_err(|error| Error::Content(blob_error(&error)))?;
    let mut writer = writer(target)?;
    writer.write_all(&content).and_then(|()| writer.flush()).map_err(Error::Write)
}

fn restore_image(
    log: Log,
    snapshot: &Snapshot<'_>,
    entry: &FileEntry,
    key: Option<&EncryptionKey>,
    target: Target,
) -> Result<(), Error> {
    let archive = open_archive(snapshot, entry, key)?;
    let mut writer = writer(target)?;
    let start = Instant::now();
    let (mut read, mut percent) = (0_u64, 0);
    let count = |count: usize| {
        read += count as u64;
        let now = u128::from(read) * 100 / u128::from(entry.size.max(1));
        if now > percent {
            percent = now;
            let seconds = start.elapsed().as_secs();
            log.debug(format_args!("progress {percent}% (read {read} bytes, duration {seconds} sec)"));
        }
    };
    let copied = archive.ahead(all_cores(), |archive| copy(&mut Worded(archive), &mut writer, count));
    copied.map_err(|error| match error {
        CopyError::Read(cause) => Error::Content(cause.to_string()),
        CopyError::Write(cause) => Error::Write(cause),
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let speed = if seconds > 0.0 { read as f64 / seconds / 1_048_576.0 } else { 0.0 };
    log.info(format_args!("restore image complete (bytes={read}, duration={seconds:.2}s, speed={speed:.2}MB/s)"));
    Ok(())
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

impl CopyError {
    fn into_inner(self) -> io::Error {
        match self {
            Self::Read(error) | Self::Write(error) => error,
        }
    }
}

fn copy(from: &mut impl Read, to: &mut impl Write, mut progress: impl FnMut(usize)) -> Result<(), CopyError> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return to.flush().map_err(CopyError::Write),
            Ok(count) => {
                to.write_all(&piece[..count]).map_err(CopyError::Write)?;
                progress(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Read(error)),
        }
    }
}

/// A new file at the target, or standard output.
fn writer(target: Target) -> Result<File, Error> {
    match target {
        Target::Stdout => stdout(),
        Target::Path(path) => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&path)
            .map_err(|cause| Error::Target { path, cause }),
    }
}

/// Standard output without the buffer that looks for lines.
fn stdout() -> Result<File, Error> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(Error::Write)
}

/// Puts `content` in the place of whatever has that name, in one step.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.tmp_{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside)?;
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&beside, path));
    match written {
        Ok(()) => Ok(()),
        Err(error) => {
            std::fs::remove_file(&beside)?;
            Err(error)
        }
    }
}

/// Says what is in the archive and could not be set here.
fn tell(log: Log, report: &ExtractReport) {
    for missed in &report.not_set {
        log.warn(format_args!("not restored: {} of {:?} - {}", missed.property, missed.path, missed.reason));
    }
    if report.not_set_further > 0 {
        log.warn(format_args!("not restored: {} more", report.not_set_further));
    }
}
