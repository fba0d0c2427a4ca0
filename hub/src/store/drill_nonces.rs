//! Nonces for drills. They are no record of anything: what is used or too many goes, so a box that asks
//! without end has as many rows as one that asks once. What a nonce was used for stands in its drill.
//!
//! Giving one out changes nothing that anybody could ask about later, so it leaves no audit row.

use sqlx::Row as _;
use tenwords_protocol::{time::Timestamp, words::Nonce};

use super::{Act, CertificateKind, StoreError, Tx};

/// Unused nonces of one certificate, at most. A few, so that an answer lost on the way and a second
/// drill at the same time do no harm.
const UNUSED: i64 = 4;

/// Gives a nonce to a certificate that speaks for its box.
#[derive(Debug)]
pub struct TakeNonce {
    /// The nonce.
    pub nonce: Nonce,
    /// To whom.
    pub serial: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeNonceOutcome {
    /// The certificate does not speak for the box any more.
    NotTheBox,
    /// It is good for one drill.
    Taken,
}

impl Act for TakeNonce {
    type Reply = TakeNonceOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<TakeNonceOutcome, StoreError> {
        let Self { nonce, serial, now } = self;
        if tx.certificate_kind(serial, *now).await? != Some(CertificateKind::Box) {
            return Ok(TakeNonceOutcome::NotTheBox);
        }
        let last = sqlx::query("SELECT position FROM drill_nonces WHERE serial = $1 ORDER BY position DESC LIMIT 1")
            .bind(serial);
        let position = match tx.read(last).await? {
            Some(row) => row.try_get::<i64, _>("position")? + 1,
            None => 1,
        };
        let old = sqlx::query("DELETE FROM drill_nonces WHERE serial = $1 AND position <= $2")
            .bind(serial)
            .bind(position - UNUSED);
        tx.write_any(old).await?;
        let insert = sqlx::query("INSERT INTO drill_nonces (serial, position, nonce) VALUES ($1, $2, $3)")
            .bind(serial)
            .bind(position)
            .bind(nonce.to_string());
        tx.write("drill_nonces", 1, insert).await?;
        Ok(TakeNonceOutcome::Taken)
    }
}

impl Tx<'_> {
    /// Whether this certificate has been given this nonce and has not used it.
    pub(super) async fn has_drill_nonce(&mut self, serial: &str, nonce: &Nonce) -> Result<bool, StoreError> {
        let select = sqlx::query("SELECT position FROM drill_nonces WHERE serial = $1 AND nonce = $2")
            .bind(serial)
            .bind(nonce.to_string());
        Ok(self.read(select).await?.is_some())
    }

    /// Uses it up.
    pub(super) async fn use_drill_nonce(&mut self, serial: &str, nonce: &Nonce) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM drill_nonces WHERE serial = $1 AND nonce = $2")
            .bind(serial)
            .bind(nonce.to_string());
        self.write("drill_nonces", 1, delete).await
    }
}
