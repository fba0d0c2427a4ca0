//! What the real programs wrote, and damaged siblings of it, against every reader and writer here.
#![expect(clippy::unwrap_used, reason = "tests")]

mod backup;
mod blob;
mod chunk;
mod cores;
mod datastore;
mod foreign;
mod golden;
mod index;
mod key;
mod manifest;
mod pxar;
mod witness;
