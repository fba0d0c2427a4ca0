//! Operators and machines, as clients of a hub.

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use reqwest::{Method, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use tenwords_hub::clock::Clock as _;
use tenwords_protocol::{
    bounded::{List, Text},
    boxes::{AddBoxRequest, ArmRequest, BoxList, BoxSummary, PushReply, TicketReply},
    bytes::Base64,
    drill::{DrillReply, DrillRequest, DrilledArchive, NonceReply, NonceRequest},
    enroll::{EnrollReply, EnrollRequest},
    hash::Sha256,
    id::{BoxId, NodeId},
    nodes::TicketRequest,
    problem::{MEDIA_TYPE, Problem, ProblemCode},
    recovery::{ClaimReply, ClaimRequest, ProveReply},
    ticket::Ticket,
    v1::V1,
    version::Bundle,
    words::{Nonce, Purpose, WordsProof},
};

use super::{TestHub, Words};

/// A refusal, as it came.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) problem: Problem,
    pub(crate) retry_after: Option<u64>,
}

/// The answer's refusal, which must be a problem document of this code.
pub(crate) async fn expect_problem(response: Response, code: ProblemCode) -> Refused {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (media_type, retry_after) = (header("content-type"), header("retry-after"));
    let text = response.text().await.unwrap();
    assert_eq!(media_type.as_deref(), Some(MEDIA_TYPE), "{status}: {text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.code, code, "{text}");
    assert_eq!((problem.status, status.as_u16()), (code.status(), code.status()), "{text}");
    Refused { status, problem, retry_after: retry_after.and_then(|seconds| seconds.parse().ok()) }
}

pub(crate) async fn expect<T: DeserializeOwned>(response: Response, status: StatusCode) -> T {
    let found = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(found, status, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Somebody with a token.
pub(crate) struct Operator {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Operator {
    pub(crate) fn of(hub: &TestHub) -> Self {
        Self::with_token(hub, &hub.token)
    }

    pub(crate) fn with_token(hub: &TestHub, token: &str) -> Self {
        Self { client: hub.client(None), base: format!("https://{}", hub.people), token: token.to_owned() }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        match body {
            Some(body) => request.json(body),
            None => request,
        }
        .send()
        .await
        .unwrap()
    }

    pub(crate) async fn add(&self, box_id: BoxId, name: &str) -> Ticket {
        let request = AddBoxRequest { v: V1, box_id, name: name.to_owned(), customer: None, for_days: None };
        let response = self.send(Method::POST, "/v1/boxes", Some(&request)).await;
        ticket(&expect(response, StatusCode::CREATED).await)
    }

    pub(crate) async fn boxes(&self) -> Vec<BoxSummary> {
        let response = self.send(Method::GET, "/v1/boxes", None::<&()>).await;
        expect::<BoxList>(response, StatusCode::OK).await.boxes
    }

    pub(crate) async fn show(&self, box_id: BoxId) -> BoxSummary {
        self.boxes().await.into_iter().find(|found| found.box_id == box_id).unwrap()
    }

    pub(crate) async fn try_arm(&self, box_id: BoxId, change: impl FnOnce(&mut ArmRequest)) -> Response {
        let mut request = ArmRequest {
            v: V1,
            reason: "the house burnt".to_owned(),
            minutes: 120,
            rehearsal: false,
            stolen: false,
            lost_at: None,
            confirm_alive: true,
        };
        change(&mut request);
        self.send(Method::POST, &format!("/v1/boxes/{box_id}/recovery"), Some(&request)).await
    }

    pub(crate) async fn arm(&self, box_id: BoxId, change: impl FnOnce(&mut ArmRequest)) -> Ticket {
        ticket(&expect(self.try_arm(box_id, change).await, StatusCode::CREATED).await)
    }

    /// A ticket of a box that exists.
    pub(crate) async fn ticket(&self, box_id: BoxId) -> Ticket {
        self.ticket_for(box_id, None).await
    }

    /// A ticket of a box that exists, to install this host of it anew.
    pub(crate) async fn reinstall(&self, box_id: BoxId, hostname: &str) -> Ticket {
        self.ticket_for(box_id, Some(hostname)).await
    }

    async fn ticket_for(&self, box_id: BoxId, hostname: Option<&str>) -> Ticket {
        let request = TicketRequest { v: V1, for_days: None, end_others: false, hostname: hostname.map(Text::cut) };
        let response = self.send(Method::POST, &format!("/v1/boxes/{box_id}/tickets"), Some(&request)).await;
        ticket(&expect(response, StatusCode::CREATED).await)
    }

    pub(crate) async fn disarm(&self, box_id: BoxId) -> Response {
        self.send(Method::DELETE, &format!("/v1/boxes/{box_id}/recovery"), None::<&()>).await
    }
}

/// Both forms are one ticket.
pub(crate) fn ticket(reply: &TicketReply) -> Ticket {
    let (pasted, typed) = (reply.ticket.paste.parse::<Ticket>(), reply.ticket.typed.parse::<Ticket>());
    let pasted = pasted.unwrap();
    assert_eq!(*pasted.expose_typed(), *typed.unwrap().expose_typed());
    pasted
}

/// One machine: a key, and from some time on a certificate.
pub(crate) struct Machine {
    pub(crate) key: KeyPair,
    pub(crate) hostname: String,
    pub(crate) box_id: Option<BoxId>,
    pub(crate) node_id: Option<NodeId>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) nonce: Option<Nonce>,
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
}

impl Machine {
    pub(crate) fn new(hub: &TestHub) -> Self {
        Self {
            key: KeyPair::generate().unwrap(),
            hostname: "pve1.example".to_owned(),
            box_id: None,
            node_id: None,
            certificate: Vec::new(),
            nonce: None,
            client: hub.client(None),
            base: format!("https://{}", hub.agents),
        }
    }

    /// A look at the hub as it runs now, after a restart.
    pub(crate) fn again(&mut self, hub: &TestHub) {
        self.base = format!("https://{}", hub.agents);
        self.client = hub.client(Some((&self.certificate, &self.key)));
    }

    /// Its own clock stays where it is: to this machine the hub's certificate does not end.
    pub(crate) fn by_its_own_clock(&mut self, hub: &TestHub) {
        let clock = super::ManualClock::at(hub.clock.now());
        self.client = hub.client_by(clock, Some((&self.certificate, &self.key)));
    }

    pub(crate) fn csr(&self) -> Base64 {
        let params = CertificateParams::new(vec!["pve1".to_owned()]).unwrap();
        Base64(params.serialize_request(&self.key).unwrap().der().to_vec())
    }

    pub(crate) fn spki_sha256(&self) -> Sha256 {
        Sha256::of(&self.key.subject_public_key_info())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn send(&self, method: Method, path: &str) -> Response {
        self.client.request(method, self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path).await
    }

    pub(crate) fn of_box(&self, rest: &str) -> String {
        format!("/v1/boxes/{}{rest}", self.box_id.unwrap())
    }

    pub(crate) async fn try_enroll(&self, ticket: &Ticket) -> Response {
        let request = EnrollRequest {
            v: V1,
            ticket: again(ticket).into_secret(),
            csr: self.csr(),
            hostname: self.hostname.clone(),
        };
        self.client.post(self.url("/v1/enroll")).json(&request).send().await.unwrap()
    }

    pub(crate) async fn enroll(&mut self, hub: &TestHub, ticket: &Ticket) -> EnrollReply {
        let reply: EnrollReply = expect(self.try_enroll(ticket).await, StatusCode::OK).await;
        self.is_now(hub, reply.box_id, reply.node_id, &reply.certificate);
        reply
    }

    pub(crate) async fn try_claim(&self, ticket: &Ticket) -> Response {
        let request = ClaimRequest { v: V1, ticket: again(ticket).into_secret(), csr: self.csr() };
        self.client.post(self.url("/v1/recovery/claim")).json(&request).send().await.unwrap()
    }

    pub(crate) async fn claim(&mut self, hub: &TestHub, ticket: &Ticket) -> ClaimReply {
        let reply: ClaimReply = expect(self.try_claim(ticket).await, StatusCode::OK).await;
        self.is_now(hub, reply.box_id, reply.node_id, &reply.certificate);
        self.nonce = Some(reply.nonce);
        reply
    }

    pub(crate) fn is_now(&mut self, hub: &TestHub, box_id: BoxId, node_id: NodeId, certificate: &Base64) {
        self.box_id = Some(box_id);
        self.node_id = Some(node_id);
        self.certificate = certificate.0.clone();
        self.client = hub.client(Some((&self.certificate, &self.key)));
    }

    pub(crate) fn proof(&self, hub: &TestHub, words: Words, version: u64) -> WordsProof {
        let (box_id, nonce) = (self.box_id.unwrap(), self.nonce.unwrap());
        words.prove(box_id, version, nonce, hub.clock.now(), self.spki_sha256(), Purpose::Recover)
    }

    pub(crate) async fn try_prove(&self, proof: &WordsProof) -> Response {
        self.client.post(self.url("/v1/recovery/prove")).json(proof).send().await.unwrap()
    }

    pub(crate) async fn prove(&mut self, hub: &TestHub, words: Words, version: u64) -> ProveReply {
        let reply: ProveReply = expect(self.try_prove(&self.proof(hub, words, version)).await, StatusCode::OK).await;
        if let Some(certificate) = &reply.certificate {
            self.certificate = certificate.0.clone();
            self.client = hub.client(Some((&self.certificate, &self.key)));
        }
        reply
    }

    pub(crate) async fn try_push_text(&self, path: &str, text: Vec<u8>) -> Response {
        self.client.post(self.url(path)).body(text).send().await.unwrap()
    }

    pub(crate) async fn try_push(&self, bundle: &Bundle) -> Response {
        self.try_push_text(&self.of_box("/versions"), bundle.to_text().unwrap()).await
    }

    pub(crate) async fn push(&self, bundle: &Bundle) -> PushReply {
        expect(self.try_push(bundle).await, StatusCode::CREATED).await
    }

    pub(crate) async fn drill_nonce(&self) -> Nonce {
        let path = self.url(&self.of_box("/drills/nonce"));
        let response = self.client.post(path).json(&NonceRequest { v: V1 }).send().await.unwrap();
        expect::<NonceReply>(response, StatusCode::OK).await.nonce
    }

    /// A drill of this box with this nonce: of the words, or of an archive.
    pub(crate) fn drill_with(
        &self,
        hub: &TestHub,
        nonce: Nonce,
        (words, version): (Words, u64),
        archive: Option<DrilledArchive>,
    ) -> DrillRequest {
        let purpose = if archive.is_some() { Purpose::DrillArchive } else { Purpose::DrillWords };
        let now = hub.clock.now();
        let proof = words.prove(self.box_id.unwrap(), version, nonce, now, self.spki_sha256(), purpose);
        DrillRequest { v: V1, proof, phases: List::default(), archive }
    }

    pub(crate) async fn try_drill(&self, request: &impl Serialize) -> Response {
        self.client.post(self.url(&self.of_box("/drills"))).json(request).send().await.unwrap()
    }

    pub(crate) async fn drill(&self, hub: &TestHub, words: Words, archive: Option<DrilledArchive>) -> DrillReply {
        let request = self.drill_with(hub, self.drill_nonce().await, (words, 1), archive);
        expect(self.try_drill(&request).await, StatusCode::CREATED).await
    }

    /// The certificate's serial number, as the store has it.
    pub(crate) fn serial(&self) -> String {
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.certificate).unwrap();
        parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the certificate still reads its box's versions.
    pub(crate) async fn reads(&self) -> bool {
        self.get(&self.of_box("/versions")).await.status() == StatusCode::OK
    }
}

/// The same ticket once more: the protocol's own type can be used once.
fn again(ticket: &Ticket) -> Ticket {
    ticket.expose_pasted().parse().unwrap()
}

/// A box that has enrolled and pushed one ceremony version, with the words of this number.
pub(crate) async fn enrolled_box(hub: &TestHub, name: &str, words: Words) -> (BoxId, Machine) {
    let box_id = BoxId::random(&mut rand::rand_core::UnwrapErr(rand::rngs::SysRng));
    let ticket = Operator::of(hub).add(box_id, name).await;
    let mut machine = Machine::new(hub);
    machine.enroll(hub, &ticket).await;
    machine.push(&super::ceremony(box_id, 1, words)).await;
    (box_id, machine)
}
