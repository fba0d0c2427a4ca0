//! Escrow versions, as a box would push them. Their parts are not real: the hub does not look.

use std::{collections::BTreeMap, num::NonZeroU64};

use ed25519_dalek::{Signer as _, SigningKey};
use tenwords_protocol::{
    bytes::Base64Array,
    hash::Sha256,
    id::{BoxId, CodeId},
    part::PartName,
    time::Timestamp,
    v1::V1,
    version::{Bundle, Grade, HeaderFacts, Kind},
    words::{Claim, Nonce, Purpose, WordsProof, WordsPublicKey, signing_text},
};

/// A words key, by a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words(pub(crate) u8);

impl Words {
    pub(crate) fn public(self) -> WordsPublicKey {
        Base64Array(self.key().verifying_key().to_bytes())
    }

    fn key(self) -> SigningKey {
        SigningKey::from_bytes(&[self.0; 32])
    }

    pub(crate) fn prove(
        self,
        box_id: BoxId,
        version: u64,
        nonce: Nonce,
        time: Timestamp,
        spki_sha256: Sha256,
        purpose: Purpose,
    ) -> WordsProof {
        let version = NonZeroU64::new(version).unwrap();
        let claim = Claim { purpose, box_id, version, nonce, time, spki_sha256 };
        let signature = Base64Array(self.key().sign(signing_text(&claim).as_bytes()).to_bytes());
        WordsProof { v: V1, purpose, version, time, nonce, signature }
    }
}

fn facts(box_id: BoxId, kind: Kind, sequence: u64, words: Words, root: &[u8]) -> HeaderFacts {
    HeaderFacts {
        kind,
        box_id,
        code_number: NonZeroU64::MIN,
        code_id: "11111111-2222-4333-8444-555555555555".parse::<CodeId>().unwrap(),
        sequence: NonZeroU64::new(sequence).unwrap(),
        grade: if kind == Kind::Ceremony { Grade::Proven } else { Grade::Sealed },
        root_sha256: Sha256::of(root),
        words_key: words.public(),
        agent_version: "0.1.0".to_owned(),
        made_at: "2026-03-03T12:00:00Z".parse().unwrap(),
    }
}

fn root(sequence: u64) -> Vec<u8> {
    format!("root of sequence {sequence}").into_bytes()
}

/// A ceremony version.
pub(crate) fn ceremony(box_id: BoxId, sequence: u64, words: Words) -> Bundle {
    let key = PartName::Key(tenwords_protocol::fingerprint::Fingerprint::from_bytes([7; 32]));
    let parts = BTreeMap::from([(PartName::Root, root(sequence)), (key, b"a key file".to_vec())]);
    Bundle::new(facts(box_id, Kind::Ceremony, sequence, words, &root(sequence)), parts).unwrap()
}

/// An update version.
pub(crate) fn update(box_id: BoxId, sequence: u64, words: Words) -> Bundle {
    let part = PartName::Update(NonZeroU64::new(sequence).unwrap());
    let parts = BTreeMap::from([(part, format!("update {sequence}").into_bytes())]);
    Bundle::new(facts(box_id, Kind::Update, sequence, words, &root(1)), parts).unwrap()
}

/// A ceremony version of these parts.
pub(crate) fn bundle(box_id: BoxId, sequence: u64, parts: BTreeMap<PartName, Vec<u8>>) -> Bundle {
    let root = parts[&PartName::Root].clone();
    Bundle::new(facts(box_id, Kind::Ceremony, sequence, Words(1), &root), parts).unwrap()
}
