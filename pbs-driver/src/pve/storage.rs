//! `storage.cfg`: all of it kept, the `pbs:` stanzas understood.

use std::{fmt, net::Ipv6Addr, num::ParseIntError, str::FromStr};

use pbs_format::name::NameError;
use tenwords_protocol::fingerprint::Fingerprint;

use super::{
    error::PveError,
    lock::FileLock,
    node::Node,
    sections::{Section, Sections},
    write::{explained, replace},
};
use crate::{
    access::Certificate,
    repository::{Namespace, Repository, RepositoryError},
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
    /// `content` as it stands there, `backup` or `none`; `None` means `backup`.
    pub content: Option<String>,
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

    /// Reads the node's file under PVE's lock, lets `change` change it, and writes it if it says so.
    ///
    /// # Errors
    /// As [`Node::writable`], [`PveError::Locked`], [`PveError::Io`], and what `change` says.
    pub fn edit(node: &Node, change: impl FnOnce(&mut Self) -> Result<bool, PveError>) -> Result<bool, PveError> {
        let lock = FileLock::take(node)?;
        Self::edit_under(&lock, node, change)
    }

    pub(crate) fn edit_under(
        lock: &FileLock,
        node: &Node,
        change: impl FnOnce(&mut Self) -> Result<bool, PveError>,
    ) -> Result<bool, PveError> {
        let mut storages = Self::read(node)?;
        if !change(&mut storages)? {
            return Ok(false);
        }
        explained(node, replace(lock, &node.file(FILE), MODE, &storages.to_bytes()))?;
        Ok(true)
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

    /// Every `pbs:` storage that counts for PVE, each understood or refused by itself. What PVE would
    /// skip or half read (a value that it does not take is left out there) is a refusal here: it is
    /// hardly what somebody meant.
    pub fn pbs(&self) -> impl Iterator<Item = Result<PbsStorage, PveError>> {
        let counts =
            |section: &Section<'_>| self.sections.find(&section.id()).is_some_and(|last| last.is_same(section));
        self.sections
            .iter()
            .filter(move |section| is_pbs(section) && counts(section))
            .map(|section| understand(&section))
    }

    /// The storage of this name, if it is a `pbs:` one.
    ///
    /// # Errors
    /// [`PveError::Storage`].
    pub fn get(&self, id: &StorageId) -> Result<Option<PbsStorage>, PveError> {
        self.sections.find(id.as_str()).filter(is_pbs).map(|section| understand(&section)).transpose()
    }

    /// Adds a storage, or the mark of its key to the same one; `false` if nothing was to be done.
    /// (`content`, `nodes` and `disabled` of one that is there are its administrator's.)
    ///
    /// # Errors
    /// [`PveError::DifferentStorage`] if another one of that name is there; [`PveError::Storage`] if
    /// what is there is not understood; [`PveError::Sections`].
    pub fn add_pbs(&mut self, storage: &PbsStorage) -> Result<bool, PveError> {
        let id = storage.id.as_str();
        let Some(section) = self.sections.find(id) else {
            let properties = storage.properties();
            let properties: Vec<(&str, &str)> = properties.iter().map(|(key, value)| (*key, value.as_str())).collect();
            self.sections.append("pbs", id, &properties)?;
            return Ok(true);
        };
        if !is_pbs(&section) {
            return Err(PveError::DifferentStorage {
                id: id.to_owned(),
                property: "type",
                there: section.kind().into_owned(),
                wanted: "pbs".to_owned(),
            });
        }
        let there = understand(&section)?;
        if let Some((property, there, wanted)) = there.difference(storage) {
            return Err(PveError::DifferentStorage { id: id.to_owned(), property, there, wanted });
        }
        match storage.encryption_key {
            Some(mark) if there.encryption_key.is_none() => {
                self.sections.set(id, KEY, &mark.to_string())?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Where a storage's mark names the key that is being replaced, has it name the one that comes; `false` if
    /// nothing was to be done.
    ///
    /// # Errors
    /// [`PveError::Storage`] if what is there is not understood; [`PveError::Sections`].
    pub(crate) fn renew_key_mark(
        &mut self,
        id: &StorageId,
        former: Fingerprint,
        mark: KeyMark,
    ) -> Result<bool, PveError> {
        match self.get(id)?.and_then(|storage| storage.encryption_key) {
            Some(KeyMark::Fingerprint(named)) if named == former => {
                self.sections.set(id.as_str(), KEY, &mark.to_string())?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Takes a `pbs:` storage away; `false` if there is none of that name.
    ///
    /// # Errors
    /// [`PveError::DifferentStorage`] if what has this name is of another type; [`PveError::Sections`].
    pub fn remove_pbs(&mut self, id: &StorageId) -> Result<bool, PveError> {
        match self.sections.find(id.as_str()) {
            Some(section) if !is_pbs(&section) => Err(PveError::DifferentStorage {
                id: id.to_string(),
                property: "type",
                there: section.kind().into_owned(),
                wanted: "pbs".to_owned(),
            }),
            _ => self.sections.remove(id.as_str()),
        }
    }
}

impl fmt::Display for KeyMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => fingerprint.fmt(f),
            Self::Unnamed => f.write_str("1"),
        }
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
            content: None,
            disabled: false,
            nodes: Vec::new(),
        }
    }

    /// Whose certificate counts.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.fingerprint.map_or(Certificate::WebPki, Certificate::Pinned)
    }

    /// The same with another key's mark.
    #[must_use]
    pub fn with_encryption_key(self, mark: Option<KeyMark>) -> Self {
        Self { encryption_key: mark, ..self }
    }

    /// In the order in which PVE writes them.
    fn properties(&self) -> Vec<(&'static str, String)> {
        let repository = &self.repository;
        let optional = |key, value: Option<String>| value.map(|value| (key, value));
        [
            self.disabled.then(|| ("disable", String::new())),
            Some(("datastore", repository.datastore().to_owned())),
            Some(("server", repository.host().name().to_owned())),
            Some(("content", self.content.clone().unwrap_or_else(|| "backup".to_owned()))),
            optional(KEY, self.encryption_key.map(|mark| mark.to_string())),
            optional("fingerprint", self.fingerprint.map(|fingerprint| fingerprint.to_string())),
            optional("master-pubkey", self.master_pubkey.then(|| "1".to_owned())),
            optional("namespace", Some(self.namespace.to_string()).filter(|_| !self.namespace.is_root())),
            optional("nodes", Some(self.nodes.join(",")).filter(|_| !self.nodes.is_empty())),
            optional(
                "port",
                Some(repository.port().to_string()).filter(|_| repository.port() != Repository::DEFAULT_PORT),
            ),
            Some(("username", repository.auth_id().to_string())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What makes `wanted` another storage than this one: property, here, there.
    fn difference(&self, wanted: &Self) -> Option<(&'static str, String, String)> {
        let (here, there) = (&self.repository, &wanted.repository);
        let shown = |fingerprint: Option<Fingerprint>| fingerprint.map_or_else(|| "none".to_owned(), |f| f.to_string());
        let keys = match (self.encryption_key, wanted.encryption_key) {
            (Some(KeyMark::Fingerprint(here)), Some(KeyMark::Fingerprint(there))) => (Some(here), Some(there)),
            // One that does not name its key may be the same.
            _ => (None, None),
        };
        [
            ("server", here.host().name().to_owned(), there.host().name().to_owned()),
            ("port", here.port().to_string(), there.port().to_string()),
            ("datastore", here.datastore().to_owned(), there.datastore().to_owned()),
            ("namespace", self.namespace.to_string(), wanted.namespace.to_string()),
            ("username", here.auth_id().to_string(), there.auth_id().to_string()),
            ("fingerprint", shown(self.fingerprint), shown(wanted.fingerprint)),
            (KEY, shown(keys.0), shown(keys.1)),
        ]
        .into_iter()
        .find(|(_, here, there)| here != there)
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
    let id: StorageId = section.id().parse()?;
    let bad = |property, why: String| PveError::Storage { id: id.to_string(), property, why };
    let text = |property: &'static str| match section.get(property) {
        Some(Some(value)) => Ok(Some(value.into_owned())),
        Some(None) => Err(bad(property, "has no value".to_owned())),
        None => Ok(None),
    };
    let needed = |property| text(property)?.ok_or_else(|| bad(property, "is missing".to_owned()));
    let not_understood = |property, error: &dyn fmt::Display| bad(property, format!("is not understood: {error}"));

    let server = needed("server")?;
    // PVE writes an IPv6 address without brackets, the client takes it with them.
    let server = if server.parse::<Ipv6Addr>().is_ok() { format!("[{server}]") } else { server };
    let host = server.parse().map_err(|error: RepositoryError| not_understood("server", &error))?;
    let port = match text("port")? {
        Some(port) => port.parse().map_err(|error: ParseIntError| not_understood("port", &error))?,
        None => Repository::DEFAULT_PORT,
    };
    let user = text("username")?.unwrap_or_else(|| DEFAULT_USER.to_owned());
    let user = user.parse().map_err(|error: RepositoryError| not_understood("username", &error))?;
    let repository = Repository::new(user, host, port, &needed("datastore")?)
        .map_err(|error| not_understood("datastore", &error))?;
    let namespace = text("namespace")?.unwrap_or_default();
    let namespace = namespace.parse().map_err(|error: NameError| not_understood("namespace", &error))?;
    let fingerprint = |property| {
        let read = |value: String| value.to_ascii_lowercase().parse::<Fingerprint>();
        text(property)?.map(read).transpose().map_err(|error| not_understood(property, &error))
    };
    let encryption_key = match text(KEY)? {
        Some(mark) if mark == "1" => Some(KeyMark::Unnamed),
        _ => fingerprint(KEY)?.map(KeyMark::Fingerprint),
    };
    let nodes = text("nodes")?.unwrap_or_default();
    Ok(PbsStorage {
        repository,
        namespace,
        fingerprint: fingerprint("fingerprint")?,
        encryption_key,
        master_pubkey: text("master-pubkey")?.is_some(),
        content: text("content")?,
        // A word alone is "yes"; of the written ones PVE takes the number.
        disabled: section.get("disable").is_some_and(|value| value.is_none_or(|value| value == "1")),
        nodes: nodes.split([',', ';', ' ', '\t', '\0']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        id,
    })
}

/// Below `/etc/pve`.
pub(crate) const FILE: &str = "storage.cfg";
/// What pmxcfs shows for every file outside `priv`.
const MODE: u32 = 0o640;
const KEY: &str = "encryption-key";
const DEFAULT_USER: &str = "root@pam";
const MAX_ID: usize = 100;
