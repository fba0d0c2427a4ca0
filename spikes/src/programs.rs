//! Where the programs lie that the story is about: beside the one that tells it.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// The four programs of this build.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `tenwords-hub`.
    pub hub: PathBuf,
    /// `tenwords`.
    pub operator: PathBuf,
    /// `tenwords-agent`.
    pub agent: PathBuf,
    /// `pbs-local`, which stands in for proxmox-backup-client.
    pub pbs_local: PathBuf,
}

impl Programs {
    /// Finds them in the target folder that this program was started from.
    ///
    /// # Errors
    /// A sentence that says how they are built.
    pub fn find() -> Result<Self> {
        let this = env::current_exe().context("where this program lies")?;
        let mut folder = this.parent().context("this program lies in no folder")?;
        // A test lies one folder deeper than the programs.
        if folder.ends_with("deps") {
            folder = folder.parent().context("this program lies in no folder")?;
        }
        Ok(Self {
            hub: program(folder, "tenwords-hub")?,
            operator: program(folder, "tenwords")?,
            agent: program(folder, "tenwords-agent")?,
            pbs_local: program(folder, "pbs-local")?,
        })
    }
}

/// One program of this build.
///
/// # Errors
/// A sentence that says how it is built.
pub fn program(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    if !path.is_file() {
        bail!(
            "{name} is not built in {}: run `cargo xtask test` (or `cargo demo`), which builds every program first",
            folder.display()
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_command_that_builds_it() {
        let refusal = program(Path::new("/nowhere"), "tenwords-agent").err().map(|error| error.to_string());
        assert!(refusal.is_some_and(|text| text.contains("tenwords-agent") && text.contains("cargo xtask test")));
    }
}
