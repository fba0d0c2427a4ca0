//! S67: the certificate is looked at before anybody is told a secret.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use pbs_driver::{Access, Certificate, Failure, certificate::presented, failure::Silence, status, version};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
use zeroize::Zeroizing;

use crate::place::{Place, TOKEN, all_words, rerun};

const PATIENT: Duration = Duration::from_secs(60);

/// A server on the loopback whose certificate an authority of its own signed.
struct Server {
    port: u16,
    fingerprint: Fingerprint,
    authority: String,
    /// What came inside the encryption, one entry per connection.
    heard: JoinHandle<Vec<Vec<u8>>>,
}

impl Server {
    /// Serves so many connections at this address, and hangs up after each.
    fn start(address: &str, connections: usize) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1".to_owned(), "::1".to_owned(), "localhost".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone(), CertificateDer::clone(authority.der())],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let config = Arc::new(config);
        let (port, heard) = serve(address, connections, move |stream| heard_inside(&config, stream));
        Self {
            port,
            fingerprint: Fingerprint::from_bytes(*Sha256::of(leaf.der()).as_bytes()),
            authority: authority.pem(),
            heard,
        }
    }

    fn access(&self, certificate: Certificate) -> Access {
        access(&format!("backup@pbs!box1@127.0.0.1:{}:store", self.port), certificate)
    }

    fn heard(self) -> Vec<Vec<u8>> {
        self.heard.join().unwrap()
    }
}

fn access(repository: &str, certificate: Certificate) -> Access {
    let token = Zeroizing::new(TOKEN.to_owned());
    Access::new(repository.parse().unwrap(), "".parse().unwrap(), token, certificate).unwrap()
}

/// Answers so many connections in their order, each by `answer`.
fn serve<T: Send + 'static>(
    address: &str,
    connections: usize,
    answer: impl Fn(TcpStream) -> T + Send + 'static,
) -> (u16, JoinHandle<Vec<T>>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, thread::spawn(move || (0..connections).map(|_| answer(listener.accept().unwrap().0)).collect()))
}

/// All application bytes that a peer sent before it hung up.
fn heard_inside(config: &Arc<ServerConfig>, mut stream: TcpStream) -> Vec<u8> {
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut heard = Vec::new();
    loop {
        while connection.wants_write() {
            if connection.write_tls(&mut stream).is_err() {
                return heard;
            }
        }
        match connection.read_tls(&mut stream) {
            Ok(0) | Err(_) => return heard,
            Ok(_) => {}
        }
        if connection.process_new_packets().is_err() {
            return heard;
        }
        match connection.reader().read_to_end(&mut heard) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return heard,
            _ => {}
        }
    }
}

#[test]
fn s67_a_certificate_that_the_system_trusts_but_nobody_pinned_is_refused_before_the_token_is_out() {
    // `SSL_CERT_FILE` must stand when the process begins, so the server's authority is made here and
    // handed to a process that makes the same decision with it.
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start("127.0.0.1", 2);
    let trusted = folder.path().join("authority.pem");
    fs::write(&trusted, &server.authority).unwrap();
    rerun(
        "certificate::inner_s67_refused_before_the_token_is_out",
        &[],
        &[
            ("SSL_CERT_FILE", trusted.to_str().unwrap()),
            ("TENWORDS_PORT", &server.port.to_string()),
            ("TENWORDS_SHOWN", &server.fingerprint.to_string()),
        ],
    );
    let heard = server.heard();
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(Vec::is_empty), "the server was told something: {heard:?}");
}

/// Only run by the test above.
#[test]
fn inner_s67_refused_before_the_token_is_out() {
    let Ok(port) = std::env::var("TENWORDS_PORT") else { return };
    let shown: Fingerprint = std::env::var("TENWORDS_SHOWN").unwrap().parse().unwrap();
    let port: u16 = port.parse().unwrap();
    let seen = presented(&"127.0.0.1".parse().unwrap(), port, PATIENT).unwrap();
    assert_eq!(seen.fingerprint(), shown);
    assert!(seen.is_accepted_by_the_system(), "the test's authority is not trusted, so it shows nothing");

    let place = Place::new();
    let client =
        place.client("cat \"$PBS_PASSWORD_FILE\" > \"$scratch/token\"; echo '{\"avail\":1,\"total\":2,\"used\":1}'");
    let pin = Fingerprint::from_bytes([0xaa; 32]);
    let access = access(&format!("backup@pbs!box1@127.0.0.1:{port}:store"), Certificate::Pinned(pin));
    let error = status::probe(&client, &access).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::Certificate { expected: Some(pin), presented: Some(shown) }));
    let words = all_words(&error);
    assert!(words.contains(&pin.to_string()) && words.contains(&shown.to_string()), "{words}");
    assert_eq!(place.left("pids"), None, "a child was started");
    assert_eq!(place.left("token"), None);
    place.assert_clean();
}

#[test]
fn s67_the_pinned_certificate_lets_the_client_begin() {
    let place = Place::new();
    let server = Server::start("127.0.0.1", 1);
    let client = place.client("echo '{\"avail\":1,\"total\":2,\"used\":1}'");
    status::probe(&client, &server.access(Certificate::Pinned(server.fingerprint))).unwrap();
    assert_eq!(place.left("pids").unwrap().lines().count(), 1);
    assert_eq!(server.heard(), [b""]);
}

/// Without a terminal the client does not say which certificate it refused.
#[test]
fn s67_a_certificate_that_the_client_refused_is_named_afterwards() {
    let place = Place::new();
    let server = Server::start("127.0.0.1", 1);
    let client = place.client(
        "echo 'certificate validation failed - Certificate fingerprint was not confirmed.' >&2
echo 'Error: error trying to connect: error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:../ssl/statem/statem_clnt.c:1889:' >&2; exit 255",
    );
    let error = status::probe(&client, &server.access(Certificate::WebPki)).unwrap_err();
    let presented = Some(server.fingerprint);
    assert_eq!(error.failure(), Some(&Failure::Certificate { expected: None, presented }));
    assert_eq!(server.heard(), [b""]);
}

#[test]
fn a_certificate_of_nobodys_is_seen_and_not_accepted() {
    for address in ["127.0.0.1", "::1"] {
        if TcpListener::bind((address, 0)).is_err() {
            println!("SKIPPED: this machine has no {address}");
            continue;
        }
        let server = Server::start(address, 1);
        let host = if address == "::1" { "[::1]" } else { address };
        let seen = presented(&host.parse().unwrap(), server.port, PATIENT).unwrap();
        assert_eq!(seen.fingerprint(), server.fingerprint);
        assert!(!seen.is_accepted_by_the_system());
        assert_eq!(server.heard(), [b""]);
    }
}

#[test]
fn a_server_that_shows_nothing_is_not_waited_for_and_not_judged() {
    let look = |port| presented(&"127.0.0.1".parse().unwrap(), port, Duration::from_millis(500)).unwrap_err();
    let until_it_hangs_up = |mut stream: TcpStream| drop(io::copy(&mut stream, &mut io::sink()));

    let (mute, ended) = serve("127.0.0.1", 1, until_it_hangs_up);
    assert_eq!(look(mute), Silence::TimedOut);
    ended.join().unwrap();

    // The beginning of a record that never becomes whole.
    let (slow, ended) = serve("127.0.0.1", 1, |mut stream: TcpStream| {
        stream.write_all(&[22, 3, 3, 0x40, 0]).unwrap();
        while stream.write_all(&[0]).is_ok() {
            thread::yield_now();
        }
    });
    assert!(matches!(look(slow), Silence::TimedOut | Silence::NotPbs));
    ended.join().unwrap();

    let (other, ended) = serve("127.0.0.1", 1, |mut stream: TcpStream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").unwrap();
        drop(io::copy(&mut stream, &mut io::sink()));
    });
    assert_eq!(look(other), Silence::NotPbs);
    ended.join().unwrap();

    let (gone, ended) = serve("127.0.0.1", 1, drop);
    assert_eq!(look(gone), Silence::Lost);
    ended.join().unwrap();
    assert_eq!(look(gone), Silence::Refused);

    let nowhere = presented(&"no-such-host.invalid".parse().unwrap(), 8007, PATIENT);
    assert_eq!(nowhere.unwrap_err(), Silence::NoSuchHost);
}

/// What the look cannot see it leaves to the client, whose words say more.
#[test]
fn a_server_that_is_not_there_is_the_clients_to_name() {
    let place = Place::new();
    let client = place.client("echo 'Error: error trying to connect: error connecting to https://127.0.0.1:8999/ - tcp connect error: Connection refused (os error 111)' >&2; exit 255");
    let (port, ended) = serve("127.0.0.1", 0, drop);
    ended.join().unwrap();
    let access = access(
        &format!("backup@pbs!box1@127.0.0.1:{port}:store"),
        Certificate::Pinned(Fingerprint::from_bytes([0xaa; 32])),
    );
    let error = status::probe(&client, &access).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::Unreachable { why: Silence::Refused }));
}

/// Against a real server, if one is named (see `conformance`).
#[test]
fn s67_a_real_servers_certificate_is_seen_as_it_says_itself() {
    let (Ok(client), Ok(repository), Ok(pin), Ok(token)) = (
        std::env::var("TENWORDS_PBS_CLIENT"),
        std::env::var("PBS_REPOSITORY"),
        std::env::var("PBS_FINGERPRINT"),
        std::env::var("PBS_PASSWORD"),
    ) else {
        println!("SKIPPED: TENWORDS_PBS_CLIENT, PBS_REPOSITORY, PBS_FINGERPRINT and PBS_PASSWORD name no real server");
        return;
    };
    let place = Place::new();
    let client = pbs_driver::Client::new(client, place.private.clone()).unwrap();
    let pin: Fingerprint = pin.to_ascii_lowercase().parse().unwrap();
    let access = |certificate| {
        let token = Zeroizing::new(token.clone());
        Access::new(repository.parse().unwrap(), "".parse().unwrap(), token, certificate).unwrap()
    };
    status::probe(&client, &access(Certificate::Pinned(pin))).unwrap();
    let other = Fingerprint::from_bytes([0xaa; 32]);
    let refused = Failure::Certificate { expected: Some(other), presented: Some(pin) };
    assert_eq!(status::probe(&client, &access(Certificate::Pinned(other))).unwrap_err().failure(), Some(&refused));
    // The client's own refusal, named afterwards: this one is asked nothing before.
    let both = version::both(&client, &access(Certificate::Pinned(other))).unwrap();
    assert_eq!(both.server, Err(refused));
    let of_nobody = status::probe(&client, &access(Certificate::WebPki)).unwrap_err();
    assert_eq!(of_nobody.failure(), Some(&Failure::Certificate { expected: None, presented: Some(pin) }));
}
