//! The hub's API for people, over TLS that believes one CA file and nothing else.

mod boxes;
mod orders;

use std::{error::Error as _, fs, io, num::NonZeroU64, time::Duration};

use reqwest::{Client, Method, StatusCode, Url, header, redirect::Policy};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Serialize, de::DeserializeOwned};
use tenwords_protocol::{
    boxes::{AddBoxRequest, ArmRequest, BoxList, BoxSummary, TicketReply},
    directives::{DirectiveHead, DirectiveList, EditRequest, StoredDirective},
    holdings::InventoryReply,
    id::BoxId,
    json,
    problem::{Problem, ProblemCode},
    ticket::Ticket,
};
use zeroize::Zeroizing;

use crate::{
    failure::{Failure, Kind},
    settings::Settings,
    token::Token,
};

/// A hub that was named by the operator, recognised by its CA.
#[derive(Debug)]
pub(crate) struct Hub {
    base: Url,
    client: Client,
    token: Token,
}

/// A refusal, with the hub's code where it gave one.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Option<ProblemCode>,
    pub(crate) failure: Failure,
}

/// Of any answer; ten thousand boxes with their newest headers are a fifth of it.
const LONGEST_ANSWER: usize = 64 << 20;
const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);

// === impl Hub ===

impl Hub {
    pub(crate) fn named_by(settings: &Settings) -> Result<Self, Failure> {
        let base = address(settings.hub()?)?;
        let roots = authorities(settings.ca()?)?;
        let token = Token::read(settings.token_file()?)?;
        let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .user_agent(concat!("tenwords/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::internal(format!("no client for the network: {error}")))?;
        Ok(Self { base, client, token })
    }

    pub(crate) async fn boxes(&self) -> Result<Vec<BoxSummary>, Refused> {
        let list: Result<BoxList, Refused> = self.ask(Method::GET, "/v1/boxes", None::<&()>).await;
        match list {
            Err(Refused { code: Some(ProblemCode::NotFound), failure }) => {
                let remedy = "is this the hub's address for people (8444), and not the one for agents?";
                Err(failure.with_remedy(remedy).into())
            }
            other => Ok(other?.boxes),
        }
    }

    pub(crate) async fn add_box(&self, request: &AddBoxRequest) -> Result<TicketReply, Refused> {
        let reply = self.ask(Method::POST, "/v1/boxes", Some(request)).await?;
        checked(reply, request.box_id)
    }

    pub(crate) async fn arm(&self, id: BoxId, request: &ArmRequest) -> Result<TicketReply, Refused> {
        let reply = self.ask(Method::POST, &format!("/v1/boxes/{id}/recovery"), Some(request)).await?;
        checked(reply, id)
    }

    pub(crate) async fn disarm(&self, id: BoxId) -> Result<(), Refused> {
        self.send(Method::DELETE, &format!("/v1/boxes/{id}/recovery"), None::<&()>).await?;
        Ok(())
    }

    /// A page of a box's directives, newest first, without their items.
    pub(crate) async fn directives(
        &self,
        id: BoxId,
        before: Option<NonZeroU64>,
    ) -> Result<Vec<DirectiveHead>, Refused> {
        let query = before.map(|number| format!("?before={number}")).unwrap_or_default();
        let path = format!("/v1/boxes/{id}/directives{query}");
        let list: DirectiveList = self.ask(Method::GET, &path, None::<&()>).await?;
        Ok(list.directives)
    }

    pub(crate) async fn directive(&self, id: BoxId, number: NonZeroU64) -> Result<StoredDirective, Refused> {
        let path = format!("/v1/boxes/{id}/directives/{number}");
        let stored: StoredDirective = self.ask(Method::GET, &path, None::<&()>).await?;
        let is_it = stored.head.number == number && stored.directive.number == number.get();
        if is_it {
            Ok(stored)
        } else {
            Err(Failure::internal("the hub gave another directive than was asked for").into())
        }
    }

    pub(crate) async fn edit_directive(&self, id: BoxId, request: &EditRequest) -> Result<StoredDirective, Refused> {
        self.ask(Method::POST, &format!("/v1/boxes/{id}/directives"), Some(request)).await
    }

    /// The last that a box said it had, if it ever said.
    pub(crate) async fn inventory(&self, id: BoxId) -> Result<Option<InventoryReply>, Refused> {
        match self.ask(Method::GET, &format!("/v1/boxes/{id}/inventory"), None::<&()>).await {
            Err(Refused { code: Some(ProblemCode::NotFound), .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Refused> {
        let text = self.send(method, path, body).await?;
        json::from_slice(&text).map_err(|error| {
            Refused::from(Failure::internal(format!("the hub's answer to {path} is not of a form known here: {error}")))
        })
    }

    /// Sends once. What changes something is never sent again by itself: the operator decides.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let url = self.base.join(path).map_err(|error| Failure::internal(format!("{path}: {error}")))?;
        let mut request = self.client.request(method, url).header(header::AUTHORIZATION, self.token.expose_header()?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|error| self.unreached(&error))?;
        let status = response.status();
        // A ticket may be in it: one buffer, of full size from the start where the size is told.
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(64 << 10);
        let mut text = Zeroizing::new(Vec::with_capacity(announced.min(1 << 20)));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreached(&error))? {
            if text.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Failure::internal("the hub's answer does not end: more than 64 MiB").into());
            }
            text.extend_from_slice(&chunk);
        }
        if status.is_success() { Ok(text) } else { Err(refused(status, &text)) }
    }

    /// Why there was no answer, in words, with the remedy for each cause.
    fn unreached(&self, error: &reqwest::Error) -> Failure {
        let hub = self.base.as_str().trim_end_matches('/');
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(inner) = cause {
            causes.push(inner);
            cause = match inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(wrapped) => Some(wrapped),
                None => inner.source(),
            };
        }
        if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return strange(hub, tls);
        }
        if error.is_timeout() {
            let what = format!("{hub} did not answer in time");
            return Failure::new(
                Kind::Unreachable,
                "timeout",
                what,
                "is the hub up, and does a firewall let you through?",
            );
        }
        let kind = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        let (what, remedy) = match kind {
            Some(io::ErrorKind::ConnectionRefused) => {
                ("nothing listens there", "is the hub started, and is the port right?")
            }
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => (
                "the connection was cut off",
                "is this the hub's address for people (8444), and not the one for agents?",
            ),
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                ("there is no way there", "check this machine's network")
            }
            _ if error.is_connect() => ("no connection", "check the name and this machine's network and name server"),
            _ => ("the answer broke off", "`tenwords box list` shows whether the hub has done it"),
        };
        Failure::new(Kind::Unreachable, "unreachable", format!("{hub} was not reached: {what}"), remedy)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { code: None, failure }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        refused.failure
    }
}

fn address(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| {
        url.scheme() == "https"
            && url.host().is_some()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    url.ok_or_else(|| {
        let what = format!("{:?} is not a hub's address", crate::show::clean(text));
        Failure::usage("hub_address", what, "it is https://, a name and a port: https://hub.example.net:8444")
    })
}

fn authorities(path: &std::path::Path) -> Result<RootCertStore, Failure> {
    let refused = |why: &str| {
        let what = format!("CA file {}: {why}", path.display());
        Failure::usage(
            "ca_file",
            what,
            "`tenwords-hub init` wrote server-ca.pem; copy it over a channel that you trust",
        )
    };
    let text = fs::read(path).map_err(|error| refused(&error.kind().to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| refused("it is not PEM"))?;
        roots.add(certificate).map_err(|_| refused("it holds something that is not a CA certificate"))?;
    }
    if roots.is_empty() { Err(refused("it holds no certificate")) } else { Ok(roots) }
}

fn strange(hub: &str, error: &rustls::Error) -> Failure {
    use rustls::{CertificateError, Error};
    let (what, remedy) = match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => (
            "its certificate is not signed by your CA file",
            "do not go on: either the CA file is of another hub, or this is not your hub; nothing was sent",
        ),
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            "its certificate is for another name",
            "use the name that the hub was made with (`tenwords-hub init --name`); nothing was sent",
        ),
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => (
            "its certificate is not valid at this time",
            "compare this machine's clock with the hub's; nothing was sent",
        ),
        Error::AlertReceived(_) => {
            ("it closed the handshake", "is this the hub's address for people (8444), and not the one for agents?")
        }
        _ => ("no TLS with it", "is this the hub's address for people (8444)? nothing was sent"),
    };
    Failure::new(Kind::Unreachable, "not_recognised", format!("{hub} was not recognised: {what}"), remedy)
}

fn refused(status: StatusCode, text: &[u8]) -> Refused {
    match json::from_slice::<Problem>(text) {
        Ok(problem) => Refused { failure: Failure::of_problem(&problem), code: Some(problem.code) },
        Err(_) => {
            let what = format!("the hub answered {} without a reason", status.as_u16());
            let failure = match status.as_u16() {
                401 | 403 => Failure::new(Kind::NotAuthorised, "refused", what, "check your token file"),
                502..=504 => Failure::new(Kind::Unreachable, "refused", what, "is the hub behind that proxy up?"),
                _ => Failure::internal(what),
            };
            failure.into()
        }
    }
}

/// A ticket for the box that was asked for, in two forms that are one ticket.
fn checked(reply: TicketReply, asked: BoxId) -> Result<TicketReply, Refused> {
    if reply.box_id != asked {
        return Err(Failure::internal("the hub answered with a ticket for another box; it was not shown").into());
    }
    let read = |text: &str| text.parse::<Ticket>();
    match (read(&reply.ticket.paste), read(&reply.ticket.typed)) {
        (Ok(paste), Ok(typed)) if *paste.expose_pasted() == *typed.expose_pasted() => Ok(reply),
        _ => Err(Failure::internal("the hub answered with a ticket that is none; it was not shown").into()),
    }
}
