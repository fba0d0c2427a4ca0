//! Which box this machine is: one that a hub knows, or one that stands alone.

use std::io;

use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use tenwords_protocol::{id::BoxId, json, v1::V1};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    identity::Identity,
    settings::Configuration,
};

const ALONE: &str = "box.json";
const LIMIT: u64 = 4096;

/// Whose escrow it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoxFacts {
    pub(crate) id: BoxId,
    pub(crate) name: String,
}

/// What this machine knows of itself.
#[derive(Debug)]
pub(crate) enum Standing {
    /// A node of a box that a hub knows.
    Enrolled(Identity),
    /// A box without a hub: its escrow is kept in kits.
    Alone(BoxFacts),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    v: V1,
    box_id: BoxId,
    box_name: String,
}

impl Standing {
    /// What it is; enrolment goes first.
    pub(crate) fn load(configuration: &Configuration) -> Outcome<Option<Self>> {
        if let Some(identity) = Identity::load(configuration)? {
            return Ok(Some(Self::Enrolled(identity)));
        }
        Ok(BoxFacts::load(configuration)?.map(Self::Alone))
    }

    pub(crate) fn required(configuration: &Configuration) -> Outcome<Self> {
        match BoxFacts::load(configuration)? {
            Some(alone) if Identity::load(configuration)?.is_none() => Ok(Self::Alone(alone)),
            _ => Identity::required(configuration).map(Self::Enrolled),
        }
    }

    pub(crate) fn facts(&self) -> BoxFacts {
        match self {
            Self::Enrolled(identity) => identity.facts(),
            Self::Alone(facts) => facts.clone(),
        }
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Enrolled(identity) => Some(identity),
            Self::Alone(_) => None,
        }
    }
}

impl BoxFacts {
    /// A new box without a hub.
    pub(crate) fn new(name: &str, rng: &mut impl CryptoRng) -> Self {
        Self { id: BoxId::random(rng), name: name.to_owned() }
    }

    pub(crate) fn load(configuration: &Configuration) -> Outcome<Option<Self>> {
        let path = configuration.state(ALONE);
        let damaged = || {
            Stop::new(Code::Preflight, format!("{} is damaged", path.display()))
                .remedy("put it back from a kit's header (box_id, box name), or remove it to begin as another box")
        };
        match durable::read_limited(&path, LIMIT) {
            Ok(text) => json::from_slice(&text)
                .map(|Kept { box_id: id, box_name: name, .. }| Some(Self { id, name }))
                .map_err(|error| damaged().because(error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(damaged().because(error)),
        }
    }

    /// Keeps it as this machine's own.
    pub(crate) fn keep(&self, configuration: &Configuration) -> Outcome<()> {
        let cannot = || format!("cannot keep state in {}", configuration.settings.state.display());
        let kept = Kept { v: V1, box_id: self.id, box_name: self.name.clone() };
        let text = json::to_vec(&kept).or_stop(Code::Internal, cannot)?;
        durable::folder(&configuration.settings.state, 0o700).or_stop(Code::Preflight, cannot)?;
        durable::replace("box", &configuration.state(ALONE), 0o600, &text).or_stop(Code::Preflight, cannot)
    }
}
