//! Step 9: a ceremony under the same words; without a hub into a kit of its own.

use std::{cell::Cell, collections::BTreeMap, sync::Arc};

use pbs_driver::Client;
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::{code::RecoveryCode, gate::GatedKey, root::Root};
use tenwords_protocol::{fingerprint::Fingerprint, time::Timestamp};

use super::{connect::Tokens, origin::Origin};
use crate::{
    ceremony::{self, History, Made, Material, Place},
    exit::Outcome,
    settings::Configuration,
    shelf::Shelf,
    standing::BoxFacts,
};

/// What the closing ceremony escrows: what was opened, with what was learnt since.
pub(super) struct Closing<'c> {
    pub(super) configuration: &'c Configuration,
    pub(super) origin: &'c Origin,
    pub(super) client: &'c Client,
    pub(super) keys: &'c BTreeMap<Fingerprint, Arc<GatedKey>>,
    pub(super) tokens: &'c Tokens,
}

impl Closing<'_> {
    /// Holds it, with a root that says what is true by now.
    pub(super) fn hold(&self, root: Root, code: &RecoveryCode) -> Outcome<Made> {
        let Self { configuration, origin, client, keys, tokens } = self;
        let (label, sequence) = (root.facts().code, root.facts().sequence);
        let of = BoxFacts { id: root.facts().box_id, name: root.facts().box_name.clone() };
        let hub = origin.claimed().map(|claimed| &claimed.hub);
        let history = History::ask(configuration, of.id, hub)?.and(sequence);
        let mut facts = root.into_facts();
        tokens.put_into(&mut facts.secrets.tokens);
        let material = Material::of_recovery(facts, keys);
        let kit = configuration.state(&format!("escrow-{}.kit", Timestamp::now().unix()));
        let shelf = match hub {
            Some(hub) => Shelf::Hub(hub),
            None => Shelf::Kit(&kit),
        };
        let stored = Cell::new(false);
        let place = Place { configuration, of: &of, shelf, client, stored: &stored };
        ceremony::hold(&place, material, &history, label, code, &mut UnwrapErr(SysRng))
    }
}
