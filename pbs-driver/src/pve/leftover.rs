//! What a guest's restore that failed has left behind.
//!
//! From PVE's source: a container's restore that fails by itself, or that is asked to stop, removes
//! everything. A virtual machine's removes its volumes and *leaves the configuration*, so that the
//! number stays taken. One that is killed leaves all: a configuration with `lock: create`, volumes,
//! and for a container file systems that are still mounted.

use std::{ffi::OsString, ops::ControlFlow, path::PathBuf, time::Duration};

use super::{guest_config::Kind, guests::config_file, node::Node};
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
    /// Volumes of this number, by volume id.
    pub volumes: Vec<String>,
    /// Whether it was killed, so that nothing was cleaned up and a container's file systems may still
    /// be mounted.
    pub killed: bool,
}

impl Leftover {
    /// Whether the number and the storage are as they were.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.config.is_none() && self.volumes.is_empty()
    }

    /// The commands that remove it, in their order, for a person to read and run. Empty if there is
    /// nothing to do.
    #[must_use]
    pub fn remedy(&self, kind: Kind, vmid: u32) -> Vec<String> {
        let mut commands = Vec::new();
        if self.killed && kind == Kind::Container {
            commands.push(format!("umount --recursive /var/lib/lxc/{vmid}/rootfs"));
        }
        let program = match kind {
            Kind::Container => "pct",
            Kind::Machine => "qm",
        };
        if self.config.is_some() {
            if self.lock.is_some() {
                commands.push(format!("{program} unlock {vmid}"));
            }
            commands.push(format!("{program} destroy {vmid} --destroy-unreferenced-disks 1"));
        } else {
            commands.extend(self.volumes.iter().map(|volume| format!("pvesm free {volume}")));
        }
        if self.is_nothing() { Vec::new() } else { commands }
    }
}

/// Looks for it. `before` are the volumes of this number that were there already, `made` those that
/// the program said it had made.
pub(crate) fn find(
    node: &Node,
    environment: &Environment,
    guest: (Kind, u32),
    storage: &str,
    before: &[String],
    made: &[String],
    killed: bool,
) -> Leftover {
    let (kind, vmid) = guest;
    let relative = node.name().map(|name| config_file(&name, kind, vmid)).ok();
    let text = relative.as_deref().and_then(|relative| node.read(relative).ok().flatten());
    let config = relative.filter(|_| text.is_some()).map(|relative| node.file(&relative));
    let lock = text.as_deref().and_then(|text| {
        let text = String::from_utf8_lossy(text);
        let lock =
            text.lines().take_while(|line| !line.starts_with('[')).find_map(|line| line.strip_prefix("lock:"))?;
        Some(scrub(lock.as_bytes(), &[]))
    });
    let mut volumes = list(node, environment, storage, vmid).unwrap_or_default();
    // Where PVE does not tell, what the program said must do.
    let elsewhere = |volume: &&String| !volume.starts_with(&format!("{storage}:"));
    volumes.extend(made.iter().filter(elsewhere).filter(|volume| is_of(volume, vmid)).cloned());
    volumes.retain(|volume| !before.contains(volume));
    volumes.sort_unstable();
    volumes.dedup();
    Leftover { config, lock, volumes, killed }
}

/// The volumes of one number on one storage, as PVE lists them; `None` if it does not.
pub(crate) fn list(node: &Node, environment: &Environment, storage: &str, vmid: u32) -> Option<Vec<String>> {
    let args: Vec<OsString> = ["list", storage, "--vmid", &vmid.to_string()].map(OsString::from).into();
    let program = &node.paths().pvesm;
    let job = Job { program, args: &args, environment, spawn: SPAWN, whole: WHOLE, stall: None };
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
fn is_of(volume: &str, vmid: u32) -> bool {
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
