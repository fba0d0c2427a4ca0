//! Drives the programs that are not ours: `proxmox-backup-client` over a pty where it insists on a
//! terminal and by pipes everywhere else, and Proxmox VE's `pct`, `qmrestore` and `pvesm`.
//!
//! | to | look at |
//! | --- | --- |
//! | have a place for secrets that never reaches a disk | [`private`] |
//! | say which program, with which patience | [`client`] |
//! | say where from, as whom, under which certificate | [`repository`], [`access`] |
//! | put a copy of a key file under a passphrase, or take it off again | [`key`] |
//! | know which certificate a server shows, before anybody is told a secret | [`certificate`] |
//! | know which client and server it is, and what differs between their versions | [`version`], [`compat`] |
//! | ask whether a source works at all | [`status`] (never `login` or `version`: they prove nothing) |
//! | know which snapshots and files there are | [`snapshot`] |
//! | know whether a token may remove backups | [`pruning`] |
//! | get data back | [`restore`] |
//! | know what a person can do about a failure | [`failure`], [`error`] |
//! | see or change what a Proxmox VE node has: storages, keys, secrets, guests, jobs | [`pve`] |
//! | bring a guest back by Proxmox VE's own programs | [`pve::restore`] |
//! | bring a WireGuard interface up, or take it down | [`tunnel`] |
//!
//! # What holds here
//!
//! - Every child starts with an environment made from nothing, in a process group of its own, under
//!   a deadline on its start, on each prompt and on the whole. On every way out, a panic included,
//!   the *group* is killed and the child reaped.
//! - A passphrase leaves this crate through one pty, in one write, after the terminal has been seen
//!   with echo and line editing off. What the terminal then shows is thrown away up to the end of
//!   the answer, and what follows is only ever looked at for its first `Error: ` line, scrubbed.
//! - A token's secret leaves it through one 0600 file in the private folder, gone when the child is.
//! - `--overwrite` and `--allow-existing-dirs` are never passed: the tool's own refusal stands behind ours.
//!   `--force` is passed in one place ([`pve::restore`]), for exactly the guest that the caller names.
//! - A command that could remove a backup is put together in one place ([`pruning`]), and only as a question.
//! - Human text is matched only to name failures, in one table ([`failure::classify`]); an unseen text stays
//!   unknown.
//!
//! - Children inherit RLIMIT_CORE, which the caller's process sets to 0 for itself.
//!
//! What this crate does not do: judge a snapshot (what a listing says proves nothing), open a key
//! itself, know what a recovery code is, or use async. Calls block, for no longer than
//! [`client::Limits`] say.
//!
//! The real client's behaviour, recorded: `pbs-facts/client.md` and `pbs-facts/transcripts/`; seen:
//! `docs/findings/real-client.md`. Proxmox VE's: `docs/findings/pmxcfs.md` and `pve-restore.md`.

pub mod access;
pub mod certificate;
pub mod client;
pub mod compat;
mod conversation;
mod environment;
pub mod error;
pub mod failure;
mod group;
pub mod key;
pub mod mail;
pub mod private;
mod process;
pub mod pruning;
mod pty;
pub mod pve;
pub mod repository;
pub mod restore;
mod scrub;
pub mod sealed;
pub mod snapshot;
pub mod status;
mod texts;
pub mod tunnel;
pub mod version;

pub use access::{Access, Certificate};
pub use client::{Client, Limits};
pub use error::DriverError;
pub use failure::Failure;
pub use private::{Folder, PrivateDir, PrivateError};
pub use repository::Repository;
