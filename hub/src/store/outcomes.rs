//! What boxes say came of their orders. They are added, and read; nothing else is written here.
//!
//! It is the box's word and no more: an order that is said to be done is one that nobody needs to answer.

use sqlx::Row as _;
use tenwords_protocol::{
    bounded::Text,
    hash::Sha256,
    id::{BoxId, NodeId},
    orders::{OrderState, OutcomeKind},
    time::Timestamp,
};

use super::{Act, CertificateKind, Entry, StoreError, Tx};

/// What a box may say of one order before what ends it.
const PER_ORDER: i64 = 32;

/// Keeps what a box says of one of its orders.
#[derive(Debug)]
pub struct Tell {
    /// Of which.
    pub order: Sha256,
    /// What.
    pub outcome: OutcomeKind,
    /// In its words.
    pub said: Text<400>,
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
pub enum TellOutcome {
    /// The box has said already that it is over.
    Ended,
    /// It is the last that the box said, too.
    Known,
    /// The box has no such order.
    NoOrder,
    /// The certificate does not speak for the box any more.
    NotTheBox,
    /// It is written.
    Told,
    /// So much was said of this order; what ends it is still taken.
    TooMany,
}

impl Act for Tell {
    type Reply = TellOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<TellOutcome, StoreError> {
        let Self { order, outcome, said, box_id, now, .. } = self;
        if tx.certificate_kind(&self.serial, *now).await? != Some(CertificateKind::Box) {
            return Ok(TellOutcome::NotTheBox);
        }
        let Some(kept) = tx.order(*box_id, *order, *now).await? else { return Ok(TellOutcome::NoOrder) };
        let is_last = kept.shown.outcome.is_some_and(|last| last.outcome == *outcome && last.said == *said);
        let has_ended = matches!(kept.shown.state, OrderState::Done | OrderState::Withdrawn);
        if is_last && (has_ended || kept.answers_then == Some(kept.shown.answers)) {
            return Ok(TellOutcome::Known);
        }
        if has_ended {
            return Ok(TellOutcome::Ended);
        }
        let last =
            sqlx::query("SELECT number FROM outcomes WHERE box_id = $1 AND sha256 = $2 ORDER BY number DESC LIMIT 1")
                .bind(box_id.to_string())
                .bind(order.to_string());
        let last: i64 = tx.read(last).await?.map(|row| row.try_get("number")).transpose()?.unwrap_or(0);
        if last >= PER_ORDER && matches!(outcome, OutcomeKind::Refused | OutcomeKind::Used) {
            return Ok(TellOutcome::TooMany);
        }
        let insert = sqlx::query(
            "INSERT INTO outcomes (box_id, sha256, number, told_at, kind, answers, said) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(box_id.to_string())
        .bind(order.to_string())
        .bind(last + 1)
        .bind(now.unix())
        .bind(text(*outcome))
        .bind(i64::try_from(kept.shown.answers).unwrap_or(i64::MAX))
        .bind(said.as_str().as_bytes().to_vec());
        tx.write("outcomes", 1, insert).await?;
        tx.audit(Entry {
            time: *now,
            actor: format!("node:{}", self.node_id),
            action: "order.outcome",
            box_id: Some(*box_id),
            detail: format!("{order}: {}", text(*outcome)),
        })
        .await?;
        Ok(TellOutcome::Told)
    }
}

/// As it is stored.
const fn text(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Refused => "refused",
        OutcomeKind::Used => "used",
        OutcomeKind::Done => "done",
        OutcomeKind::Failed => "failed",
        OutcomeKind::Withdrawn => "withdrawn",
    }
}

pub(super) fn kind(text: &str) -> Result<OutcomeKind, StoreError> {
    Ok(match text {
        "refused" => OutcomeKind::Refused,
        "used" => OutcomeKind::Used,
        "done" => OutcomeKind::Done,
        "failed" => OutcomeKind::Failed,
        "withdrawn" => OutcomeKind::Withdrawn,
        other => return Err(StoreError::unreadable("outcomes", "kind", other)),
    })
}
