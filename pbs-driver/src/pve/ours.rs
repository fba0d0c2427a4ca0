//! Files of ours that every node of the cluster has: `priv/tenwords/`, root's alone, as PVE's own keys are.
//!
//! pmxcfs carries them to the other nodes by itself, and takes no change while the cluster has no quorum. Who changes
//! what others may change too, looks and writes under one lock, which all nodes have.

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

/// The lock, until it is dropped.
#[derive(Debug)]
pub struct Held<'n> {
    node: &'n Node,
    lock: FileLock,
}

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

/// Takes the lock, for as long as the node's patience says.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::Locked`], [`PveError::Io`].
pub fn lock(node: &Node) -> Result<Held<'_>, PveError> {
    Ok(Held { node, lock: FileLock::of_ours(node)? })
}

impl Held<'_> {
    /// Writes these files in this order, each whole or not at all.
    ///
    /// # Errors
    /// [`PveError::Locked`], [`PveError::Io`], [`PveError::TooLarge`], [`PveError::Unproven`], [`PveError::ReadOnly`].
    pub fn put(&self, files: &[(&str, &[u8])]) -> Result<(), PveError> {
        let put = |(name, bytes): &(&str, &[u8])| replace(&self.lock, &path(self.node, name), 0o600, bytes);
        let written = folder(&self.node.file(FOLDER)).and_then(|()| files.iter().try_for_each(put));
        explained(self.node, written)
    }

    /// Takes a file away; one that is not there is no error.
    ///
    /// # Errors
    /// [`PveError::Locked`], [`PveError::Io`], [`PveError::ReadOnly`].
    pub fn remove(&self, name: &str) -> Result<(), PveError> {
        let path = path(self.node, name);
        let removed = self.lock.still_ours().and_then(|()| match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(PveError::Io { doing: "removing", path, source })
            }
            _ => Ok(()),
        });
        explained(self.node, removed)
    }
}
