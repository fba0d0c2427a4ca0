//! The hub, as the agent sees it: an address, a certificate, and the calls of `/v1`.
//!
//! What comes back is data. Nothing here decides that it is good.

mod calls;
mod nodes;
mod orders;

use std::{collections::BTreeMap, num::NonZeroU64, time::Duration};

use reqwest::{Method, StatusCode};
use rustls::{CertificateError, pki_types::CertificateDer};
use serde::{Serialize, de::DeserializeOwned};
use tenwords_protocol::{
    boxes::{PushReply, VersionList},
    bytes::Base64,
    directive::Directive,
    drill::{DrillReply, DrillRequest, NonceReply, NonceRequest},
    enroll::{EnrollReply, EnrollRequest},
    holdings::{InventoryReply, InventoryStored, MAX_HOLDINGS_BYTES},
    id::BoxId,
    json::{self, JsonError},
    part::PartName,
    problem::{Problem, ProblemCode},
    recovery::{CertificateEntry, CertificateList, ClaimReply, ClaimRequest, ProveReply},
    renew::{RenewReply, RenewRequest},
    report::{Report, ReportReply},
    ticket::{HubAddress, TicketSecret},
    v1::V1,
    version::{Bundle, BundleError, MAX_AGE_BYTES, StoredHeader},
    words::WordsProof,
};
use thiserror::Error;
use tokio::runtime::Runtime;

use crate::{
    exit::{Code, Stop},
    show::harmless,
    tls::{self, Certificate, Recognise},
};

const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);
/// A page of headers; one header has at most 256 parts.
const LIST_LIMIT: usize = 16 << 20;
/// Pages that are asked for at most: what a box pushed in years.
const MAX_PAGES: usize = 256;
/// Headers that are held of one box, and their parts: a year of the most that a hub takes.
const MAX_HEADERS: usize = 10_000;
const MAX_PARTS: usize = 100_000;
const REPLY_LIMIT: usize = 256 << 10;

/// A connection to one hub.
pub(crate) struct Hub {
    address: HubAddress,
    http: reqwest::Client,
    runtime: Runtime,
}

/// Why a call brought nothing.
#[derive(Debug, Error)]
pub(crate) enum HubError {
    /// What came back cannot be read.
    #[error("the hub's answer cannot be read")]
    Answer(#[source] JsonError),
    /// What we would send, or what came back, is no bundle.
    #[error("the version does not hold together")]
    Bundle(#[from] BundleError),
    /// The certificate is out of its time, by our clock.
    #[error("the hub's certificate is not valid at the time that this machine's clock shows")]
    Clock,
    /// It takes no more for now.
    #[error("the hub takes no more for now: {} (again in {} s)", harmless(.problem.detail.as_deref().unwrap_or(&.problem.title), 300), .after.as_secs())]
    Later {
        /// What it said.
        problem: Box<Problem>,
        /// When it takes more, by its own word, within a day.
        after: Duration,
    },
    /// No such thing there.
    #[error("the hub has no such thing")]
    NotFound,
    /// It refused.
    #[error("the hub refused: {} ({})", harmless(.0.detail.as_deref().unwrap_or(&.0.title), 300), .0.code)]
    Refused(Box<Problem>),
    /// This is not the hub that ticket or enrolment named.
    #[error(
        "what answers there is not the hub that was expected: its certificate is not one of the hub's own authority"
    )]
    Stranger,
    /// More than such an answer can have.
    #[error("the hub's answer is larger than such an answer can be")]
    TooLarge,
    /// TLS could not be set up.
    #[error("the connection to the hub cannot be set up")]
    Tls(#[source] rustls::Error),
    /// No answer.
    #[error("the hub at {0} does not answer")]
    Unreachable(HubAddress, #[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Hub {
    pub(crate) fn new(
        address: HubAddress,
        recognise: Recognise,
        certificate: Option<Certificate>,
    ) -> Result<Self, HubError> {
        let config = tls::client_config(recognise, certificate).map_err(HubError::Tls)?;
        let unreachable =
            |error: Box<dyn std::error::Error + Send + Sync>| HubError::Unreachable(address.clone(), error);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .user_agent(concat!("tenwords-agent/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| unreachable(Box::new(error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unreachable(Box::new(error)))?;
        Ok(Self { address, http, runtime })
    }

    pub(crate) fn address(&self) -> &HubAddress {
        &self.address
    }

    pub(crate) fn enroll(&self, ticket: TicketSecret, csr: Vec<u8>, hostname: String) -> Result<EnrollReply, HubError> {
        let request = EnrollRequest { v: V1, ticket, csr: Base64(csr), hostname };
        self.post("/v1/enroll", &request)
    }

    pub(crate) fn claim(&self, ticket: TicketSecret, csr: Vec<u8>) -> Result<ClaimReply, HubError> {
        self.post("/v1/recovery/claim", &ClaimRequest { v: V1, ticket, csr: Base64(csr) })
    }

    pub(crate) fn prove(&self, proof: &WordsProof) -> Result<ProveReply, HubError> {
        self.post("/v1/recovery/prove", proof)
    }

    /// The node's next certificate.
    pub(crate) fn renew(&self, box_id: BoxId, csr: Vec<u8>) -> Result<RenewReply, HubError> {
        self.post(&format!("/v1/boxes/{box_id}/certificate"), &RenewRequest { v: V1, csr: Base64(csr) })
    }

    /// A nonce for one drill's proof.
    pub(crate) fn drill_nonce(&self, box_id: BoxId) -> Result<NonceReply, HubError> {
        self.post(&format!("/v1/boxes/{box_id}/drills/nonce"), &NonceRequest { v: V1 })
    }

    /// Has a drill written down.
    pub(crate) fn drill(&self, box_id: BoxId, drill: &DrillRequest) -> Result<DrillReply, HubError> {
        self.post(&format!("/v1/boxes/{box_id}/drills"), drill)
    }

    pub(crate) fn push(&self, box_id: BoxId, bundle: &Bundle) -> Result<PushReply, HubError> {
        let path = format!("/v1/boxes/{box_id}/versions");
        let reply =
            self.call(Method::POST, &path, Some((bundle.to_text()?, "text/plain; charset=utf-8")), REPLY_LIMIT)?;
        read(&reply)
    }

    /// A page of headers, newest first: those below `before`. Empty at the end.
    pub(crate) fn page(&self, box_id: BoxId, before: Option<NonZeroU64>) -> Result<Vec<StoredHeader>, HubError> {
        let query = before.map(|number| format!("?before={number}")).unwrap_or_default();
        let reply = self.call(Method::GET, &format!("/v1/boxes/{box_id}/versions{query}"), None, LIST_LIMIT)?;
        let VersionList { mut versions, .. } = read(&reply)?;
        // The order, and that it goes down, is not left to the hub.
        versions.retain(|version| before.is_none_or(|before| version.number < before));
        versions.sort_by_key(|version| std::cmp::Reverse(version.number));
        Ok(versions)
    }

    /// The newest headers, until `enough` says so or there are no more.
    pub(crate) fn versions_until(
        &self,
        box_id: BoxId,
        enough: impl FnMut(&[StoredHeader]) -> bool,
    ) -> Result<Vec<StoredHeader>, HubError> {
        collected(|before| self.page(box_id, before), enough)
    }

    /// One header by its number, if the box has such a version.
    pub(crate) fn version(&self, box_id: BoxId, number: NonZeroU64) -> Result<Option<StoredHeader>, HubError> {
        absent(self.call(Method::GET, &format!("/v1/boxes/{box_id}/versions/{number}"), None, REPLY_LIMIT))?
            .map(|reply| read(&reply))
            .transpose()
            .map(|stored: Option<StoredHeader>| stored.filter(|stored| stored.number == number))
    }

    /// The parts of a version, none longer than its header says; their content is the caller's to judge.
    pub(crate) fn parts(&self, box_id: BoxId, version: &StoredHeader) -> Result<BTreeMap<PartName, Vec<u8>>, HubError> {
        version
            .header
            .parts()
            .iter()
            .map(|entry| {
                let limit = usize::try_from(entry.size).unwrap_or(MAX_AGE_BYTES).min(MAX_AGE_BYTES);
                Ok((entry.name, self.part(box_id, version.number, entry.name, limit)?))
            })
            .collect()
    }

    fn part(&self, box_id: BoxId, number: NonZeroU64, name: PartName, limit: usize) -> Result<Vec<u8>, HubError> {
        self.call(Method::GET, &format!("/v1/boxes/{box_id}/versions/{number}/parts/{name}"), None, limit)
    }

    /// The certificates that the hub has given for the box.
    pub(crate) fn certificates(&self, box_id: BoxId) -> Result<Vec<CertificateEntry>, HubError> {
        let reply = self.call(Method::GET, &format!("/v1/boxes/{box_id}/certificates"), None, REPLY_LIMIT)?;
        read(&reply).map(|CertificateList { certificates, .. }| certificates)
    }

    /// What the hub suggests to restore, if anything.
    pub(crate) fn directive(&self, box_id: BoxId) -> Result<Option<Directive>, HubError> {
        absent(self.call(Method::GET, &format!("/v1/boxes/{box_id}/directive"), None, REPLY_LIMIT))?
            .map(|reply| read(&reply))
            .transpose()
    }

    /// Leaves there what the box has, with the version that was stored.
    pub(crate) fn send_inventory(&self, box_id: BoxId, version: NonZeroU64, text: Vec<u8>) -> Result<(), HubError> {
        let path = format!("/v1/boxes/{box_id}/versions/{version}/inventory");
        let reply = self.call(Method::POST, &path, Some((text, "application/json")), REPLY_LIMIT)?;
        read::<InventoryStored>(&reply).map(drop)
    }

    /// The last that the box said it had, if it ever said.
    pub(crate) fn inventory(&self, box_id: BoxId) -> Result<Option<InventoryReply>, HubError> {
        // The text itself, and what the hub says beside it.
        let limit = MAX_HOLDINGS_BYTES + REPLY_LIMIT;
        absent(self.call(Method::GET, &format!("/v1/boxes/{box_id}/inventory"), None, limit))?
            .map(|reply| read(&reply))
            .transpose()
    }

    /// Says how this node and its box are, and hears how the box stands.
    pub(crate) fn report(&self, box_id: BoxId, report: &Report) -> Result<ReportReply, HubError> {
        self.post(&format!("/v1/boxes/{box_id}/reports"), report)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, request: &impl Serialize) -> Result<T, HubError> {
        let body = json::to_vec(request).map_err(HubError::Answer)?;
        read(&self.call(Method::POST, path, Some((body, "application/json")), REPLY_LIMIT)?)
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(Vec<u8>, &'static str)>,
        limit: usize,
    ) -> Result<Vec<u8>, HubError> {
        let (host, port) = self.address.host_and_port();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut request = self.http.request(method, format!("https://{host}:{port}{path}"));
        if let Some((body, kind)) = body {
            request = request.header("content-type", kind).body(body);
        }
        self.runtime.block_on(async {
            let mut response = request.send().await.map_err(|error| self.no_answer(error))?;
            let status = response.status();
            let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| self.no_answer(error))? {
                if bytes.len() + chunk.len() > limit {
                    return Err(HubError::TooLarge);
                }
                bytes.extend_from_slice(&chunk);
            }
            if status.is_success() { Ok(bytes) } else { Err(refusal(status, after, &bytes)) }
        })
    }

    fn no_answer(&self, error: reqwest::Error) -> HubError {
        match certificate_error(&error) {
            Some(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => HubError::Clock,
            Some(_) => HubError::Stranger,
            None => HubError::Unreachable(self.address.clone(), Box::new(error.without_url())),
        }
    }
}

/// Page after page, within what a box can have.
fn collected(
    mut page: impl FnMut(Option<NonZeroU64>) -> Result<Vec<StoredHeader>, HubError>,
    mut enough: impl FnMut(&[StoredHeader]) -> bool,
) -> Result<Vec<StoredHeader>, HubError> {
    let mut versions: Vec<StoredHeader> = Vec::new();
    let mut parts = 0_usize;
    let mut before = None;
    for _ in 0..=MAX_PAGES {
        let more = page(before)?;
        parts = parts.saturating_add(more.iter().map(|stored| stored.header.parts().len()).sum());
        if versions.len() + more.len() > MAX_HEADERS || parts > MAX_PARTS {
            return Err(HubError::TooLarge);
        }
        let Some(last) = more.last() else { break };
        before = Some(last.number);
        versions.extend(more);
        if enough(&versions) {
            break;
        }
    }
    Ok(versions)
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HubError> {
    json::from_slice(bytes).map_err(HubError::Answer)
}

fn absent(reply: Result<Vec<u8>, HubError>) -> Result<Option<Vec<u8>>, HubError> {
    match reply {
        Ok(bytes) => Ok(Some(bytes)),
        Err(HubError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn refusal(status: StatusCode, after: Option<u64>, body: &[u8]) -> HubError {
    if status == StatusCode::NOT_FOUND {
        return HubError::NotFound;
    }
    let problem = json::from_slice::<Problem>(body).unwrap_or_else(|_| {
        Problem::new(ProblemCode::Unknown(String::new()), format!("it answered {status} without saying why"))
    });
    let problem = Box::new(problem);
    match (status, after) {
        // A hub may say anything: nobody is kept waiting for more than a day by it.
        (StatusCode::TOO_MANY_REQUESTS, Some(after)) => {
            HubError::Later { problem, after: Duration::from_secs(after.clamp(1, 24 * 3600)) }
        }
        _ => HubError::Refused(problem),
    }
}

fn certificate_error(error: &(dyn std::error::Error + 'static)) -> Option<CertificateError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
            return Some(reason.clone());
        }
        // The source of an I/O error is that of the error it wraps, which itself would be passed over.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    None
}

/// The hub's own certificate authority, as a certificate.
pub(crate) fn authority(server_ca: &Base64) -> CertificateDer<'static> {
    CertificateDer::from(server_ca.0.clone())
}

impl From<HubError> for Stop {
    fn from(error: HubError) -> Self {
        let (code, remedy) = match &error {
            HubError::Answer(_) | HubError::Bundle(_) | HubError::TooLarge | HubError::NotFound => {
                (Code::GateRefused, "the hub is damaged or of another version; tell its operator")
            }
            HubError::Clock => {
                (Code::Preflight, "set this machine's clock (`timedatectl`), then run the same command again")
            }
            HubError::Later { .. } => (Code::Unreachable, "wait a little and run the same command again"),
            HubError::Refused(problem) => match problem.code {
                ProblemCode::TicketRefused => (
                    Code::NotAuthorised,
                    "the ticket is mistyped, used by another machine, or its time has run out: ask the operator for a new one",
                ),
                ProblemCode::Unauthenticated | ProblemCode::Forbidden | ProblemCode::ProofRefused => (
                    Code::NotAuthorised,
                    "ask the hub's operator what has become of this box; in the midst of a recovery, to arm this \
                         recovery anew: with the new ticket the same command goes on where it was",
                ),
                ProblemCode::CertificateExpired => (Code::NotAuthorised, EXPIRED),
                ProblemCode::CertificateRevoked => (Code::NotAuthorised, REVOKED),
                ProblemCode::BoxRetired => (Code::NotAuthorised, RETIRED),
                ProblemCode::RateLimited | ProblemCode::Unavailable => {
                    (Code::Unreachable, "wait a little and run the same command again")
                }
                _ => (Code::Internal, "tell the hub's operator the words above"),
            },
            HubError::Stranger => (
                Code::GateRefused,
                "check the hub's name in the ticket with the operator by telephone; nothing was sent there but our greeting",
            ),
            HubError::Tls(_) => (Code::Internal, "the certificate that this agent keeps is damaged: enrol again"),
            HubError::Unreachable(..) => (
                Code::Unreachable,
                "check this machine's network, and that the hub is up; then run the same command again",
            ),
        };
        let what = error.to_string();
        let stop = Self::new(code, what).remedy(remedy);
        match std::error::Error::source(&error) {
            Some(_) => stop.because(Inner(error)),
            None => stop,
        }
    }
}

/// For a machine whose certificate has ended.
const EXPIRED: &str = "run `tenwords-agent renew --now`; if that is refused too, ask the operator for a ticket \
     (`tenwords box ticket`) and run `tenwords-agent enroll --again`; in the midst of a recovery, ask him to \
     arm this recovery anew: with the new ticket the same command goes on where it was";

/// For a node of a box that was retired.
const RETIRED: &str = "nothing of this box is escrowed any more; if that is a mistake, the hub's operator can take it \
     back (`tenwords box retire NAME --undo`), and with a ticket of his (`tenwords box ticket`) `tenwords-agent enroll \
     --again` makes this machine a node of it again";

/// For a machine that is the box no more.
pub(crate) const REVOKED: &str = "start none of the box's guests on this machine, also not with the machine itself \
     (`pct set N --onboot 0`, `qm set N --onboot 0`), or switch it off; ask the hub's operator if you did not know";

/// The causes below a [`HubError`] whose own words are said already.
#[derive(Debug)]
struct Inner(HubError);

impl std::fmt::Display for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match std::error::Error::source(&self.0) {
            Some(source) => std::fmt::Display::fmt(source, f),
            None => std::fmt::Display::fmt(&self.0, f),
        }
    }
}

impl std::error::Error for Inner {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)?.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// A page of so many headers below a number.
    fn page(below: Option<NonZeroU64>, length: u64) -> Result<Vec<StoredHeader>, HubError> {
        let one: StoredHeader = read(include_bytes!("../../protocol/tests/golden/header-stored.json"))?;
        let below = below.map_or(u64::MAX, NonZeroU64::get);
        let numbers = (1..=length).filter_map(|back| NonZeroU64::new(below.saturating_sub(back)));
        Ok(numbers.map(|number| StoredHeader { number, ..one.clone() }).collect())
    }

    #[test]
    fn pages_are_asked_for_until_it_is_enough_and_a_hub_that_has_no_end_is_told() -> Tested {
        let mut asked = 0;
        let found = collected(
            |before| {
                asked += 1;
                page(before, 100)
            },
            |so_far| so_far.len() >= 250,
        )?;
        assert_eq!((found.len(), asked), (300, 3));
        assert!(found.windows(2).all(|pair| pair[0].number > pair[1].number));
        let few = collected(|before| if before.is_none() { page(None, 7) } else { Ok(Vec::new()) }, |_| false)?;
        assert_eq!(few.len(), 7, "there are no more");
        for length in [100, 9_999, 10_001] {
            let endless = collected(|before| page(before, length), |_| false);
            assert!(matches!(endless, Err(HubError::TooLarge)), "pages of {length}");
        }
        // Never more pages than a box has pushed in years, however short they are.
        assert_eq!(collected(|before| page(before, 1), |_| false)?.len(), MAX_PAGES + 1);
        Ok(())
    }
}
