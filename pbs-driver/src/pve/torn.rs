//! What lies at a guest's number after a restore that nobody saw the end of (the machine lost power, the
//! agent was killed), and taking it away again.
//!
//! From PVE's source: while a guest is restored its configuration says `lock: create`, and a lock of the
//! node is held by whoever works on it. The work of one who was killed leaves the configuration with that
//! line, volumes that nothing names, and for a container file systems that are still mounted. Who comes
//! to the end puts the guest into the pool it was told ([`super::pool`]), last of all.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    mount::{MntFlags, umount2},
};
use tenwords_protocol::hash::Sha256;

use super::{
    disks,
    error::PveError,
    former::{AsFound, is_in_creation as is_unfinished},
    guest_config::Kind,
    guests::{config_file, of_number},
    node::Node,
    pool::{PoolId, members},
    pvesm,
    storage::{StorageCfg, StorageId},
};
use crate::private::PrivateDir;

/// What lies at a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No guest of this kind on this node, and no other in the cluster.
    Nothing,
    /// Somebody works on it right now.
    AtWork,
    /// A creation or restore that did not come to its end: nothing in it is whole.
    Unfinished {
        /// Its configuration's.
        config_sha256: Sha256,
    },
    /// It is in the pool: the restore that was told so came to its end.
    InPool {
        /// Its configuration's.
        config_sha256: Sha256,
    },
    /// Some guest, of whom nothing shows that the recovery has made it.
    Other {
        /// Its configuration's.
        config_sha256: Sha256,
    },
    /// The number is taken by a guest of another kind or node.
    Elsewhere,
}

/// Looks at what lies there. Nothing is changed.
///
/// # Errors
/// As [`Node::readable`] and [`Node::read`]; [`PveError::Io`] for a lock that cannot be asked.
pub fn look(node: &Node, kind: Kind, vmid: u32, pool: &PoolId) -> Result<Found, PveError> {
    if is_locked(node, kind, vmid)? {
        return Ok(Found::AtWork);
    }
    let Some(text) = node.read(&config_file(&node.name()?, kind, vmid))? else {
        return Ok(if of_number(node, vmid)?.is_some() { Found::Elsewhere } else { Found::Nothing });
    };
    if is_unfinished(&text) {
        return Ok(Found::Unfinished { config_sha256: Sha256::of(&text) });
    }
    let is_in = members(node, pool)?.is_some_and(|guests| guests.contains(&vmid));
    let config_sha256 = Sha256::of(&text);
    Ok(if is_in { Found::InPool { config_sha256 } } else { Found::Other { config_sha256 } })
}

/// Where a guest's configuration lies.
///
/// # Errors
/// As [`Node::name`].
pub fn config(node: &Node, kind: Kind, vmid: u32) -> Result<PathBuf, PveError> {
    Ok(node.file(&config_file(&node.name()?, kind, vmid)))
}

/// A guest's configuration as it is now; nothing if there is none.
///
/// # Errors
/// As [`Node::readable`] and [`Node::read`].
pub fn text(node: &Node, kind: Kind, vmid: u32) -> Result<Option<Vec<u8>>, PveError> {
    node.read(&config_file(&node.name()?, kind, vmid))
}

/// The hash of a guest's configuration as it is now, unless it says that it is unfinished.
///
/// # Errors
/// As [`Node::readable`] and [`Node::read`].
pub fn config_sha256(node: &Node, kind: Kind, vmid: u32) -> Result<Option<Sha256>, PveError> {
    Ok(text(node, kind, vmid)?.filter(|text| !is_unfinished(text)).map(|text| Sha256::of(&text)))
}

/// The volumes of a number, and where they were looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volumes {
    /// By volume id.
    pub volumes: BTreeSet<String>,
    /// The storages that answered; of what lies on any other nothing is known.
    pub storages: BTreeSet<String>,
}

impl Volumes {
    /// Without those of a guest that is to be replaced: they go with it, and their names are given out again.
    /// What then lies under such a name is the restore's, or the replaced guest's last.
    #[must_use]
    pub fn without_those_of(mut self, former: &AsFound) -> Self {
        self.volumes.retain(|volume| !former.volumes.contains(volume));
        self
    }

    /// Whether the storage of this volume answered.
    pub(super) fn answers(&self, volume: &str) -> bool {
        volume.split(':').next().is_some_and(|storage| self.storages.contains(storage))
    }

    /// Those of `now` that were not there, on storages that had answered.
    pub(super) fn made_of(&self, now: &BTreeSet<String>) -> BTreeSet<String> {
        let is_made = |volume: &&String| !self.volumes.contains(*volume) && self.answers(volume);
        now.iter().filter(is_made).cloned().collect()
    }
}

/// The volumes of this number on every storage of this node that takes any.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::NoProgram`], [`PveError::Program`], [`PveError::Refused`].
pub fn volumes(node: &Node, private: &PrivateDir, vmid: u32) -> Result<Volumes, PveError> {
    let storages = StorageCfg::read(node)?;
    let active = pvesm::status(node, private, None)?;
    let takes_some = |storage: &&pvesm::StorageStatus| {
        let content = storages.sections().find(&storage.id).and_then(|section| section.get("content").flatten());
        // A storage without the property has its kind's default, which only PVE knows.
        let takes = content.is_none_or(|content| content.split([',', ' ']).any(|c| c == "images" || c == "rootdir"));
        takes && storage.kind != "pbs" && storage.activity == pvesm::Activity::Active
    };
    let mut all = Volumes::default();
    for storage in active.iter().filter(takes_some) {
        let Ok(id) = storage.id.parse::<StorageId>() else { continue };
        all.volumes.extend(disks::volumes(node, private, &id, vmid)?.into_iter().map(|volume| volume.id));
        all.storages.insert(storage.id.clone());
    }
    Ok(all)
}

/// Removes a guest as it was looked at: with the volumes that its configuration names and, if it is one that
/// did not come to its end, those of its number that were not there before. Only for what was found to be
/// the recovery's own.
///
/// What is not known to be its own stays: volumes on a storage that did not answer `before` (a lost box's
/// disks may have been attached meanwhile), and everything if the configuration is another one by now.
///
/// # Errors
/// As [`volumes`]; what could be removed until then is gone.
pub fn clear(
    node: &Node,
    private: &PrivateDir,
    (kind, vmid): (Kind, u32),
    looked_at: Sha256,
    before: &Volumes,
) -> Result<(), PveError> {
    node.writable()?;
    unmount_of(kind, vmid)?;
    let now = volumes(node, private, vmid)?.volumes;
    let made = before.made_of(&now);
    let refused = |said: String| PveError::Refused { command: "destroy", said };
    // Asking has taken its time: what is removed is what was looked at, or nothing.
    let text = node.read(&config_file(&node.name()?, kind, vmid))?;
    let text = text.filter(|text| Sha256::of(text) == looked_at);
    let text = text.ok_or_else(|| refused("its configuration is another one by now".to_owned()))?;
    let unfinished = is_unfinished(&text);
    let text = String::from_utf8_lossy(&text).into_owned();
    // PVE's removal would take along what its configuration names.
    if let Some(theirs) = now.iter().find(|volume| text.contains(volume.as_str()) && !made.contains(*volume)) {
        return Err(refused(format!("it names the volume {theirs}, which is not this recovery's")));
    }
    if unfinished {
        unlock(node, private, kind, vmid)?;
    }
    let (program, command) = program(node, kind);
    short(program, private, &["destroy", &vmid.to_string(), "--destroy-unreferenced-disks", "0"], command)?;
    if unfinished {
        let left = volumes(node, private, vmid)?.volumes;
        for volume in made.intersection(&left) {
            free(node, private, volume)?;
        }
    }
    Ok(())
}

/// Takes PVE's lock out of a guest's configuration.
pub(super) fn unlock(node: &Node, private: &PrivateDir, kind: Kind, vmid: u32) -> Result<(), PveError> {
    let (program, command) = program(node, kind);
    short(program, private, &["unlock", &vmid.to_string()], command)
}

/// Removes one volume.
pub(super) fn free(node: &Node, private: &PrivateDir, volume: &str) -> Result<(), PveError> {
    short(&node.paths().pvesm, private, &["free", volume], "pvesm free")
}

fn program(node: &Node, kind: Kind) -> (&Path, &'static str) {
    match kind {
        Kind::Container => (&node.paths().pct, "pct"),
        Kind::Machine => (&node.paths().qm, "qm"),
    }
}

fn short(program: &Path, private: &PrivateDir, args: &[&str], command: &'static str) -> Result<(), PveError> {
    let args = args.iter().map(OsString::from).collect();
    pvesm::run_within(program, private, args, command, REMOVAL).map(drop)
}

/// Whether one of PVE's programs holds the guest's lock. Asking takes it for a moment at most.
fn is_locked(node: &Node, kind: Kind, vmid: u32) -> Result<bool, PveError> {
    let name = match kind {
        Kind::Container => format!("lxc/pve-config-{vmid}.lock"),
        Kind::Machine => format!("qemu-server/lock-{vmid}.conf"),
    };
    let path = node.paths().locks.join(name);
    let cannot = |source: io::Error| PveError::Io { doing: "asking for the lock", path: path.clone(), source };
    let file = match OpenOptions::new().append(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(cannot(error)),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_released_at_once) => Ok(false),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, errno)) => Err(cannot(errno.into())),
    }
}

/// What a restore that was killed has left mounted.
pub(super) fn unmount_of(kind: Kind, vmid: u32) -> Result<(), PveError> {
    match kind {
        Kind::Container => unmount(Path::new(&format!("/var/lib/lxc/{vmid}/rootfs"))),
        Kind::Machine => Ok(()),
    }
}

/// Everything that is mounted there or below, the last first.
fn unmount(place: &Path) -> Result<(), PveError> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let paths = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(plain);
    let all: Vec<String> = paths.filter(|path| Path::new(path).starts_with(place)).collect();
    for path in all.into_iter().rev() {
        umount2(path.as_str(), MntFlags::UMOUNT_NOFOLLOW).map_err(|errno| PveError::Io {
            doing: "unmounting",
            path: path.into(),
            source: errno.into(),
        })?;
    }
    Ok(())
}

/// As the kernel writes blanks in a path.
fn plain(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (written, meant)| path.replace(written, meant))
}

/// A slow storage frees a large volume in this time.
const REMOVAL: Duration = Duration::from_secs(3600);
