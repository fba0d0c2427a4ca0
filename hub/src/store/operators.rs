//! Who may speak as an operator: tokens, by their keyed hash.

use sqlx::Row as _;
use tenwords_protocol::time::Timestamp;

use super::{Act, Entry, Store, StoreError, Tx};

/// An operator, by the hash of his token.
#[derive(Debug, Clone)]
pub struct Operator {
    /// His name in the audit.
    pub name: String,
    /// The keyed hash of his token, in hex.
    pub token_hash: String,
}

/// Adds one.
#[derive(Debug)]
pub struct AddOperator {
    /// His name in the audit.
    pub name: String,
    /// What he may do.
    pub role: &'static str,
    /// The keyed hash of his token, in hex.
    pub token_hash: String,
    /// When.
    pub now: Timestamp,
}

impl Act for AddOperator {
    type Reply = ();

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let insert = sqlx::query("INSERT INTO operators (name, role, token_hash, made_at) VALUES ($1, $2, $3, $4)")
            .bind(&self.name)
            .bind(self.role)
            .bind(&self.token_hash)
            .bind(self.now.unix());
        tx.write("operators", 1, insert).await?;
        tx.audit(Entry {
            time: self.now,
            actor: "hub".to_owned(),
            action: "operator.add",
            box_id: None,
            detail: format!("{} as {}", self.name, self.role),
        })
        .await
    }
}

impl Store {
    /// Those whose tokens are good.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn operators(&self) -> Result<Vec<Operator>, StoreError> {
        let rows = sqlx::query("SELECT name, token_hash FROM operators WHERE ended_at IS NULL ORDER BY name")
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok(Operator { name: row.try_get("name")?, token_hash: row.try_get("token_hash")? }))
            .collect()
    }
}
