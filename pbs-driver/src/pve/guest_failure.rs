//! What a failed `pct restore` or `qmrestore` means, named by what the person can do next.
//!
//! One table from PVE's last words to a failure. The texts are from the sources of the versions that
//! `docs/findings/pve-restore.md` names, which also says which of them PVE's own programs were seen to
//! print. Where the client or
//! `pbs-restore` failed inside, their own words are in the output, and the client's table
//! ([`crate::failure::classify`]) reads them.

use std::path::PathBuf;

use tenwords_protocol::{
    fingerprint::{Fingerprint, ShortFingerprint},
    hash::Sha256,
};
use thiserror::Error;

use super::{error::PveError, guest_config::Kind};
use crate::{
    failure::{Failure, classify},
    scrub::scrub,
};

/// Why a guest was not restored. `Display` says what; [`Self::next_step`] what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GuestFailure {
    /// What has the number is no guest that this restore could replace. Nothing was touched.
    #[error("the number {vmid} is that of {there}, which is not the guest that may be replaced")]
    Another {
        /// The number.
        vmid: u32,
        /// What has it.
        there: String,
    },
    /// The backup is not one that PVE restores this way.
    #[error("Proxmox VE cannot restore this backup: {why}")]
    Backup {
        /// PVE's words.
        why: String,
    },
    /// The guest that may be replaced is not as it was named. Nothing was touched.
    #[error("the guest {vmid} has changed since: its configuration has the hash {found} now")]
    Changed {
        /// Its number.
        vmid: u32,
        /// Of its configuration, as it lies there.
        found: Sha256,
    },
    /// `proxmox-backup-client` or `pbs-restore` failed inside.
    #[error("reading the backup failed: {0}")]
    Client(Failure),
    /// The number is taken. Nothing was touched.
    #[error("the number {vmid} is taken{}", .by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default())]
    Exists {
        /// The number.
        vmid: u32,
        /// What has it, where that is known.
        by: Option<String>,
    },
    /// The guest that may be replaced is not there any more. Nothing was touched.
    #[error("there is no guest {vmid} any more that could be replaced")]
    Gone {
        /// Its number.
        vmid: u32,
    },
    /// It was asked to stop, or killed.
    #[error("it was interrupted")]
    Interrupted,
    /// `storage.cfg` says that the storage has a key, and the key file is not there.
    #[error("the storage's key file is not there: {said}")]
    KeyMissing {
        /// PVE's words, with the key's fingerprint.
        said: String,
    },
    /// Another program works on this guest, or a former one died over it.
    #[error("the guest is locked: {said}")]
    Locked {
        /// PVE's words.
        said: String,
    },
    /// PVE does not find `proxmox-backup-client`.
    #[error("Proxmox VE does not find proxmox-backup-client")]
    NoClient,
    /// PVE's program is not there.
    #[error("there is no program {}", .program.display())]
    NoProgram {
        /// Where it was looked for.
        program: PathBuf,
    },
    /// The cluster has no quorum.
    #[error("the cluster has no quorum")]
    NoQuorum,
    /// A right is missing.
    #[error("a right is missing: {said}")]
    NoRights {
        /// PVE's words.
        said: String,
    },
    /// Only root may.
    #[error("only root may restore guests")]
    NotRoot,
    /// The guest was restored, but not under the key that it should have been.
    #[error("the backup was not read under key {expected}")]
    NotUnderOurKey {
        /// The key that it should have been.
        expected: Fingerprint,
        /// Those that the client named.
        seen: Vec<ShortFingerprint>,
    },
    /// The guest that is there is protected.
    #[error("the guest is protected against removal")]
    Protected,
    /// On our own side of `/etc/pve`.
    #[error(transparent)]
    Pve(#[from] PveError),
    /// The guest that is there runs.
    #[error("the guest is running; `{} shutdown {vmid}` ends that", .kind.program())]
    Running {
        /// What it is.
        kind: Kind,
        /// Its number.
        vmid: u32,
    },
    /// No room on the target.
    #[error("there is no room left on the target storage")]
    StorageFull,
    /// There is no such storage.
    #[error("there is no storage {storage}")]
    StorageMissing {
        /// Its name.
        storage: String,
    },
    /// The storage is there and cannot take or give this.
    #[error("the storage cannot be used: {why}")]
    StorageUnusable {
        /// PVE's words, or ours.
        why: String,
    },
    /// A deadline of ours went by.
    #[error("it did not finish in time, while waiting for {waiting_for}")]
    TimedOut {
        /// What had not come.
        waiting_for: &'static str,
    },
    /// A text that is in no table.
    #[error("it said: {text}")]
    Unknown {
        /// Its last words, scrubbed.
        text: String,
    },
}

impl GuestFailure {
    /// Whether PVE says this only before it makes anything, so that what has the number now is not ours.
    #[must_use]
    pub fn is_before_anything(&self) -> bool {
        matches!(
            self,
            Self::Another { .. }
                | Self::Changed { .. }
                | Self::Exists { .. }
                | Self::Gone { .. }
                | Self::Locked { .. }
                | Self::NoQuorum
                | Self::NoRights { .. }
                | Self::NotRoot
                | Self::Protected
                | Self::Running { .. }
        )
    }

    /// What the person can do next.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Another { .. } => "choose a free number; what is there is replaced by a backup of its own kind only",
            Self::Backup { .. } => "take another snapshot of this guest, or restore its archives into folders",
            Self::Changed { .. } => "look at that guest; replacing it as it is now takes another order",
            Self::Client(failure) => failure.next_step(),
            Self::Exists { .. } => "choose a free number; replacing a guest takes an order",
            Self::Gone { .. } => "run the same command again: the number is free",
            Self::Interrupted => "clean up what is left behind, then run the same command again",
            Self::KeyMissing { .. } => "put the storage's key file in its place first",
            Self::Locked { .. } => "see whether another task works on this guest; if none does, unlock it",
            Self::NoClient => "install the package proxmox-backup-client",
            Self::NoProgram { .. } => "install Proxmox VE's packages, or give the program's path",
            Self::NoQuorum => "bring the cluster's other nodes back, or see `pvecm status`",
            Self::NoRights { .. } | Self::NotRoot => "run this as root",
            Self::NotUnderOurKey { .. } => {
                "do not start this guest, and set its onboot to 0 so that PVE does not either: its backup did not prove itself; remove it"
            }
            Self::Protected => {
                "see why that guest is protected; lift it with `pct set` or `qm set`, its number and `--protection 0`, \
                 which takes another order, or choose a free number"
            }
            Self::Pve(error) => error.next_step(),
            Self::Running { kind: Kind::Container, .. } => {
                "shut it down first (`pct shutdown` with its number), then run the same command again"
            }
            Self::Running { kind: Kind::Machine, .. } => {
                "shut it down first (`qm shutdown` with its number), then run the same command again"
            }
            Self::StorageFull => "make room on the target storage, or choose another one",
            Self::StorageMissing { .. } => "choose a storage that `pvesm status` shows",
            Self::StorageUnusable { .. } => "choose a storage that is active and takes disks of guests",
            Self::TimedOut { .. } => {
                "see whether the server answers and the target storage is not overloaded, then try again"
            }
            Self::Unknown { .. } => "read what the program said; if it does not help, report it",
        }
    }
}

/// Names the failure in what the program said: `task` is what its task printed, `said` its own last
/// words. Nothing that holds a part of one of the `secrets` gets into the result.
pub(crate) fn name(vmid: u32, task: &[u8], said: &[u8], secrets: &[&str]) -> GuestFailure {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // What PVE dies of comes last; warnings of Perl may stand before it, and a text of several lines is
    // one text.
    let whole = lines.join(" ");
    for candidate in lines.iter().rev().copied().chain([whole.as_str()]) {
        if let Some(failure) = row(vmid, candidate, task, secrets) {
            return failure;
        }
    }
    GuestFailure::Unknown { text: scrub(whole.as_bytes(), secrets) }
}

fn row(vmid: u32, line: &str, task: &[u8], secrets: &[&str]) -> Option<GuestFailure> {
    let text = without_complaint(line);
    let shown = || scrub(text.as_bytes(), secrets);
    if let Some(failure) = of_a_child(text, task, secrets) {
        return Some(failure);
    }
    let (_, means) = TABLE.iter().find(|(shape, _)| shape.fits(text))?;
    Some(match means {
        Means::Backup => GuestFailure::Backup { why: shown() },
        Means::Exists => GuestFailure::Exists { vmid, by: Some(shown()) },
        Means::Interrupted => GuestFailure::Interrupted,
        Means::KeyMissing => GuestFailure::KeyMissing { said: shown() },
        Means::Locked => GuestFailure::Locked { said: shown() },
        Means::NoClient => GuestFailure::NoClient,
        Means::NoQuorum => GuestFailure::NoQuorum,
        Means::NoRights => GuestFailure::NoRights { said: shown() },
        Means::NotRoot => GuestFailure::NotRoot,
        Means::Protected => GuestFailure::Protected,
        Means::Running => {
            let kind = if text.ends_with("container") { Kind::Container } else { Kind::Machine };
            GuestFailure::Running { kind, vmid }
        }
        Means::StorageMissing => {
            let storage =
                text.strip_prefix("storage '").and_then(|rest| rest.split_once('\'')).map_or("", |(id, _)| id);
            GuestFailure::StorageMissing { storage: scrub(storage.as_bytes(), secrets) }
        }
        Means::StorageUnusable if is_full(text) => GuestFailure::StorageFull,
        Means::StorageUnusable => GuestFailure::StorageUnusable { why: shown() },
    })
}

/// The failure of a program that PVE ran, if that is what the text tells.
fn of_a_child(text: &str, task: &[u8], secrets: &[&str]) -> Option<GuestFailure> {
    let command = text.strip_prefix("command '").and_then(|rest| rest.rsplit_once("' failed: "));
    // Of itself a child is not interrupted: somebody has told the whole group.
    if command.is_some_and(|(_, why)| why.starts_with("got signal") || INTERRUPTED.contains(&why.trim())) {
        return Some(GuestFailure::Interrupted);
    }
    if let Some((command, _)) = command.filter(|(_, why)| why.starts_with("open3: exec of ")) {
        let program = command.split(' ').next().unwrap_or_default();
        return Some(GuestFailure::NoProgram { program: scrub(program.as_bytes(), secrets).into() });
    }
    let failure = match command {
        Some((command, _)) if has_word(command, "/usr/bin/proxmox-backup-client") => {
            classify(last_error(task), secrets)
        }
        Some((command, _)) if command.starts_with("/usr/bin/pbs-restore ") => of_pbs_restore(task, secrets)?,
        Some((command, _)) if TARGET_TOOLS.iter().any(|tool| command.starts_with(tool)) => {
            let task = String::from_utf8_lossy(task);
            return Some(if is_full(&task) {
                GuestFailure::StorageFull
            } else {
                GuestFailure::StorageUnusable { why: scrub(text.as_bytes(), secrets) }
            });
        }
        Some(_) => return None,
        None => classify(text.strip_prefix("proxmox-backup-client failed: ")?.as_bytes(), secrets),
    };
    Some(match failure {
        Failure::DiskFull => GuestFailure::StorageFull,
        failure => GuestFailure::Client(failure),
    })
}

/// From the last line that begins with `Error: `: an early call of the client may fail and be tolerated
/// (a machine's configuration is first read only to look at rights), and is not what ended the task.
fn last_error(task: &[u8]) -> &[u8] {
    const START: &[u8] = b"Error: ";
    let begins = |at: &usize| task[*at..].starts_with(START) && (*at == 0 || task[*at - 1] == b'\n');
    (0..task.len()).rev().find(begins).map_or(task, |at| &task[at..])
}

/// `pbs-restore` stands on the client's own library: behind its own words come the client's.
fn of_pbs_restore(task: &[u8], secrets: &[&str]) -> Option<Failure> {
    let task = String::from_utf8_lossy(task);
    let mut lines = task.lines().rev();
    if task.lines().any(|line| line.starts_with("blk_pwrite failed at offset ") && is_full(line)) {
        return Some(Failure::DiskFull);
    }
    let found = lines.find_map(|line| {
        line.strip_prefix("restore failed (connection error): ").or_else(|| line.strip_prefix("restore failed: "))
    });
    let Some(why) = found else {
        // PVE's own words come after it.
        let pves = |line: &str| PVES_LAST.iter().any(|start| line.starts_with(start));
        let last = task.lines().rev().find(|line| !line.trim().is_empty() && !pves(line)).unwrap_or_default();
        return Some(Failure::Unknown { text: scrub(last.as_bytes(), secrets) });
    };
    Some(classify(format!("Error: {why}").as_bytes(), secrets))
}

/// PVE's words before the words of what went wrong.
fn without_complaint(line: &str) -> &str {
    let rest = ["unable to restore CT ", "unable to restore VM "].iter().find_map(|start| line.strip_prefix(start));
    let rest = rest.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    rest.and_then(|rest| rest.strip_prefix(" - ")).unwrap_or(line)
}

fn has_word(command: &str, word: &str) -> bool {
    command.split(' ').any(|found| found == word)
}

fn is_full(text: &str) -> bool {
    FULL.iter().any(|words| text.contains(words))
}

/// How a text looks.
enum Shape {
    Is(&'static str),
    Starts(&'static str),
    Ends(&'static str),
    /// Begins with the first and has the second somewhere.
    Has(&'static str, &'static str),
}

impl Shape {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Is(whole) => text == *whole,
            Self::Starts(start) => text.starts_with(start),
            Self::Ends(end) => text.ends_with(end),
            Self::Has(start, middle) => text.strip_prefix(start).is_some_and(|rest| rest.contains(middle)),
        }
    }
}

#[derive(Clone, Copy)]
enum Means {
    Backup,
    Exists,
    Interrupted,
    KeyMissing,
    Locked,
    NoClient,
    NoQuorum,
    NoRights,
    NotRoot,
    Protected,
    Running,
    StorageMissing,
    StorageUnusable,
}

/// Names in these texts are our own (numbers, storages, volume ids), so a text may be looked into.
const TABLE: &[(Shape, Means)] = &[
    // PVE::Cluster, PVE::AbstractConfig, PVE::Tools
    (Shape::Has("CT ", " already exists on node '"), Means::Exists),
    (Shape::Has("VM ", " already exists on node '"), Means::Exists),
    (Shape::Starts("CT is locked ("), Means::Locked),
    (Shape::Starts("VM is locked ("), Means::Locked),
    (Shape::Starts("can't lock file '"), Means::Locked),
    (Shape::Is("cluster not ready - no quorum?"), Means::NoQuorum),
    (Shape::Ends("no quorum!"), Means::NoQuorum),
    (Shape::Ends("protection mode enabled"), Means::Protected),
    (Shape::Is("can't overwrite running container"), Means::Running),
    (Shape::Is("vm is running"), Means::Running),
    (Shape::Starts("403 Permission check failed"), Means::NoRights),
    (Shape::Is("please run as root"), Means::NotRoot),
    (Shape::Is("received interrupt"), Means::Interrupted),
    (Shape::Is("interrupted by signal"), Means::Interrupted),
    // PVE::Storage and its plugins
    (Shape::Has("storage '", "' does not exist"), Means::StorageMissing),
    (Shape::Has("storage '", "' is disabled"), Means::StorageUnusable),
    (Shape::Has("storage '", "' is not available on node '"), Means::StorageUnusable),
    (Shape::Has("storage '", "' is not online"), Means::StorageUnusable),
    (Shape::Has("storage: storage '", "' does not support container directories"), Means::StorageUnusable),
    (Shape::Has("400 Parameter verification failed. storage: ", "storage '"), Means::StorageUnusable),
    (Shape::Starts("connection check for storage '"), Means::StorageUnusable),
    (Shape::Starts("unable to activate storage '"), Means::StorageUnusable),
    (Shape::Starts("unable to allocate an image name for VM "), Means::StorageUnusable),
    (Shape::Starts("unable to create image: "), Means::StorageUnusable),
    (Shape::Starts("unable to create subvol '"), Means::StorageUnusable),
    (Shape::Starts("Content type 'images' is not available on storage '"), Means::StorageUnusable),
    (Shape::Starts("content type 'rootdir' is not available or configured on storage '"), Means::StorageUnusable),
    (Shape::Starts("zfs error: "), Means::StorageUnusable),
    (Shape::Starts("lvcreate '"), Means::StorageUnusable),
    (Shape::Starts("mkdir "), Means::StorageUnusable),
    (Shape::Has("encryption configured ('", "') but no encryption key file found!"), Means::KeyMissing),
    (Shape::Starts("executable not found '/usr/bin/proxmox-backup-client'!"), Means::NoClient),
    // The backup itself
    (Shape::Starts("unable to parse PBS volume name '"), Means::Backup),
    (Shape::Starts("unable to parse volume ID '"), Means::Backup),
    (Shape::Starts("unable to use volume "), Means::Backup),
    (Shape::Starts("got unexpected backup format '"), Means::Backup),
    (Shape::Starts("got unexpected vtype '"), Means::Backup),
    (Shape::Starts("archive does not contain data for drive '"), Means::Backup),
    (Shape::Starts("backup does not look like a qemu-server backup"), Means::Backup),
    (Shape::Starts("unable to parse file size in 'index.json'"), Means::Backup),
    (Shape::Starts("unable to detect disk size - please specify "), Means::Backup),
    (Shape::Starts("rootfs configuration could not be recovered"), Means::Backup),
    (Shape::Starts("restoring rootfs to "), Means::Backup),
];

const INTERRUPTED: [&str; 3] = ["received interrupt", "interrupted by signal", "got timeout"];
/// What PVE says while it cleans up.
const PVES_LAST: [&str; 4] = [
    "error before or during data restore",
    "temporary volume '",
    "unable to cleanup '",
    "no lock found trying to remove",
];
/// What makes volumes and file systems.
const TARGET_TOOLS: [&str; 7] =
    ["/usr/bin/qemu-img ", "mkfs.ext4 ", "zfs ", "/sbin/lvcreate ", "/sbin/vgs ", "rbd ", "/usr/bin/rbd "];
/// A storage without room, as kernel, ZFS and LVM say it.
const FULL: [&str; 6] = [
    "No space left on device",
    "out of space",
    "Disk quota exceeded",
    "not enough free space",
    "insufficient free space",
    "Insufficient free space",
];

#[cfg(test)]
mod tests;
