//! Who opens the door of a backup server: it shows its certificate to everybody, and lets nobody in.
//!
//! Behind a stand-in client there is no server to connect to; but an agent that looks at the
//! certificate before it gives a token to anybody has to see one.

use std::{
    fmt,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sha2::{Digest as _, Sha256};

/// A listening doorman; dropping it closes the door.
pub struct Doorman {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    shown: Mutex<Arc<ServerConfig>>,
    first: Arc<ServerConfig>,
    ended: AtomicBool,
    met: AtomicUsize,
}

/// A certificate with its key, made for the purpose.
pub struct Shown {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pem: String,
}

impl Shown {
    /// Self-signed, for 127.0.0.1, as a Proxmox Backup Server makes its own.
    ///
    /// # Errors
    /// No key could be made.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let made = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&key)?;
        let (certificate, pem) = (made.der().clone(), made.pem());
        Ok(Self { certificate, key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())), pem })
    }

    /// It in PEM, for a system that is to trust it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The SHA-256 of it, in colon hex as PBS shows it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let bytes: [u8; 32] = Sha256::digest(&self.certificate).into();
        tenwords_protocol::fingerprint::Fingerprint::from_bytes(bytes).to_string()
    }

    fn config(self) -> Result<Arc<ServerConfig>> {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate], self.key)?;
        Ok(Arc::new(config))
    }
}

impl Doorman {
    /// One that shows this on a port of 127.0.0.1 that the system chooses.
    ///
    /// # Errors
    /// No port, or the certificate is none.
    pub fn start(shown: Shown) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("a port for the doorman")?;
        let address = listener.local_addr()?;
        let first = shown.config()?;
        let shared = Arc::new(Shared {
            shown: Mutex::new(Arc::clone(&first)),
            first,
            ended: AtomicBool::new(false),
            met: AtomicUsize::new(0),
        });
        let inside = Arc::clone(&shared);
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                if inside.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let config = Arc::clone(&inside.shown.lock().unwrap_or_else(PoisonError::into_inner));
                let serving = Arc::clone(&inside);
                thread::spawn(move || serving.meet(stream, config));
            }
        });
        Ok(Self { address, shared, listening: Some(listening) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it shows this one.
    ///
    /// # Errors
    /// The certificate is none.
    pub fn shows(&self, shown: Shown) -> Result<()> {
        *self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown.config()?;
        Ok(())
    }

    /// From now on it shows the first one again.
    pub fn shows_the_first(&self) {
        *self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&self.shared.first);
    }

    /// How many have looked at its certificate.
    #[must_use]
    pub fn met(&self) -> usize {
        self.shared.met.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// The handshake, and nothing after it.
    fn meet(&self, mut stream: TcpStream, config: Arc<ServerConfig>) {
        let patience = Some(Duration::from_secs(20));
        if stream.set_read_timeout(patience).and(stream.set_write_timeout(patience)).is_err() {
            return;
        }
        let Ok(mut connection) = ServerConnection::new(config) else { return };
        self.met.fetch_add(1, Ordering::SeqCst);
        while connection.is_handshaking() {
            match connection.complete_io(&mut stream) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
                Ok(_) => {}
            }
        }
        connection.send_close_notify();
        let _gone_already = connection.complete_io(&mut stream);
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shown").field(&self.fingerprint()).finish()
    }
}

impl fmt::Debug for Doorman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorman").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Doorman {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // It is waiting for somebody.
        let _woken = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ended = listening.join();
        }
    }
}
