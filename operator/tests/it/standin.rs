//! A hub's place, held by a few lines: TLS with a CA of its own, one answer for each request, and a
//! record of what was asked. The real hub meets this program in `spikes`.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

/// What arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) body: Option<Value>,
}

/// A running stand-in. Its thread ends with the test's process.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A certificate authority for one test.
pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.certificate.pem()).unwrap();
    }

    fn server(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        builder.with_no_client_auth().with_single_cert(chain, key).unwrap()
    }
}

impl StandIn {
    /// Answers each request with the next of these, under a certificate for `name`.
    pub(crate) fn start(authority: &Authority, name: &str, answers: Vec<(u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (record, tls) = (Arc::clone(&asked), Arc::new(authority.server(name)));
        let mut answers = VecDeque::from(answers);
        thread::spawn(move || {
            for socket in listener.incoming() {
                // A client that does not recognise us hangs up; that is its test's subject.
                let _ = answer(socket.unwrap(), &tls, &record, &mut answers);
            }
        });
        Self { address, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(
    socket: TcpStream,
    tls: &Arc<ServerConfig>,
    record: &Mutex<Vec<Asked>>,
    answers: &mut VecDeque<(u16, String)>,
) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(tls)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(std::io::Error::other)?;
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let mut body = vec![0; field("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body)?;
    record.lock().unwrap().push(Asked {
        line: head.lines().next().unwrap_or_default().to_owned(),
        authorization: field("authorization").unwrap_or_default(),
        body: serde_json::from_slice(&body).ok(),
    });
    let (status, text) = answers.pop_front().unwrap_or((500, String::new()));
    let kind = if status < 300 { "application/json" } else { "application/problem+json" };
    // The text of a redirect is the place that it leads to.
    let place = if status / 100 == 3 { format!("location: {text}\r\n") } else { String::new() };
    let length = text.len();
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{place}content-length: {length}\r\n")?;
    write!(stream, "connection: close\r\n\r\n{text}")?;
    stream.flush()?;
    stream.conn.send_close_notify();
    stream.flush()
}
