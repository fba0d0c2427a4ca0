//! Keys of a former code: snapshots that the opened escrow has no key for, while another version, under
//! other words, has one. The sheet with that number and date is then asked for.

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc};

use pbs_driver::Client;
use tenwords_escrow::{gate::GatedKey, select::date};
use tenwords_protocol::{
    fingerprint::Fingerprint,
    part::PartName,
    time::Timestamp,
    version::{Kind, StoredHeader},
};

use super::connect::Connected;
use crate::{
    exit::{Code, Outcome},
    interrupt,
    opening::{Candidates, Holder},
    seat::Seat,
};

/// A version that has keys which are lacking.
pub(super) struct Lacking {
    number: NonZeroU64,
    code: u64,
    made_at: Timestamp,
    keys: Vec<Fingerprint>,
    /// A snapshot that needs one of them.
    example: String,
}

/// What the snapshots need beyond `keys`, by the newest version that lists it. What a header lists is a
/// hint: the key has to pass the gate under its own root.
pub(super) fn lacking(
    connected: &[Connected<'_>],
    keys: &BTreeMap<Fingerprint, Arc<GatedKey>>,
    versions: &[StoredHeader],
) -> Vec<Lacking> {
    let mut needed = BTreeMap::new();
    for info in connected.iter().flat_map(|source| &source.snapshots) {
        if let Some(key) = info.fingerprint.filter(|key| !keys.contains_key(key)) {
            needed.entry(key).or_insert_with(|| info.snapshot.to_string());
        }
    }
    let mut found: Vec<Lacking> = Vec::new();
    for (key, example) in needed {
        let has = |stored: &&StoredHeader| {
            stored.header.facts().kind == Kind::Ceremony
                && stored.header.parts().iter().any(|part| part.name == PartName::Key(key))
        };
        let Some(stored) = versions.iter().filter(has).max_by_key(|stored| stored.number) else { continue };
        match found.iter_mut().find(|lacking| lacking.number == stored.number) {
            Some(lacking) => lacking.keys.push(key),
            None => found.push(Lacking {
                number: stored.number,
                code: stored.header.facts().code_number.get(),
                made_at: stored.header.facts().made_at,
                keys: vec![key],
                example,
            }),
        }
    }
    found
}

/// Asks for the words of each such code, and tells the keys that were lacking; whoever has not got its
/// sheet goes on without.
pub(super) fn ask(
    lacking: &[Lacking],
    holder: Holder<'_>,
    client: &Client,
    seat: &mut dyn Seat,
) -> Outcome<BTreeMap<Fingerprint, Arc<GatedKey>>> {
    let mut found = BTreeMap::new();
    for Lacking { number, code, made_at, example, keys } in lacking {
        let talk = seat.talk();
        seat.say(&(talk.needs_former)(example, *code, *made_at));
        if !seat.confirm(talk.have_former)? {
            continue;
        }
        let heading = (talk.former_words)(*code);
        match Candidates::of(holder, Some(*number))?.open(None, client, &heading, seat) {
            Ok((opened, _)) => {
                // Nothing but what is lacking: the version may be one that somebody pushed with words he saw.
                let of_it = opened.escrow.keys();
                found.extend(keys.iter().filter_map(|key| Some((*key, Arc::clone(of_it.get(key)?)))));
            }
            // The others, and all that the first words opened, come back all the same; so they do when this
            // prompt alone is given up.
            Err(stop) if matches!(stop.code, Code::WordsWrong | Code::GateRefused) => {
                seat.say(&format!("  {}", stop.in_one_line()));
            }
            Err(stop) if stop.code == Code::Interrupted && !interrupt::is_ending() && seat.is_taken().is_ok() => {}
            Err(stop) => return Err(stop),
        }
    }
    Ok(found)
}

impl Lacking {
    pub(super) fn is_held(&self, keys: &BTreeMap<Fingerprint, Arc<GatedKey>>) -> bool {
        self.keys.iter().all(|key| keys.contains_key(key))
    }

    pub(super) fn note(&self) -> String {
        let Self { number, code, made_at, keys, example } = self;
        format!(
            "{example} and others need {}, which lies under code {code} ({}): with that sheet, run `recover --version \
             {number} --into …`",
            keys.iter().map(|key| key.short().to_string()).collect::<Vec<_>>().join(", "),
            date(*made_at)
        )
    }
}
