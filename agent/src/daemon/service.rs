//! What the service manager is told (`sd_notify`), and what it is owed: a sign of life while there is one.
//! Without a service manager nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;

use super::course::Moment;
use crate::show::harmless;

pub(super) struct Service {
    /// A sign of life is owed within this time.
    watchdog: Option<Duration>,
    fed: Option<Moment>,
    status: String,
}

impl Service {
    pub(super) fn new() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled(), fed: None, status: String::new() }
    }

    pub(super) fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "the service manager is not told of the reload"),
        }
    }

    pub(super) fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// What `systemctl status` shows, if it is another than it was.
    pub(super) fn status(&mut self, status: &str) {
        if self.status != status {
            status.clone_into(&mut self.status);
            notify(&[NotifyState::Status(&harmless(status, 200))]);
        }
    }

    /// A sign of life, from the loop alone and at most four in the time that one is owed in.
    pub(super) fn alive(&mut self, now: Moment) {
        let Some(watchdog) = self.watchdog else { return };
        if self.fed.is_none_or(|fed| now.since(fed) >= watchdog / 4) {
            self.fed = Some(now);
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
