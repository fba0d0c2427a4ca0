//! `cargo demo`: tells the whole story on this machine, and ends with an exit code that is not 0 if
//! anything is not as told.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tenwords_spikes::{
    demo::{self, Telling},
    world::{Real, abandon_all},
};
use tokio::signal::unix::{SignalKind, signal};

/// A box loses its key and gets its data back with ten words: hub, ceremony, fire and recovery
#[derive(Debug, Parser)]
#[command(name = "demo", after_help = AFTER)]
struct Arguments {
    /// How much data the container has (whole GiB; some 50 MiB without)
    #[arg(long, value_name = "N")]
    gib: Option<u32>,
    /// Where the story's folder is made [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A real proxmox-backup-client, instead of the stand-in
    #[arg(long, value_name = "PATH", requires = "repository")]
    pbs_client: Option<PathBuf>,
    /// The real server's repository, with a token
    #[arg(long, value_name = "REPOSITORY", requires = "pbs_client")]
    repository: Option<String>,
    /// The namespace there, best an empty one: everything in it is restored
    #[arg(long, value_name = "NAMESPACE", requires = "repository")]
    namespace: Option<String>,
    /// The real server's certificate fingerprint (or in PBS_FINGERPRINT)
    #[arg(long, value_name = "FINGERPRINT", requires = "repository")]
    certificate: Option<String>,
    /// A file with the token's secret (or PBS_PASSWORD_FILE)
    #[arg(long, value_name = "FILE", requires = "repository")]
    token_file: Option<PathBuf>,
}

const AFTER: &str = "\
With a real client and server the same story is told:

  demo --pbs-client /usr/bin/proxmox-backup-client --repository 'user@pbs!token@host:8007:store' \\
       --namespace demo --certificate 08:4e:… --token-file secret

It leaves one snapshot (ct/101) there.";

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
    let real = match (&arguments.pbs_client, &arguments.repository) {
        (Some(client), Some(repository)) => Some(real(arguments, client, repository)?),
        _ => None,
    };
    let telling = Telling {
        bytes: arguments.gib.map_or(DEFAULT_BYTES, |gib| u64::from(gib) << 30),
        base: arguments.folder.clone().unwrap_or_else(std::env::temp_dir),
        real,
    };
    demo::tell(&telling, Box::new(std::io::stdout()))
}

/// Ctrl-C leaves nothing behind.
fn end_when_asked() {
    let asked = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::io::Result::Ok(())
        })
    });
    // Without this thread a signal ends the program as ever; what it made stays.
    if let Ok(Ok(())) = asked {
        abandon_all();
        eprintln!("\nbroken off; what was made is removed");
        std::process::exit(130);
    }
}

fn real(arguments: &Arguments, client: &PathBuf, repository: &str) -> Result<Real> {
    let certificate = match (&arguments.certificate, std::env::var("PBS_FINGERPRINT")) {
        (Some(certificate), _) => certificate.clone(),
        (None, Ok(certificate)) => certificate.to_lowercase(),
        (None, Err(_)) => bail!("name the server's certificate with --certificate, or in PBS_FINGERPRINT"),
    };
    let file = arguments.token_file.clone().or_else(|| std::env::var_os("PBS_PASSWORD_FILE").map(PathBuf::from));
    let file = file.context("name a file with the token's secret with --token-file, or in PBS_PASSWORD_FILE")?;
    let secret = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    Ok(Real {
        client: client.clone(),
        repository: repository.to_owned(),
        namespace: arguments.namespace.clone(),
        certificate,
        secret: secret.lines().next().unwrap_or_default().to_owned(),
    })
}

const DEFAULT_BYTES: u64 = 48 << 20;
