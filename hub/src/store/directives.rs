//! Directives, numbered by box; the one with the highest number stands. They are added, and read; nothing
//! else is written here.
//!
//! While an operator's stands, no inventory changes it. He drops it by asking for the automatic one, which
//! is made anew from the last inventory, under a number of its own.

use std::num::NonZeroU64;

use sqlx::{Row as _, any::AnyRow};
use tenwords_protocol::{
    directive::{Directive, Item},
    directives::{self, DirectiveHead, Made, Origin, StoredDirective},
    hash::Sha256,
    holdings::Holdings,
    id::BoxId,
    json,
    time::Timestamp,
    v1::V1,
};

use super::{Act, Entry, Store, StoreError, Tx, inventories, parsed, time};

/// Heads in one answer.
const PAGE: i64 = 64;

/// An operator's own, or back to the automatic one.
#[derive(Debug)]
pub struct Edit {
    /// Whose.
    pub box_id: BoxId,
    /// The newest number when the edit began, 0 for none.
    pub based_on: u64,
    /// What to restore; `None` for the automatic one.
    pub items: Option<Vec<Item>>,
    /// The operator's name.
    pub operator: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditOutcome {
    /// No box has this id.
    NoBox,
    /// Another one stands by now, if any.
    Outdated(Option<DirectiveHead>),
    /// It stands.
    Stands(StoredDirective),
}

/// What is written, but for its number.
struct New<'n> {
    box_id: BoxId,
    after: u64,
    origin: Origin,
    by: Option<&'n str>,
    version: Option<NonZeroU64>,
    made: Made,
    now: Timestamp,
}

impl Act for Edit {
    type Reply = EditOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<EditOutcome, StoreError> {
        let Self { box_id, based_on, items, operator, now } = self;
        let known = sqlx::query("SELECT box_id FROM boxes WHERE box_id = $1").bind(box_id.to_string());
        if tx.read(known).await?.is_none() {
            return Ok(EditOutcome::NoBox);
        }
        let standing = tx.standing(*box_id).await?;
        let after = standing.as_ref().map_or(0, |stored| stored.head.number.get());
        if after != *based_on {
            return Ok(EditOutcome::Outdated(standing.map(|stored| stored.head)));
        }
        let (origin, version, made) = match items {
            Some(items) => (Origin::Operator, None, Made { items: items.clone(), left_out: 0 }),
            None => {
                let last = inventories::newest(tx, *box_id).await?;
                let made = last.as_ref().map(|last| directives::automatic(&last.inventory)).unwrap_or_default();
                (Origin::Automatic, last.map(|last| last.version), made)
            }
        };
        let new = New { box_id: *box_id, after, origin, by: Some(operator.as_str()), version, made, now: *now };
        Ok(EditOutcome::Stands(tx.add_directive(new).await?))
    }
}

impl Tx<'_> {
    /// The one that stands.
    async fn standing(&mut self, box_id: BoxId) -> Result<Option<StoredDirective>, StoreError> {
        self.read(sqlx::query(NEWEST).bind(box_id.to_string())).await?.as_ref().map(stored).transpose()
    }

    /// A new inventory makes a new automatic directive, if it makes another one and none of an operator's
    /// stands.
    pub(super) async fn renew_directive(
        &mut self,
        box_id: BoxId,
        version: NonZeroU64,
        inventory: &Holdings,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let made = directives::automatic(inventory);
        let after = match self.standing(box_id).await? {
            Some(stored) if stored.head.origin == Origin::Operator || stored.directive.items == made.items => {
                return Ok(());
            }
            Some(stored) => stored.head.number.get(),
            None => 0,
        };
        let version = Some(version);
        self.add_directive(New { box_id, after, origin: Origin::Automatic, by: None, version, made, now }).await?;
        Ok(())
    }

    async fn add_directive(&mut self, new: New<'_>) -> Result<StoredDirective, StoreError> {
        let New { box_id, after, origin, by, version, made: Made { items, left_out }, now } = new;
        let number = NonZeroU64::MIN.saturating_add(after);
        let directive = Directive { v: V1, number: number.get(), items };
        let unwritable = || StoreError::unreadable("directives", "body", "cannot be written");
        let body = json::to_vec(&directive).map_err(|_| unwritable())?;
        let body = String::from_utf8(body).map_err(|_| unwritable())?;
        let sha256 = Sha256::of(body.as_bytes());
        let items = u64::try_from(directive.items.len()).unwrap_or(u64::MAX);
        let insert = sqlx::query(
            "INSERT INTO directives (box_id, number, origin, made_at, made_by, version, items, left_out, sha256, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(box_id.to_string())
        .bind(inventories::number(number)?)
        .bind(text(origin))
        .bind(now.unix())
        .bind(by.map(str::to_owned))
        .bind(version.map(inventories::number).transpose()?)
        .bind(i64::try_from(items).unwrap_or(i64::MAX))
        .bind(i64::try_from(left_out).unwrap_or(i64::MAX))
        .bind(sha256.to_string())
        .bind(body);
        self.write("directives", 1, insert).await?;
        let of = version.map(|version| format!(", of the inventory of version {version}")).unwrap_or_default();
        self.audit(Entry {
            time: now,
            actor: by.map_or_else(|| "hub".to_owned(), |name| format!("operator:{name}")),
            action: match origin {
                Origin::Automatic => "directive.automatic",
                Origin::Operator => "directive.edit",
            },
            box_id: Some(box_id),
            detail: format!("directive {number} after {after}, {items} items, {sha256}{of}"),
        })
        .await?;
        let by = by.map(str::to_owned);
        let head = DirectiveHead { number, made_at: now, origin, by, version, items, left_out, sha256 };
        Ok(StoredDirective { v: V1, head, directive })
    }
}

impl Store {
    /// One directive of a box, or the one that stands.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read, or is not what was stored.
    pub async fn directive(
        &self,
        box_id: BoxId,
        wanted: Option<NonZeroU64>,
    ) -> Result<Option<StoredDirective>, StoreError> {
        let query = match wanted {
            None => sqlx::query(NEWEST).bind(box_id.to_string()),
            Some(number) => sqlx::query(
                "SELECT number, origin, made_at, made_by, version, items, left_out, sha256, body FROM directives \
                 WHERE box_id = $1 AND number = $2",
            )
            .bind(box_id.to_string())
            .bind(i64::try_from(number.get()).unwrap_or(i64::MAX)),
        };
        query.fetch_optional(self.pool()).await?.as_ref().map(stored).transpose()
    }

    /// What is kept beside a box's directives, a page of it, newest first: those with a number below
    /// `before`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn directives(
        &self,
        box_id: BoxId,
        before: Option<NonZeroU64>,
    ) -> Result<Vec<DirectiveHead>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, origin, made_at, made_by, version, items, left_out, sha256 FROM directives \
             WHERE box_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
        )
        .bind(box_id.to_string())
        .bind(before.map_or(i64::MAX, |number| i64::try_from(number.get()).unwrap_or(i64::MAX)))
        .bind(PAGE)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(head).collect()
    }
}

const NEWEST: &str = "SELECT number, origin, made_at, made_by, version, items, left_out, sha256, body FROM directives \
                      WHERE box_id = $1 ORDER BY number DESC LIMIT 1";

fn stored(row: &AnyRow) -> Result<StoredDirective, StoreError> {
    let head = head(row)?;
    let unreadable =
        |what: &str| StoreError::unreadable("directives", "body", format!("{what} (number {})", head.number));
    let body: String = row.try_get("body")?;
    if Sha256::of(body.as_bytes()) != head.sha256 {
        return Err(unreadable("damaged"));
    }
    let directive = json::from_slice(body.as_bytes()).map_err(|_| unreadable("not of a known form"))?;
    Ok(StoredDirective { v: V1, head, directive })
}

fn head(row: &AnyRow) -> Result<DirectiveHead, StoreError> {
    let count = |column: &'static str| -> Result<u64, StoreError> {
        let count: i64 = row.try_get(column)?;
        u64::try_from(count).map_err(|_| StoreError::unreadable("directives", column, count))
    };
    let number = NonZeroU64::new(count("number")?);
    let origin: String = row.try_get("origin")?;
    let version: Option<i64> = row.try_get("version")?;
    Ok(DirectiveHead {
        number: number.ok_or_else(|| StoreError::unreadable("directives", "number", 0))?,
        made_at: time(row, "directives", "made_at")?,
        origin: match origin.as_str() {
            "automatic" => Origin::Automatic,
            "operator" => Origin::Operator,
            _ => return Err(StoreError::unreadable("directives", "origin", origin)),
        },
        by: row.try_get("made_by")?,
        version: version.and_then(|version| u64::try_from(version).ok()).and_then(NonZeroU64::new),
        items: count("items")?,
        left_out: count("left_out")?,
        sha256: parsed(row, "directives", "sha256")?,
    })
}

fn text(origin: Origin) -> &'static str {
    match origin {
        Origin::Automatic => "automatic",
        Origin::Operator => "operator",
    }
}
