//! TLS, ended here and never behind a header: a listener that axum serves, and its configuration.
//!
//! The handshake asks for a certificate of the box CA but goes on without one. It lets an *expired*
//! certificate through, so that its holder hears a sentence and not an alert; whether a certificate
//! holds is asked of the store at each request (`identity.rs`). Sessions are not resumed: each
//! connection's certificate has been looked at.

use std::{fmt, future::pending, io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    time_provider::TimeProvider,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_parser::time::ASN1Time;

use crate::{
    clock::Clock,
    connection::{Activity, Bounded, Limits},
};

/// A handshake takes so long, at most.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Signed by the box CA; perhaps expired, perhaps revoked.
    pub(crate) certificate: Option<CertificateDer<'static>>,
    pub(crate) activity: Activity,
}

type Stream = Bounded<TlsStream<TcpStream>>;

/// A listener whose connections have done their handshake.
pub(crate) struct TlsListener {
    local: SocketAddr,
    ready: mpsc::Receiver<(Stream, SocketAddr)>,
    acceptor: JoinHandle<()>,
}

/// Why TLS could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The configuration was refused.
    #[error("TLS cannot be set up")]
    Rustls(#[from] rustls::Error),
    /// The box CA cannot be used to check certificates.
    #[error("the box CA cannot be used")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

// === configuration ===

/// The agents' side: a certificate of the box CA, or none.
pub(crate) fn for_agents(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    box_ca: &CertificateDer<'static>,
    clock: Arc<dyn Clock>,
) -> Result<ServerConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(box_ca.clone())?;
    let inner =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).allow_unauthenticated().build()?;
    let config = ServerConfig::builder_with_details(provider(), Arc::new(HubTime(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(ExpiredToo(inner)))
        .with_single_cert(chain, key)?;
    Ok(finished(config))
}

/// The people's side: no client certificates.
pub(crate) fn for_people(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clock: Arc<dyn Clock>,
) -> Result<ServerConfig, TlsError> {
    let config = ServerConfig::builder_with_details(provider(), Arc::new(HubTime(clock)))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(finished(config))
}

fn finished(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[derive(Debug)]
struct HubTime(Arc<dyn Clock>);

impl TimeProvider for HubTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().unix()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// The inner verifier is asked about a time at which the certificate is good: one that has ended is let through, and
/// so is one whose beginning the hub's clock does not know of, because it was set back.
#[derive(Debug)]
struct ExpiredToo(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for ExpiredToo {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let then = x509_parser::parse_x509_certificate(end_entity).map_or(now, |(_, parsed)| {
            let seconds = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
            let (begins, ends) = (seconds(parsed.validity().not_before), seconds(parsed.validity().not_after));
            UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().max(begins).min(ends)))
        });
        self.0.verify_client_cert(end_entity, intermediates, then)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

// === impl TlsListener ===

impl TlsListener {
    /// Accepts on `tcp`. The configuration is loaded anew for each connection.
    pub(crate) fn start(tcp: TcpListener, config: Arc<ArcSwap<ServerConfig>>, limits: Limits) -> io::Result<Self> {
        let local = tcp.local_addr()?;
        let (sender, ready) = mpsc::channel(64);
        Ok(Self { local, ready, acceptor: tokio::spawn(accept(tcp, config, limits, sender)) })
    }
}

impl Listener for TlsListener {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsListener({})", self.local)
    }
}

/// One task per handshake, so that a slow client keeps nobody waiting.
async fn accept(
    tcp: TcpListener,
    config: Arc<ArcSwap<ServerConfig>>,
    limits: Limits,
    sender: mpsc::Sender<(Stream, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, address) = match tcp.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a connection that is gone again: neither ends the hub.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, sender) = (TlsAcceptor::from(config.load_full()), sender.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
                Ok(Ok(tls)) => drop(sender.send((Bounded::new(tls, limits, place), address)).await),
                Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                Err(_) => tracing::debug!("a handshake took too long"),
            }
        });
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        let (io, address) = (stream.io(), *stream.remote_addr());
        let certificate = io.stream().get_ref().1.peer_certificates().and_then(|chain| chain.first());
        Self { address, certificate: certificate.map(|c| c.clone().into_owned()), activity: io.activity().clone() }
    }
}
