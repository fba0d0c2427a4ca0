//! One task that writes. It takes what is waiting, performs it in one transaction and answers only
//! when that is committed, so that a hundred pushes cost one fsync and none is acknowledged early.
//!
//! Each act stands in a savepoint: an act that fails takes nothing of its neighbours with it. A
//! transaction that the database gives up for its neighbour's sake is performed again as a whole,
//! so an act must not change anything but the database.

use std::{future::Future, pin::Pin, time::Duration};

use sqlx::{
    Any, AnyConnection, AnyPool, Connection as _, Transaction,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{Backend, StoreError};

/// Acts in one commit, at most.
const GROUP: usize = 64;
/// How often a transaction is tried that the database gave up.
const TRIES: u32 = 12;

/// One change. It may be performed more than once before it is committed.
pub trait Act: Send + Sync + 'static {
    /// What the caller hears once it is committed.
    type Reply: Send + 'static;

    /// Does it.
    fn perform(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<Self::Reply, StoreError>> + Send;
}

/// An open transaction.
#[derive(Debug)]
pub struct Tx<'c> {
    connection: &'c mut AnyConnection,
}

/// The one way to the writer.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Box<dyn Job>>);

// === impl Tx ===

impl Tx<'_> {
    /// Runs a write that must touch exactly `rows` rows of `table`.
    pub(super) async fn write(
        &mut self,
        table: &'static str,
        rows: u64,
        query: Query<'_, Any, AnyArguments>,
    ) -> Result<(), StoreError> {
        let found = self.write_any(query).await?;
        if found == rows { Ok(()) } else { Err(StoreError::Touched { table, expected: rows, found }) }
    }

    /// Runs a write that may touch any number of rows, and says how many it touched.
    pub(super) async fn write_any(&mut self, query: Query<'_, Any, AnyArguments>) -> Result<u64, StoreError> {
        Ok(query.execute(&mut *self.connection).await?.rows_affected())
    }

    /// Reads at most one row.
    pub(super) async fn read(&mut self, query: Query<'_, Any, AnyArguments>) -> Result<Option<AnyRow>, StoreError> {
        Ok(query.fetch_optional(&mut *self.connection).await?)
    }
}

// === impl Writer ===

impl Writer {
    pub(super) async fn perform<A: Act>(&self, act: A) -> Result<A::Reply, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { act, result: None, reply });
        self.0.send(job).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }
}

pub(super) fn start(pool: AnyPool, backend: Backend) -> (Writer, JoinHandle<()>) {
    let (sender, mut waiting) = mpsc::channel::<Box<dyn Job>>(256);
    let task = tokio::spawn(async move {
        let mut group = Vec::with_capacity(GROUP);
        while waiting.recv_many(&mut group, GROUP).await > 0 {
            let outcome = commit(&pool, backend, &mut group).await;
            finish(&mut group, outcome);
        }
    });
    (Writer(sender), task)
}

async fn commit(pool: &AnyPool, backend: Backend, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match commit_once(pool, backend, group).await {
            Err(error) if error.can_be_retried() && tries < TRIES => {
                tracing::debug!(tries, "the database gave a transaction up; again");
                tokio::time::sleep(Duration::from_millis(u64::from(tries) * 3)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn commit_once(pool: &AnyPool, backend: Backend, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let begin = match backend {
        Backend::Postgres => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        Backend::Sqlite => "BEGIN IMMEDIATE",
    };
    let mut connection = pool.acquire().await?;
    let outcome = transact(&mut connection, begin, group).await;
    if outcome.as_ref().is_err_and(|error| !error.can_be_retried()) {
        // A database that has run out of room ends the transaction by itself, and the driver goes on counting it:
        // every later one on this connection would fail.
        connection.close_on_drop();
    }
    outcome
}

async fn transact(
    connection: &mut AnyConnection,
    begin: &'static str,
    group: &mut [Box<dyn Job>],
) -> Result<(), StoreError> {
    let mut transaction: Transaction<'_, Any> = connection.begin_with(begin).await?;
    for job in group {
        sqlx::query("SAVEPOINT act").execute(&mut *transaction).await?;
        if !job.run(&mut Tx { connection: &mut transaction }).await? {
            sqlx::query("ROLLBACK TO SAVEPOINT act").execute(&mut *transaction).await?;
        }
        sqlx::query("RELEASE SAVEPOINT act").execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Tells everybody. If the commit itself failed, the first hears why and the others that it did.
fn finish(group: &mut Vec<Box<dyn Job>>, outcome: Result<(), StoreError>) {
    match outcome {
        Ok(()) => group.drain(..).for_each(Job::committed),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, acts = group.len(), "a commit failed");
            let mut error = Some(error);
            for job in group.drain(..) {
                job.lost(error.take().unwrap_or(StoreError::Stopped));
            }
        }
    }
}

trait Job: Send {
    /// False if the act failed by itself and must be undone by itself.
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>)
    -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'a>>;
    fn committed(self: Box<Self>);
    fn lost(self: Box<Self>, error: StoreError);
}

struct Pending<A: Act> {
    act: A,
    result: Option<Result<A::Reply, StoreError>>,
    reply: oneshot::Sender<Result<A::Reply, StoreError>>,
}

impl<A: Act> Job for Pending<A> {
    fn run<'a>(
        &'a mut self,
        tx: &'a mut Tx<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'a>> {
        Box::pin(async move {
            let result = self.act.perform(tx).await;
            if let Err(error) = &result
                && error.can_be_retried()
            {
                return result.map(|_| true);
            }
            let done = result.is_ok();
            self.result = Some(result);
            Ok(done)
        })
    }

    fn committed(self: Box<Self>) {
        let Self { result, reply, .. } = *self;
        // A caller who hung up is not told; the act stands all the same.
        let _ = reply.send(result.unwrap_or(Err(StoreError::Stopped)));
    }

    fn lost(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}
