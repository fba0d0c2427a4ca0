//! Proxmox Backup Server's own formats, natively.
//!
//! A reader and writer of what lies in a datastore and in a key file, built from the facts in
//! `formats.md` (the numbers in the module heads are its sections) and checked against files that
//! the real 3.2.4 programs wrote.
//!
//! | to | look at |
//! | --- | --- |
//! | open, make or re-key a key file | [`key`] |
//! | read or make one blob (every chunk and every `.blob` file is one) | [`blob`] |
//! | name a chunk by its content | [`digest`] |
//! | find and store chunks | [`chunk`] |
//! | know which chunks make up an archive | [`index`] |
//! | know which files make up a snapshot, and whether a key of ours signed that | [`manifest`] |
//! | find groups and snapshots in a datastore directory | [`datastore`] |
//! | stream an archive out of a datastore, or into it | [`archive`], [`backup`] |
//! | hold a stream against the signed entry of its archive, without its index | [`witness`] |
//! | read and write the files inside a file archive | [`pxar`] |
//!
//! # What holds here
//!
//! - All of it is plain, synchronous I/O on files; there is no network and no clock.
//! - Every length, count and work factor that a file states is checked before memory or work is
//!   spent on it.
//! - Ciphertext is authenticated before it is decompressed or looked at.
//! - Secrets live in types without `Display`, `Serialize` or `Clone`; their bytes are read through
//!   methods called `expose_…` only, and are wiped on drop.
//!
//! What this crate does not decide: whether a key or a snapshot may be *used*. A verified manifest
//! is one signed under the given key; which snapshot was wanted, and whether plaintext entries are
//! acceptable, is asked elsewhere.

mod ahead;
pub mod archive;
pub mod backup;
pub mod blob;
pub mod chunk;
mod cipher;
mod cut;
pub mod datastore;
pub mod digest;
mod disk;
pub mod index;
pub mod key;
pub mod manifest;
pub mod name;
mod ordered;
pub mod pxar;
pub mod sparse;
pub mod witness;

pub use ahead::ReadAhead;
pub use ordered::all_cores;
