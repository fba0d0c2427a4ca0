//! What the box remembers of its newest acknowledged escrow version.
//!
//! Public facts only; the private box key lies beside it, and the version's own bytes, so that a
//! hub that lost them can be given them again.

use std::{collections::BTreeSet, io, num::NonZeroU64, path::PathBuf};

use serde::{Deserialize, Serialize};
use tenwords_escrow::{
    keys::{BoxKey, BoxPublicKey},
    root::Source,
    update::Ceremony,
};
use tenwords_protocol::{
    fingerprint::Fingerprint,
    hash::Sha256,
    id::{BoxId, CodeId},
    json,
    time::Timestamp,
    v1::V1,
    version::{Bundle, PartEntry, UpdateVersion},
};
use zeroize::Zeroizing;

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    kits::{self, Kits},
    settings::Configuration,
};

const RECORD: &str = "escrow.json";
const BUNDLE: &str = "escrow.bundle";
const DAMAGED: &str = "escrow.bundle.damaged";
const BOX_KEY: &str = "box.key";
const LIMIT: u64 = 1 << 20;

/// The newest acknowledged ceremony.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) v: V1,
    pub(crate) box_id: BoxId,
    /// The hub's number for the version.
    pub(crate) number: NonZeroU64,
    pub(crate) code_number: NonZeroU64,
    pub(crate) code_id: CodeId,
    pub(crate) sequence: NonZeroU64,
    pub(crate) made_at: Timestamp,
    pub(crate) root_sha256: Sha256,
    pub(crate) parts: Vec<PartEntry>,
    /// The keys that were live at the ceremony.
    pub(crate) keys: BTreeSet<Fingerprint>,
    /// Where a recovery would look. A record that does not say so knows of none.
    #[serde(default)]
    pub(crate) sources: Vec<Source>,
    pub(crate) check_line: String,
    /// The age recipient of updates.
    pub(crate) recipient: String,
    /// The public half of the box key, whose private half lies beside. A record that does not say so is older
    /// than updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) box_key: Option<String>,
    /// The file that keeps it, of a box without a hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kit: Option<PathBuf>,
}

/// Where the newest acknowledged version's bytes lie, with the updates on it.
fn bundle_path(configuration: &Configuration) -> PathBuf {
    configuration.state(BUNDLE)
}

/// The newest acknowledged version as the box has kept it, to be opened without any hub.
pub(crate) fn own_kits(configuration: &Configuration, of: BoxId) -> Outcome<Kits> {
    let own = Kits::read(&bundle_path(configuration))?;
    if own.boxes().contains(&of) {
        return Ok(own);
    }
    Err(Stop::new(Code::Internal, "what this box has kept of its escrow is another box's")
        .remedy("draw a new code: `escrow create --new-code`"))
}

/// Whether a source is one of these, on whichever side of the box's configuration it is kept.
pub(crate) fn is_among(known: &[Source], source: &Source) -> bool {
    known.iter().any(|known| *source == Source { kept_in: source.kept_in, ..known.clone() })
}

impl Record {
    /// Whether a recovery would go where this source is now; on which side of the box's configuration it
    /// is kept makes no difference to that.
    pub(crate) fn has(&self, source: &Source) -> bool {
        is_among(&self.sources, source)
    }

    /// What this machine has kept as another box goes beside, under that box's id.
    fn set_aside(&self, configuration: &Configuration) {
        if let Ok(Some(former)) = Self::load(configuration)
            && former.box_id != self.box_id
        {
            let aside = configuration.state(&format!("escrow-{}.bundle", former.box_id));
            if let Err(error) = std::fs::rename(bundle_path(configuration), aside) {
                tracing::warn!(%error, "the former box's escrow cannot be set aside");
            }
        }
    }

    /// The newest acknowledged version's own bytes.
    pub(crate) fn bundle(configuration: &Configuration) -> Outcome<Bundle> {
        let cannot = || format!("{} cannot be read", bundle_path(configuration).display());
        let text = Self::bundle_text(configuration).or_stop(Code::Internal, cannot)?;
        Bundle::parse(&text).or_stop(Code::Internal, cannot)
    }

    /// The same, as they lie there.
    pub(crate) fn bundle_text(configuration: &Configuration) -> io::Result<Vec<u8>> {
        durable::read_limited(&bundle_path(configuration), kits::LIMIT)
    }

    /// A damaged copy makes room for another one, and can be looked at beside it.
    pub(crate) fn set_damaged_bundle_aside(configuration: &Configuration) -> Outcome<()> {
        match std::fs::rename(bundle_path(configuration), configuration.state(DAMAGED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).or_stop(Code::Preflight, || "the damaged copy of the escrow cannot be set aside".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What an update is made for.
    pub(crate) fn ceremony(&self) -> Outcome<Ceremony> {
        let recipient =
            self.recipient.parse().or_stop(Code::Internal, || "the record of the escrow is damaged".into())?;
        Ok(Ceremony {
            box_id: self.box_id,
            code_id: self.code_id,
            root_sha256: self.root_sha256,
            recipient,
            sources: self.sources.iter().map(|source| source.id.clone()).collect(),
        })
    }

    /// The private box key of this ceremony. One of another ceremony, which was interrupted, signs nothing here.
    pub(crate) fn box_key(&self, configuration: &Configuration) -> Outcome<BoxKey> {
        let path = configuration.state(BOX_KEY);
        let remedy = "hold a ceremony: `tenwords-agent escrow create` with the customer at the console";
        let damaged =
            || Stop::new(Code::Internal, format!("the box key in {} is damaged", path.display())).remedy(remedy);
        let text = durable::read_limited(&path, LIMIT).map(Zeroizing::new).map_err(|error| damaged().because(error))?;
        let text = std::str::from_utf8(&text).map_err(|error| damaged().because(error))?;
        let key = BoxKey::from_openssh(text).map_err(|error| damaged().because(error))?;
        match self.box_key.as_deref().map(str::parse::<BoxPublicKey>) {
            Some(Ok(public)) if public == key.public() => Ok(key),
            _ => Err(Stop::new(Code::Internal, "the box key is another ceremony's, which did not come to its end")
                .remedy(remedy)),
        }
    }

    /// Keeps the version's bytes with what lies on it.
    pub(crate) fn keep_bundle(configuration: &Configuration, bundle: &Bundle) -> Outcome<()> {
        let cannot = || format!("cannot keep the escrow in {}", configuration.settings.state.display());
        let bytes = bundle.to_text().or_stop(Code::Internal, cannot)?;
        if bytes.len() as u64 > kits::LIMIT {
            return Err(Stop::new(Code::Internal, "more updates lie on the ceremony than a kit can have")
                .remedy("hold a ceremony: `tenwords-agent escrow create` folds them in"));
        }
        durable::replace("escrow-bundle", &bundle_path(configuration), 0o600, &bytes).or_stop(Code::Preflight, cannot)
    }

    /// Adds a version that was stored on this ceremony, so that it can be given again.
    pub(crate) fn add_update(configuration: &Configuration, version: UpdateVersion) -> Outcome<()> {
        let bundle = Self::bundle(configuration)?;
        let mut updates = bundle.updates().to_vec();
        if updates.contains(&version) {
            return Ok(());
        }
        updates.push(version);
        Self::keep_bundle(configuration, &bundle.with_kit(updates, None))
    }

    /// Keeps the record alone: the hub has another number for the same version.
    pub(crate) fn keep_facts(&self, configuration: &Configuration) -> Outcome<()> {
        let cannot = || format!("cannot keep the escrow's record in {}", configuration.settings.state.display());
        let text = json::to_vec(self).or_stop(Code::Internal, cannot)?;
        durable::replace("escrow-record", &configuration.state(RECORD), 0o600, &text).or_stop(Code::Preflight, cannot)
    }

    pub(crate) fn load(configuration: &Configuration) -> Outcome<Option<Self>> {
        let path = configuration.state(RECORD);
        match durable::read_limited(&path, LIMIT) {
            Ok(text) => json::from_slice(&text).map(Some).or_stop(Code::Internal, || {
                format!("{} is damaged; `tenwords-agent escrow create` makes a new one", path.display())
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Stop::new(Code::Internal, format!("cannot read {}", path.display())).because(error)),
        }
    }

    /// Keeps the record, the private box key and the version's bytes. The record comes last: it is
    /// what says that the others are in place.
    pub(crate) fn keep(&self, configuration: &Configuration, box_key: &BoxKey, bundle: &Bundle) -> Outcome<()> {
        let cannot = || format!("cannot keep the escrow's record in {}", configuration.settings.state.display());
        let key = box_key.expose_openssh().or_stop(Code::Internal, cannot)?;
        let bytes = bundle.to_text().or_stop(Code::Internal, cannot)?;
        let text = json::to_vec(self).or_stop(Code::Internal, cannot)?;
        self.set_aside(configuration);
        let keep = |step, name, bytes: &[u8]| durable::replace(step, &configuration.state(name), 0o600, bytes);
        keep("box-key", BOX_KEY, key.as_bytes())
            .and_then(|()| keep("escrow-bundle", BUNDLE, &bytes))
            .and_then(|()| keep("escrow-record", RECORD, &text))
            .or_stop(Code::Internal, cannot)
    }
}
