//! `tenwords`: what an operator does from a desk. It adds boxes, looks at them, opens and closes
//! recovery windows, looks at orders and has them signed.
//!
//! It never sees the ten words and cannot open anything: no crate that could is within its reach.
//! Which box a name means is decided by its own map ([`map`]), never by the hub's word, and whose
//! keys count by its own list ([`operators`]). It holds no key that signs: `ssh-keygen` does
//! ([`sshkeygen`]).

mod cli;
mod command;
mod failure;
mod files;
mod hub;
mod map;
mod name;
mod operators;
mod own;
mod settings;
mod show;
mod sshkeygen;
mod sshsig;
mod token;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{cli::Arguments, failure::Failure};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to stdout and is a success; everything else is clap's own code 2.
            let code = error.exit_code();
            let printed = error.print();
            return ExitCode::from(if printed.is_err() { 20 } else { u8::try_from(code).unwrap_or(2) });
        }
    };
    let json = arguments.common.json;
    match start(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(json);
            failure.exit_code()
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), Failure> {
    // One TLS provider in every program of ours, chosen here and not by a feature of some crate.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return Err(Failure::internal("a TLS provider was chosen before this program did"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("no runtime for the network: {error}")))?;
    runtime.block_on(command::run(arguments))
}
