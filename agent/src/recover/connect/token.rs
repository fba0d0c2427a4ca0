//! A secret that a backup server takes no more: another one for the same token, asked for at the box.
//!
//! Server, certificate and the token's name are the root's. Only the secret may be another; another
//! token would be another identity, and that takes an order. What was given is used for this recovery,
//! put in place, and sealed by the closing ceremony. It goes to that server alone, and never to the hub.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, path::PathBuf, str::FromStr};

use pbs_driver::repository::AuthId;
use tenwords_escrow::{
    root::{Certificate, Source},
    secret::TokenSecret,
};
use tenwords_protocol::directive::Name;
use zeroize::Zeroizing;

use super::{Asked, Connecting, Kind};
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    seat::Seat,
    show::harmless,
    sources,
};

/// So often a secret is asked for.
const TRIES: usize = 3;

/// `ID=FILE`: where the secret of a source lies.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    source: Name,
    path: PathBuf,
}

/// Secrets by source.
#[derive(Default)]
pub(crate) struct Tokens(BTreeMap<Name, TokenSecret>);

impl FromStr for SourceFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (source, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or("ID=FILE was expected")?;
        Ok(Self { source: source.parse().map_err(|error| format!("{error}"))?, path: path.into() })
    }
}

impl Tokens {
    /// Reads the files that were named, before anybody is asked for words.
    pub(crate) fn read(files: &[SourceFile]) -> Outcome<Self> {
        let mut tokens = BTreeMap::new();
        for SourceFile { source, path } in files {
            let found = std::fs::metadata(path).or_stop(Code::Usage, || {
                format!("the secret of source {source} in {} cannot be read", path.display())
            })?;
            if found.is_file() && found.mode() & 0o077 != 0 {
                return Err(Stop::new(Code::Usage, format!("{} can be read by others", path.display()))
                    .remedy(format!("`chmod 600 {}`, then run the same command again", path.display())));
            }
            if tokens.insert(source.clone(), sources::read_token(path)?).is_some() {
                return Err(Stop::new(Code::Usage, format!("two files are named for the secret of source {source}")));
            }
        }
        Ok(Self(tokens))
    }

    pub(crate) fn get(&self, source: &Name) -> Option<&TokenSecret> {
        self.0.get(source)
    }

    /// Takes these in the place of those that a root had.
    pub(crate) fn put_into(&self, tokens: &mut BTreeMap<Name, TokenSecret>) {
        tokens.extend(self.0.iter().filter_map(|(source, secret)| Some((source.clone(), copy(secret.expose_text())?))));
    }

    /// Those that are for no source of the root.
    pub(super) fn unknown(&self, sources: &[Source]) -> Option<String> {
        let known = |id: &Name| sources.iter().any(|source| source.id == *id);
        let unknown: Vec<String> = self.0.keys().filter(|id| !known(id)).map(ToString::to_string).collect();
        let sources: Vec<String> = sources.iter().map(|source| source.id.to_string()).collect();
        (!unknown.is_empty()).then(|| {
            format!(
                "--source-token-file names {}, and the escrow's sources are {}: nothing was done with it",
                unknown.join(", "),
                sources.join(", ")
            )
        })
    }
}

impl<'a> Connecting<'_, 'a> {
    /// Takes another secret for a source whose own is taken no more: the one that was given for another
    /// source of the same token, the one from a file, or one that is typed.
    pub(super) fn another_secret(
        &self,
        asked: &mut Asked<'a>,
        given: &mut Tokens,
        taken: &mut Tokens,
        seat: &mut dyn Seat,
    ) -> Outcome<()> {
        let source = asked.source;
        let others = self.asking.root.facts().trust.sources.iter().filter(|other| is_same_token(source, other));
        let typed = others.filter_map(|other| taken.get(&other.id)?.expose_text().to_owned().into());
        let mut offered: Vec<Zeroizing<String>> = typed.map(Zeroizing::new).collect();
        offered.extend(given.get(&source.id).map(|secret| Zeroizing::new(secret.expose_text().to_owned())));
        // What the box itself has added since the ceremony: for the root's own server, as every other one.
        let added = self.asking.added_to(source).iter();
        offered.extend(added.map(|secret| Zeroizing::new(secret.expose_text().to_owned())));
        for text in offered {
            match secret_of(&text, source) {
                Ok(secret) if self.asking.is_taken(asked, &secret) => {
                    taken.0.insert(source.id.clone(), secret);
                    return Ok(());
                }
                Ok(_) => {}
                Err(why) => asked.advise(Kind::Secret, &why),
            }
        }
        if self.asks {
            self.ask_for_secret(asked, taken, seat)?;
        } else {
            let how = format!(
                "or give its secret with --source-token-file {}=FILE and run the same command again",
                source.id
            );
            asked.advise(Kind::Secret, &how);
        }
        Ok(())
    }

    fn ask_for_secret(&self, asked: &mut Asked<'a>, taken: &mut Tokens, seat: &mut dyn Seat) -> Outcome<()> {
        let (source, talk) = (asked.source, seat.talk());
        let server = format!("{}:{}", source.server, source.port);
        let certificate = match source.certificate {
            Certificate::Pinned(fingerprint) => fingerprint.to_string(),
            Certificate::WebPki => "web-pki".to_owned(),
        };
        if let Some(why) = asked.why(Kind::Secret) {
            seat.say(&format!("  {why}"));
        }
        seat.say(&(talk.secret_needed)(source.auth_id.as_str(), &server, &certificate));
        seat.say(&(talk.secret_command)(&anew(source)));
        for _ in 0..TRIES {
            let answer = match seat.ask_hidden(&(talk.secret_asked)(source.auth_id.as_str())) {
                Ok(answer) => answer,
                // This prompt alone is given up.
                Err(stop) if stop.code == Code::Interrupted && !interrupt::is_ending() && seat.is_taken().is_ok() => {
                    return Ok(());
                }
                Err(stop) => return Err(stop),
            };
            if answer.trim().is_empty() {
                return Ok(());
            }
            match secret_of(&answer, source) {
                Ok(secret) if self.asking.is_taken(asked, &secret) => {
                    taken.0.insert(source.id.clone(), secret);
                    return Ok(());
                }
                // What stands in its way is something else now.
                Ok(_) if !asked.is(Kind::Secret) => return Ok(()),
                Ok(_) => seat.say(&(talk.secret_refused)(&server)),
                Err(why) => seat.say(&format!("  {why}")),
            }
        }
        Ok(())
    }
}

/// The secret that a text gives for a source: alone, or behind the name of exactly its token.
fn secret_of(text: &str, source: &Source) -> Result<TokenSecret, String> {
    let text = text.trim();
    let none = || "this is no secret: it is one line of at most 1024 characters".to_owned();
    // `user@realm!token:secret`, `user@realm!token=secret`, or the name alone.
    let named = text.split_once([':', '=']).map_or((text, ""), |(name, secret)| (name, secret));
    let secret = match named.0.parse::<AuthId>() {
        Ok(id) if id.token().is_some() && named.0 != source.auth_id.as_str() => {
            return Err(format!(
                "{} is another token than {}: that another one is let in takes an operator's order `repoint` or a \
                 ceremony; give the secret of {}",
                harmless(named.0, 100),
                source.auth_id,
                source.auth_id
            ));
        }
        Ok(id) if id.token().is_some() => named.1,
        _ => text,
    };
    copy(secret.trim()).ok_or_else(none)
}

fn copy(text: &str) -> Option<TokenSecret> {
    TokenSecret::new(Zeroizing::new(text.to_owned())).ok()
}

/// Whether two sources are asked as the same token of the same server.
fn is_same_token(one: &Source, other: &Source) -> bool {
    let place = |source: &Source| {
        (source.server.to_string(), source.port, source.auth_id.to_string(), sources::written_certificate(source))
    };
    place(one) == place(other)
}

/// What makes a token a new secret, on the server itself.
fn anew(source: &Source) -> String {
    let id = source.auth_id.as_str();
    match id.split_once('!') {
        Some((user, token)) => format!(
            "proxmox-backup-manager user delete-token {user} {token}; proxmox-backup-manager user generate-token {user} \
             {token}; proxmox-backup-manager acl update /datastore/{} DatastoreBackup --auth-id '{id}'",
            source.datastore
        ),
        None => format!("proxmox-backup-manager user update {id} --password …"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{super::made, *};

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn source(id: &str) -> Result<Source, Box<dyn std::error::Error>> {
        Ok(Source { id: id.parse()?, namespace: None, ..made::source("pbs.example")? })
    }

    #[test]
    fn only_the_secret_may_be_another_and_never_the_token() -> Tested {
        let source = source("pbs")?;
        let secret = "6ae6fdf0-9e2a-4b52-8a3e-111111111111";
        for text in [
            secret.to_owned(),
            format!(" {secret}\r"),
            format!("backup@pbs!box1:{secret}"),
            format!("backup@pbs!box1={secret}"),
        ] {
            assert_eq!(secret_of(&text, &source)?.expose_text(), secret, "{text}");
        }
        for text in [
            format!("backup@pbs!box2:{secret}"),
            format!("admin@pbs!box1={secret}"),
            "backup@pbs!box2".to_owned(),
            "backup@pbs!box1:".to_owned(),
            "backup@pbs!box1".to_owned(),
            String::new(),
            "x".repeat(1025),
        ] {
            let refused = secret_of(&text, &source).map(|_| ());
            assert!(refused.is_err(), "{text}");
            assert!(refused.is_err_and(|why| !why.contains(secret)), "the secret is told");
        }
        assert!(secret_of("backup@pbs!box2", &source).is_err_and(|why| why.contains("repoint")));
        Ok(())
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused_before_the_words() -> Tested {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("secret");
        std::fs::write(&path, "one\n")?;
        let read = |mode: u32| -> Result<Outcome<Tokens>, Box<dyn std::error::Error>> {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
            let file: SourceFile = format!("pbs={}", path.display()).parse()?;
            Ok(Tokens::read(&[file]))
        };
        for mode in [0o644, 0o640, 0o604] {
            assert_eq!(read(mode)?.err().map(|stop| stop.code), Some(Code::Usage), "{mode:o}");
        }
        let tokens = read(0o600)?.map_err(|stop| stop.what)?;
        assert_eq!(tokens.get(&"pbs".parse()?).map(TokenSecret::expose_text), Some("one"));
        let unknown = tokens.unknown(&[source("other")?]).unwrap_or_default();
        assert!(unknown.contains("names pbs") && unknown.contains("other"), "{unknown}");
        assert!(tokens.unknown(&[source("pbs")?]).is_none());
        for text in ["pbs", "=x", "pbs=", "a/b=x"] {
            assert!(text.parse::<SourceFile>().is_err(), "{text}");
        }
        Ok(())
    }
}
