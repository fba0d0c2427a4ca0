//! Which certificate a server shows, seen by a TLS handshake of our own.
//!
//! The client tells neither what a server showed instead of the pinned certificate (it prints the
//! fingerprint on a terminal only, and there it would ask, `client.md`), nor can it be asked without
//! being given the token. So this looks first: one connection, the handshake, its close; no request,
//! no secret, and whatever the server shows is taken as what it is, a claim. The child that connects
//! afterwards checks the pin for itself, with an empty trust store.
//!
//! A look that sees nothing (no such name, nobody there, no answer) decides nothing: it is the
//! client's to say why it cannot connect, in words that are in the table, and the client that holds a
//! pin sends nothing to anybody else. That also leaves alone whoever drives a client that needs no
//! server at all (`pbs-local` on a disk that was carried over), without a switch that somebody could
//! leave in the wrong position.

use std::{
    fmt, io,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};

use crate::{
    access::{Access, Certificate},
    failure::{Failure, Silence},
    process::{RunError, within},
    repository::Host,
};

/// How long [`Access`]'s server may take to show its certificate, name resolution included.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What a server showed.
#[derive(Clone)]
pub struct Presented {
    name: ServerName<'static>,
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    at: UnixTime,
}

impl Presented {
    /// The SHA-256 of its own certificate, as PBS shows and pins it (`formats.md` §10.1).
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from_bytes(*Sha256::of(&self.leaf).as_bytes())
    }

    /// Whether the system's trust store (or what `SSL_CERT_FILE` and `SSL_CERT_DIR` of this process
    /// name) accepts it for the host's name, now. Like the client, this asks nobody about revocation.
    #[must_use]
    pub fn is_accepted_by_the_system(&self) -> bool {
        let mut roots = RootCertStore::empty();
        // A root that cannot be read accepts nothing; the others may.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(aws_lc_rs::default_provider()))
            .build()
            .is_ok_and(|verifier| {
                verifier.verify_server_cert(&self.leaf, &self.intermediates, &self.name, &[], self.at).is_ok()
            })
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("name", &self.name).field("fingerprint", &self.fingerprint()).finish()
    }
}

/// Looks. Nothing but the handshake is sent, and its end; at most `patience` is waited in all.
///
/// # Errors
/// [`Silence`]: why nothing was seen.
pub fn presented(host: &Host, port: u16, patience: Duration) -> Result<Presented, Silence> {
    let until = Instant::now() + patience;
    let name = ServerName::try_from(host.name().to_owned()).map_err(|_| Silence::NoSuchHost)?;
    let seen = Arc::new(Seen { shown: Mutex::new(None), provider: aws_lc_rs::default_provider() });
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Silence::Unstated)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), name.clone()).map_err(|_| Silence::Unstated)?;
    let mut stream = connect(host, port, until)?;
    let end = shake_hands(&mut connection, &mut stream, until);
    let shown = seen.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    match shown {
        // However the handshake went on: this is what it showed.
        Some((leaf, intermediates, at)) => Ok(Presented { name, leaf, intermediates, at }),
        None => Err(end.err().unwrap_or(Silence::NotPbs)),
    }
}

/// The server of a source. What it shows if that is another certificate than the pinned one.
///
/// # Errors
/// [`Failure::Certificate`] with both fingerprints. Whatever could not be seen is no error, see above.
pub fn look_for_the_pin(access: &Access, patience: Duration) -> Result<(), Failure> {
    let Certificate::Pinned(pin) = access.certificate() else { return Ok(()) };
    match of(access, patience) {
        Some(shown) if shown != pin => Err(Failure::Certificate { expected: Some(pin), presented: Some(shown) }),
        _ => Ok(()),
    }
}

/// A refused certificate, with what the client did not say: which one was expected (it tells only if
/// one was pinned) and which was shown (on a terminal only). Any other failure as it is.
pub(crate) fn completed(failure: Failure, access: &Access) -> Failure {
    let Failure::Certificate { expected, presented: None } = failure else { return failure };
    let expected = match access.certificate() {
        Certificate::Pinned(pin) => Some(pin),
        Certificate::WebPki => expected,
    };
    Failure::Certificate { expected, presented: of(access, PATIENCE) }
}

/// What the server of a source shows, if it shows anything.
fn of(access: &Access, patience: Duration) -> Option<Fingerprint> {
    let repository = access.repository();
    presented(repository.host(), repository.port(), patience).ok().map(|shown| shown.fingerprint())
}

fn connect(host: &Host, port: u16, until: Instant) -> Result<TcpStream, Silence> {
    let name = host.name().to_owned();
    // The system's resolver knows no deadline; left behind, it ends by its own.
    let addresses: Vec<SocketAddr> =
        within(left(until)?, move || (name.as_str(), port).to_socket_addrs().map(Iterator::collect)).map_err(
            |error| match error {
                RunError::SpawnTimedOut => Silence::TimedOut,
                _ => Silence::NoSuchHost,
            },
        )?;
    let mut why = Silence::NoSuchHost;
    for (number, address) in addresses.iter().enumerate() {
        // The last one may take all that is left, each before it its share.
        let others = u32::try_from(addresses.len() - number).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, left(until)? / others) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = silence(&error),
        }
    }
    Err(why)
}

fn shake_hands(connection: &mut ClientConnection, stream: &mut TcpStream, until: Instant) -> Result<(), Silence> {
    let mut stream = Bounded { stream, until };
    while connection.is_handshaking() {
        while connection.wants_write() {
            connection.write_tls(&mut stream).map_err(|error| silence(&error))?;
        }
        if connection.is_handshaking() {
            if connection.read_tls(&mut stream).map_err(|error| silence(&error))? == 0 {
                return Err(Silence::Lost);
            }
            if connection.process_new_packets().is_err() {
                // The alert that says so; whether it arrives changes nothing.
                let _ = connection.write_tls(&mut stream);
                return Err(Silence::NotPbs);
            }
        }
    }
    connection.send_close_notify();
    while connection.wants_write() {
        connection.write_tls(&mut stream).map_err(|error| silence(&error))?;
    }
    Ok(())
}

/// A stream on which each call ends with the whole.
struct Bounded<'a> {
    stream: &'a mut TcpStream,
    until: Instant,
}

impl Bounded<'_> {
    fn left(&self) -> io::Result<Duration> {
        left(self.until).map_err(|_| io::ErrorKind::TimedOut.into())
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn left(until: Instant) -> Result<Duration, Silence> {
    match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(Silence::TimedOut),
        left => Ok(left),
    }
}

fn silence(error: &io::Error) -> Silence {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Silence::Refused,
        // A read that ran into its timeout is told as WouldBlock.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Silence::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Silence::NoRoute,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Silence::Lost,
        _ => Silence::Unstated,
    }
}

type Shown = (CertificateDer<'static>, Vec<CertificateDer<'static>>, UnixTime);

/// Takes down what is shown and says yes: nothing is ever sent to whom it says yes to.
#[derive(Debug)]
struct Seen {
    shown: Mutex<Option<Shown>>,
    provider: CryptoProvider,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let intermediates = intermediates.iter().map(|certificate| certificate.clone().into_owned()).collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((end_entity.clone().into_owned(), intermediates, now));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
