//! Orders: what boxes ask operators to sign. They are added, and read; nothing else is written here.
//!
//! An order's text is bytes. Nothing in this room reads them, so nothing in it can change what a box asked
//! or tell a good answer from a bad one. How an order stands is computed from what was added after it, and
//! from the clock.

use std::{num::NonZeroU64, time::Duration};

use sqlx::{Row as _, any::AnyRow};
use tenwords_protocol::{
    bounded::{List, Text},
    bytes::Base64,
    hash::Sha256,
    id::{BoxId, NodeId},
    orders::{LONGEST, MAX_LISTED, MAX_OPEN, OrderList, OrderState, Outcome, OutcomeKind, WaitingOrder},
    time::Timestamp,
    v1::V1,
};

use super::{Act, CertificateKind, Entry, Store, StoreError, Tx, day::Day, outcomes, parsed, time};

/// Orders that a machine may ask in one day (UTC). It is not counted by box: what a stolen machine has asked
/// must not be in the way of the one that takes its place.
const PER_DAY: i64 = 200;

/// Keeps an order that a box asks.
#[derive(Debug)]
pub struct Ask {
    /// Its text.
    pub text: Vec<u8>,
    /// Until when it waits.
    pub expires_at: Timestamp,
    /// The certificate that it came with.
    pub serial: String,
    /// The certificate's machine.
    pub node_id: NodeId,
    /// The certificate's box.
    pub box_id: BoxId,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskOutcome {
    /// It waits.
    Asked(Sha256),
    /// It was asked before, the same text, and stands as it did.
    Known(Sha256),
    /// The certificate does not speak for the box any more.
    NotTheBox,
    /// It ends in the past, or later than an order may.
    NotSoLong,
    /// So many of the machine's orders wait already.
    TooManyOpen {
        /// When the first of them ends.
        retry_after: Duration,
    },
    /// The machine's orders of the day are used up.
    TooManyToday {
        /// When the next day begins.
        retry_after: Duration,
    },
}

/// An order, with what judges an answer to it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) shown: WaitingOrder,
    /// How many answers there were when the box said that.
    pub(super) answers_then: Option<u64>,
}

impl Act for Ask {
    type Reply = AskOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<AskOutcome, StoreError> {
        let Self { text, expires_at, box_id, now, .. } = self;
        if tx.certificate_kind(&self.serial, *now).await? != Some(CertificateKind::Box) {
            return Ok(AskOutcome::NotTheBox);
        }
        let sha256 = Sha256::of(text);
        let known = sqlx::query("SELECT position FROM orders WHERE box_id = $1 AND sha256 = $2")
            .bind(box_id.to_string())
            .bind(sha256.to_string());
        if tx.read(known).await?.is_some() {
            return Ok(AskOutcome::Known(sha256));
        }
        if *expires_at <= *now || *expires_at > now.plus(Duration::from_secs(LONGEST)) {
            return Ok(AskOutcome::NotSoLong);
        }
        if let Some(retry_after) = self.too_many_open(tx).await? {
            return Ok(AskOutcome::TooManyOpen { retry_after });
        }
        if let Some(retry_after) = self.too_many_today(tx).await? {
            return Ok(AskOutcome::TooManyToday { retry_after });
        }
        self.insert(tx, sha256).await?;
        tx.audit(Entry {
            time: *now,
            actor: format!("node:{}", self.node_id),
            action: "order.asked",
            box_id: Some(*box_id),
            detail: format!("{sha256}, {} bytes, until {expires_at}", text.len()),
        })
        .await?;
        Ok(AskOutcome::Asked(sha256))
    }
}

impl Ask {
    async fn too_many_open(&self, tx: &mut Tx<'_>) -> Result<Option<Duration>, StoreError> {
        let select = sqlx::query(
            "SELECT COUNT(*) AS waiting, MIN(o.expires_at) AS first FROM orders o WHERE o.node_id = $1 \
             AND o.expires_at > $2 AND NOT EXISTS (SELECT 1 FROM outcomes u WHERE u.box_id = o.box_id \
             AND u.sha256 = o.sha256 AND u.kind IN ('done', 'failed', 'withdrawn'))",
        )
        .bind(self.node_id.to_string())
        .bind(self.now.unix());
        let Some(row) = tx.read(select).await? else { return Ok(None) };
        if row.try_get::<i64, _>("waiting")? < MAX_OPEN as i64 {
            return Ok(None);
        }
        Ok(Some(time(&row, "orders", "first")?.since(self.now)))
    }

    async fn too_many_today(&self, tx: &mut Tx<'_>) -> Result<Option<Duration>, StoreError> {
        let day = Day::of(self.now);
        let select = sqlx::query(
            "SELECT position FROM orders WHERE node_id = $1 AND asked_at >= $2 AND asked_at < $3 LIMIT 1 OFFSET $4",
        )
        .bind(self.node_id.to_string())
        .bind(day.begins)
        .bind(day.ends)
        .bind(PER_DAY - 1);
        Ok(tx.read(select).await?.map(|_| day.left))
    }

    async fn insert(&self, tx: &mut Tx<'_>, sha256: Sha256) -> Result<(), StoreError> {
        let last = tx.read(sqlx::query("SELECT position FROM orders ORDER BY position DESC LIMIT 1")).await?;
        let last: i64 = last.map(|row| row.try_get("position")).transpose()?.unwrap_or(0);
        let insert = sqlx::query(
            "INSERT INTO orders (box_id, sha256, position, node_id, serial, asked_at, expires_at, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(self.box_id.to_string())
        .bind(sha256.to_string())
        .bind(last + 1)
        .bind(self.node_id.to_string())
        .bind(&self.serial)
        .bind(self.now.unix())
        .bind(self.expires_at.unix())
        .bind(self.text.clone());
        tx.write("orders", 1, insert).await
    }
}

/// An order with what the box last said of it. What it says of one answer comes after what it says of the
/// order: a second answer, refused after the first was used, changes nothing of that.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT o.box_id, o.sha256, o.node_id, o.asked_at, o.expires_at, o.body, \
             (SELECT COUNT(*) FROM answers a WHERE a.box_id = o.box_id AND a.sha256 = o.sha256) AS answers, \
             u.told_at, u.kind, u.said, u.answers AS answers_then FROM orders o LEFT JOIN outcomes u \
             ON u.box_id = o.box_id AND u.sha256 = o.sha256 AND u.number = (SELECT m.number FROM outcomes m \
             WHERE m.box_id = o.box_id AND m.sha256 = o.sha256 \
             ORDER BY CASE WHEN m.kind = 'refused' THEN 1 ELSE 0 END, m.number DESC LIMIT 1) ",
            $rest
        )
    };
}

const ONE: &str = select!("WHERE o.box_id = $1 AND o.sha256 = $2");
const ALL: &str = select!("WHERE o.expires_at > $1 ORDER BY o.position DESC LIMIT $2");
const WAITING: &str = select!(
    "WHERE o.expires_at > $1 AND (u.kind IS NULL OR u.kind IN ('refused', 'used')) ORDER BY o.position LIMIT $2"
);
const HOW_MANY: &str = "SELECT COUNT(*) FROM orders";
const HOW_MANY_WAIT: &str = "SELECT COUNT(*) FROM orders o WHERE o.expires_at > $1 AND NOT EXISTS \
                             (SELECT 1 FROM outcomes u WHERE u.box_id = o.box_id AND u.sha256 = o.sha256 \
                             AND u.kind IN ('done', 'failed', 'withdrawn'))";

impl Tx<'_> {
    /// One order of a box, as it stands.
    pub(super) async fn order(
        &mut self,
        box_id: BoxId,
        order: Sha256,
        now: Timestamp,
    ) -> Result<Option<Kept>, StoreError> {
        let select = sqlx::query(ONE).bind(box_id.to_string()).bind(order.to_string());
        self.read(select).await?.as_ref().map(|row| kept(row, now)).transpose()
    }
}

impl Store {
    /// One order of a box, as it stands.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read, or is not what was stored.
    pub async fn order(
        &self,
        box_id: BoxId,
        order: Sha256,
        now: Timestamp,
    ) -> Result<Option<WaitingOrder>, StoreError> {
        let select = sqlx::query(ONE).bind(box_id.to_string()).bind(order.to_string());
        let row = select.fetch_optional(self.pool()).await?;
        Ok(row.as_ref().map(|row| kept(row, now)).transpose()?.map(|kept| kept.shown))
    }

    /// The orders of all boxes that wait, the oldest first; or all there ever were, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or one is not what was stored.
    pub async fn orders(&self, all: bool, now: Timestamp) -> Result<OrderList, StoreError> {
        let (select, since) = if all { (ALL, i64::MIN) } else { (WAITING, now.unix()) };
        let rows = sqlx::query(select).bind(since).bind(MAX_LISTED as i64).fetch_all(self.pool()).await?;
        let count = match all {
            true => sqlx::query_scalar(HOW_MANY),
            false => sqlx::query_scalar(HOW_MANY_WAIT).bind(now.unix()),
        };
        let count: i64 = count.fetch_one(self.pool()).await?;
        let orders: Vec<_> = rows.iter().map(|row| Ok(kept(row, now)?.shown)).collect::<Result<_, StoreError>>()?;
        let listed = i64::try_from(orders.len()).unwrap_or(i64::MAX);
        let left_out = u64::try_from(count - listed).unwrap_or(0);
        Ok(OrderList { v: V1, orders: List::cut(orders).0, left_out })
    }
}

fn kept(row: &AnyRow, now: Timestamp) -> Result<Kept, StoreError> {
    let order: Sha256 = parsed(row, "orders", "sha256")?;
    let body: Vec<u8> = row.try_get("body")?;
    if Sha256::of(&body) != order {
        return Err(StoreError::unreadable("orders", "body", format!("damaged ({order})")));
    }
    let outcome = match row.try_get::<Option<String>, _>("kind")? {
        None => None,
        Some(kind) => Some(Outcome {
            outcome: outcomes::kind(&kind)?,
            said: Text::cut(&utf8(row, "outcomes", "said")?),
            at: time(row, "outcomes", "told_at")?,
        }),
    };
    let answers_then = row.try_get::<Option<i64>, _>("answers_then")?.map(i64::unsigned_abs);
    let answers = row.try_get::<i64, _>("answers")?.unsigned_abs();
    let expires_at = time(row, "orders", "expires_at")?;
    let state = match &outcome {
        Some(Outcome { outcome: OutcomeKind::Done, .. }) => OrderState::Done,
        Some(Outcome { outcome: OutcomeKind::Failed | OutcomeKind::Withdrawn, .. }) => OrderState::Withdrawn,
        _ if expires_at <= now => OrderState::Expired,
        Some(Outcome { outcome: OutcomeKind::Refused, .. }) if answers_then == Some(answers) => OrderState::Open,
        _ if answers == 0 => OrderState::Open,
        _ => OrderState::Answered,
    };
    let shown = WaitingOrder {
        order,
        box_id: parsed(row, "orders", "box_id")?,
        node_id: parsed(row, "orders", "node_id")?,
        text: Base64(body),
        asked_at: time(row, "orders", "asked_at")?,
        expires_at,
        state,
        answers,
        outcome,
    };
    Ok(Kept { shown, answers_then })
}

/// A text that may hold any character, which not every database takes as TEXT.
pub(super) fn utf8(row: &AnyRow, table: &'static str, column: &'static str) -> Result<String, StoreError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    String::from_utf8(bytes).map_err(|_| StoreError::unreadable(table, column, "not UTF-8"))
}

/// A number from 1, as the store counts.
pub(super) fn number(row: &AnyRow, table: &'static str) -> Result<NonZeroU64, StoreError> {
    let number: i64 = row.try_get("number")?;
    let read = u64::try_from(number).ok().and_then(NonZeroU64::new);
    read.ok_or_else(|| StoreError::unreadable(table, "number", number))
}
