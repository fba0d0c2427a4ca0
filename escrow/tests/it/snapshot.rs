//! S66 and the snapshot gate: only what a holder of our key signed, as the snapshot of the plan, and
//! encrypted throughout.

use std::sync::{Arc, LazyLock};

use pbs_format::{
    manifest::{CryptMode, FileEntry, Manifest, ManifestError},
    name::SnapshotRef,
};
use serde_json::{Value, json};
use tenwords_escrow::{
    gate::{GateError, GatedKey, GatedSnapshot},
    open,
};
use tenwords_protocol::hash::Sha256;

use crate::support::{Faithful, box_id, golden_code, golden_fingerprint, key, parts, seeded};

/// Written by the real server.
const BOX1: &[u8] = include_bytes!("../golden/manifest-box1.blob");
const SIGNED_ONLY: &[u8] = include_bytes!("../golden/manifest-signed.blob");
const PLAIN: &[u8] = include_bytes!("../golden/manifest-plain.blob");
const OTHER_KEY: &[u8] = include_bytes!("../golden/manifest-other-key.blob");

static KEY: LazyLock<Arc<GatedKey>> = LazyLock::new(|| {
    let opened = open::open_ceremony(&parts(), box_id(), &golden_code(), &Faithful).unwrap();
    Arc::clone(&opened.keys()[&golden_fingerprint()])
});

fn at(path: &str) -> SnapshotRef {
    path.parse().unwrap()
}

fn box1() -> SnapshotRef {
    at("host/box1/2024-02-29T12:34:56Z")
}

fn stored(blob: &[u8]) -> Value {
    serde_json::from_str(&Manifest::parse(blob).unwrap().to_text()).unwrap()
}

fn check(manifest: &Value, expected: &SnapshotRef) -> Result<GatedSnapshot, GateError> {
    GatedSnapshot::check(manifest.to_string().as_bytes(), &KEY, expected)
}

#[test]
fn the_real_servers_signed_and_encrypted_snapshot_passes() {
    let snapshot = GatedSnapshot::check(BOX1, &KEY, &box1()).unwrap();
    assert_eq!(*snapshot.snapshot(), box1());
    assert_eq!(snapshot.key().fingerprint(), golden_fingerprint());
    let mut names: Vec<_> = snapshot.archives().map(|archive| archive.name().to_owned()).collect();
    names.sort();
    assert_eq!(names.iter().filter(|name| *name == "root.pxar").count(), 1);
    assert_eq!(snapshot.archive("root.pxar").unwrap().server_name(), "root.pxar.didx");
    assert_eq!(snapshot.archive("root.pxar.didx").unwrap().name(), "root.pxar");
    // As the client prints it, white space and all.
    let text = Manifest::parse(BOX1).unwrap().to_text();
    assert!(GatedSnapshot::check(text.as_bytes(), &KEY, &box1()).is_ok());
}

#[test]
fn a_name_that_is_not_signed_is_never_restored() {
    let snapshot = GatedSnapshot::check(BOX1, &KEY, &box1()).unwrap();
    for name in
        ["", "index.json", "index.json.blob", "client.log", "client.log.blob", "root", "ROOT.PXAR", "../root.pxar"]
    {
        assert!(snapshot.archive(name).is_none(), "{name}");
    }
    // Put into the list by the server.
    let mut longer = stored(BOX1);
    let mut planted = longer["files"][0].clone();
    planted["filename"] = json!("planted.pxar.didx");
    longer["files"].as_array_mut().unwrap().push(planted);
    assert!(matches!(check(&longer, &box1()), Err(GateError::Manifest { source: ManifestError::WrongSignature, .. })));
}

#[test]
fn s66_an_unsigned_plaintext_twin_is_not_restored() {
    let twin = |fingerprint: bool, mode: &str, signature: Value| {
        let mut twin = stored(BOX1);
        for file in twin["files"].as_array_mut().unwrap() {
            file["crypt-mode"] = json!(mode);
        }
        twin["signature"] = signature;
        twin["unprotected"] =
            if fingerprint { json!({"key-fingerprint": golden_fingerprint().to_string()}) } else { json!({}) };
        check(&twin, &box1()).unwrap_err()
    };
    let genuine = stored(BOX1)["signature"].clone();
    for fingerprint in [true, false] {
        for mode in ["none", "encrypt", "sign-only"] {
            let error = twin(fingerprint, mode, Value::Null);
            assert!(matches!(error, GateError::Manifest { source: ManifestError::Unsigned, .. }), "{mode}");
        }
        for mode in ["none", "sign-only"] {
            let error = twin(fingerprint, mode, genuine.clone());
            assert!(matches!(error, GateError::Manifest { source: ManifestError::WrongSignature, .. }), "{mode}");
        }
        let error = twin(fingerprint, "none", json!("00".repeat(32)));
        assert!(matches!(error, GateError::Manifest { source: ManifestError::WrongSignature, .. }));
    }
    // The real server's plaintext snapshot, as it is.
    let error = GatedSnapshot::check(PLAIN, &KEY, &at("host/plain/2024-02-29T12:34:57Z")).unwrap_err();
    assert!(matches!(error, GateError::Manifest { source: ManifestError::Unsigned, .. }));
}

#[test]
fn s66_a_genuinely_signed_plaintext_snapshot_is_not_restored_either() {
    let expected = at("host/signed/2024-02-29T12:34:58Z");
    assert!(Manifest::parse(SIGNED_ONLY).unwrap().verify(KEY.expose_key()).is_ok(), "the signature is good");
    let error = GatedSnapshot::check(SIGNED_ONLY, &KEY, &expected).unwrap_err();
    assert!(matches!(error, GateError::Plaintext { .. }), "{error}");
    // One plaintext file among encrypted ones, signed by ourselves.
    let entry = |name: &str, crypt_mode| FileEntry {
        filename: name.parse().unwrap(),
        crypt_mode,
        size: 1,
        csum: Sha256::of(b"x"),
    };
    let files = vec![entry("root.pxar.didx", CryptMode::Encrypt), entry("pct.conf.blob", CryptMode::None)];
    let mixed = Manifest::sign(expected.clone(), files, KEY.expose_key()).unwrap();
    let error = GatedSnapshot::check(mixed.to_text().as_bytes(), &KEY, &expected).unwrap_err();
    assert!(matches!(error, GateError::Plaintext { name, .. } if name.as_str() == "pct.conf.blob"));
}

#[test]
fn s66_a_genuine_manifest_of_another_snapshot_is_refused() {
    for other in ["host/box1/2024-02-29T12:34:57Z", "host/box2/2024-02-29T12:34:56Z", "ct/box1/2024-02-29T12:34:56Z"] {
        let error = GatedSnapshot::check(BOX1, &KEY, &at(other)).unwrap_err();
        assert!(matches!(error, GateError::Snapshot { .. }), "{other}");
    }
}

#[test]
fn s66_a_snapshot_under_another_key_is_refused() {
    let expected = at("host/box1/2024-02-29T12:34:59Z");
    let error = GatedSnapshot::check(OTHER_KEY, &KEY, &expected).unwrap_err();
    assert!(matches!(error, GateError::Manifest { source: ManifestError::WrongKey { .. }, .. }));
    // With the fingerprint changed to ours.
    let mut renamed = stored(OTHER_KEY);
    renamed["unprotected"]["key-fingerprint"] = json!(golden_fingerprint().to_string());
    assert!(matches!(
        check(&renamed, &expected),
        Err(GateError::Manifest { source: ManifestError::WrongSignature, .. })
    ));
    // Signed by a key of the server's own.
    let files = Manifest::parse(BOX1).unwrap().files().to_vec();
    let theirs = Manifest::sign(box1(), files, &key("the server's own")).unwrap();
    let mut claimed: Value = serde_json::from_str(&theirs.to_text()).unwrap();
    claimed["unprotected"]["key-fingerprint"] = json!(golden_fingerprint().to_string());
    assert!(matches!(check(&claimed, &box1()), Err(GateError::Manifest { source: ManifestError::WrongSignature, .. })));
}

#[test]
fn every_flipped_byte_of_the_signed_text_is_refused() {
    let blob = Manifest::parse(BOX1).unwrap().to_blob(&mut seeded("blob")).unwrap();
    assert!(GatedSnapshot::check(&blob, &KEY, &box1()).is_ok());
    for at in 0..BOX1.len() {
        let mut flipped = BOX1.to_vec();
        flipped[at] ^= 1;
        assert!(GatedSnapshot::check(&flipped, &KEY, &box1()).is_err(), "byte {at} of the blob");
    }
    let text = Manifest::parse(BOX1).unwrap().to_text();
    let unprotected = text.find("\"unprotected\"").unwrap();
    for at in 0..unprotected {
        let mut flipped = text.clone().into_bytes();
        flipped[at] ^= 1;
        let same = Manifest::parse(&flipped).is_ok_and(|manifest| {
            manifest.canonical_text().ok() == Manifest::parse(BOX1).unwrap().canonical_text().ok()
        });
        let passed = GatedSnapshot::check(&flipped, &KEY, &box1()).is_ok();
        assert!(!passed || same, "byte {at} of the text");
    }
}
