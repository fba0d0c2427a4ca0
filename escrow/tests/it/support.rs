//! What the tests share: a generator with a seed, a golden code, a box to escrow, and openers in
//! the client's place.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    num::{NonZeroU16, NonZeroU64},
    sync::{LazyLock, Mutex},
};

use pbs_format::key::{EncryptionKey, KeyFile};
use rand::rand_core::{TryCryptoRng, TryRng};
use tenwords_escrow::{
    code::RecoveryCode,
    door::{self, KeyPart},
    keys::{AgeIdentity, BoxKey, WordsKey},
    open::Parts,
    root::{
        Certificate, CodeLabel, FileMode, FileSecret, KeptIn, Operators, RestorePath, Root, RootFacts, Secrets, Source,
        Trust,
    },
    secret::{FileBytes, TokenSecret},
    verify::{KeyOpener, OpenedByClient, OpenedNatively, VerifiedEscrow, VerifiedKeyPart},
};
use tenwords_protocol::{
    fingerprint::Fingerprint,
    hash::Sha256,
    id::{BoxId, CodeId},
    operators::OperatorList,
    part::PartName,
    time::Timestamp,
    v1::V1,
    version::StoredHeader,
};
use zeroize::Zeroizing;

/// The passphrase of the golden key file, as the real client was given it.
pub(crate) const GOLDEN_CODE: &str = include_str!("../golden/code.txt");
/// Wrapped by the real client.
pub(crate) const GOLDEN_PART: &[u8] = include_bytes!("../golden/blob-scrypt.json");
/// The key inside, as the real client made it.
pub(crate) const GOLDEN_KEY: &[u8] = include_bytes!("../golden/K.enc");
pub(crate) const TOKEN: &str = "e0c8f6a2-1b2c-4d3e-8f90-a1b2c3d4e5f6";
pub(crate) const BOX: &str = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d";
pub(crate) const OTHER_BOX: &str = "11111111-2222-4333-8444-555555555555";

/// SHA-256 of a seed and a counter: the same numbers in each run.
pub(crate) struct Seeded {
    seed: String,
    counter: u64,
    left: Vec<u8>,
}

pub(crate) fn seeded(seed: &str) -> Seeded {
    Seeded { seed: seed.to_owned(), counter: 0, left: Vec::new() }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            if self.left.is_empty() {
                self.counter += 1;
                self.left = Sha256::of(format!("{} {}", self.seed, self.counter).as_bytes()).as_bytes().to_vec();
            }
            *byte = self.left.pop().unwrap();
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

/// In the client's place: opens the copy with our own reading. It remembers what it opened, so that
/// the same bytes under the same words are derived once per run.
pub(crate) struct Faithful;

static REMEMBERED: Mutex<BTreeMap<(Sha256, String), [u8; 32]>> = Mutex::new(BTreeMap::new());

/// In the client's place: gives another key, as a client would that was handed another file.
pub(crate) struct Swapping;

/// In the client's place: cannot be driven.
pub(crate) struct Missing;

/// Why it cannot be.
#[derive(Debug)]
pub(crate) struct NoClient;

impl fmt::Display for NoClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client is not installed")
    }
}

impl std::error::Error for NoClient {}

impl KeyOpener for Faithful {
    type Error = pbs_format::key::KeyFileError;

    fn open_copy(&self, part: &KeyPart, code: &RecoveryCode) -> Result<EncryptionKey, Self::Error> {
        let place = (part.sha256(), code.expose_passphrase().to_owned());
        if let Some(bytes) = REMEMBERED.lock().unwrap().get(&place) {
            return Ok(EncryptionKey::from_bytes(Zeroizing::new(*bytes)));
        }
        let key = KeyFile::parse(part.bytes())?.open(Some(code.expose_passphrase().as_bytes()))?;
        REMEMBERED.lock().unwrap().insert(place, *key.expose_bytes());
        Ok(key)
    }
}

impl KeyOpener for Swapping {
    type Error = NoClient;

    fn open_copy(&self, _: &KeyPart, _: &RecoveryCode) -> Result<EncryptionKey, NoClient> {
        Ok(key("another"))
    }
}

impl KeyOpener for Missing {
    type Error = NoClient;

    fn open_copy(&self, _: &KeyPart, _: &RecoveryCode) -> Result<EncryptionKey, NoClient> {
        Err(NoClient)
    }
}

pub(crate) fn golden_code() -> RecoveryCode {
    RecoveryCode::parse(GOLDEN_CODE).unwrap()
}

pub(crate) fn golden_fingerprint() -> Fingerprint {
    KeyFile::parse(GOLDEN_KEY).unwrap().open(None).unwrap().fingerprint()
}

pub(crate) fn other_code() -> RecoveryCode {
    RecoveryCode::draw(&mut seeded("another code"))
}

pub(crate) fn box_id() -> BoxId {
    BOX.parse().unwrap()
}

pub(crate) fn key(seed: &str) -> EncryptionKey {
    EncryptionKey::generate(&mut seeded(seed))
}

/// A key file under the code, as the client would have made it.
pub(crate) fn wrapped(key: &EncryptionKey, code: &RecoveryCode) -> Vec<u8> {
    let passphrase = code.expose_passphrase().as_bytes();
    let file = KeyFile::scrypt(key, passphrase, 1_772_000_000, 1_772_539_200, &mut seeded("wrap")).unwrap();
    file.to_json().to_vec()
}

/// Opened both ways to the key that it states.
pub(crate) fn verified(part: &[u8], code: &RecoveryCode) -> VerifiedKeyPart {
    let part = door::check_key_part(part).unwrap();
    let by_client = OpenedByClient::of(&part, code, &Faithful).unwrap();
    let natively = OpenedNatively::of(&part, code).unwrap();
    let live = part.fingerprint();
    VerifiedKeyPart::new(part, by_client, natively, live).unwrap()
}

pub(crate) fn number(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

/// Facts of a root that lists these parts; the first one's key is the one that backups use.
pub(crate) fn facts(box_id: BoxId, parts: BTreeMap<Fingerprint, Sha256>) -> RootFacts {
    let rng = &mut seeded("root");
    let source = Source {
        id: "pbs-main".parse().unwrap(),
        server: "pbs.example".parse().unwrap(),
        port: NonZeroU16::new(8007).unwrap(),
        datastore: "store".parse().unwrap(),
        namespace: None,
        certificate: Certificate::Pinned(Fingerprint::from_bytes([7; 32])),
        auth_id: "box1@pbs!escrow".parse().unwrap(),
        key_fingerprint: *parts.keys().next().unwrap(),
        kept_in: KeptIn::Settings,
    };
    let token = TokenSecret::new(Zeroizing::new(TOKEN.to_owned())).unwrap();
    let file = FileSecret {
        path: "/etc/wireguard/wg0.conf".parse().unwrap(),
        mode: FileMode::new(0o600).unwrap(),
        data: FileBytes::new(Zeroizing::new(b"PrivateKey = c2VjcmV0".to_vec())),
    };
    RootFacts {
        box_id,
        box_name: "pve1".to_owned(),
        code: CodeLabel { number: number(2), id: CodeId::random(rng) },
        sequence: number(41),
        made_at: "2026-03-03T12:00:00Z".parse().unwrap(),
        parts,
        trust: Trust {
            sources: vec![source.clone()],
            operators: Operators { generation: NonZeroU64::MIN, signers: OperatorList::default() },
            restore_paths: vec![RestorePath {
                source: "pbs-main".parse().unwrap(),
                group: "host/box1".parse().unwrap(),
                archive: "data.pxar".parse().unwrap(),
                path: "/srv/data".parse().unwrap(),
            }],
        },
        secrets: Secrets { tokens: BTreeMap::from([(source.id, token)]), files: vec![file] },
        words_key: WordsKey::generate(rng),
        box_key: BoxKey::generate(rng).public(),
        identity: AgeIdentity::generate(),
    }
}

pub(crate) fn root_of(box_id: BoxId, parts: &[&VerifiedKeyPart]) -> Root {
    Root::new(facts(box_id, parts.iter().map(|part| part.entry()).collect())).unwrap()
}

/// A ceremony of `box_id` under `code` with these wrapped keys.
pub(crate) fn ceremony(box_id: BoxId, code: &RecoveryCode, wrapped: &[&[u8]]) -> VerifiedEscrow {
    let keys: Vec<_> = wrapped.iter().map(|part| verified(part, code)).collect();
    let root = root_of(box_id, &keys.iter().collect::<Vec<_>>());
    VerifiedEscrow::new(&root, keys, "0.1.0", code).unwrap()
}

pub(crate) fn stored(escrow: &VerifiedEscrow, at: u64) -> StoredHeader {
    StoredHeader {
        v: V1,
        number: number(at),
        received_at: Timestamp::from_unix(1_772_539_260).unwrap(),
        header: escrow.bundle().header().clone(),
    }
}

/// A ceremony of the golden code with the golden key and one more.
pub(crate) static ESCROW: LazyLock<VerifiedEscrow> = LazyLock::new(|| {
    let code = golden_code();
    ceremony(box_id(), &code, &[GOLDEN_PART, &wrapped(&key("second"), &code)])
});

pub(crate) fn parts() -> Parts {
    ESCROW.bundle().parts().clone()
}

pub(crate) fn golden_name() -> PartName {
    PartName::Key(golden_fingerprint())
}

/// The error and what caused it, as a person sees it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
