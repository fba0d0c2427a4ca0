//! `pbs-local`: see the library's documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    pbs_local::run(std::env::args_os().skip(1).collect())
}
