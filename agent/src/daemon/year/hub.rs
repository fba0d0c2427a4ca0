//! The hub of the year: the real one, in this process, on a clock that it is given, and with a wire that can be cut.
//!
//! It is stopped for its backups and to be set back to one. Each start gives it a certificate of its own, which it
//! would otherwise renew by a sleep in real time; a backup every fifteen days keeps it in time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use rustls::{
    pki_types::{CertificateDer, UnixTime, pem::PemObject as _},
    time_provider::TimeProvider,
};
use serde::Serialize;
use tenwords_escrow::door;
use tenwords_hub::{
    Hub, HubError, Listeners,
    clock::Clock as HubClock,
    init::{Request, init},
    serve,
    store::{Location, Store},
};
use tenwords_protocol::{
    bounded::Text,
    boxes::{AddBoxRequest, TicketReply},
    fingerprint::Fingerprint,
    hash::Sha256,
    id::BoxId,
    json,
    nodes::TicketRequest,
    part::PartName,
    ticket::Ticket,
    time::Timestamp,
    update::Statement,
    v1::V1,
    version::{Kind, StoredHeader},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::oneshot,
    task::JoinHandle,
};

use super::Lived;
use crate::tls::{self, Recognise};

/// A clock that shows what it is told to.
#[derive(Debug)]
pub(super) struct Clock(AtomicI64);

impl Clock {
    pub(super) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now.unix())))
    }

    pub(super) fn set(&self, now: Timestamp) {
        self.0.store(now.unix(), Ordering::SeqCst);
    }
}

impl HubClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::SeqCst)).unwrap_or_else(|_| Timestamp::now())
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().unix()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

/// Where the wire leads; nowhere while it is cut.
type Wire = Arc<Mutex<Option<SocketAddr>>>;

pub(super) struct TheHub {
    clock: Arc<Clock>,
    folder: PathBuf,
    hub_id: String,
    token: String,
    server_ca: CertificateDer<'static>,
    running: Option<Running>,
    wire: Wire,
    is_cut: bool,
    /// What was read of its versions since it was last set back.
    read: Vec<Version>,
    runtime: Runtime,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), HubError>>,
    store: Store,
    agents: SocketAddr,
    people: SocketAddr,
}

/// A version that lies there, and the keys that it says it has.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) stored: StoredHeader,
    pub(super) keys: BTreeSet<Fingerprint>,
}

impl Version {
    pub(super) fn is_ceremony(&self) -> bool {
        self.stored.header.facts().kind == Kind::Ceremony
    }

    pub(super) fn root(&self) -> Sha256 {
        self.stored.header.facts().root_sha256
    }
}

impl TheHub {
    /// A new hub, and where boxes reach it.
    pub(super) fn begin(folder: &Path, clock: Arc<Clock>) -> Lived<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let now = clock.now();
        let wire = Wire::default();
        let outside = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let public = outside.local_addr()?;
        runtime.spawn(lead(outside, Arc::clone(&wire)));
        let names = vec!["127.0.0.1".to_owned()];
        let request = Request { names, public_agents: Some(public.to_string().parse()?), ..Request::default() };
        let made = runtime.block_on(init(&folder.join("data"), request, now))?;
        let mut hub = Self {
            clock,
            folder: folder.to_owned(),
            hub_id: made.hub_id,
            token: made.token.expose_text().to_owned(),
            server_ca: CertificateDer::from_pem_file(made.server_ca)?,
            running: None,
            wire,
            is_cut: false,
            read: Vec::new(),
            runtime,
        };
        hub.serve()?;
        Ok(hub)
    }

    fn serve(&mut self) -> Lived {
        let data = self.folder.join("data");
        let (stop, stopped) = oneshot::channel();
        let clock: Arc<dyn HubClock> = Arc::<Clock>::clone(&self.clock);
        let running = self.runtime.block_on(async {
            let hub = Hub::open(&data, None, None, clock).await?;
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let listeners = Listeners::bind(any, any, any).await?;
            let (agents, people) = (listeners.agents.local_addr()?, listeners.people.local_addr()?);
            let health = listeners.health.local_addr()?;
            let task = tokio::spawn(serve(hub, listeners, async {
                // Who is gone stops it too.
                drop(stopped.await);
            }));
            has_looked(health).await?;
            let store = Store::open(&Location::embedded(&data.join("hub.db")), &self.hub_id).await?;
            Ok::<_, Box<dyn std::error::Error>>(Running { stop, task, store, agents, people })
        })?;
        self.running = Some(running);
        self.lay();
        Ok(())
    }

    fn stop(&mut self) -> Lived {
        let Some(Running { stop, task, store, .. }) = self.running.take() else { return Ok(()) };
        self.lay();
        self.runtime.block_on(async {
            store.close().await;
            // It may have ended by itself, which the task says.
            let _is_gone = stop.send(());
            task.await
        })??;
        Ok(())
    }

    /// The wire as it is now.
    fn lay(&self) {
        let to = self.running.as_ref().filter(|_| !self.is_cut).map(|running| running.agents);
        *self.wire.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    pub(super) fn cut(&mut self, is_cut: bool) {
        self.is_cut = is_cut;
        self.lay();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Its data directory, as its administrator copies it.
    pub(super) fn back_up(&mut self) -> Lived {
        self.stop()?;
        let copy = self.folder.join("copy");
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        copied(&self.folder.join("data"), &copy)?;
        self.serve()
    }

    /// Back to its last backup; tells whether there is one.
    pub(super) fn set_back(&mut self) -> Lived<bool> {
        let (data, copy) = (self.folder.join("data"), self.folder.join("copy"));
        if !copy.exists() {
            return Ok(false);
        }
        self.stop()?;
        fs::remove_dir_all(&data)?;
        copied(&copy, &data)?;
        self.read.clear();
        self.serve()?;
        Ok(true)
    }

    /// A ticket for a box that it has not known.
    pub(super) fn ticket(&self, box_id: BoxId) -> Lived<Ticket> {
        let request = AddBoxRequest { v: V1, box_id, name: "box1".to_owned(), customer: None, for_days: None };
        self.asked("/v1/boxes", &request)
    }

    /// A ticket with which a machine of the box enrols again.
    pub(super) fn ticket_again(&self, box_id: BoxId, host: &str) -> Lived<Ticket> {
        let request = TicketRequest { v: V1, for_days: None, end_others: false, hostname: Some(Text::cut(host)) };
        self.asked(&format!("/v1/boxes/{box_id}/tickets"), &request)
    }

    /// What the operator asks for.
    fn asked(&self, path: &str, request: &impl Serialize) -> Lived<Ticket> {
        let running = self.running.as_ref().ok_or("the hub does not run")?;
        let config = tls::client_config(Recognise::Authority(self.server_ca.clone()), None)?;
        let http = reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build()?;
        let url = format!("https://{}{path}", running.people);
        let reply: TicketReply = self.runtime.block_on(async {
            http.post(url).bearer_auth(&self.token).json(request).send().await?.error_for_status()?.json().await
        })?;
        Ok(reply.ticket.paste.parse()?)
    }

    /// Everything that lies there of a box, the oldest first.
    pub(super) fn versions(&mut self, of: BoxId) -> Lived<Vec<Version>> {
        let Some(running) = &self.running else { return Ok(self.read.clone()) };
        let known = self.read.last().map(|version| version.stored.number);
        let store = &running.store;
        let new = self.runtime.block_on(async {
            let mut new: Vec<StoredHeader> = Vec::new();
            loop {
                let page = store.versions(of, new.last().map(|stored| stored.number)).await?;
                let is_end = page.is_empty() || page.iter().any(|stored| Some(stored.number) <= known);
                new.extend(page.into_iter().filter(|stored| Some(stored.number) > known));
                if is_end {
                    break;
                }
            }
            let mut read = Vec::new();
            for stored in new.into_iter().rev() {
                let mut keys: BTreeSet<Fingerprint> = stored.header.keys().collect();
                for entry in stored.header.parts().iter().filter(|entry| matches!(entry.name, PartName::Update(_))) {
                    let part = store.part(of, stored.number, entry.name).await?.ok_or("a part is not there")?;
                    let statement: Statement = json::from_slice(door::check_update_part(&part)?.statement())?;
                    keys.extend(statement.fingerprints);
                }
                read.push(Version { stored, keys });
            }
            Ok::<_, Box<dyn std::error::Error>>(read)
        })?;
        self.read.extend(new);
        Ok(self.read.clone())
    }

    /// The parts of a version.
    pub(super) fn parts(&self, of: BoxId, version: &Version) -> Lived<BTreeMap<PartName, Vec<u8>>> {
        let running = self.running.as_ref().ok_or("the hub does not run")?;
        let mut parts = BTreeMap::new();
        for entry in version.stored.header.parts() {
            let part = self.runtime.block_on(running.store.part(of, version.stored.number, entry.name))?;
            parts.insert(entry.name, part.ok_or("a part is not there")?);
        }
        Ok(parts)
    }

    /// The reasons that the hub itself has judged a box by, at its last report.
    pub(super) fn reasons(&self, of: BoxId) -> Lived<Vec<String>> {
        let running = self.running.as_ref().ok_or("the hub does not run")?;
        let standing = self.runtime.block_on(running.store.standings())?.remove(&of).ok_or("the box stands nowhere")?;
        Ok(standing.reasons.split(' ').filter(|reason| !reason.is_empty()).map(str::to_owned).collect())
    }
}

impl Drop for TheHub {
    fn drop(&mut self) {
        // A year that has failed says more than a hub that does not stop.
        let _year_is_over = self.stop();
    }
}

/// A hub looks at all boxes as it begins. Hours may go by here while it does, and what it writes down would be of then.
async fn has_looked(health: SocketAddr) -> Lived {
    loop {
        let mut near = TcpStream::connect(health).await?;
        near.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        near.read_to_string(&mut text).await?;
        if text.contains("last_look_timestamp_seconds") {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// Leads whoever comes to the hub, or turns him away.
async fn lead(outside: TcpListener, wire: Wire) {
    while let Ok((mut near, _)) = outside.accept().await {
        let to = *wire.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(to) = to else { continue };
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(to).await {
                // Either side may hang up as it likes.
                drop(copy_bidirectional(&mut near, &mut far).await);
            }
        });
    }
}

fn copied(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copied(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
