//! A small world: a hub, an operator, a backup server's stand-in and two boxes, in one folder.
//!
//! Everything is made in that folder, but for each box's private folder, which must be on a tmpfs.
//! Whoever drops the world takes all of it away.

mod abandon;
mod doorman;
mod hub;
mod machine;
mod operators;
mod pve;
mod server;

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};
use tempfile::TempDir;

pub use abandon::end_when_asked;
pub use doorman::{Doorman, Shown};
pub use hub::Hub;
pub use machine::{Machine, Recovery};
pub use operators::{MARTA, Operators, SAFE};
pub use pve::Pve;
pub use server::{BackupServer, Real};

use crate::programs::Programs;

/// The world's folder and the programs that act in it.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
    private: TempDir,
    programs: Programs,
}

impl World {
    /// An empty one, in a new folder below `base` (0700).
    ///
    /// # Errors
    /// A program is not built, or there is no room.
    pub fn new(base: &Path) -> Result<Self> {
        let programs = Programs::find()?;
        let closed = Permissions::from_mode(0o700);
        let named = |prefix: &str, base: &Path| {
            tempfile::Builder::new()
                .prefix(prefix)
                .permissions(closed.clone())
                .tempdir_in(base)
                .with_context(|| format!("making a folder in {}", base.display()))
        };
        let world =
            Self { folder: named("tenwords-", base)?, private: named("tenwords-", Path::new(TMPFS))?, programs };
        abandon::folder_lives(world.folder());
        abandon::folder_lives(world.private());
        world.make("tmp")?;
        world.make("home")?;
        Ok(world)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its part of a tmpfs.
    #[must_use]
    pub fn private(&self) -> &Path {
        self.private.path()
    }

    /// The programs.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// A new folder in it (0700).
    ///
    /// # Errors
    /// What the system said.
    pub fn make(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder().join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// A new file in it (0600).
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.folder().join(name);
        write_private(&path, content)?;
        Ok(path)
    }

    /// What every program of this world finds in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let inside = |name: &str| self.folder().join(name).display().to_string();
        [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("HOME", inside("home")),
            ("TMPDIR", inside("tmp")),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "xterm".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        abandon::folder_is_gone(self.folder.path());
        abandon::folder_is_gone(self.private.path());
    }
}

/// Writes a file that only its owner may read, over whatever is there.
///
/// # Errors
/// What the system said.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(())
}

/// A secret as PBS makes one for a token: a UUID.
#[must_use]
pub fn token_secret() -> String {
    let mut bytes = [0_u8; 16];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Where a private folder can be made without asking anybody.
const TMPFS: &str = "/dev/shm";
