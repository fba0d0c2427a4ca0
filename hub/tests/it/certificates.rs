//! What the hub signs, and what it takes from others.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tenwords_hub::authority::RequestedKey;
use tenwords_protocol::{bytes::Base64, enroll::EnrollRequest, problem::ProblemCode, v1::V1};
use x509_parser::prelude::{GeneralName, ParsedExtension, X509Certificate};

use crate::support::{Machine, Operator, Place, TestHub, Words, enrolled_box, expect_problem};

fn parsed(der: &[u8]) -> X509Certificate<'_> {
    x509_parser::parse_x509_certificate(der).unwrap().1
}

/// S68: a request that asks for names, server authentication and an authority of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s68_of_a_request_nothing_but_the_public_key_is_taken() {
    let hub = TestHub::start(Place::sqlite()).await;
    let box_id = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse().unwrap();
    let ticket = Operator::of(&hub).add(box_id, "alpha").await;
    let machine = Machine::new(&hub);
    let mut params = CertificateParams::new(vec!["hub.example.org".to_owned(), "10.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "tenwords server CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0])];
    let csr = Base64(params.serialize_request(&machine.key).unwrap().der().to_vec());
    let request = EnrollRequest { v: V1, ticket: ticket.into_secret(), csr, hostname: "pve1".to_owned() };
    let response = machine.client.post(machine.url("/v1/enroll")).json(&request).send().await.unwrap();
    let reply: tenwords_protocol::enroll::EnrollReply = response.json().await.unwrap();

    let certificate = parsed(&reply.certificate.0);
    let subject: Vec<_> =
        certificate.subject().iter_attributes().map(|attribute| attribute.as_str().unwrap().to_owned()).collect();
    assert_eq!(subject, [reply.node_id.to_string(), box_id.to_string()]);
    assert!(!certificate.is_ca());
    assert!(certificate.basic_constraints().unwrap().is_some_and(|found| !found.value.ca));
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty());
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    assert!(certificate.extensions().iter().all(|found| found.oid.to_id_string() != "1.2.3.4"));
    let lifetime = certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp();
    assert_eq!(lifetime, 90 * 86_400 + 3600);
}

/// S68, the other half: neither certificate of the hub helps in the other's place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s68_the_two_authorities_sign_only_their_own() {
    let hub = TestHub::start(Place::sqlite()).await;
    let read = |name: &str| {
        use rustls_pki_types::pem::PemObject as _;
        rustls_pki_types::CertificateDer::from_pem_file(hub.dir.path().join("data").join(name)).unwrap()
    };
    let (server_ca, box_ca) = (read("server-ca.pem"), read("box-ca.pem"));
    for der in [&server_ca, &box_ca] {
        let found = parsed(der);
        assert_eq!(found.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
        assert!(found.is_ca());
    }
    assert_ne!(parsed(&server_ca).public_key().raw, parsed(&box_ca).public_key().raw);
    let (_, machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    let node = parsed(&machine.certificate);
    assert!(node.verify_signature(Some(parsed(&box_ca).public_key())).is_ok());
    assert!(node.verify_signature(Some(parsed(&server_ca).public_key())).is_err());
}

#[test]
fn a_request_that_its_own_key_has_not_signed_is_refused() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let request =
        |key: &KeyPair| CertificateParams::new(vec![]).unwrap().serialize_request(key).unwrap().der().to_vec();
    let good = request(&key);
    assert!(RequestedKey::from_request(&good).is_ok());
    // Somebody else's public key in the place of one's own.
    let spki = |key: &KeyPair| rcgen::PublicKeyData::subject_public_key_info(key);
    let (mine, others) = (spki(&key), spki(&other));
    let at = good.windows(mine.len()).position(|window| window == mine).unwrap();
    let mut exchanged = good.clone();
    exchanged[at..at + others.len()].copy_from_slice(&others);
    assert!(RequestedKey::from_request(&exchanged).is_err());
    for bad in [&[][..], b"x", &good[..good.len() - 1], &[good.as_slice(), b"x"].concat()] {
        assert!(RequestedKey::from_request(bad).is_err());
    }
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        assert!(RequestedKey::from_request(&request(&KeyPair::generate_for(algorithm).unwrap())).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hubs_own_certificate_is_of_the_server_ca_which_stands_in_the_chain() {
    let hub = TestHub::start(Place::sqlite()).await;
    for address in [hub.agents, hub.people] {
        let chain = chain_of(&hub, address).await;
        assert_eq!(chain.len(), 2);
        assert_eq!(chain[1], hub.server_ca);
        let leaf = parsed(&chain[0]);
        assert!(!leaf.is_ca());
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth);
        let names = leaf.subject_alternative_name().unwrap().unwrap().value;
        assert!(names.general_names.iter().any(|name| matches!(name, GeneralName::DNSName("localhost"))));
        assert!(
            leaf.extensions()
                .iter()
                .any(|e| { matches!(e.parsed_extension(), ParsedExtension::AuthorityKeyIdentifier(_)) })
        );
    }
}

async fn chain_of(hub: &TestHub, address: std::net::SocketAddr) -> Vec<rustls_pki_types::CertificateDer<'static>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(hub.server_ca.clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_details(provider, hub.clock.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls_pki_types::ServerName::IpAddress(address.ip().into());
    let tls = connector.connect(name, tcp).await.unwrap();
    tls.get_ref().1.peer_certificates().unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_hears_a_sentence_and_not_an_alert() {
    let hub = TestHub::start(Place::sqlite()).await;
    let (_, mut machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    hub.clock.forward(90 * 86_400 - 1);
    assert!(machine.reads().await);
    hub.clock.forward(2);
    // The hub's own leaf has the same lifetime: a hub that has run so long has a newer one.
    let mut hub = hub;
    hub.restart().await;
    machine.again(&hub);
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::CertificateExpired).await;
    let push = machine.try_push(&crate::support::ceremony(machine.box_id.unwrap(), 2, Words(1))).await;
    expect_problem(push, ProblemCode::CertificateExpired).await;
}

/// Certificates of another authority, of the server CA and of none do not come past the handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_is_refused_in_the_handshake() {
    let (hub, other) = (TestHub::start(Place::sqlite()).await, TestHub::start(Place::sqlite()).await);
    let (_, stranger) = enrolled_box(&other, "alpha", Words(1)).await;
    let client = hub.client(Some((&stranger.certificate, &stranger.key)));
    let path = stranger.of_box("/versions");
    assert!(client.get(format!("https://{}{path}", hub.agents)).send().await.is_err());
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
    let client = hub.client(Some((own.der(), &key)));
    assert!(client.get(format!("https://{}{path}", hub.agents)).send().await.is_err());
    // The same request with a certificate of this hub is understood.
    let (_, machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    assert!(machine.reads().await);
}
