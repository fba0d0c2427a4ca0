//! Drills: a box shows that somebody had the ten words, and it is written down. They are added, and
//! read; nothing else is written here.
//!
//! The proof is judged as a recovery's is, inside the transaction that writes. It says that the words
//! were there; what came back, and how long it took, is the box's own word.

use std::{collections::HashMap, time::Duration};

use sqlx::{Row as _, any::AnyRow};
use tenwords_protocol::{
    drill::{ArchiveDrill, DrillRequest, DrilledArchive, Drills, WordsDrill},
    hash::Sha256,
    id::{BoxId, NodeId},
    json,
    time::Timestamp,
    words::Purpose,
};

use super::{
    Act, CertificateKind, Entry, Store, StoreError, Tx, Unproven,
    day::Day,
    parsed,
    proving::{is_of_now, signed_by_its_version},
    time, versions,
};

/// Drills that a box may have in one day (UTC).
const PER_DAY: i64 = 48;

/// Judges a drill's proof and writes the drill down.
#[derive(Debug)]
pub struct Drill {
    /// What the box sent.
    pub request: DrillRequest,
    /// The certificate that it came with.
    pub serial: String,
    /// The certificate's public key.
    pub spki_sha256: Sha256,
    /// The certificate's machine.
    pub node_id: NodeId,
    /// The certificate's box.
    pub box_id: BoxId,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrillOutcome {
    /// It is written.
    Recorded,
    /// The proof is not good; nothing has changed.
    Refused(Unproven),
    /// The day's drills are used up; nothing has changed, and the nonce is still good.
    TooMany {
        /// When the next day begins.
        retry_after: Duration,
    },
}

/// What a drill's row is called, and its audit row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Archive,
    Words,
}

impl Act for Drill {
    type Reply = DrillOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<DrillOutcome, StoreError> {
        let level = match self.judge(tx).await? {
            Ok(level) => level,
            Err(why) => return Ok(DrillOutcome::Refused(why)),
        };
        if let Some(retry_after) = self.day_is_full(tx).await? {
            return Ok(DrillOutcome::TooMany { retry_after });
        }
        tx.use_drill_nonce(&self.serial, &self.request.proof.nonce).await?;
        self.insert(tx, level).await?;
        let Self { request, serial, .. } = self;
        let mut detail = format!("proven with {serial}, words of version {}", request.proof.version);
        if let Some(DrilledArchive { source, snapshot, archive, bytes, files }) = &request.archive {
            detail.push_str(&format!("; {archive} of {snapshot} from {source}: {bytes} bytes in {files} files"));
        }
        tx.audit(Entry {
            time: self.now,
            actor: format!("node:{}", self.node_id),
            action: level.action(),
            box_id: Some(self.box_id),
            detail,
        })
        .await?;
        Ok(DrillOutcome::Recorded)
    }
}

impl Drill {
    async fn judge(&self, tx: &mut Tx<'_>) -> Result<Result<Level, Unproven>, StoreError> {
        let proof = &self.request.proof;
        let level = match (proof.purpose, &self.request.archive) {
            (Purpose::DrillWords, None) => Level::Words,
            (Purpose::DrillArchive, Some(_)) => Level::Archive,
            _ => return Ok(Err(Unproven::Purpose)),
        };
        if !is_of_now(proof, self.now) {
            return Ok(Err(Unproven::Time));
        }
        if tx.certificate_kind(&self.serial, self.now).await? != Some(CertificateKind::Box) {
            return Ok(Err(Unproven::Certificate));
        }
        if !tx.has_drill_nonce(&self.serial, &proof.nonce).await? {
            return Ok(Err(Unproven::Nonce));
        }
        let signed = signed_by_its_version(tx, proof, self.box_id, self.spki_sha256).await?;
        Ok(signed.map(|()| level))
    }

    async fn day_is_full(&self, tx: &mut Tx<'_>) -> Result<Option<Duration>, StoreError> {
        let day = Day::of(self.now);
        let select = sqlx::query(
            "SELECT number FROM drills WHERE box_id = $1 AND recorded_at >= $2 AND recorded_at < $3 LIMIT 1 OFFSET $4",
        )
        .bind(self.box_id.to_string())
        .bind(day.begins)
        .bind(day.ends)
        .bind(PER_DAY - 1);
        Ok(tx.read(select).await?.map(|_| day.left))
    }

    async fn insert(&self, tx: &mut Tx<'_>, level: Level) -> Result<(), StoreError> {
        let unwritable = || StoreError::unreadable("drills", "request", "cannot be written");
        let request = json::to_vec(&self.request).map_err(|_| unwritable())?;
        let request = String::from_utf8(request).map_err(|_| unwritable())?;
        let proof = &self.request.proof;
        let version = i64::try_from(proof.version.get())
            .map_err(|_| StoreError::unreadable("drills", "version", proof.version))?;
        let insert = sqlx::query(
            "INSERT INTO drills (box_id, number, kind, version, recorded_at, serial, nonce, request) \
             VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM drills WHERE box_id = $1), $2, $3, $4, $5, $6, $7)",
        )
        .bind(self.box_id.to_string())
        .bind(level.as_str())
        .bind(version)
        .bind(self.now.unix())
        .bind(&self.serial)
        .bind(proof.nonce.to_string())
        .bind(request);
        tx.write("drills", 1, insert).await
    }
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Words => "words",
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Archive => "drill.archive",
            Self::Words => "drill.words",
        }
    }
}

impl Store {
    /// The newest drill of each level, for every box that ever had one, or for one box.
    pub(super) async fn newest_drills(&self, of: Option<BoxId>) -> Result<HashMap<BoxId, Drills>, StoreError> {
        let rows = of_all_or_one!(
            of,
            "SELECT d.box_id, d.recorded_at, d.request, v.number, v.received_at, v.header FROM drills d \
             JOIN (SELECT box_id, kind, MAX(number) AS newest FROM drills ",
            "WHERE box_id = $1 ",
            "GROUP BY box_id, kind) n ON n.box_id = d.box_id AND n.newest = d.number \
             JOIN versions v ON v.box_id = d.box_id AND v.number = d.version"
        )
        .fetch_all(self.pool())
        .await?;
        let mut found: HashMap<BoxId, Drills> = HashMap::new();
        for row in &rows {
            let of_box = found.entry(parsed(row, "drills", "box_id")?).or_default();
            add(of_box, row)?;
        }
        Ok(found)
    }
}

/// Puts a row with its version's `number`, `received_at` and `header` where it belongs.
fn add(drills: &mut Drills, row: &AnyRow) -> Result<(), StoreError> {
    let opened = versions::stored(row)?;
    let (version, code_number) = (opened.number, opened.header.facts().code_number);
    let at = time(row, "drills", "recorded_at")?;
    let text: String = row.try_get("request")?;
    let request: DrillRequest =
        json::from_slice(text.as_bytes()).map_err(|_| StoreError::unreadable("drills", "request", at))?;
    match request.archive {
        None => drills.words = Some(WordsDrill { at, version, code_number }),
        Some(DrilledArchive { source, snapshot, archive, bytes, files }) => {
            drills.archive = Some(ArchiveDrill { at, version, code_number, source, snapshot, archive, bytes, files });
        }
    }
    Ok(())
}
