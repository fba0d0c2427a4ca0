//! Operators with real SSH keys, and a desk without any network: plain `ssh-keygen` signs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::World;
use crate::process::Run;

/// Who signs: one may order, another may change the list.
#[derive(Debug)]
pub struct Operators {
    folder: PathBuf,
}

/// The one whose key has the role `operational`.
pub const MARTA: &str = "marta";
/// The one whose key, in a safe, has the role `recovery`.
pub const SAFE: &str = "safe";

impl Operators {
    /// With their keys. Machines of this world that are enrolled afterwards pin them.
    ///
    /// # Errors
    /// `ssh-keygen` is not there.
    pub fn new(world: &World) -> Result<Self> {
        let operators = Self { folder: world.make(FOLDER)? };
        let [marta, safe] = [MARTA, SAFE].map(|name| operators.has_key(name));
        let list = format!("operational {}\nrecovery {}\n", marta?, safe?);
        fs::write(operators.folder.join(LIST), list)?;
        Ok(operators)
    }

    /// Whether `ssh-keygen` is here.
    #[must_use]
    pub fn can_be() -> bool {
        Path::new(KEYGEN).exists()
    }

    /// Makes somebody's key, and tells its public half (`<keytype> <base64>`).
    ///
    /// # Errors
    /// `ssh-keygen` refused.
    pub fn has_key(&self, name: &str) -> Result<String> {
        let key = self.key(name);
        let path = key.display().to_string();
        self.keygen(&["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path])?;
        let public = fs::read_to_string(format!("{path}.pub"))?;
        let mut fields = public.split_whitespace();
        let (kind, key) = fields.next().zip(fields.next()).context("a public key")?;
        Ok(format!("{kind} {key}"))
    }

    /// Somebody's private key.
    #[must_use]
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The list as it is put on boxes.
    #[must_use]
    pub fn list(&self) -> PathBuf {
        self.folder.join(LIST)
    }

    /// Has somebody sign a file, as the manual page of `ssh-keygen` says it; tells where the signature lies.
    ///
    /// # Errors
    /// `ssh-keygen` refused.
    pub fn signs(&self, name: &str, namespace: &str, file: &Path) -> Result<PathBuf> {
        let (key, file) = (self.key(name).display().to_string(), file.display().to_string());
        let signature = PathBuf::from(format!("{file}.sig"));
        if signature.exists() {
            fs::remove_file(&signature)?;
        }
        self.keygen(&["-Y", "sign", "-q", "-n", namespace, "-f", &key, &file])?;
        Ok(signature)
    }

    fn keygen(&self, arguments: &[&str]) -> Result<()> {
        Run::new(KEYGEN.as_ref(), &self.folder).args(arguments).to_end(SOON)?.with_code(0)?;
        Ok(())
    }
}

/// The list of a world's operators, if it has any with keys.
pub(super) fn list_of(world: &Path) -> Option<String> {
    fs::read_to_string(world.join(FOLDER).join(LIST)).ok()
}

const KEYGEN: &str = "/usr/bin/ssh-keygen";
const FOLDER: &str = "operators";
const LIST: &str = "allowed_signers";
const SOON: Duration = Duration::from_secs(60);
