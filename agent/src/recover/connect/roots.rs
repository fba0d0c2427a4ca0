//! The roots of one run: the one that was opened, and with each order `repoint` one more.

use std::{cell::OnceCell, collections::BTreeMap};

use tenwords_escrow::root::Root;
use tenwords_protocol::{directive::Name, order::OrderedPlace};

use crate::exit::{Code, OrStop as _, Outcome, Stop};

/// A root, and the one that has taken its place. All of them stay, since what was learnt by one refers to it.
pub(in crate::recover) struct Roots {
    root: Root,
    next: OnceCell<Box<Roots>>,
}

impl Roots {
    pub(in crate::recover) fn of(root: Root) -> Self {
        Self { root, next: OnceCell::new() }
    }

    pub(in crate::recover) fn root(&self) -> &Root {
        &self.root
    }

    /// The one with this root, which takes the place of this one.
    pub(super) fn followed_by(&self, root: Root) -> &Self {
        self.next.get_or_init(|| Box::new(Self::of(root)))
    }
}

/// A root with its sources where orders that were used say that they are.
pub(in crate::recover) fn at_these_places(root: Root, places: &BTreeMap<Name, OrderedPlace>) -> Outcome<Root> {
    places.iter().try_fold(root, |root, (source, place)| {
        root.repointed(source, place).or_stop(Code::GateRefused, || {
            format!("the journal has an order that was used for source {source}, which the escrow cannot follow")
        })
    })
}

/// The root where one source is at this place.
pub(super) fn with(root: &Root, source: &Name, place: &OrderedPlace) -> Outcome<Root> {
    let cannot = || format!("source {source} cannot be at {}:{}", place.server, place.port);
    let again = root.again().or_stop(Code::Internal, cannot)?;
    again.repointed(source, place).map_err(|error| Stop::new(Code::Preflight, cannot()).because(error))
}
