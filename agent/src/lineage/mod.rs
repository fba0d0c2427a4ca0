//! The lineage of keys: every K that a snapshot may still need, kept on the box with the exposure of PVE's own
//! key files (`<state>/lineage/`, 0700, files 0600).
//!
//! PVE makes a new key and keeps one former, deletes the key with its storage, and has it written over when a
//! node joins a cluster. What was seen once is kept here until no snapshot needs it ([`release`]); what has
//! happened is told ([`index::What`]). The key files are what counts, the index only says what was seen of them.
//! Nothing here stops an escrow: what cannot be written is a note, and the live keys are escrowed if the update
//! itself can be written.

mod changes;
mod files;
mod index;
mod list;
mod needed;
mod put_back;
mod release;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use pbs_driver::{pve::Node, repository::Namespace};
use serde::Serialize;
use tenwords_escrow::root::KeptIn;
use tenwords_protocol::{fingerprint::Fingerprint, time::Timestamp};
use zeroize::Zeroizing;

use self::{
    changes::{KeyPlace, Seen, SeenSource},
    files::Kept,
};
pub(crate) use self::{
    files::keep as keep_text,
    index::{Change, Index, What},
    list::list,
    needed::{ask, ask_once_a_day, note as note_needed},
    put_back::put_back,
};
use crate::{
    exit::Outcome,
    keys::LiveKey,
    settings::Configuration,
    sources::{self, BoxSource, BoxSources, Place},
};

/// What a look has found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Look {
    /// What has happened since the look before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) changes: Vec<Change>,
    /// What somebody has to mend, and since when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) standing: Vec<Change>,
    /// Where a key has given way to another one of late, or all have gone: somebody should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) recent: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// Keeps every key that lies on this box, `.enc.old` included, and takes down what was seen. The caller holds the
/// lock. A disk that is full is told, and costs nothing else.
pub(crate) fn keep(configuration: &Configuration, found: &BoxSources, now: Timestamp) -> Outcome<Look> {
    let mut look = Look::default();
    let folder = folder(configuration);
    files::sweep(&folder);
    for key in found.keys() {
        if let Err(error) = files::keep_key(&folder, key.fingerprint(), &key.expose_file()) {
            look.notes.push(format!(
                "key {} cannot be kept in {}: {error}; what cannot be written cannot be escrowed either: make room there",
                key.fingerprint().short(),
                folder.display()
            ));
        }
    }
    let seen = see(configuration, found)?;
    let (before, damaged) = Index::load(configuration);
    look.notes.extend(damaged);
    let mut index = before.clone();
    index.bring_back(now);
    look.changes = changes::observe(&mut index, now, &seen);
    for key in files::read(&folder).keys.keys() {
        index.entry(*key, now);
    }
    if is_worth_writing(&before, &index)
        && let Err(error) = index.keep(configuration)
    {
        look.notes.push(format!("what was seen of the keys cannot be written down: {error}"));
    }
    look.standing = index.standing().cloned().collect();
    look.recent = index.changes.iter().filter(|change| change.recent(now)).cloned().collect();
    Ok(look)
}

/// Every key that is kept, by itself. What cannot be read is told in `notes`.
pub(crate) fn kept(configuration: &Configuration, notes: &mut Vec<String>) -> BTreeMap<Fingerprint, LiveKey> {
    let Kept { keys, notes: told } = files::read(&folder(configuration));
    notes.extend(told);
    keys
}

/// Keeps keys that came out of an escrow, so that the next one needs no former words for them.
pub(crate) fn take_in<'k>(
    configuration: &Configuration,
    keys: impl IntoIterator<Item = (Fingerprint, Zeroizing<Vec<u8>>)> + 'k,
    notes: &mut Vec<String>,
) {
    let folder = folder(configuration);
    for (key, text) in keys {
        if let Err(error) = files::keep_key(&folder, key, &text) {
            notes.push(format!("key {} cannot be kept in {}: {error}", key.short(), folder.display()));
        }
    }
}

/// Where kept keys lie.
pub(crate) fn folder(configuration: &Configuration) -> PathBuf {
    files::folder(configuration)
}

/// Where backups lie, and whose: another user sees other snapshots.
fn place(auth_id: &str, (server, port): (&str, u16), datastore: &str, namespace: &str) -> String {
    format!("{auth_id}@{server}:{port}:{datastore}:{namespace}")
}

fn see(configuration: &Configuration, found: &BoxSources) -> Outcome<Seen> {
    let node = sources::node(&configuration.settings)?;
    let former = |id: &str| {
        let path = node.as_ref()?.file(&format!("priv/storage/{id}.enc.old"));
        found.former.iter().find(|key| key.path() == path).map(LiveKey::fingerprint)
    };
    let marked = marked(node.as_ref());
    let sources = found.sources.iter().map(|source| {
        let of_pve = source.kept_in == KeptIn::StorageCfg;
        let seen = SeenSource {
            place: source.place.as_ref().map(place_of),
            of_pve,
            is_used: source.is_used(),
            is_marked: !of_pve || marked.contains(&source.id),
            key: key_place(source),
            former: former(&source.id),
        };
        (source.id.clone(), seen)
    });
    Ok(Seen {
        sources: sources.collect(),
        has_pve: node.is_some(),
        clustered: node.as_ref().is_some_and(Node::is_clustered),
    })
}

/// The storages that are to be encrypted by what `storage.cfg` says.
fn marked(node: Option<&Node>) -> Vec<String> {
    let cfg = node.and_then(|node| pbs_driver::pve::StorageCfg::read(node).ok());
    let storages = cfg.iter().flat_map(|cfg| cfg.pbs().flatten().collect::<Vec<_>>());
    storages.filter(|storage| storage.encryption_key.is_some()).map(|storage| storage.id.to_string()).collect()
}

fn key_place(source: &BoxSource) -> KeyPlace {
    match (source.key(), source.key_file.as_deref().map(sources::is_absent)) {
        (Some(key), _) => KeyPlace::Key(key.fingerprint()),
        (None, Some(true)) => KeyPlace::Nothing,
        (None, _) => KeyPlace::Unclear,
    }
}

fn place_of(of: &Place) -> String {
    let Place { repository, namespace, .. } = of;
    let namespace = if namespace.is_root() { String::new() } else { Namespace::to_string(namespace) };
    let server = (repository.host().name(), repository.port());
    place(&repository.auth_id().to_string(), server, repository.datastore(), &namespace)
}

/// That a key is still in use needs to be written down once a day and not at each look.
fn is_worth_writing(before: &Index, after: &Index) -> bool {
    const DAY: i64 = 86_400;
    let is_fresh = after.keys.iter().all(|(key, entry)| {
        let then = before.keys.get(key).and_then(|entry| entry.last_in_use).map_or(0, Timestamp::unix);
        (entry.last_in_use.map_or(0, Timestamp::unix) - then).abs() < DAY
    });
    let mut same = after.clone();
    for (key, entry) in &mut same.keys {
        entry.last_in_use = before.keys.get(key).and_then(|entry| entry.last_in_use);
    }
    !is_fresh || same != *before
}

impl Look {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let told = |change: &Change| {
            let remedy = change.what.remedy().map(|remedy| format!("\n    what to do: {remedy}")).unwrap_or_default();
            format!("  - since {}: {}{remedy}", change.since, crate::show::harmless(&change.what.in_words(), 400))
        };
        let former = self.recent.iter().filter(|change| !self.changes.contains(change));
        let passing = self.changes.iter().filter(|change| !change.stands()).chain(former);
        let mut lines: Vec<String> = self.standing.iter().chain(passing).map(told).collect();
        lines.extend(self.notes.iter().map(|note| format!("  note: {}", crate::show::harmless(note, 400))));
        lines
    }
}

/// The key that a source had last, by what was seen of it.
fn last_key(index: &Index, source: &str) -> Option<Fingerprint> {
    index.sources.get(source).and_then(|seen| seen.last_key)
}

/// Whether a key file lies outside PVE, in a folder that is there.
fn has_folder(path: &Path) -> bool {
    path.parent().is_some_and(Path::is_dir)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use pbs_format::key::{EncryptionKey, KeyFile};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn bench() -> Result<(tempfile::TempDir, Configuration), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().display().to_string();
        let pin = "08:4e:d5:55:ff:02:42:d2:a5:96:c9:0c:bf:e7:9d:be:38:5b:4d:c4:22:9c:0d:ef:92:48:96:45:cb:9c:77:28";
        let text = format!(
            "state = \"{at}/state\"\n[pve]\netc = \"{at}/pve\"\npct = \"/x\"\nqm = \"/x\"\nqmrestore = \"/x\"\npvesm = \
             \"/x\"\n[[source]]\nid = \"pbs\"\nrepository = \"b@pbs!t@pbs.example:store\"\ncertificate = \"{pin}\"\nkey_file \
             = \"{at}/K.enc\"\ntoken_file = \"{at}/token\"\n"
        );
        let path = folder.path().join("agent.toml");
        fs::write(&path, text)?;
        let configuration = Configuration::read(&path).map_err(|stop| stop.in_one_line())?;
        Ok((folder, configuration))
    }

    fn with_key(folder: &tempfile::TempDir, byte: u8) -> Result<Fingerprint, std::io::Error> {
        let key = EncryptionKey::from_bytes(Zeroizing::new([byte; 32]));
        let path = folder.path().join("K.enc");
        fs::write(&path, KeyFile::plain(&key, 1, 2).to_json())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(key.fingerprint())
    }

    fn looked(configuration: &Configuration, second: i64) -> Result<Look, Box<dyn std::error::Error>> {
        let now = Timestamp::from_unix(1_772_539_200 + second)?;
        let found = sources::of_box(configuration).map_err(|stop| stop.in_one_line())?;
        keep(configuration, &found, now).map_err(|stop| stop.in_one_line().into())
    }

    #[test]
    fn every_key_that_was_seen_stays_whatever_becomes_of_its_file() -> Tested {
        let (folder, configuration) = bench()?;
        let one = with_key(&folder, 1)?;
        assert!(looked(&configuration, 0)?.changes.is_empty());
        let two = with_key(&folder, 2)?;
        let look = looked(&configuration, 1)?;
        assert!(
            matches!(&look.changes[..], [change] if matches!(change.what, What::KeyChangedByHand { .. })),
            "{look:?}"
        );
        assert_eq!(look.recent, look.changes, "what somebody did is told for a while");
        fs::remove_file(folder.path().join("K.enc"))?;
        let look = looked(&configuration, 2)?;
        assert_eq!((look.changes.len(), look.standing.len()), (1, 1), "{look:?}");
        let look = looked(&configuration, 3)?;
        assert_eq!((look.changes.len(), look.standing.len()), (0, 1), "it is told once, and stands");
        assert_eq!(look.recent.len(), 1);
        assert!(looked(&configuration, 8 * 86_400)?.recent.is_empty(), "and not for ever");
        let keys: Vec<Fingerprint> = kept(&configuration, &mut Vec::new()).into_keys().collect();
        let mut both = vec![one, two];
        both.sort_unstable();
        assert_eq!(keys, both);
        Ok(())
    }

    /// Found by a simulated year: the alarm stood for as long as the clock had been ahead.
    #[test]
    fn what_was_noticed_under_a_clock_that_was_ahead_is_not_told_for_years() -> Tested {
        let (folder, configuration) = bench()?;
        with_key(&folder, 1)?;
        looked(&configuration, 0)?;
        with_key(&folder, 2)?;
        assert_eq!(looked(&configuration, 3 * 365 * 86_400)?.recent.len(), 1);
        for (second, told) in [(20, 1), (6 * 86_400, 1), (8 * 86_400, 0), (400 * 86_400, 0), (3 * 365 * 86_400, 0)] {
            assert_eq!(looked(&configuration, second)?.recent.len(), told, "second {second}");
        }
        Ok(())
    }

    #[test]
    fn a_damaged_index_and_a_full_disk_lose_no_key_and_stop_nothing() -> Tested {
        let (folder, configuration) = bench()?;
        let one = with_key(&folder, 1)?;
        looked(&configuration, 0)?;
        let index = configuration.state("lineage/index.json");
        for text in ["", "{\"v\":1", "{\"v\":2}", &"x".repeat(2 << 20)] {
            fs::write(&index, text)?;
            let look = looked(&configuration, 1)?;
            assert!(look.notes.iter().any(|note| note.contains("begins anew")), "{look:?}");
            assert!(kept(&configuration, &mut Vec::new()).contains_key(&one));
            assert!(looked(&configuration, 2)?.notes.is_empty());
        }
        // As with a full disk: nothing can be made there.
        fs::remove_dir_all(configuration.state("lineage"))?;
        fs::write(configuration.state("lineage"), "in the way")?;
        let look = looked(&configuration, 3)?;
        assert!(look.notes.iter().any(|note| note.contains("cannot be kept in")), "{look:?}");
        Ok(())
    }
}
