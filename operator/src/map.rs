//! The operator's own map from names to box ids.
//!
//! It is written when a box is added from here and by nothing else. What the hub calls a box is
//! shown beside it and never changes it: otherwise a hub could have one box recovered in the name
//! of another. A map that cannot be read is left as it is and nothing is done by name.

use std::{
    collections::BTreeSet,
    fs::File,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use tenwords_protocol::{id::BoxId, time::Timestamp, v1::V1};

use crate::{failure::Failure, name::Name, own::Record};

/// One box that was added from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) box_id: BoxId,
    pub(crate) added_at: Timestamp,
    /// Whether the hub has answered. A lost answer leaves the id here, to be asked for again.
    pub(crate) acknowledged: bool,
    /// Whether it was retired from here: else a hub could make a box that it has lost look as if it were gone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) retired: bool,
}

/// The map as it was read.
#[derive(Debug, Default)]
pub(crate) struct Map {
    boxes: Vec<Entry>,
}

/// The map, held so that nobody else changes it meanwhile.
#[derive(Debug)]
pub(crate) struct HeldMap {
    map: Map,
    folder: PathBuf,
    _lock: Flock<File>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: V1,
    boxes: Vec<Entry>,
}

const FILE: &str = "boxes.json";
const MAP: Record = Record {
    name: "your own map of box names",
    codes: ["map", "map_mode"],
    remedies: [
        "nothing was changed; put a copy back, or move it away and give boxes by their id",
        "check each box id in it, then chmod 600 it",
    ],
    largest: 16 << 20,
};

// === impl Map ===

impl Map {
    /// The map in this folder; an empty one if none was written yet.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let Some(written) = MAP.read::<Written>(&path)? else { return Ok(Self::default()) };
        let names: BTreeSet<&Name> = written.boxes.iter().map(|entry| &entry.name).collect();
        let ids: BTreeSet<BoxId> = written.boxes.iter().map(|entry| entry.box_id).collect();
        if names.len() != written.boxes.len() || ids.len() != written.boxes.len() {
            return Err(MAP.unusable(&path, "a name or an id stands in it twice"));
        }
        Ok(Self { boxes: written.boxes })
    }

    /// With a box that the operator states on the command line, for a machine that keeps no map. It
    /// cannot say otherwise than the map.
    pub(crate) fn state(&mut self, name: &Name, box_id: BoxId) -> Result<(), Failure> {
        let says = |entry: &&Entry| entry.name == *name || entry.box_id == box_id;
        match self.boxes.iter().find(says) {
            Some(entry) if entry.name == *name && entry.box_id == box_id => Ok(()),
            Some(entry) => {
                let what = format!("your own map says otherwise: {} is box {}", entry.name, entry.box_id);
                Err(Failure::usage("box_differs", what, "find out which is right before you sign anything"))
            }
            None => {
                let (name, added_at) = (name.clone(), Timestamp::now());
                self.boxes.push(Entry { name, box_id, added_at, acknowledged: false, retired: false });
                Ok(())
            }
        }
    }

    pub(crate) fn boxes(&self) -> &[Entry] {
        &self.boxes
    }

    pub(crate) fn by_name(&self, name: &Name) -> Option<&Entry> {
        self.boxes.iter().find(|entry| entry.name == *name)
    }

    pub(crate) fn by_id(&self, id: BoxId) -> Option<&Entry> {
        self.boxes.iter().find(|entry| entry.box_id == id)
    }

    /// The box that was typed: a name of this map, or an id.
    pub(crate) fn find(&self, typed: &str) -> Result<BoxId, Failure> {
        if let Ok(id) = typed.parse() {
            return Ok(id);
        }
        let known = typed.parse().ok().and_then(|name| self.by_name(&name));
        known.map(|entry| entry.box_id).ok_or_else(|| {
            Failure::usage(
                "unknown_name",
                format!("your own map has no box of the name {:?}", crate::show::clean(typed)),
                "what the hub calls a box is not believed here; give the box id if another operator added it",
            )
        })
    }
}

// === impl HeldMap ===

impl HeldMap {
    /// Waits for others that change the map, then reads it.
    pub(crate) fn hold(folder: &Path) -> Result<Self, Failure> {
        MAP.folder(folder)?;
        let mut options = File::options();
        let file = options.create(true).append(true).mode(0o600).open(folder.join("boxes.lock"));
        let file = file.map_err(|error| MAP.failed(folder, &error))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive);
        let lock = lock.map_err(|(_, errno)| MAP.failed(folder, &errno.into()))?;
        Ok(Self { map: Map::read(folder)?, folder: folder.to_owned(), _lock: lock })
    }

    pub(crate) fn map(&self) -> &Map {
        &self.map
    }

    /// Adds an entry and returns once it is on disk.
    pub(crate) fn add(&mut self, entry: Entry) -> Result<(), Failure> {
        self.map.boxes.push(entry);
        self.map.boxes.sort_by(|a, b| a.name.cmp(&b.name));
        self.write()
    }

    /// Marks a box as known to the hub.
    pub(crate) fn acknowledge(&mut self, id: BoxId) -> Result<(), Failure> {
        for entry in self.map.boxes.iter_mut().filter(|entry| entry.box_id == id) {
            entry.acknowledged = true;
        }
        self.write()
    }

    /// Keeps whether a box was retired from here. One that is not in the map stays out of it.
    pub(crate) fn note_retired(&mut self, id: BoxId, retired: bool) -> Result<(), Failure> {
        let Some(entry) = self.map.boxes.iter_mut().find(|entry| entry.box_id == id) else { return Ok(()) };
        if entry.retired == retired {
            return Ok(());
        }
        entry.retired = retired;
        self.write()
    }

    /// Takes back an entry that the hub has refused.
    pub(crate) fn withdraw(&mut self, id: BoxId) -> Result<(), Failure> {
        self.map.boxes.retain(|entry| entry.box_id != id || entry.acknowledged);
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let written = Written { v: V1, boxes: self.map.boxes.clone() };
        MAP.write(&self.folder, &self.folder.join(FILE), &written)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(truth: &bool) -> bool {
    !*truth
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
        thread,
    };

    use rand::{rand_core::UnwrapErr, rngs::SysRng};

    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.parse().unwrap(),
            box_id: BoxId::random(&mut UnwrapErr(SysRng)),
            added_at: Timestamp::from_unix(1_772_539_200).unwrap(),
            acknowledged: false,
            retired: false,
        }
    }

    #[test]
    fn names_added_at_the_same_time_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for number in 0..8 {
                let path = folder.path();
                scope.spawn(move || {
                    let mut held = HeldMap::hold(path).unwrap();
                    held.add(entry(&format!("box-{number}"))).unwrap();
                });
            }
        });
        assert_eq!(Map::read(folder.path()).unwrap().boxes().len(), 8);
        assert_eq!(fs::metadata(folder.path().join(FILE)).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_map_is_refused_and_left_as_it_is() {
        let id = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d";
        let line = |name: &str, id: &str| {
            format!(r#"{{"name":"{name}","box_id":"{id}","added_at":"2026-03-03T12:00:00Z","acknowledged":true}}"#)
        };
        let other = "4f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d";
        for bad in [
            String::new(),
            "{".into(),
            r#"{"v":2,"boxes":[]}"#.into(),
            r#"{"v":1}"#.into(),
            r#"{"v":1,"boxes":[],"more":1}"#.into(),
            r#"{"v":1,"boxes":[],"boxes":[]}"#.into(),
            format!(r#"{{"v":1,"boxes":[{},{}]}}"#, line("a", id), line("b", id)),
            format!(r#"{{"v":1,"boxes":[{},{}]}}"#, line("a", id), line("a", other)),
            format!(r#"{{"v":1,"boxes":[{}]}}"#, line("a b", id)),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(FILE);
            fs::write(&path, &bad).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(Map::read(folder.path()).is_err(), "{bad}");
            assert!(HeldMap::hold(folder.path()).is_err(), "{bad}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
    }

    #[test]
    fn a_map_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, r#"{"v":1,"boxes":[]}"#).unwrap();
        for (mode, taken) in [(0o600, true), (0o644, true), (0o664, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Map::read(folder.path()).is_ok(), taken, "{mode:o}");
        }
    }

    #[test]
    fn only_what_the_hub_never_took_can_be_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, gone) = (entry("kept"), entry("gone"));
        let mut held = HeldMap::hold(folder.path()).unwrap();
        held.add(kept.clone()).unwrap();
        held.add(gone.clone()).unwrap();
        held.acknowledge(kept.box_id).unwrap();
        held.withdraw(kept.box_id).unwrap();
        held.withdraw(gone.box_id).unwrap();
        drop(held);
        let map = Map::read(folder.path()).unwrap();
        assert_eq!(map.boxes().iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["kept"]);
        assert!(map.find("gone").is_err());
        assert_eq!(map.find("kept").unwrap(), kept.box_id);
        assert_eq!(map.find(&gone.box_id.to_string()).unwrap(), gone.box_id);
    }
}
