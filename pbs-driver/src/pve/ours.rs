//! Files of ours that every node of the cluster has: `priv/tenwords/`, root's alone, as PVE's own keys are.
//!
//! pmxcfs carries them to the other nodes by itself, and takes no change while the cluster has no quorum.

use std::{fs, io, path::PathBuf};

use zeroize::Zeroizing;

use super::{
    error::PveError,
    lock::{FileLock, folder},
    node::Node,
    write::{explained, read, replace},
};

/// Below the cluster file system.
pub const FOLDER: &str = "priv/tenwords";

/// Where a file of ours is.
#[must_use]
pub fn path(node: &Node, name: &str) -> PathBuf {
    node.file(FOLDER).join(name)
}

/// A whole file; `None` if there is none. The buffer is wiped on drop.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::Io`], [`PveError::TooLarge`].
pub fn get(node: &Node, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, PveError> {
    node.readable()?;
    read(&path(node, name))
}

/// Writes these files in this order, each whole or not at all, under a lock that all nodes have.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::Locked`], [`PveError::Io`], [`PveError::TooLarge`], [`PveError::Unproven`].
pub fn put(node: &Node, files: &[(&str, &[u8])]) -> Result<(), PveError> {
    let lock = FileLock::of_ours(node)?;
    let written = folder(&node.file(FOLDER))
        .and_then(|()| files.iter().try_for_each(|(name, bytes)| replace(&lock, &path(node, name), 0o600, bytes)));
    explained(node, written)
}

/// Takes a file away; one that is not there is no error.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::Locked`], [`PveError::Io`].
pub fn remove(node: &Node, name: &str) -> Result<(), PveError> {
    let _lock = FileLock::of_ours(node)?;
    let path = path(node, name);
    let removed = match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(PveError::Io { doing: "removing", path, source })
        }
        _ => Ok(()),
    };
    explained(node, removed)
}
