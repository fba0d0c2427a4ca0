//! Whether a snapshot may be restored at all: its list of files through the client, judged natively.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use pbs_driver::{Access, Client, DriverError, Failure, Folder, restore, snapshot::SnapshotInfo};
use pbs_format::datastore::SnapshotRef;
use tenwords_escrow::gate::{GateError, GatedKey, GatedSnapshot, UnprovenSnapshot};
use tenwords_protocol::{
    fingerprint::{Fingerprint, ShortFingerprint},
    time::Timestamp,
};
use thiserror::Error;

use super::passed::{Ordered, Passed};
use crate::{
    exit::{Code, OrStop as _, Outcome},
    show::harmless,
};

/// The escrow's keys: opened, and as files for the client.
pub(crate) struct Keyring<'a> {
    keys: &'a BTreeMap<Fingerprint, Arc<GatedKey>>,
    /// Holds the files; they go with it.
    _folder: Folder,
    files: BTreeMap<Fingerprint, PathBuf>,
    /// These keys prove nothing that is newer.
    until: BTreeMap<Fingerprint, Timestamp>,
}

impl<'a> Keyring<'a> {
    /// Writes the key files into the client's private folder; they go with this value.
    pub(crate) fn new(client: &Client, keys: &'a BTreeMap<Fingerprint, Arc<GatedKey>>) -> Outcome<Self> {
        let cannot = || "cannot keep the opened keys in the private folder".to_owned();
        let folder = client.private().folder().or_stop(Code::Preflight, cannot)?;
        let mut files = BTreeMap::new();
        for (fingerprint, key) in keys {
            let name = format!("{}.enc", fingerprint.to_hex());
            let path = folder.write(&name, &key.expose_key_file()).or_stop(Code::Preflight, cannot)?;
            files.insert(*fingerprint, path);
        }
        Ok(Self { keys, _folder: folder, files, until: BTreeMap::new() })
    }

    /// The same where these keys prove nothing that was made after `moment`.
    pub(crate) fn until(mut self, keys: impl Iterator<Item = Fingerprint>, moment: Timestamp) -> Self {
        self.until.extend(keys.map(|key| (key, moment)));
        self
    }

    pub(crate) fn key_file(&self, fingerprint: Fingerprint) -> Option<&Path> {
        self.files.get(&fingerprint).map(PathBuf::as_path)
    }

    /// The gate for a snapshot that a server lists: by the key that it is said to need.
    pub(crate) fn prove(
        &self,
        client: &Client,
        access: &Access,
        info: &SnapshotInfo,
    ) -> Result<GatedSnapshot, Unproven> {
        let claimed = info.fingerprint.ok_or(Unproven::Plain)?;
        if self.until.get(&claimed).is_some_and(|until| info.snapshot.time() > *until) {
            return Err(Unproven::TooNew(claimed.shortened()));
        }
        let key = self.keys.get(&claimed).ok_or(Unproven::KeyMissing(claimed.shortened()))?;
        let key_file = self.key_file(claimed).ok_or(Unproven::KeyMissing(claimed.shortened()))?;
        gate(client, access, &info.snapshot, key, key_file)
    }

    /// The list of a snapshot that does not prove itself, as the server has it now, for whoever may let it
    /// through by its hash. `named` is the key that the server says it names.
    pub(crate) fn unproven(
        &self,
        client: &Client,
        access: &Access,
        named: Option<Fingerprint>,
        wanted: &SnapshotRef,
    ) -> Result<UnprovenSnapshot, Unproven> {
        let list = match named {
            None => restore::plain_manifest(client, access, wanted),
            Some(named) => {
                let key_file = self.key_file(named).ok_or(Unproven::KeyMissing(named.shortened()))?;
                restore::manifest(client, access, wanted, key_file)
            }
        };
        UnprovenSnapshot::read(&list.map_err(unlisted)?, self.keys, wanted).map_err(Unproven::Gate)
    }

    /// Looks once more at the list from which something was restored.
    pub(crate) fn still(&self, client: &Client, access: &Access, before: &Passed) -> Result<(), String> {
        match before {
            Passed::Proven(snapshot) => self.unchanged(client, access, snapshot),
            Passed::Ordered(ordered) => self.still_ordered(client, access, ordered),
        }
    }

    fn still_ordered(&self, client: &Client, access: &Access, before: &Ordered) -> Result<(), String> {
        let again = self.unproven(client, access, before.named, before.snapshot.snapshot());
        let again = again.map_err(|error| chain(&error))?;
        again.allow(before.list_sha256()).map(drop).map_err(|error| chain(&error))
    }

    /// Looks at the signed list of files of a snapshot once more. This shows a snapshot that was
    /// replaced meanwhile.
    pub(crate) fn unchanged(&self, client: &Client, access: &Access, before: &GatedSnapshot) -> Result<(), String> {
        let key = before.key();
        let key_file = self.key_file(key.fingerprint()).ok_or("its key file is gone")?;
        let again = gate(client, access, before.snapshot(), key, key_file).map_err(|error| chain(&error))?;
        let entries = |snapshot: &GatedSnapshot| {
            snapshot
                .archives()
                .map(|archive| (archive.server_name().to_owned(), archive.entry().size, archive.entry().csum))
                .collect::<Vec<_>>()
        };
        if entries(&again) == entries(before) {
            Ok(())
        } else {
            Err("its signed list of files is another one now".into())
        }
    }
}

/// Why a snapshot is not restored.
#[derive(Debug, Error)]
pub(crate) enum Unproven {
    /// Its list of files could not be had; nothing is known of it.
    #[error("its list of files could not be fetched")]
    Driver(#[source] DriverError),
    /// The client refused its list of files.
    #[error("the client refuses its list of files")]
    Listed(#[source] DriverError),
    /// It failed the gate.
    #[error("it failed the gate")]
    Gate(#[source] GateError),
    /// It names a key that was not opened.
    #[error("it needs key {0}, which this escrow does not hold")]
    KeyMissing(ShortFingerprint),
    /// It names a former code's key, and is newer than the code that came after.
    #[error("it was made after its key {0} had been replaced with its code")]
    TooNew(ShortFingerprint),
    /// It names no key.
    #[error("it is not encrypted, or unfinished")]
    Plain,
}

/// The manifest through the client, judged natively.
fn gate(
    client: &Client,
    access: &Access,
    wanted: &SnapshotRef,
    key: &Arc<GatedKey>,
    key_file: &Path,
) -> Result<GatedSnapshot, Unproven> {
    let manifest = restore::manifest(client, access, wanted, key_file).map_err(unlisted)?;
    GatedSnapshot::check(&manifest, key, wanted).map_err(Unproven::Gate)
}

fn unlisted(error: DriverError) -> Unproven {
    match error.failure() {
        // What the client itself finds wrong with a list of files is the list's fault.
        Some(
            Failure::Damaged { .. }
            | Failure::MissingKey { .. }
            | Failure::NotFound { .. }
            | Failure::WrongKey { .. }
            | Failure::WrongSignature,
        ) => Unproven::Listed(error),
        _ => Unproven::Driver(error),
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    harmless(&text, 400)
}
