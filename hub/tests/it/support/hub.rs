//! A hub in this process.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore, time_provider::TimeProvider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime, pem::PemObject as _};
use sqlx::{AnyPool, any::AnyPoolOptions};
use tempfile::TempDir;
use tenwords_hub::{
    Hub, HubError, Limits, Listeners,
    clock::Clock,
    init::{Request, init},
    serve,
    store::{Backend, Location, Store},
};
use tenwords_protocol::time::Timestamp;
use tokio::{sync::oneshot, task::JoinHandle};

use super::postgres;

/// The time stands still until the test moves it.
#[derive(Debug)]
pub(crate) struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new("2026-03-03T12:00:00Z".parse().unwrap())))
    }

    pub(crate) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new(now)))
    }

    pub(crate) fn forward(&self, seconds: u64) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(Duration::from_secs(seconds));
    }

    pub(crate) fn back(&self, seconds: u64) {
        let mut now = self.0.lock().unwrap();
        *now = Timestamp::from_unix(now.unix() - i64::try_from(seconds).unwrap()).unwrap();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

impl TimeProvider for ManualClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().unix()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Where a hub keeps its store.
pub(crate) struct Place {
    pub(crate) url: Option<String>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self { url: None }
    }

    pub(crate) async fn postgres(test: &str) -> Option<Self> {
        postgres::new_database(test).await.map(|url| Self { url: Some(url) })
    }

    pub(crate) fn location(&self, dir: &Path) -> Location {
        match &self.url {
            Some(url) => Location::by_url(url).unwrap(),
            None => Location::embedded(&dir.join("hub.db")),
        }
    }
}

pub(crate) struct TestHub {
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) token: String,
    pub(crate) hub_id: String,
    pub(crate) place: Place,
    pub(crate) server_ca: CertificateDer<'static>,
    pub(crate) agents: SocketAddr,
    pub(crate) people: SocketAddr,
    pub(crate) health: SocketAddr,
    limits: Limits,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), HubError>>,
}

impl TestHub {
    pub(crate) async fn start(place: Place) -> Self {
        Self::start_within(place, Limits::default()).await
    }

    pub(crate) async fn start_within(place: Place, limits: Limits) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), place, limits).await
    }

    pub(crate) async fn start_in(dir: TempDir, place: Place, limits: Limits) -> Self {
        let clock = ManualClock::new();
        let database = place.url.as_deref().map(|url| Location::by_url(url).unwrap());
        let request = Request { database, ..Request::default() };
        let made = init(&dir.path().join("data"), request, clock.now()).await.unwrap();
        let server_ca = CertificateDer::from_pem_file(made.server_ca).unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut hub = Self {
            dir,
            clock,
            token: made.token.expose_text().to_owned(),
            hub_id: made.hub_id,
            place,
            server_ca,
            agents: nowhere,
            people: nowhere,
            health: nowhere,
            limits,
            running: None,
        };
        hub.serve().await;
        hub
    }

    /// A hub that runs as a process of its own, on the machine's clock, seen from here.
    pub(crate) fn attached(dir: TempDir, made: &serde_json::Value) -> Self {
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            server_ca: CertificateDer::from_pem_file(text("server_ca")).unwrap(),
            dir,
            clock: ManualClock::at(Timestamp::now()),
            token: text("admin_token"),
            hub_id: text("hub_id"),
            place: Place::sqlite(),
            agents: nowhere,
            people: nowhere,
            health: nowhere,
            limits: Limits::default(),
            running: None,
        }
    }

    async fn serve(&mut self) {
        let database = self.place.url.as_deref().map(|url| Location::by_url(url).unwrap());
        let hub = Hub::open(&self.dir.path().join("data"), database, None, self.clock.clone()).await.unwrap();
        let hub = hub.within(self.limits);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners::bind(any, any, any).await.unwrap();
        self.agents = listeners.agents.local_addr().unwrap();
        self.people = listeners.people.local_addr().unwrap();
        self.health = listeners.health.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(hub, listeners, async {
            let _ = stopped.await;
        }));
        self.running = Some(Running { stop, task });
    }

    /// Stops the hub in good order and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(|| ()).await;
    }

    /// The same, and something else while it is stopped.
    pub(crate) async fn restart_with(&mut self, between: impl FnOnce()) {
        let Running { stop, task } = self.running.take().unwrap();
        stop.send(()).unwrap();
        task.await.unwrap().unwrap();
        between();
        self.serve().await;
    }

    pub(crate) fn location(&self) -> Location {
        self.place.location(&self.dir.path().join("data"))
    }

    /// A second look at the hub's store.
    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.location(), &self.hub_id).await.unwrap()
    }

    pub(crate) fn backend(&self) -> Backend {
        self.location().backend()
    }

    /// The database, past the hub.
    pub(crate) async fn sql(&self) -> AnyPool {
        sqlx::any::install_default_drivers();
        let file = self.dir.path().join("data/hub.db");
        let url = self.place.url.clone().unwrap_or_else(|| format!("sqlite://{}", file.display()));
        AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap()
    }

    /// What stands in the audit under this action.
    pub(crate) async fn audited(&self, action: &str) -> Vec<String> {
        let store = self.store().await;
        let rows = store.audit_after(0, 10_000).await.unwrap();
        rows.into_iter().filter(|row| row.action == action).map(|row| row.detail).collect()
    }

    /// A client that trusts the server CA alone, with a certificate or without.
    pub(crate) fn client(&self, identity: Option<(&[u8], &rcgen::KeyPair)>) -> reqwest::Client {
        self.client_by(self.clock.clone(), identity)
    }

    /// The same, by another clock than the hub's.
    pub(crate) fn client_by(
        &self,
        clock: Arc<ManualClock>,
        identity: Option<(&[u8], &rcgen::KeyPair)>,
    ) -> reqwest::Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.server_ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_details(provider, clock)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some((certificate, key)) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                config.with_client_auth_cert(vec![CertificateDer::from(certificate.to_vec())], key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap()
    }
}
