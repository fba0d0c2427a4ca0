//! Makes a new hub: its identity, two authorities, its secret, an empty store and one admin token.
//! Nothing else ever makes any of these.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tenwords_protocol::{json, ticket::HubAddress, time::Timestamp};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    authority::{Authority, AuthorityError},
    chance,
    home::{
        BOX_CA, BOX_CA_KEY, DATABASE, DESCRIPTION, Description, FORMAT, SECRET, SERVER_CA, SERVER_CA_KEY, StorePlace,
    },
    keyed::{HubSecret, Token},
    store::{AddOperator, Location, Store, StoreError},
};

/// What a new hub is told.
#[derive(Debug, Default)]
pub struct Request {
    /// Names and addresses under which the hub is reached, for its certificate.
    pub names: Vec<String>,
    /// Where agents reach the hub, for tickets.
    pub public_agents: Option<HubAddress>,
    /// A store elsewhere than in the data directory.
    pub database: Option<Location>,
}

/// What a new hub has to say, once.
#[derive(Debug)]
pub struct Made {
    /// The hub.
    pub hub_id: String,
    /// The admin's token; it is stored nowhere.
    pub token: Token,
    /// The server CA's certificate, for the operator's command line.
    pub server_ca: PathBuf,
}

/// Why no hub was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitError {
    /// No authority could be made.
    #[error("the hub's authorities could not be made")]
    Authority(#[from] AuthorityError),
    /// It is a hub already.
    #[error("{} is a hub's data directory already: it is not touched", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{} cannot be written", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name that a certificate cannot carry.
    #[error("`{name}` is neither a host name nor an address: say for example --name hub.example.org")]
    Name {
        /// The name.
        name: String,
    },
    /// It holds something.
    #[error("{} is not empty: a new hub needs a directory of its own", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The store could not be made.
    #[error("the hub's store could not be made")]
    Store(#[from] StoreError),
}

/// Makes a new hub in `dir`, which must be missing or empty. `hub.json` is written last, so that an
/// interrupted attempt is never taken for a hub.
///
/// # Errors
/// [`InitError`].
pub async fn init(dir: &Path, request: Request, now: Timestamp) -> Result<Made, InitError> {
    let names = names(&request)?;
    prepare(dir)?;
    let hub_id = hex::encode(chance::bytes::<16>());
    let short = &hub_id[..8];
    let (server_ca, server_ca_key) = Authority::generate(&format!("tenwords server CA {short}"), now)?;
    let (box_ca, box_ca_key) = Authority::generate(&format!("tenwords box CA {short}"), now)?;
    let secret = HubSecret::random();
    write_new(dir, SERVER_CA, 0o644, server_ca.pem().as_bytes())?;
    write_new(dir, SERVER_CA_KEY, 0o600, server_ca_key.as_bytes())?;
    write_new(dir, BOX_CA, 0o644, box_ca.pem().as_bytes())?;
    write_new(dir, BOX_CA_KEY, 0o600, box_ca_key.as_bytes())?;
    let secret_text = Zeroizing::new(hex::encode(secret.expose_bytes()));
    write_new(dir, SECRET, 0o600, secret_text.as_bytes())?;

    let place = if request.database.is_some() { StorePlace::External } else { StorePlace::Embedded };
    let location = match request.database {
        Some(location) => location,
        None => {
            write_new(dir, DATABASE, 0o600, b"")?;
            Location::embedded(&dir.join(DATABASE))
        }
    };
    let store = Store::create(&location, &hub_id, now).await?;
    let token = Token::random();
    let admin = AddOperator { name: "admin".to_owned(), role: "admin", token_hash: secret.of_token(&token), now };
    let added = store.perform(admin).await;
    store.close().await;
    added?;

    let description = Description {
        format: FORMAT,
        hub_id: hub_id.clone(),
        made_at: now,
        store: place,
        names,
        public_agents: request.public_agents,
        server_ca_sha256: server_ca.spki_sha256(),
        box_ca_sha256: box_ca.spki_sha256(),
    };
    let text = json::to_vec(&description)
        .map_err(|error| InitError::Io { path: dir.join(DESCRIPTION), source: io::Error::other(error) })?;
    write_new(dir, DESCRIPTION, 0o600, &text)?;
    Ok(Made { hub_id, token, server_ca: dir.join(SERVER_CA) })
}

/// The names asked for, the one of the tickets, and those of the machine itself.
fn names(request: &Request) -> Result<Vec<String>, InitError> {
    let mut names = Vec::new();
    for name in &request.names {
        let plain = name.trim_start_matches('[').trim_end_matches(']');
        let address = plain.parse::<std::net::IpAddr>().is_ok();
        if !address && (name.contains(':') || name.parse::<HubAddress>().is_err()) {
            return Err(InitError::Name { name: name.clone() });
        }
        names.push(plain.to_owned());
    }
    if let Some(public) = &request.public_agents {
        names.push(public.host_and_port().0.to_owned());
    }
    if let Ok(host) = fs::read_to_string("/proc/sys/kernel/hostname") {
        let host = host.trim_end();
        if !host.contains(':') && host.parse::<HubAddress>().is_ok() {
            names.push(host.to_owned());
        }
    }
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

fn prepare(dir: &Path) -> Result<(), InitError> {
    let failed = |source| InitError::Io { path: dir.to_owned(), source };
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if dir.join(DESCRIPTION).exists() {
                return Err(InitError::Exists { path: dir.to_owned() });
            }
            if entries.next().is_some() {
                return Err(InitError::NotEmpty { path: dir.to_owned() });
            }
            fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file that must not exist, and its directory entry, to the disk.
fn write_new(dir: &Path, name: &str, mode: u32, bytes: &[u8]) -> Result<(), InitError> {
    let path = dir.join(name);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| InitError::Io { path: path.clone(), source })
}
