//! Boxes, as operators add and see them.

use std::collections::HashMap;

use sqlx::{Row as _, any::AnyRow};
use tenwords_protocol::{
    bounded::{List, Text},
    boxes::{BoxSummary, RecoveryState, Retirement},
    id::{BoxId, NodeId},
    time::Timestamp,
    version::StoredHeader,
};

use super::{
    Act, Entry, Store, StoreError, Tx, maybe_time,
    nodes::keeper_of,
    parsed,
    tickets::{NewTicket, Purpose, Window},
    time, versions,
};

/// Adds a box and gives an enrolment ticket for it. Asked again for the same box while no node has
/// enrolled, it gives another ticket in the first one's place.
#[derive(Debug)]
pub struct AddBox {
    /// The box's id.
    pub box_id: BoxId,
    /// What operators call it.
    pub name: String,
    /// Whose it is.
    pub customer: Option<String>,
    /// The enrolment ticket.
    pub ticket: NewTicket,
    /// Who adds.
    pub actor: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddBoxOutcome {
    /// The box exists, the ticket is good.
    Added,
    /// Another box has this id or name, or this one has enrolled.
    Exists,
}

/// A node has spoken.
#[derive(Debug)]
pub struct Heard {
    /// Its box.
    pub box_id: BoxId,
    /// The node.
    pub node_id: NodeId,
    /// When.
    pub now: Timestamp,
}

impl Act for AddBox {
    type Reply = AddBoxOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<AddBoxOutcome, StoreError> {
        let Self { box_id, name, ticket, now, .. } = self;
        let others = sqlx::query("SELECT box_id FROM boxes WHERE (box_id = $1) <> (name = $2)")
            .bind(box_id.to_string())
            .bind(name);
        if tx.read(others).await?.is_some() {
            return Ok(AddBoxOutcome::Exists);
        }
        let same = sqlx::query("SELECT COALESCE(enrolled_at, retired_at) AS enrolled_at FROM boxes WHERE box_id = $1")
            .bind(box_id.to_string());
        match tx.read(same).await? {
            Some(row) if maybe_time(&row, "boxes", "enrolled_at")?.is_some() => return Ok(AddBoxOutcome::Exists),
            Some(_) => {
                tx.end_tickets(*box_id, Purpose::Enroll, *now).await?;
            }
            None => {
                let insert =
                    sqlx::query("INSERT INTO boxes (box_id, name, added_at, customer) VALUES ($1, $2, $3, $4)")
                        .bind(box_id.to_string())
                        .bind(name)
                        .bind(now.unix())
                        .bind(self.customer.clone());
                tx.write("boxes", 1, insert).await?;
            }
        }
        tx.insert_ticket(ticket, Purpose::Enroll, *box_id, *now, &Window::default()).await?;
        tx.audit(Entry {
            time: *now,
            actor: self.actor.clone(),
            action: "box.add",
            box_id: Some(*box_id),
            detail: format!("{name}; enrolment ticket until {}", ticket.expires_at),
        })
        .await?;
        Ok(AddBoxOutcome::Added)
    }
}

impl Act for Heard {
    type Reply = ();

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE boxes SET heard_at = $1 WHERE box_id = $2")
            .bind(self.now.unix())
            .bind(self.box_id.to_string());
        tx.write("boxes", 1, update).await?;
        let update = sqlx::query("UPDATE nodes SET heard_at = $1 WHERE node_id = $2")
            .bind(self.now.unix())
            .bind(self.node_id.to_string());
        tx.write("nodes", 1, update).await
    }
}

impl Store {
    /// Whether there is a box of this id.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be read.
    pub async fn has_box(&self, box_id: BoxId) -> Result<bool, StoreError> {
        let select = sqlx::query("SELECT box_id FROM boxes WHERE box_id = $1").bind(box_id.to_string());
        Ok(select.fetch_optional(self.pool()).await?.is_some())
    }

    /// All boxes, by name.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn boxes(&self) -> Result<Vec<BoxSummary>, StoreError> {
        self.summaries(None).await
    }

    /// One of them.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn of_box(&self, box_id: BoxId) -> Result<Option<BoxSummary>, StoreError> {
        Ok(self.summaries(Some(box_id)).await?.pop())
    }

    async fn summaries(&self, of: Option<BoxId>) -> Result<Vec<BoxSummary>, StoreError> {
        let rows = of_all_or_one!(
            of,
            "SELECT box_id, name, added_at, enrolled_at, heard_at, customer, keeper, retired_at, retired_because, \
             keep_days, let_go_at FROM boxes ",
            "WHERE box_id = $1 ",
            "ORDER BY name"
        )
        .fetch_all(self.pool())
        .await?;
        let mut newest = self.newest_versions(of).await?;
        let mut windows = self.last_windows(of).await?;
        let mut drills = self.newest_drills(of).await?;
        let mut nodes = self.all_nodes(of).await?;
        rows.iter()
            .map(|row| {
                let box_id: BoxId = parsed(row, "boxes", "box_id")?;
                let (versions, newest) = match newest.remove(&box_id) {
                    Some((count, header)) => (count, Some(header)),
                    None => (0, None),
                };
                Ok(BoxSummary {
                    box_id,
                    name: row.try_get("name")?,
                    added_at: time(row, "boxes", "added_at")?,
                    customer: row.try_get::<Option<String>, _>("customer")?.map(|customer| Text::cut(&customer)),
                    enrolled_at: maybe_time(row, "boxes", "enrolled_at")?,
                    last_seen: maybe_time(row, "boxes", "heard_at")?,
                    versions,
                    newest,
                    recovery: windows.remove(&box_id),
                    drills: drills.remove(&box_id),
                    keeper: keeper_of(row)?,
                    nodes: List::cut(nodes.remove(&box_id).unwrap_or_default()).0,
                    retired: retirement(row)?,
                    readiness: None,
                    in_state_since: None,
                })
            })
            .collect()
    }

    async fn newest_versions(&self, of: Option<BoxId>) -> Result<HashMap<BoxId, (u64, StoredHeader)>, StoreError> {
        let rows = of_all_or_one!(
            of,
            "SELECT v.box_id, v.number, v.received_at, v.header, n.versions FROM versions v \
             JOIN (SELECT box_id, MAX(number) AS newest, COUNT(*) AS versions FROM versions ",
            "WHERE box_id = $1 ",
            "GROUP BY box_id) n ON n.box_id = v.box_id AND n.newest = v.number"
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                let count: i64 = row.try_get("versions")?;
                Ok((parsed(row, "versions", "box_id")?, (count.unsigned_abs(), versions::stored(row)?)))
            })
            .collect()
    }

    async fn last_windows(&self, of: Option<BoxId>) -> Result<HashMap<BoxId, RecoveryState>, StoreError> {
        let rows = of_all_or_one!(
            of,
            "SELECT t.box_id, t.reason, t.made_at, t.expires_at, t.rehearsal, t.stolen, t.ended_at, t.used_at, \
             t.proven_at FROM tickets t JOIN (SELECT box_id, MAX(position) AS last FROM tickets \
             WHERE purpose = 'recover' ",
            "AND box_id = $1 ",
            "GROUP BY box_id) n ON n.last = t.position"
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(|row| Ok((parsed(row, "tickets", "box_id")?, window(row)?))).collect()
    }
}

fn retirement(row: &AnyRow) -> Result<Option<Retirement>, StoreError> {
    let Some(at) = maybe_time(row, "boxes", "retired_at")? else { return Ok(None) };
    let keep_days: i64 = row.try_get("keep_days")?;
    let keep_days = u32::try_from(keep_days).map_err(|_| StoreError::unreadable("boxes", "keep_days", keep_days))?;
    let let_go_at = maybe_time(row, "boxes", "let_go_at")?;
    Ok(Some(Retirement { at, reason: row.try_get("retired_because")?, keep_days, let_go_at }))
}

fn window(row: &AnyRow) -> Result<RecoveryState, StoreError> {
    let proven_at = maybe_time(row, "tickets", "proven_at")?;
    Ok(RecoveryState {
        reason: row.try_get("reason")?,
        armed_at: time(row, "tickets", "made_at")?,
        until: time(row, "tickets", "expires_at")?,
        rehearsal: row.try_get::<i64, _>("rehearsal")? != 0,
        stolen: row.try_get::<i64, _>("stolen")? != 0,
        // A proof ends the window too, and is no disarming.
        disarmed_at: if proven_at.is_some() { None } else { maybe_time(row, "tickets", "ended_at")? },
        claimed_at: maybe_time(row, "tickets", "used_at")?,
        proven_at,
    })
}
