//! What can be wrong with the store.

use thiserror::Error;

/// Why the store did not do what was asked. Refusals that belong to the act (a ticket that is not
/// good) are outcomes, not errors.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The audit's last row does not carry its own hash.
    #[error("the audit's last row is damaged: restore the database from a backup, and keep this one for the inquiry")]
    AuditTail,
    /// The embedded database's file is not whole.
    #[error("the database is damaged: restore the data directory from its backup, and keep this one for the inquiry")]
    Damaged(#[source] sqlx::Error),
    /// The database refused or cannot be reached.
    #[error("the database did not do what was asked")]
    Database(#[from] sqlx::Error),
    /// No hub's tables in it.
    #[error("the database is empty: this is not the hub's database, or it was lost (restore it from a backup)")]
    Empty,
    /// Another hub's tables.
    #[error("the database belongs to hub {found}, and this data directory to hub {expected}")]
    Foreign {
        /// This hub.
        expected: String,
        /// The database's hub.
        found: String,
    },
    /// The tables could not be made.
    #[error("the database's tables could not be made")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Written by a later release.
    #[error(
        "the database has format {found}, and this program knows formats up to {}: install the newer tenwords-hub again",
        super::FORMAT
    )]
    Newer {
        /// Its format.
        found: i64,
    },
    /// A new hub wants an empty database.
    #[error("the database is not empty: a new hub needs one of its own")]
    NotEmpty,
    /// Written before the first release.
    #[error(
        "the database has format {found}, from before the first release, and this program reads format {} only: keep \
         the data directory, make a new hub with `tenwords-hub init`, and enrol the boxes there",
        super::FORMAT
    )]
    Older {
        /// Its format.
        found: i64,
    },
    /// The writer has ended.
    #[error("the store is closing")]
    Stopped,
    /// A write touched another number of rows than it must.
    #[error("a write to {table} touched {found} rows instead of {expected}")]
    Touched {
        /// The table.
        table: &'static str,
        /// Rows that it must touch.
        expected: u64,
        /// Rows that it touched.
        found: u64,
    },
    /// A row that cannot be understood.
    #[error("a row of {table} cannot be read: {column} is `{value}`")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
    },
    /// Not a database URL.
    #[error("a database is named `postgres://user@host/name` or `sqlite:///path`")]
    Url,
}

impl StoreError {
    pub(crate) fn unreadable(table: &'static str, column: &'static str, value: impl ToString) -> Self {
        Self::Unreadable { table, column, value: value.to_string().chars().take(80).collect() }
    }

    /// SQLite's codes for a file that is malformed (11) or none of its own (26).
    pub(super) fn or_damage(self) -> Self {
        match self {
            Self::Database(error) if error.as_database_error().is_some_and(|e| is_damage(e.code().as_deref())) => {
                Self::Damaged(error)
            }
            other => other,
        }
    }

    /// Whether the same transaction may succeed if it is tried again: PostgreSQL gives up one of
    /// two that cannot be put in a row (40001, 40P01); SQLite says that somebody else is writing.
    pub(crate) fn can_be_retried(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        matches!(error.code().as_deref(), Some("40001" | "40P01" | "5" | "261" | "517"))
    }
}

fn is_damage(code: Option<&str>) -> bool {
    matches!(code, Some("11" | "26"))
}
