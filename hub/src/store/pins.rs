//! Pins statements: what operators send to every box about who may sign. They are added, and read; nothing
//! else is written here, and nothing judges them: each box finds out by itself which of them hold.

use sqlx::Row as _;
use tenwords_protocol::{hash::Sha256, json, operators::Pins, orders::MAX_PINS, time::Timestamp};

use super::{Act, Entry, Store, StoreError, Tx, orders::number};

/// Keeps a statement for every box.
#[derive(Debug)]
pub struct AddPins {
    /// The statement, signed.
    pub pins: Pins,
    /// The operator's name.
    pub operator: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddPinsOutcome {
    /// It is written.
    Added,
    /// It is kept already.
    Known,
    /// So many are kept.
    TooMany,
}

impl Act for AddPins {
    type Reply = AddPinsOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<AddPinsOutcome, StoreError> {
        let unwritable = || StoreError::unreadable("pins", "body", "cannot be written");
        let text = json::to_vec(&self.pins).map_err(|_| unwritable())?;
        let text = String::from_utf8(text).map_err(|_| unwritable())?;
        let sha256 = Sha256::of(text.as_bytes());
        let known = sqlx::query("SELECT number FROM pins WHERE sha256 = $1").bind(sha256.to_string());
        if tx.read(known).await?.is_some() {
            return Ok(AddPinsOutcome::Known);
        }
        let last = tx.read(sqlx::query("SELECT number FROM pins ORDER BY number DESC LIMIT 1")).await?;
        let last: i64 = last.map(|row| row.try_get("number")).transpose()?.unwrap_or(0);
        if last >= MAX_PINS as i64 {
            return Ok(AddPinsOutcome::TooMany);
        }
        let insert =
            sqlx::query("INSERT INTO pins (number, sha256, added_at, added_by, body) VALUES ($1, $2, $3, $4, $5)")
                .bind(last + 1)
                .bind(sha256.to_string())
                .bind(self.now.unix())
                .bind(&self.operator)
                .bind(text);
        tx.write("pins", 1, insert).await?;
        tx.audit(Entry {
            time: self.now,
            actor: format!("operator:{}", self.operator),
            action: "pins.added",
            box_id: None,
            detail: format!("statement {}, {sha256}", last + 1),
        })
        .await?;
        Ok(AddPinsOutcome::Added)
    }
}

impl Store {
    /// Every statement, in the order in which they came.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or one is not what was stored.
    pub async fn pins(&self) -> Result<Vec<Pins>, StoreError> {
        let rows = sqlx::query("SELECT number, sha256, body FROM pins ORDER BY number").fetch_all(self.pool()).await?;
        rows.iter()
            .map(|row| {
                let number = number(row, "pins")?;
                let body: String = row.try_get("body")?;
                let unreadable = |what| StoreError::unreadable("pins", "body", format!("{what} (number {number})"));
                if Sha256::of(body.as_bytes()).to_string() != row.try_get::<String, _>("sha256")? {
                    return Err(unreadable("damaged"));
                }
                json::from_slice(body.as_bytes()).map_err(|_| unreadable("not of a known form"))
            })
            .collect()
    }
}
