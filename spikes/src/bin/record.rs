//! `cargo xtask record`: what a customer sees at a terminal, for docs/recordings.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use tenwords_spikes::{
    record::{self, ALL, Recording},
    world::end_when_asked,
};

/// Records the ceremony and a recovery as a customer sees and types them
#[derive(Debug, Parser)]
#[command(name = "record")]
struct Arguments {
    /// Which recordings [default: all of them]
    #[arg(value_name = "NAME", value_parser = ALL.iter().map(|recording| recording.name).collect::<Vec<_>>())]
    names: Vec<String>,
    /// Where they go
    #[arg(long, value_name = "DIR", default_value = "docs/recordings")]
    out: PathBuf,
    /// Where the worlds' folders are made [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    std::thread::spawn(end_when_asked);
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("NOT RECORDED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let wanted = |recording: &&Recording| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| name == recording.name)
    };
    let recordings: Vec<Recording> = ALL.iter().filter(wanted).copied().collect();
    let base = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let base = base.canonicalize().with_context(|| format!("looking for {}", base.display()))?;
    record::write(&recordings, &base, &arguments.out)?;
    for Recording { name, title, .. } in recordings {
        println!("{}: {title}", arguments.out.join(format!("{name}.svg")).display());
    }
    Ok(())
}
