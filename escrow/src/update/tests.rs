//! What needs the inner functions: flips that pass every check before them, and signatures that
//! somebody else's programs made.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use tenwords_protocol::{
    json,
    update::{NAMESPACE, Update},
};

use super::*;
use crate::{
    door,
    keys::{BoxKey, BoxPublicKey},
    seal,
    secret::TokenSecret,
    sshsig::{self, SignatureError},
    text,
};

const ROOT: &str = include_str!("../../tests/golden/root.txt");
/// By ssh-keygen; its public half stands in the golden root.
const BOX_KEY: &str = include_str!("../../tests/golden/box-key");
/// Signed by Python's cryptography.
const UPDATE: &[u8] = include_bytes!("../../../protocol/tests/golden/update.json");
const SEED_OF_UPDATE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";

fn made() -> Vec<u8> {
    let root = text::read(ROOT.as_bytes()).unwrap();
    let hash = tenwords_protocol::hash::Sha256::of(b"root.age");
    let token = TokenSecret::new("another-secret".to_owned().into()).unwrap();
    let contents = Contents {
        keys: vec![pbs_format::key::KeyFile::parse(include_bytes!("../../tests/golden/K.enc")).unwrap()],
        tokens: BTreeMap::from([("pbs-main".parse().unwrap(), token)]),
    };
    let key = BoxKey::from_openssh(BOX_KEY).unwrap();
    let time = "2026-05-09T12:00:00Z".parse().unwrap();
    make(&Ceremony::of(&root, hash), Link::first(hash), &contents, &key, time).unwrap()
}

#[test]
fn every_flipped_byte_of_a_body_is_refused_by_the_identity_too() {
    let root = text::read(ROOT.as_bytes()).unwrap();
    let Update { body, .. } = json::from_slice(&made()).unwrap();
    let opens = |bytes: &[u8]| {
        let Ok(part) = door::check_update(bytes) else { return false };
        seal::open_update(&part, &root.facts().identity).is_ok_and(|text| body::read(&text).is_ok())
    };
    assert!(opens(&body.0));
    for at in 0..body.0.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut flipped = body.0.clone();
            flipped[at] ^= mask;
            assert!(!opens(&flipped), "byte {at} ^ {mask:#x}");
        }
        assert!(!opens(&body.0[..at]), "cut at {at}");
    }
}

#[test]
fn every_flipped_byte_of_a_statement_or_its_signature_is_refused() {
    let update: Update = json::from_slice(&made()).unwrap();
    let key = BoxKey::from_openssh(BOX_KEY).unwrap().public();
    let holds = |statement: &[u8], signature: &str| sshsig::verify(&key, NAMESPACE, statement, signature);
    assert_eq!(holds(&update.statement.0, &update.signature), Ok(()));
    for at in 0..update.statement.0.len() {
        let mut flipped = update.statement.0.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(holds(&flipped, &update.signature), Err(SignatureError::Refused), "byte {at}");
    }
    for at in 0..update.signature.len() {
        for mask in [0x01, 0x20] {
            let mut flipped = update.signature.clone().into_bytes();
            flipped[at] ^= mask;
            let flipped = String::from_utf8(flipped).unwrap();
            assert!(holds(&update.statement.0, &flipped).is_err(), "character {at} ^ {mask:#x}: {flipped}");
        }
        assert!(holds(&update.statement.0, &update.signature[..at]).is_err(), "cut at {at}");
    }
    for other in [
        update.signature.trim_end().to_owned(),
        format!("{}\n", update.signature),
        format!("\n{}", update.signature),
        update.signature.replace('\n', "\r\n"),
        update.signature.repeat(2),
    ] {
        assert_eq!(holds(&update.statement.0, &other), Err(SignatureError::Text), "{other:?}");
    }
}

#[test]
fn a_signature_that_python_made_holds_for_its_key_and_purpose_alone() {
    let update: Update = json::from_slice(UPDATE).unwrap();
    let key: BoxPublicKey = SEED_OF_UPDATE.parse().unwrap();
    let check = |key: &BoxPublicKey, namespace| sshsig::verify(key, namespace, &update.statement.0, &update.signature);
    assert_eq!(check(&key, NAMESPACE), Ok(()));
    assert_eq!(check(&BoxKey::from_openssh(BOX_KEY).unwrap().public(), NAMESPACE), Err(SignatureError::Key));
    let expected = "tenwords-order-v1";
    assert_eq!(check(&key, expected), Err(SignatureError::Namespace { expected }));
}
