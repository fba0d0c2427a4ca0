//! `key put-back`: a lost key file, back in its place from what was kept.
//!
//! Which key it is, `storage.cfg` says, or what was last seen there. It goes where nothing lies, or where it
//! lies already; another key is never written over. A storage that does not say that it encrypts is changed only
//! where somebody has named it.

use std::path::{Path, PathBuf};

use pbs_driver::pve::{
    Node, PveError, StorageCfg, StorageId,
    secrets::{self, Put},
    storage::KeyMark,
};
use serde::Serialize;
use tenwords_escrow::root::KeptIn;
use tenwords_protocol::{fingerprint::Fingerprint, time::Timestamp, v1::V1};

use super::{Index, has_folder, keep, kept, last_key, take_in};
use crate::{
    cli, drill, durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    keys::LiveKey,
    seat::Seat,
    settings::Configuration,
    sources::{self, BoxSource, State},
};

/// What was done.
#[derive(Debug, Serialize)]
pub(crate) struct PutBack {
    v: V1,
    put_back: Vec<Done>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Done {
    source: String,
    key: Fingerprint,
    path: PathBuf,
    /// Whether it was there already.
    was_there: bool,
    /// Whether `storage.cfg` was told that the storage encrypts.
    marked: bool,
}

/// A source whose key file is missing, and the key that belongs there.
struct Missing<'s> {
    source: &'s BoxSource,
    key: Fingerprint,
}

/// Puts back what is missing: of every source that is to be encrypted, or of the one that is named.
pub(crate) fn put_back(configuration: &Configuration, args: &cli::PutBack, seat: &mut dyn Seat) -> Outcome<PutBack> {
    let found = sources::of_box(configuration)?;
    let node = sources::node(&configuration.settings)?;
    let named = args.source.as_deref();
    if let Some(id) = named.filter(|id| found.sources.iter().all(|source| source.id != *id)) {
        let all: Vec<&str> = found.sources.iter().map(|source| source.id.as_str()).collect();
        return Err(Stop::new(Code::Usage, format!("this box has no source {id}"))
            .remedy(format!("name one of these: {}; a storage that is gone has to be added first", all.join(", "))));
    }
    let (index, damaged) = Index::load(configuration);
    let mut notes: Vec<String> = damaged.into_iter().collect();
    if args.words {
        let opened = drill::keys_by_words(configuration, args.code_fd, seat)?;
        take_in(configuration, opened.iter().map(|(key, gated)| (*key, gated.expose_key_file())), &mut notes);
    }
    let mut missing = Vec::new();
    for source in found.sources.iter().filter(|source| named.is_none_or(|id| source.id == id)) {
        match belongs(source, node.as_ref(), &index, named.is_some()) {
            Ok(Some(key)) => missing.push(Missing { source, key }),
            Ok(None) => {}
            Err(stop) if named.is_some() => return Err(stop),
            Err(stop) => notes.push(stop.in_one_line()),
        }
    }
    let files = kept(configuration, &mut notes);
    let mut done = Vec::new();
    for Missing { source, key } in missing {
        let text = match files.get(&key) {
            Some(kept) => kept,
            None => return Err(only_by_the_words(&source.id, key)),
        };
        done.push(put(source, node.as_ref(), text, args.encryption_key)?);
    }
    // What is mended is seen at once.
    let look = keep(configuration, &sources::of_box(configuration)?, Timestamp::now())?;
    notes.extend(look.notes);
    Ok(PutBack { v: V1, put_back: done, notes })
}

/// The key that belongs to a source, if its key file is missing.
fn belongs(source: &BoxSource, node: Option<&Node>, index: &Index, named: bool) -> Outcome<Option<Fingerprint>> {
    let id = &source.id;
    if let Some(there) = source.key() {
        return match (named, &source.state) {
            (true, State::Broken(stop, _)) => Err(Stop::new(
                Code::Preflight,
                format!("another key lies there: {}", stop.what),
            )
            .remedy(
                "`key put-back` writes over no key: find out which one the backups use, and move the other one aside",
            )),
            (true, _) => Ok(Some(there.fingerprint())),
            (false, _) => Ok(None),
        };
    }
    if source.key_file.as_deref().is_none_or(|path| !sources::is_absent(path)) {
        return Err(Stop::new(Code::Preflight, format!("what lies in the place of the key of source {id} is no key"))
            .remedy("look at it, and move it aside; then run this again"));
    }
    let mark = match (source.kept_in, node) {
        (KeptIn::StorageCfg, Some(node)) => mark(node, id)?,
        _ => None,
    };
    match mark {
        Some(KeyMark::Fingerprint(key)) => return Ok(Some(key)),
        // It encrypts nothing, and nobody has said that it should.
        None if source.kept_in == KeptIn::StorageCfg && !named => return Ok(None),
        Some(KeyMark::Unnamed) | None => {}
    }
    last_key(index, id).map(Some).ok_or_else(|| {
        Stop::new(Code::Preflight, format!("which key source {id} had is not known: none was ever seen there"))
            .remedy("`tenwords-agent key list` shows what is kept; copy the right file to its place by hand")
    })
}

fn mark(node: &Node, id: &str) -> Outcome<Option<KeyMark>> {
    let what = || format!("storage {id} cannot be read");
    let storage: StorageId = id.parse().or_stop(Code::Preflight, what)?;
    let cfg = StorageCfg::read(node).or_stop(Code::Preflight, what)?;
    Ok(cfg.get(&storage).or_stop(Code::Preflight, what)?.and_then(|storage| storage.encryption_key))
}

fn put(source: &BoxSource, node: Option<&Node>, key: &LiveKey, mark: bool) -> Outcome<Done> {
    let text = key.expose_file();
    let path = source.key_file.clone().unwrap_or_default();
    let mut done = Done {
        source: source.id.clone(),
        key: key.fingerprint(),
        path,
        was_there: source.key().is_some(),
        marked: false,
    };
    match (source.kept_in, node) {
        (KeptIn::StorageCfg, Some(node)) => {
            let cannot = |error: PveError| {
                let step = error.next_step();
                Stop::new(Code::Preflight, format!("the key of storage {} cannot be put back", source.id))
                    .remedy(step)
                    .because(error)
            };
            let id: StorageId = source.id.parse().map_err(cannot)?;
            done.was_there = secrets::put_key(node, &id, &text).map_err(cannot)? == Put::Same;
            if mark {
                done.marked = StorageCfg::edit(node, |storages| match storages.get(&id)? {
                    Some(storage) => {
                        storages.add_pbs(&storage.with_encryption_key(Some(KeyMark::Fingerprint(key.fingerprint()))))
                    }
                    None => Ok(false),
                })
                .map_err(cannot)?;
            }
        }
        _ => done.was_there = create(&done.path, &text, key.fingerprint())?,
    }
    Ok(done)
}

/// Outside PVE: only where nothing is. Whether it was there already.
fn create(path: &Path, text: &[u8], key: Fingerprint) -> Outcome<bool> {
    let cannot = || format!("the key cannot be put back to {}", path.display());
    if !has_folder(path) {
        return Err(
            Stop::new(Code::Preflight, cannot()).remedy("its folder is not there: make it (0700), then run this again")
        );
    }
    match durable::create("key-put-back", path, 0o600, text) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            match LiveKey::read("put-back", path) {
                Ok(there) if there.fingerprint() == key => Ok(true),
                _ => Err(Stop::new(Code::Preflight, cannot())
                    .remedy("something else lies there: look at it, and move it aside")),
            }
        }
        Err(error) => Err(error).or_stop(Code::Preflight, cannot),
    }
}

fn only_by_the_words(id: &str, key: Fingerprint) -> Stop {
    Stop::new(
        Code::Preflight,
        format!("key {} of source {id} is not kept on this box", key.short()),
    )
    .remedy(format!(
        "the ten words bring it out of the escrow: `tenwords-agent key put-back --source {id} --words` with the customer \
         at the console; or a paper key, or another node's copy does"
    ))
}

impl PutBack {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .put_back
            .iter()
            .map(|done| {
                let how = if done.was_there { "was in its place already" } else { "is back" };
                let mark = if done.marked { "; storage.cfg says now that the storage encrypts" } else { "" };
                format!("source {}: key {} {how} ({}){mark}", done.source, done.key.short(), done.path.display())
            })
            .collect();
        if lines.is_empty() {
            lines.push("no key file is missing where one belongs".to_owned());
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {}", crate::show::harmless(note, 400))));
        lines
    }
}
