//! The data directory: the hub's identity, its two authorities and its secret.
//!
//! It is made by [`crate::init`] and by nothing else. Opening it makes no key, no authority and no
//! database: what is missing, foreign, newer or damaged is refused with a sentence that helps.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use tenwords_protocol::{hash::Sha256, json, ticket::HubAddress, time::Timestamp};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    authority::{Authority, AuthorityError},
    keyed::{HubSecret, SECRET_BYTES},
};

/// The format of the data directory that this program writes.
pub const FORMAT: u64 = 1;

pub(crate) const DESCRIPTION: &str = "hub.json";
pub(crate) const SECRET: &str = "hub.secret";
pub(crate) const DATABASE: &str = "hub.db";
pub(crate) const SERVER_CA: &str = "server-ca.pem";
pub(crate) const SERVER_CA_KEY: &str = "server-ca.key";
pub(crate) const BOX_CA: &str = "box-ca.pem";
pub(crate) const BOX_CA_KEY: &str = "box-ca.key";

const SQLITE_HEAD: &[u8; 16] = b"SQLite format 3\0";

/// `hub.json`: what belongs together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The format of the directory.
    pub format: u64,
    /// The hub.
    pub hub_id: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Where the store is.
    pub store: StorePlace,
    /// The names and addresses that the hub's own certificate carries.
    pub names: Vec<String>,
    /// Where agents reach the hub, for tickets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_agents: Option<HubAddress>,
    /// Over the server CA's SPKI.
    pub server_ca_sha256: Sha256,
    /// Over the box CA's SPKI.
    pub box_ca_sha256: Sha256,
}

/// Where the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorePlace {
    /// In the data directory.
    Embedded,
    /// At the URL that `serve` is given.
    External,
}

/// An opened data directory. It stays locked as long as this lives.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    description: Description,
    secret: HubSecret,
    server_ca: Authority,
    box_ca: Authority,
    _lock: Flock<File>,
}

/// Why a data directory was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HomeError {
    /// It is open to others.
    #[error("{} can be read by others: chmod {wanted} {}", path.display(), path.display())]
    Access {
        /// The file or directory.
        path: PathBuf,
        /// The mode that it should have.
        wanted: &'static str,
    },
    /// An authority's files do not fit.
    #[error("{} is damaged or was exchanged: restore the data directory from its backup", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: AuthorityError,
    },
    /// A file does not fit the others.
    #[error("{} is damaged or was exchanged: restore the data directory from its backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing in it.
    #[error(
        "{} is empty: if this is a new hub, run `tenwords-hub init --data {}`; if it is not, the data directory \
         was lost or is not mounted",
        path.display(), path.display()
    )]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// It holds something else.
    #[error("{} is not a hub's data directory: it has no {DESCRIPTION}", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error("another tenwords-hub is running on {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// There is no such directory.
    #[error("{} does not exist: name the hub's data directory, or make a new hub with `tenwords-hub init`", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// A file is gone.
    #[error("{} is missing: restore the data directory from its backup (it is never made anew)", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a later release.
    #[error("{} has format {found}, and this program knows formats up to {FORMAT}: install the newer tenwords-hub again", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
}

impl Home {
    /// Opens the directory and checks that what is in it belongs together.
    ///
    /// # Errors
    /// [`HomeError`], and nothing was changed.
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        let found = fs::metadata(dir).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => HomeError::Missing { path: dir.to_owned() },
            _ => HomeError::Io { path: dir.to_owned(), source },
        })?;
        if !found.is_dir() {
            return Err(HomeError::Foreign { path: dir.to_owned() });
        }
        let path = dir.join(DESCRIPTION);
        if !path.exists() {
            let mut entries = fs::read_dir(dir).map_err(|source| HomeError::Io { path: dir.to_owned(), source })?;
            return Err(match entries.next() {
                None => HomeError::Empty { path: dir.to_owned() },
                Some(_) => HomeError::Foreign { path: dir.to_owned() },
            });
        }
        private(dir, "0700")?;
        let lock = lock(&path, dir)?;
        let description = describe(&path)?;
        let server_ca = authority(dir, SERVER_CA, SERVER_CA_KEY, description.server_ca_sha256)?;
        let box_ca = authority(dir, BOX_CA, BOX_CA_KEY, description.box_ca_sha256)?;
        let secret = secret(&dir.join(SECRET))?;
        if description.store == StorePlace::Embedded {
            is_sqlite(&dir.join(DATABASE))?;
        }
        Ok(Self { dir: dir.to_owned(), description, secret, server_ca, box_ca, _lock: lock })
    }

    /// What belongs together.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The embedded store's file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.dir.join(DATABASE)
    }

    /// The CA of hubs.
    #[must_use]
    pub fn server_ca(&self) -> &Authority {
        &self.server_ca
    }

    /// The CA of nodes.
    #[must_use]
    pub fn box_ca(&self) -> &Authority {
        &self.box_ca
    }

    /// The secret under which tickets and tokens are hashed.
    #[must_use]
    pub fn secret(&self) -> &HubSecret {
        &self.secret
    }
}

fn lock(path: &Path, dir: &Path) -> Result<Flock<File>, HomeError> {
    let file = File::open(path).map_err(|source| HomeError::Io { path: path.to_owned(), source })?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => HomeError::Locked { path: dir.to_owned() },
        other => HomeError::Io { path: path.to_owned(), source: other.into() },
    })
}

/// The format is read first and by itself: a newer one may have fields that this program refuses.
fn describe(path: &Path) -> Result<Description, HomeError> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    let text = read(path)?;
    let damaged = || HomeError::Damaged { path: path.to_owned() };
    let Format { format } = json::from_slice(&text).map_err(|_| damaged())?;
    if format > FORMAT {
        return Err(HomeError::Newer { path: path.to_owned(), found: format });
    }
    json::from_slice(&text).map_err(|_| damaged())
}

fn authority(dir: &Path, certificate: &str, key: &str, expected: Sha256) -> Result<Authority, HomeError> {
    let (certificate, key) = (dir.join(certificate), dir.join(key));
    let (certificate_pem, key_pem) = (read_text(&certificate)?, read_private_text(&key)?);
    let authority =
        Authority::load(&certificate_pem, &key_pem).map_err(|source| HomeError::Authority { path: key, source })?;
    if authority.spki_sha256() == expected { Ok(authority) } else { Err(HomeError::Damaged { path: certificate }) }
}

fn secret(path: &Path) -> Result<HubSecret, HomeError> {
    let damaged = || HomeError::Damaged { path: path.to_owned() };
    let text = read_private_text(path)?;
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    hex::decode_to_slice(text.trim_end(), &mut *bytes).map_err(|_| damaged())?;
    Ok(HubSecret::from_bytes(bytes))
}

/// Looked at before SQLite opens it, because SQLite would make a database out of an empty file.
fn is_sqlite(path: &Path) -> Result<(), HomeError> {
    let mut head = [0; SQLITE_HEAD.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Ok(()) if head == *SQLITE_HEAD => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            Err(HomeError::MissingFile { path: path.to_owned() })
        }
        Ok(()) | Err(_) => Err(HomeError::Damaged { path: path.to_owned() }),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    fs::read(path).map(Zeroizing::new).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => HomeError::MissingFile { path: path.to_owned() },
        _ => HomeError::Io { path: path.to_owned(), source },
    })
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, HomeError> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| HomeError::Damaged { path: path.to_owned() })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn read_private_text(path: &Path) -> Result<Zeroizing<String>, HomeError> {
    let text = read_text(path)?;
    private(path, "0600")?;
    Ok(text)
}

fn private(path: &Path, wanted: &'static str) -> Result<(), HomeError> {
    let found = fs::metadata(path).map_err(|source| HomeError::Io { path: path.to_owned(), source })?;
    if found.mode() & 0o077 == 0 { Ok(()) } else { Err(HomeError::Access { path: path.to_owned(), wanted }) }
}
