//! What an operator says of a box: whose it is, and that it is no more.
//!
//! Retiring revokes everything that speaks for the box and deletes nothing; a box that was retired by mistake can be one
//! again. Once the days that were stated are over, its history is let go ([`LetGo`]): that is the one door in what is
//! append-only, and the tables themselves hold it shut until then. Days count as the hub was up on them, and by the clock
//! too, so that a clock that jumps lets nothing go; only one that steps through every day of them would.

use tenwords_protocol::{id::BoxId, time::Timestamp};

use super::{Act, Entry, Store, StoreError, Tx, certificates::RETIRED, maybe_time, parsed, tickets::Purpose};

/// Changes whose box it is.
#[derive(Debug)]
pub struct ChangeBox {
    /// The box.
    pub box_id: BoxId,
    /// Whose it is; nobody's if absent.
    pub customer: Option<String>,
    /// Who changes it.
    pub actor: String,
    /// When.
    pub now: Timestamp,
}

/// The box is no more.
#[derive(Debug)]
pub struct Retire {
    /// The box.
    pub box_id: BoxId,
    /// Why.
    pub reason: String,
    /// Its history is kept for so many days, at least.
    pub keep_days: u32,
    /// Who retires it.
    pub actor: String,
    /// When.
    pub now: Timestamp,
}

/// It is one again.
#[derive(Debug)]
pub struct Revive {
    /// The box.
    pub box_id: BoxId,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub actor: String,
    /// When.
    pub now: Timestamp,
}

/// The history of a retired box goes, if its days are over; whether it went now.
#[derive(Debug)]
pub struct LetGo {
    /// The box.
    pub box_id: BoxId,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetireOutcome {
    /// It is done.
    Done,
    /// It was so already, and nothing was changed.
    Known,
    /// Its history was let go: it is no box any more.
    Over,
    /// No such box.
    NoBox,
}

impl Act for ChangeBox {
    type Reply = RetireOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<RetireOutcome, StoreError> {
        let Self { box_id, customer, now, .. } = self;
        if tx.retired_at(*box_id).await?.is_none() {
            return Ok(RetireOutcome::NoBox);
        }
        let update = sqlx::query(
            "UPDATE boxes SET customer = $1 WHERE box_id = $2 AND COALESCE(customer, '') <> COALESCE($1, '')",
        )
        .bind(customer.clone())
        .bind(box_id.to_string());
        if tx.write_any(update).await? == 0 {
            return Ok(RetireOutcome::Known);
        }
        let detail = match customer {
            Some(customer) => format!("customer {customer}"),
            None => "no customer".to_owned(),
        };
        tx.audit(Entry { time: *now, actor: self.actor.clone(), action: "box.change", box_id: Some(*box_id), detail })
            .await?;
        Ok(RetireOutcome::Done)
    }
}

impl Act for Retire {
    type Reply = RetireOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<RetireOutcome, StoreError> {
        let Self { box_id, reason, keep_days, actor, now } = self;
        match tx.retired_at(*box_id).await? {
            None => return Ok(RetireOutcome::NoBox),
            Some(Some(_)) => return Ok(RetireOutcome::Known),
            Some(None) => {}
        }
        let update = sqlx::query(
            "UPDATE boxes SET retired_at = $1, retired_because = $2, keep_days = $3, keeper = NULL, \
             retired_position = (SELECT COALESCE(MAX(position), 0) FROM days) WHERE box_id = $4",
        )
        .bind(now.unix())
        .bind(reason)
        .bind(i64::from(*keep_days))
        .bind(box_id.to_string());
        tx.write("boxes", 1, update).await?;
        let mut tickets = 0;
        for purpose in [Purpose::Enroll, Purpose::Recover] {
            tickets += tx.end_tickets(*box_id, purpose, *now).await?;
        }
        let revoked = tx.revoke_others(*box_id, "", RETIRED, *now).await?;
        tx.end_orders_of_former(*box_id, actor, *now).await?;
        tx.audit(Entry {
            time: *now,
            actor: actor.clone(),
            action: "box.retire",
            box_id: Some(*box_id),
            detail: format!(
                "{reason}; history kept for {keep_days} days at least; {revoked} certificates revoked, {tickets} \
                 tickets ended"
            ),
        })
        .await?;
        Ok(RetireOutcome::Done)
    }
}

impl Act for Revive {
    type Reply = RetireOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<RetireOutcome, StoreError> {
        let Self { box_id, reason, actor, now } = self;
        match tx.retired_at(*box_id).await? {
            None => return Ok(RetireOutcome::NoBox),
            Some(None) => return Ok(RetireOutcome::Known),
            Some(Some(_)) => {}
        }
        let gone = sqlx::query("SELECT box_id FROM boxes WHERE box_id = $1 AND let_go_at IS NOT NULL");
        if tx.read(gone.bind(box_id.to_string())).await?.is_some() {
            return Ok(RetireOutcome::Over);
        }
        let update = sqlx::query(
            "UPDATE boxes SET retired_at = NULL, retired_because = NULL, keep_days = NULL, retired_position = NULL \
             WHERE box_id = $1",
        )
        .bind(box_id.to_string());
        tx.write("boxes", 1, update).await?;
        tx.audit(Entry {
            time: *now,
            actor: actor.clone(),
            action: "box.revive",
            box_id: Some(*box_id),
            detail: reason.clone(),
        })
        .await?;
        Ok(RetireOutcome::Done)
    }
}

impl Act for LetGo {
    type Reply = bool;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let Self { box_id, now } = self;
        let due = sqlx::query(
            "UPDATE boxes SET let_go_at = $1 WHERE box_id = $2 AND retired_at IS NOT NULL AND let_go_at IS NULL \
             AND (SELECT MAX(position) FROM days) - retired_position >= keep_days \
             AND $1 - retired_at >= keep_days * 86400",
        );
        if tx.write_any(due.bind(now.unix()).bind(box_id.to_string())).await? == 0 {
            return Ok(false);
        }
        let mut gone = Vec::new();
        // What refers to another goes before it.
        for (table, delete) in [
            ("directives", "DELETE FROM directives WHERE box_id = $1"),
            ("inventories", "DELETE FROM inventories WHERE box_id = $1"),
            ("drills", "DELETE FROM drills WHERE box_id = $1"),
            ("parts", "DELETE FROM parts WHERE box_id = $1"),
            ("versions", "DELETE FROM versions WHERE box_id = $1"),
            ("observations", "DELETE FROM observations WHERE box_id = $1"),
            ("alarms", "DELETE FROM alarms WHERE box_id = $1"),
            ("reports", "DELETE FROM reports WHERE box_id = $1"),
            ("standings", "DELETE FROM standings WHERE box_id = $1"),
        ] {
            let rows = tx.write_any(sqlx::query(delete).bind(box_id.to_string())).await?;
            gone.push(format!("{rows} {table}"));
        }
        tx.audit(Entry {
            time: *now,
            actor: "hub".to_owned(),
            action: "box.let-go",
            box_id: Some(*box_id),
            detail: format!("its days are over: {}", gone.join(", ")),
        })
        .await?;
        Ok(true)
    }
}

impl Store {
    /// The retired boxes whose days are over.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn to_be_let_go(&self, now: Timestamp) -> Result<Vec<BoxId>, StoreError> {
        let rows = sqlx::query(
            "SELECT box_id FROM boxes WHERE retired_at IS NOT NULL AND let_go_at IS NULL \
             AND (SELECT MAX(position) FROM days) - retired_position >= keep_days \
             AND $1 - retired_at >= keep_days * 86400",
        )
        .bind(now.unix())
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(|row| parsed(row, "boxes", "box_id")).collect()
    }
}

impl Tx<'_> {
    /// When the box was retired, if it was; nothing at all if there is no such box.
    async fn retired_at(&mut self, box_id: BoxId) -> Result<Option<Option<Timestamp>>, StoreError> {
        let select = sqlx::query("SELECT retired_at FROM boxes WHERE box_id = $1").bind(box_id.to_string());
        self.read(select).await?.map(|row| maybe_time(&row, "boxes", "retired_at")).transpose()
    }
}
