//! Restoring a guest through PVE's own programs: `pct restore` for a container, `qmrestore` for a
//! virtual machine, to a number that is free. With `--force` only where the caller says exactly which guest
//! may be replaced ([`Replaces`]) and that guest, looked at right before, lies there.
//!
//! What PVE runs inside is out of our hands: the client and `pbs-restore` get the storage's key file and
//! token from PVE. Two things are not: the environment, which is made from nothing and, for a storage
//! with a pinned certificate, holds an empty trust store (the client inside inherits it); and the
//! client's lines about the key, which are in PVE's output. `pbs-restore` says nothing about keys, so for
//! disks the snapshot's manifest, verified natively by the caller before and after, stands alone.

use std::{
    ffi::OsString,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{AccessFlags, access};
use pbs_format::datastore::{BackupType, SnapshotRef};
use tenwords_protocol::fingerprint::Fingerprint;
use thiserror::Error;

use super::{
    error::PveError,
    former::AsFound,
    guest_config::Kind,
    guest_failure::{GuestFailure, name},
    guests::{FIRST, LAST, config_file, of_number},
    leftover::{self, End, Leftover},
    node::Node,
    pool::PoolId,
    progress::{GuestProgress, Reader},
    replaced::{self, Replaces},
    secrets,
    storage::{StorageCfg, StorageId},
    torn,
    worker::{self, Look},
};
use crate::{
    environment::Environment,
    group::Exit,
    private::{Folder, PrivateDir},
    process::{Job, RunError},
};

/// What to restore, and as what.
#[derive(Debug, Clone, Copy)]
pub struct GuestRestore<'a> {
    /// On this node.
    pub node: &'a Node,
    /// Where the programs' homes are made.
    pub private: &'a PrivateDir,
    /// The new guest's number: a free one, or that of the guest that it replaces.
    pub vmid: u32,
    /// The one guest that may be replaced, and no other; `None` replaces nothing.
    pub replaces: Option<Replaces>,
    /// The storage that is the backup server, by its name in `storage.cfg`.
    pub source: &'a StorageId,
    /// The backup: of a container or of a virtual machine.
    pub snapshot: &'a SnapshotRef,
    /// The storage for the new volumes. `None`: for a virtual machine those named in its backup, for a
    /// container PVE's default, `local`, which usually takes none.
    pub target: Option<&'a str>,
    /// The pool that PVE puts the guest into as the last thing, if any ([`super::pool`]).
    pub pool: Option<&'a PoolId>,
    /// New network addresses, for a guest that may run beside its original.
    pub unique: bool,
    /// The key that the client inside must say it used; `None` for a backup in plain text.
    pub key: Option<Fingerprint>,
    /// How long is waited for what.
    pub limits: GuestLimits,
}

/// How long is waited for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestLimits {
    /// For the program to start.
    pub spawn: Duration,
    /// Without a word and without a byte read or written by any of its processes.
    pub stall: Duration,
    /// For the whole.
    pub whole: Duration,
    /// For the clean-up after it was asked to stop; then everything is killed.
    pub cleanup: Duration,
}

/// A guest that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestOutput {
    /// Its configuration.
    pub config: PathBuf,
    /// Whatever else the programs said, scrubbed: warnings, and what could not be set.
    pub said: Vec<String>,
    /// PVE's count of warnings, if it gave one.
    pub warnings: Option<u64>,
    /// The commands that remove it and nothing else, should it turn out not to be trusted
    /// ([`Leftover::remedy`]).
    pub removal: Vec<String>,
}

/// A guest that was not restored, or not as it should have been.
#[derive(Debug, Error)]
#[error("{} {vmid} was not restored", match kind { Kind::Container => "container", Kind::Machine => "virtual machine" })]
pub struct GuestError {
    /// What was to be restored.
    pub kind: Kind,
    /// As which number.
    pub vmid: u32,
    /// Why.
    #[source]
    pub failure: Box<GuestFailure>,
    /// What is there now and was not there before.
    pub left: Box<Leftover>,
    /// What else the programs said, scrubbed.
    pub said: Vec<String>,
}

/// Told of the progress a few times a second; `Break` asks the restore to stop and clean up.
pub type GuestObserver<'a> = &'a mut dyn FnMut(&GuestProgress) -> ControlFlow<()>;

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            spawn: Duration::from_secs(10),
            // A storage that makes a large volume, or fills one with zeros, is silent for long.
            stall: Duration::from_secs(30 * 60),
            whole: Duration::from_secs(7 * 24 * 3600),
            cleanup: Duration::from_secs(5 * 60),
        }
    }
}

impl GuestError {
    /// What the person can do next, apart from [`Leftover::remedy`].
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        self.failure.next_step()
    }

    /// The commands that remove what is left behind.
    #[must_use]
    pub fn remedy(&self) -> Vec<String> {
        self.left.remedy(self.kind, self.vmid)
    }
}

/// Restores a guest. Blocks until it is done or given up.
///
/// What is refused before anything is touched: a number that is taken, by any guest but exactly the one that
/// may be replaced; that one while it runs, is protected, or has changed; a storage that is not there or
/// not meant for this, a `/etc/pve` that cannot be written. PVE's own refusals stand behind.
///
/// # Errors
/// [`GuestError`], with what is left behind.
pub fn restore(request: &GuestRestore<'_>, observer: GuestObserver<'_>) -> Result<GuestOutput, GuestError> {
    let kind = kind_of(request.snapshot);
    let untouched = |failure| GuestError {
        kind: kind.unwrap_or(Kind::Container),
        vmid: request.vmid,
        failure: Box::new(failure),
        left: Box::default(),
        said: Vec::new(),
    };
    let prepared = prepare(request, kind).map_err(untouched)?;
    prepared.run(request, observer)
}

/// Everything that is known before the program starts.
struct Prepared<'a> {
    kind: Kind,
    program: &'a Path,
    args: Vec<OsString>,
    environment: Environment,
    /// What the environment names lies in it.
    _folder: Folder,
    /// Where the volumes are looked for.
    target: String,
    /// Those that are there already, if PVE tells.
    before: Option<Vec<String>>,
    /// The storage's password: nothing that is shown may hold it.
    password: Option<zeroize::Zeroizing<String>>,
    /// The guest that is replaced.
    replaced: Option<AsFound>,
}

fn prepare<'a>(request: &GuestRestore<'a>, kind: Option<Kind>) -> Result<Prepared<'a>, GuestFailure> {
    let node = request.node;
    let kind = kind.ok_or_else(|| GuestFailure::Backup {
        why: format!("{} is neither of a container nor of a virtual machine", request.snapshot),
    })?;
    node.writable()?;
    if !(FIRST..=LAST).contains(&request.vmid) {
        return Err(GuestFailure::Backup { why: format!("{} is no number for a guest", request.vmid) });
    }
    let paths = node.paths();
    let program = match kind {
        Kind::Container => &paths.pct,
        Kind::Machine => &paths.qmrestore,
    };
    if !program.is_file() || access(program, AccessFlags::X_OK).is_err() {
        return Err(GuestFailure::NoProgram { program: program.clone() });
    }
    if request.replaces.is_none()
        && let Some(there) = of_number(node, request.vmid)?
    {
        return Err(GuestFailure::Exists { vmid: request.vmid, by: Some(replaced::named(&there)) });
    }
    let pinned = check_storages(request, kind)?;
    let folder = request.private.folder().map_err(PveError::from)?;
    let environment = Environment::of_pve(&folder, pinned).map_err(PveError::from)?;
    let target = request.target.unwrap_or("local").to_owned();
    let before = leftover::list(node, &environment, &target, request.vmid);
    let password = secrets::password(node, request.source)?;
    // The last thing before PVE is asked: everything above may have taken its time.
    let check = |replaces| -> Result<AsFound, GuestFailure> {
        let listed = torn::volumes(node, request.private, request.vmid)?;
        replaced::may_be_replaced(node, request.private, (kind, request.vmid), &replaces, &listed)
    };
    let replaced = request.replaces.map(check).transpose()?;
    Ok(Prepared {
        kind,
        program,
        args: arguments(request, kind, replaced.as_ref()),
        environment,
        _folder: folder,
        target,
        before,
        password,
        replaced,
    })
}

/// Whether the source's certificate is pinned.
fn check_storages(request: &GuestRestore<'_>, kind: Kind) -> Result<bool, GuestFailure> {
    let storages = StorageCfg::read(request.node)?;
    let missing = |id: &str| GuestFailure::StorageMissing { storage: id.to_owned() };
    let source = storages.get(request.source)?.ok_or_else(|| missing(request.source.as_str()))?;
    let name = request.node.name()?;
    if !source.is_for(&name) {
        let why = format!("storage '{}' is disabled, or not for node '{name}'", request.source);
        return Err(GuestFailure::StorageUnusable { why });
    }
    if let Some(id) = request.target {
        let section = storages.sections().find(id).ok_or_else(|| missing(id))?;
        let wanted = match kind {
            Kind::Container => "rootdir",
            Kind::Machine => "images",
        };
        // A storage without the property has its kind's default, which only PVE knows.
        let content = section.get("content").flatten();
        if content.is_some_and(|content| !content.split([',', ' ']).any(|word| word == wanted)) {
            let why = format!("storage '{id}' does not take {wanted}");
            return Err(GuestFailure::StorageUnusable { why });
        }
    }
    Ok(source.fingerprint.is_some())
}

/// Never an option that could start or detach anything, nor one that overwrites but for a guest that was just
/// found to be the one that may be replaced.
fn arguments(request: &GuestRestore<'_>, kind: Kind, replaced: Option<&AsFound>) -> Vec<OsString> {
    let volume = format!("{}:backup/{}", request.source, request.snapshot);
    let number = request.vmid.to_string();
    let mut args: Vec<OsString> = match kind {
        Kind::Container => vec!["restore".into(), number.into(), volume.into()],
        Kind::Machine => vec![volume.into(), number.into()],
    };
    if let Some(target) = request.target {
        args.extend(["--storage".into(), target.into()]);
    }
    if let Some(pool) = request.pool {
        args.extend(["--pool".into(), pool.as_str().into()]);
    }
    if request.unique {
        args.extend(["--unique".into(), "1".into()]);
    }
    if replaced.is_some() {
        args.extend(["--force".into(), "1".into()]);
    }
    args
}

impl Prepared<'_> {
    fn run(self, request: &GuestRestore<'_>, observer: GuestObserver<'_>) -> Result<GuestOutput, GuestError> {
        let secrets: Vec<&str> = self.password.iter().map(|password| password.as_str()).collect();
        let limits = &request.limits;
        let job = Job {
            program: self.program,
            args: &self.args,
            environment: &self.environment,
            input: None,
            spawn: limits.spawn,
            whole: limits.whole,
            stall: Some(limits.stall),
        };
        let reader = std::cell::RefCell::new(Reader::new());
        let ran = worker::run(
            &job,
            limits.cleanup,
            &mut |bytes| reader.borrow_mut().push(bytes, &secrets),
            &mut |look: Look| {
                let reader = reader.borrow();
                let progress = GuestProgress {
                    elapsed: look.elapsed,
                    step: reader.step,
                    disk: reader.disk.clone(),
                    written: look.written,
                };
                observer(&progress)
            },
        );
        let mut reader = reader.into_inner();
        reader.finish(&secrets);
        let guest = (self.kind, request.vmid);
        let before = self.before.as_deref();
        let left = |end, made: &[String]| {
            let replaced = self.replaced.as_ref();
            let now = replaced.and_then(|_| torn::volumes(request.node, request.private, request.vmid).ok());
            let how = (end, replaced, now.as_ref());
            leftover::find(request.node, &self.environment, guest, &self.target, before, made, how)
        };
        let failed = |killed| if killed { End::Killed } else { End::Failed };
        let (end, failure) = match ran {
            Err(error) => (End::Killed, self.of_a_run(error)),
            Ok(ran) => match ran.end {
                Err(why) => (failed(ran.killed), self.of_a_run(why)),
                Ok(Exit::Code(0)) => match self.judge(request, &reader) {
                    Ok(config) => {
                        let warnings = warnings(&ran.stderr.text());
                        let removal = left(End::Done, &reader.volumes).remedy(self.kind, request.vmid);
                        return Ok(GuestOutput { config, said: reader.other, warnings, removal });
                    }
                    Err(failure) => (End::Done, failure),
                },
                Ok(Exit::Code(_)) => {
                    (failed(ran.killed), name(request.vmid, &ran.stdout.text(), &ran.stderr.text(), &secrets))
                }
                Ok(Exit::Signal(_) | Exit::Lost) => (End::Killed, GuestFailure::Interrupted),
            },
        };
        let left = if failure.is_before_anything() {
            // What is there is somebody else's.
            Leftover::default()
        } else {
            left(end, &reader.volumes)
        };
        let (failure, left) = (Box::new(failure), Box::new(left));
        Err(GuestError { kind: self.kind, vmid: request.vmid, failure, left, said: reader.other })
    }

    /// A program that says it is done must have left a guest, read under our key.
    fn judge(&self, request: &GuestRestore<'_>, reader: &Reader) -> Result<PathBuf, GuestFailure> {
        if let Some(expected) = request.key
            && reader.keys != [expected.shortened()]
        {
            return Err(GuestFailure::NotUnderOurKey { expected, seen: reader.keys.clone() });
        }
        let relative = config_file(&request.node.name()?, self.kind, request.vmid);
        match request.node.read(&relative)? {
            Some(_) => Ok(request.node.file(&relative)),
            None => Err(GuestFailure::Unknown { text: "that it is done, but there is no such guest".to_owned() }),
        }
    }

    fn of_a_run(&self, error: RunError) -> GuestFailure {
        let io = |doing, source| PveError::Io { doing, path: self.program.to_owned(), source }.into();
        match error {
            RunError::Spawn(source) => io("starting", source),
            RunError::SpawnTimedOut => GuestFailure::TimedOut { waiting_for: "its start" },
            RunError::TimedOut => GuestFailure::TimedOut { waiting_for: "its end" },
            RunError::Stalled => GuestFailure::TimedOut { waiting_for: "a sign of work" },
            RunError::Stopped => GuestFailure::Interrupted,
            RunError::TooMuch => GuestFailure::Unknown { text: "far more than it should".to_owned() },
            RunError::Pipe(source) | RunError::Receiver(source) => io("talking to", source),
        }
    }
}

fn kind_of(snapshot: &SnapshotRef) -> Option<Kind> {
    match snapshot.group().backup_type() {
        BackupType::Ct => Some(Kind::Container),
        BackupType::Vm => Some(Kind::Machine),
        _ => None,
    }
}

/// `Task finished with N warning(s)!`
fn warnings(said: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(said);
    text.lines()
        .rev()
        .find_map(|line| line.strip_prefix("Task finished with ")?.strip_suffix(" warning(s)!")?.parse().ok())
}
