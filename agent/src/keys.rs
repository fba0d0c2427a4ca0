//! The live key files: read, hashed before and after, never touched.

use std::{
    io,
    path::{Path, PathBuf},
};

use pbs_format::key::{EncryptionKey, Kdf, KeyFile};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
use zeroize::Zeroizing;

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    words::is_private,
};

const LIMIT: u64 = 4 << 10;

/// A live key file as it was when the work began.
pub(crate) struct LiveKey {
    path: PathBuf,
    /// SHA-256 of the file. It is a hash of a secret of full entropy, and stays in memory.
    before: Sha256,
    file: KeyFile,
    key: EncryptionKey,
}

impl LiveKey {
    /// The key file of the source `id`.
    pub(crate) fn read(id: &str, path: &Path) -> Outcome<Self> {
        let shown = path.display().to_string();
        let bytes = match durable::read_limited(path, LIMIT) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Stop::new(Code::Preflight, format!("source {id}: there is no key file {shown}")).remedy(
                    "name the key that this source's backups are encrypted with; without one there is nothing to escrow",
                ));
            }
            Err(error) => {
                return Err(Stop::new(Code::Preflight, format!("source {id}: cannot read {shown}")).because(error));
            }
        };
        let unreadable = || format!("source {id}: {shown} is not a PBS key file");
        let file = KeyFile::parse(&bytes).or_stop(Code::Preflight, unreadable)?;
        if !matches!(file.kdf(), Kdf::None) {
            return Err(Stop::new(Code::Preflight, format!("source {id}: {shown} has a passphrase")).remedy(
                "PVE backs up unattended and never passes one: name the key file that the backups use \
                 (`proxmox-backup-client key change-passphrase --kdf none` takes a passphrase off a copy)",
            ));
        }
        let key = file.open(None).or_stop(Code::Preflight, unreadable)?;
        if !is_private(path).or_stop(Code::Preflight, unreadable)? {
            tracing::warn!(path = %shown, "others than its owner may read this key file; `chmod 600` it");
        }
        Ok(Self { before: Sha256::of(&bytes), path: path.to_owned(), file, key })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.key.fingerprint()
    }

    /// The key, for who holds a snapshot's list of files against it.
    pub(crate) fn expose_key(&self) -> &EncryptionKey {
        &self.key
    }

    /// The file's text, for a copy in the private folder.
    pub(crate) fn expose_file(&self) -> Zeroizing<Vec<u8>> {
        self.file.to_json()
    }

    /// Somebody else changed the file meanwhile: what was made of it is thrown away.
    pub(crate) fn check_untouched(&self) -> Outcome<()> {
        let now = durable::read_limited(&self.path, LIMIT).map(|bytes| Sha256::of(&Zeroizing::new(bytes)));
        match now {
            Ok(hash) if hash == self.before => Ok(()),
            _ => Err(Stop::new(
                Code::Preflight,
                format!("{} was changed by somebody else meanwhile", self.path.display()),
            )
            .remedy("find out who changes it, then run the same command again")),
        }
    }
}
