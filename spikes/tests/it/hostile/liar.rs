//! A liar with the hub's own key: whoever owns the hub's disk can end its TLS and say anything.
//!
//! It listens where a ticket leads, passes each call on to the real hub, and a [`Lie`] decides what
//! comes back. It speaks to the real hub with the certificate of the machine that called, which it
//! takes from that machine's disk: a hub's owner would simply do the hub's own work.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use tenwords_spikes::world::{Hub, Machine};

/// A call, as the agent made it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// What comes back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
    /// So many zeros follow the body.
    pub(crate) zeros: u64,
}

/// What becomes of the real hub's answer; nothing means that the line goes dead.
pub(crate) type Lie = Box<dyn FnMut(&Asked, Answer) -> Option<Answer> + Send>;

/// The liar, listening. Dropping it ends it.
pub(crate) struct Liar {
    address: SocketAddr,
    hub: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    lie: Mutex<Lie>,
    heard: Mutex<Vec<Asked>>,
    met: AtomicUsize,
    zeros: AtomicU64,
    ended: AtomicBool,
    server: Arc<ServerConfig>,
    /// None: nobody stands behind it.
    behind: Option<Behind>,
}

struct Behind {
    hub: SocketAddr,
    authority: CertificateDer<'static>,
    speaks_for: Mutex<Option<PathBuf>>,
}

// === what it shows ===

/// A certificate chain with its key.
pub(crate) struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Shown {
    /// As the hub itself would: by the key on its disk.
    pub(crate) fn genuine(hub: &Hub) -> Result<Self> {
        let authority = authority(hub)?;
        let key = KeyPair::from_pem(&fs::read_to_string(hub.data().join("server-ca.key"))?)?;
        Self::leaf(&Issuer::from_ca_cert_der(&authority, key)?, vec![authority.clone()])
    }

    /// Of an authority that anybody can make; `also` is sent along.
    pub(crate) fn strange(also: Vec<CertificateDer<'static>>) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let own = params.self_signed(&key)?.der().clone();
        Self::leaf(&Issuer::new(params, key), [vec![own], also].concat())
    }

    fn leaf(issuer: &Issuer<'_, KeyPair>, above: Vec<CertificateDer<'static>>) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, issuer)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Self { chain: [vec![leaf], above].concat(), key })
    }
}

/// The hub's authority, as everybody sees it who connects.
pub(crate) fn authority(hub: &Hub) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(&fs::read(hub.data().join("server-ca.pem"))?).context("the hub's authority")
}

// === impl Liar ===

impl Liar {
    /// One that holds the hub's key, and tells the truth until it is told otherwise.
    pub(crate) fn with_the_hubs_key(hub: &Hub) -> Result<Self> {
        let behind = Behind { hub: hub.agents(), authority: authority(hub)?, speaks_for: Mutex::default() };
        Self::start(hub, Shown::genuine(hub)?, Some(behind))
    }

    /// One that shows this, with nobody behind it: it answers nothing, and remembers what it hears.
    pub(crate) fn with(hub: &Hub, shown: Shown) -> Result<Self> {
        Self::start(hub, shown, None)
    }

    fn start(hub: &Hub, shown: Shown, behind: Option<Behind>) -> Result<Self> {
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(shown.chain, shown.key)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("a port for the liar")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            lie: Mutex::new(honest()),
            heard: Mutex::default(),
            met: AtomicUsize::new(0),
            zeros: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            server: Arc::new(server),
            behind,
        });
        let inside = Arc::clone(&shared);
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if inside.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                inside.met.fetch_add(1, Ordering::SeqCst);
                let serving = Arc::clone(&inside);
                // How a connection ends is the agent's to tell.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        Ok(Self { address, hub: hub.agents(), shared, acceptor: Some(acceptor) })
    }

    /// The ticket, leading here.
    pub(crate) fn ticket(&self, ticket: &str) -> Result<String> {
        let (there, here) = (self.hub.to_string(), self.address.to_string());
        if !ticket.contains(&there) {
            bail!("the ticket does not lead to the hub");
        }
        Ok(ticket.replacen(&there, &here, 1))
    }

    /// Calls of this machine are passed on under its certificate.
    pub(crate) fn speaks_for(&self, machine: &Machine) {
        if let Some(behind) = &self.shared.behind {
            *locked(&behind.speaks_for) = Some(machine.state());
        }
    }

    /// From now on.
    pub(crate) fn tells(&self, lie: Lie) {
        *locked(&self.shared.lie) = lie;
        locked(&self.shared.heard).clear();
    }

    /// Every call since the last lie began.
    pub(crate) fn heard(&self) -> Vec<Asked> {
        locked(&self.shared.heard).clone()
    }

    /// How many connections there were.
    pub(crate) fn met(&self) -> usize {
        self.shared.met.load(Ordering::SeqCst)
    }

    /// How many of the promised zeros were taken off its hands.
    pub(crate) fn zeros(&self) -> u64 {
        self.shared.zeros.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // It is waiting for a connection.
        let _woken = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ended = acceptor.join();
        }
    }
}

/// Every answer as it came.
pub(crate) fn honest() -> Lie {
    Box::new(|_, answer| Some(answer))
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut agent = StreamOwned::new(ServerConnection::new(Arc::clone(&self.server))?, stream);
        let (head, body) = message(&mut agent)?;
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let asked = Asked { method, path, body };
        locked(&self.heard).push(asked.clone());
        let Some(behind) = &self.behind else { return Ok(()) };
        let truth = behind.ask(&asked)?;
        let Some(answer) = (locked(&self.lie))(&asked, truth) else { return Ok(()) };
        let Answer { status, kind, location, body, zeros } = answer;
        let location = location.map(|to| format!("location: {to}\r\n")).unwrap_or_default();
        let length = body.len() as u64 + zeros;
        write!(
            agent,
            "HTTP/1.1 {status} so\r\ncontent-type: {kind}\r\n{location}content-length: {length}\r\nconnection: close\r\n\r\n"
        )?;
        agent.write_all(&body)?;
        let block = [0; 16 << 10];
        let mut left = zeros;
        while left > 0 {
            let piece = left.min(block.len() as u64);
            agent.write_all(&block[..usize::try_from(piece)?])?;
            self.zeros.fetch_add(piece, Ordering::SeqCst);
            left -= piece;
        }
        agent.flush()?;
        agent.conn.send_close_notify();
        agent.flush()?;
        Ok(())
    }
}

impl Behind {
    /// Asks the real hub.
    fn ask(&self, asked: &Asked) -> Result<Answer> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let by_ticket = matches!(asked.path.as_str(), "/v1/enroll" | "/v1/recovery/claim");
        let state = locked(&self.speaks_for).clone().filter(|_| !by_ticket);
        let config = match state {
            None => builder.with_no_client_auth(),
            Some(state) => {
                let (certificate, key) = papers(&state)?;
                builder.with_client_auth_cert(vec![certificate], key)?
            }
        };
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1")?)?;
        let mut hub = StreamOwned::new(connection, TcpStream::connect(self.hub)?);
        write!(
            hub,
            "{} {} HTTP/1.1\r\nhost: hub\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            asked.method,
            asked.path,
            asked.body.len()
        )?;
        hub.write_all(&asked.body)?;
        hub.flush()?;
        let (head, body) = message(&mut hub)?;
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        let kind = header(&head, "content-type").unwrap_or("application/json").to_owned();
        Ok(Answer { status, kind, location: None, body, zeros: 0 })
    }
}

/// The certificate that a machine shows to the hub, and its key, from the machine's disk.
fn papers(state: &Path) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let (kept, key) = match fs::read(state.join("recovery.json")) {
        Ok(text) => (serde_json::from_slice::<Value>(&text)?["reply"].clone(), "recovery.key"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            (serde_json::from_slice(&fs::read(state.join("identity.json"))?)?, "node.key")
        }
        Err(error) => return Err(error.into()),
    };
    let certificate = STANDARD.decode(kept["certificate"].as_str().context("a certificate")?)?;
    let key = KeyPair::from_pem(&fs::read_to_string(state.join(key))?)?;
    Ok((certificate.into(), PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))))
}

// === HTTP, as far as two of our own programs need it ===

/// The first lines and the body of a message that says how long it is.
fn message(stream: &mut impl Read) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    let mut more = |bytes: &mut Vec<u8>| -> Result<()> {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            bail!("the message ended early");
        }
        bytes.extend_from_slice(&piece[..read]);
        Ok(())
    };
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        more(&mut bytes)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec())?;
    let length: usize = header(&head, "content-length").unwrap_or("0").parse()?;
    while bytes.len() < end + 4 + length {
        more(&mut bytes)?;
    }
    Ok((head, bytes[end + 4..end + 4 + length].to_vec()))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine with much to do.
const PATIENCE: Duration = Duration::from_secs(120);
