//! How a real client and server are named on a command line.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::world::Real;

/// The flags; nothing of them means the stand-in.
#[derive(Debug, Args)]
#[command(next_help_heading = "A real client and server, instead of the stand-in")]
pub struct RealArguments {
    /// proxmox-backup-client
    #[arg(long, value_name = "PATH", requires = "repository")]
    pbs_client: Option<PathBuf>,
    /// The server's repository, with a token
    #[arg(long, value_name = "REPOSITORY", requires = "pbs_client")]
    repository: Option<String>,
    /// The namespace there
    #[arg(long, value_name = "NAMESPACE", requires = "repository")]
    namespace: Option<String>,
    /// The server certificate's fingerprint (or in PBS_FINGERPRINT)
    #[arg(long, value_name = "FINGERPRINT", requires = "repository")]
    certificate: Option<String>,
    /// A file with the token's secret (or in PBS_PASSWORD_FILE)
    #[arg(long, value_name = "FILE", requires = "repository")]
    token_file: Option<PathBuf>,
}

impl RealArguments {
    /// The client and server, if they were named.
    ///
    /// # Errors
    /// What is missing beside them.
    pub fn read(&self) -> Result<Option<Real>> {
        let (Some(client), Some(repository)) = (&self.pbs_client, &self.repository) else { return Ok(None) };
        let certificate = match (&self.certificate, env::var("PBS_FINGERPRINT")) {
            (Some(certificate), _) => certificate.to_lowercase(),
            (None, Ok(certificate)) => certificate.to_lowercase(),
            (None, Err(_)) => bail!("name the server's certificate with --certificate, or in PBS_FINGERPRINT"),
        };
        let file = self.token_file.clone().or_else(|| env::var_os("PBS_PASSWORD_FILE").map(PathBuf::from));
        let file = file.context("name a file with the token's secret with --token-file, or in PBS_PASSWORD_FILE")?;
        let secret = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let secret = secret.lines().next().unwrap_or_default().to_owned();
        if secret.len() < 8 {
            bail!("the token's secret is too short to be searched for: {} has fewer than 8 characters", file.display());
        }
        Ok(Some(Real {
            client: client.clone(),
            repository: repository.clone(),
            namespace: self.namespace.clone(),
            certificate,
            secret,
        }))
    }
}
