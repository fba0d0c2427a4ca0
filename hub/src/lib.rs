//! The hub: it keeps what boxes have sealed, hands it to who may have it, and can open none of it.
//!
//! Two listeners face the network, agents (mutual TLS, ended here) and people (operators); a third,
//! on loopback, answers whoever watches the process. [`store`] is the only room that speaks SQL.
//! Nothing in this crate, directly or through others, can open an escrow, and nothing here ever
//! sees a recovery code: there is no field for one.

mod app;
pub mod authority;
mod body;
mod calls;
mod chance;
pub mod clock;
mod connection;
mod counters;
pub mod home;
mod identity;
pub mod init;
pub mod keyed;
mod meter;
mod polls;
mod refusal;
pub mod routes;
mod standing;
pub mod store;
pub mod tls;

use std::{
    future::{Future, IntoFuture as _},
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::Router;
use rustls::ServerConfig;
use tenwords_protocol::ticket::{HubAddress, TicketError};
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

pub use crate::connection::Limits;
use crate::{
    app::App,
    authority::{Authority, AuthorityError},
    clock::Clock,
    home::{Home, HomeError, StorePlace},
    store::{Location, Store, StoreError},
    tls::{Peer, TlsError, TlsListener},
};

/// How long open requests may take after the hub was asked to stop.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How often the hub looks at its own certificate.
const RENEWAL_EVERY: Duration = Duration::from_secs(6 * 3600);

/// An opened hub that does not listen yet.
#[derive(Debug)]
pub struct Hub {
    home: Home,
    store: Store,
    clock: Arc<dyn Clock>,
    public_agents: Option<HubAddress>,
    limits: Limits,
}

/// What a hub listens on.
#[derive(Debug)]
pub struct Listeners {
    /// Mutual TLS.
    pub agents: TcpListener,
    /// TLS, for operators.
    pub people: TcpListener,
    /// Plain, on loopback.
    pub health: TcpListener,
}

/// Why the hub does not serve.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    /// The hub's own certificate could not be made.
    #[error("the hub's own certificate could not be made")]
    Authority(#[from] AuthorityError),
    /// The data directory was refused.
    #[error("the data directory was refused")]
    Home(#[from] HomeError),
    /// The system refused.
    #[error("the hub cannot listen")]
    Io(#[from] io::Error),
    /// A name for tickets is missing.
    #[error("tickets need the hub's address as agents reach it: say --public-agents hub.example.org:8443")]
    PublicAddress(#[from] TicketError),
    /// The store was refused.
    #[error("the store was refused")]
    Store(#[from] StoreError),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[from] TlsError),
    /// The store is elsewhere.
    #[error("this hub's store is an external database: say --database postgres://…")]
    WhereIsTheStore,
    /// The store is in the data directory.
    #[error("this hub's store is in its data directory: leave --database out")]
    StoreIsEmbedded,
}

impl Hub {
    /// Opens an existing hub. Nothing is made that is not there.
    ///
    /// # Errors
    /// [`HubError`] if the directory or the store is not this hub's, or is damaged.
    pub async fn open(
        dir: &Path,
        database: Option<Location>,
        public_agents: Option<HubAddress>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HubError> {
        let home = Home::open(dir)?;
        let location = match (home.description().store, database) {
            (StorePlace::Embedded, None) => Location::embedded(&home.database()),
            (StorePlace::External, Some(location)) => location,
            (StorePlace::External, None) => return Err(HubError::WhereIsTheStore),
            (StorePlace::Embedded, Some(_)) => return Err(HubError::StoreIsEmbedded),
        };
        let store = Store::open(&location, &home.description().hub_id).await?;
        let public_agents = public_agents.or_else(|| home.description().public_agents.clone());
        Ok(Self { home, store, clock, public_agents, limits: Limits::default() })
    }

    /// The same, bearing other connections.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The hub's memory.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl Listeners {
    /// Binds all three; port 0 takes a free one.
    ///
    /// # Errors
    /// [`io::Error`] if one is taken or not allowed.
    pub async fn bind(agents: SocketAddr, people: SocketAddr, health: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            agents: TcpListener::bind(agents).await?,
            people: TcpListener::bind(people).await?,
            health: TcpListener::bind(health).await?,
        })
    }
}

/// Serves until `shutdown` is ready, then lets open requests end.
///
/// # Errors
/// [`HubError`] if it cannot begin.
pub async fn serve(
    hub: Hub,
    listeners: Listeners,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), HubError> {
    let Hub { home, store, clock, public_agents, limits } = hub;
    let public_agents = match public_agents {
        Some(address) => address,
        None => reached_at(listeners.agents.local_addr()?, &home.description().names)?,
    };
    let (stop, stopped) = watch::channel(false);
    let app =
        Arc::new(App::new(store, home, Arc::clone(&clock), public_agents, stopped.clone(), limits.connections / 2));
    let configs = Configs::new(&app)?;
    let agents = TlsListener::start(listeners.agents, Arc::clone(&configs.agents), limits)?;
    let people = TlsListener::start(listeners.people, Arc::clone(&configs.people), limits)?;

    let mut servers = JoinSet::new();
    for (listener, router) in [(agents, routes::agents().0), (people, routes::people().0)] {
        let service = router.with_state(Arc::clone(&app)).into_make_service_with_connect_info::<Peer>();
        let server = axum::serve(listener, service).with_graceful_shutdown(until(stopped.clone()));
        servers.spawn(server.into_future());
    }
    let health: Router = routes::health().with_state(Arc::clone(&app));
    servers.spawn(axum::serve(listeners.health, health).with_graceful_shutdown(until(stopped)).into_future());
    let renewal = tokio::spawn(renew(configs, Arc::clone(&app)));
    let watching = tokio::spawn(standing::watch(Arc::clone(&app)));
    tracing::info!(hub_id = app.home.description().hub_id, "the hub is serving");

    shutdown.await;
    tracing::info!("the hub is stopping");
    stop.send_replace(true);
    let drained = tokio::time::timeout(DRAIN_TIME, async { while servers.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!("some requests did not end in time");
        servers.shutdown().await;
    }
    for task in [renewal, watching] {
        task.abort();
        drop(task.await);
    }
    if let Some(app) = alone(app).await {
        app.store.close().await;
    }
    Ok(())
}

/// What the servers shared, once nobody else has it. The task of a connection lets go of it only a
/// moment after the servers count it as ended; the data directory's lock goes with it, and who
/// starts the hub again at once would find it taken.
async fn alone(mut app: Arc<App>) -> Option<App> {
    let deadline = tokio::time::Instant::now() + DRAIN_TIME;
    loop {
        app = match Arc::try_unwrap(app) {
            Ok(app) => return Some(app),
            Err(shared) if tokio::time::Instant::now() < deadline => shared,
            Err(_) => return None,
        };
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone: stop, too.
    drop(stopped.wait_for(|stop| *stop).await);
}

/// Where agents reach the hub if nobody said: the bound address, or the first name and its port.
fn reached_at(bound: SocketAddr, names: &[String]) -> Result<HubAddress, TicketError> {
    let text = match (bound.ip(), names.first()) {
        (ip, Some(name)) if ip.is_unspecified() => match name.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, bound.port()).to_string(),
            Err(_) => format!("{name}:{}", bound.port()),
        },
        _ => bound.to_string(),
    };
    text.parse()
}

/// The TLS configurations, which new connections load.
struct Configs {
    agents: Arc<ArcSwap<ServerConfig>>,
    people: Arc<ArcSwap<ServerConfig>>,
}

impl Configs {
    fn new(app: &App) -> Result<Self, HubError> {
        let (agents, people) = configs(app)?;
        Ok(Self { agents: Arc::new(ArcSwap::from_pointee(agents)), people: Arc::new(ArcSwap::from_pointee(people)) })
    }
}

fn configs(app: &App) -> Result<(ServerConfig, ServerConfig), HubError> {
    let names = &app.home.description().names;
    let server_ca: &Authority = app.home.server_ca();
    let (chain, key) = server_ca.issue_server(names, app.now())?;
    let agents = tls::for_agents(chain, key, app.box_ca().certificate(), Arc::clone(&app.clock))?;
    let (chain, key) = server_ca.issue_server(names, app.now())?;
    let people = tls::for_people(chain, key, Arc::clone(&app.clock))?;
    Ok((agents, people))
}

/// The hub's own certificate is made anew when two thirds of its life are over.
async fn renew(configs_in_use: Configs, app: Arc<App>) {
    let mut issued = app.now();
    loop {
        tokio::time::sleep(RENEWAL_EVERY).await;
        if app.now().since(issued) < authority::SERVER_LIFETIME * 2 / 3 {
            continue;
        }
        match configs(&app) {
            Ok((agents, people)) => {
                configs_in_use.agents.store(Arc::new(agents));
                configs_in_use.people.store(Arc::new(people));
                issued = app.now();
                tracing::info!("the hub has a new certificate");
            }
            Err(error) => tracing::error!(cause = refusal::chain(&error), "the hub's certificate could not be made"),
        }
    }
}
