//! The boxes: added, enrolled, with an escrow; and at the end what the hub has of each.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU64,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use rcgen::{CertificateParams, KeyPair};
use sha2::Digest as _;
use tenwords_protocol::{
    boxes::{AddBoxRequest, BoxList, PushReply, TicketReply},
    bytes::{Base64, Base64Array},
    enroll::{EnrollReply, EnrollRequest},
    fingerprint::Fingerprint,
    hash::Sha256,
    id::{BoxId, CodeId},
    part::PartName,
    readiness::ReasonCode,
    ticket::Ticket,
    time::Timestamp,
    v1::V1,
    version::{Bundle, Grade, Header, HeaderFacts, Kind},
};
use tokio::{sync::Semaphore, task::JoinSet};
use zeroize::Zeroizing;

use super::{
    Load,
    caller::{Door, Identity, ask, post},
    figures::Held,
};
use crate::world::Hub;

/// All of them.
pub(super) struct Fleet {
    pub(super) door: Door,
    pub(super) boxes: Vec<Member>,
}

/// One of them.
pub(super) struct Member {
    pub(super) number: u16,
    pub(super) box_id: BoxId,
    pub(super) code_id: CodeId,
    pub(super) identity: Identity,
    /// The last version that was acknowledged, and its number.
    pub(super) newest: (NonZeroU64, Header),
}

impl Fleet {
    /// Adds and enrols them, and stores a ceremony of each.
    pub(super) async fn enrol(hub: &Hub, load: Load) -> Result<Self> {
        let door = Door::of(hub)?;
        let token: Arc<Zeroizing<String>> = Arc::new(hub.expose_admin_token()?);
        let (operator, places) = (door.client(None, None)?, Arc::new(Semaphore::new(load.at_once)));
        let mut joining = JoinSet::new();
        for number in 0..load.boxes {
            let (door, token, operator, places) =
                (door.clone(), Arc::clone(&token), operator.clone(), Arc::clone(&places));
            joining.spawn(async move {
                let _place = places.acquire_owned().await?;
                Member::join(number, &door, &operator, &token).await
            });
        }
        let mut boxes = Vec::with_capacity(usize::from(load.boxes));
        while let Some(joined) = joining.join_next().await {
            boxes.push(joined??);
        }
        Ok(Self { door, boxes })
    }

    /// What the hub has of each, by the operators' list.
    pub(super) async fn compare(&self, hub: &Hub) -> Result<Held> {
        let (door, token, begun) = (Door::of(hub)?, hub.expose_admin_token()?, Instant::now());
        let request = door.client(None, None)?.get(door.of_people("/v1/boxes")).bearer_auth(&*token);
        let list: BoxList = ask(request).await?;
        let mut held = Held { listed_in: begun.elapsed(), ..Held::default() };
        let all: BTreeMap<BoxId, _> = list.boxes.into_iter().map(|summary| (summary.box_id, summary)).collect();
        for member in &self.boxes {
            let (number, header) = &member.newest;
            held.acknowledged += number.get();
            let Some(found) = all.get(&member.box_id) else {
                held.lost.push(member.name());
                continue;
            };
            held.versions += found.versions;
            if found.newest.as_ref().is_none_or(|newest| newest.number != *number || newest.header != *header) {
                held.lost.push(member.name());
            }
            let reasons = found.readiness.iter().flat_map(|readiness| readiness.reasons.iter());
            if found.readiness.is_none() || reasons.into_iter().any(|it| it.code == ReasonCode::NothingSaid) {
                held.unheard.push(member.name());
            }
        }
        Ok(held)
    }
}

impl Member {
    async fn join(number: u16, door: &Door, operator: &reqwest::Client, token: &str) -> Result<Self> {
        let mut rng = UnwrapErr(SysRng);
        let (box_id, code_id) = (BoxId::random(&mut rng), CodeId::random(&mut rng));
        let name = name(number);
        let added = AddBoxRequest { v: V1, box_id, name: name.clone(), customer: None, for_days: None };
        let request = post(operator, &door.of_people("/v1/boxes"), &added).bearer_auth(token);
        let reply: TicketReply = ask(request).await?;
        let ticket: Ticket = reply.ticket.paste.parse().context("a ticket")?;
        let key = KeyPair::generate()?;
        let csr = CertificateParams::new(vec![name.clone()])?.serialize_request(&key)?;
        let csr = Base64(csr.der().to_vec());
        let request = EnrollRequest { v: V1, ticket: ticket.into_secret(), csr, hostname: name };
        let client = door.client(Some(address(number)), None)?;
        let reply: EnrollReply = ask(post(&client, &door.of_agents("/v1/enroll"), &request)).await?;
        let identity = Identity { certificate: reply.certificate.0, key: Zeroizing::new(key.serialize_der()) };
        let ceremony = bundle(box_id, code_id, None)?;
        let client = door.client(Some(address(number)), Some(&identity))?;
        let stored: PushReply = ask(push(&client, door, box_id, &ceremony)?).await?;
        ensure!(stored.number == NonZeroU64::MIN, "a new box has had versions");
        Ok(Self { number, box_id, code_id, identity, newest: (stored.number, ceremony.header().clone()) })
    }

    pub(super) fn name(&self) -> String {
        name(self.number)
    }

    pub(super) fn address(&self) -> IpAddr {
        address(self.number)
    }

    /// Its next update.
    pub(super) fn update(&self) -> Result<Bundle> {
        bundle(self.box_id, self.code_id, Some(self.newest.0))
    }
}

/// The call that stores a version.
pub(super) fn push(
    client: &reqwest::Client,
    door: &Door,
    box_id: BoxId,
    bundle: &Bundle,
) -> Result<reqwest::RequestBuilder> {
    let text = bundle.to_text()?;
    let request = client.post(door.of_agents(&format!("/v1/boxes/{box_id}/versions")));
    Ok(request.header("content-type", "text/plain; charset=utf-8").body(text))
}

fn name(number: u16) -> String {
    format!("load-{number:05}")
}

/// Everyone comes from another address, all of them this machine's.
fn address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 1, high, low))
}

/// A ceremony, or the update that comes after this version. Nothing in the parts is real: a hub does not look. They
/// are as large as real ones.
fn bundle(box_id: BoxId, code_id: CodeId, after: Option<NonZeroU64>) -> Result<Bundle> {
    let root = box_id.to_string().repeat(110);
    let key: [u8; 32] = sha2::Sha256::digest(&root).into();
    let sequence = after.map_or(NonZeroU64::MIN, |after| after.saturating_add(1));
    let parts = match after {
        None => BTreeMap::from([
            (PartName::Root, root.clone().into_bytes()),
            (PartName::Key(Fingerprint::from_bytes(key)), vec![b'k'; 383]),
        ]),
        Some(_) => BTreeMap::from([(PartName::Update(sequence), vec![b'u'; 2048])]),
    };
    let (kind, grade) = match after {
        None => (Kind::Ceremony, Grade::Proven),
        Some(_) => (Kind::Update, Grade::Sealed),
    };
    let facts = HeaderFacts {
        kind,
        box_id,
        code_number: NonZeroU64::MIN,
        code_id,
        sequence,
        grade,
        root_sha256: Sha256::of(root.as_bytes()),
        words_key: Base64Array([7; 32]),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: Timestamp::now(),
    };
    Ok(Bundle::new(facts, parts)?)
}
