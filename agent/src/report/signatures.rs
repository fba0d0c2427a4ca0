//! Whether the newest snapshots are signed by a key of this box: each is looked at once, the day it comes.
//!
//! It is the recovery's own question, asked while there is still somebody to mend what is wrong.

use std::{collections::BTreeMap, path::PathBuf};

use pbs_driver::{Access, Client, Failure, private::Folder, restore};
use pbs_format::{key::EncryptionKey, name::SnapshotRef};
use tenwords_escrow::gate;
use tenwords_protocol::{fingerprint::Fingerprint, report::Signature};

use crate::{
    exit::{Code, OrStop as _, Outcome},
    keys::LiveKey,
    settings::Settings,
    sources,
};

/// The keys of the box, each in a file for the client as well.
pub(super) struct Bench<'k> {
    keys: BTreeMap<Fingerprint, (&'k EncryptionKey, PathBuf)>,
    _folder: Folder,
}

impl<'k> Bench<'k> {
    pub(super) fn new(settings: &Settings, keys: impl Iterator<Item = &'k LiveKey>) -> Outcome<Self> {
        let cannot = || "the keys cannot be laid out for the client".to_owned();
        let folder = sources::private(settings)?.folder().or_stop(Code::Preflight, cannot)?;
        let mut files = BTreeMap::new();
        for key in keys {
            let fingerprint = key.fingerprint();
            if files.contains_key(&fingerprint) {
                continue;
            }
            let path = folder
                .write(&format!("{}.enc", fingerprint.to_hex()), &key.expose_file())
                .or_stop(Code::Preflight, cannot)?;
            files.insert(fingerprint, (key.expose_key(), path));
        }
        Ok(Self { keys: files, _folder: folder })
    }

    /// Fetches the list of files, and holds it against the key that it names.
    pub(super) fn look(&self, client: &Client, access: &Access, key: Fingerprint, snapshot: &SnapshotRef) -> Signature {
        // What names a key that is not here is said by that.
        let Some((key, file)) = self.keys.get(&key) else { return Signature::Unknown };
        match restore::manifest(client, access, snapshot, file) {
            Ok(manifest) => match gate::is_signed(&manifest, key, snapshot) {
                Ok(()) => Signature::Good,
                Err(error) => {
                    tracing::warn!(%snapshot, %error, "a snapshot does not prove that this box made it");
                    Signature::Refused
                }
            },
            Err(error) => match error.failure() {
                // What the client itself finds wrong with a list is the list's fault.
                Some(Failure::Damaged { .. } | Failure::WrongKey { .. } | Failure::WrongSignature) => {
                    tracing::warn!(%snapshot, %error, "the client refuses a snapshot's list of files");
                    Signature::Refused
                }
                _ => Signature::Unknown,
            },
        }
    }
}
