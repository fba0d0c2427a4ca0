//! The hub's audit: a chain of rows, each carrying the hash of the one before.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    hash::Sha256,
    id::BoxId,
    json::{self, JsonError},
    time::Timestamp,
};

/// One row. `hash` is over the canonical text of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRow {
    /// From 1, without gaps.
    pub seq: u64,
    /// By the hub's clock.
    pub time: Timestamp,
    /// Who: `operator:admin`, `node:<id>`, `hub`, `anonymous`.
    pub actor: String,
    /// What: `box.add`, `recovery.arm`, ….
    pub action: String,
    /// Which box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub box_id: Option<BoxId>,
    /// More, for people. Never a secret.
    pub detail: String,
    /// The hash of the row before; 64 zeros in row 1.
    pub previous: Sha256,
    /// Over this row.
    pub hash: Sha256,
}

/// Where a chain breaks.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A row's text cannot be made.
    #[error("row {seq} cannot be written")]
    Json {
        /// The row.
        seq: u64,
        /// Why.
        #[source]
        source: JsonError,
    },
    /// A row does not follow the one before.
    #[error("the audit is broken at row {seq}")]
    Broken {
        /// The first row that does not fit.
        seq: u64,
    },
}

impl AuditRow {
    /// What row 1 names as its predecessor.
    pub const FIRST_PREVIOUS: Sha256 = Sha256::from_bytes([0; 32]);

    /// The row with its hash filled in.
    ///
    /// # Errors
    /// [`AuditError::Json`] if its text cannot be made.
    pub fn sealed(mut self) -> Result<Self, AuditError> {
        self.hash = self.computed()?;
        Ok(self)
    }

    /// The hash that this row must carry.
    ///
    /// # Errors
    /// [`AuditError::Json`] if its text cannot be made.
    pub fn computed(&self) -> Result<Sha256, AuditError> {
        let unwritable = |source| AuditError::Json { seq: self.seq, source };
        let mut value: Value = json::to_vec(self).and_then(|text| json::from_slice(&text)).map_err(unwritable)?;
        if let Some(object) = value.as_object_mut() {
            object.remove("hash");
        }
        Ok(Sha256::of(json::canonical(&value).map_err(unwritable)?.as_bytes()))
    }
}

/// Checks that `rows` follow each other, the first after `previous` (its sequence number and hash).
///
/// # Errors
/// [`AuditError`] at the first row that does not fit.
pub fn verify(previous: (u64, Sha256), rows: &[AuditRow]) -> Result<(u64, Sha256), AuditError> {
    rows.iter().try_fold(previous, |(seq, hash), row| {
        let fits = Some(row.seq) == seq.checked_add(1) && row.previous == hash && row.computed()? == row.hash;
        if fits { Ok((row.seq, row.hash)) } else { Err(AuditError::Broken { seq: row.seq }) }
    })
}
