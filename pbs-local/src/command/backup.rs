//! `backup NAME.EXT:PATH…`.
//!
//! Streams: a folder or image is cut into chunks as it is read, and stored on all cores.
//! The manifest is the last thing that is written; until then the snapshot is unfinished to every
//! reader. Lines and their order are the client's (transcripts `ab`, `c2`, `x`).

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _, Write},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::FileTypeExt as _,
    },
    path::PathBuf,
    time::Instant,
};

use pbs_format::{
    all_cores,
    backup::{ArchiveStats, BackupError, Protection, SnapshotWriter},
    blob,
    datastore::{BackupType, Datastore, FileName, Group, Namespace, SnapshotRef},
    key::EncryptionKey,
    manifest::MANIFEST_NAME,
    pxar::{self, CreateError, CreateOptions, CreateReport},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::time::Timestamp;

use super::Context;
use crate::{
    crypt::{self, Mode},
    error::Error,
    human,
    log::Log,
    repository::{Repository, is_safe},
    server::Use,
    store,
    wording::manifest_error,
};

/// Bytes of an image that are read at a time.
const PIECE: usize = 1 << 20;

/// What is to become one file of the snapshot.
struct Spec {
    kind: Kind,
    file: FileName,
    path: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Image,
    Config,
    Log,
}

type Writer<'k> = SnapshotWriter<'k, UnwrapErr<SysRng>>;

/// The command.
pub(crate) fn run(context: &Context<'_>) -> Result<(), Error> {
    let parsed = context.parsed;
    let log = context.log;
    let mut specs: Vec<Spec> = Vec::new();
    for text in parsed.positionals() {
        let spec =
            Spec::parse(text).ok_or_else(|| parsed.refused("backupspec", "value does not match the regex pattern"))?;
        if specs.iter().any(|other| other.file == spec.file) {
            return Err(Error::Twice { name: spec.file.archive().to_owned() });
        }
        specs.push(spec);
    }
    let namespace = store::namespace(parsed)?;
    let (mode, source) = crypt::parameters(parsed, log)?;
    let session = context.login()?;
    for spec in &specs {
        spec.check()?;
    }
    let hostname = hostname();
    let snapshot = reference(context, &hostname)?;

    let start = Instant::now();
    match namespace.is_root() {
        true => log.info(format_args!("Starting backup: {snapshot}")),
        false => log.info(format_args!("Starting backup: [{namespace}]:{snapshot}")),
    }
    log.info(format_args!("Client name: {}", hostname.as_deref().unwrap_or("localhost")));
    let now = Timestamp::now().unix();
    log.info(format_args!("Starting backup protocol: {}", human::local_time(now)));
    let key = match &source {
        None => None,
        Some(source) => {
            log.info(source);
            let key = source.open()?;
            log.info(format_args!("Encryption key fingerprint: {}", key.fingerprint().short()));
            Some(key)
        }
    };

    session.request()?;
    let missing = Error::Denied { privileges: "Datastore.Backup", store: session.repository.store() };
    let store = store::open(context, &session, Use::Write, missing)?;
    if !store.namespace_path(&namespace).is_dir() {
        return Err(Error::NotFound);
    }
    previous(log, &store, &namespace, &snapshot, key.as_ref())?;
    let what = if parsed.flag("dry-run") { "Would upload" } else { "Upload" };
    let announce = |spec: &Spec| {
        let (path, repository) = (spec.path.display(), &session.repository);
        log.info(format_args!("{what} {} '{path}' to '{repository}' as {}", spec.kind.words(), spec.file));
    };
    if parsed.flag("dry-run") {
        specs.iter().for_each(announce);
        log.info("dry-run: no upload happened");
        return Ok(());
    }

    let protection = match (mode, &key) {
        (Mode::Encrypt, Some(key)) => Protection::Encrypt(key),
        (Mode::SignOnly, Some(key)) => Protection::Sign(key),
        _ => Protection::None,
    };
    let owner = owner(&session.repository, &store, &namespace, snapshot.group());
    let rng = UnwrapErr(SysRng);
    let mut writer = SnapshotWriter::begin(&store, &namespace, snapshot, &owner, protection, rng).map_err(refused)?;
    for spec in &specs {
        announce(spec);
        upload(log, &mut writer, spec, now)?;
    }
    writer.finish(None).map_err(refused)?;
    log.info(format_args!("Duration: {:.2}s", start.elapsed().as_secs_f64()));
    log.info(format_args!("End Time: {}", human::local_time(Timestamp::now().unix())));
    Ok(())
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Folder => "directory",
            Self::Image => "image",
            Self::Config => "config file",
            Self::Log => "log file",
        }
    }
}

impl Spec {
    /// Reads `label.ext:path` (`formats.md` §6.1).
    fn parse(text: &OsString) -> Option<Self> {
        let bytes = text.as_bytes();
        let colon = bytes.iter().position(|byte| *byte == b':')?;
        let name = std::str::from_utf8(&bytes[..colon]).ok()?;
        let path = PathBuf::from(OsString::from_vec(bytes[colon + 1..].to_vec()));
        let (label, extension) = name.rsplit_once('.')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if label.is_empty() || !label.chars().all(plain) || path.as_os_str().is_empty() {
            return None;
        }
        let (kind, ending) = match extension {
            "pxar" => (Kind::Folder, "didx"),
            "img" => (Kind::Image, "fidx"),
            "conf" => (Kind::Config, "blob"),
            "log" => (Kind::Log, "blob"),
            _ => return None,
        };
        Some(Self { kind, file: format!("{name}.{ending}").parse().ok()?, path })
    }

    fn check(&self) -> Result<(), Error> {
        let found = std::fs::metadata(&self.path)
            .map_err(|cause| Error::Source { path: self.path.clone(), cause })?
            .file_type();
        let (right, expected) = match self.kind {
            Kind::Folder => (found.is_dir(), "directory"),
            Kind::Image => (found.is_file() || found.is_block_device(), "file or block device"),
            Kind::Config | Kind::Log => (found.is_file(), "regular file"),
        };
        if right { Ok(()) } else { Err(Error::SourceKind { expected }) }
    }
}

/// Which snapshot this becomes.
fn reference(context: &Context<'_>, hostname: &io::Result<String>) -> Result<SnapshotRef, Error> {
    let parsed = context.parsed;
    let backup_type = match parsed.text("backup-type")? {
        Some("vm") => BackupType::Vm,
        Some("ct") => BackupType::Ct,
        _ => BackupType::Host,
    };
    let id = match (parsed.text("backup-id")?, hostname) {
        (Some(id), _) => id,
        (None, Ok(name)) => name,
        (None, Err(error)) => return Err(Error::Hostname(io::Error::new(error.kind(), error.to_string()))),
    };
    let pattern = |_| parsed.refused("backup-id", "value does not match the regex pattern");
    if !is_safe(id) {
        return Err(parsed.refused("backup-id", "value does not match the regex pattern"));
    }
    let group = Group::new(backup_type, id).map_err(pattern)?;
    let time = match parsed.number("backup-time") {
        None => Timestamp::now(),
        Some(seconds) => i64::try_from(seconds)
            .ok()
            .and_then(|seconds| Timestamp::from_unix(seconds).ok())
            .ok_or_else(|| parsed.refused("backup-time", "value is beyond the year 9999"))?,
    };
    SnapshotRef::new(group, time).map_err(|_| parsed.refused("backup-time", "value must have a minimum value of 1"))
}

/// Tells about the group's last finished snapshot, and refuses to go back in time.
fn previous(
    log: Log,
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &SnapshotRef,
    key: Option<&EncryptionKey>,
) -> Result<(), Error> {
    let all = match store.snapshots(namespace, snapshot.group()) {
        Err(error) if error.is_missing() => Vec::new(),
        other => other.map_err(store::failed)?,
    };
    let finished = |one: &&SnapshotRef| store.snapshot_path(namespace, one).join(MANIFEST_NAME).exists();
    let Some(last) = all.iter().rfind(finished) else {
        log.info("No previous manifest available.");
        return Ok(());
    };
    if snapshot.time() <= last.time() {
        return Err(Error::TooOld);
    }
    log.info(format_args!("Downloading previous manifest ({})", human::local_time(last.time().unix())));
    let manifest = store.snapshot(namespace, last).and_then(|last| last.manifest()).map_err(store::failed);
    if let Err(error) = manifest.and_then(|manifest| manifest.check(key).map_err(manifest_error)) {
        log.warn(format_args!("Couldn't re-use previous manifest - {error}"));
    }
    Ok(())
}

/// Who the group belongs to. A datastore that is named by its path is nobody's: groups that are there
/// keep their owners.
fn owner(repository: &Repository, store: &Datastore, namespace: &Namespace, group: &Group) -> String {
    let auth_id = repository.auth_id().as_str().to_owned();
    match repository {
        Repository::Folder(_) => store.owner(namespace, group).unwrap_or(auth_id),
        Repository::Named { .. } => auth_id,
    }
}

fn upload(log: Log, writer: &mut Writer<'_>, spec: &Spec, now: i64) -> Result<(), Error> {
    let path = spec.path.clone();
    let unread = |cause: io::Error| Error::SourceRead { path: path.clone(), cause: cause.to_string() };
    match spec.kind {
        Kind::Config | Kind::Log => {
            let mut content = Vec::new();
            let limit = blob::MAX_PLAIN as u64;
            File::open(&path).and_then(|file| file.take(limit + 1).read_to_end(&mut content)).map_err(unread)?;
            if content.len() as u64 > limit {
                return Err(Error::BlobTooLarge { path });
            }
            writer.blob(&spec.file, &content).map_err(|error| match error {
                BackupError::TooLarge { .. } => Error::BlobTooLarge { path },
                other => refused(other),
            })
        }
        Kind::Folder => {
            let start = Instant::now();
            let (report, stats) = writer.archive_with(&spec.file, now, all_cores(), |archive| {
                let options = CreateOptions { exclude_lists: true, ..CreateOptions::default() };
                pxar::create(&path, archive, &options).map_err(|error| not_created(&path, error))
            })?;
            tell(log, &report);
            summary(log, spec, &stats, start);
            Ok(())
        }
        Kind::Image => {
            let start = Instant::now();
            let mut image = File::open(&path).map_err(unread)?;
            let ((), stats) = writer.archive_with(&spec.file, now, all_cores(), |archive| {
                let mut piece = vec![0; PIECE];
                loop {
                    match image.read(&mut piece) {
                        Ok(0) => return Ok(()),
                        Ok(count) => archive.write_all(&piece[..count]).map_err(not_written)?,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(unread(error)),
                    }
                }
            })?;
            summary(log, spec, &stats, start);
            Ok(())
        }
    }
}

/// What an archive cost.
fn summary(log: Log, spec: &Spec, stats: &ArchiveStats, start: Instant) {
    let duration = start.elapsed();
    let name = spec.file.archive();
    let size = |bytes: u64| human::bytes(bytes as f64);
    log.info(format_args!(
        "{name}: had to backup {} of {} (compressed {}) in {:.2}s",
        size(stats.new_size),
        size(stats.size),
        size(stats.stored),
        duration.as_secs_f64(),
    ));
    log.info(format_args!("{name}: average backup speed: {}", human::speed(stats.new_size, duration)));
    let reused = stats.size.saturating_sub(stats.new_size);
    if reused > 0 {
        let percent = reused as f64 * 100.0 / stats.size as f64;
        log.info(format_args!("{name}: backup was done incrementally, reused {} ({percent:.1}%)", size(reused)));
    }
}

/// Says what is on disk and not in the archive.
fn tell(log: Log, report: &CreateReport) {
    for missed in &report.not_stored {
        let what = missed.property.as_ref().map(|property| format!("{property:?} of ")).unwrap_or_default();
        log.warn(format_args!("not stored as it is: {what}{:?} - {:?}", missed.path, missed.reason));
    }
    for (list, why) in &report.not_followed {
        log.warn(format_args!("not followed: {list:?} - {why}"));
    }
    if report.not_stored_further > 0 {
        log.warn(format_args!("not stored as they are: {} more", report.not_stored_further));
    }
}

fn not_created(path: &std::path::Path, error: CreateError) -> Error {
    let mut level: Option<&dyn std::error::Error> = Some(&error);
    while let Some(at) = level {
        if let Some(inner) = at.downcast_ref::<io::Error>().and_then(BackupError::of) {
            return Error::Content(chain(inner));
        }
        level = at.source();
    }
    Error::SourceRead { path: path.to_owned(), cause: chain(&error) }
}

fn not_written(error: io::Error) -> Error {
    match BackupError::of(&error) {
        Some(inner) => Error::Content(chain(inner)),
        None => Error::Write(error),
    }
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        refused(error)
    }
}

fn refused(error: BackupError) -> Error {
    match error {
        BackupError::Owner { owner, given } => Error::Owner { who: given, owner },
        BackupError::GroupBusy { path } => Error::Locked { what: "backup group directory", path },
        other => Error::Content(chain(&other)),
    }
}

/// All levels of an error in one line, as the client prints its own.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut level = error.source();
    while let Some(error) = level {
        text.push_str(": ");
        text.push_str(&error.to_string());
        level = error.source();
    }
    text
}

/// This machine's name.
fn hostname() -> io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned())
}
