//! Everything where this box's backups may lie: the `pbs:` storages of PVE, then the `[[source]]`
//! entries, each with its key and what it is to the box.
//!
//! One reading of it serves the ceremony, `status` and `inventory`, so that they cannot disagree.
//! Nothing here connects, and nothing here writes.

use std::path::PathBuf;

use pbs_driver::{
    Access, Certificate as Pin, Repository,
    pve::{Node, PbsStorage, PveError, State as PveState, StorageCfg, secrets, storage::KeyMark},
    repository::Namespace,
};
use tenwords_escrow::{
    root::{KeptIn, RestorePath, Source},
    secret::TokenSecret,
};
use tenwords_protocol::{directive::Name, fingerprint::Fingerprint};
use zeroize::Zeroizing;

use super::{certificate, fact, read_token, repository, restore_paths};
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    keys::LiveKey,
    recover::is_scratch_storage,
    settings::{Configuration, Settings, SourceSettings},
    show::harmless,
};

/// All of it.
pub(crate) struct BoxSources {
    /// Storages in the order of `storage.cfg`, then the entries of the configuration.
    pub(crate) sources: Vec<BoxSource>,
    /// Keys that no source backs up with now, and that snapshots may still need: `<id>.enc.old`.
    pub(crate) former: Vec<LiveKey>,
    /// What a person should know and nothing hangs on.
    pub(crate) notes: Vec<String>,
}

/// One place where backups may lie.
pub(crate) struct BoxSource {
    pub(crate) id: String,
    /// Where it is; `None` if that is not understood, which `state` then says.
    pub(crate) place: Option<Place>,
    pub(crate) kept_in: KeptIn,
    pub(crate) state: State,
    /// Where its key file lies, or would lie; `None` if not even its name is understood.
    pub(crate) key_file: Option<PathBuf>,
    secret: Secret,
}

/// Where, as whom, and whose certificate counts.
pub(crate) struct Place {
    pub(crate) repository: Repository,
    pub(crate) namespace: Namespace,
    pub(crate) certificate: Pin,
}

/// What a source is to the box.
pub(crate) enum State {
    /// Its key goes under the words, and it into the root.
    InUse { fact: Source, key: Box<LiveKey>, restore_paths: Vec<RestorePath> },
    /// It takes backups that anybody can read.
    Unencrypted,
    /// Switched off, or not for backups. Its key goes under the words too: snapshots may need it.
    NotUsed { why: String, key: Option<Box<LiveKey>> },
    /// No ceremony is held until this is mended. A key that lies there all the same may be the one that
    /// backups are encrypted with.
    Broken(Stop, Option<Box<LiveKey>>),
}

enum Secret {
    File(PathBuf),
    Storage(Node, pbs_driver::pve::StorageId),
    None,
}

/// This node's Proxmox VE; `None` on a machine without.
pub(crate) fn node(settings: &Settings) -> Outcome<Option<Node>> {
    let node = Node::new(settings.pve_paths())
        .or_stop(Code::Usage, || "the configuration does not say where Proxmox VE is".to_owned())?;
    Ok((node.state() != PveState::NotPve).then_some(node))
}

/// Reads all of it. A machine without Proxmox VE has no storages.
///
/// # Errors
/// `/etc/pve` is there and cannot be read; or one id names both a storage and a `[[source]]`.
pub(crate) fn of_box(configuration: &Configuration) -> Outcome<BoxSources> {
    let mut found = BoxSources { sources: Vec::new(), former: Vec::new(), notes: Vec::new() };
    if let Some(node) = node(&configuration.settings)? {
        let cfg = StorageCfg::read(&node).map_err(|error| stop_of_pve(&error, "the storages of PVE cannot be read"))?;
        for storage in cfg.pbs() {
            match storage {
                Ok(storage) if is_scratch_storage(storage.id.as_str()) => {
                    found.notes.push(format!(
                        "storage {0} stands for the time of a recovery's restore, and goes with it; where no recovery is going \
                         on (`tenwords-agent recover --status`), `pvesm remove {0}` takes it away",
                        storage.id
                    ));
                }
                Ok(storage) => found.add_storage(&node, &storage),
                Err(error) => found.sources.push(not_understood(&error)),
            }
        }
    }
    for settings in &configuration.settings.sources {
        if found.sources.iter().any(|source| source.id == settings.id.as_str()) {
            return Err(Stop::new(
                Code::Usage,
                format!("{} is both a storage in storage.cfg and a [[source]] of the configuration", settings.id),
            )
            .remedy(format!(
                "storages of PVE are sources by themselves: take the [[source]] out of {}, or give it another id",
                configuration.path.display()
            )));
        }
        found.sources.push(of_settings(settings));
    }
    Ok(found)
}

// === impl BoxSources ===

impl BoxSources {
    /// Every key that this box has a file of.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &LiveKey> {
        self.sources.iter().filter_map(BoxSource::key).chain(&self.former)
    }

    fn add_storage(&mut self, node: &Node, storage: &PbsStorage) {
        let id = storage.id.to_string();
        let current = node.file(&format!("priv/storage/{id}.enc"));
        let former = node.file(&format!("priv/storage/{id}.enc.old"));
        match LiveKey::read(&id, &former) {
            Ok(key) => self.former.push(key),
            Err(_) if is_absent(&former) => {}
            Err(stop) => self.notes.push(format!("{} (the former key is not escrowed)", stop.what)),
        }
        let unused = if storage.disabled {
            Some("it is disabled".to_owned())
        } else if !takes_backups(storage.content.as_deref()) {
            Some("it is not for backups (content)".to_owned())
        } else {
            None
        };
        let key = (!is_absent(&current)).then(|| LiveKey::read(&id, &current));
        let state = match (unused, key) {
            (Some(why), None) => State::NotUsed { why, key: None },
            (Some(why), Some(Ok(key))) => State::NotUsed { why, key: Some(Box::new(key)) },
            (Some(why), Some(Err(stop))) => State::NotUsed { why: format!("{why}; {}", stop.what), key: None },
            (None, key) => state_of(storage, &current, key),
        };
        if storage.encryption_key.is_none() && matches!(state, State::InUse { .. }) {
            self.notes.push(format!(
                "storage {id} encrypts, and storage.cfg does not say so: were its key file lost, backups would go on \
                 unencrypted (`pvesm set {id} --encryption-key {}` says it)",
                current.display()
            ));
        }
        self.sources.push(BoxSource {
            id,
            place: Some(Place {
                repository: storage.repository.clone(),
                namespace: storage.namespace.clone(),
                certificate: storage.certificate(),
            }),
            kept_in: KeptIn::StorageCfg,
            state,
            key_file: Some(current),
            secret: Secret::Storage(node.clone(), storage.id.clone()),
        });
    }
}

/// That nothing is there. What cannot even be looked at is not absent: a storage without a key file
/// would count as one that does not encrypt.
pub(crate) fn is_absent(path: &std::path::Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// PVE's reading of `content`: any of its separators, and a list with a word that it does not know counts
/// as none at all, so that the default holds, which is `backup`.
fn takes_backups(content: Option<&str>) -> bool {
    let Some(content) = content else { return true };
    let mut words = content.split([',', ';', ' ', '\t', '\0']).filter(|word| !word.is_empty()).peekable();
    words.peek().is_none() || words.any(|word| word == "backup" || !CONTENT.contains(&word))
}

/// Every kind of content that PVE 9 knows.
const CONTENT: [&str; 8] = ["backup", "images", "import", "iso", "none", "rootdir", "snippets", "vztmpl"];

/// A storage that takes backups: what decides is the key file, as it does for PVE.
fn state_of(storage: &PbsStorage, path: &std::path::Path, key: Option<Outcome<LiveKey>>) -> State {
    let id = &storage.id;
    let Some(key) = key else {
        let Some(mark) = storage.encryption_key else { return State::Unencrypted };
        let named = match mark {
            KeyMark::Fingerprint(fingerprint) => format!(" with key {}", fingerprint.short()),
            KeyMark::Unnamed => String::new(),
        };
        let stop = Stop::new(
            Code::Preflight,
            format!("storage {id} is to encrypt{named}, and its key file {} is gone", path.display()),
        )
        .remedy(format!(
            "`tenwords-agent key put-back --source {id}` puts it back if this box has kept it (else the paper key, or \
             another node's copy, does); backups to {id} fail until then"
        ));
        return State::Broken(stop, None);
    };
    let key = match key {
        Ok(key) => key,
        Err(stop) => return State::Broken(stop, None),
    };
    if let Some(KeyMark::Fingerprint(stated)) = storage.encryption_key
        && stated != key.fingerprint()
    {
        return State::Broken(other_key(id.as_str(), stated, key.fingerprint(), path), Some(Box::new(key)));
    }
    match fact_of(storage, key.fingerprint()) {
        Ok(fact) => State::InUse { fact, key: Box::new(key), restore_paths: Vec::new() },
        Err(stop) => State::Broken(stop, Some(Box::new(key))),
    }
}

fn fact_of(storage: &PbsStorage, key: Fingerprint) -> Outcome<Source> {
    let id = &storage.id;
    let name: Name = id.as_str().parse().or_stop(Code::Preflight, || {
        format!("storage {id}: its name is too long for the escrow, which takes 64 characters")
    })?;
    let (repository, namespace) = (&storage.repository, &storage.namespace);
    fact(&name, repository, namespace, storage.certificate(), key, KeptIn::StorageCfg)
}

fn other_key(id: &str, stated: Fingerprint, found: Fingerprint, path: &std::path::Path) -> Stop {
    Stop::new(
        Code::Preflight,
        format!(
            "storage {id}: storage.cfg names key {}, and {} holds key {}",
            stated.short(),
            path.display(),
            found.short()
        ),
    )
    .remedy(format!(
        "find out which of the two the backups use (`proxmox-backup-client snapshot list` names it); put that key file \
         in place, or say the right one with `pvesm set {id} --encryption-key <file>`"
    ))
}

/// A stanza that PVE may know and we do not understand is named, never passed over.
fn not_understood(error: &PveError) -> BoxSource {
    let id = match error {
        PveError::Storage { id, .. } => id.clone(),
        _ => "?".to_owned(),
    };
    BoxSource {
        place: None,
        kept_in: KeptIn::StorageCfg,
        state: State::Broken(stop_of_pve(error, &format!("storage {id} is not understood")), None),
        key_file: None,
        secret: Secret::None,
        id,
    }
}

fn of_settings(settings: &SourceSettings) -> BoxSource {
    let (place, state) = match Place::of_settings(settings) {
        Ok(place) => {
            let state = in_settings(settings, &place);
            (Some(place), state)
        }
        Err(stop) => (None, State::Broken(stop, None)),
    };
    BoxSource {
        id: settings.id.to_string(),
        place,
        kept_in: KeptIn::Settings,
        state,
        key_file: Some(settings.key_file.clone()),
        secret: Secret::File(settings.token_file.clone()),
    }
}

fn in_settings(settings: &SourceSettings, place: &Place) -> State {
    let key = match LiveKey::read(settings.id.as_str(), &settings.key_file) {
        Ok(key) => Box::new(key),
        Err(stop) => return State::Broken(stop, None),
    };
    let Place { repository, namespace, certificate } = place;
    let fact = fact(&settings.id, repository, namespace, *certificate, key.fingerprint(), KeptIn::Settings);
    match fact.and_then(|fact| Ok((fact, restore_paths(settings)?))) {
        Ok((fact, restore_paths)) => State::InUse { fact, key, restore_paths },
        Err(stop) => State::Broken(stop, Some(key)),
    }
}

/// What Proxmox VE's files refused, with what to do.
pub(crate) fn stop_of_pve(error: &PveError, what: &str) -> Stop {
    // A stanza's name is whatever somebody wrote there.
    Stop::new(Code::Preflight, harmless(&format!("{what}: {error}"), 400)).remedy(error.next_step())
}

// === impl Place ===

impl Place {
    /// Where an entry of the configuration is.
    pub(super) fn of_settings(settings: &SourceSettings) -> Outcome<Self> {
        let text = settings.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
        let odd = || format!("source {}: its namespace is not understood", settings.id);
        Ok(Self {
            repository: repository(settings)?,
            namespace: text.parse().or_stop(Code::Usage, odd)?,
            certificate: certificate(settings)?,
        })
    }
}

// === impl BoxSource ===

impl BoxSource {
    /// The key in its key file, used or not.
    pub(crate) fn key(&self) -> Option<&LiveKey> {
        match &self.state {
            State::InUse { key, .. } => Some(key),
            State::NotUsed { key, .. } | State::Broken(_, key) => key.as_deref(),
            State::Unencrypted => None,
        }
    }

    /// The archives of it that may go back to where they came from.
    pub(crate) fn restore_paths(&self) -> &[RestorePath] {
        match &self.state {
            State::InUse { restore_paths, .. } => restore_paths,
            _ => &[],
        }
    }

    /// What it authenticates itself with.
    pub(crate) fn secret(&self) -> Outcome<TokenSecret> {
        let cannot = || format!("the password of storage {} cannot be used", self.id);
        match &self.secret {
            Secret::File(path) => read_token(path),
            Secret::Storage(node, id) => match secrets::password(node, id) {
                Ok(Some(secret)) => TokenSecret::new(secret).or_stop(Code::Preflight, cannot),
                Ok(None) => Err(Stop::new(Code::Preflight, format!("storage {id} has no password file"))
                    .remedy(format!("`pvesm set {id} --password` asks for the token's secret and keeps it"))),
                Err(error) => Err(stop_of_pve(&error, &cannot())),
            },
            Secret::None => Err(Stop::new(Code::Preflight, cannot())),
        }
    }

    /// Whether backups go there: it is not switched off, and is for backups.
    pub(crate) fn is_used(&self) -> bool {
        !matches!(self.state, State::NotUsed { .. })
    }

    /// Whether what is backed up there is to be encrypted. One that is broken is: what lies there in the clear, or under
    /// a key that nobody holds, is then no less wrong.
    pub(crate) fn is_to_encrypt(&self) -> bool {
        match self.state {
            State::InUse { .. } => true,
            // Of one that is not understood nothing is known.
            State::Broken(..) => self.place.is_some(),
            State::Unencrypted | State::NotUsed { .. } => false,
        }
    }

    /// The file that has it.
    pub(crate) fn secret_file(&self) -> Option<PathBuf> {
        match &self.secret {
            Secret::File(path) => Some(path.clone()),
            Secret::Storage(node, id) => Some(node.file(&format!("priv/storage/{id}.pw"))),
            Secret::None => None,
        }
    }

    /// A connection to it.
    pub(crate) fn access(&self) -> Outcome<Access> {
        let unknown = || Stop::new(Code::Preflight, format!("where source {} is, is not understood", self.id));
        let Place { repository, namespace, certificate } = self.place.as_ref().ok_or_else(unknown)?;
        let secret = Zeroizing::new(self.secret()?.expose_text().to_owned());
        Access::new(repository.clone(), namespace.clone(), secret, *certificate)
            .or_stop(Code::Preflight, || format!("the secret of source {} cannot be used", self.id))
    }
}

#[cfg(test)]
mod tests;
