//! Where a box's backups lie: `[[user@realm[!token]@]host[:port]:]datastore`, and who asks.
//!
//! Everything here becomes a word on a command line or a line of an environment, so the parsers take
//! what PBS takes (`formats.md` §6.1, §11.3) and nothing that could be read as an option, a second
//! line or another host. Nothing here connects.

use std::{fmt, net::Ipv6Addr, str::FromStr};

pub use pbs_format::datastore::Namespace;
use thiserror::Error;

/// A user, or a token of a user: `backup@pbs`, `backup@pbs!box1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthId {
    user: String,
    token: Option<String>,
}

/// A host as PBS's client takes it: a name, an IPv4 address, or an IPv6 address (written in brackets).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

/// Server, port, datastore, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    auth_id: AuthId,
    host: Host,
    port: u16,
    datastore: String,
}

/// Which part of a repository is not as PBS takes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// Not `user@realm` or `user@realm!token`.
    #[error("\"{0}\" is not a user or token (user@realm or user@realm!token)")]
    AuthId(String),
    /// Letters, digits, `.`, `_`, `-`; 3 to 32 of them.
    #[error("\"{0}\" is not the name of a datastore")]
    Datastore(String),
    /// Neither a name nor an address.
    #[error("\"{0}\" is not a host name or address (an IPv6 address is written in brackets)")]
    Host(String),
    /// Over 256 characters.
    #[error("a repository has at most 256 characters, this one has {0}")]
    Length(usize),
    /// Not 1 to 65535.
    #[error("\"{0}\" is not a port")]
    Port(String),
}

impl AuthId {
    /// `user@realm`.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The token's name, if it is a token.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }
}

impl fmt::Display for AuthId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        match &self.token {
            Some(token) => write!(f, "!{token}"),
            None => Ok(()),
        }
    }
}

impl FromStr for AuthId {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        let bad = || RepositoryError::AuthId(text.to_owned());
        let (user, token) = match text.split_once('!') {
            Some((user, token)) => (user, Some(token)),
            None => (text, None),
        };
        // The realm follows the last @: a name may hold one (formats.md §11.3, `user@ad.example@ad`).
        let (name, realm) = user.rsplit_once('@').ok_or_else(bad)?;
        let name_is_fine = !name.is_empty()
            && !name.starts_with('-')
            && name.chars().all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, ':' | '/'));
        if !name_is_fine || !is_safe_id(realm) || !token.is_none_or(is_safe_id) || text.len() > MAX_TEXT {
            return Err(bad());
        }
        Ok(Self { user: user.to_owned(), token: token.map(str::to_owned) })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ipv6() { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

impl Host {
    /// Without brackets.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    fn is_ipv6(&self) -> bool {
        self.0.contains(':')
    }
}

impl FromStr for Host {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        let bad = || RepositoryError::Host(text.to_owned());
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return inner.parse::<Ipv6Addr>().map(|_| Self(inner.to_owned())).map_err(|_| bad());
        }
        let label_is_fine = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if text.len() <= 253 && text.split('.').all(label_is_fine) { Ok(Self(text.to_owned())) } else { Err(bad()) }
    }
}

impl Repository {
    /// The port that PBS listens on unless told otherwise.
    pub const DEFAULT_PORT: u16 = 8007;

    /// Puts checked parts together.
    ///
    /// # Errors
    /// [`RepositoryError`] for the datastore's name, port 0, or too long a whole.
    pub fn new(auth_id: AuthId, host: Host, port: u16, datastore: &str) -> Result<Self, RepositoryError> {
        if port == 0 {
            return Err(RepositoryError::Port("0".to_owned()));
        }
        if !is_safe_id(datastore) || !(3..=32).contains(&datastore.len()) {
            return Err(RepositoryError::Datastore(datastore.to_owned()));
        }
        let repository = Self { auth_id, host, port, datastore: datastore.to_owned() };
        match repository.to_string().len() {
            length if length > MAX_TEXT => Err(RepositoryError::Length(length)),
            _ => Ok(repository),
        }
    }

    /// As whom.
    #[must_use]
    pub fn auth_id(&self) -> &AuthId {
        &self.auth_id
    }

    /// The server.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The datastore on it.
    #[must_use]
    pub fn datastore(&self) -> &str {
        &self.datastore
    }
}

/// All parts, defaults included, so that the client has nothing to fill in.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}:{}", self.auth_id, self.host, self.port, self.datastore)
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        if text.len() > MAX_TEXT {
            return Err(RepositoryError::Length(text.len()));
        }
        let (rest, datastore) = match text.rsplit_once(':') {
            Some((rest, datastore)) => (Some(rest), datastore),
            None => (None, text),
        };
        let (auth_id, place) = match rest {
            None => (None, None),
            Some(rest) => match rest.rsplit_once('@') {
                Some((auth_id, place)) => (Some(auth_id.parse()?), Some(place)),
                None => (None, Some(rest)),
            },
        };
        let (host, port) = match place {
            None => ("localhost", Self::DEFAULT_PORT),
            Some(place) => match place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
                Some((host, port)) => (host, parse_port(port)?),
                None => (place, Self::DEFAULT_PORT),
            },
        };
        let auth_id = auth_id.unwrap_or_else(|| AuthId { user: "root@pam".to_owned(), token: None });
        Self::new(auth_id, host.parse()?, port, datastore)
    }
}

/// PBS's "safe id": `[A-Za-z0-9_][A-Za-z0-9._-]*`.
fn is_safe_id(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn parse_port(text: &str) -> Result<u16, RepositoryError> {
    let bad = || RepositoryError::Port(text.to_owned());
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    text.parse().map_err(|_| bad())
}

const MAX_TEXT: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn safe_id(longest: usize) -> impl Strategy<Value = String> {
        prop::string::string_regex(&format!("[A-Za-z0-9_][A-Za-z0-9._-]{{2,{}}}", longest - 1))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn host() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z0-9]{1,10}){0,3}",
            any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
            any::<Ipv6Addr>().prop_map(|address| format!("[{address}]")),
        ]
    }

    proptest! {
        /// Each part is found again, whichever of the others are left out.
        #[test]
        fn the_parts_of_a_repository_are_found_again(
            name in "[^\\s:/!\\pC-][^\\s:/!\\pC]{0,20}", realm in safe_id(10), token in prop::option::of(safe_id(12)),
            host in host(), port in prop::option::of(1_u16..), store in safe_id(32), parts in 0..3,
        ) {
            let mut user = format!("{name}@{realm}");
            if let Some(token) = &token {
                user += &format!("!{token}");
            }
            let place = port.map_or(host.clone(), |port| format!("{host}:{port}"));
            let text = match parts {
                0 => store.clone(),
                1 => format!("{place}:{store}"),
                _ => format!("{user}@{place}:{store}"),
            };
            let repository: Repository = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            prop_assert_eq!(repository.datastore(), &store);
            let (host, port) = if parts == 0 { ("localhost".to_owned(), None) } else { (host, port) };
            prop_assert_eq!(repository.host().to_string(), host);
            prop_assert_eq!(repository.port(), port.unwrap_or(8007));
            let user = if parts < 2 { "root@pam".to_owned() } else { user };
            prop_assert_eq!(repository.auth_id().to_string(), user);
            prop_assert_eq!(repository.to_string().parse::<Repository>(), Ok(repository));
        }

        /// Whatever is taken is one word without an option's dash or a second line, and means one thing.
        #[test]
        fn what_is_taken_is_a_harmless_word_that_means_one_thing(text in "[a-z0-9@!:.%\\[\\]\\-_/ \\n\u{e9}]{0,40}|\\PC{0,300}") {
            if let Ok(repository) = text.parse::<Repository>() {
                let whole = repository.to_string();
                prop_assert!(whole.len() <= 256 && text.len() <= 256);
                prop_assert!(!whole.starts_with('-') && !whole.contains(|c: char| c.is_whitespace() || c.is_control()));
                prop_assert_eq!(whole.rsplit(':').next(), Some(repository.datastore()));
                prop_assert_eq!(whole.parse::<Repository>(), Ok(repository));
            }
        }
    }

    /// An interface's zone (`%eth0`) is in no pattern of PBS's: its client would not take it either.
    #[test]
    fn a_zone_is_refused_and_a_length_of_256_is_not() {
        for bad in ["u@pbs@[fe80::1%eth0]:store", "[fe80::1%251]:store", "fe80::1%eth0:store"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        let with = |length: usize| format!("{}@pbs@pbs.example:8007:store", "u".repeat(length)).parse::<Repository>();
        let fixed = "@pbs@pbs.example:8007:store".len();
        assert_eq!(with(256 - fixed).map(|repository| repository.to_string().len()), Ok(256));
        assert!(with(257 - fixed).is_err());
    }

    #[test]
    fn a_repository_is_taken_apart_as_the_client_takes_it_apart() -> Result<(), RepositoryError> {
        for (given, whole) in [
            ("store", "root@pam@localhost:8007:store"),
            ("pbs:store", "root@pam@pbs:8007:store"),
            ("pbs:8008:store", "root@pam@pbs:8008:store"),
            ("backup@pbs!box1@pbs.example:8008:store", "backup@pbs!box1@pbs.example:8008:store"),
            ("backup@pbs!box1@127.0.0.1:8007:store", "backup@pbs!box1@127.0.0.1:8007:store"),
            ("u@pbs@[fe80::1]:store", "u@pbs@[fe80::1]:8007:store"),
            ("u@pbs!t@[2001:db8::1]:443:store", "u@pbs!t@[2001:db8::1]:443:store"),
            ("jo@example.org@ad@pbs:store", "jo@example.org@ad@pbs:8007:store"),
        ] {
            let repository: Repository = given.parse()?;
            assert_eq!(repository.to_string(), whole, "{given}");
            assert_eq!(whole.parse::<Repository>()?, repository, "{given}");
        }
        Ok(())
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        for bad in [
            "",
            ":store",
            "pbs:",
            "pbs:st",
            "a b",
            "pbs:0:store",
            "pbs:65536:store",
            "pbs:+80:store",
            "nonsense!!@@",
            "backup@pbs!@pbs:store",
            "@pbs:store",
            "-u@pbs@pbs:store",
            "-pbs:store",
            "pbs:-store",
            "u@pbs@fe80::1:store",
            "[fe80::1:store",
            "pbs:store\n",
            "pbs/x:store",
            "u\n@pbs@h:store",
            "u@pbs@[fe80::1%eth0]:store",
            "pbs:../../etc",
            // PBS's pattern for a host (proxmox-schema, DNS_NAME_STR) has none of these.
            "my_pbs:store",
            "pbs..example:store",
            ".pbs:store",
        ] {
            assert!(bad.parse::<Repository>().is_err(), "{bad:?} was taken");
        }
        assert!(format!("{}:store", "h".repeat(300)).parse::<Repository>().is_err());
    }
}
