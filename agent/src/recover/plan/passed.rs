//! From what archives may be restored: a snapshot that has proven itself, or one that an operator's order
//! lets through by the hash of its list. There is no third kind, and no way from the second to the first.

use std::sync::{Arc, Mutex, PoisonError};

use pbs_driver::restore::Protection;
use pbs_format::{datastore::SnapshotRef, manifest::FileEntry};
use tenwords_escrow::gate::{AllowedSnapshot, GatedSnapshot};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};

use super::Keyring;
use crate::{exit::Outcome, recover::orders::Permit};

/// Either of them.
#[derive(Clone)]
pub(crate) enum Passed {
    Proven(Arc<GatedSnapshot>),
    Ordered(Arc<Ordered>),
}

/// One that nobody vouches for, and the order that lets it through once, whatever of it is restored first.
pub(crate) struct Ordered {
    pub(super) snapshot: AllowedSnapshot,
    /// The key that the server says it names.
    pub(super) named: Option<Fingerprint>,
    permit: Permit,
    has_begun: Mutex<bool>,
}

impl Ordered {
    pub(super) fn new(snapshot: AllowedSnapshot, named: Option<Fingerprint>, permit: Permit) -> Self {
        Self { snapshot, named, permit, has_begun: Mutex::new(false) }
    }

    pub(crate) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// By what it was let through.
    pub(super) fn list_sha256(&self) -> Sha256 {
        self.snapshot.list_sha256()
    }

    /// Before the first of its archives begins, the order is used up.
    pub(crate) fn begin<T>(&self, redeem: impl FnOnce(&Permit) -> Outcome<T>) -> Outcome<()> {
        let mut has_begun = self.has_begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !*has_begun {
            redeem(&self.permit)?;
            *has_begun = true;
        }
        Ok(())
    }
}

impl Passed {
    pub(crate) fn snapshot(&self) -> &SnapshotRef {
        match self {
            Self::Proven(snapshot) => snapshot.snapshot(),
            Self::Ordered(ordered) => ordered.snapshot.snapshot(),
        }
    }

    /// The key under which it proved itself, if it did.
    pub(crate) fn key(&self) -> Option<Fingerprint> {
        match self {
            Self::Proven(snapshot) => Some(snapshot.key().fingerprint()),
            Self::Ordered(_) => None,
        }
    }

    /// The order that lets it through, if it needs one.
    pub(crate) fn ordered(&self) -> Option<&Ordered> {
        match self {
            Self::Proven(_) => None,
            Self::Ordered(ordered) => Some(ordered),
        }
    }

    /// A file of its list, by the name on the server.
    pub(crate) fn entry(&self, server_name: &str) -> Option<&FileEntry> {
        match self {
            Self::Proven(snapshot) => snapshot.archive(server_name).map(|archive| archive.entry()),
            Self::Ordered(ordered) => ordered.snapshot.archive(server_name).map(|archive| archive.entry()),
        }
    }

    /// With what the client is to restore it. Nothing if the key's file is gone.
    pub(crate) fn protection<'k>(&self, keyring: &'k Keyring<'_>) -> Option<Protection<'k>> {
        match self {
            Self::Proven(snapshot) => {
                let key = snapshot.key().fingerprint();
                Some(Protection::Under { key_file: keyring.key_file(key)?, key })
            }
            Self::Ordered(ordered) => match ordered.snapshot.key().map(|key| key.fingerprint()) {
                Some(key) => Some(Protection::Unproven { key_file: keyring.key_file(key)?, key }),
                None => Some(Protection::Plain),
            },
        }
    }

    /// What nobody vouches for, for the report.
    pub(crate) fn lacks(&self) -> Vec<String> {
        self.ordered().map_or(Vec::new(), |ordered| ordered.snapshot.lacks().iter().map(ToString::to_string).collect())
    }
}
