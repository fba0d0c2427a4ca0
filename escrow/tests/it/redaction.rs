//! S52: whatever holds a secret says `[redacted]`, in every form that a secret could leak in.

use std::{collections::BTreeMap, num::NonZeroU64};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pbs_format::key::KeyFile;
use tenwords_escrow::{
    code::{CodeError, RecoveryCode},
    keys::{AgeIdentity, BoxKey, WordsKey},
    open,
    secret::TokenSecret,
    update::{self, Ceremony, Contents, Link},
};
use tenwords_protocol::id::CodeId;

use crate::support::{
    ESCROW, Faithful, GOLDEN_CODE, Missing, TOKEN, box_id, chain, golden_code, golden_fingerprint, key, other_code,
    parts, seeded, stored,
};

/// A secret in the forms in which it could be seen.
fn forms(secret: &[u8]) -> Vec<String> {
    let list: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![hex::encode(secret), STANDARD.encode(secret), list.join(", "), list.join(",")];
    forms.extend(str::from_utf8(secret).ok().map(str::to_owned));
    forms
}

fn assert_silent(said: &str, secrets: &[Vec<u8>]) {
    let said = said.to_lowercase();
    for form in secrets.iter().flat_map(|secret| forms(secret)) {
        assert!(!said.contains(&form.to_lowercase()), "{form:?} in {said}");
    }
}

/// The box key of the shared root.
fn root_box_key() -> BoxKey {
    let rng = &mut seeded("root");
    let _drawn_before_it = (CodeId::random(rng), WordsKey::generate(rng));
    BoxKey::generate(rng)
}

/// What an update adds, told to `secrets` too.
fn added(secrets: &mut Vec<Vec<u8>>) -> Contents {
    let (key, token) = (key("added"), "another-token-of-the-source");
    secrets.extend([key.expose_bytes().to_vec(), token.as_bytes().to_vec()]);
    let token = TokenSecret::new(token.to_owned().into()).unwrap();
    Contents { keys: vec![KeyFile::plain(&key, 0, 0)], tokens: BTreeMap::from([("pbs-main".parse().unwrap(), token)]) }
}

#[test]
fn s52_no_secret_type_shows_what_it_holds() {
    let rng = &mut seeded("redaction");
    let opened = open::open_ceremony(&parts(), box_id(), &golden_code(), &Faithful).unwrap();
    let facts = opened.root().facts();
    let key = &opened.keys()[&golden_fingerprint()];
    let file = &facts.secrets.files[0];
    let (words_key, box_key, identity) = (WordsKey::generate(rng), BoxKey::generate(rng), AgeIdentity::generate());
    let mut secrets: Vec<Vec<u8>> = vec![
        TOKEN.as_bytes().to_vec(),
        key.expose_key().expose_bytes().to_vec(),
        file.data.expose_bytes().to_vec(),
        facts.identity.expose_line().as_bytes().to_vec(),
        identity.expose_line().as_bytes().to_vec(),
        box_key.expose_openssh().unwrap().as_bytes().to_vec(),
        box_key.expose_openssh().unwrap().lines().nth(4).unwrap().as_bytes().to_vec(),
    ];
    secrets.extend(GOLDEN_CODE.split_whitespace().map(|word| word.as_bytes().to_vec()));
    let contents = added(&mut secrets);
    let ceremony = Ceremony::of(opened.root(), opened.root_sha256());
    let now = "2026-05-09T12:00:00Z".parse().unwrap();
    let made = update::make(&ceremony, Link::first(opened.root_sha256()), &contents, &root_box_key(), now).unwrap();
    let updates = update::open_chain(opened.root(), opened.root_sha256(), [(NonZeroU64::MIN, made.as_slice())]);
    assert_eq!(updates.updates().len(), 1);
    let proven = ESCROW.read_back(stored(&ESCROW, 1), &parts(), &golden_code(), &Faithful).unwrap();
    for (said, name) in [
        (format!("{:?}", golden_code()), "RecoveryCode([redacted])"),
        (format!("{words_key:?}"), "WordsKey([redacted])"),
        (format!("{box_key:?}"), "BoxKey([redacted])"),
        (format!("{identity:?}"), "AgeIdentity([redacted])"),
        (format!("{:?}", facts.secrets.tokens), "TokenSecret([redacted])"),
        (format!("{file:?}"), "FileBytes([redacted], 21 bytes)"),
        (format!("{key:?}"), "GatedKey([redacted], 05:9b:33:ba:ee:35:a3:f0)"),
        (format!("{:?}", key.expose_key()), "EncryptionKey([redacted])"),
        (format!("{:?}", key.key_file()), "[redacted]"),
        (format!("{:#?}", opened.root()), "[redacted]"),
        (format!("{opened:#?}"), "[redacted]"),
        (format!("{:?}", *ESCROW), "VerifiedEscrow"),
        (format!("{contents:#?}"), "TokenSecret([redacted])"),
        (format!("{updates:#?}"), "TokenSecret([redacted])"),
        (format!("{proven:?}"), "ProvenEscrow"),
    ] {
        assert!(said.contains(name), "{said}");
        assert_silent(&said, &secrets);
    }
}

#[test]
fn s52_errors_repeat_neither_words_nor_what_is_near_them() {
    let secrets: Vec<Vec<u8>> = ["giddyness", "giddiness", "woof", "outshine", "qbqcus", "abacus"]
        .iter()
        .map(|word| word.as_bytes().to_vec())
        .collect();
    for typed in [
        GOLDEN_CODE.replace("giddiness", "giddyness"),
        "woof outshine".to_owned(),
        "qbqcus".to_owned(),
        "woof 7. outshine".to_owned(),
        "woof ".repeat(1000),
    ] {
        let error = RecoveryCode::parse(&typed).unwrap_err();
        assert_silent(&format!("{error} {error:?} {}", chain(&error)), &secrets);
        if let CodeError::Unlisted(word) = error {
            assert!(word.expose_nearest().len() <= 3);
        }
    }
    let code = other_code();
    let words: Vec<Vec<u8>> = code.expose_words().map(|word| word.as_bytes().to_vec()).collect();
    let error = open::open_ceremony(&parts(), box_id(), &code, &Missing).unwrap_err();
    assert_silent(&format!("{error:?} {}", chain(&error)), &words);
}

#[test]
fn s52_the_search_finds_what_is_planted() {
    let planted = format!("code: {}", GOLDEN_CODE.trim_end());
    let found = std::panic::catch_unwind(|| assert_silent(&planted, &[b"giddiness".to_vec()]));
    assert!(found.is_err());
    let found = std::panic::catch_unwind(|| assert_silent("key [1, 2, 3]", &[vec![1, 2, 3]]));
    assert!(found.is_err());
}
