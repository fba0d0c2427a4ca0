//! What a guest's restore that failed has left behind.
//!
//! From PVE's source: a container's restore that fails by itself, or that is asked to stop, removes
//! everything. A virtual machine's removes its volumes and *leaves the configuration*, so that the
//! number stays taken. One that is killed leaves all: a configuration with `lock: create`, volumes,
//! and for a container file systems that are still mounted.

use std::{ffi::OsString, ops::ControlFlow, path::PathBuf, time::Duration};

use super::{
    former::AsFound, guest_config::Kind, guests::config_file, node::Node, replaced::own_volumes, torn::Volumes,
};
use crate::{
    environment::Environment,
    group::Exit,
    process::{Job, Stdout, run},
    scrub::scrub,
};

/// What is there now and was not there before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftover {
    /// The configuration that holds the number.
    pub config: Option<PathBuf>,
    /// The lock in it (`create`).
    pub lock: Option<String>,
    /// Volumes that the restore has made, by volume id.
    pub volumes: Vec<String>,
    /// Those of them that the configuration does not name.
    pub loose: Vec<String>,
    /// Volumes of this number that were there before, or may have been: somebody's, perhaps the lost
    /// guest's own disks. PVE's command that removes the guest would take them along.
    pub others: Vec<String>,
    /// Whether it was killed, so that nothing was cleaned up and a container's file systems may still
    /// be mounted.
    pub killed: bool,
    /// Of a guest that was to be replaced, what is left; `None` if there was none.
    pub replaced: Option<Remains>,
}

/// What is left of a guest that was to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// It is there with its volumes, and holds the number: no leftover.
    Whole,
    /// The same, with PVE's lock in it.
    Locked,
    /// Nothing that could be called that guest.
    Nothing,
}

/// How a restore came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It said that it was done.
    Done,
    /// It failed, and cleaned up as it does.
    Failed,
    /// It could not clean up.
    Killed,
}

impl Leftover {
    /// Whether the number and the storage are as they were, but for a guest that was replaced.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.config.is_none() && self.volumes.is_empty() && self.replaced != Some(Remains::Locked)
    }

    /// The commands that remove it and nothing else, in their order, for a person to read and run. Empty
    /// if there is nothing to do.
    ///
    /// Never `--destroy-unreferenced-disks 1`: that takes every volume of the number on every storage,
    /// and a lost box's disks may have survived it. Where there are such [`Self::others`], not even the
    /// plain removal is named (PVE's restore of a machine takes them into the configuration as
    /// `unused0` and so on, and the removal frees what stands there), but what was made, one by one. Nor is it
    /// ever named while a guest that was to be replaced is there with its volumes.
    #[must_use]
    pub fn remedy(&self, kind: Kind, vmid: u32) -> Vec<String> {
        if self.is_nothing() {
            return Vec::new();
        }
        let mut commands = Vec::new();
        // Nothing is mounted before the old guest is gone.
        if self.killed && kind == Kind::Container && !matches!(self.replaced, Some(Remains::Whole | Remains::Locked)) {
            commands.push(format!("umount --recursive /var/lib/lxc/{vmid}/rootfs"));
        }
        let program = match kind {
            Kind::Container => "pct",
            Kind::Machine => "qm",
        };
        let free = |volumes: &[String]| volumes.iter().map(|volume| format!("pvesm free {volume}")).collect::<Vec<_>>();
        match &self.config {
            Some(config) if !self.others.is_empty() => {
                commands.extend(free(&self.volumes));
                commands.push(format!("rm {}", config.display()));
            }
            Some(_) => {
                commands.extend(free(&self.loose));
                if self.lock.is_some() {
                    commands.push(format!("{program} unlock {vmid}"));
                }
                commands.push(format!("{program} destroy {vmid} --destroy-unreferenced-disks 0"));
            }
            None => commands.extend(free(&self.volumes)),
        }
        if self.replaced == Some(Remains::Locked) {
            commands.push(format!("{program} unlock {vmid}"));
        }
        commands
    }
}

/// Looks for it. `before` are the volumes of this number that were there already (`None` if nobody could
/// tell: then only what the program said is called its own), `made` those that it said it had made. A guest
/// that was to be replaced, and was not, is never taken for something that is left behind; where there is one, `now`
/// are the volumes that are there, if PVE tells.
pub(crate) fn find(
    node: &Node,
    environment: &Environment,
    guest: (Kind, u32),
    storage: &str,
    before: Option<&[String]>,
    made: &[String],
    (end, replaced, now): (End, Option<&AsFound>, Option<&Volumes>),
) -> Leftover {
    let (kind, vmid) = guest;
    let killed = end == End::Killed;
    let relative = node.name().map(|name| config_file(&name, kind, vmid)).ok();
    let mut text = relative.as_deref().and_then(|relative| node.read(relative).ok().flatten());
    let remains = replaced.map(|former| match text.as_deref() {
        // A guest that was restored from its own backup may have the very same configuration.
        Some(text) if end != End::Done => former.remains(text, now),
        _ => Remains::Nothing,
    });
    let listed = list(node, environment, storage, vmid);
    // The names of volumes that are gone are given out again: what has such a name is the restore's if it says so.
    let is_still_theirs =
        |volume: &String| !made.contains(volume) && listed.as_ref().is_none_or(|listed| listed.contains(volume));
    let theirs: Vec<String> = match (remains, replaced) {
        (Some(Remains::Whole | Remains::Locked), Some(former)) => {
            let named = own_volumes(&text.take().unwrap_or_default(), vmid);
            named.into_iter().chain(former.volumes.iter().cloned()).collect()
        }
        _ => Vec::new(),
    };
    let is_gone = |volume: &&String| {
        remains == Some(Remains::Nothing)
            && replaced.is_some_and(|former| former.volumes.contains(*volume) && !is_still_theirs(volume))
    };
    let before: Option<Vec<String>> =
        before.map(|before| before.iter().filter(|volume| !is_gone(volume)).chain(&theirs).cloned().collect());
    let before = before.as_deref();
    let config = relative.filter(|_| text.is_some()).map(|relative| node.file(&relative));
    let lock = text.as_deref().and_then(|text| {
        let text = String::from_utf8_lossy(text);
        let lock =
            text.lines().take_while(|line| !line.starts_with('[')).find_map(|line| line.strip_prefix("lock:"))?;
        Some(scrub(lock.as_bytes(), &[]))
    });
    // What the program said counts on other storages, and on this one where PVE does not tell.
    let said = |volume: &&String| {
        (listed.is_none() || before.is_none() || !volume.starts_with(&format!("{storage}:"))) && is_of(volume, vmid)
    };
    let was_there = |volume: &String| before.is_some_and(|before| before.contains(volume));
    let mut volumes: Vec<String> = made.iter().filter(said).filter(|volume| !was_there(volume)).cloned().collect();
    if before.is_some() {
        volumes.extend(listed.iter().flatten().filter(|volume| !was_there(volume)).cloned());
    }
    volumes.sort_unstable();
    volumes.dedup();
    let named = text.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let unused = named.lines().filter(|line| line.starts_with("unused")).filter_map(|line| line.split_once(": "));
    let unused = unused.filter_map(|(_, volume)| volume.split(',').next()).map(|volume| scrub(volume.as_bytes(), &[]));
    let mut others: Vec<String> = before.unwrap_or_default().iter().cloned().chain(unused).collect();
    others.extend(listed.into_iter().flatten());
    others.retain(|volume| !volumes.contains(volume) && !theirs.contains(volume));
    others.sort_unstable();
    others.dedup();
    others.truncate(MAX_VOLUMES);
    let loose = volumes.iter().filter(|volume| !named.contains(volume.as_str())).cloned().collect();
    Leftover { config, lock, volumes, loose, others, killed, replaced: remains }
}

/// The volumes of one number on one storage, as PVE lists them; `None` if it does not.
pub(crate) fn list(node: &Node, environment: &Environment, storage: &str, vmid: u32) -> Option<Vec<String>> {
    let args: Vec<OsString> = ["list", storage, "--vmid", &vmid.to_string()].map(OsString::from).into();
    let program = &node.paths().pvesm;
    let job = Job { program, args: &args, environment, input: None, spawn: SPAWN, whole: WHOLE, stall: None };
    let finished = run(&job, Stdout::Keep(MAX_ANSWER), &mut |_| ControlFlow::Continue(())).ok()?;
    if finished.exit != Exit::Code(0) {
        return None;
    }
    let text = String::from_utf8_lossy(&finished.stdout);
    let rows = text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let volume = words.next()?;
        // The last column is the guest's number.
        (words.last()? == vmid.to_string()).then(|| scrub(volume.as_bytes(), &[]))
    });
    Some(rows.take(MAX_VOLUMES).collect())
}

/// Whether a volume's name says that it is this number's (`vm-101-disk-0`, `subvol-101-disk-0`): what a
/// server says stands in the same output, and nobody is told to free another guest's volume.
pub(crate) fn is_of(volume: &str, vmid: u32) -> bool {
    let name = volume.rsplit(['/', ':']).next().unwrap_or_default();
    name.split(['-', '.']).nth(1).is_some_and(|number| number == vmid.to_string())
}

const SPAWN: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(120);
const MAX_ANSWER: usize = 1024 * 1024;
const MAX_VOLUMES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_freed_only_if_its_name_has_the_number() {
        for volume in ["local:101/vm-101-disk-0.raw", "zfs:subvol-101-disk-0", "rbd:base-9-disk-0/vm-101-disk-1"] {
            assert!(is_of(volume, 101), "{volume}");
        }
        for volume in
            ["zfs:vm-102-disk-0", "local:101/vm-102-disk-0.raw", "zfs:vm-102-disk-101", "zfs:101", "101:x", "x"]
        {
            assert!(!is_of(volume, 101), "{volume}");
        }
    }
}
