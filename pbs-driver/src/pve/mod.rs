//! Proxmox VE's side of a node: `/etc/pve`, its storages, keys and passwords, and its programs.
//!
//! | to | look at |
//! | --- | --- |
//! | say where PVE is, and ask whether its files may be written | [`node`] |
//! | read or change any file of stanzas (`storage.cfg`, `jobs.cfg`) without losing a byte | [`sections`] |
//! | see the Proxmox Backup Server storages in `storage.cfg` | [`storage`] |
//! | read or put key and password files | [`secrets`] |
//! | bring a storage with its key and token onto a node | [`install`] |
//! | know which guest numbers are taken, and find a free one | [`guests`] |
//! | restore a guest by `pct restore` or `qmrestore` | [`restore`], [`progress`], [`guest_failure`], [`leftover`] |
//! | know what a restore has left that nobody saw the end of, and take it away | [`torn`], [`pool`] |
//! | know a restored guest that lacks its mark | [`likeness`] |
//! | know what lies at a number, and whether it is what may be replaced | [`replaced`] |
//! | know a guest again that was to be replaced | [`former`] |
//! | ask PVE itself which storages it sees, and how much room they have | [`pvesm`] |
//! | see a guest's volumes with their sizes | [`disks`] |
//! | keep a copy from being started with its node | [`boot`] |
//! | see whether a restored guest comes up, cut off from every network | [`start`] |
//! | know the backup jobs, and put a lost node's back | [`jobs`] |
//! | keep a file that every node of the cluster has | [`ours`] |
//!
//! # What holds here
//!
//! - Whether anything can be written is asked, and told, before anything is written ([`Node::writable`]).
//! - A file is either as it was or whole: temporary file beside it, then rename, as PVE itself does it.
//! - Whoever changes `storage.cfg` or `priv/storage` holds the lock that PVE's own programs take for it.
//! - A key file is never replaced by another key's, a stanza never by another server's, a guest never by
//!   another: all are refusals that name what is there and what was wanted. A guest and a key file may be
//!   where the caller hands over the hash of exactly what lies there ([`replaced::Replaces`],
//!   [`secrets::KeyReplaces`]); it is looked at again right before.
//!
//! What pmxcfs does with each call was tried on the real one: `docs/findings/pmxcfs.md`.

pub mod boot;
pub mod disks;
pub mod error;
pub mod former;
pub mod guest_config;
pub mod guest_failure;
pub mod guests;
pub mod install;
pub mod jobs;
pub mod leftover;
pub mod likeness;
mod lock;
pub mod node;
pub mod ours;
pub mod pool;
pub mod progress;
pub mod pvesm;
pub mod replaced;
pub mod restore;
pub mod schedule;
pub mod secrets;
pub mod sections;
pub mod start;
pub mod storage;
pub mod tasks;
pub mod torn;
mod worker;
mod write;

pub use error::PveError;
pub use node::{Node, Paths, State};
pub use storage::{PbsStorage, StorageCfg, StorageId};
