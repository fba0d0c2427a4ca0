//! Whether a guest that came back has been backed up since, under a key that is escrowed.
//!
//! What a server lists proves nothing; it names the snapshot whose list of files is fetched, and whose
//! signature is checked with the live key. A lost box that lives on has that key too, and as long as its
//! token is alive it could back up a guest of the same number: so a snapshot counts only if it was made
//! after the token of its source was proven dead (or somebody has said that it is).

use std::{collections::BTreeSet, time::Duration};

use pbs_driver::{Access, Client, restore, snapshot, snapshot::SnapshotInfo};
use pbs_format::{datastore::Group, key::KeyFile, manifest::Manifest};
use tenwords_protocol::{fingerprint::Fingerprint, time::Timestamp};

use super::{
    kept::{Guest, Kept},
    line::{Found, Id, State},
};
use crate::{
    keys::LiveKey,
    recover::plan::chain,
    sources::{BoxSource, BoxSources, State as SourceState},
};

/// What is looked with.
pub(super) struct Look<'l> {
    pub(super) client: &'l Client,
    pub(super) found: &'l BoxSources,
    /// The keys of the newest escrow.
    pub(super) escrowed: &'l BTreeSet<Fingerprint>,
    pub(super) now: Timestamp,
}

impl Look<'_> {
    /// Looks at every source that is in use, until one has such a snapshot.
    pub(super) fn of(&self, kept: &mut Kept, guest: &Guest) -> Found {
        let mut seen = Vec::new();
        for source in &self.found.sources {
            if !matches!(source.state, SourceState::InUse { .. }) {
                continue;
            }
            match self.at(kept, guest, source) {
                Ok(how) => return Found::Proven(how),
                Err(why) => seen.push(format!("{}: {why}", source.id)),
            }
        }
        if seen.is_empty() {
            seen.push("no source is in use".to_owned());
        }
        Found::Unknown(seen.join("; "))
    }

    fn at(&self, kept: &mut Kept, guest: &Guest, source: &BoxSource) -> Result<String, String> {
        let group: Group = guest.group.parse().map_err(|error| chain(&error))?;
        let access = source.access().map_err(|stop| stop.in_one_line())?;
        let listed = snapshot::list(self.client, &access, Some(&group)).map_err(|error| chain(&error))?;
        // One with a time that is still to come was not made by a clock that goes right, also when it has come.
        let until = self.now.plus(SKEW);
        let name = |info: &SnapshotInfo| format!("{} {}", source.id, info.snapshot);
        kept.ahead.extend(listed.iter().filter(|info| info.snapshot.time() > until).take(MOST_AHEAD).map(name));
        let since = since(kept, guest, &source.id)?;
        let is_newer = |info: &&SnapshotInfo| info.snapshot.time() >= since && !kept.ahead.contains(&name(info));
        let mut newer: Vec<_> = listed.iter().filter(is_newer).collect();
        newer.sort_by_key(|info| info.snapshot.time());
        let mut why = format!("nothing was backed up since {since}");
        for info in newer.into_iter().take(TRIES) {
            match self.prove(&access, info) {
                Ok(key) => return Ok(format!("{} {} under key {}", source.id, info.snapshot, key.short())),
                Err(unproven) => why = format!("{}: {unproven}", info.snapshot),
            }
        }
        Err(why)
    }

    /// Its list of files is signed with a live key that is escrowed, and all in it is encrypted.
    fn prove(&self, access: &Access, info: &SnapshotInfo) -> Result<Fingerprint, String> {
        let claimed = info.fingerprint.ok_or("it is not encrypted")?;
        if !self.escrowed.contains(&claimed) {
            return Err(format!("its key {} is not in the newest escrow", claimed.short()));
        }
        let live = self.found.keys().find(|key| key.fingerprint() == claimed);
        let file =
            live.map(LiveKey::expose_file).ok_or_else(|| format!("there is no key file of {}", claimed.short()))?;
        let folder = self.client.private().folder().map_err(|error| chain(&error))?;
        let path = folder.write("live.enc", &file).map_err(|error| chain(&error))?;
        let bytes = restore::manifest(self.client, access, &info.snapshot, &path).map_err(|error| chain(&error))?;
        let key = KeyFile::parse(&file).and_then(|file| file.open(None)).map_err(|error| chain(&error))?;
        let manifest = Manifest::parse(&bytes).and_then(|it| it.verify(&key)).map_err(|error| chain(&error))?;
        match *manifest.snapshot() == info.snapshot && manifest.all_encrypted() {
            true => Ok(claimed),
            false => Err("its signed list of files is another snapshot's, or not all of it is encrypted".to_owned()),
        }
    }
}

/// From when on a snapshot of this guest at this source is this box's.
fn since(kept: &Kept, guest: &Guest, source: &str) -> Result<Timestamp, String> {
    if !kept.tokens.iter().any(|token| token.source.as_str() == source) {
        return Ok(guest.restored_at);
    }
    match kept.lines.get(&Id::Token(source.to_owned())) {
        Some(State::Proven { at, .. }) => Ok((*at).max(guest.restored_at)),
        Some(State::Attested { .. }) => Ok(guest.restored_at),
        Some(State::Open { .. }) | None => {
            Err("what lies there could be the lost box's own, as long as its token is not proven dead".to_owned())
        }
    }
}

const SKEW: Duration = Duration::from_secs(600);
/// Far more than a look can see of what is genuine.
const MOST_AHEAD: usize = 1024;
/// Snapshots of one group whose list of files is fetched at most.
const TRIES: usize = 4;
