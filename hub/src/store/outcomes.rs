//! What came of orders. It is added, and read; nothing else is written here.
//!
//! It is the box's word and no more: an order that is said to be done is one that nobody needs to answer.
//! The hub itself says one thing only: that what a machine asked has ended, since it is the box no more.

use sqlx::Row as _;
use tenwords_protocol::{
    bounded::Text,
    hash::Sha256,
    id::{BoxId, NodeId},
    orders::{OrderState, OutcomeKind},
    time::Timestamp,
};

use super::{Act, CertificateKind, Entry, StoreError, Tx, parsed};

/// What a box may say of one order before what ends it.
const PER_ORDER: i64 = 32;
/// What is said of an order whose machine has no certificate of the box any more.
const NO_MORE: &str = "the machine that asked is the box no more";
/// One that still waits, of a machine that has no certificate of the box any more.
const OF_FORMER: &str = "SELECT o.sha256, \
                         (SELECT COUNT(*) FROM answers a WHERE a.box_id = o.box_id AND a.sha256 = o.sha256) AS answers, \
                         (SELECT COUNT(*) FROM outcomes m WHERE m.box_id = o.box_id AND m.sha256 = o.sha256) AS told \
                         FROM orders o WHERE o.box_id = $1 AND o.expires_at > $2 AND NOT EXISTS \
                         (SELECT 1 FROM outcomes u WHERE u.box_id = o.box_id AND u.sha256 = o.sha256 \
                         AND u.kind IN ('done', 'failed', 'withdrawn')) AND NOT EXISTS \
                         (SELECT 1 FROM certificates c WHERE c.node_id = o.node_id AND c.kind = 'box' \
                         AND c.revoked_at IS NULL) ORDER BY o.position LIMIT 1";

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
    /// It is over already.
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
        let answers = i64::try_from(kept.shown.answers).unwrap_or(i64::MAX);
        let said = Said { number: last + 1, outcome: *outcome, answers, said: said.as_str() };
        tx.insert_outcome(*box_id, *order, *now, said).await?;
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

/// What is said of an order.
struct Said<'a> {
    number: i64,
    outcome: OutcomeKind,
    answers: i64,
    said: &'a str,
}

impl Tx<'_> {
    /// Ends what machines have asked that were the box and are it no more: nobody would fetch an answer, and
    /// nobody else could take it back.
    pub(super) async fn end_orders_of_former(
        &mut self,
        box_id: BoxId,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        loop {
            let next = sqlx::query(OF_FORMER).bind(box_id.to_string()).bind(now.unix());
            let Some(row) = self.read(next).await? else { return Ok(()) };
            let order: Sha256 = parsed(&row, "orders", "sha256")?;
            let (number, answers) = (row.try_get::<i64, _>("told")? + 1, row.try_get("answers")?);
            let said = Said { number, outcome: OutcomeKind::Withdrawn, answers, said: NO_MORE };
            self.insert_outcome(box_id, order, now, said).await?;
            self.audit(Entry {
                time: now,
                actor: actor.to_owned(),
                action: "order.outcome",
                box_id: Some(box_id),
                detail: format!("{order}: {}, {NO_MORE}", text(OutcomeKind::Withdrawn)),
            })
            .await?;
        }
    }

    async fn insert_outcome(
        &mut self,
        box_id: BoxId,
        order: Sha256,
        now: Timestamp,
        said: Said<'_>,
    ) -> Result<(), StoreError> {
        let insert = sqlx::query(
            "INSERT INTO outcomes (box_id, sha256, number, told_at, kind, answers, said) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(box_id.to_string())
        .bind(order.to_string())
        .bind(said.number)
        .bind(now.unix())
        .bind(text(said.outcome))
        .bind(said.answers)
        .bind(said.said.as_bytes().to_vec());
        self.write("outcomes", 1, insert).await
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
