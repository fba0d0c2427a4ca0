//! A backup server that has moved, or shows another certificate: what an order would have to say, and
//! what there is without one.
//!
//! Where data comes from is sealed under the words. Only an operator's order `repoint` or a ceremony
//! changes it, never a yes.

use std::{fmt::Display, net::IpAddr};

use pbs_driver::{Failure, failure::Thing};
use tenwords_escrow::root::Source;
use tenwords_protocol::{fingerprint::Fingerprint, order::OrderedPlace};

use crate::sources;

/// What can be done where the source may not be any more what the root names.
pub(super) fn advice(source: &Source, failure: &Failure) -> Option<String> {
    let how = format!("`recover --repoint {}=SERVER[:PORT][:DATASTORE[/NAMESPACE]]` asks for it", source.id);
    match failure {
        Failure::Certificate { expected: Some(_), presented: Some(shown) } => Some(format!(
            "The order that says so is `repoint`: {}. Or put the former certificate and its key back on the server \
             (proxy.pem and proxy.key in /etc/proxmox-backup), or hold a new ceremony on the old box if it still runs; \
             then run the same command again",
            believed(source, Some(*shown))
        )),
        Failure::Certificate { expected: Some(_), presented: None } => {
            Some(format!("The order that says so is `repoint`; {how}"))
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
                "{by_name}If it has another address, the order is `repoint`: {}, with what is true now in its place; \
                 {how}",
                believed(source, None)
            ))
        }
        Failure::NotFound { what: Thing::Datastore } => Some(format!(
            "If it has another name now, the order is `repoint`: {}, with the new name in its place; {how}",
            believed(source, None)
        )),
        _ => None,
    }
}

/// What an order would have to say, where that can be seen.
pub(super) fn place(source: &Source, failure: &Failure) -> Option<OrderedPlace> {
    match failure {
        Failure::Certificate { expected: Some(_), presented: Some(shown) } => of(source, *shown),
        _ => None,
    }
}

/// Where the root says that a source is, as an order names places; with another certificate. `None` for a server
/// that no order can name, which none is known for.
fn of(source: &Source, certificate: Fingerprint) -> Option<OrderedPlace> {
    Some(OrderedPlace {
        server: source.server.as_str().parse().ok()?,
        port: source.port,
        datastore: source.datastore.clone(),
        namespace: source.namespace.clone(),
        certificate,
    })
}

/// What the root believes of a source, as the order names it; with the certificate that was seen, if one was.
fn believed(source: &Source, shown: Option<Fingerprint>) -> String {
    let certificate = shown.map_or_else(|| sources::written_certificate(source), |shown| shown.to_string());
    format!("source {} is at {}, certificate {certificate}", source.id, at(source))
}

fn at(source: &Source) -> String {
    let Source { server, port, datastore, namespace, .. } = source;
    format!("server {server}:{port}, datastore {datastore}{}", within(namespace.as_ref()))
}

fn within(namespace: Option<&impl Display>) -> String {
    namespace.map(|namespace| format!(", namespace {namespace}")).unwrap_or_default()
}

/// The same in an order's lines. The certificate stands first, since a long line is cut.
pub(super) fn in_short(source: &Source) -> String {
    format!("certificate {}, at {}", sources::written_certificate(source), at(source))
}

/// Of what is believed from an order on, the same.
pub(super) fn ordered(place: &OrderedPlace) -> String {
    let OrderedPlace { server, port, datastore, namespace, certificate } = place;
    let namespace = within(namespace.as_ref());
    format!("certificate {certificate}, at server {server}:{port}, datastore {datastore}{namespace}")
}

#[cfg(test)]
mod tests {
    use super::{super::made::source, *};
    use pbs_driver::failure::Silence;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn s56_the_order_names_all_that_a_source_is_and_the_fingerprint_that_was_seen() -> Tested {
        let (pinned, seen) = (Fingerprint::from_bytes([7; 32]), Fingerprint::from_bytes([9; 32]));
        let certificate = Failure::Certificate { expected: Some(pinned), presented: Some(seen) };
        let told = advice(&source("pbs.example")?, &certificate).unwrap_or_default();
        let order =
            "`repoint`: source pbs is at server pbs.example:8007, datastore store, namespace tenants/a, certificate";
        assert!(told.contains(&format!("{order} {seen}")) && told.contains("proxy.pem"), "{told}");
        // A name can be led elsewhere without an order, since the certificate decides; an address cannot.
        let silent = Failure::Unreachable { why: Silence::TimedOut };
        let told = advice(&source("pbs.example")?, &silent).unwrap_or_default();
        assert!(told.contains("/etc/hosts") && told.contains(&format!("{order} {pinned}")), "{told}");
        for address in ["192.0.2.1", "2001:db8::1"] {
            let told = advice(&source(address)?, &silent).unwrap_or_default();
            assert!(!told.contains("/etc/hosts") && told.contains("--repoint pbs=SERVER"), "{told}");
        }
        assert_eq!(advice(&source("pbs.example")?, &Failure::DiskFull), None);
        Ok(())
    }
}
