//! What the real programs wrote, and damaged siblings of it, against every reader and writer here.
#![expect(clippy::unwrap_used, reason = "tests")]

mod blob;
mod golden;
mod key;
mod manifest;
mod pxar;
