//! The only room that speaks SQL: one text for SQLite and PostgreSQL.
//!
//! Every change is an [`Act`], performed by one writer task that groups acts into commits, and it
//! writes its audit row in the same transaction. What a caller is told happened was committed with
//! `synchronous=FULL`. There is no act that changes or removes a version, a part, a drill, an inventory,
//! a directive, an order or what was said to it, a pins statement or an audit row, and triggers refuse one
//! that somebody might add.
//!
//! Nothing here reads the clock or knows of HTTP.

/// A query over every box, or with a condition over one, so that each has a plan of its own.
macro_rules! of_all_or_one {
    ($of:expr, $before:literal, $one:literal, $after:literal) => {
        match $of {
            None => sqlx::query(concat!($before, $after)),
            Some(of) => sqlx::query(concat!($before, $one, $after)).bind(tenwords_protocol::id::BoxId::to_string(&of)),
        }
    };
}

mod answers;
mod audit;
mod boxes;
mod certificates;
mod day;
mod directives;
mod drill_nonces;
mod drills;
mod enrolment;
mod error;
mod inventories;
mod joining;
mod nodes;
mod operators;
mod orders;
mod outcomes;
mod pins;
mod proving;
mod recovery;
mod renewal;
mod reports;
mod retirement;
mod schema;
mod standings;
mod tickets;
mod versions;
mod writer;

use std::{fmt, path::Path, str::FromStr as _, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Row as _,
    any::{AnyConnectOptions, AnyPoolOptions, AnyRow},
};
use tenwords_protocol::time::Timestamp;
use tokio::task::JoinHandle;

pub use self::{
    answers::{GiveAnswer, GiveAnswerOutcome},
    audit::{Entry, FORBIDDEN, REVOKED_USED, Record, TRESPASSED},
    boxes::{AddBox, AddBoxOutcome, Heard},
    certificates::{Certificate, CertificateKind, Revoked},
    directives::{Edit, EditOutcome},
    drill_nonces::{TakeNonce, TakeNonceOutcome},
    drills::{Drill, DrillOutcome},
    enrolment::{Enroll, EnrollOutcome},
    error::StoreError,
    inventories::{Inventoried, SendInventory},
    joining::{Asker, GiveTicket, GiveTicketOutcome},
    nodes::{RemoveNode, RemoveNodeOutcome, SetKeeper, SetKeeperOutcome, hostname},
    operators::{AddOperator, Operator},
    orders::{Ask, AskOutcome},
    outcomes::{Tell, TellOutcome},
    pins::{AddPins, AddPinsOutcome, EndPins, EndPinsOutcome},
    proving::{Prove, ProveOutcome, Unproven},
    recovery::{Arm, ArmOutcome, Claim, ClaimOutcome, Disarm, DisarmOutcome},
    renewal::{Renew, RenewOutcome, TakeOver},
    reports::{Evidence, Reported, SendReport},
    retirement::{ChangeBox, LetGo, Retire, RetireOutcome, Revive},
    schema::FORMAT,
    standings::{KEPT_DAYS, Stand, Standing, codes},
    tickets::{Found, Issued, NewTicket, Purpose, TicketRefusal},
    versions::{Push, PushOutcome},
    writer::{Act, Tx},
};

/// Which database it is. The SQL text is one; how a transaction begins and what guards the
/// append-only tables differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A server, by URL.
    Postgres,
    /// The embedded one.
    Sqlite,
}

/// A setting on which durability rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqliteSetting {
    /// Rows refer to rows that exist.
    ForeignKeys,
    /// How a commit is written.
    Journal,
    /// When a commit is on the disk.
    Synchronous,
}

/// The hub's memory.
pub struct Store {
    pool: AnyPool,
    backend: Backend,
    writer: writer::Writer,
    task: JoinHandle<()>,
}

/// Where a store lies. A URL may carry a password, so it is never shown.
pub struct Location {
    url: String,
    backend: Backend,
}

/// What a store says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The hub that it belongs to.
    pub hub_id: String,
    /// The format of its tables.
    pub format: i64,
}

// === impl Location ===

impl Location {
    /// The embedded store in this file.
    #[must_use]
    pub fn embedded(file: &Path) -> Self {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Self { url: format!("sqlite://{}", in_url(&file)), backend: Backend::Sqlite }
    }

    /// A store by its URL, `postgres://…` or `sqlite://…`.
    ///
    /// # Errors
    /// [`StoreError::Url`] for anything else.
    pub fn by_url(url: &str) -> Result<Self, StoreError> {
        let backend = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => Backend::Postgres,
            Some("sqlite") => Backend::Sqlite,
            _ => return Err(StoreError::Url),
        };
        Ok(Self { url: url.to_owned(), backend })
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    async fn connect(&self, create: bool) -> Result<AnyPool, StoreError> {
        sqlx::any::install_default_drivers();
        let sqlite = self.backend == Backend::Sqlite;
        let url = match (sqlite, create) {
            (true, true) => format!("{}?mode=rwc", self.url),
            (true, false) => format!("{}?mode=rw", self.url),
            (false, _) => self.url.clone(),
        };
        let options = AnyConnectOptions::from_str(&url)?.disable_statement_logging();
        // The pool would try again until its time is up, and then say only that it is.
        let mut first = AnyConnection::connect_with(&options).await?;
        let prepared = prepare(&mut first, sqlite).await;
        first.close().await?;
        prepared.map_err(|error| StoreError::from(error).or_damage())?;
        let pool = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| Box::pin(prepare(connection, sqlite)))
            .connect_with(options)
            .await?;
        Ok(pool)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({:?})", self.backend)
    }
}

// === impl Store ===

impl Store {
    /// Makes the tables of a new hub in an empty database.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] if anything is in it; whatever the database says.
    pub async fn create(location: &Location, hub_id: &str, now: Timestamp) -> Result<Self, StoreError> {
        let pool = location.connect(true).await?;
        if schema::has_any_table(&pool, location.backend).await? {
            return Err(StoreError::NotEmpty);
        }
        schema::migrate(&pool, location.backend).await?;
        sqlx::query("INSERT INTO hub (hub_id, format, made_at) VALUES ($1, $2, $3)")
            .bind(hub_id)
            .bind(FORMAT)
            .bind(now.unix())
            .execute(&pool)
            .await?;
        Ok(Self::start(pool, location.backend))
    }

    /// Opens the store of an existing hub.
    ///
    /// # Errors
    /// [`StoreError::Empty`], [`StoreError::Foreign`], [`StoreError::Newer`] or
    /// [`StoreError::Older`] if it is not this hub's; whatever the database says.
    pub async fn open(location: &Location, hub_id: &str) -> Result<Self, StoreError> {
        let pool = location.connect(false).await?;
        if let Err(error) = belongs(&pool, location.backend, hub_id).await {
            pool.close().await;
            return Err(error.or_damage());
        }
        schema::migrate(&pool, location.backend).await?;
        let store = Self::start(pool, location.backend);
        store.check_audit_tail().await?;
        Ok(store)
    }

    fn start(pool: AnyPool, backend: Backend) -> Self {
        let (writer, task) = writer::start(pool.clone(), backend);
        Self { pool, backend, writer, task }
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Performs an act and returns once it is committed.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was committed, or if that is not known.
    pub async fn perform<A: Act>(&self, act: A) -> Result<A::Reply, StoreError> {
        self.writer.perform(act).await
    }

    /// Whether the database answers and the writer lives.
    ///
    /// # Errors
    /// [`StoreError`] if it does not.
    pub async fn answers(&self) -> Result<(), StoreError> {
        if self.task.is_finished() {
            return Err(StoreError::Stopped);
        }
        identity(&self.pool).await.map(drop)
    }

    /// What SQLite says of one of its settings, as text.
    ///
    /// # Errors
    /// [`StoreError`] if it says nothing, or if this is not SQLite.
    pub async fn setting(&self, setting: SqliteSetting) -> Result<String, StoreError> {
        let sql = match setting {
            SqliteSetting::ForeignKeys => "PRAGMA foreign_keys",
            SqliteSetting::Journal => "PRAGMA journal_mode",
            SqliteSetting::Synchronous => "PRAGMA synchronous",
        };
        let row = sqlx::query(sql).fetch_one(&self.pool).await?;
        match row.try_get::<i64, _>(0) {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Ok(row.try_get(0)?),
        }
    }

    /// Finishes the acts that were begun, and closes.
    pub async fn close(self) {
        let Self { pool, writer, task, .. } = self;
        drop(writer);
        if let Err(error) = task.await {
            tracing::error!(%error, "the store's writer ended badly");
        }
        pool.close().await;
    }

    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// What every connection is told before it is used.
async fn prepare(connection: &mut AnyConnection, sqlite: bool) -> Result<(), sqlx::Error> {
    for pragma in if sqlite { schema::PRAGMAS } else { &[] } {
        sqlx::query(*pragma).execute(&mut *connection).await?;
    }
    Ok(())
}

/// A path as it stands in a URL: what could mean something else there is escaped.
fn in_url(path: &Path) -> String {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => text.push(char::from(*byte)),
            // Writing to a String cannot fail.
            other => drop(write!(text, "%{other:02X}")),
        }
    }
    text
}

async fn belongs(pool: &AnyPool, backend: Backend, hub_id: &str) -> Result<(), StoreError> {
    if !schema::has_table(pool, backend, "hub").await? {
        return Err(StoreError::Empty);
    }
    let found = identity(pool).await?;
    if found.hub_id != hub_id {
        return Err(StoreError::Foreign { expected: hub_id.to_owned(), found: found.hub_id });
    }
    if found.format > FORMAT {
        return Err(StoreError::Newer { found: found.format });
    }
    if found.format < FORMAT {
        return Err(StoreError::Older { found: found.format });
    }
    Ok(())
}

async fn identity(pool: &AnyPool) -> Result<Identity, StoreError> {
    let row = sqlx::query("SELECT hub_id, format FROM hub").fetch_one(pool).await?;
    Ok(Identity { hub_id: row.try_get("hub_id")?, format: row.try_get("format")? })
}

/// A time of the store.
fn time(row: &AnyRow, table: &'static str, column: &'static str) -> Result<Timestamp, StoreError> {
    let seconds: i64 = row.try_get(column)?;
    Timestamp::from_unix(seconds).map_err(|_| StoreError::unreadable(table, column, seconds))
}

/// A time that may be missing.
fn maybe_time(row: &AnyRow, table: &'static str, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    row.try_get::<Option<i64>, _>(column)?
        .map(|seconds| Timestamp::from_unix(seconds).map_err(|_| StoreError::unreadable(table, column, seconds)))
        .transpose()
}

/// A text of the store, as the type that it stands for.
fn parsed<T: std::str::FromStr>(row: &AnyRow, table: &'static str, column: &'static str) -> Result<T, StoreError> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| StoreError::unreadable(table, column, text))
}
