//! Kits: bundles in files, which stand in for the hub. With the ten words one of them is a complete
//! recovery, so it is never to lie beside them.
//!
//! Where a kit comes from says nothing about it. Its header sorts and labels; what it is has to prove
//! itself under the words.

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use tenwords_escrow::open::Parts;
use tenwords_protocol::{
    directive::Directive,
    hash::Sha256,
    id::BoxId,
    time::Timestamp,
    v1::V1,
    version::{Bundle, MAX_BUNDLE_BYTES, StoredHeader, UpdateVersion},
};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
};

/// As [`Bundle::parse`] takes them, updates included.
pub(crate) const LIMIT: u64 = MAX_BUNDLE_BYTES as u64 * 8;

/// One kit, and where it was found.
struct Kit {
    place: String,
    stored: StoredHeader,
    bundle: Bundle,
}

/// Some kits, of one box or of several, each with a number of its own: the oldest is 1.
pub(crate) struct Kits(Vec<Kit>);

impl Kits {
    /// The kit in a file.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let what = || format!("the kit {} cannot be read", path.display());
        let text = durable::read_limited(path, LIMIT).map_err(|error| {
            Stop::new(Code::Usage, what()).remedy("name the file that `tenwords-agent kit` has written").because(error)
        })?;
        let bundle = Bundle::parse(&text).map_err(|error| {
            Stop::new(Code::GateRefused, what())
                .remedy("take another copy of the kit: this file is damaged, or is none")
                .because(error)
        })?;
        let made_at = bundle.header().facts().made_at;
        Ok(Self::of(vec![(format!("the kit {}", path.display()), made_at, bundle)]))
    }

    /// Of bundles with their places, and when they came there.
    pub(crate) fn of(mut found: Vec<(String, Timestamp, Bundle)>) -> Self {
        found.sort_by_key(|(_, since, _)| *since);
        let numbered = (1..).filter_map(NonZeroU64::new).zip(found);
        Self(
            numbered
                .map(|(number, (place, received_at, bundle))| {
                    let stored = StoredHeader { v: V1, number, received_at, header: bundle.header().clone() };
                    Kit { place, stored, bundle }
                })
                .collect(),
        )
    }

    /// The boxes that they are of, each once.
    pub(crate) fn boxes(&self) -> Vec<BoxId> {
        let mut boxes: Vec<BoxId> = self.0.iter().map(|kit| kit.stored.header.facts().box_id).collect();
        boxes.sort_unstable();
        boxes.dedup();
        boxes
    }

    /// The headers of one box, newest first.
    pub(crate) fn versions(&self, of: BoxId) -> Vec<StoredHeader> {
        let of_box = self.0.iter().rev().map(|kit| &kit.stored);
        of_box.filter(|stored| stored.header.facts().box_id == of).cloned().collect()
    }

    /// The parts of one.
    pub(crate) fn parts(&self, number: NonZeroU64) -> Option<Parts> {
        self.kit(number).map(|kit| kit.bundle.parts().clone())
    }

    /// What one suggests to restore.
    pub(crate) fn directive(&self, number: NonZeroU64) -> Option<Directive> {
        self.kit(number).and_then(|kit| kit.bundle.directive().cloned())
    }

    /// The updates on this root, by each kit that has it: whoever put a newer one beside it can only add.
    pub(crate) fn updates_on(&self, of: BoxId, root_sha256: Sha256) -> impl Iterator<Item = &[UpdateVersion]> {
        let is_of = move |kit: &&Kit| {
            let facts = kit.stored.header.facts();
            facts.box_id == of && facts.root_sha256 == root_sha256
        };
        self.0.iter().rev().filter(is_of).map(|kit| kit.bundle.updates())
    }

    /// The parts of the updates that one carries.
    pub(crate) fn update_parts(&self, number: NonZeroU64) -> impl Iterator<Item = &Parts> {
        let updates = self.kit(number).map(|kit| kit.bundle.updates()).unwrap_or_default();
        updates.iter().map(UpdateVersion::parts)
    }

    /// Where one was found, for a person.
    pub(crate) fn place(&self, number: NonZeroU64) -> String {
        self.kit(number).map_or_else(|| "nowhere".to_owned(), |kit| kit.place.clone())
    }

    fn kit(&self, number: NonZeroU64) -> Option<&Kit> {
        self.0.iter().find(|kit| kit.stored.number == number)
    }
}

/// Writes a bundle as a kit, to a file that is not there yet.
pub(crate) fn write(path: &Path, bundle: &Bundle) -> Outcome<PathBuf> {
    let cannot = || format!("cannot write the kit to {}", path.display());
    let path = std::path::absolute(path).or_stop(Code::Usage, cannot)?;
    let text = bundle.to_text().or_stop(Code::Internal, cannot)?;
    durable::create("kit", &path, 0o600, &text).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => is_there(&path),
        _ => Stop::new(Code::Preflight, cannot()).because(error),
    })?;
    Ok(path)
}

/// Refuses a file that [`write()`] would refuse, before anything else is done.
pub(crate) fn check(path: &Path) -> Outcome<()> {
    if path.symlink_metadata().is_ok() { Err(is_there(path)) } else { Ok(()) }
}

fn is_there(path: &Path) -> Stop {
    Stop::new(Code::Usage, format!("{} is there already", path.display()))
        .remedy("name another file for the kit; an older kit may be the one that opens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kit_is_refused_with_what_to_do() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("box.kit");
        assert!(Kits::read(&path).is_err_and(|stop| stop.code == Code::Usage && stop.remedy.is_some()));
        for text in ["", "tenwords kit 2 - x\n{}\n", "tenwords kit 1 - Never keep this beside the ten words.\n{\"v\":1"]
        {
            std::fs::write(&path, text)?;
            let refused = Kits::read(&path).err();
            assert!(refused.is_some_and(|stop| stop.code == Code::GateRefused && stop.remedy.is_some()), "{text:?}");
        }
        Ok(())
    }
}
