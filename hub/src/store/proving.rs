//! Somebody shows that he has the ten words, and the machine that claimed becomes the box.
//!
//! Everything is judged inside the transaction that changes it: the nonce is unused, the key is
//! that of the version that the proof names, the certificate still holds.
//!
//! The recovery certificate gives way to one of the box, and its ticket goes over to that one. Who
//! has lost the answer claims again with the same key and ticket, is given the box's certificate,
//! and may prove once more: that changes nothing but a nonce.

use std::fmt;

use tenwords_protocol::{
    hash::Sha256,
    id::BoxId,
    time::Timestamp,
    words::{Purpose, WordsProof},
};

use super::{
    Act, CertificateKind, Entry, StoreError, Tx,
    certificates::RECOVERED,
    tickets::{self, Issued},
    versions,
};

/// A proof's time may differ from the hub's by so much.
const SKEW_SECONDS: u64 = 600;

/// Judges a proof and acts on it.
#[derive(Debug)]
pub struct Prove {
    /// The proof.
    pub proof: WordsProof,
    /// The box's certificate, for the same machine and key, unless it has that already.
    pub issued: Issued,
    /// The certificate that it came with.
    pub serial: String,
    /// The certificate's public key.
    pub spki_sha256: Sha256,
    /// The certificate's box.
    pub box_id: BoxId,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProveOutcome {
    /// The machine is the box now, with the certificate that was issued.
    IsBox {
        /// So many certificates of other machines were revoked.
        revoked: u64,
    },
    /// The certificate that it came with is the box's already; it stays that.
    WasBox,
    /// Written down; the certificate stays a reader's.
    Rehearsed,
    /// Nothing has changed.
    Refused(Unproven),
}

/// Why a proof was refused. All of these are one refusal outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// The certificate has ended or was revoked meanwhile.
    Certificate,
    /// The hub gave no such nonce to this certificate, or it was used.
    Nonce,
    /// It is for something else than what was asked.
    Purpose,
    /// That version's key did not sign it, for this box and certificate.
    Signature,
    /// Its time is too far from the hub's.
    Time,
    /// The box has no such version.
    Version,
}

impl Act for Prove {
    type Reply = ProveOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<ProveOutcome, StoreError> {
        let kind = match self.judge(tx).await? {
            Ok(kind) => kind,
            Err(why) => return Ok(ProveOutcome::Refused(why)),
        };
        let Self { serial, issued, box_id, now, .. } = self;
        let nonce = sqlx::query("UPDATE nonces SET used_at = $1 WHERE nonce = $2 AND serial = $3 AND used_at IS NULL")
            .bind(now.unix())
            .bind(self.proof.nonce.to_string())
            .bind(serial);
        tx.write("nonces", 1, nonce).await?;
        if kind == CertificateKind::Box {
            self.record(tx, "recovery.prove", "once more, nothing is changed").await?;
            return Ok(ProveOutcome::WasBox);
        }
        // A recovery certificate has exactly one ticket: the one that gave it.
        let rehearsal = sqlx::query("SELECT ticket_hash FROM tickets WHERE serial = $1 AND rehearsal = 1").bind(serial);
        let rehearsal = tx.read(rehearsal).await?.is_some();
        let ticket = sqlx::query(
            "UPDATE tickets SET proven_at = COALESCE(proven_at, $1), ended_at = COALESCE(ended_at, $1) \
             WHERE serial = $2",
        )
        .bind(now.unix())
        .bind(serial);
        tx.write("tickets", 1, ticket).await?;
        if rehearsal {
            self.record(tx, "recovery.rehearsed", "the certificate stays a reader's").await?;
            return Ok(ProveOutcome::Rehearsed);
        }
        tx.insert_certificate(*box_id, issued, CertificateKind::Box, *now).await?;
        let moved = sqlx::query("UPDATE tickets SET serial = $1 WHERE serial = $2").bind(&issued.serial).bind(serial);
        tx.write("tickets", 1, moved).await?;
        tx.revoke(serial, "it was proven, and the box's took its place", *now).await?;
        let revoked = tx.revoke_others(*box_id, &issued.serial, RECOVERED, *now).await?;
        // What a former machine has saved brings it back in no more than its certificate.
        tx.end_tickets(*box_id, tickets::Purpose::Enroll, *now).await?;
        tx.end_orders_of_former(*box_id, &self.actor(), *now).await?;
        let more = format!("certificate {} until {}; {revoked} certificates revoked", issued.serial, issued.expires_at);
        self.record(tx, "recovery.prove", &more).await?;
        Ok(ProveOutcome::IsBox { revoked })
    }
}

impl Prove {
    async fn judge(&self, tx: &mut Tx<'_>) -> Result<Result<CertificateKind, Unproven>, StoreError> {
        let Self { proof, serial, box_id, now, .. } = self;
        if proof.purpose != Purpose::Recover {
            return Ok(Err(Unproven::Purpose));
        }
        if !is_of_now(proof, *now) {
            return Ok(Err(Unproven::Time));
        }
        let Some(kind) = tx.certificate_kind(serial, *now).await? else { return Ok(Err(Unproven::Certificate)) };
        let nonce = sqlx::query("SELECT nonce FROM nonces WHERE nonce = $1 AND serial = $2 AND used_at IS NULL")
            .bind(proof.nonce.to_string())
            .bind(serial);
        if tx.read(nonce).await?.is_none() {
            return Ok(Err(Unproven::Nonce));
        }
        Ok(signed_by_its_version(tx, proof, *box_id, self.spki_sha256).await?.map(|()| kind))
    }

    fn actor(&self) -> String {
        format!("node:{}", self.issued.node_id)
    }

    async fn record(&self, tx: &mut Tx<'_>, action: &'static str, more: &str) -> Result<(), StoreError> {
        tx.audit(Entry {
            time: self.now,
            actor: self.actor(),
            action,
            box_id: Some(self.box_id),
            detail: format!("proven with {}, words of version {}; {more}", self.serial, self.proof.version),
        })
        .await
    }
}

/// Whether the proof's time is near enough to the hub's.
pub(super) fn is_of_now(proof: &WordsProof, now: Timestamp) -> bool {
    now.since(proof.time).max(proof.time.since(now)).as_secs() <= SKEW_SECONDS
}

/// Checks the signature with the words key of the version that the proof names.
pub(super) async fn signed_by_its_version(
    tx: &mut Tx<'_>,
    proof: &WordsProof,
    box_id: BoxId,
    spki_sha256: Sha256,
) -> Result<Result<(), Unproven>, StoreError> {
    let Some(header) = versions::header_of(tx, box_id, proof.version).await? else {
        return Ok(Err(Unproven::Version));
    };
    let key = &header.facts().words_key;
    Ok(proof.verify(box_id, spki_sha256, key).map_err(|_| Unproven::Signature))
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "the certificate does not hold any more",
            Self::Nonce => "the nonce is not this certificate's, or was used",
            Self::Purpose => "it is for another purpose",
            Self::Signature => "the words key of that version did not sign it",
            Self::Time => "its time is too far from the hub's",
            Self::Version => "no such version",
        })
    }
}
