//! `key needed`: what the backup servers say of the kept keys.

use serde::Serialize;
use tenwords_protocol::{fingerprint::Fingerprint, inventory::Inventory, time::Timestamp, v1::V1};

use super::{
    index::Index,
    list::{Listed, list},
    release::{Answers, take},
};
use crate::{
    exit::{Code, Outcome},
    interrupt, inventory,
    lock::StateLock,
    settings::Configuration,
    show::harmless,
    sources,
};

/// What was asked, and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Asked {
    v: V1,
    /// The keys that were let go of.
    released: Vec<Fingerprint>,
    keys: Listed,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Of the first source that gave no answer.
    #[serde(skip)]
    pub(crate) failed: Option<Code>,
}

/// Asks every source. The caller holds the lock.
pub(crate) fn ask(configuration: &Configuration) -> Outcome<Asked> {
    let taken = inventory::take(configuration)?;
    let mut notes = Vec::new();
    let released = note(configuration, &taken.inventory, Timestamp::now(), &mut notes)?;
    Ok(Asked { v: V1, released, keys: list(configuration)?, notes, failed: taken.failed })
}

/// On a node that does not escrow for its box nobody else asks; its own kept keys are let go of all the same, where
/// nothing needs them.
pub(crate) fn ask_once_a_day(configuration: &Configuration, now: Timestamp) -> Outcome<()> {
    let (index, _) = Index::load(configuration);
    if index.keys.is_empty() || index.asked_on == Some(now.day()) {
        return Ok(());
    }
    let inventory = inventory::take(configuration)?.inventory;
    interrupt::check()?;
    let mut notes = Vec::new();
    if let Some(_lock) = StateLock::take_for_pass(configuration)? {
        note(configuration, &inventory, now, &mut notes)?;
    }
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    Ok(())
}

/// Takes in what an inventory says of the keys, and lets go of those that nothing needs; tells which those were.
/// The caller holds the lock.
pub(crate) fn note(
    configuration: &Configuration,
    inventory: &Inventory,
    now: Timestamp,
    notes: &mut Vec<String>,
) -> Outcome<Vec<Fingerprint>> {
    let found = sources::of_box(configuration)?;
    Ok(take(configuration, &found, &Answers::of(inventory), now, notes))
}

impl Asked {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.keys.lines();
        let gone = |key: &Fingerprint| format!("key {} was let go of: no snapshot has needed it for long", key.short());
        lines.extend(self.released.iter().map(gone));
        lines.extend(self.notes.iter().map(|note| format!("note: {}", harmless(note, 400))));
        lines
    }
}
