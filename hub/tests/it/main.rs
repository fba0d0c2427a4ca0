//! The hub's tests: over real TLS on loopback, and of the store on both databases.
#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod authorisation;
mod certificates;
mod command;
mod crash;
mod enrolment;
mod home;
mod problems;
mod recovery;
mod store;
mod support;
mod versions;
