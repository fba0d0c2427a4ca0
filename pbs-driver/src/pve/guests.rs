//! Which numbers are taken in the cluster, and which is free.
//!
//! Asked of pmxcfs alone: its list `.vmlist` (which is what PVE's own refusal rests on) and the files
//! in `nodes/*/{lxc,qemu-server}`. A number that either of them knows is taken. No program is started.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    error::PveError,
    guest_config::{GuestConfig, Kind},
    node::Node,
};
use crate::scrub::scrub;

/// A guest somewhere in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Its number.
    pub vmid: u32,
    /// What it is.
    pub kind: Kind,
    /// The node on which it lives.
    pub node: String,
    /// Its name, made fit to be shown; `None` if it has none, or its configuration cannot be read.
    pub name: Option<String>,
}

/// The smallest number that PVE takes.
pub const FIRST: u32 = 100;
/// The largest.
pub const LAST: u32 = 999_999_999;

/// Every guest of every node, by number.
///
/// # Errors
/// As [`Node::readable`] and [`Node::read`]; [`PveError::Io`] for a list or folder that is not
/// understood, or that has more names than any cluster.
pub fn existing(node: &Node) -> Result<Vec<Existing>, PveError> {
    let taken = taken(node)?;
    Ok(taken.into_iter().map(|(vmid, place)| place.read(node, vmid)).collect())
}

/// The guest that has this number.
///
/// # Errors
/// As [`existing`].
pub fn of_number(node: &Node, vmid: u32) -> Result<Option<Existing>, PveError> {
    Ok(taken(node)?.remove(&vmid).map(|place| place.read(node, vmid)))
}

/// The first free number from `wanted` on, leaving out those in `spoken_for` (guests that the same
/// plan is going to make).
///
/// # Errors
/// As [`existing`]; `Ok(None)` if there is none up to [`LAST`].
pub fn next_free(node: &Node, wanted: u32, spoken_for: &[u32]) -> Result<Option<u32>, PveError> {
    let taken = taken(node)?;
    let from = wanted.clamp(FIRST, LAST);
    Ok((from..=LAST).find(|number| !taken.contains_key(number) && !spoken_for.contains(number)))
}

/// The number in the name of a guest's file: three to nine digits, none of them a leading zero.
pub(crate) fn number(file: &str) -> Option<u32> {
    let digits = file.strip_suffix(".conf")?;
    let fits =
        (3..=9).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| digits.parse().ok()).flatten()
}

/// Where a guest's configuration lies, below `/etc/pve`.
pub(crate) fn config_file(node: &str, kind: Kind, vmid: u32) -> String {
    format!("nodes/{node}/{}/{vmid}.conf", folder(kind))
}

/// Where a number is taken.
#[derive(Debug)]
struct Place {
    kind: Kind,
    node: String,
}

impl Place {
    fn read(self, node: &Node, vmid: u32) -> Existing {
        // A guest whose configuration cannot be read is there all the same.
        let text = node.read(&config_file(&self.node, self.kind, vmid)).ok().flatten();
        let config = text.map(|text| match self.kind {
            Kind::Container => GuestConfig::of_container(&text),
            Kind::Machine => GuestConfig::of_machine(&text),
        });
        let name = config.and_then(|config| config.name).map(|name| scrub(name.as_bytes(), &[]));
        Existing { vmid, kind: self.kind, node: scrub(self.node.as_bytes(), &[]), name }
    }
}

fn taken(node: &Node) -> Result<BTreeMap<u32, Place>, PveError> {
    node.readable()?;
    let mut taken = BTreeMap::new();
    let nodes = names(&node.file("nodes"), MAX_NODES)?;
    for name in nodes {
        for kind in [Kind::Container, Kind::Machine] {
            for file in names(&node.file("nodes").join(&name).join(folder(kind)), MAX_GUESTS)? {
                if let Some(vmid) = number(&file) {
                    taken.insert(vmid, Place { kind, node: name.clone() });
                }
            }
        }
    }
    for (number, row) in listed(node)? {
        let kind = if row.kind == "lxc" { Kind::Container } else { Kind::Machine };
        taken.entry(number).or_insert(Place { kind, node: row.node });
    }
    Ok(taken)
}

/// What pmxcfs lists.
fn listed(node: &Node) -> Result<BTreeMap<u32, Row>, PveError> {
    let unclear = |source: io::Error| PveError::Io { doing: "reading", path: node.file(VMLIST), source };
    let text = node.read(VMLIST)?.ok_or_else(|| unclear(io::ErrorKind::NotFound.into()))?;
    let list: List = serde_json::from_slice(&text).map_err(|error| unclear(error.into()))?;
    Ok(list.ids)
}

/// The names in a folder that are text; none if there is no such folder.
fn names(folder: &Path, max: usize) -> Result<Vec<String>, PveError> {
    let failed = |source| PveError::Io { doing: "listing", path: PathBuf::from(folder), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is not text is no name of a node or guest.
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
        if names.len() > max {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
    }
    Ok(names)
}

fn folder(kind: Kind) -> &'static str {
    match kind {
        Kind::Container => "lxc",
        Kind::Machine => "qemu-server",
    }
}

#[derive(Deserialize)]
struct List {
    /// Always there; a text without it is not pmxcfs's.
    #[serde(rename = "version")]
    _version: u64,
    #[serde(default)]
    ids: BTreeMap<u32, Row>,
}

#[derive(Deserialize)]
struct Row {
    node: String,
    #[serde(rename = "type")]
    kind: String,
}

const VMLIST: &str = ".vmlist";
const MAX_NODES: usize = 1024;
const MAX_GUESTS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pves_own_numbers_are_numbers() {
        assert_eq!(number("100.conf"), Some(100));
        assert_eq!(number("999999999.conf"), Some(LAST));
        for name in ["99.conf", "0100.conf", "100.conf.tmp.1", "1000000000.conf", "1_0.conf", "+100.conf", ".conf"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
