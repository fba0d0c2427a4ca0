//! Certificates that the box CA signed. Whether one still holds is asked here at each request.

use std::{fmt, str::FromStr};

use sqlx::Row as _;
use tenwords_protocol::{
    hash::Sha256,
    id::{BoxId, NodeId},
    recovery::CertificateEntry,
    time::Timestamp,
};

use super::{Store, StoreError, Tx, maybe_time, parsed, tickets::Issued, time};

/// What a certificate may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// It speaks for the box.
    Box,
    /// It may read the box's directive, versions and parts, and prove.
    Recovery,
}

/// A certificate, as the store knows it.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Its serial number, in hex.
    pub serial: String,
    /// Whose.
    pub box_id: BoxId,
    /// Which machine's.
    pub node_id: NodeId,
    /// What it may do.
    pub kind: CertificateKind,
    /// Over its public key's SPKI (DER).
    pub spki_sha256: Sha256,
    /// The certificate.
    pub der: Vec<u8>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used first.
    pub used_at: Option<Timestamp>,
    /// When it was revoked, and by what.
    pub revoked: Option<(Timestamp, Revoked)>,
}

/// What has revoked a certificate, as far as its holder may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// Something that is nobody's business there.
    Otherwise,
    /// The box came to life on another machine.
    Recovered,
    /// An operator has taken the node out of the box.
    Removed,
    /// The box is no more.
    Retired,
    /// The same node uses a newer one.
    Superseded,
}

pub(super) const RECOVERED: &str = "the box was recovered";
pub(super) const REMOVED: &str = "the node was taken out of the box";
pub(super) const RETIRED: &str = "the box was retired";
pub(super) const SUPERSEDED: &str = "the node uses a newer one";

impl Store {
    /// The certificate with this serial number.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn certificate(&self, serial: &str) -> Result<Option<Certificate>, StoreError> {
        let row = sqlx::query(
            "SELECT serial, box_id, node_id, kind, spki_sha256, der, expires_at, used_at, revoked_at, \
             revoked_because FROM certificates WHERE serial = $1",
        )
        .bind(serial)
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let revoked_at = maybe_time(&row, "certificates", "revoked_at")?;
        let because = match row.try_get::<Option<&str>, _>("revoked_because")? {
            Some(RECOVERED) => Revoked::Recovered,
            Some(REMOVED) => Revoked::Removed,
            Some(RETIRED) => Revoked::Retired,
            Some(SUPERSEDED) => Revoked::Superseded,
            _ => Revoked::Otherwise,
        };
        Ok(Some(Certificate {
            serial: row.try_get("serial")?,
            box_id: parsed(&row, "certificates", "box_id")?,
            node_id: parsed(&row, "certificates", "node_id")?,
            kind: parsed(&row, "certificates", "kind")?,
            spki_sha256: parsed(&row, "certificates", "spki_sha256")?,
            der: row.try_get("der")?,
            expires_at: time(&row, "certificates", "expires_at")?,
            used_at: maybe_time(&row, "certificates", "used_at")?,
            revoked: revoked_at.map(|at| (at, because)),
        }))
    }

    /// The box's certificates: those that are not revoked first, then the newest; so many that a box which
    /// is recovered every day has room for half a year.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn certificates(&self, box_id: BoxId) -> Result<Vec<CertificateEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT node_id, kind, made_at, expires_at, revoked_at FROM certificates WHERE box_id = $1 \
             ORDER BY CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END, made_at DESC, serial LIMIT 512",
        )
        .bind(box_id.to_string())
        .fetch_all(self.pool())
        .await?;
        let entry = |row: &_| {
            Ok(CertificateEntry {
                node_id: parsed(row, "certificates", "node_id")?,
                is_box: parsed::<CertificateKind>(row, "certificates", "kind")? == CertificateKind::Box,
                made_at: time(row, "certificates", "made_at")?,
                expires_at: time(row, "certificates", "expires_at")?,
                revoked_at: maybe_time(row, "certificates", "revoked_at")?,
            })
        };
        rows.iter().map(entry).collect()
    }
}

impl Tx<'_> {
    /// What this certificate may do at `now`, or nothing.
    pub(super) async fn certificate_kind(
        &mut self,
        serial: &str,
        now: Timestamp,
    ) -> Result<Option<CertificateKind>, StoreError> {
        let select =
            sqlx::query("SELECT kind FROM certificates WHERE serial = $1 AND revoked_at IS NULL AND expires_at > $2")
                .bind(serial)
                .bind(now.unix());
        self.read(select).await?.map(|row| parsed(&row, "certificates", "kind")).transpose()
    }

    /// Writes down a certificate of a node that is known.
    pub(super) async fn insert_certificate(
        &mut self,
        box_id: BoxId,
        issued: &Issued,
        kind: CertificateKind,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let insert = sqlx::query(
            "INSERT INTO certificates (serial, position, box_id, node_id, kind, spki_sha256, der, made_at, expires_at) \
             VALUES ($1, (SELECT COALESCE(MAX(position), 0) + 1 FROM certificates), $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&issued.serial)
        .bind(box_id.to_string())
        .bind(issued.node_id.to_string())
        .bind(kind.as_str())
        .bind(issued.spki_sha256.to_string())
        .bind(&issued.der)
        .bind(now.unix())
        .bind(issued.expires_at.unix());
        self.write("certificates", 1, insert).await
    }

    /// Revokes one certificate, which must hold.
    pub(super) async fn revoke(
        &mut self,
        serial: &str,
        because: &'static str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let update = sqlx::query(
            "UPDATE certificates SET revoked_at = $1, revoked_because = $2 WHERE serial = $3 AND revoked_at IS NULL",
        )
        .bind(now.unix())
        .bind(because)
        .bind(serial);
        self.write("certificates", 1, update).await
    }

    /// Revokes all of the box's certificates but one, and says how many.
    pub(super) async fn revoke_others(
        &mut self,
        box_id: BoxId,
        keep: &str,
        because: &'static str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let update = sqlx::query(
            "UPDATE certificates SET revoked_at = $1, revoked_because = $2 \
             WHERE box_id = $3 AND serial <> $4 AND revoked_at IS NULL",
        )
        .bind(now.unix())
        .bind(because)
        .bind(box_id.to_string())
        .bind(keep);
        self.write_any(update).await
    }
}

impl CertificateKind {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Recovery => "recovery",
        }
    }
}

impl fmt::Display for CertificateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CertificateKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "box" => Ok(Self::Box),
            "recovery" => Ok(Self::Recovery),
            _ => Err(()),
        }
    }
}
