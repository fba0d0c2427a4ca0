//! `drills.json`: what the box remembers of its last drills that ended well. Nothing is decided by it.

use std::{io, num::NonZeroU64};

use serde::{Deserialize, Serialize};
use tenwords_protocol::{drill::DrilledArchive, id::BoxId, json, time::Timestamp, v1::V1};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    settings::Configuration,
};

const FILE: &str = "drills.json";
const LIMIT: u64 = 64 << 10;

/// The last drill of each level.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    v: V1,
    box_id: BoxId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) words: Option<Drilled>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) archive: Option<Drilled>,
}

/// One that ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drilled {
    pub(crate) at: Timestamp,
    /// Whose words were typed.
    pub(crate) code_number: NonZeroU64,
    /// Which escrow they opened.
    pub(crate) sequence: NonZeroU64,
    /// Whether the hub has written it down.
    pub(crate) reported: bool,
    /// What came back, in a drill of an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) archive: Option<DrilledArchive>,
}

impl Kept {
    /// What is known of this box's; what cannot be read is not known.
    pub(crate) fn load(configuration: &Configuration, box_id: BoxId) -> Self {
        let path = configuration.state(FILE);
        let none = Self { v: V1, box_id, words: None, archive: None };
        match durable::read_limited(&path, LIMIT) {
            Ok(text) => json::from_slice(&text).ok().filter(|kept: &Self| kept.box_id == box_id).unwrap_or_else(|| {
                tracing::warn!(path = %path.display(), "the record of the drills is damaged, or another box's");
                none
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "the record of the drills cannot be read");
                }
                none
            }
        }
    }

    /// Adds one, in the place of the last of its level.
    pub(super) fn add(configuration: &Configuration, box_id: BoxId, drilled: Drilled) -> Outcome<()> {
        let mut kept = Self::load(configuration, box_id);
        match drilled.archive {
            Some(_) => kept.archive = Some(drilled),
            None => kept.words = Some(drilled),
        }
        let path = configuration.state(FILE);
        let cannot = || format!("cannot keep the drill in {}", path.display());
        let text = json::to_vec(&kept).or_stop(Code::Internal, cannot)?;
        durable::replace("drills", &path, 0o600, &text).or_stop(Code::Internal, cannot)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_level_is_kept_by_itself_and_what_cannot_be_read_is_not_known() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("agent.toml");
        fs::write(&file, format!("state = \"{}\"\n", folder.path().display()))?;
        let configuration = Configuration::read(&file).map_err(|stop| stop.what)?;
        let id: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?;
        let other: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5e".parse()?;
        let drilled = |archive| -> Result<Drilled, Box<dyn std::error::Error>> {
            let at = "2026-03-03T12:00:00Z".parse()?;
            Ok(Drilled { at, code_number: NonZeroU64::MIN, sequence: NonZeroU64::MIN, reported: true, archive })
        };
        let archive = DrilledArchive {
            source: "pbs".parse()?,
            snapshot: "ct/101/2026-03-03T12:00:00Z".parse()?,
            archive: "root.pxar".parse()?,
            bytes: 1,
            files: 1,
        };
        assert!(Kept::load(&configuration, id).words.is_none());
        for facts in [None, Some(archive)] {
            Kept::add(&configuration, id, drilled(facts)?).map_err(|stop| stop.what)?;
        }
        let kept = Kept::load(&configuration, id);
        assert!(kept.words.is_some_and(|words| words.archive.is_none()));
        assert!(kept.archive.is_some_and(|archive| archive.archive.is_some()));
        assert!(Kept::load(&configuration, other).words.is_none());
        fs::write(configuration.state(FILE), "{\"v\":1")?;
        assert!(Kept::load(&configuration, id).words.is_none());
        Ok(())
    }
}
