//! Where a box backs up to: from its configuration into the root, and from the root to a connection.

mod of_box;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use pbs_driver::{
    Access, Certificate as Pin, Client, DriverError, Failure, PrivateDir, Repository, repository::Namespace,
};
use tenwords_escrow::{
    root::{Certificate, KeptIn, RestorePath, Source, Trust},
    secret::TokenSecret,
};
use tenwords_protocol::{
    directive::{Group, Name},
    fingerprint::Fingerprint,
};
use zeroize::Zeroizing;

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    recover::plan::chain,
    settings::{Settings, SourceSettings},
};

pub(crate) use of_box::{BoxSource, BoxSources, Place, State, is_absent, node, of_box, stop_of_pve};

const TOKEN_LIMIT: u64 = 4 << 10;

/// The client named in the settings, with its private folder.
pub(crate) fn client(settings: &Settings) -> Outcome<Client> {
    client_at(settings, settings.client.clone())
}

/// The same with another program in its place.
pub(crate) fn client_at(settings: &Settings, program: PathBuf) -> Outcome<Client> {
    let private = private(settings)?;
    if !program.is_file() {
        return Err(Stop::new(Code::Preflight, format!("there is no {}", program.display())).remedy(
            "install the package proxmox-backup-client, or name the program in the configuration (client = \"…\")",
        ));
    }
    Client::new(program.clone(), private)
        .or_stop(Code::Usage, || format!("the client {} cannot be used", program.display()))
}

/// The private folder, in which children work.
pub(crate) fn private(settings: &Settings) -> Outcome<PrivateDir> {
    PrivateDir::open_or_create(&settings.runtime).map_err(|error| {
        let remedy = error.remedy();
        Stop::new(Code::Preflight, format!("the private folder {} cannot be used", settings.runtime.display()))
            .remedy(remedy)
            .because(error)
    })
}

/// The facts that the root keeps of a configured source.
fn facts(source: &SourceSettings, key_fingerprint: Fingerprint) -> Outcome<Source> {
    let Place { repository, namespace, certificate } = Place::of_settings(source)?;
    fact(&source.id, &repository, &namespace, certificate, key_fingerprint, KeptIn::Settings)
}

/// The same of a source wherever it is kept.
fn fact(
    id: &Name,
    repository: &Repository,
    namespace: &Namespace,
    pin: Pin,
    key_fingerprint: Fingerprint,
    kept_in: KeptIn,
) -> Outcome<Source> {
    let odd = || format!("source {id}: `{repository}` has a part that cannot be kept");
    let namespace = match namespace.is_root() {
        true => None,
        false => Some(namespace.to_string().parse().or_stop(Code::Usage, odd)?),
    };
    Ok(Source {
        id: id.clone(),
        server: repository.host().name().parse().or_stop(Code::Usage, odd)?,
        port: repository.port().try_into().or_stop(Code::Usage, odd)?,
        datastore: repository.datastore().parse().or_stop(Code::Usage, odd)?,
        namespace,
        certificate: match pin {
            Pin::Pinned(fingerprint) => Certificate::Pinned(fingerprint),
            Pin::WebPki => Certificate::WebPki,
        },
        auth_id: repository.auth_id().to_string().parse().or_stop(Code::Usage, odd)?,
        key_fingerprint,
        kept_in,
    })
}

/// How a source is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its server, by the certificate that the root names.
    Server,
    /// Its datastore's folder, through a program that reads it: nobody shows a certificate there.
    Folder,
}

/// A connection to a source of the root, with its secret.
pub(crate) fn access(source: &Source, token: &TokenSecret) -> Outcome<Access> {
    access_in(source, None, token, Way::Server)
}

/// The same, in another namespace of that source.
pub(crate) fn access_in(source: &Source, namespace: Option<&str>, token: &TokenSecret, way: Way) -> Outcome<Access> {
    let wrong = || format!("source {} of the escrow is not understood", source.id);
    let repository: Repository = written_repository(source).parse().or_stop(Code::GateRefused, wrong)?;
    let own = source.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
    let namespace: Namespace = namespace.unwrap_or(&own).parse().or_stop(Code::GateRefused, wrong)?;
    let pin = match (way, source.certificate) {
        (Way::Server, Certificate::Pinned(fingerprint)) => Pin::Pinned(fingerprint),
        (Way::Server, Certificate::WebPki) | (Way::Folder, _) => Pin::WebPki,
    };
    let secret = Zeroizing::new(token.expose_text().to_owned());
    Access::new(repository, namespace, secret, pin).or_stop(Code::GateRefused, wrong)
}

/// The repository as the client and our configuration write it.
pub(crate) fn written_repository(source: &Source) -> String {
    let server = source.server.as_str();
    let host = if server.contains(':') { format!("[{server}]") } else { server.to_owned() };
    format!("{}@{host}:{}:{}", source.auth_id, source.port, source.datastore)
}

/// How the configuration writes a source's certificate.
pub(crate) fn written_certificate(source: &Source) -> String {
    match source.certificate {
        Certificate::Pinned(fingerprint) => fingerprint.to_string(),
        Certificate::WebPki => "web-pki".to_owned(),
    }
}

/// A token's secret: the file's one line.
pub(crate) fn read_token(path: &Path) -> Outcome<TokenSecret> {
    let what = || format!("the token's secret in {} cannot be read", path.display());
    let bytes = Zeroizing::new(durable::read_limited(path, TOKEN_LIMIT).or_stop(Code::Preflight, what)?);
    let text = std::str::from_utf8(&bytes).or_stop(Code::Preflight, what)?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    TokenSecret::new(Zeroizing::new(line.to_owned())).map_err(|error| {
        Stop::new(Code::Preflight, what())
            .remedy("put the secret alone on one line of that file, mode 0600")
            .because(error)
    })
}

fn repository(source: &SourceSettings) -> Outcome<Repository> {
    source.repository.parse().or_stop(Code::Usage, || {
        format!(
            "source {}: `{}` is not a repository ([[user[!token]@]host[:port]:]datastore)",
            source.id, source.repository
        )
    })
}

fn certificate(source: &SourceSettings) -> Outcome<Pin> {
    match source.certificate.as_str() {
        "web-pki" => Ok(Pin::WebPki),
        pin => pin.to_ascii_lowercase().parse().map(Pin::Pinned).or_stop(Code::Usage, || {
            format!("source {}: certificate is neither \"web-pki\" nor a SHA-256 fingerprint with colons", source.id)
        }),
    }
}

/// What a source's failure means for a person.
pub(crate) fn stop_of(source: &Source, error: &DriverError) -> Stop {
    let code = match error.failure() {
        Some(Failure::Unreachable { .. } | Failure::TimedOut { .. }) => Code::Unreachable,
        Some(Failure::NotAuthorised { .. }) => Code::NotAuthorised,
        _ => Code::Preflight,
    };
    let server = format!("{}:{}", source.server, source.port);
    let stop = Stop::new(code, format!("source {} at {server}: {}", source.id, chain(error)));
    let step = match written_repository(source).parse::<Repository>() {
        Ok(repository) => error.next_step_at(&repository),
        Err(_) => error.next_step().map(str::to_owned),
    };
    match step {
        Some(step) => stop.remedy(step),
        None => stop,
    }
}

/// The paths to which archives of this source may go back: `"host/box1/data.pxar" = "/srv/data"`.
pub(crate) fn restore_paths(source: &SourceSettings) -> Outcome<Vec<RestorePath>> {
    source
        .restore_paths
        .iter()
        .map(|(archive, path)| {
            let odd = || {
                format!(
                    "source {}: restore_paths: \"{archive}\" = \"{}\" is not \"<type>/<id>/<archive>\" = \"/an/absolute/path\"",
                    source.id,
                    path.display()
                )
            };
            let (group, name) = archive.rsplit_once('/').ok_or_else(|| Stop::new(Code::Usage, odd()))?;
            Ok(RestorePath {
                source: source.id.clone(),
                group: group.parse().or_stop(Code::Usage, odd)?,
                archive: name.parse().or_stop(Code::Usage, odd)?,
                path: path.to_str().unwrap_or_default().parse().or_stop(Code::Usage, odd)?,
            })
        })
        .collect()
}

/// The path that the root lists for an archive.
pub(crate) fn original_path(trust: &Trust, source: &Name, group: &Group, archive: &Name) -> Option<PathBuf> {
    trust
        .restore_paths
        .iter()
        .find(|entry| entry.source == *source && entry.group == *group && entry.archive == *archive)
        .map(|entry| PathBuf::from(entry.path.as_str()))
}

/// The paths of one source, as the configuration writes them.
pub(crate) fn configured_paths(trust: &Trust, source: &Name) -> BTreeMap<String, PathBuf> {
    trust
        .restore_paths
        .iter()
        .filter(|entry| entry.source == *source)
        .map(|entry| (format!("{}/{}", entry.group, entry.archive), PathBuf::from(entry.path.as_str())))
        .collect()
}

/// Whether a configured source is the one of the root: server, datastore, namespace, identity, pin.
pub(crate) fn is_same(configured: &SourceSettings, source: &Source) -> bool {
    facts(configured, source.key_fingerprint).is_ok_and(|facts| facts == *source)
}
