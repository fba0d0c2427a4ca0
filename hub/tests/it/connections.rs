//! Connections that do not ask for anything, or only by halves.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls_pki_types::ServerName;
use tenwords_hub::Limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Place, TestHub};

type Stream = TlsStream<TcpStream>;

/// A whole request, which is refused with 401 on either side.
const WHOLE: &str = "GET /v1/boxes HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer x\r\n\r\n";
const REFUSED_ON: &str = "HTTP/1.1 401";

async fn hub(connections: usize) -> TestHub {
    let second = Duration::from_secs(1);
    TestHub::start_within(Place::sqlite(), Limits { connections, first_request: second, idle: second }).await
}

/// A connection whose handshake is done and on which `text` was sent.
async fn connect(hub: &TestHub, address: SocketAddr, text: &str) -> Stream {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(hub.server_ca.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_details(provider, hub.clock.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    send(&mut stream, text).await;
    stream
}

async fn send(stream: &mut Stream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// What still comes until the hub closes the connection, by whatever means.
async fn closed(stream: &mut Stream) -> String {
    let mut bytes = Vec::new();
    let end = timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
    assert!(end.is_ok(), "the hub keeps the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_sends_half_a_request_is_closed() {
    let hub = hub(100).await;
    let halves =
        ["", "G", "GET /v1/boxes HTT", "POST /v1/enroll HTTP/1.1\r\nhost: hub\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    let mut streams = Vec::new();
    for address in [hub.agents, hub.people] {
        for half in halves {
            streams.push(connect(&hub, address, half).await);
        }
    }
    for stream in &mut streams {
        assert!(!closed(stream).await.contains("HTTP/1.1 2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_closed_when_no_next_request_comes() {
    let hub = hub(100).await;
    let mut silent = connect(&hub, hub.people, WHOLE).await;
    let mut halting = connect(&hub, hub.people, &format!("{WHOLE}{}", &WHOLE[..30])).await;
    for stream in [&mut silent, &mut halting] {
        let heard = closed(stream).await;
        assert_eq!(heard.matches(REFUSED_ON).count(), 1, "{heard}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_takes_long_is_not_cut_off() {
    let hub = hub(100).await;
    let head = "POST /v1/recovery/claim HTTP/1.1\r\nhost: hub\r\ncontent-length: 8\r\n\r\n{\"v\"";
    let mut slow = connect(&hub, hub.agents, head).await;
    // Longer than either limit: others come and are sent away meanwhile.
    for _ in 0..2 {
        closed(&mut connect(&hub, hub.agents, "").await).await;
    }
    send(&mut slow, ": 1}").await;
    let heard = closed(&mut slow).await;
    // It was read whole, and lacks a field.
    assert!(heard.starts_with("HTTP/1.1 400") && heard.contains("ticket"), "{heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_numbered_and_a_place_that_is_free_is_given_again() {
    let hub = hub(2).await;
    let (mut first, mut second) = (connect(&hub, hub.people, "").await, connect(&hub, hub.people, "").await);
    let third = connect(&hub, hub.people, WHOLE);
    tokio::pin!(third);
    tokio::select! {
        biased;
        _ = closed(&mut first) => {}
        _ = closed(&mut second) => {}
        _ = &mut third => panic!("a third connection was let in while two stood"),
    }
    let mut third = timeout(Duration::from_secs(30), third).await.expect("the place is given again");
    assert!(closed(&mut third).await.starts_with(REFUSED_ON));
    // The other listener has places of its own.
    assert!(closed(&mut connect(&hub, hub.agents, WHOLE).await).await.starts_with("HTTP/1.1"));
}
