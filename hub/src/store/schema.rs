//! The tables, as migrations. What was released is never edited; a new release adds one.

use sqlx::{
    AnyPool, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

use super::{Backend, StoreError};

/// The format that this program reads and writes. A store with a higher one is refused; so is one with
/// a lower one, which nothing but a program before the first release can have written.
pub const FORMAT: i64 = 8;

/// A commit that was acknowledged is on the disk.
pub(super) const PRAGMAS: &[&str] = &[
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA recursive_triggers=ON",
    "PRAGMA busy_timeout=5000",
    "PRAGMA trusted_schema=OFF",
];

const DOMAIN_POSTGRES: &str = include_str!("sql/domain_postgres.sql");
const TABLES: &str = include_str!("sql/tables.sql");
const GUARDS_POSTGRES: &str = include_str!("sql/guards_postgres.sql");
const GUARDS_SQLITE: &str = include_str!("sql/guards_sqlite.sql");

/// Brings the tables to this program's format. Two at once are safe.
pub(super) async fn migrate(pool: &AnyPool, backend: Backend) -> Result<(), StoreError> {
    let mut steps = Vec::new();
    match backend {
        Backend::Postgres => {
            steps.push(step(1, "domain", DOMAIN_POSTGRES));
            steps.push(step(2, "tables", TABLES));
            steps.push(step(3, "guards", GUARDS_POSTGRES));
        }
        Backend::Sqlite => {
            steps.push(step(2, "tables", TABLES));
            steps.push(step(3, "guards", GUARDS_SQLITE));
        }
    }
    Migrator::with_migrations(steps).run(pool).await?;
    Ok(())
}

fn step(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
}

/// Whether there is a table of this name.
pub(super) async fn has_table(pool: &AnyPool, backend: Backend, name: &str) -> Result<bool, StoreError> {
    let sql = match backend {
        Backend::Postgres => {
            "SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = $1"
        }
        Backend::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1",
    };
    let count: i64 = sqlx::query_scalar(sql).bind(name).fetch_one(pool).await?;
    Ok(count > 0)
}

/// Whether there is any table at all.
pub(super) async fn has_any_table(pool: &AnyPool, backend: Backend) -> Result<bool, StoreError> {
    let sql = match backend {
        Backend::Postgres => "SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()",
        Backend::Sqlite => "SELECT COUNT(*) FROM sqlite_master",
    };
    let count: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
    Ok(count > 0)
}
