//! The audit's rows: appended by acts, in their own transaction, and read back as a chain.

use sqlx::{Row as _, any::AnyRow};
use tenwords_protocol::{
    audit::{AuditError, AuditRow, verify},
    hash::Sha256,
    id::BoxId,
    time::Timestamp,
};

use super::{Act, Store, StoreError, Tx, parsed, time};

/// A request that was refused for what it asked, in the audit.
pub const FORBIDDEN: &str = "request.forbidden";
/// One that was for what is another box's: whoever has this box's certificate tries what it may do.
pub const TRESPASSED: &str = "request.trespassed";
/// One with a certificate that was revoked: whoever has it does not know, or tries.
pub const REVOKED_USED: &str = "request.revoked";

/// What an act leaves in the audit. Never a secret.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When, by the hub's clock.
    pub time: Timestamp,
    /// Who: `operator:admin`, `node:<id>`, `hub`, `anonymous`.
    pub actor: String,
    /// What: `box.add`, `recovery.arm`, ….
    pub action: &'static str,
    /// Which box.
    pub box_id: Option<BoxId>,
    /// More, for people.
    pub detail: String,
}

/// Something that changed nothing and is worth a row: a refusal.
#[derive(Debug, Clone)]
pub struct Record(pub Entry);

impl Act for Record {
    type Reply = ();

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        tx.audit(self.0.clone()).await
    }
}

impl Tx<'_> {
    /// Appends one row to the chain.
    pub(super) async fn audit(&mut self, entry: Entry) -> Result<(), StoreError> {
        let last = self.read(sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")).await?;
        let (seq, previous) = match last {
            Some(row) => (seq(&row)?, parsed(&row, "audit", "hash")?),
            None => (0, AuditRow::FIRST_PREVIOUS),
        };
        let row = AuditRow {
            seq: seq + 1,
            time: entry.time,
            actor: entry.actor,
            action: entry.action.to_owned(),
            box_id: entry.box_id,
            detail: entry.detail,
            previous,
            hash: AuditRow::FIRST_PREVIOUS,
        };
        let row = row.sealed().map_err(|_| StoreError::unreadable("audit", "seq", seq + 1))?;
        let insert = sqlx::query(
            "INSERT INTO audit (seq, time, actor, action, box_id, detail, previous, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(i64::try_from(row.seq).map_err(|_| StoreError::unreadable("audit", "seq", row.seq))?)
        .bind(row.time.unix())
        .bind(row.actor)
        .bind(row.action)
        .bind(row.box_id.map(|id| id.to_string()))
        .bind(row.detail)
        .bind(row.previous.to_string())
        .bind(row.hash.to_string());
        self.write("audit", 1, insert).await
    }
}

impl Store {
    /// The rows after `seq`, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn audit_after(&self, seq: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, time, actor, action, box_id, detail, previous, hash FROM audit \
             WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(audit_row).collect()
    }

    /// Walks the whole chain; its last sequence number and hash, or where it breaks.
    ///
    /// # Errors
    /// [`StoreError`] if the rows cannot be read.
    pub async fn verify_audit(&self) -> Result<Result<(u64, Sha256), AuditError>, StoreError> {
        let mut head = (0, AuditRow::FIRST_PREVIOUS);
        loop {
            let rows = self.audit_after(head.0, 500).await?;
            if rows.is_empty() {
                return Ok(Ok(head));
            }
            match verify(head, &rows) {
                Ok(next) => head = next,
                Err(broken) => return Ok(Err(broken)),
            }
        }
    }

    /// The last row carries its own hash.
    pub(super) async fn check_audit_tail(&self) -> Result<(), StoreError> {
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(seq) FROM audit").fetch_one(self.pool()).await?;
        let Some(last) = last.and_then(|seq| u64::try_from(seq).ok()) else { return Ok(()) };
        let rows = self.audit_after(last.saturating_sub(1), 1).await?;
        let sound = rows.iter().all(|row| row.computed().is_ok_and(|hash| hash == row.hash));
        if sound { Ok(()) } else { Err(StoreError::AuditTail) }
    }
}

fn seq(row: &AnyRow) -> Result<u64, StoreError> {
    let seq: i64 = row.try_get("seq")?;
    u64::try_from(seq).map_err(|_| StoreError::unreadable("audit", "seq", seq))
}

fn audit_row(row: &AnyRow) -> Result<AuditRow, StoreError> {
    let box_id: Option<String> = row.try_get("box_id")?;
    let box_id = box_id.map(|id| id.parse().map_err(|_| StoreError::unreadable("audit", "box_id", id))).transpose()?;
    Ok(AuditRow {
        seq: seq(row)?,
        time: time(row, "audit", "time")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        box_id,
        detail: row.try_get("detail")?,
        previous: parsed(row, "audit", "previous")?,
        hash: parsed(row, "audit", "hash")?,
    })
}
