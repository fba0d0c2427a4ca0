//! How boxes stood: a row for each change, kept for 400 days.
//!
//! Days are counted, not read off a clock: a row goes when the hub has been up on 400 days since. A clock that
//! jumps by ten years is one more day and lets nothing go.

use std::collections::HashMap;

use sqlx::Row as _;
use tenwords_protocol::{
    id::BoxId,
    readiness::{Readiness, State},
    time::Timestamp,
};

use super::{Act, Store, StoreError, Tx, parsed, time};

/// A row is kept for so many days on which the hub was up.
pub const KEPT_DAYS: i64 = 400;
/// Rows of one box, at most: one that changes every five minutes for a month.
const MOST: i64 = 10_000;
/// Rows of one box on one day, at most; what changes more often is written over the newest.
const MOST_A_DAY: i64 = 48;
/// A row that is so little younger than a look is a later look's: the older one comes too late. One that is younger
/// by more is from a clock that was set back.
const OVERTAKEN: i64 = 3600;

/// Writes down how boxes stand now, where that is another than before.
#[derive(Debug)]
pub struct Stand {
    /// Each box with its state.
    pub found: Vec<(BoxId, State, String)>,
    /// When.
    pub now: Timestamp,
}

/// How a box stood from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Since when.
    pub since: Timestamp,
    /// In a word.
    pub state: State,
    /// The reasons' codes, with a blank between them.
    pub reasons: String,
}

/// The codes of the reasons, as a row keeps them.
#[must_use]
pub fn codes(readiness: &Readiness) -> String {
    let mut codes: Vec<&str> = Vec::new();
    for reason in readiness.reasons.iter() {
        let code = reason.code.as_known();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    codes.join(" ")
}

impl Act for Stand {
    type Reply = ();

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let day = sqlx::query(
            "INSERT INTO days (day, position) SELECT $1, (SELECT COALESCE(MAX(position), 0) + 1 \
             FROM days) WHERE NOT EXISTS (SELECT 1 FROM days WHERE day = $1)",
        )
        .bind(self.now.day());
        let is_new_day = tx.write_any(day).await? > 0;
        for (box_id, state, reasons) in &self.found {
            let last = sqlx::query(
                "SELECT number, since, state, reasons FROM standings WHERE box_id = $1 ORDER BY number DESC LIMIT 1",
            )
            .bind(box_id.to_string());
            let number = match tx.read(last).await? {
                Some(row)
                    if row.try_get::<String, _>("state")? == state.as_str()
                        && row.try_get::<String, _>("reasons")? == *reasons =>
                {
                    continue;
                }
                Some(row) => {
                    let ahead = row.try_get::<i64, _>("since")? - self.now.unix();
                    if (1..=OVERTAKEN).contains(&ahead) {
                        continue;
                    }
                    row.try_get::<i64, _>("number")?
                }
                None => 0,
            };
            if full_day(tx, *box_id).await? {
                let over = sqlx::query(
                    "UPDATE standings SET since = $1, state = $2, reasons = $3 WHERE box_id = $4 AND number = $5",
                )
                .bind(self.now.unix())
                .bind(state.as_str())
                .bind(reasons)
                .bind(box_id.to_string())
                .bind(number);
                tx.write("standings", 1, over).await?;
                continue;
            }
            let insert = sqlx::query(
                "INSERT INTO standings (box_id, number, since, day_position, state, reasons) \
                 VALUES ($1, $2, $3, (SELECT MAX(position) FROM days), $4, $5)",
            )
            .bind(box_id.to_string())
            .bind(number + 1)
            .bind(self.now.unix())
            .bind(state.as_str())
            .bind(reasons);
            tx.write("standings", 1, insert).await?;
            let beyond = sqlx::query("DELETE FROM standings WHERE box_id = $1 AND number <= $2")
                .bind(box_id.to_string())
                .bind(number + 1 - MOST);
            tx.write_any(beyond).await?;
        }
        // Nothing grows older but by a new day.
        if !is_new_day {
            return Ok(());
        }
        // The one that stands stays, however old it is.
        let old = sqlx::query(
            "DELETE FROM standings WHERE day_position < (SELECT MAX(position) FROM days) - $1 \
             AND number < (SELECT MAX(n.number) FROM standings n WHERE n.box_id = standings.box_id)",
        )
        .bind(KEPT_DAYS);
        tx.write_any(old).await?;
        Ok(())
    }
}

/// Whether the box has as many rows of this day as it may have.
async fn full_day(tx: &mut Tx<'_>, box_id: BoxId) -> Result<bool, StoreError> {
    let select = sqlx::query(
        "SELECT number FROM standings WHERE box_id = $1 AND day_position = (SELECT MAX(position) FROM days) \
         LIMIT 1 OFFSET $2",
    )
    .bind(box_id.to_string())
    .bind(MOST_A_DAY - 1);
    Ok(tx.read(select).await?.is_some())
}

impl Store {
    /// How every box stands by the last look, and since when it is in that state.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn standings(&self) -> Result<HashMap<BoxId, Standing>, StoreError> {
        // The state may be older than its newest reasons.
        let rows = sqlx::query(
            "SELECT s.box_id, s.state, s.reasons, (SELECT MIN(b.since) FROM standings b WHERE b.box_id = s.box_id \
             AND b.number > (SELECT COALESCE(MAX(o.number), 0) FROM standings o WHERE o.box_id = s.box_id AND \
             o.state <> s.state)) AS since FROM standings s \
             JOIN (SELECT box_id, MAX(number) AS newest FROM standings GROUP BY box_id) n \
             ON n.box_id = s.box_id AND n.newest = s.number",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    parsed(row, "standings", "box_id")?,
                    Standing {
                        since: time(row, "standings", "since")?,
                        state: state(row.try_get("state")?)?,
                        reasons: row.try_get("reasons")?,
                    },
                ))
            })
            .collect()
    }

    /// How a box stood, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn history(&self, of: BoxId) -> Result<Vec<Standing>, StoreError> {
        let rows = sqlx::query("SELECT since, state, reasons FROM standings WHERE box_id = $1 ORDER BY number DESC")
            .bind(of.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Standing {
                    since: time(row, "standings", "since")?,
                    state: state(row.try_get("state")?)?,
                    reasons: row.try_get("reasons")?,
                })
            })
            .collect()
    }
}

fn state(text: String) -> Result<State, StoreError> {
    let found = State::ALL.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| StoreError::unreadable("standings", "state", text))
}
