//! A backup server that has moved, or shows another certificate: what an order would have to say, and
//! what there is without one.
//!
//! Where data comes from is sealed under the words. Only an operator's order `repoint` or a ceremony
//! changes it, never a yes.

use std::net::IpAddr;

use pbs_driver::{Failure, failure::Thing};
use tenwords_escrow::root::{Certificate, Source};
use tenwords_protocol::fingerprint::Fingerprint;

/// What can be done where the source may not be any more what the root names.
pub(super) fn advice(source: &Source, failure: &Failure) -> Option<String> {
    match failure {
        Failure::Certificate { expected: Some(_), presented: Some(shown) } => Some(format!(
            "The order that says so is `repoint`: {}. {NO_ORDERS} Until then put the former certificate and its key back on \
             the server (proxy.pem and proxy.key in /etc/proxmox-backup), or hold a new ceremony on the old box if it \
             still runs; then run the same command again",
            place(source, Some(*shown))
        )),
        Failure::Certificate { expected: Some(_), presented: None } => {
            Some(format!("The order that says so is `repoint`. {NO_ORDERS}"))
        }
        Failure::Unreachable { .. } | Failure::TimedOut { .. } => {
            let by_name = match source.server.as_str().parse::<IpAddr>() {
                Ok(_) => String::new(),
                Err(_) => format!(
                    "If it has moved and kept its certificate, let the name {} lead to where it is now (DNS, or \
                     /etc/hosts on this machine): the certificate decides. ",
                    source.server
                ),
            };
            Some(format!(
                "{by_name}If it has another address, the order is `repoint`: {}, with what is true now in its place. \
                 {NO_ORDERS}",
                place(source, None)
            ))
        }
        Failure::NotFound { what: Thing::Datastore } => Some(format!(
            "If it has another name now, the order is `repoint`: {}, with the new name in its place. {NO_ORDERS}",
            place(source, None)
        )),
        _ => None,
    }
}

/// Source, server, datastore, namespace and certificate, as the order names them.
fn place(source: &Source, shown: Option<Fingerprint>) -> String {
    let Source { id, server, port, datastore, namespace, certificate, .. } = source;
    let namespace = namespace.as_ref().map(|namespace| format!(", namespace {namespace}")).unwrap_or_default();
    let certificate = match (shown, certificate) {
        (Some(shown), _) => shown.to_string(),
        (None, Certificate::Pinned(pinned)) => pinned.to_string(),
        (None, Certificate::WebPki) => "web-pki".to_owned(),
    };
    format!("source {id} is at server {server}:{port}, datastore {datastore}{namespace}, certificate {certificate}")
}

const NO_ORDERS: &str = "This version takes no orders yet, so this cannot be passed here.";
