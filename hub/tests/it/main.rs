//! The hub's tests: over real TLS on loopback, and of the store on both databases.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests start programs of their own")]

mod audit;
mod authorisation;
mod calls;
mod certificates;
mod command;
mod connections;
mod crash;
mod directives;
mod disks;
mod drills;
mod enrolment;
mod former_machines;
mod home;
mod nodes;
mod orders;
mod pins;
mod polls;
mod problems;
mod recovery;
mod renewal;
mod reports;
mod retirement;
mod store;
mod support;
mod tickets;
mod trouble;
mod versions;
