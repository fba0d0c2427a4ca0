//! Where a person says that a source is now. Nobody is believed for it: it is what an order is asked for with.

use std::{num::NonZeroU16, str::FromStr};

use pbs_driver::repository::Host;
use tenwords_escrow::root::{ServerName, Source};
use tenwords_protocol::{
    directive::{Name, Namespace},
    fingerprint::Fingerprint,
    order::{Line, OrderedPlace},
};

/// How it is written.
const SPELLING: &str = "ID=SERVER[:PORT][:DATASTORE[/NAMESPACE]] was expected, an IPv6 address in brackets";

/// `ID=SERVER[:PORT][:DATASTORE[/NAMESPACE]]`. What is left out is as the escrow says; `DATASTORE/` is that
/// datastore's root.
#[derive(Debug, Clone)]
pub(crate) struct Elsewhere {
    source: Name,
    host: Host,
    server: Line,
    port: Option<NonZeroU16>,
    store: Option<Store>,
}

#[derive(Debug, Clone)]
struct Store {
    datastore: Name,
    /// `None` if it was left out.
    namespace: Option<Option<Namespace>>,
}

impl Elsewhere {
    /// Of which source it is said.
    pub(super) fn source(&self) -> &Name {
        &self.source
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn port(&self, of: &Source) -> NonZeroU16 {
        self.port.unwrap_or(of.port)
    }

    /// The whole place, for a server that shows this certificate.
    pub(super) fn place(&self, of: &Source, certificate: Fingerprint) -> OrderedPlace {
        let datastore = self.store.as_ref().map_or(&of.datastore, |store| &store.datastore);
        let namespace = self.store.as_ref().and_then(|store| store.namespace.as_ref()).unwrap_or(&of.namespace);
        OrderedPlace {
            server: self.server.clone(),
            port: self.port(of),
            datastore: datastore.clone(),
            namespace: namespace.clone(),
            certificate,
        }
    }

    /// Whether the escrow says so as well, certificate aside.
    pub(super) fn is_where(&self, source: &Source) -> bool {
        let place = self.place(source, Fingerprint::from_bytes([0; 32]));
        place.server.as_str() == source.server.as_str()
            && place.port == source.port
            && place.datastore == source.datastore
            && place.namespace == source.namespace
    }
}

impl FromStr for Elsewhere {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spelling = || SPELLING.to_owned();
        let (source, place) = text.split_once('=').ok_or_else(spelling)?;
        let source = source.parse().map_err(|error| format!("{error}"))?;
        let end = match place.strip_prefix('[') {
            Some(address) => address.find(']').map(|end| end + 2).ok_or_else(spelling)?,
            None => place.find(':').unwrap_or(place.len()),
        };
        let (host, rest) = place.split_at(end);
        let host: Host = host.parse().map_err(|error| format!("{error}"))?;
        host.name().parse::<ServerName>().map_err(|error| format!("{error}"))?;
        let server = host.name().parse().map_err(|error| format!("{error}"))?;
        let mut parts = match rest {
            "" => Vec::new(),
            rest => rest.strip_prefix(':').ok_or_else(spelling)?.splitn(2, ':').collect(),
        };
        // A datastore whose name is a number is named behind the port.
        let port = match parts.first() {
            Some(first) if parts.len() == 2 || first.bytes().all(|byte| byte.is_ascii_digit()) => {
                let port = first.parse().map_err(|_| spelling())?;
                parts.remove(0);
                Some(port)
            }
            _ => None,
        };
        let store = parts.first().map(|part| Store::parse(part)).transpose()?;
        Ok(Self { source, host, server, port, store })
    }
}

impl Store {
    fn parse(text: &str) -> Result<Self, String> {
        let (datastore, namespace) = match text.split_once('/') {
            Some((datastore, "")) => (datastore, Some(None)),
            Some((datastore, namespace)) => {
                (datastore, Some(Some(namespace.parse().map_err(|error| format!("{error}"))?)))
            }
            None => (text, None),
        };
        Ok(Self { datastore: datastore.parse().map_err(|error| format!("{error}"))?, namespace })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made, *};

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn what_is_left_out_is_as_the_escrow_says() -> Tested {
        let source = made::source("old.example")?;
        for (text, told) in [
            ("pbs=new.example", "new.example 8007 store tenants/a"),
            ("pbs=new.example:443", "new.example 443 store tenants/a"),
            ("pbs=new.example:other", "new.example 8007 other tenants/a"),
            ("pbs=new.example:other/", "new.example 8007 other -"),
            ("pbs=new.example:443:2026/b/c", "new.example 443 2026 b/c"),
            ("pbs=[2001:db8::1]:443:other", "2001:db8::1 443 other tenants/a"),
            ("pbs=192.0.2.1", "192.0.2.1 8007 store tenants/a"),
        ] {
            let elsewhere: Elsewhere = text.parse()?;
            let OrderedPlace { server, port, datastore, namespace, .. } =
                elsewhere.place(&source, Fingerprint::from_bytes([9; 32]));
            let namespace = namespace.map_or("-".to_owned(), |namespace| namespace.to_string());
            assert_eq!(format!("{server} {port} {datastore} {namespace}"), told, "{text}");
            assert!(!elsewhere.is_where(&source), "{text}");
        }
        assert!("pbs=old.example:8007:store".parse::<Elsewhere>()?.is_where(&source));
        for text in [
            "pbs",
            "=x",
            "pbs=",
            "a/b=x",
            "pbs=2001:db8::1",
            "pbs=[2001:db8::1",
            "pbs=[2001:db8::1]x",
            "pbs=x:0",
            "pbs=x:65536",
            "pbs=x:",
            "pbs=x:/a",
            "pbs=x:1:",
            "pbs=x:1:s:t",
            "pbs=-x",
            "pbs=x y",
        ] {
            assert!(text.parse::<Elsewhere>().is_err(), "{text}");
        }
        Ok(())
    }
}
