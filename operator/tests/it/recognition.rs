//! Only the CA file is believed, and nothing is sent to a hub that it does not vouch for.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use crate::{
    desk::{Desk, TOKEN},
    standin::{Authority, StandIn},
};

#[test]
fn a_hub_of_another_ca_is_not_told_the_token() {
    let desk = Desk::new();
    let hub = StandIn::start(&Authority::new(), "localhost", vec![(200, "{}".to_owned())]);
    let ran = desk.run_at(&hub, &["box", "list"]);
    assert_eq!(ran.code, 15, "{}", ran.stderr);
    assert!(ran.stderr.contains("not signed by your CA file"), "{}", ran.stderr);
    assert!(hub.asked().is_empty());
}

#[test]
fn a_certificate_for_another_name_is_not_told_the_token() {
    let desk = Desk::new();
    let hub = StandIn::start(&desk.authority, "elsewhere.example.net", vec![(200, "{}".to_owned())]);
    let ran = desk.run_at(&hub, &["box", "list"]);
    assert_eq!(ran.code, 15, "{}", ran.stderr);
    assert!(ran.stderr.contains("its certificate is for another name"), "{}", ran.stderr);
    assert!(hub.asked().is_empty());
}

#[test]
fn a_proxy_a_redirect_and_the_systems_own_trust_change_nothing() {
    let desk = Desk::new();
    let elsewhere = desk.hub(vec![]);
    let place = format!("https://localhost:{}/", elsewhere.address.port());
    let hub = desk.hub(vec![(307, place.clone())]);
    let address = format!("https://localhost:{}", hub.address.port());
    let (ca, token) = (desk.path("server-ca.pem"), desk.path("token"));
    let mut command = desk.program(&["box", "list", "--hub", &address]);
    command.env("HTTPS_PROXY", &place).env("https_proxy", &place).env("SSL_CERT_FILE", "/nowhere");
    let output = command.arg("--ca").arg(ca).arg("--token-file").arg(token).output().unwrap();
    assert_eq!(output.status.code(), Some(20));
    assert_eq!(hub.asked().len(), 1);
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn nobody_there_is_said_in_words_with_a_remedy() {
    let desk = Desk::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = desk.run_at_address(&format!("https://localhost:{}", closed.port()), &["box", "list"]);
    assert_eq!(ran.code, 15);
    assert!(ran.stderr.contains("nothing listens there") && !ran.stderr.contains("os error"), "{}", ran.stderr);
}

#[test]
fn a_token_that_others_can_read_is_not_used() {
    let desk = Desk::new();
    fs::set_permissions(desk.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let hub = desk.hub(vec![]);
    let ran = desk.run_at(&hub, &["box", "list"]);
    assert_eq!(ran.code, 16, "{}", ran.stderr);
    assert!(ran.stderr.contains("is not yours alone (mode 0644)") && !ran.stderr.contains(TOKEN), "{}", ran.stderr);
    assert!(hub.asked().is_empty());
}
