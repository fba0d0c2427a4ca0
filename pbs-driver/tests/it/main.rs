//! The driver against clients that misbehave, against recorded words, and against a client that works.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests start programs of their own")]

mod bounded;
mod certificate;
mod conformance;
mod conversations;
mod environment;
mod guest_numbers;
mod guest_replace;
mod guest_restore;
mod guest_stop;
mod guest_world;
mod hostile;
mod key;
mod killed;
mod lists;
mod place;
mod private;
mod pruning;
mod pve_install;
mod pve_jobs;
mod pve_node;
mod pve_place;
mod pve_pvesm;
mod pve_secrets;
mod pve_sections;
mod pve_storage;
mod restore;
mod secrets;
mod texts;
