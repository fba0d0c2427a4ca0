//! The nodes of a box: all machines that have a certificate as the box which was not revoked. How one is
//! taken out of it, and which one escrows.

use std::collections::HashMap;

use sqlx::{Row as _, any::AnyRow};
use tenwords_protocol::{
    bounded::{List, Text},
    id::{BoxId, NodeId},
    nodes::{MAX_NODES, NodeList, NodeState},
    time::Timestamp,
    v1::V1,
};

use super::{
    Act, CertificateKind, Entry, Store, StoreError, Tx, certificates::REMOVED, maybe_time, parsed, tickets::Purpose,
    time,
};

/// A node says which one escrows from now on.
#[derive(Debug)]
pub struct SetKeeper {
    /// The box.
    pub box_id: BoxId,
    /// The node that escrows.
    pub keeper: NodeId,
    /// The certificate that says so.
    pub serial: String,
    /// Whose that is.
    pub actor: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKeeperOutcome {
    /// It is that node already.
    Known,
    /// The box has no such node.
    NoNode,
    /// The certificate speaks for the box no more.
    NotTheBox,
    /// It is that node now.
    Set,
}

/// An operator takes a node out of its box.
#[derive(Debug)]
pub struct RemoveNode {
    /// The box.
    pub box_id: BoxId,
    /// The node.
    pub node_id: NodeId,
    /// Who.
    pub actor: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveNodeOutcome {
    /// The box has no such node.
    NoNode,
    /// So many certificates were revoked.
    Removed(u64),
}

/// A certificate that was not revoked, with its node; the newer ones come later.
macro_rules! living {
    ($rest:literal) => {
        concat!(
            "SELECT n.box_id, n.node_id, n.hostname, n.made_at, n.heard_at, c.expires_at, c.used_at \
             FROM nodes n JOIN certificates c ON c.node_id = n.node_id \
             WHERE c.kind = 'box' AND c.revoked_at IS NULL ",
            $rest
        )
    };
}

const OF_ALL: &str = living!("ORDER BY n.made_at, n.node_id, c.position");
const OF_BOX: &str = living!("AND n.box_id = $1 ORDER BY n.made_at, n.node_id, c.position");
/// A machine of this name that was a node of the box once, and not only in a recovery.
const CALLED: &str = "SELECT n.node_id FROM nodes n WHERE n.box_id = $1 AND n.hostname = $2 AND EXISTS \
                      (SELECT 1 FROM certificates c WHERE c.node_id = n.node_id AND c.kind = 'box') \
                      ORDER BY n.made_at DESC, n.node_id LIMIT 1";

/// A machine's name as it is kept. Shown, never believed; still, it is text. Two spellings are one host.
#[must_use]
pub fn hostname(text: &str) -> Option<String> {
    let fits = (1..=253).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    fits.then(|| text.to_ascii_lowercase())
}

impl Act for SetKeeper {
    type Reply = SetKeeperOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<SetKeeperOutcome, StoreError> {
        let Self { box_id, keeper, now, .. } = self;
        if tx.certificate_kind(&self.serial, *now).await? != Some(CertificateKind::Box) {
            return Ok(SetKeeperOutcome::NotTheBox);
        }
        if !tx.has_node(*box_id, *keeper).await? {
            return Ok(SetKeeperOutcome::NoNode);
        }
        let update = sqlx::query("UPDATE boxes SET keeper = $1 WHERE box_id = $2 AND (keeper IS NULL OR keeper <> $1)")
            .bind(keeper.to_string())
            .bind(box_id.to_string());
        if tx.write_any(update).await? == 0 {
            return Ok(SetKeeperOutcome::Known);
        }
        tx.audit(Entry {
            time: *now,
            actor: self.actor.clone(),
            action: "keeper.set",
            box_id: Some(*box_id),
            detail: format!("node {keeper} escrows"),
        })
        .await?;
        Ok(SetKeeperOutcome::Set)
    }
}

impl Act for RemoveNode {
    type Reply = RemoveNodeOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<RemoveNodeOutcome, StoreError> {
        let Self { box_id, node_id, actor, now } = self;
        let known = sqlx::query("SELECT hostname FROM nodes WHERE box_id = $1 AND node_id = $2")
            .bind(box_id.to_string())
            .bind(node_id.to_string());
        let Some(known) = tx.read(known).await? else { return Ok(RemoveNodeOutcome::NoNode) };
        let revoke = sqlx::query(
            "UPDATE certificates SET revoked_at = $1, revoked_because = $2 WHERE node_id = $3 AND revoked_at IS NULL",
        )
        .bind(now.unix())
        .bind(REMOVED)
        .bind(node_id.to_string());
        let revoked = tx.write_any(revoke).await?;
        if revoked == 0 {
            return Ok(RemoveNodeOutcome::Removed(0));
        }
        let keeper = sqlx::query("UPDATE boxes SET keeper = NULL WHERE box_id = $1 AND keeper = $2")
            .bind(box_id.to_string())
            .bind(node_id.to_string());
        tx.write_any(keeper).await?;
        // It may have saved one, its own or another's.
        tx.end_tickets(*box_id, Purpose::Enroll, *now).await?;
        tx.end_orders_of_former(*box_id, actor, *now).await?;
        tx.audit(Entry {
            time: *now,
            actor: actor.clone(),
            action: "node.remove",
            box_id: Some(*box_id),
            detail: format!("node {node_id}, host {}: {revoked} certificates revoked", known.try_get::<String, _>(0)?),
        })
        .await?;
        Ok(RemoveNodeOutcome::Removed(revoked))
    }
}

impl Tx<'_> {
    /// The node of this name, if the box ever had one.
    pub(super) async fn node_called(&mut self, box_id: BoxId, hostname: &str) -> Result<Option<NodeId>, StoreError> {
        let select = sqlx::query(CALLED).bind(box_id.to_string()).bind(hostname);
        self.read(select).await?.map(|row| parsed(&row, "nodes", "node_id")).transpose()
    }

    /// Whether the node has a certificate of the box that holds.
    pub(super) async fn node_lives(&mut self, node_id: NodeId, now: Timestamp) -> Result<bool, StoreError> {
        let select = sqlx::query(
            "SELECT serial FROM certificates \
             WHERE node_id = $1 AND kind = 'box' AND revoked_at IS NULL AND expires_at > $2 LIMIT 1",
        )
        .bind(node_id.to_string())
        .bind(now.unix());
        Ok(self.read(select).await?.is_some())
    }

    /// Whether another node still fits into the box, or this one is in it already.
    pub(super) async fn has_room(&mut self, box_id: BoxId, node_id: NodeId) -> Result<bool, StoreError> {
        let others = sqlx::query(
            "SELECT COUNT(DISTINCT node_id) AS others FROM certificates \
             WHERE box_id = $1 AND kind = 'box' AND revoked_at IS NULL AND node_id <> $2",
        )
        .bind(box_id.to_string())
        .bind(node_id.to_string());
        let others: i64 = self.read(others).await?.map(|row| row.try_get("others")).transpose()?.unwrap_or(0);
        Ok(others < MAX_NODES as i64)
    }

    async fn has_node(&mut self, box_id: BoxId, node_id: NodeId) -> Result<bool, StoreError> {
        let select = sqlx::query(
            "SELECT serial FROM certificates \
             WHERE box_id = $1 AND node_id = $2 AND kind = 'box' AND revoked_at IS NULL LIMIT 1",
        )
        .bind(box_id.to_string())
        .bind(node_id.to_string());
        Ok(self.read(select).await?.is_some())
    }
}

impl Store {
    /// The node of this name, if the box ever had one: a look before its certificate is signed.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be read.
    pub async fn node_called(&self, box_id: BoxId, hostname: &str) -> Result<Option<NodeId>, StoreError> {
        let select = sqlx::query(CALLED).bind(box_id.to_string()).bind(hostname);
        let row = select.fetch_optional(self.pool()).await?;
        row.map(|row| parsed(&row, "nodes", "node_id")).transpose()
    }

    /// The box's nodes, and which one escrows.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn nodes(&self, box_id: BoxId) -> Result<NodeList, StoreError> {
        let rows = sqlx::query(OF_BOX).bind(box_id.to_string()).fetch_all(self.pool()).await?;
        let keeper = sqlx::query("SELECT keeper FROM boxes WHERE box_id = $1").bind(box_id.to_string());
        let keeper = keeper.fetch_optional(self.pool()).await?.map(|row| keeper_of(&row)).transpose()?.flatten();
        let nodes = by_box(&rows)?.remove(&box_id).unwrap_or_default();
        Ok(NodeList { v: V1, keeper, nodes: List::cut(nodes).0 })
    }

    /// The nodes of all boxes, or of one.
    pub(super) async fn all_nodes(&self, of: Option<BoxId>) -> Result<HashMap<BoxId, Vec<NodeState>>, StoreError> {
        let query = match of {
            None => sqlx::query(OF_ALL),
            Some(of) => sqlx::query(OF_BOX).bind(of.to_string()),
        };
        by_box(&query.fetch_all(self.pool()).await?)
    }
}

/// The node that escrows, of a row of `boxes`.
pub(super) fn keeper_of(row: &AnyRow) -> Result<Option<NodeId>, StoreError> {
    row.try_get::<Option<String>, _>("keeper")?
        .map(|text| text.parse().map_err(|_| StoreError::unreadable("boxes", "keeper", text)))
        .transpose()
}

/// A node stands with the newest certificate that it has used, or else with the newest that it was given.
fn by_box(rows: &[AnyRow]) -> Result<HashMap<BoxId, Vec<NodeState>>, StoreError> {
    let mut found: HashMap<BoxId, Vec<(NodeState, bool)>> = HashMap::new();
    for row in rows {
        let nodes = found.entry(parsed(row, "nodes", "box_id")?).or_default();
        let is_used = row.try_get::<Option<i64>, _>("used_at")?.is_some();
        let node = NodeState {
            node_id: parsed(row, "nodes", "node_id")?,
            hostname: Text::cut(row.try_get("hostname")?),
            enrolled_at: time(row, "nodes", "made_at")?,
            certificate_expires_at: time(row, "certificates", "expires_at")?,
            last_seen: maybe_time(row, "nodes", "heard_at")?,
        };
        match nodes.last_mut() {
            Some((last, was_used)) if last.node_id == node.node_id => {
                if is_used || !*was_used {
                    (*last, *was_used) = (node, is_used);
                }
            }
            _ => nodes.push((node, is_used)),
        }
    }
    Ok(found.into_iter().map(|(id, nodes)| (id, nodes.into_iter().map(|(node, _)| node).collect())).collect())
}
