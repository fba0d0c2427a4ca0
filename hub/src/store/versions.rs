//! Escrow versions and their parts. They are added, and read; nothing else is written here.

use std::{collections::BTreeMap, num::NonZeroU64, time::Duration};

use sqlx::{Row as _, any::AnyRow};
use tenwords_protocol::{
    hash::Sha256,
    id::BoxId,
    json,
    part::PartName,
    time::Timestamp,
    v1::V1,
    version::{Bundle, Header, Kind, StoredHeader},
};

use super::{Act, CertificateKind, Entry, Store, StoreError, Tx, day::DAY_SECONDS, time};

/// Headers in one answer.
const PAGE: i64 = 64;
/// Versions of one kind that a box may push in 24 hours.
pub(super) const PER_DAY: i64 = 24;
/// The body is what the box sent.
const UNSEALED: i64 = 0;

/// Adds a version.
#[derive(Debug)]
pub struct Push {
    header: Header,
    text: String,
    sha256: Sha256,
    parts: BTreeMap<PartName, Vec<u8>>,
    serial: String,
    actor: String,
    now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// It is the newest already, under this number.
    Known(NonZeroU64, Timestamp),
    /// The certificate does not speak for the box any more.
    NotTheBox,
    /// It is written.
    Stored(NonZeroU64, Timestamp),
    /// The day's versions are used up.
    TooMany {
        /// When one more will be taken.
        retry_after: Duration,
    },
}

impl Push {
    /// The act of storing this bundle's header and parts, which agree already.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if the header cannot be written as text.
    pub fn new(bundle: Bundle, serial: String, actor: String, now: Timestamp) -> Result<Self, StoreError> {
        let (header, parts) = bundle.into_parts();
        let unwritable = || StoreError::unreadable("versions", "header", "cannot be written");
        let text = json::to_vec(&header).map_err(|_| unwritable())?;
        let text = String::from_utf8(text).map_err(|_| unwritable())?;
        let sha256 = Sha256::of(text.as_bytes());
        Ok(Self { header, text, sha256, parts, serial, actor, now })
    }
}

impl Act for Push {
    type Reply = PushOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<PushOutcome, StoreError> {
        let box_id = self.header.facts().box_id;
        if tx.certificate_kind(&self.serial, self.now).await? != Some(CertificateKind::Box) {
            return Ok(PushOutcome::NotTheBox);
        }
        let newest = sqlx::query(
            "SELECT number, received_at, header_sha256 FROM versions WHERE box_id = $1 ORDER BY number DESC LIMIT 1",
        )
        .bind(box_id.to_string());
        let mut last = 0;
        if let Some(row) = tx.read(newest).await? {
            let known = number(&row)?;
            if row.try_get::<String, _>("header_sha256")? == self.sha256.to_string() {
                return Ok(PushOutcome::Known(known, time(&row, "versions", "received_at")?));
            }
            last = known.get();
        }
        if let Some(retry_after) = self.day_is_full(tx, box_id).await? {
            return Ok(PushOutcome::TooMany { retry_after });
        }
        let number = NonZeroU64::MIN.saturating_add(last);
        self.insert(tx, box_id, number).await?;
        tx.audit(Entry {
            time: self.now,
            actor: self.actor.clone(),
            action: "version.push",
            box_id: Some(box_id),
            detail: format!("version {number}, {}, header {}", kind_text(self.header.facts().kind), self.sha256),
        })
        .await?;
        Ok(PushOutcome::Stored(number, self.now))
    }
}

impl Push {
    /// Twenty-four of a kind in a day; what came before a proven recovery does not count, so that a
    /// thief with the lost box cannot shut the recovered one out.
    async fn day_is_full(&self, tx: &mut Tx<'_>, box_id: BoxId) -> Result<Option<Duration>, StoreError> {
        let select = sqlx::query(
            "SELECT received_at FROM versions WHERE box_id = $1 AND kind = $2 AND received_at > $3 \
             AND received_at <= $4 AND received_at >= (SELECT COALESCE(MAX(proven_at), 0) FROM tickets \
             WHERE box_id = $1 AND purpose = 'recover' AND rehearsal = 0) \
             ORDER BY received_at DESC LIMIT 1 OFFSET $5",
        )
        .bind(box_id.to_string())
        .bind(kind_text(self.header.facts().kind))
        .bind(self.now.unix() - DAY_SECONDS)
        .bind(self.now.unix())
        .bind(PER_DAY - 1);
        let Some(row) = tx.read(select).await? else { return Ok(None) };
        let free_at = time(&row, "versions", "received_at")?.unix() + DAY_SECONDS;
        Ok(Some(Duration::from_secs(u64::try_from(free_at - self.now.unix()).unwrap_or(1).max(1))))
    }

    async fn insert(&self, tx: &mut Tx<'_>, box_id: BoxId, number: NonZeroU64) -> Result<(), StoreError> {
        let number = i64::try_from(number.get()).map_err(|_| StoreError::unreadable("versions", "number", number))?;
        let version = sqlx::query(
            "INSERT INTO versions (box_id, number, kind, received_at, header, header_sha256) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(box_id.to_string())
        .bind(number)
        .bind(kind_text(self.header.facts().kind))
        .bind(self.now.unix())
        .bind(&self.text)
        .bind(self.sha256.to_string());
        tx.write("versions", 1, version).await?;
        for entry in self.header.parts() {
            let Some(body) = self.parts.get(&entry.name) else {
                return Err(StoreError::unreadable("parts", "name", entry.name));
            };
            let part = sqlx::query(
                "INSERT INTO parts (box_id, number, name, size, sha256, seal, body) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(box_id.to_string())
            .bind(number)
            .bind(entry.name.to_string())
            .bind(i64::try_from(body.len()).unwrap_or(i64::MAX))
            .bind(entry.sha256.to_string())
            .bind(UNSEALED)
            .bind(body);
            tx.write("parts", 1, part).await?;
        }
        Ok(())
    }
}

impl Store {
    /// A page of a box's versions, newest first: those with a number below `before`, at most
    /// 64. A box that pushes without end makes more pages, not larger ones.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn versions(&self, box_id: BoxId, before: Option<NonZeroU64>) -> Result<Vec<StoredHeader>, StoreError> {
        let before = before.map_or(i64::MAX, |number| i64::try_from(number.get()).unwrap_or(i64::MAX));
        let rows = sqlx::query(
            "SELECT number, received_at, header FROM versions WHERE box_id = $1 AND number < $2 \
             ORDER BY number DESC LIMIT $3",
        )
        .bind(box_id.to_string())
        .bind(before)
        .bind(PAGE)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(stored).collect()
    }

    /// One version, or the newest.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn version(&self, box_id: BoxId, wanted: Option<NonZeroU64>) -> Result<Option<StoredHeader>, StoreError> {
        let wanted = wanted.map(|number| i64::try_from(number.get()).unwrap_or(i64::MAX));
        let row = sqlx::query(
            "SELECT number, received_at, header FROM versions WHERE box_id = $1 AND ($2 IS NULL OR number = $2) \
             ORDER BY number DESC LIMIT 1",
        )
        .bind(box_id.to_string())
        .bind(wanted)
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(stored).transpose()
    }

    /// One part's bytes, as the box sent them.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or are not what the box sent.
    pub async fn part(&self, box_id: BoxId, number: NonZeroU64, name: PartName) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT sha256, seal, body FROM parts WHERE box_id = $1 AND number = $2 AND name = $3")
            .bind(box_id.to_string())
            .bind(i64::try_from(number.get()).unwrap_or(i64::MAX))
            .bind(name.to_string())
            .fetch_optional(self.pool())
            .await
            // A page that is damaged is no database that is away.
            .map_err(|error| StoreError::from(error).or_damage())?;
        let Some(row) = row else { return Ok(None) };
        let seal: i64 = row.try_get("seal")?;
        if seal != UNSEALED {
            return Err(StoreError::unreadable("parts", "seal", seal));
        }
        let body: Vec<u8> = row.try_get("body")?;
        if Sha256::of(&body).to_string() != row.try_get::<String, _>("sha256")? {
            return Err(StoreError::unreadable("parts", "body", format!("damaged ({name} of version {number})")));
        }
        Ok(Some(body))
    }
}

/// The header of one version, inside a transaction.
pub(super) async fn header_of(
    tx: &mut Tx<'_>,
    box_id: BoxId,
    number: NonZeroU64,
) -> Result<Option<Header>, StoreError> {
    let select = sqlx::query("SELECT number, received_at, header FROM versions WHERE box_id = $1 AND number = $2")
        .bind(box_id.to_string())
        .bind(i64::try_from(number.get()).unwrap_or(i64::MAX));
    Ok(tx.read(select).await?.as_ref().map(stored).transpose()?.map(|stored| stored.header))
}

/// A row with `number`, `received_at` and `header`.
pub(super) fn stored(row: &AnyRow) -> Result<StoredHeader, StoreError> {
    let number = number(row)?;
    let text: String = row.try_get("header")?;
    let header = json::from_slice(text.as_bytes()).map_err(|_| StoreError::unreadable("versions", "header", number))?;
    Ok(StoredHeader { v: V1, number, received_at: time(row, "versions", "received_at")?, header })
}

fn number(row: &AnyRow) -> Result<NonZeroU64, StoreError> {
    let number: i64 = row.try_get("number")?;
    u64::try_from(number)
        .ok()
        .and_then(NonZeroU64::new)
        .ok_or_else(|| StoreError::unreadable("versions", "number", number))
}

fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Ceremony => "ceremony",
        Kind::Update => "update",
    }
}
