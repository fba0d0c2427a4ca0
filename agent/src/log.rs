//! The log: to the journal where a service's standard error goes there, with its fields; else as lines to
//! standard error.

use std::{env, io, os::unix::fs::MetadataExt as _, path::Path};

use tracing_subscriber::{EnvFilter, filter::LevelFilter, layer::SubscriberExt as _};

/// Begins it. A service says what it does, a command only what is wrong; `TENWORDS_LOG` says otherwise.
pub(crate) fn begin(is_daemon: bool) {
    let level = if is_daemon { LevelFilter::INFO } else { LevelFilter::WARN };
    let filter =
        EnvFilter::builder().with_default_directive(level.into()).with_env_var("TENWORDS_LOG").from_env_lossy();
    let journal = if is_journal() { tracing_journald::layer().ok() } else { None };
    let lines = journal.is_none().then(|| tracing_subscriber::fmt::layer().with_writer(io::stderr));
    let both = tracing_subscriber::registry().with(filter).with(journal).with(lines);
    // Nobody has begun one before.
    let _begun = tracing::subscriber::set_global_default(both);
}

/// Whether standard error is the one that systemd has connected to the journal.
fn is_journal() -> bool {
    let connected = env::var("JOURNAL_STREAM").ok();
    let is =
        std::fs::metadata(Path::new("/proc/self/fd/2")).ok().map(|found| format!("{}:{}", found.dev(), found.ino()));
    connected.is_some() && connected == is
}
