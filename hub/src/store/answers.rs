//! Operators' answers to orders, numbered by box. They are added, and read; nothing else is written here.
//!
//! An answer is a signature, and whether it is a good one is the box's to find out. What is refused here is
//! only what no box could use any more.

use std::num::NonZeroU64;

use sqlx::Row as _;
use tenwords_protocol::{
    bounded::Text,
    hash::Sha256,
    id::{BoxId, NodeId},
    json,
    orders::{Answer, MAX_ANSWERS, MAX_LISTED, MAX_PAGE_BYTES, OrderState, OutcomeKind},
    time::Timestamp,
};

use super::{
    Act, Entry, Store, StoreError, Tx,
    orders::{number, utf8},
    parsed,
};

/// Keeps an answer for a box to fetch.
#[derive(Debug)]
pub struct GiveAnswer {
    /// Whose order.
    pub box_id: BoxId,
    /// Which.
    pub order: Sha256,
    /// What was signed, as it came.
    pub signature: Text<8192>,
    /// The operator's name.
    pub operator: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveAnswerOutcome {
    /// The order waits no more: it has ended like this.
    Ended(OrderState),
    /// The same answer waits for the box already, or did.
    Known(NonZeroU64),
    /// No box has this id, or it has no such order.
    NoOrder,
    /// The machine that asked has no certificate any more: nobody would fetch it.
    Revoked,
    /// It waits for the box.
    Stored(NonZeroU64),
    /// So many answers are kept for this order.
    TooMany {
        /// When the order ends.
        until: Timestamp,
    },
    /// A good answer was used; what it let happen is being done.
    Used,
}

impl Act for GiveAnswer {
    type Reply = GiveAnswerOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<GiveAnswerOutcome, StoreError> {
        let Self { box_id, order, signature, operator, now } = self;
        let Some(kept) = tx.order(*box_id, *order, *now).await? else { return Ok(GiveAnswerOutcome::NoOrder) };
        let same = sqlx::query("SELECT number FROM answers WHERE box_id = $1 AND sha256 = $2 AND body = $3")
            .bind(box_id.to_string())
            .bind(order.to_string())
            .bind(signature.as_str().as_bytes().to_vec());
        if let Some(row) = tx.read(same).await? {
            return Ok(GiveAnswerOutcome::Known(number(&row, "answers")?));
        }
        let shown = kept.shown;
        let is_revoked = !tx.speaks_for_a_box(shown.node_id).await?;
        match shown.state {
            OrderState::Open | OrderState::Answered => {}
            OrderState::Withdrawn if is_revoked => return Ok(GiveAnswerOutcome::Revoked),
            ended => return Ok(GiveAnswerOutcome::Ended(ended)),
        }
        if shown.outcome.is_some_and(|last| last.outcome == OutcomeKind::Used) {
            return Ok(GiveAnswerOutcome::Used);
        }
        if is_revoked {
            return Ok(GiveAnswerOutcome::Revoked);
        }
        if shown.answers >= MAX_ANSWERS as u64 {
            return Ok(GiveAnswerOutcome::TooMany { until: shown.expires_at });
        }
        let given = self.insert(tx).await?;
        tx.audit(Entry {
            time: *now,
            actor: format!("operator:{operator}"),
            action: "order.answered",
            box_id: Some(*box_id),
            detail: format!("{order}: answer {given}"),
        })
        .await?;
        Ok(GiveAnswerOutcome::Stored(given))
    }
}

impl GiveAnswer {
    async fn insert(&self, tx: &mut Tx<'_>) -> Result<NonZeroU64, StoreError> {
        let last = sqlx::query("SELECT number FROM answers WHERE box_id = $1 ORDER BY number DESC LIMIT 1")
            .bind(self.box_id.to_string());
        let last: i64 = tx.read(last).await?.map(|row| row.try_get("number")).transpose()?.unwrap_or(0);
        let insert = sqlx::query(
            "INSERT INTO answers (box_id, number, sha256, answered_at, answered_by, body) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.box_id.to_string())
        .bind(last + 1)
        .bind(self.order.to_string())
        .bind(self.now.unix())
        .bind(&self.operator)
        .bind(self.signature.as_str().as_bytes().to_vec());
        tx.write("answers", 1, insert).await?;
        Ok(NonZeroU64::MIN.saturating_add(last.unsigned_abs()))
    }
}

impl Tx<'_> {
    /// Whether this machine has a certificate as a box that was not revoked.
    async fn speaks_for_a_box(&mut self, node_id: NodeId) -> Result<bool, StoreError> {
        let select = sqlx::query(
            "SELECT serial FROM certificates WHERE node_id = $1 AND kind = 'box' AND revoked_at IS NULL LIMIT 1",
        )
        .bind(node_id.to_string());
        Ok(self.read(select).await?.is_some())
    }
}

impl Store {
    /// The box's answers after the one with number `after`, a page of them, as they came. A page has
    /// [`MAX_PAGE_BYTES`] at most: whoever asks for what comes after it has the next.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn answers_after(&self, box_id: BoxId, after: u64) -> Result<Vec<Answer>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, sha256, body FROM answers WHERE box_id = $1 AND number > $2 ORDER BY number LIMIT $3",
        )
        .bind(box_id.to_string())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(MAX_LISTED as i64)
        .fetch_all(self.pool())
        .await?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        for row in &rows {
            let answer = Answer {
                number: number(row, "answers")?,
                order: parsed(row, "answers", "sha256")?,
                signature: Text::cut(&utf8(row, "answers", "body")?),
            };
            let unwritable = |_| StoreError::unreadable("answers", "body", "cannot be written");
            bytes += json::to_vec(&answer).map_err(unwritable)?.len();
            // One alone is smaller by far, so that a page is never empty for its size.
            if bytes > MAX_PAGE_BYTES && !page.is_empty() {
                break;
            }
            page.push(answer);
        }
        Ok(page)
    }
}
