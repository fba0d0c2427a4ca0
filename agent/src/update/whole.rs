//! Whether the hub gives back what it has acknowledged: not by its list, but by the bytes. Asked once a day, since all of
//! them are fetched; what was found stands until it is asked again.

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    hash::Sha256,
    json,
    problem::ProblemCode,
    time::Timestamp,
    v1::V1,
    version::{Bundle, Kind, StoredHeader, UpdateVersion},
};

use super::{at_hub::Trouble, own::Own};
use crate::{
    durable,
    hub::{Hub, HubError},
    interrupt,
    record::Record,
    settings::Configuration,
};

const FILE: &str = "hub-parts.json";
const LIMIT: u64 = 4096;

/// What was found last.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    v: V1,
    /// In days since 1970.
    day: i64,
    root_sha256: Sha256,
    is_damaged: bool,
}

impl Found {
    fn load(configuration: &Configuration) -> Option<Self> {
        let text = durable::read_limited(&configuration.state(FILE), LIMIT).ok()?;
        json::from_slice(&text).ok()
    }

    fn keep(&self, configuration: &Configuration) {
        let kept = json::to_vec(self)
            .map_err(std::io::Error::other)
            .and_then(|text| durable::replace("hub-parts", &configuration.state(FILE), 0o600, &text));
        if let Err(error) = kept {
            // It is asked once more by the next look.
            tracing::warn!(%error, "what the hub has given back cannot be written down");
        }
    }
}

/// Whether the hub has something else than it has acknowledged, by what it gives back today. Its silence is no answer,
/// and what was found before stands.
pub(super) fn is_damaged(configuration: &Configuration, own: &Own, hub: &Hub, now: Timestamp) -> Result<bool, Trouble> {
    let day = now.day();
    let root_sha256 = own.record.root_sha256;
    if let Some(found) = Found::load(configuration).filter(|found| (found.day, found.root_sha256) == (day, root_sha256))
    {
        return Ok(found.is_damaged);
    }
    let of = own.record.box_id;
    let is_own = |stored: &StoredHeader| stored.header.parts() == own.record.parts;
    let versions = hub.versions_until(of, |so_far| so_far.iter().any(is_own))?;
    // The newest copy of the ceremony, and what was stored on it since: what a recovery reads.
    let since = versions.iter().position(is_own).map_or(0, |place| place + 1);
    let of_ceremony = |stored: &&StoredHeader| stored.header.facts().root_sha256 == root_sha256;
    let mut is_damaged = false;
    for stored in versions.iter().take(since).filter(of_ceremony) {
        interrupt::check()?;
        is_damaged |= !is_whole(hub, own, stored)?;
    }
    // What is wrong is asked for again by the next look: a hub that fails for a moment gives it back then.
    let day = if is_damaged { day - 1 } else { day };
    Found { v: V1, day, root_sha256, is_damaged }.keep(configuration);
    Ok(is_damaged)
}

fn is_whole(hub: &Hub, own: &Own, stored: &StoredHeader) -> Result<bool, Trouble> {
    let parts = match hub.parts(own.record.box_id, stored) {
        // What is longer than it was, or not there any more, is not what was acknowledged. A hub that finds it damaged
        // itself fails.
        Err(HubError::NotFound | HubError::TooLarge) => return Ok(false),
        Err(HubError::Refused(problem)) if problem.code == ProblemCode::Internal => return Ok(false),
        parts => parts?,
    };
    Ok(match stored.header.facts().kind {
        Kind::Ceremony => Bundle::of_fetched(stored.header.clone(), parts).is_ok(),
        Kind::Update => UpdateVersion::of_fetched(stored.header.clone(), parts).is_ok(),
    })
}

/// Who does not ask knows nothing of it.
pub(super) fn forget(configuration: &Configuration) {
    if let Err(error) = std::fs::remove_file(configuration.state(FILE))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "what the hub has given back once is still known");
    }
}

/// Whether that was found the last time, for who asks nobody.
pub(crate) fn was_damaged(configuration: &Configuration, record: &Record) -> bool {
    Found::load(configuration).is_some_and(|found| found.is_damaged && found.root_sha256 == record.root_sha256)
}
