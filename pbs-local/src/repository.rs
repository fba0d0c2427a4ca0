//! Where a datastore is: `[[auth-id@]host[:port]:]datastore`, or a path.
//!
//! User, host and port are read and shown as the client does, and lead nowhere: the datastore's name
//! is looked up below `--root`. A text that begins with `/`, `./` or `../` is the datastore's folder
//! itself, and then nobody asks for a token.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{environment, error::Error};

/// A repository as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repository {
    Named { auth_id: Option<AuthId>, host: Option<String>, port: Option<u16>, store: String },
    Folder(PathBuf),
}

/// `user@realm` or `user@realm!token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthId(String);

impl AuthId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (user, rest) = text.split_once('@')?;
        let (realm, token) = match rest.split_once('!') {
            Some((realm, token)) => (realm, Some(token)),
            None => (rest, None),
        };
        let user_fits =
            !user.is_empty() && !user.contains(|c: char| c.is_whitespace() || c.is_control() || ":/".contains(c));
        (user_fits && is_safe(realm) && token.is_none_or(is_safe)).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_token(&self) -> bool {
        self.0.contains('!')
    }
}

impl Repository {
    /// From `--repository`, else from `PBS_REPOSITORY`. `None` where neither is given.
    pub(crate) fn given(option: Option<&str>, refuse: impl Fn(&str) -> Error) -> Result<Option<Self>, Error> {
        if let Some(text) = option {
            let parsed = Self::parse(text);
            return parsed.map(Some).ok_or_else(|| refuse("value does not match the regex pattern"));
        }
        match environment::setting("PBS_REPOSITORY") {
            None => Ok(None),
            Some(text) => Self::parse(&text).map(Some).ok_or(Error::BadRepository { text }),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if ["/", "./", "../"].iter().any(|start| text.starts_with(start)) {
            return Some(Self::Folder(PathBuf::from(text)));
        }
        if text.len() > 256 {
            return None;
        }
        let (rest, store) = match text.rsplit_once(':') {
            Some((rest, store)) => (Some(rest), store),
            None => (None, text),
        };
        if !is_safe(store) || !(3..=32).contains(&store.len()) {
            return None;
        }
        let Some(rest) = rest else {
            return Some(Self::Named { auth_id: None, host: None, port: None, store: store.to_owned() });
        };
        let (auth_id, address) = match rest.rsplit_once('@') {
            Some((auth_id, address)) => (Some(AuthId::parse(auth_id)?), address),
            None => (None, rest),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (address, None),
        };
        let port = match port {
            Some(port) if (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok()?)
            }
            Some(_) => return None,
            None => None,
        };
        is_host(host).then(|| Self::Named { auth_id, host: Some(host.to_owned()), port, store: store.to_owned() })
    }

    /// The datastore's folder.
    pub(crate) fn folder(&self, root: Option<&Path>) -> Result<PathBuf, Error> {
        match (self, root) {
            (Self::Folder(path), _) => Ok(path.clone()),
            (Self::Named { store, .. }, Some(root)) => Ok(root.join(store)),
            (Self::Named { store, .. }, None) => Err(Error::NoRoot { store: store.clone() }),
        }
    }

    /// The datastore's name, for messages.
    pub(crate) fn store(&self) -> String {
        match self {
            Self::Named { store, .. } => store.clone(),
            Self::Folder(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }

    /// Who speaks; `root@pam` where nobody is named.
    pub(crate) fn auth_id(&self) -> AuthId {
        match self {
            Self::Named { auth_id: Some(auth_id), .. } => auth_id.clone(),
            _ => AuthId("root@pam".to_owned()),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Named { auth_id, host, port, store } => {
                let name = host.as_deref().unwrap_or("localhost");
                match (auth_id, host, port) {
                    (Some(auth_id), _, port) => write!(f, "{}@{name}:{}:{store}", auth_id.0, port.unwrap_or(8007)),
                    (None, _, Some(port)) => write!(f, "{name}:{port}:{store}"),
                    (None, Some(_), None) => write!(f, "{name}:{store}"),
                    (None, None, None) => f.write_str(store),
                }
            }
        }
    }
}

/// `formats.md` §6.1: `[A-Za-z0-9_][A-Za-z0-9._\-]*`.
pub(crate) fn is_safe(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !text.is_empty()
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_repository() {
        for (text, shown) in [
            ("store", "store"),
            ("pbs:store", "pbs:store"),
            ("pbs.example:8008:store", "pbs.example:8008:store"),
            ("backup@pbs!box1@127.0.0.1:8007:store", "backup@pbs!box1@127.0.0.1:8007:store"),
            ("u@pbs@[fe80::1]:store", "u@pbs@[fe80::1]:8007:store"),
            ("[fe80::1]:store", "[fe80::1]:store"),
            ("/mnt/disk/store", "/mnt/disk/store"),
        ] {
            assert_eq!(Repository::parse(text).map(|repository| repository.to_string()), Some(shown.to_owned()));
        }
        for text in
            ["", "ab", "a b", "nonsense!!@@", "pbs:80080080:store", "u@pbs!@pbs:store", "pbs:../store", "-x:store"]
        {
            assert_eq!(Repository::parse(text), None, "{text}");
        }
    }
}
