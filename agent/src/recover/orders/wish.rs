//! What would be done if an operator orders it, before any challenge is drawn.

use std::time::Duration;

use pbs_format::datastore::SnapshotRef;
use tenwords_protocol::{
    bounded::List,
    directive::Name,
    hash::Sha256,
    id::NodeId,
    order::{Act, Challenge, Line, OperatorsSeen, Order, OrderedSnapshot},
    time::Timestamp,
};

use crate::recover::course::{Begun, Open};

/// An order's time. Long enough for an operator who is asleep, and short enough that what he sees is
/// what there is.
pub(crate) const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// One that ends so soon is not waited for: another is drawn.
const TOO_SHORT: Duration = Duration::from_secs(15 * 60);

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) act: Act,
    /// What lies there and would be gone, or what was believed until now.
    pub(crate) destroys: Vec<String>,
    /// What lies there, exactly.
    pub(crate) found: Option<Sha256>,
}

impl Wish {
    /// The order for it.
    pub(crate) fn order(
        &self,
        begun: &Begun,
        node_id: Option<NodeId>,
        operators: OperatorsSeen,
        challenge: Challenge,
        now: Timestamp,
    ) -> Order {
        Order {
            box_id: begun.box_id,
            node_id,
            recovery: begun.recovery,
            act: self.act.clone(),
            destroys: List::cut(self.destroys.iter().map(|line| Line::cut(line))).0,
            found: self.found,
            operators,
            challenge,
            issued: now,
            expires: now.plus(LIFETIME),
        }
    }

    /// Whether an open order is the one for it, and goes on being waited for.
    pub(crate) fn is_asked_by(
        &self,
        open: &Open,
        node_id: Option<NodeId>,
        operators: OperatorsSeen,
        now: Timestamp,
    ) -> bool {
        let Order { act, found, node_id: of, operators: by, issued, expires, .. } = &open.order;
        *act == self.act
            && *found == self.found
            && *of == node_id
            && *by == operators
            && *issued <= now
            && now.plus(TOO_SHORT) < *expires
    }
}

/// A snapshot as an order names it. `None` if it cannot be named so, which no snapshot is known for.
pub(crate) fn ordered(
    source: &Name,
    namespace: &str,
    snapshot: &SnapshotRef,
    archive: Option<&str>,
) -> Option<OrderedSnapshot> {
    Some(OrderedSnapshot {
        source: source.clone(),
        namespace: if namespace.is_empty() { None } else { Some(namespace.parse().ok()?) },
        snapshot: snapshot.to_string().parse().ok()?,
        archive: archive.map(str::parse).transpose().ok()?,
    })
}
