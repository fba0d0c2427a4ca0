//! Pins statements: what operators send to every box about who may sign. They are added, ended, and read;
//! nothing else is written here, and nothing judges them: each box finds out by itself which of them hold.
//!
//! What was ended stays where it is and is listed no more. Sent again, it is listed again: whoever has taken
//! an operator's token can end the good ones, but not for good.

use std::time::Duration;

use sqlx::Row as _;
use tenwords_protocol::{
    hash::Sha256,
    json,
    operators::Pins,
    orders::{MAX_PINS, pins_sha256},
    time::Timestamp,
};

use super::{Act, Entry, Store, StoreError, Tx, day::Day, orders::number};

/// Statements that are taken in one day (UTC). Ended ones count: they were taken.
const PER_DAY: i64 = 16;
/// Statements that were ever taken, at most: a gigabyte, were each of the largest.
const EVER: i64 = 16_384;

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
    /// It is listed already.
    Known,
    /// So many are listed.
    TooMany,
    /// So many were ever taken.
    TooManyEver,
    /// The day's statements are used up.
    TooManyToday {
        /// When the next day begins.
        retry_after: Duration,
    },
}

/// Has a statement listed no more.
#[derive(Debug)]
pub struct EndPins {
    /// Which, by [`pins_sha256`].
    pub sha256: Sha256,
    /// The operator's name.
    pub operator: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndPinsOutcome {
    /// It is listed no more.
    Ended,
    /// It was ended before.
    Known,
    /// There never was such a one.
    NoPins,
}

impl Act for AddPins {
    type Reply = AddPinsOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<AddPinsOutcome, StoreError> {
        let unwritable = || StoreError::unreadable("pins", "body", "cannot be written");
        let text = json::to_vec(&self.pins).map_err(|_| unwritable())?;
        let text = String::from_utf8(text).map_err(|_| unwritable())?;
        let sha256 = pins_sha256(&self.pins).map_err(|_| unwritable())?;
        if listed(tx, sha256).await?.is_some() {
            return Ok(AddPinsOutcome::Known);
        }
        let last = tx.read(sqlx::query("SELECT number FROM pins ORDER BY number DESC LIMIT 1")).await?;
        let last: i64 = last.map(|row| row.try_get("number")).transpose()?.unwrap_or(0);
        let full = sqlx::query(
            "SELECT p.number FROM pins p WHERE NOT EXISTS (SELECT 1 FROM pins_ended e WHERE e.number = p.number) \
             LIMIT 1 OFFSET $1",
        )
        .bind(MAX_PINS as i64 - 1);
        if tx.read(full).await?.is_some() {
            return Ok(AddPinsOutcome::TooMany);
        }
        if last >= EVER {
            return Ok(AddPinsOutcome::TooManyEver);
        }
        if let Some(retry_after) = self.too_many_today(tx).await? {
            return Ok(AddPinsOutcome::TooManyToday { retry_after });
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

impl AddPins {
    async fn too_many_today(&self, tx: &mut Tx<'_>) -> Result<Option<Duration>, StoreError> {
        let day = Day::of(self.now);
        let select = sqlx::query("SELECT number FROM pins WHERE added_at >= $1 AND added_at < $2 LIMIT 1 OFFSET $3")
            .bind(day.begins)
            .bind(day.ends)
            .bind(PER_DAY - 1);
        Ok(tx.read(select).await?.map(|_| day.left))
    }
}

impl Act for EndPins {
    type Reply = EndPinsOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<EndPinsOutcome, StoreError> {
        let Self { sha256, operator, now } = self;
        let Some(number) = listed(tx, *sha256).await? else {
            let known = sqlx::query("SELECT number FROM pins WHERE sha256 = $1 LIMIT 1").bind(sha256.to_string());
            let is_known = tx.read(known).await?.is_some();
            return Ok(if is_known { EndPinsOutcome::Known } else { EndPinsOutcome::NoPins });
        };
        let insert = sqlx::query("INSERT INTO pins_ended (number, ended_at, ended_by) VALUES ($1, $2, $3)")
            .bind(number)
            .bind(now.unix())
            .bind(operator);
        tx.write("pins_ended", 1, insert).await?;
        tx.audit(Entry {
            time: *now,
            actor: format!("operator:{operator}"),
            action: "pins.ended",
            box_id: None,
            detail: format!("statement {number}, {sha256}"),
        })
        .await?;
        Ok(EndPinsOutcome::Ended)
    }
}

/// The number under which it is listed; it is listed once.
async fn listed(tx: &mut Tx<'_>, sha256: Sha256) -> Result<Option<i64>, StoreError> {
    let select = sqlx::query(
        "SELECT p.number FROM pins p WHERE p.sha256 = $1 \
         AND NOT EXISTS (SELECT 1 FROM pins_ended e WHERE e.number = p.number)",
    )
    .bind(sha256.to_string());
    Ok(tx.read(select).await?.map(|row| row.try_get("number")).transpose()?)
}

impl Store {
    /// Every statement that was not ended, in the order in which they came.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or one is not what was stored.
    pub async fn pins(&self) -> Result<Vec<Pins>, StoreError> {
        let rows = sqlx::query(
            "SELECT p.number, p.sha256, p.body FROM pins p \
             WHERE NOT EXISTS (SELECT 1 FROM pins_ended e WHERE e.number = p.number) ORDER BY p.number",
        )
        .fetch_all(self.pool())
        .await?;
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
