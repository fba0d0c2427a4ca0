//! Sources in the agent's own settings: a `[[source]]`, and its key and token beside it.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use pbs_format::key::KeyFile;
use serde::Serialize;
use tenwords_escrow::{
    root::{KeptIn, Source},
    secret::TokenSecret,
};
use tenwords_protocol::{directive::Name, fingerprint::Fingerprint, hash::Sha256};
use zeroize::Zeroizing;

use super::{
    Installed, LIMIT, ToInstall,
    other::{May, OtherKey, Replacing},
};
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    recover::report::Missing,
    settings::{Configuration, Settings, SourceSettings},
    sources,
};

enum Found {
    Nothing,
    TheSame,
    /// These bytes: another key, or none that can be used.
    Another(Zeroizing<Vec<u8>>, Option<Fingerprint>),
    Unreadable(io::Error),
}

/// Puts these sources into the settings.
pub(super) fn put(
    installed: &mut Installed,
    configuration: &Configuration,
    sources: &[&ToInstall<'_>],
    replacing: &Replacing<'_>,
) {
    let mut added = Vec::new();
    for item in sources {
        let id = &item.source.id;
        let configured = configuration.settings.sources.iter().find(|source| source.id == *id);
        if configured.is_some_and(|configured| !is_same(configured, item.source)) {
            installed.missing.push(Missing {
                what: format!("source {id}"),
                why: "this machine's configuration names another repository or certificate under this id".to_owned(),
                remedy:
                    "an operator's order to repoint decides that; or rename the source in the configuration, and run \
                         the same command again"
                        .to_owned(),
                waits_for_order: true,
            });
            continue;
        }
        let [key_path, token_path] = places(configuration, configured, id);
        let key = put_key(installed, id, &item.key.key_file(), item.key.fingerprint(), &key_path, replacing);
        installed.report(key, || format!("key of source {id}"));
        if let Some(token) = item.token {
            let token = put_token(installed, id, token, &token_path);
            installed.report(token, || format!("token of source {id}"));
        }
        if configured.is_none() {
            added.push(SourceSettings {
                id: id.clone(),
                repository: sources::written_repository(item.source),
                namespace: item.source.namespace.clone(),
                certificate: sources::written_certificate(item.source),
                key_file: key_path,
                token_file: token_path,
                restore_paths: item.restore_paths.clone(),
            });
        }
    }
    let added = add_sources(configuration, added, installed);
    installed.report(added, || format!("sources in {}", configuration.path.display()));
}

/// Where a source's key and token are.
fn places(configuration: &Configuration, configured: Option<&SourceSettings>, id: &Name) -> [PathBuf; 2] {
    match configured {
        Some(source) => [source.key_file.clone(), source.token_file.clone()],
        None => [
            configuration.folder().join("keys").join(format!("{id}.enc")),
            configuration.folder().join("tokens").join(id.as_str()),
        ],
    }
}

/// The other key that stands in the place of this source's own.
pub(super) fn other_key(configuration: &Configuration, item: &ToInstall<'_>) -> Option<OtherKey> {
    let id = &item.source.id;
    let configured = configuration.settings.sources.iter().find(|source| source.id == *id);
    if configured.is_some_and(|configured| !is_same(configured, item.source)) {
        return None;
    }
    let [path, _] = places(configuration, configured, id);
    match found_key(&path, item.key.fingerprint()) {
        Found::Another(text, there) => OtherKey::new(id, &path, there, Sha256::of(&text), item.key.fingerprint()),
        Found::Nothing | Found::TheSame | Found::Unreadable(_) => None,
    }
}

fn put_key(
    installed: &mut Installed,
    id: &Name,
    file: &KeyFile,
    wanted: Fingerprint,
    path: &Path,
    replacing: &Replacing<'_>,
) -> Outcome<()> {
    let cannot = || format!("cannot write the key to {}", path.display());
    let missing = |what: String| Missing {
        what: format!("key of source {id} at {}", path.display()),
        why: format!("{what} is there; the escrow's key is {}", wanted.short()),
        remedy: format!(
            "it is not replaced; move {} aside if you know that it is not needed, and run the same command again",
            path.display()
        ),
        waits_for_order: false,
    };
    match found_key(path, wanted) {
        Found::TheSame => {
            installed.notes.push(format!("{} holds the right key already", path.display()));
            installed.keys.insert(id.clone(), path.to_owned());
        }
        Found::Another(text, there) => match replacing.may(path, there, &text, wanted)? {
            May::Replace(sha256, kept) => {
                // As late as can be: what is replaced is what the order named, and what was kept.
                match found_key(path, wanted) {
                    Found::Another(text, _) if Sha256::of(&text) == sha256 => {}
                    _ => {
                        return Err(Stop::new(Code::Preflight, format!("{} has changed meanwhile", path.display()))
                            .remedy("run the same command again: it asks for another order"));
                    }
                }
                durable::replace("key-file", path, 0o600, &file.to_json()).or_stop(Code::Internal, cannot)?;
                installed.replaced(path, &kept);
                installed.paths.push(path.to_owned());
                installed.keys.insert(id.clone(), path.to_owned());
            }
            May::Wait => {}
            May::No => installed.missing.push(missing(match there {
                Some(there) => format!("another key ({})", there.short()),
                None => "something that is no plain key file".to_owned(),
            })),
        },
        Found::Unreadable(error) => installed.missing.push(missing(format!("something that cannot be read ({error})"))),
        Found::Nothing => {
            if let Some(parent) = path.parent() {
                durable::folder(parent, 0o700).or_stop(Code::Internal, cannot)?;
            }
            durable::create("key-file", path, 0o600, &file.to_json()).or_stop(Code::Internal, cannot)?;
            installed.paths.push(path.to_owned());
            installed.keys.insert(id.clone(), path.to_owned());
        }
    }
    Ok(())
}

fn found_key(path: &Path, wanted: Fingerprint) -> Found {
    let bytes = match durable::read_limited(path, LIMIT) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return Found::Unreadable(error),
    };
    match KeyFile::parse(&bytes).and_then(|file| file.open(None)) {
        Ok(key) if key.fingerprint() == wanted => Found::TheSame,
        Ok(key) => Found::Another(bytes, Some(key.fingerprint())),
        Err(_) => Found::Another(bytes, None),
    }
}

fn put_token(installed: &mut Installed, id: &Name, token: &TokenSecret, path: &Path) -> Outcome<()> {
    let mut line = Zeroizing::new(String::with_capacity(token.expose_text().len() + 1));
    line.push_str(token.expose_text());
    line.push('\n');
    match durable::read_limited(path, LIMIT).map(Zeroizing::new) {
        Ok(bytes) if bytes.trim_ascii_end() == line.trim_ascii_end().as_bytes() => {
            installed.tokens.insert(id.clone(), path.to_owned());
        }
        Ok(_) => installed
            .notes
            .push(format!("{} holds another token secret than the escrow; it was left as it is", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let cannot = || format!("cannot write the token of source {id} to {}", path.display());
            if let Some(parent) = path.parent() {
                durable::folder(parent, 0o700).or_stop(Code::Internal, cannot)?;
            }
            durable::create("token-file", path, 0o600, line.as_bytes()).or_stop(Code::Internal, cannot)?;
            installed.paths.push(path.to_owned());
            installed.tokens.insert(id.clone(), path.to_owned());
        }
        Err(error) => {
            return Err(Stop::new(Code::Internal, format!("cannot look at {}", path.display())).because(error));
        }
    }
    Ok(())
}

/// Whether a configured source is this one, wherever the lost box kept it.
fn is_same(configured: &SourceSettings, source: &Source) -> bool {
    sources::is_same(configured, &Source { kept_in: KeptIn::Settings, ..source.clone() })
}

/// Adds `[[source]]` entries at the end of the configuration; what stands there keeps its text.
fn add_sources(configuration: &Configuration, added: Vec<SourceSettings>, installed: &mut Installed) -> Outcome<()> {
    #[derive(Serialize)]
    struct Entries {
        source: Vec<SourceSettings>,
    }
    if added.is_empty() {
        return Ok(());
    }
    let path = &configuration.path;
    let cannot = || format!("cannot add the sources to {}", path.display());
    let mut text = match durable::read_limited(path, LIMIT) {
        Ok(bytes) => String::from_utf8(bytes).or_stop(Code::Internal, cannot)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Stop::new(Code::Internal, cannot()).because(error)),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let entries = toml::to_string(&Entries { source: added }).or_stop(Code::Internal, cannot)?;
    text.push_str("\n# Put here by `tenwords-agent recover`.\n");
    text.push_str(&entries);
    // A configuration that could not be read again would stop every later command.
    toml::from_str::<Settings>(&text).or_stop(Code::Preflight, cannot)?;
    durable::folder(configuration.folder(), 0o755).or_stop(Code::Internal, cannot)?;
    // A link keeps leading where it led, and the file keeps its mode.
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    let mode = std::fs::metadata(&real).map_or(0o644, |found| found.permissions().mode() & 0o777);
    durable::replace("configuration", &real, mode, text.as_bytes()).or_stop(Code::Internal, cannot)?;
    installed.paths.push(path.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use pbs_format::key::EncryptionKey;

    use super::*;

    #[test]
    fn keys_go_into_empty_places_and_never_over_another() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("keys/pbs.enc");
        let id: Name = "pbs".parse()?;
        let put = |key: [u8; 32]| {
            let key = EncryptionKey::from_bytes(Zeroizing::new(key));
            let mut installed = Installed::default();
            put_key(&mut installed, &id, &KeyFile::plain(&key, 1, 2), key.fingerprint(), &path, &Replacing::nothing())
                .map(|()| installed)
                .map_err(|stop| stop.what)
        };
        assert_eq!(put([7; 32])?.paths, std::slice::from_ref(&path));
        assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        let written = std::fs::read(&path)?;
        let second = put([7; 32])?;
        assert!(second.paths.is_empty() && second.missing.is_empty());
        let third = put([8; 32])?;
        assert!(third.paths.is_empty() && third.missing.len() == 1 && !third.missing[0].waits_for_order);
        assert_eq!(std::fs::read(&path)?, written);
        Ok(())
    }

    #[test]
    fn a_token_that_stands_there_is_left_as_it_is() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("tokens/pbs");
        let id: Name = "pbs".parse()?;
        let put = |secret: &str| {
            let token = TokenSecret::new(Zeroizing::new(secret.to_owned())).map_err(|error| error.to_string())?;
            let mut installed = Installed::default();
            put_token(&mut installed, &id, &token, &path).map(|()| installed).map_err(|stop| stop.what)
        };
        assert_eq!(put("one")?.paths, std::slice::from_ref(&path));
        assert!(put("one")?.notes.is_empty());
        assert_eq!(put("two")?.notes.len(), 1);
        assert_eq!(std::fs::read(&path)?, b"one\n");
        Ok(())
    }
}
