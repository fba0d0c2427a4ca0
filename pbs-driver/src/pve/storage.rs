//! `storage.cfg`: all of it kept, the `pbs:` stanzas understood.

use std::{fmt, str::FromStr};

use tenwords_protocol::fingerprint::Fingerprint;

use super::{
    error::PveError,
    node::Node,
    sections::{Section, Sections},
};
use crate::{
    access::Certificate,
    repository::{Namespace, Repository},
};

/// The name of a storage in PVE: `[a-z][a-z0-9-_.]*[a-z0-9]`, either case, two characters at least.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageId(String);

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageCfg {
    sections: Sections,
}

/// A Proxmox Backup Server as PVE knows it. Its secrets are not in here: see [`super::secrets`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PbsStorage {
    /// Its name.
    pub id: StorageId,
    /// Server, port, datastore and as whom.
    pub repository: Repository,
    /// In the datastore.
    pub namespace: Namespace,
    /// The server's certificate; `None` leaves it to the system's trust store.
    pub fingerprint: Option<Fingerprint>,
    /// Present means "encrypt": PVE then refuses to back up without the key file.
    pub encryption_key: Option<KeyMark>,
    /// Whether a master key is configured.
    pub master_pubkey: bool,
    /// Not to be used for now.
    pub disabled: bool,
    /// The nodes it is for; empty means all.
    pub nodes: Vec<String>,
}

/// What stands after `encryption-key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMark {
    /// The key file's own statement.
    Fingerprint(Fingerprint),
    /// `1`: the key file states none.
    Unnamed,
}

impl StorageId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StorageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StorageId {
    type Err = PveError;

    fn from_str(text: &str) -> Result<Self, PveError> {
        let bytes = text.as_bytes();
        let fine = bytes.len() >= 2
            && bytes.len() <= MAX_ID
            && bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if fine { Ok(Self(text.to_owned())) } else { Err(PveError::StorageId(text.chars().take(MAX_ID).collect())) }
    }
}

impl StorageCfg {
    /// Takes any text.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        Self { sections: Sections::parse(text) }
    }

    /// The node's; empty if there is none.
    ///
    /// # Errors
    /// As [`Node::readable`] and [`Node::read`].
    pub fn read(node: &Node) -> Result<Self, PveError> {
        node.readable()?;
        Ok(Self::parse(&node.read(FILE)?.unwrap_or_default()))
    }

    /// The text.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.sections.to_bytes()
    }

    /// Every stanza of any type.
    #[must_use]
    pub fn sections(&self) -> &Sections {
        &self.sections
    }

    /// Every `pbs:` storage that PVE would know, each understood or refused by itself.
    pub fn pbs(&self) -> impl Iterator<Item = Result<PbsStorage, PveError>> {
        self.sections.iter().filter(|section| is_pbs(section)).map(|section| understand(&section))
    }

    /// The storage of this name, if it is a `pbs:` one.
    ///
    /// # Errors
    /// [`PveError::Storage`].
    pub fn get(&self, id: &StorageId) -> Result<Option<PbsStorage>, PveError> {
        self.sections.find(id.as_str()).filter(is_pbs).map(|section| understand(&section)).transpose()
    }

    /// Adds a storage; `false` if the same one is there already.
    ///
    /// # Errors
    /// [`PveError::DifferentStorage`] if another one of that name is there.
    pub fn add_pbs(&mut self, storage: &PbsStorage) -> Result<bool, PveError> {
        let _ = storage;
        Err(PveError::Sections { why: "it is not written yet" })
    }

    /// Says in an existing stanza that this storage encrypts; `false` if it says so already.
    ///
    /// # Errors
    /// [`PveError::DifferentStorage`] if it names another key; [`PveError::Sections`] if it is not there.
    pub fn set_encryption_key(&mut self, id: &StorageId, mark: KeyMark) -> Result<bool, PveError> {
        let _ = (id, mark);
        Err(PveError::Sections { why: "it is not written yet" })
    }
}

impl PbsStorage {
    /// With what every storage has; the rest can be set.
    #[must_use]
    pub fn new(id: StorageId, repository: Repository, namespace: Namespace) -> Self {
        Self {
            id,
            repository,
            namespace,
            fingerprint: None,
            encryption_key: None,
            master_pubkey: false,
            disabled: false,
            nodes: Vec::new(),
        }
    }

    /// Whose certificate counts.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.fingerprint.map_or(Certificate::WebPki, Certificate::Pinned)
    }

    /// Whether it is for this node and not switched off.
    #[must_use]
    pub fn is_for(&self, node: &str) -> bool {
        !self.disabled && (self.nodes.is_empty() || self.nodes.iter().any(|name| name == node))
    }
}

fn is_pbs(section: &Section<'_>) -> bool {
    section.kind().eq_ignore_ascii_case("pbs")
}

fn understand(section: &Section<'_>) -> Result<PbsStorage, PveError> {
    Err(PveError::Storage {
        id: section.id().into_owned(),
        property: "the stanza",
        why: "cannot be read yet".to_owned(),
    })
}

/// Below `/etc/pve`.
pub(crate) const FILE: &str = "storage.cfg";
const MAX_ID: usize = 100;
