//! `cargo demo`: tells the whole story on this machine, and ends with an exit code that is not 0 if
//! anything is not as told.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use tenwords_spikes::{
    demo::{self, Telling},
    real::RealArguments,
    world::end_when_asked,
};

/// A box loses its key and gets its guests back with ten words: hub, ceremony, fire and recovery
#[derive(Debug, Parser)]
#[command(name = "demo", after_help = AFTER)]
struct Arguments {
    /// How much data the container has (whole GiB; some 30 MiB without)
    #[arg(long, value_name = "N")]
    gib: Option<u32>,
    /// Where the story's folder is made [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    real: RealArguments,
}

const AFTER: &str = "\
With a real client and server the same story is told:

  cargo demo --pbs-client /usr/bin/proxmox-backup-client --repository 'user@pbs!token@host:8007:store' \\
             --namespace demo --certificate 08:4e:… --token-file secret

Best in an empty namespace: everything in it is restored. Two snapshots (ct/101, vm/102) stay there. The stand-ins
for Proxmox VE read disks from a datastore's folder, so with a real server guests come back into folders.";

fn main() -> ExitCode {
    std::thread::spawn(end_when_asked);
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nNOT AS TOLD: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let telling = Telling {
        bytes: arguments.gib.map_or(DEFAULT_BYTES, |gib| u64::from(gib) << 30),
        base: arguments.folder.clone().unwrap_or_else(std::env::temp_dir),
        real: arguments.real.read()?,
    };
    demo::tell(&telling, Box::new(std::io::stdout()))
}

const DEFAULT_BYTES: u64 = 32 << 20;
