//! `fixture-pvesh`: see the library's documentation.

use std::process::ExitCode;

use tenwords_pve_fixtures::{Fixture, run};

fn main() -> ExitCode {
    run(Fixture::Pvesh, std::env::args_os().skip(1).collect())
}
