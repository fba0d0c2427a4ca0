//! S67: a server whose certificate the system trusts, but which is not the pinned one.
//!
//! The client lets OpenSSL judge first and asks for the pin only if that says no (`formats.md`
//! §10.1, `transcripts/hostile-pbs.txt` 1). So this server has a certificate from an authority that
//! is in OpenSSL's own store (a file system of this test's lies over it) and in `SSL_CERT_FILE` of
//! this process; what counts is what a child of ours finds in its environment.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use pbs_driver::{Certificate, Failure, restore, snapshot, status, version};
use pbs_format::manifest::{CryptMode, FileEntry};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};

use super::{
    data::{failure, on},
    mount::{Mount, access, write},
    targets::where_it_may_mount,
};
use crate::place::{KEYS, TOKEN, rerun};

/// Runs the test `inside` of this binary where the authority may be put into the system's store.
pub(super) fn with_a_trusted_authority(inside: &str) {
    let Some(wrapper) = where_it_may_mount("hostile TLS") else { return };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let pem = write(folder.path(), "authority.pem", authority.pem.as_bytes());
    let key = write(folder.path(), "authority.key", authority.key.serialize_pem().as_bytes());
    let (pem, key) = (pem.display().to_string(), key.display().to_string());
    rerun(inside, wrapper, &[("SSL_CERT_FILE", &pem), (KEY, &key)]);
}

/// Lays the authority over OpenSSL's store. Only this process and its children see that.
fn trust(mount: &Mount) {
    let said = Command::new("openssl").args(["version", "-d"]).output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let folder = said.split('"').nth(1).unwrap_or("/usr/lib/ssl").to_owned();
    let pem = std::env::var_os("SSL_CERT_FILE").unwrap();
    let status = Command::new("mount").args(["-t", "tmpfs", "none", &folder]).status().unwrap();
    assert!(status.success(), "{folder}");
    std::fs::copy(pem, std::path::Path::new(&folder).join("cert.pem")).unwrap();
    println!("{}: trusts the authority by {folder}", mount.client.program().display());
}

/// The authority's key, if this process was started by [`with_a_trusted_authority`].
pub(super) fn authority_key() -> Option<PathBuf> {
    std::env::var_os(KEY).map(PathBuf::from)
}

pub(super) fn hostile(mount: &Mount, key: &std::path::Path) {
    trust(mount);
    let heard = listen(&Authority::read(key));
    let repository = format!("backup@pbs!box1@{}:store", heard.address);
    let pin = Fingerprint::from_bytes([0xbb; 32]);

    // What the client does in an administrator's shell, on a system that trusts this authority:
    // it takes the server for the right one, whatever the pin says, and the token goes out.
    let output = Command::new(mount.client.program())
        .args(["status", "--output-format", "json"])
        .env("PBS_REPOSITORY", &repository)
        .env("PBS_PASSWORD", TOKEN)
        .env("PBS_FINGERPRINT", pin.to_string())
        .env_remove("SSL_CERT_FILE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    println!("the client alone: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
    let seen: Vec<Seen> = heard.so_far();
    assert!(
        seen.iter().any(|seen| seen.asked().contains(TOKEN)),
        "nothing is proved, the server cannot be met: {seen:?}"
    );

    // Every child of ours that connects: no request arrives, let alone a token.
    let access = access(&repository, TOKEN, Certificate::Pinned(pin), "");
    let another = |failure: &Failure| matches!(failure, Failure::Certificate { expected: Some(expected), .. } if *expected == pin);
    let key_file = write(mount.place.scratch(), "K.enc", &KEYS.plain);
    let taken = "host/box1/2026-11-21T00:22:54Z".parse().unwrap();
    let signed = FileEntry {
        filename: "root.pxar.didx".parse().unwrap(),
        crypt_mode: CryptMode::Encrypt,
        size: 1,
        csum: Sha256::of(b""),
    };
    let request = restore::Request {
        access: &access,
        snapshot: &taken,
        signed: &signed,
        protection: restore::Protection::Under { key_file: &key_file, key: KEYS.fingerprint },
    };
    let nowhere = mount.place.scratch().join("nowhere");
    for (failure, what) in [
        (failure(status::probe(&mount.client, &access)), "status"),
        (failure(snapshot::list(&mount.client, &access, None)), "snapshot list"),
        (failure(snapshot::groups(&mount.client, &access)), "list"),
        (failure(snapshot::files(&mount.client, &access, &taken)), "snapshot files"),
        (failure(restore::tree(&mount.client, &request, &nowhere, &mut on)), "restore"),
        (failure(restore::manifest(&mount.client, &access, &taken, &key_file)), "restore of the list of files"),
        (version::both(&mount.client, &access).unwrap().server.unwrap_err(), "version"),
    ] {
        assert!(another(&failure), "{what}: {failure:?}");
    }
    assert!(!nowhere.exists());
    let seen = heard.so_far();
    assert!(!seen.is_empty(), "they did not even knock");
    for seen in &seen {
        assert_eq!(seen.asked(), "", "a request went out to a server that is not the pinned one");
    }
    mount.place.assert_clean();
}

/// An authority that this test makes.
struct Authority {
    key: KeyPair,
    params: CertificateParams,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        Self::with(KeyPair::generate().unwrap())
    }

    fn read(path: &std::path::Path) -> Self {
        Self::with(KeyPair::from_pem(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    fn with(key: KeyPair) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "an authority that the system trusts");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { key, params, pem }
    }
}

/// What one connection brought.
#[derive(Debug)]
struct Seen(Vec<u8>);

impl Seen {
    fn asked(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

struct Heard {
    address: String,
    connections: Receiver<Seen>,
}

impl Heard {
    /// All connections that have ended.
    fn so_far(&self) -> Vec<Seen> {
        // A connection of a child that is gone ends by itself, but a moment later than the child: one
        // more of our own is told to come last, and everything before it has been told by then.
        let last = TcpStream::connect(&self.address).unwrap();
        drop(last);
        let mut seen = Vec::new();
        loop {
            match self.connections.recv().unwrap() {
                Seen(bytes) if bytes == LAST => return seen,
                other => seen.push(other),
            }
        }
    }
}

/// A server with the authority's certificate for 127.0.0.1, one connection at a time.
fn listen(authority: &Authority) -> Heard {
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&authority.params, &authority.key);
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, connections) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            if answer(stream.unwrap(), &config, &tell).is_none() {
                return;
            }
        }
    });
    Heard { address, connections }
}

/// `None` when nobody listens to what is told any more.
fn answer(stream: TcpStream, config: &Arc<ServerConfig>, tell: &Sender<Seen>) -> Option<()> {
    let mut first = [0; 1];
    if !matches!(stream.peek(&mut first), Ok(1)) {
        return tell.send(Seen(LAST.to_vec())).ok();
    }
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream);
    let mut asked = Vec::new();
    let mut piece = [0; 4096];
    // To the end of a request's head, or to the end of whoever would not go on.
    while !asked.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => asked.extend_from_slice(&piece[..count]),
            _ => break,
        }
    }
    if !asked.is_empty() {
        let body = "{\"data\":{\"avail\":1,\"total\":2,\"used\":1}}";
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
    tell.send(Seen(asked)).ok()
}

const KEY: &str = "TENWORDS_TEST_AUTHORITY_KEY";
/// Not what a request looks like.
const LAST: &[u8] = b"\0last";
