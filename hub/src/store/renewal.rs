//! A node's certificate gives way to the next one.
//!
//! Giving one revokes nothing: the answer may be lost on the way. The first *use* of a certificate shows that
//! its node has it, and revokes those that this node was given before. So a node always has one that is
//! taken, whenever it is cut off; and a copy of its disk ends with the next renewal that is used.

use std::time::Duration;

use sqlx::Row as _;
use tenwords_protocol::{renew::GRACE, time::Timestamp};

use super::{
    Act, CertificateKind, Entry, StoreError, Tx, certificates::SUPERSEDED, day::DAY_SECONDS, parsed, tickets::Issued,
    time,
};

/// Certificates of one node in 24 hours.
const PER_DAY: i64 = 8;

/// Gives a node its next certificate.
#[derive(Debug)]
pub struct Renew {
    /// The serial number of the certificate that asks.
    pub serial: String,
    /// The certificate to give, unless the key has one that was not used yet.
    pub issued: Issued,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub enum RenewOutcome {
    /// The certificate that asks speaks for no box.
    NotTheBox,
    /// The node's certificate from now on.
    Renewed {
        /// It (DER).
        der: Vec<u8>,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// The day's certificates are used up.
    TooMany {
        /// When to come again.
        retry_after: Duration,
    },
}

/// A certificate is used for the first time.
#[derive(Debug)]
pub struct TakeOver {
    /// Its serial number.
    pub serial: String,
    /// When.
    pub now: Timestamp,
}

impl Act for Renew {
    type Reply = RenewOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<RenewOutcome, StoreError> {
        let Self { serial, issued, now } = self;
        let asks = sqlx::query(
            "SELECT box_id, expires_at FROM certificates \
             WHERE serial = $1 AND node_id = $2 AND kind = 'box' AND revoked_at IS NULL",
        )
        .bind(serial)
        .bind(issued.node_id.to_string());
        let Some(asks) = tx.read(asks).await? else { return Ok(RenewOutcome::NotTheBox) };
        let ended = time(&asks, "certificates", "expires_at")?;
        if ended.plus(GRACE) <= *now {
            return Ok(RenewOutcome::NotTheBox);
        }
        let again = sqlx::query(
            "SELECT der, expires_at FROM certificates WHERE node_id = $1 AND kind = 'box' AND spki_sha256 = $2 \
             AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $3 AND serial <> $4 \
             ORDER BY position DESC LIMIT 1",
        )
        .bind(issued.node_id.to_string())
        .bind(issued.spki_sha256.to_string())
        .bind(now.unix())
        .bind(serial);
        if let Some(row) = tx.read(again).await? {
            let expires_at = time(&row, "certificates", "expires_at")?;
            return Ok(RenewOutcome::Renewed { der: row.try_get("der")?, expires_at });
        }
        if let Some(retry_after) = self.day_is_full(tx).await? {
            return Ok(RenewOutcome::TooMany { retry_after });
        }
        let box_id = parsed(&asks, "certificates", "box_id")?;
        tx.insert_certificate(box_id, issued, CertificateKind::Box, *now).await?;
        let dropped = self.drop_unused(tx).await?;
        let (action, late) = if ended <= *now {
            ("certificate.renew-late", format!(", which had ended at {ended}"))
        } else {
            ("certificate.renew", String::new())
        };
        tx.audit(Entry {
            time: *now,
            actor: format!("node:{}", issued.node_id),
            action,
            box_id: Some(box_id),
            detail: format!(
                "certificate {} until {}, by {serial}{late}{}",
                issued.serial,
                issued.expires_at,
                if dropped > 0 { format!("; {dropped} that nobody has used revoked") } else { String::new() }
            ),
        })
        .await?;
        Ok(RenewOutcome::Renewed { der: issued.der.clone(), expires_at: issued.expires_at })
    }
}

impl Renew {
    /// Revokes what the node was given and has not used, but for the newest two: an answer may still be on its way,
    /// and a heap of certificates that hold is of use to a thief only.
    async fn drop_unused(&self, tx: &mut Tx<'_>) -> Result<u64, StoreError> {
        let unused = sqlx::query(
            "UPDATE certificates SET revoked_at = $1, revoked_because = $2 WHERE node_id = $3 AND kind = 'box' \
             AND used_at IS NULL AND revoked_at IS NULL AND serial <> $4 AND position < (SELECT k.position \
             FROM certificates k WHERE k.node_id = $3 AND k.kind = 'box' AND k.used_at IS NULL \
             AND k.revoked_at IS NULL AND k.serial <> $4 ORDER BY k.position DESC LIMIT 1 OFFSET 1)",
        )
        .bind(self.now.unix())
        .bind(SUPERSEDED)
        .bind(self.issued.node_id.to_string())
        .bind(&self.serial);
        tx.write_any(unused).await
    }

    async fn day_is_full(&self, tx: &mut Tx<'_>) -> Result<Option<Duration>, StoreError> {
        let select = sqlx::query(
            "SELECT made_at FROM certificates WHERE node_id = $1 AND made_at > $2 AND made_at <= $3 \
             ORDER BY made_at DESC LIMIT 1 OFFSET $4",
        )
        .bind(self.issued.node_id.to_string())
        .bind(self.now.unix() - DAY_SECONDS)
        .bind(self.now.unix())
        .bind(PER_DAY - 1);
        let Some(row) = tx.read(select).await? else { return Ok(None) };
        let free_at = time(&row, "certificates", "made_at")?.unix() + DAY_SECONDS;
        Ok(Some(Duration::from_secs(u64::try_from(free_at - self.now.unix()).unwrap_or(1).max(1))))
    }
}

impl Act for TakeOver {
    type Reply = ();

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let Self { serial, now } = self;
        let used = sqlx::query(
            "UPDATE certificates SET used_at = $1 WHERE serial = $2 AND used_at IS NULL AND revoked_at IS NULL",
        )
        .bind(now.unix())
        .bind(serial);
        if tx.write_any(used).await? == 0 {
            return Ok(());
        }
        let former = sqlx::query(
            "UPDATE certificates SET revoked_at = $1, revoked_because = $2 WHERE kind = 'box' AND revoked_at IS NULL \
             AND node_id = (SELECT n.node_id FROM certificates n WHERE n.serial = $3) \
             AND position < (SELECT p.position FROM certificates p WHERE p.serial = $3)",
        )
        .bind(now.unix())
        .bind(SUPERSEDED)
        .bind(serial);
        let revoked = tx.write_any(former).await?;
        if revoked == 0 {
            return Ok(());
        }
        let whose = sqlx::query("SELECT box_id, node_id FROM certificates WHERE serial = $1").bind(serial);
        let Some(whose) = tx.read(whose).await? else { return Ok(()) };
        tx.audit(Entry {
            time: *now,
            actor: format!("node:{}", whose.try_get::<String, _>("node_id")?),
            action: "certificate.superseded",
            box_id: Some(parsed(&whose, "certificates", "box_id")?),
            detail: format!("certificate {serial} is in use, and {revoked} before it revoked"),
        })
        .await
    }
}
