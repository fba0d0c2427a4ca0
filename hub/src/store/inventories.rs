//! What boxes said they had, one text for a version. They are added, and read; nothing else is written
//! here. The newest makes the automatic directive, in the same transaction.

use std::num::NonZeroU64;

use sqlx::{Row as _, any::AnyRow};
use tenwords_protocol::{
    hash::Sha256,
    holdings::{Holdings, InventoryReply},
    id::BoxId,
    json,
    v1::V1,
};

use super::{Act, CertificateKind, Entry, Store, StoreError, Tx, time};

/// Keeps what a box said with a version of its own.
#[derive(Debug)]
pub struct SendInventory {
    /// What it said.
    pub inventory: Holdings,
    /// With which version.
    pub version: NonZeroU64,
    /// The certificate that it came with.
    pub serial: String,
    /// Whose it is.
    pub box_id: BoxId,
    /// For the audit.
    pub actor: String,
    /// When.
    pub now: tenwords_protocol::time::Timestamp,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inventoried {
    /// It is kept already, the same text.
    Known,
    /// The certificate does not speak for the box any more.
    NotTheBox,
    /// The box has no such version.
    NoVersion,
    /// Another one is kept with that version.
    Other,
    /// It is written.
    Stored,
}

impl Act for SendInventory {
    type Reply = Inventoried;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<Inventoried, StoreError> {
        let Self { inventory, box_id, version, now, .. } = self;
        if tx.certificate_kind(&self.serial, *now).await? != Some(CertificateKind::Box) {
            return Ok(Inventoried::NotTheBox);
        }
        let text = text(inventory)?;
        let sha256 = Sha256::of(text.as_bytes());
        let select = sqlx::query(
            "SELECT v.number, i.sha256 FROM versions v LEFT JOIN inventories i \
             ON i.box_id = v.box_id AND i.version = v.number WHERE v.box_id = $1 AND v.number = $2",
        )
        .bind(box_id.to_string())
        .bind(number(*version)?);
        match tx.read(select).await?.map(|row| row.try_get::<Option<String>, _>("sha256")).transpose()? {
            None => return Ok(Inventoried::NoVersion),
            Some(Some(kept)) if kept == sha256.to_string() => return Ok(Inventoried::Known),
            Some(Some(_)) => return Ok(Inventoried::Other),
            Some(None) => {}
        }
        let insert = sqlx::query(
            "INSERT INTO inventories (box_id, version, received_at, sha256, body) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(box_id.to_string())
        .bind(number(*version)?)
        .bind(now.unix())
        .bind(sha256.to_string())
        .bind(text);
        tx.write("inventories", 1, insert).await?;
        tx.audit(Entry {
            time: *now,
            actor: self.actor.clone(),
            action: "inventory.send",
            box_id: Some(*box_id),
            detail: format!("of version {version}, {sha256}"),
        })
        .await?;
        // One that comes late, with an older version, changes nothing of what stands.
        if newest(tx, *box_id).await?.is_some_and(|newest| newest.version == *version) {
            tx.renew_directive(*box_id, *version, inventory, *now).await?;
        }
        Ok(Inventoried::Stored)
    }
}

impl Store {
    /// The last that a box said it had: with its newest version that has one.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn inventory(&self, box_id: BoxId) -> Result<Option<InventoryReply>, StoreError> {
        let row = sqlx::query(NEWEST).bind(box_id.to_string()).fetch_optional(self.pool()).await?;
        row.as_ref().map(kept).transpose()
    }
}

const NEWEST: &str =
    "SELECT version, received_at, sha256, body FROM inventories WHERE box_id = $1 ORDER BY version DESC LIMIT 1";

/// The same, inside a transaction.
pub(super) async fn newest(tx: &mut Tx<'_>, box_id: BoxId) -> Result<Option<InventoryReply>, StoreError> {
    tx.read(sqlx::query(NEWEST).bind(box_id.to_string())).await?.as_ref().map(kept).transpose()
}

fn kept(row: &AnyRow) -> Result<InventoryReply, StoreError> {
    let version: i64 = row.try_get("version")?;
    let unreadable = |what: &str| StoreError::unreadable("inventories", "body", format!("{what} (version {version})"));
    let body: String = row.try_get("body")?;
    if Sha256::of(body.as_bytes()).to_string() != row.try_get::<String, _>("sha256")? {
        return Err(unreadable("damaged"));
    }
    let inventory = json::from_slice(body.as_bytes()).map_err(|_| unreadable("not of a known form"))?;
    let version = u64::try_from(version).ok().and_then(NonZeroU64::new).ok_or_else(|| unreadable("no number"))?;
    Ok(InventoryReply { v: V1, version, received_at: time(row, "inventories", "received_at")?, inventory })
}

fn text(inventory: &Holdings) -> Result<String, StoreError> {
    let unwritable = || StoreError::unreadable("inventories", "body", "cannot be written");
    let text = json::to_vec(inventory).map_err(|_| unwritable())?;
    String::from_utf8(text).map_err(|_| unwritable())
}

/// As the database counts.
pub(super) fn number(number: NonZeroU64) -> Result<i64, StoreError> {
    i64::try_from(number.get()).map_err(|_| StoreError::unreadable("inventories", "version", number))
}
